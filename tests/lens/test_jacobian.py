"""Jacobians against weights, finite differences and known spectra."""

import numpy as np
import pytest

from hiddenstate.bundle import Bundle
from hiddenstate.errors import DataError, OptionError
from hiddenstate.lens.examples import decaying, linear
from hiddenstate.lens.jacobian import lag_gain, step_jacobians
from hiddenstate.lens.system import System
from hiddenstate.spec import Embed, Input, Linear, ModelSpec, Norm, Recurrent
from random_models import CELLS


def positive(weight):
    """A network that is linear on positive inputs."""
    return linear(weight, np.ones((len(weight), 1)), np.ones((1, len(weight))))


def random_bundle(cell, *, layers=2, ids=False):
    options = {key: value for key, value in vars(cell).items()}
    blocks = (
        Recurrent("a", "emb" if ids else "x", cell.name, 3, num_layers=layers, options=options),
        Linear("mid", "a", 4, activation="tanh"),
        Norm("norm", "mid"),
        Recurrent("b", "norm", cell.name, 2, learn_initial_state=True, options=options),
    )
    inputs = (Input("x", kind="ids", size=5),) if ids else (Input("x", size=2),)
    spec = ModelSpec(inputs, ((Embed("emb", "x", 2), *blocks) if ids else blocks))
    rng = np.random.default_rng(1)
    weights = {n: rng.normal(size=s).astype(np.float32) for n, s in spec.param_shapes().items()}
    return Bundle(spec, weights)


@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_jacobian_of_the_whole_stack_is_the_finite_difference(cell):
    system = System(random_bundle(cell))
    rng = np.random.default_rng(0)
    states, x = rng.normal(size=(3, system.size)), {"x": rng.normal(size=(3, 2))}
    exact = system.jacobians(states, x)
    step = 1e-6
    for unit in range(system.size):
        shift = np.zeros(system.size)
        shift[unit] = step
        wanted = (system.advance(states + shift, x)[1] - system.advance(states - shift, x)[1]) / (2 * step)
        np.testing.assert_allclose(exact[:, :, unit], wanted, atol=1e-7)


def test_products_are_products_of_jacobians():
    system = System(random_bundle(CELLS[-1], ids=True))
    one = system.probe.read([np.array([0, 3, 1, 4, 2])])[0]
    _, states = system.run([one])
    steps = system.jacobians(states[:-1, 0], {"x": one.inputs["x"]})
    wanted = np.eye(system.size)
    for lag, (product, log_scale) in enumerate(system.products(one, 5)):
        np.testing.assert_allclose(product * np.exp(log_scale), wanted, rtol=1e-9, atol=1e-12)
        wanted = wanted @ steps[4 - lag]


def test_states_follow_the_pass():
    system = System(random_bundle(CELLS[-1]))
    one = system.probe.read([np.random.default_rng(0).normal(size=(4, 2))])[0]
    _, states = system.run([one])
    for step in range(4):
        _, following = system.advance(states[step], {"x": one.inputs["x"][[step]].astype(float)})
        np.testing.assert_allclose(following, states[step + 1], atol=1e-14)
    assert len(system.names) == system.size
    assert system.names[-1] == "b_l0.c[1]"


def test_linear_network_has_the_spectrum_of_its_weights():
    weight = np.array([[0.5, 0.25], [0.0, 0.75]])
    found = step_jacobians(positive(weight), [np.ones((6, 1)), np.ones((9, 1))])
    values = np.linalg.svd(weight, compute_uv=False)
    np.testing.assert_allclose(found.spectral_radius, 0.75)
    np.testing.assert_allclose(found.sigma_max, values[0])
    np.testing.assert_allclose(found.condition, values[0] / values[1])
    assert found.recurrent_radius == {"rnn_l0.h": pytest.approx(0.75)}
    assert found.interval.low == pytest.approx(found.mean_sigma_max)
    assert "multiplies" in found.sentence()
    assert found.to_json()["size"] == 2


def test_gain_of_a_linear_network_is_the_power_of_its_weights():
    weight = np.array([[0.5, 0.25], [0.0, 0.75]])
    found = lag_gain(positive(weight), [np.ones((21, 1)), np.ones((25, 1))], max_lag=20)
    wanted = [np.linalg.norm(np.linalg.matrix_power(weight, lag), 2) for lag in range(21)]
    np.testing.assert_allclose(found.sigma_max, wanted)
    assert found.gain_per_step == pytest.approx(0.75, abs=0.01)
    assert "halves" in found.sentence()


def test_a_cell_sum_that_is_kept_has_gain_one():
    spec = ModelSpec((Input("x"),), (Recurrent("rnn", "x", "lstm", 1),))
    weights = {name: np.zeros(shape, np.float32) for name, shape in spec.param_shapes().items()}
    weights["rnn.bias_ih_l0"][:] = [-60, 60, 0, -60]  # forget gate 1, nothing written, nothing shown
    found = lag_gain(Bundle(spec, weights), [np.ones((101, 1))], max_lag=100)
    np.testing.assert_allclose(found.sigma_max, 1, atol=1e-12)
    assert found.gain_per_step == pytest.approx(1)


def test_quarter_to_the_eighth():
    found = lag_gain(decaying(0.25), [np.ones((9, 1))], max_lag=8)
    assert found.sigma_max[-1] == pytest.approx(0.25**8)


def test_progress_is_told_and_can_cancel():
    def stop(advance):
        raise KeyboardInterrupt(advance.what)

    seen = []
    lag_gain(decaying(0.5), [np.ones((9, 1))] * 3, max_lag=3, progress=seen.append)
    assert [(step.done, step.total) for step in seen] == [(1, 3), (2, 3), (3, 3)]
    with pytest.raises(KeyboardInterrupt, match="gain by lag"):
        lag_gain(decaying(0.5), [np.ones((9, 1))] * 3, max_lag=3, progress=stop)


def test_errors_say_what_to_do():
    with pytest.raises(DataError, match=r"shorter than the lag.*at least 6 steps"):
        lag_gain(decaying(0.5), [np.ones((5, 1))], max_lag=5)
    with pytest.raises(DataError, match=r"NaN|finite"):
        step_jacobians(decaying(0.5), [np.array([[1.0], [np.nan]])])
    with pytest.raises(OptionError, match="points"):
        step_jacobians(decaying(0.5), [np.ones((5, 1))], points=0)
    spec = ModelSpec((Input("x"),), (Recurrent("rnn", "x", "gru", 2, bidirectional=True),))
    weights = {name: np.zeros(shape, np.float32) for name, shape in spec.param_shapes().items()}
    with pytest.raises(OptionError, match="both ends"):
        step_jacobians(Bundle(spec, weights), [np.ones((5, 1))])
