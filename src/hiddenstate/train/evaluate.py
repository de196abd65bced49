"""The mean loss over batches, without learning from them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from .job import Job


def mean_loss(job: Job, module: nn.Module, batches: Iterable[Any]) -> float:
    """Mean of ``job.loss`` over ``batches``, each counted by its weight, the state carried between them.

    This is what most jobs return from ``validate``: ``return mean_loss(self, module, self.held_back)``.
    """
    total, weight, carried = 0.0, 0.0, None
    with torch.no_grad():
        for batch in batches:
            mean, amount, carried = job.loss(module, batch, carried)
            if amount:
                total, weight = total + float(mean) * amount, weight + amount
    return total / weight if weight else float("nan")
