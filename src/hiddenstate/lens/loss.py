"""The loss that gradients are taken of: the task's where targets are known, else the size of the output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hiddenstate.errors import DataError
from hiddenstate.tasks.softmax import log_softmax
from hiddenstate.types import Array

from .encoding import NO_TARGET, Encoded

if TYPE_CHECKING:
    from .recorded import Pass

KINDS = {
    "cross-entropy": "cross-entropy of the next symbol or the class, in nats",
    "squared error": "half the mean squared error of the point forecasts, in scaled units",
    "output": "half the squared length of the output (no targets are known)",
}
"""Losses by name, in words."""


@dataclass(frozen=True, eq=False)
class StepLoss:
    """The loss ``L_t`` of every step, which depends on the output of that step alone.

    Attributes:
        kind: a key of ``KINDS``.
        value: ``[T, B]``, or ``[B]`` after a pool; 0 where there is none.
        d_output: ``dL_t / dy_t``, in the shape of the output.
        counted: where there is a loss, bool like ``value``.
    """

    kind: str
    value: np.ndarray
    d_output: Array
    counted: np.ndarray

    @property
    def words(self) -> str:
        """The loss in words, for a convention."""
        return KINDS[self.kind]

    def mean(self) -> float:
        """Mean over everything counted."""
        return float(self.value.sum() / max(self.counted.sum(), 1))


def loss_of(made: Pass) -> StepLoss:
    """The loss of a pass over sequences; ``KINDS`` says which.

    Raises:
        DataError: some sequences have targets and others have none.
    """
    targets = [one.targets for one in made.sequences]
    known = [target is not None for target in targets]
    if any(known) and not all(known):
        raise DataError("some sequences have targets and others have none", got=f"{sum(known)} with")
    if not any(known):
        return _size(made)
    if targets[0] is not None and targets[0].dtype.kind == "i":
        return _cross_entropy(made, _padded(made, NO_TARGET).astype(np.int64))
    return _squared(made, _padded(made, np.nan))


def require_targets(sequences: list[Encoded], *, what: str) -> None:
    """Refuses sequences without labels where a measurement needs them.

    Raises:
        DataError: naming the first one.
    """
    for one in sequences:
        if one.targets is None or (one.targets.dtype.kind == "i" and (one.targets == NO_TARGET).all()):
            fix = "Give data with its label column (labelled as in training)"
            raise DataError(
                f"{what} needs labels", where=one.name, expected="a known label", got="none", fix=fix
            )


def _padded(made: Pass, filler: float) -> np.ndarray:
    """Targets of all rows side by side, ``[T, B, ...]`` (``[B]`` after a pool)."""
    parts = [np.asarray(one.targets) for one in made.sequences]
    if not parts[0].ndim:
        return np.stack(parts)
    whole = np.full((*made.valid.shape, *parts[0].shape[1:]), filler, np.float64)
    for row, part in enumerate(parts):
        whole[: len(part), row] = part
    return whole


def _cross_entropy(made: Pass, targets: np.ndarray) -> StepLoss:
    counted = np.asarray(targets != NO_TARGET)
    index = np.where(counted, targets, 0)[..., None]
    logs = log_softmax(made.output)
    value = np.where(counted, -np.take_along_axis(logs, index, axis=-1)[..., 0], 0.0)
    d_output = np.exp(logs)
    hit = np.take_along_axis(d_output, index, axis=-1)
    np.put_along_axis(d_output, index, hit - 1, axis=-1)
    return _made("cross-entropy", made, value, d_output * counted[..., None], counted)


def _squared(made: Pass, targets: np.ndarray) -> StepLoss:
    known = ~np.isnan(targets)
    error = np.where(known, made.output - targets, 0.0)
    count = np.maximum(known.sum(axis=-1), 1)
    value = 0.5 * (error**2).sum(axis=-1) / count
    return _made("squared error", made, value, error / count[..., None], np.asarray(known.any(axis=-1)))


def _size(made: Pass) -> StepLoss:
    counted = np.ones(len(made.lengths), bool) if made.probe.spec.pooled else made.valid
    output = np.where(counted[..., None], made.output, 0)
    return _made("output", made, 0.5 * (output.astype(np.float64) ** 2).sum(axis=-1), output, counted)


def _made(kind: str, made: Pass, value: np.ndarray, d_output: np.ndarray, counted: np.ndarray) -> StepLoss:
    return StepLoss(kind, value, d_output.astype(made.probe.dtype), counted)
