"""What numpy does not have: incomplete beta, quantiles of Student's t and the negative binomial.

Every result depends on its own arguments alone, never on what else is in the array, so that a forecast is
the same bits alone and in a batch.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

_lgamma = np.vectorize(math.lgamma, otypes=[float])
_TINY = 1e-300
_GRID = 8192
_LOOP_BELOW = 600.0
"""Means up to here are summed term by term; the first term, at least exp(-600), does not underflow."""


def betainc(a: ArrayLike, b: ArrayLike, x: ArrayLike) -> np.ndarray:
    """Regularised incomplete beta function ``I_x(a, b)``, ``a, b > 0``, ``0 <= x <= 1``, to about 1e-12.

    Source: the continued fraction of Abramowitz and Stegun 26.5.8, evaluated by Lentz's method.
    """
    a, b, x = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (a, b, x)))
    flip = x > (a + 1) / (a + b + 2)  # the fraction converges fast on this side of the mean
    a, b, x = np.where(flip, b, a), np.where(flip, a, b), np.where(flip, 1 - x, x)
    with np.errstate(divide="ignore"):
        front = np.exp(a * np.log(x) + b * np.log1p(-x) + _lgamma(a + b) - _lgamma(a) - _lgamma(b)) / a
    part = np.clip(front * _fraction(a, b, x), 0.0, 1.0)
    return np.where(flip, 1 - part, part)


def _fraction(a: np.ndarray, b: np.ndarray, x: np.ndarray) -> np.ndarray:
    """``1 / (1 + d_1 / (1 + d_2 / (1 + ...)))``, each element until its own factor is 1."""
    c = np.ones_like(x)
    d = 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    value, done = d.copy(), np.zeros(x.shape, bool)
    for m in range(1, 2000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        factor = np.ones_like(x)
        for term in (even, odd):
            d = 1 / _away_from_zero(1 + term * d)
            c = _away_from_zero(1 + term / c)
            factor = factor * c * d
        value = np.where(done, value, value * factor)
        done |= np.abs(factor - 1) < 1e-15
        if done.all():
            break
    return value


def _away_from_zero(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < _TINY, _TINY, x)


def student_t_quantile(level: float, freedom: np.ndarray) -> np.ndarray:
    """Quantile of Student's t distribution with ``freedom >= 2`` degrees of freedom, to about 1e-7.

    Interpolated in a table over ``1 / freedom`` that is computed once per level.

    Example:
        >>> float(student_t_quantile(0.975, np.array(10.0)).round(4))
        2.2281
    """
    table = _student_t_table(level)
    place = np.asarray(2.0 / freedom) * _GRID
    left = np.clip(place.astype(np.int64), 0, _GRID - 1)
    share = place - left
    return table[left] * (1 - share) + table[left + 1] * share


@lru_cache(maxsize=64)
def _student_t_table(level: float) -> np.ndarray:
    """Quantiles for ``2 / freedom`` = 0 (the normal distribution), 1/GRID, ..., 1, by bisection."""
    from statistics import NormalDist

    freedom = 2 * _GRID / np.arange(1, _GRID + 1)
    tail = 2 * min(level, 1 - level)
    low, high = np.zeros(_GRID), np.ones(_GRID)
    for _ in range(60):
        middle = (low + high) / 2
        below = (
            betainc(0.5, freedom / 2, middle) < 1 - tail
        )  # share of |t| with t^2 / (freedom + t^2) < middle
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    size = np.sqrt(freedom * low / (1 - low))
    sign = 1.0 if level >= 0.5 else -1.0
    return np.concatenate([[NormalDist().inv_cdf(level)], sign * size])


def negative_binomial_quantile(level: float, mean: np.ndarray, dispersion: np.ndarray) -> np.ndarray:
    """Smallest count that a share ``level`` lies at or below; variance ``mean + dispersion mean^2``.

    Args:
        level: inside (0, 1).
        mean: above 0.
        dispersion: above 0.
    """
    mean, dispersion = np.broadcast_arrays(np.asarray(mean, np.float64), np.asarray(dispersion, np.float64))
    small = mean <= _LOOP_BELOW
    result = np.empty(mean.shape)
    if small.any():
        result[small] = _by_summing(level, mean[small], dispersion[small])
    if not small.all():
        result[~small] = _by_bisection(level, mean[~small], dispersion[~small])
    return result


def _by_summing(level: float, mean: np.ndarray, dispersion: np.ndarray) -> np.ndarray:
    size = 1 / dispersion
    ratio = mean / (mean + size)
    term = np.exp(-size * np.log1p(mean / size))
    total, count, k = term.copy(), np.zeros(mean.shape), 0
    below = total < level
    while below.any():
        term = term * ratio * (k + size) / (k + 1)
        k += 1
        count = np.where(below, k, count)
        total = total + term
        below &= (total < level) & (
            (term > 0) | (k < mean)
        )  # rounding may keep the total just under the level
    return count


def _by_bisection(level: float, mean: np.ndarray, dispersion: np.ndarray) -> np.ndarray:
    size = 1 / dispersion
    low, high = np.full(mean.shape, -1.0), np.ceil(mean + 60 * np.sqrt(mean + dispersion * mean**2))
    while (high - low > 1).any():
        middle = np.floor((low + high) / 2)
        enough = betainc(size, np.maximum(middle, 0) + 1, size / (size + mean)) >= level
        open_ = high - low > 1
        high = np.where(open_ & enough, middle, high)
        low = np.where(open_ & ~enough, middle, low)
    return high
