"""How to train: plain numbers and names, checked when they are put together."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from hiddenstate.errors import OptionError
from hiddenstate.options import FLAG, OneOf, Real, Whole, check, option

OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop")
SCHEDULES = ("constant", "cosine", "step", "plateau")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of one training; JSON-able.

    Args:
        epochs: passes over the data at most.
        learning_rate: step size at its highest.
        optimizer: "adam", "adamw", "sgd" or "rmsprop", with torch's defaults for what is not named here.
        momentum: of "sgd" and "rmsprop".
        weight_decay: pull towards zero (L2 term; decoupled in "adamw").
        clip_norm: gradients longer than this (2-norm over all parameters) are shortened to it; None: never.
        clip_value: then each gradient element is cut to [-clip_value, clip_value]; None: never.
        schedule: "constant"; "cosine" from the full rate down to ``min_learning_rate`` over all epochs;
            "step", times ``decay`` every ``decay_epochs``; "plateau", times ``decay`` after ``decay_epochs``
            without improvement.
        warmup_updates: the rate rises linearly over this many updates first, on top of any schedule.
        decay: factor of "step" and "plateau".
        decay_epochs: epochs between two decays of "step", or patience of "plateau".
        min_learning_rate: floor of the schedules.
        patience: stop after this many epochs without improvement; None: never.
        min_delta: an improvement smaller than this does not count for patience and plateau.
        restore_best: end with the weights of the best epoch, not of the last.
        seed: of the data order, dropout and everything random inside the loop.
        max_seconds: stop after this much training time, at the next update. Where a clock decides, two runs
            need not end alike.
        deterministic: ask torch for deterministic algorithms (an operation that has none raises).

    Raises:
        OptionError: on a value outside its range.

    Example:
        >>> Config(epochs=3, schedule="cosine").to_json()["learning_rate"]
        0.001
    """

    epochs: int = option(20, Whole(0))
    learning_rate: float = option(1e-3, Real(0, above=True))
    optimizer: str = option("adam", OneOf(*OPTIMIZERS))
    momentum: float = option(0.0, Real(0, 1, below=True))
    weight_decay: float = option(0.0, Real(0))
    clip_norm: float | None = option(1.0, Real(0, above=True), OneOf(None))
    clip_value: float | None = option(None, Real(0, above=True), OneOf(None))
    schedule: str = option("constant", OneOf(*SCHEDULES))
    warmup_updates: int = option(0, Whole(0))
    decay: float = option(0.5, Real(0, 1, above=True))
    decay_epochs: int = option(10, Whole(1))
    min_learning_rate: float = option(0.0, Real(0))
    patience: int | None = option(None, Whole(1), OneOf(None))
    min_delta: float = option(0.0, Real(0))
    restore_best: bool = option(True, FLAG)
    seed: int = option(0, Whole(0, 2**32 - 1))
    max_seconds: float | None = option(None, Real(0, above=True), OneOf(None))
    deterministic: bool = option(True, FLAG)

    def __post_init__(self) -> None:
        check(self)
        if self.min_learning_rate > self.learning_rate:
            raise OptionError(
                "the floor lies above the rate",
                where="Config.min_learning_rate",
                expected=f"at most learning_rate = {self.learning_rate}",
                got=self.min_learning_rate,
            )

    def to_json(self) -> dict[str, Any]:
        """Plain Python numbers, strings and None."""
        return {
            key: getattr(value, "item", lambda value=value: value)() for key, value in asdict(self).items()
        }
