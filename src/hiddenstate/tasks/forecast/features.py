"""From scaled values to what the network sees: levels, lags, masks; causal, the same bits however cut.

A batch is encoded in one block, a stream in blocks of one row; both run the same lines, and every sum over
time is taken step by step, so that the two give the same bits.

Arrays have axes ``[N, B, K]``: N rows in time order, B paths that share their time stamps (one, except where
sample paths are followed), K targets.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hiddenstate.errors import StateError

from .baselines import forward_filled
from .layout import Layout

_SMALLEST_UNIT = 1e-6
_KEPT = ("window", "past", "moments", "first")


class Seen(NamedTuple):
    """What one block of rows gives.

    Attributes:
        values: ``[N, B, K * len(layout.shown)]`` shown values, relative to the level, in units.
        missing: ``[N, B, M]`` 1 where a masked column has no value, else 0.
        past: ``[N, B, P]`` past columns, missing ones filled with the last known value.
        level: ``[N, B, K]`` what forecasts from each row are relative to.
        unit: ``[N, B, K]`` their scale.
    """

    values: np.ndarray
    missing: np.ndarray
    past: np.ndarray
    level: np.ndarray
    unit: np.ndarray


class Features:
    """Remembers what the next rows of one series need.

    A missing value is replaced by the last known one (by the mean of the training data before there is any),
    and a masked column also says so. A series whose scale was not learned in training (``known=False``) is
    measured in units of its own standard deviation so far.

    Args:
        layout: what is shown.
        known: whether the values are scaled by statistics of this very series.
        paths: B.
    """

    def __init__(self, layout: Layout, *, known: bool = True, paths: int = 1) -> None:
        self._layout, self._known = layout, known
        targets = len(layout.target)
        self._lags = np.array(layout.shown, np.int64)
        self._window = np.full((max(layout.lags, *layout.shown, 0) + 1, paths, targets), np.nan)
        self._past = np.zeros((1, len(layout.past)))
        self._moments = np.zeros(
            (3, paths, targets)
        )  # count, sum and sum of squares of what follows the first value
        self._first = np.full((1, paths, targets), np.nan)
        self._masks = [layout.target.index(name) for name in layout.masked if name in layout.target]
        self._past_masks = [layout.past.index(name) for name in layout.masked if name in layout.past]

    def encode(self, target: np.ndarray, past: np.ndarray) -> Seen:
        """The next rows.

        Args:
            target: scaled targets ``[N, B, K]``, NaN where missing.
            past: scaled past columns ``[N, P]``, NaN where missing.
        """
        rows = len(target)
        filled = forward_filled(np.concatenate([self._window[-1:], target]))[1:]
        series = np.concatenate([self._window, filled])
        level = self._level(series, rows)
        unit = self._unit(target)
        values = self._shown(series, rows)
        values = np.where(np.isnan(values), 0.0, (values - level[:, :, None]) / unit[:, :, None])
        known = forward_filled(np.concatenate([self._past, past]))
        masks = [np.isnan(target[:, :, self._masks])]
        masks.append(np.repeat(np.isnan(past[:, None, self._past_masks]), target.shape[1], axis=1))
        self._window = series[-len(self._window) :]
        self._past = known[-1:]
        return Seen(
            values=values.reshape(*target.shape[:2], len(self._lags) * target.shape[2]),
            missing=np.concatenate(masks, axis=2).astype(np.float64),
            past=np.repeat(known[1:, None], target.shape[1], axis=1),
            level=level,
            unit=unit,
        )

    def fork(self, paths: int) -> Features:
        """A copy of a single path, ``paths`` times side by side, to follow samples."""
        copy = Features(self._layout, known=self._known, paths=paths)
        copy._window = np.repeat(self._window, paths, axis=1)
        copy._moments = np.repeat(self._moments, paths, axis=1)
        copy._first = np.repeat(self._first, paths, axis=1)
        copy._past = self._past
        return copy

    def state(self) -> dict[str, Any]:
        """What it remembers, as plain lists (None for a value not yet known)."""
        return {name: plain_list(getattr(self, f"_{name}")) for name in _KEPT}

    def restore(self, state: dict[str, Any]) -> None:
        """Continues from what ``state`` gave.

        Raises:
            StateError: when it does not fit.
        """
        try:
            for name in _KEPT:
                like = getattr(self, f"_{name}")
                values = [np.nan if v is None else float(v) for v in state[name]]
                setattr(self, f"_{name}", np.array(values, np.float64).reshape(like.shape))
        except (KeyError, TypeError, ValueError) as error:
            raise StateError("the memory of a forecast does not fit this model", got=repr(error)) from error

    def _shown(self, series: np.ndarray, rows: int) -> np.ndarray:
        """The shown values of each new row, ``[N, B, L, K]``."""
        now = np.arange(len(series) - rows, len(series))
        return series[now[:, None] - self._lags].transpose(0, 2, 1, 3)

    def _back(self, series: np.ndarray, lag: int, rows: int) -> np.ndarray:
        """The value ``lag`` rows before each new row."""
        end = len(series) - lag
        return series[end - rows : end]

    def _level(self, series: np.ndarray, rows: int) -> np.ndarray:
        if self._layout.level == "none":
            return np.zeros((rows, *series.shape[1:]))
        if self._layout.level == "last":
            level = self._back(series, 0, rows)
            return np.where(np.isnan(level), 0.0, level)
        total = count = np.zeros((rows, *series.shape[1:]))
        for lag in range(self._layout.lags + 1):
            value = self._back(series, lag, rows)
            total = total + np.where(np.isnan(value), 0.0, value)
            count = count + ~np.isnan(value)
        return total / np.maximum(count, 1.0)

    def _unit(self, target: np.ndarray) -> np.ndarray:
        """The standard deviation of all values so far, 1 before there are two different ones."""
        if self._known:
            return np.ones(target.shape)
        first = np.where(np.isnan(self._first), _first_known(target), self._first)
        apart = np.where(np.isnan(target), 0.0, target - first)
        steps = np.stack([~np.isnan(target), apart, apart**2]).astype(np.float64)
        sums = np.cumsum(np.concatenate([self._moments[:, None], steps], axis=1), axis=1)
        self._first, self._moments = first, sums[:, -1]
        count, total, squares = sums[:, 1:]
        count = np.maximum(count, 1.0)
        variance = squares / count - (total / count) ** 2
        unit = np.sqrt(np.maximum(variance, 0.0))
        return np.where(unit > _SMALLEST_UNIT, unit, 1.0)


def _first_known(target: np.ndarray) -> np.ndarray:
    """The first value of each path that is not missing, ``[1, B, K]``; NaN where there is none."""
    if not len(target):
        return np.full((1, *target.shape[1:]), np.nan)
    place = np.argmax(~np.isnan(target), axis=0)
    return np.take_along_axis(target, place[None], axis=0)


def plain_list(array: np.ndarray) -> list[float | None]:
    """All numbers of an array as JSON knows them: None for NaN."""
    values = array.ravel().tolist()
    return [None if v != v else v for v in values] if np.isnan(array).any() else values
