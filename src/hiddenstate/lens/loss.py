"""The loss that gradients are taken of: the task's where targets are known, else the size of the output."""

from __future__ import annotations

from collections.abc import Sequence
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
    known = [one.targets is not None for one in made.sequences]
    if any(known) and not all(known):
        raise DataError("some sequences have targets and others have none", got=f"{sum(known)} with")
    counted = np.ones(len(made.lengths), bool) if made.probe.spec.pooled else made.valid
    output = np.where(counted[..., None], made.output, 0)
    return compare(output, _padded(made) if any(known) else None, counted)


def compare(output: Array, targets: np.ndarray | None, counted: np.ndarray | None = None) -> StepLoss:
    """The loss of answers.

    Args:
        output: ``[..., O]``.
        targets: ids ``[...]`` (``NO_TARGET``: none) or numbers ``[..., O]`` (NaN: none); None: not known.
        counted: where there is an answer, ``[...]``; None: everywhere.
    """
    if targets is None:
        counted = np.ones(output.shape[:-1], bool) if counted is None else counted
        size = 0.5 * (output.astype(np.float64) ** 2).sum(axis=-1)
        return StepLoss("output", size, output, counted)
    return _cross_entropy(output, targets) if targets.dtype.kind == "i" else _squared(output, targets)


def has_target(targets: np.ndarray) -> np.ndarray:
    """Which answers have one: ids ``[...]`` or numbers ``[..., O]`` to ``[...]`` bool."""
    return np.asarray(targets != NO_TARGET if targets.dtype.kind == "i" else ~np.isnan(targets).all(axis=-1))


def require_targets(sequences: Sequence[Encoded], *, what: str) -> None:
    """Refuses sequences without labels where a measurement needs them.

    Raises:
        DataError: naming the first one.
    """
    for one in sequences:
        if one.targets is None or not has_target(one.targets).any():
            fix = "Give data with its label column (labelled as in training)"
            raise DataError(f"{what} needs labels", where=one.name, expected="a known label", fix=fix)


def _padded(made: Pass) -> np.ndarray:
    """Targets of all rows side by side, ``[T, B, ...]`` (``[B]`` after a pool), none at padded steps."""
    parts = [np.asarray(one.targets) for one in made.sequences]
    if not parts[0].ndim:
        return np.stack(parts)
    filler = NO_TARGET if parts[0].dtype.kind == "i" else np.nan
    whole = np.full((*made.valid.shape, *parts[0].shape[1:]), filler, parts[0].dtype)
    for row, part in enumerate(parts):
        whole[: len(part), row] = part
    return whole


def _cross_entropy(output: Array, targets: np.ndarray) -> StepLoss:
    counted = has_target(targets)
    index = np.where(counted, targets, 0)[..., None]
    logs = log_softmax(output)
    value = np.where(counted, -np.take_along_axis(logs, index, axis=-1)[..., 0], 0.0)
    d_output = np.exp(logs)
    np.put_along_axis(d_output, index, np.take_along_axis(d_output, index, axis=-1) - 1, axis=-1)
    d_output = (d_output * counted[..., None]).astype(output.dtype)
    return StepLoss("cross-entropy", value, d_output, counted)


def _squared(output: Array, targets: np.ndarray) -> StepLoss:
    error = np.where(np.isnan(targets), 0.0, output - targets)
    count = np.maximum((~np.isnan(targets)).sum(axis=-1), 1)
    value = 0.5 * (error**2).sum(axis=-1) / count
    d_output = (error / count[..., None]).astype(output.dtype)
    return StepLoss("squared error", value, d_output, has_target(targets))
