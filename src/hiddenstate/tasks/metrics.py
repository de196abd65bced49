"""How good a forecast is: point errors, quantile and interval scores, and the CRPS.

Every function leaves out pairs whose actual value is missing (NaN) and gives NaN when none is left.
Forecasts and actual values are arrays of one shape; the mean runs over all of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hiddenstate.errors import OptionError, ShapeError


def mae(actual: np.ndarray, forecast: np.ndarray) -> float:
    """Mean absolute error.

    Example:
        >>> mae([1.0, 2.0, float("nan")], [2.0, 2.0, 2.0])
        0.5
    """
    return _mean(np.abs(_error(actual, forecast)))


def mse(actual: np.ndarray, forecast: np.ndarray) -> float:
    """Mean squared error."""
    return _mean(_error(actual, forecast) ** 2)


def rmse(actual: np.ndarray, forecast: np.ndarray) -> float:
    """Root of the mean squared error."""
    return math.sqrt(mse(actual, forecast))


def smape(actual: np.ndarray, forecast: np.ndarray) -> float:
    """Symmetric mean absolute percentage error, ``200 |y - f| / (|y| + |f|)``; 0 where both are 0.

    Source: Makridakis et al. 2020, the M4 competition.
    """
    return _mean(absolute_percentage(actual, forecast))


def mase(actual: np.ndarray, forecast: np.ndarray, *, scale: float) -> float:
    """Mean absolute scaled error: ``mae / scale``; below 1 beats the seasonal naive forecast one step ahead.

    Args:
        actual: actual values.
        forecast: forecasts, same shape.
        scale: ``seasonal_scale`` of the training part of the series.

    Source: Hyndman and Koehler 2006, Another look at measures of forecast accuracy.
    """
    return mae(actual, forecast) / scale if scale > 0 else math.nan


def seasonal_scale(history: np.ndarray, season: int = 1) -> float:
    """Mean of ``|y_t - y_{t-season}|`` over a series ``[N]``; season 1 when it is too short for its own.

    NaN when no two values can be compared.
    """
    y = np.asarray(history, np.float64)
    lag = season if len(y) > season else 1
    return _mean(np.abs(y[lag:] - y[:-lag]))


def absolute_percentage(actual: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    """The single terms of ``smape``, same shape as the arguments, NaN where the actual value is missing."""
    error = _error(actual, forecast)
    total = np.abs(actual) + np.abs(forecast)
    return 200 * np.abs(error) / np.where(total == 0, 1.0, total)


def pinball(actual: np.ndarray, forecast: np.ndarray, *, level: float) -> float:
    """Quantile loss ``max(q (y - f), (q - 1) (y - f))`` of the forecasts of quantile ``level``.

    Source: Koenker and Bassett 1978, Regression quantiles.

    Raises:
        OptionError: when ``level`` is not inside (0, 1).
    """
    _check_level(level)
    error = _error(actual, forecast)
    return _mean(np.maximum(level * error, (level - 1) * error))


def coverage(actual: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """Share of actual values inside ``[low, high]``."""
    inside = (_error(actual, low) >= 0) & (_error(actual, high) <= 0)
    return _mean(np.where(np.isnan(actual), np.nan, inside))


def interval_score(actual: np.ndarray, low: np.ndarray, high: np.ndarray, *, share: float) -> float:
    """Width of an interval for a ``share`` of the values, plus ``2 / (1 - share)`` times the misses.

    Source: Gneiting and Raftery 2007, Strictly proper scoring rules, equation 43.

    Raises:
        OptionError: when ``share`` is not inside (0, 1).
    """
    _check_level(share)
    below, above = np.maximum(-_error(actual, low), 0), np.maximum(_error(actual, high), 0)
    return _mean(np.asarray(high) - np.asarray(low) + 2 / (1 - share) * (below + above))


def crps_quantiles(actual: np.ndarray, quantiles: np.ndarray, levels: Sequence[float]) -> float:
    """Continuous ranked probability score from quantiles: twice the mean pinball loss.

    Exact in the limit of many evenly spread levels ``(i - 1/2) / n``; a few levels weigh those alone.

    Args:
        actual: ``[...]``.
        quantiles: ``[..., len(levels)]``.
        levels: inside (0, 1).
    """
    quantiles = np.asarray(quantiles)
    if quantiles.shape[-1] != len(levels):
        raise ShapeError("one quantile a level is needed", expected=len(levels), got=quantiles.shape[-1])
    losses = [pinball(actual, quantiles[..., i], level=level) for i, level in enumerate(levels)]
    return 2 * float(np.mean(losses))


def crps_samples(actual: np.ndarray, samples: np.ndarray) -> float:
    """Continuous ranked probability score of sample forecasts: ``E|X - y| - E|X - X'| / 2`` over the samples.

    Args:
        actual: ``[...]``.
        samples: ``[..., n]``, n draws each.
    """
    actual, draws = np.asarray(actual, np.float64), np.sort(np.asarray(samples, np.float64), axis=-1)
    if draws.shape[:-1] != actual.shape:
        raise ShapeError(
            "samples need one more axis than the values", expected=actual.shape, got=draws.shape[:-1]
        )
    n = draws.shape[-1]
    weights = (2 * np.arange(1, n + 1) - n - 1) / n**2  # sum of |x_i - x_j| over pairs, from the sorted draws
    return _mean(np.abs(draws - actual[..., None]).mean(axis=-1) - draws @ weights)


def crps_normal(actual: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> float:
    """Continuous ranked probability score of normal forecasts: ``s (z (2 F(z) - 1) + 2 f(z) - 1/sqrt(pi))``.

    Source: Gneiting and Raftery 2007, equation 21.
    """
    z = _error(actual, mean) / deviation
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    twice = np.vectorize(math.erf, otypes=[float])(z / math.sqrt(2))
    return _mean(deviation * (z * twice + 2 * density - 1 / math.sqrt(math.pi)))


def _error(actual: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    actual, forecast = np.asarray(actual, np.float64), np.asarray(forecast, np.float64)
    if actual.shape != forecast.shape:
        raise ShapeError(
            "actual values and forecasts differ in shape", expected=actual.shape, got=forecast.shape
        )
    return actual - forecast


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise OptionError(
            "a share or quantile level lies between 0 and 1", expected="0 < level < 1", got=level
        )
