"""The cycle length of a series, seen from its values."""

from __future__ import annotations

import numpy as np

HEIGHT = 0.4
"""Autocorrelation that a cycle must reach after the first negative value."""


def detect_season(values: np.ndarray, *, longest: int = 400) -> int:
    """The cycle length of a series, from its autocorrelation around a straight trend; 1 when none stands out.

    The highest local peak after the first negative value is taken, if it is above ``HEIGHT``; of peaks about
    as high (multiples of a cycle), the first.

    Args:
        values: one series ``[N]``; missing values (NaN) are left out.
        longest: cycles up to here, and up to a third of the series, are looked for.

    Example:
        >>> detect_season(np.tile([1.0, 5.0, 2.0, 8.0, 3.0, 3.0], 30))
        6
    """
    y = values[~np.isnan(values)]
    top = min(longest, len(y) // 3)
    if top < 3 or not np.ptp(y):
        return 1
    t = np.linspace(-1, 1, len(y))
    y = y - y.mean()
    y = y - t * (t @ y) / (t @ t)
    correlation = np.fft.irfft(np.abs(np.fft.rfft(y, 2 * len(y))) ** 2)[: top + 2]
    correlation = correlation / correlation[0] * len(y) / (len(y) - np.arange(top + 2))
    negative = np.flatnonzero(correlation < 0)
    if not negative.size:
        return 1
    inner = correlation[1 : top + 1]
    peak = (inner > HEIGHT) & (inner >= correlation[:top]) & (inner >= correlation[2 : top + 2])
    peaks = 1 + np.flatnonzero(peak)
    peaks = peaks[peaks > negative[0]]
    if not peaks.size:
        return 1
    best = correlation[peaks].max()
    return int(peaks[correlation[peaks] > best - 0.1][0])
