"""Forecast metrics against hand-computed values, closed forms and scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from hiddenstate.errors import OptionError, ShapeError
from hiddenstate.tasks import metrics

RNG = np.random.default_rng(7)
Y, F = RNG.normal(size=(20, 3)), RNG.normal(size=(20, 3))


def test_point_errors_equal_sklearn():
    assert metrics.mae(Y, F) == pytest.approx(sk.mean_absolute_error(Y, F), rel=1e-12)
    assert metrics.mse(Y, F) == pytest.approx(sk.mean_squared_error(Y, F), rel=1e-12)
    assert metrics.rmse(Y, F) == pytest.approx(math.sqrt(sk.mean_squared_error(Y, F)), rel=1e-12)
    for level in (0.1, 0.5, 0.9):
        wanted = sk.mean_pinball_loss(Y, F, alpha=level)
        assert metrics.pinball(Y, F, level=level) == pytest.approx(wanted, rel=1e-12)


def test_hand_computed_values():
    assert metrics.smape([100.0, 0.0, 0.0], [50.0, 0.0, 1.0]) == pytest.approx((200 * 50 / 150 + 0 + 200) / 3)
    assert metrics.seasonal_scale([1, 2, 4, 7, 11], 1) == pytest.approx((1 + 2 + 3 + 4) / 4)
    assert metrics.seasonal_scale([1, 2, 4, 7, 11], 2) == pytest.approx((3 + 5 + 7) / 3)
    assert metrics.seasonal_scale([1, 2, 4], 12) == pytest.approx(1.5)
    assert metrics.mase([1.0, 3.0], [2.0, 5.0], scale=3.0) == pytest.approx(0.5)
    assert metrics.coverage([1, 2, 3, 4], [0, 2, 4, 0], [2, 2, 5, 3]) == 0.5
    assert metrics.interval_score([5.0, 0.0], [1.0, 1.0], [3.0, 3.0], share=0.8) == pytest.approx(
        (2 + 10 * 2 + 2 + 10 * 1) / 2
    )


def test_missing_actual_values_are_left_out():
    y = Y.copy()
    y[3:7] = np.nan
    kept = np.r_[0:3, 7:20]
    assert metrics.mae(y, F) == pytest.approx(metrics.mae(Y[kept], F[kept]))
    assert metrics.coverage(y, F - 1, F + 1) == pytest.approx(
        metrics.coverage(Y[kept], F[kept] - 1, F[kept] + 1)
    )
    assert metrics.crps_normal(y, F, np.ones_like(F)) == pytest.approx(
        metrics.crps_normal(Y[kept], F[kept], np.ones_like(F[kept]))
    )
    assert math.isnan(metrics.mae([math.nan], [1.0]))
    assert math.isnan(metrics.mase([1.0], [1.0], scale=0.0))
    assert math.isnan(metrics.seasonal_scale([1.0], 4))


def test_the_four_ways_to_the_crps_agree():
    """Closed form of the normal, its quantiles, and the integral of (F - 1{x >= y})^2 on a fine grid."""
    from statistics import NormalDist

    mean, deviation, actual = 0.4, 1.7, 2.1
    closed = metrics.crps_normal(np.array(actual), np.array(mean), np.array(deviation))
    grid = np.linspace(-12, 14, 200_001)
    cdf = np.array([NormalDist(mean, deviation).cdf(x) for x in grid[::100]])
    integral = np.trapezoid((cdf - (grid[::100] >= actual)) ** 2, grid[::100])
    levels = (np.arange(2000) + 0.5) / 2000
    quantiles = np.array([NormalDist(mean, deviation).inv_cdf(q) for q in levels])
    assert closed == pytest.approx(integral, abs=2e-3)
    assert metrics.crps_quantiles(np.array(actual), quantiles, list(levels)) == pytest.approx(
        closed, abs=2e-3
    )
    assert metrics.crps_samples(np.array(actual), quantiles) == pytest.approx(closed, abs=2e-3)


@given(st.integers(1, 8), st.integers(0, 1000))
def test_sample_crps_equals_the_double_sum(n, seed):
    rng = np.random.default_rng(seed)
    draws, y = rng.normal(size=n), rng.normal()
    wanted = np.abs(draws - y).mean() - np.abs(draws[:, None] - draws[None]).mean() / 2
    assert metrics.crps_samples(np.array(y), draws) == pytest.approx(wanted, abs=1e-12)


def test_misuse_is_named():
    with pytest.raises(ShapeError, match="differ in shape"):
        metrics.mae([1.0, 2.0], [1.0])
    with pytest.raises(OptionError, match="between 0 and 1"):
        metrics.pinball([1.0], [1.0], level=1.0)
    with pytest.raises(ShapeError, match="one quantile a level"):
        metrics.crps_quantiles(np.zeros(3), np.zeros((3, 2)), [0.5])
    with pytest.raises(ShapeError, match="one more axis"):
        metrics.crps_samples(np.zeros(3), np.zeros((2, 5)))
