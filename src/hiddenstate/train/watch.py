"""The memory of early stopping, best weights and the plateau schedule."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .config import Config


@dataclass
class Watch:
    """What the scores of the finished epochs have shown; lower is better.

    Attributes:
        best: lowest score.
        best_epoch: its epoch, from 1.
        reference: score that an improvement is measured from (``best`` but for steps below ``min_delta``).
        waited: epochs since the last improvement.
        plateau_waited: the same, also counted from the last drop of the learning rate.
        drops: how often the learning rate was lowered.
    """

    best: float = math.inf
    best_epoch: int | None = None
    reference: float = math.inf
    waited: int = 0
    plateau_waited: int = 0
    drops: int = 0

    def see(self, score: float, epoch: int, config: Config) -> bool:
        """Take in the score of an epoch; True when it is the best so far."""
        if score < self.reference - config.min_delta:
            self.reference, self.waited, self.plateau_waited = score, 0, 0
        else:
            self.waited += 1
            self.plateau_waited += 1
            if self.plateau_waited >= config.decay_epochs:
                self.plateau_waited, self.drops = 0, self.drops + 1
        if score < self.best:
            self.best, self.best_epoch = score, epoch
            return True
        return False
