"""Lyapunov exponents of networks whose spectrum is known, and states where networks stand still."""

import json

import numpy as np
import pytest

from hiddenstate.bundle import Bundle
from hiddenstate.errors import DataError, OptionError
from hiddenstate.lens.dynamics import lyapunov_spectrum
from hiddenstate.lens.examples import counter, decaying, linear
from hiddenstate.lens.fixed_points import fixed_points
from hiddenstate.spec import Embed, Input, ModelSpec, Recurrent


def plain(weight, inputs):
    """A tanh network without biases."""
    spec = ModelSpec((Input("x"),), (Recurrent("rnn", "x", "rnn", len(weight), bias=False),))
    weights = {"rnn.weight_ih_l0": inputs, "rnn.weight_hh_l0": weight}
    return Bundle(spec, {name: np.asarray(value, np.float32) for name, value in weights.items()})


def test_exponents_of_a_linear_network_are_the_logarithms_of_its_eigenvalues():
    weight = np.array([[0.5, 0.25, 0.1], [0.0, 0.75, 0.25], [0.0, 0.0, 0.125]])
    model = linear(weight, np.ones((3, 1)), np.ones((1, 3)))
    made = lyapunov_spectrum(model, [np.ones(300), np.ones(200)], burn_in=100)
    np.testing.assert_allclose(made.exponent, np.log([0.75, 0.5, 0.125]), atol=1e-8)
    assert made.sum == pytest.approx(np.log(abs(np.linalg.det(weight))))
    assert made.forgetting_steps == pytest.approx(-1 / np.log(0.75))
    assert made.steps == 300
    assert not made.chaotic
    assert "fade to 1/e in 3.48 steps" in made.sentence()


def test_a_kept_sum_has_exponent_zero_and_a_lost_direction_minus_infinity():
    made = lyapunov_spectrum(counter(), [np.zeros(40)], burn_in=5)
    assert made.exponent[0] == pytest.approx(0, abs=1e-9)
    assert made.exponent[1] < -30  # h is read from c alone; what is left is rounding
    assert "kept for as long" in made.sentence()
    made = lyapunov_spectrum(linear([[0.5, 0], [0, 0]], [[1], [1]], [[1, 1]]), [np.ones(40)], burn_in=5)
    assert np.isneginf(made.exponent[1])
    assert json.loads(json.dumps(made.to_json(), allow_nan=False))["exponent"][1] is None


def test_strong_random_weights_are_chaotic_and_count_takes_the_largest():
    weight = 4 * np.random.default_rng(0).normal(size=(30, 30)) / np.sqrt(30)
    model = plain(weight, np.full((30, 1), 0.1))
    made = lyapunov_spectrum(model, [np.random.default_rng(1).normal(size=(120, 1))], count=3)
    assert made.chaotic
    assert made.exponent.shape == (3,)
    assert "chaotic" in made.sentence()
    assert (np.diff(made.exponent) <= 0).all()


def test_sequences_must_outlast_the_burn_in():
    with pytest.raises(DataError, match="shorter than the burn-in"):
        lyapunov_spectrum(decaying(0.5), [np.ones(20)], burn_in=20)


def test_fixed_point_of_a_linear_network():
    weight = np.array([[0.5, 0.25], [0.0, 0.75]])
    made = fixed_points(linear(weight, np.ones((2, 1)), np.ones((1, 2))), [np.ones(30)], inputs={"x": [2.0]})
    np.testing.assert_allclose(made.state, [np.linalg.solve(np.eye(2) - weight, [2.0, 2.0])], atol=1e-6)
    np.testing.assert_allclose(made.eigenvalue_real, [[0.75, 0.5]])
    assert made.stability == ("attractor",)
    assert made.time_constant[0] == pytest.approx(-1 / np.log(0.75))
    assert made.visits.tolist() == [30]


def test_two_attractors_and_what_lies_between():
    model = plain([[3.0, 0.0], [0.0, 0.5]], [[4.0], [0.0]])
    made = fixed_points(model, [x * np.ones(5) for x in (-1, 1e-3, 1)], inputs={"x": [0]})
    settled = 1.0
    for _ in range(50):
        settled = np.tanh(3 * settled)
    by_place = sorted(zip(made.state[:, 0].tolist(), made.stability, strict=True))
    assert [place for place, _ in by_place] == pytest.approx([-settled, 0, settled], abs=1e-6)
    assert [kind for _, kind in by_place] == ["attractor", "saddle", "attractor"]
    assert made.unstable.sum() == 1
    assert "2 attractor, 1 saddle" in made.sentence()
    json.dumps(made.to_json(), allow_nan=False)


def test_a_counter_stands_still_anywhere():
    made = fixed_points(counter(), [np.ones(12)], inputs={"x": [0.0]})
    assert set(made.stability) == {"marginal"}
    assert len(made.kind) >= 12
    assert np.isinf(made.time_constant).all() or (made.time_constant > 1e6).all()


def test_ids_are_held_too_and_other_inputs_refused():
    spec = ModelSpec(
        (Input("x", kind="ids", size=3),), (Embed("emb", "x", 1), Recurrent("rnn", "emb", "gru", 2))
    )
    rng = np.random.default_rng(0)
    model = Bundle(spec, {n: rng.normal(size=s).astype(np.float32) for n, s in spec.param_shapes().items()})
    text = [np.array([0, 1, 2, 1, 1])]
    commonest, given = fixed_points(model, text), fixed_points(model, text, inputs={"x": 1})
    assert np.array_equal(commonest.state, given.state)
    assert len(given.kind)
    with pytest.raises(OptionError, match="not the inputs of the model"):
        fixed_points(model, text, inputs={"y": 1})
    with pytest.raises(OptionError, match="not one step"):
        fixed_points(model, text, inputs={"x": [1]})
