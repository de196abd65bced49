"""What a training did."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Report:
    """The outcome of one training.

    Attributes:
        stopped: why it ended: "epochs", "patience", "time" or "interrupt".
        epochs: finished passes over the data.
        updates: optimiser steps.
        seconds: training time, over all resumed parts.
        best_epoch: number of the best epoch, from 1; None when none was finished.
        best_score: its score: the validation score, or the mean training loss where nothing is held back.
        history: one record per epoch: ``epoch``, ``updates``, ``loss``, ``validation`` (or None),
            ``learning_rate``, ``gradient_norm`` and ``gradient_norm_max`` (2-norm before clipping: mean and
            largest of the epoch), ``clipped`` (share of updates that were), ``seconds``; with a ``Lens``,
            what it saw last in the epoch, as ``lens``.
        resumed: whether it went on from a checkpoint.
    """

    stopped: str
    epochs: int
    updates: int
    seconds: float
    best_epoch: int | None
    best_score: float | None
    history: list[dict[str, Any]] = field(default_factory=list)
    resumed: bool = False

    @property
    def interrupted(self) -> bool:
        """Whether a signal (Ctrl-C, SIGTERM) ended it early."""
        return self.stopped == "interrupt"

    def to_jsonl(self) -> str:
        """The history as JSON lines."""
        return "".join(json.dumps(record) + "\n" for record in self.history)
