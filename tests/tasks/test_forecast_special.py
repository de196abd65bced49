"""Special functions of the forecast distributions against scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special as scipy_special
from scipy import stats

from hiddenstate.tasks.forecast.special import betainc, negative_binomial_quantile, student_t_quantile


@given(st.floats(0.05, 500), st.floats(0.05, 500), st.floats(0, 1))
def test_incomplete_beta_equals_scipy(a, b, x):
    assert float(betainc(a, b, x)) == pytest.approx(scipy_special.betainc(a, b, x), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("level", [0.01, 0.1, 0.5, 0.9, 0.975])
def test_student_quantiles_equal_scipy(level):
    freedom = np.array([2.0, 2.1, 3.0, 5.5, 30.0, 1e3, 1e9])
    np.testing.assert_allclose(
        student_t_quantile(level, freedom), stats.t.ppf(level, freedom), rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize("level", [0.05, 0.5, 0.9, 0.99])
def test_count_quantiles_equal_scipy(level):
    mean, dispersion = (
        grid.ravel() for grid in np.meshgrid([0.01, 0.7, 5.0, 400.0, 900.0, 2e4], [0.01, 0.4, 3.0])
    )
    size = 1 / dispersion
    wanted = stats.nbinom.ppf(level, size, size / (size + mean))
    np.testing.assert_array_equal(negative_binomial_quantile(level, mean, dispersion), wanted)


def test_a_result_does_not_depend_on_its_neighbours():
    rng = np.random.default_rng(0)
    mean, dispersion = rng.gamma(1, 400, 50), rng.gamma(1, 1, 50)
    freedom = 2 + rng.gamma(1, 5, 50)
    whole = negative_binomial_quantile(0.9, mean, dispersion), student_t_quantile(0.9, freedom)
    for i in range(50):
        one = slice(i, i + 1)
        assert negative_binomial_quantile(0.9, mean[one], dispersion[one])[0] == whole[0][i]
        assert student_t_quantile(0.9, freedom[one])[0] == whole[1][i]
