"""Steps to look back from, and how far: what the measurements over lags share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hiddenstate.errors import DataError

from .encoding import Encoded
from .loss import has_target
from .probe import StackLayer
from .recorded import Pass
from .result import check_count

LONGEST = 100
"""Lags looked at unless the caller asks for more."""

SHARE_LEFT = 0.01
"""What is below this share of the largest value counts as gone."""


def long_enough(
    sequences: Sequence[Encoded], max_lag: int | None, *, what: str = "lag"
) -> tuple[list[Encoded], int]:
    """The sequences that have a state ``max_lag`` steps before some step, and that lag.

    Args:
        sequences: what there is.
        max_lag: greatest lag wanted, at least 1; None: what half of the sequences allow, at most ``LONGEST``.
        what: what the message calls it.

    Raises:
        DataError: all sequences are shorter than the lag.
        OptionError: not a lag.
    """
    lengths = np.array([_usable(one) for one in sequences])
    if max_lag is None:
        max_lag = max(1, min(LONGEST, int(np.median(lengths)) - 1))
    check_count(max_lag, 1, "max_lag")
    kept = [one for one, length in zip(sequences, lengths, strict=True) if length > max_lag]
    if not kept:
        raise DataError(
            f"every sequence is shorter than the {what}",
            where=sequences[int(lengths.argmax())].name,
            expected=f"at least {max_lag + 1} steps",
            got=f"{lengths.max()} steps up to the last target",
            fix=f"Ask for a smaller {what} (max_{what}), or give longer sequences",
        )
    return kept, max_lag


def _usable(one: Encoded) -> int:
    """Steps up to the last one that has a target; all where none is known, or one for the whole."""
    if one.targets is None or not one.targets.ndim:
        return len(one)
    return int(np.flatnonzero(has_target(one.targets))[-1:].sum()) + 1


def anchors(made: Pass, layer: StackLayer, counted: np.ndarray, max_lag: int, count: int) -> np.ndarray:
    """Steps to look back from, spread evenly over those that have ``max_lag`` states behind them.

    Args:
        made: a pass over sequences of more than ``max_lag`` steps.
        layer: the layer whose states are looked at; "back" is where it came from.
        counted: where there is something to look back from, ``[T, B]``; after a pool it is the layer's last
            step.
        max_lag: K.
        count: how many.

    Returns:
        ``[count, B]``; the same step several times in a short row.

    Raises:
        DataError: a row without any such step.
    """
    last = made.lengths - 1
    if made.probe.spec.pooled:
        return np.zeros_like(last)[None] if layer.reverse else last[None]
    found = np.empty((count, len(last)), np.int64)
    for row, end in enumerate(last):
        usable = slice(0, end - max_lag + 1) if layer.reverse else slice(max_lag, end + 1)
        steps = np.flatnonzero(counted[usable, row]) + usable.start
        if not len(steps):
            name = made.sequences[row].name
            raise DataError(
                "no step to look back from", where=name, expected=f"a target after {max_lag} steps"
            )
        found[:, row] = steps[np.linspace(0, len(steps) - 1, count).round().astype(int)]
    return found


def looking_back(values: np.ndarray, steps: np.ndarray, max_lag: int, *, reverse: bool = False) -> np.ndarray:
    """Values 0 to ``max_lag`` steps before one step of each row: ``[T, B, ...] -> [max_lag + 1, B, ...]``."""
    lags = np.arange(max_lag + 1)[:, None]
    return values[steps + lags if reverse else steps - lags, np.arange(len(steps))]


class Decay(NamedTuple):
    """A straight line through the logarithm of a curve over lags.

    Attributes:
        gain: factor per step, ``10 ** slope``; NaN where nothing can be fitted.
        fit: share of the variance of the logarithm that the line explains.
    """

    gain: float
    fit: float


def fit_decay(curve: np.ndarray) -> Decay:
    """The exponential decay of a curve over lags 0 to K, fitted from lag 1 on, where it is above 0.

    Example:
        >>> fit_decay(np.array([7.0, 4.0, 2.0, 1.0])).gain
        0.5
    """
    lags = np.flatnonzero(curve[1:] > 0) + 1
    if len(lags) < 2:
        return Decay(float("nan"), float("nan"))
    logs = np.log10(curve[lags])
    x, y = lags - lags.mean(), logs - logs.mean()
    slope, spread = x @ y / (x @ x), y @ y
    fit = 1.0 if spread < 1e-12 else 1 - ((y - slope * x) ** 2).sum() / spread
    return Decay(float(np.round(10**slope, 12)), float(fit))


def reach_of(curve: np.ndarray) -> int:
    """The greatest lag where a curve is still at ``SHARE_LEFT`` of its largest value; 0 for zeros."""
    above = np.flatnonzero(curve >= SHARE_LEFT * curve.max())
    return int(above[-1]) if curve.max() > 0 else 0


def half_life(gain: float) -> float:
    """Steps in which something that shrinks by ``gain`` per step halves; infinite when it does not shrink."""
    return float(np.log(0.5) / np.log(gain)) if 0 < gain < 1 else float("inf")
