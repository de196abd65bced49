"""Units whose drift, death and dimension are known."""

import numpy as np
import pytest

from hiddenstate import lens
from hiddenstate.bundle import Bundle
from hiddenstate.errors import DataError
from hiddenstate.lens.examples import counter, decaying, linear, shift_register
from hiddenstate.spec import Input, ModelSpec, Recurrent


def test_a_counter_drifts_and_a_leaky_one_settles():
    made = lens.norm_drift(counter(size=4), [np.ones(200), np.ones(120)], beyond=50)
    assert made.slope_c == pytest.approx(2 * np.tanh(0.01), rel=1e-4)  # four equal units: length 2
    np.testing.assert_allclose(made.c, 2 * np.tanh(0.01) * (made.step + 1), rtol=1e-4)
    assert made.interval.of == "slope_c"
    assert "grows" in made.sentence()
    settled = lens.norm_drift(decaying(0.5), [np.ones(200)], beyond=50)
    assert settled.slope_h == pytest.approx(0, abs=1e-6)
    assert np.isnan(settled.slope_c)
    assert "keeps its size" in settled.sentence()


def test_jumps_of_the_norm():
    model = linear(np.zeros((1, 1)), np.ones((1, 1)), np.ones((1, 1)))
    assert lens.norm_drift(model, [np.array([1.0, 3.0, 2.0])]).jumps == pytest.approx((4 + 1) / 2)
    with pytest.raises(DataError, match="goes beyond"):
        lens.norm_drift(model, [np.ones(10)], beyond=9)


def test_still_and_stuck_units_are_dead():
    spec = ModelSpec((Input("x"),), (Recurrent("rnn", "x", "rnn", 4),))
    params = {name: np.zeros(shape, np.float32) for name, shape in spec.param_shapes().items()}
    params["rnn.weight_ih_l0"][:, 0] = [1, 1, 0, 1]
    params["rnn.bias_ih_l0"][3] = 30  # stuck at 1
    data = [np.random.default_rng(i).normal(size=50) for i in range(5)]
    made = lens.dead_units(Bundle(spec, params), data)
    assert made.dead.tolist() == [2, 3]
    assert made.share == 0.5
    np.testing.assert_allclose(made.score, [2, 2, 0, 0], atol=1e-3)


@pytest.mark.parametrize("size", [1, 5])
def test_independent_numbers_are_dimensions(size):
    data = [np.random.default_rng(i).random(250) for i in range(40)]
    made = lens.used_dimension(shift_register(size), data)
    assert made.dimension == pytest.approx(size, rel=0.02)
    assert made.components == size
    np.testing.assert_allclose(made.variance, 1 / size, rtol=0.1)
    assert made.interval.low <= made.dimension <= made.interval.high + 0.02


def test_equal_units_are_one_dimension_and_a_still_state_has_none():
    made = lens.used_dimension(decaying(0.5, size=6), [np.random.default_rng(0).random(50)])
    assert (made.dimension, made.components, made.units) == (pytest.approx(1), 1, 6)
    with pytest.raises(DataError, match="does not move"):
        lens.used_dimension(decaying(0.5), [np.zeros(9)])


def test_the_participation_ratio_of_unequal_variances():
    model = linear(np.zeros((2, 2)), np.diag([1.0, 0.5]), np.ones((1, 2)))
    data = [np.random.default_rng(i).random((250, 2)) for i in range(40)]
    made = lens.used_dimension(model, data)
    assert made.dimension == pytest.approx(1.25**2 / (1 + 0.0625), rel=0.02)
