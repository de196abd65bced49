"""The state of a training in progress."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torch.optim import Optimizer

from .config import Config
from .job import Job


@dataclass
class Run:
    """Everything that changes while a network learns; what a callback sees.

    Attributes:
        module: the network.
        job: where batches and loss come from.
        config: the settings.
        optimizer: torch's optimiser of the module's parameters.
        epoch: number of the epoch under way, from 0.
        index: batches of it that are done.
        num_batches: batches it has.
        updates: optimiser steps so far.
        loss: mean loss of the last batch.
        learning_rate: of the last update.
        gradient_norm: 2-norm of all gradients of the last update, before clipping.
        history: the records of the finished epochs.
    """

    module: nn.Module
    job: Job
    config: Config
    optimizer: Optimizer
    epoch: int = 0
    index: int = 0
    num_batches: int = 0
    updates: int = 0
    loss: float = float("nan")
    learning_rate: float = 0.0
    gradient_norm: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
