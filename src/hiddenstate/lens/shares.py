"""Intervals of shares, and which of many findings to believe."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from .result import LEVEL, Interval

Z = NormalDist().inv_cdf(0.5 + LEVEL / 2)
"""Half the width of an interval in standard errors."""


def wilson(hits: int, count: int, *, of: str) -> Interval:
    """Interval of a share; of 20 out of 20 it still says that the next may fail.

    Source: Wilson, Probable inference, the law of succession, and statistical inference (1927).

    Example:
        >>> made = wilson(20, 20, of="fidelity")
        >>> round(float(made.low), 3), float(made.high)
        (0.839, 1.0)
    """
    share, spread = hits / count, Z * Z / count
    centre = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return Interval(np.asarray(max(centre - half, 0.0)), np.asarray(min(centre + half, 1.0)), count, of)


def two_sided(z: np.ndarray) -> np.ndarray:
    """Probability of so large a deviation, either way, of a normal variable: ``erfc(|z| / sqrt 2)``."""
    return np.vectorize(math.erfc, otypes=[float])(np.abs(z) / math.sqrt(2))


def discoveries(p: np.ndarray, *, rate: float = 0.05) -> np.ndarray:
    """Which of many tests to believe so that at most ``rate`` of those believed are false, on average.

    NaN is never believed.

    Source: Benjamini and Hochberg, Controlling the false discovery rate (1995).

    Example:
        >>> discoveries(np.array([0.001, 0.9, 0.02, 0.04])).tolist()
        [True, False, True, False]
    """
    flat = np.where(np.isnan(p), 1.0, p).ravel()
    order = np.argsort(flat, kind="stable")
    below = flat[order] <= rate * np.arange(1, flat.size + 1) / flat.size
    count = int(np.flatnonzero(below)[-1]) + 1 if below.any() else 0
    found = np.zeros(flat.size, bool)
    found[order[:count]] = True
    return found.reshape(p.shape)
