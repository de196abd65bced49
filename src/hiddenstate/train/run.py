"""The state of a training in progress, and how it is written down and read back."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from . import randomness, trees
from .config import Config
from .job import Job
from .watch import Watch


@dataclass
class Totals:
    """Sums over the updates of the running epoch."""

    loss: float = 0.0
    weight: float = 0.0
    norm: float = 0.0
    norm_max: float = 0.0
    clipped: int = 0
    updates: int = 0


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
        loss: mean loss of the last update.
        learning_rate: of the last update.
        gradient_norm: 2-norm of all gradients of the last update, before clipping.
        totals: sums over the running epoch.
        watch: memory of early stopping.
        carried: state that the next batch of the epoch starts from.
        best: weights of the best epoch so far.
        history: the records of the finished epochs.
        stopped: why training ended; None while it runs, or when an error ended it.
        resumed: whether it went on from a checkpoint.
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
    totals: Totals = field(default_factory=Totals)
    watch: Watch = field(default_factory=Watch)
    carried: Any = None
    best: dict[str, Tensor] | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    stopped: str | None = None
    resumed: bool = False
    _seconds_before: float = 0.0
    _started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Training time so far, over all resumed parts."""
        return self._seconds_before + self.seconds_here

    @property
    def seconds_here(self) -> float:
        """Training time of this process."""
        return time.monotonic() - self._started

    @property
    def progress(self) -> float:
        """Epochs done, with the part of the running one."""
        return self.epoch + (self.index / self.num_batches if self.num_batches else 0.0)

    def weights(self) -> dict[str, Tensor]:
        """A copy of the module's present weights and buffers."""
        return {name: value.detach().clone() for name, value in self.module.state_dict().items()}

    def dump(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """All of it, as JSON-able facts and named tensors."""
        outline, carried = trees.flatten(self.carried)
        state, optimizer = trees.flatten(self.optimizer.state_dict()["state"])
        groups = {
            "module": self.module.state_dict(),
            "best": self.best or {},
            "random": randomness.capture(),
            "carried": {str(i): value for i, value in enumerate(carried)},
            "optimizer": {str(i): value for i, value in enumerate(optimizer)},
        }
        facts = {name: getattr(self, name) for name in _PLAIN} | {
            "totals": asdict(self.totals),
            "watch": asdict(self.watch),
            "has_best": self.best is not None,
            "carried": outline,
            "optimizer": state,
            "seconds": self.seconds,
        }
        return facts, {
            f"{group}.{name}": t for group, content in groups.items() for name, t in content.items()
        }

    def load(self, facts: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Become the run that ``dump`` wrote down, the global random state included."""
        groups: dict[str, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            group, name = key.split(".", 1)
            groups.setdefault(group, {})[name] = value
        for name in _PLAIN:
            setattr(self, name, facts[name])
        self.totals, self.watch = Totals(**facts["totals"]), Watch(**facts["watch"])
        self.module.load_state_dict(groups.get("module", {}))
        self.best = groups.get("best", {}) if facts["has_best"] else None
        self.carried = trees.unflatten(facts["carried"], _in_order(groups.get("carried", {})))
        state = trees.unflatten(facts["optimizer"], _in_order(groups.get("optimizer", {})))
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": state})
        self._seconds_before, self._started = facts["seconds"], time.monotonic()
        self.resumed = True
        randomness.restore(groups["random"])


_PLAIN = ("epoch", "index", "updates", "loss", "learning_rate", "gradient_norm", "history")


def _in_order(numbered: dict[str, Tensor]) -> list[Tensor]:
    return [numbered[str(i)] for i in range(len(numbered))]
