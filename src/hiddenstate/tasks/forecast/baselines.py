"""Forecasts that need no training; a network that is no better than these has learned nothing.

All forecast from many origins of one series at once. An origin is the row number of the last value that is
known.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def forward_filled(values: np.ndarray, *, start: float = np.nan) -> np.ndarray:
    """Each missing value replaced by the last one before it, ``start`` where there is none; axis 0 is time.

    Example:
        >>> forward_filled(np.array([np.nan, 2.0, np.nan])).tolist()
        [nan, 2.0, 2.0]
    """
    if not len(values):
        return values
    shape = (len(values),) + (1,) * (values.ndim - 1)
    seen = np.where(np.isnan(values), 0, np.arange(1, len(values) + 1).reshape(shape))
    place = np.maximum.accumulate(seen, axis=0)
    filled = np.take_along_axis(values, np.maximum(place - 1, 0), axis=0)
    return np.where(place > 0, filled, start)


def last_value(values: np.ndarray, origins: np.ndarray, horizon: int, season: int) -> np.ndarray:
    """The last known value, at every step ahead.

    Args:
        values: one series ``[N]``, NaN where missing.
        origins: row numbers ``[O]``.
        horizon: steps ahead, H.
        season: cycle length in steps (used by ``seasonal``).

    Returns:
        Forecasts ``[O, H]``, NaN before the first known value.
    """
    return np.repeat(forward_filled(values)[origins][:, None], horizon, axis=1)


def seasonal(values: np.ndarray, origins: np.ndarray, horizon: int, season: int) -> np.ndarray:
    """The value of the same phase in the last known cycle; the last known value before there is a cycle."""
    filled = forward_filled(values)
    steps = np.arange(1, horizon + 1)
    back = steps - season * -(-steps // season)
    rows = origins[:, None] + back[None]
    cycle = np.where(rows >= 0, filled[np.maximum(rows, 0)], np.nan)
    return np.where(np.isnan(cycle), filled[origins][:, None], cycle)


def mean(values: np.ndarray, origins: np.ndarray, horizon: int, season: int) -> np.ndarray:
    """The mean of all values up to the origin."""
    known = ~np.isnan(values)
    count = np.cumsum(known)
    with np.errstate(invalid="ignore"):
        average = np.cumsum(np.where(known, values, 0.0)) / np.where(count > 0, count, np.nan)
    return np.repeat(average[origins][:, None], horizon, axis=1)


def drift(values: np.ndarray, origins: np.ndarray, horizon: int, season: int) -> np.ndarray:
    """The straight line from the first known value to the last, carried on."""
    filled = forward_filled(values)
    known = np.flatnonzero(~np.isnan(values))
    if not known.size:
        return np.full((len(origins), horizon), np.nan)
    slope = (filled[origins] - values[known[0]]) / np.maximum(origins - known[0], 1)
    return filled[origins][:, None] + slope[:, None] * np.arange(1, horizon + 1)


BASELINES: dict[str, Callable[[np.ndarray, np.ndarray, int, int], np.ndarray]] = {
    "last value": last_value,
    "seasonal naive": seasonal,
    "mean": mean,
    "drift": drift,
}
"""Name -> forecasts of one series from many origins."""
