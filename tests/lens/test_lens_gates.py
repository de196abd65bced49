"""Gates and saturation of networks whose gates are known."""

import numpy as np
import pytest

from hiddenstate import lens
from hiddenstate.bundle import Bundle
from hiddenstate.errors import OptionError
from hiddenstate.lens.examples import counter, decaying
from hiddenstate.spec import Input, ModelSpec, Recurrent
from random_models import CLASSIFIER, bundle_of


def logit(p):
    return np.log(p / (1 - p))


def lstm(i, f, o):
    """Gates as given whatever comes in, one list entry per unit."""
    spec = ModelSpec((Input("x"),), (Recurrent("rnn", "x", "lstm", len(f)),))
    params = {name: np.zeros(shape, np.float32) for name, shape in spec.param_shapes().items()}
    params["rnn.bias_ih_l0"] = np.concatenate(
        [logit(np.array(part)) for part in (i, f, np.full(len(f), 0.5), o)]
    )
    return Bundle(spec, {name: value.astype(np.float32) for name, value in params.items()})


DATA = [np.ones((7, 1)), np.ones((4, 1))]


def test_shares_of_gates_held_by_their_biases():
    made = lens.gate_saturation(lstm([0.05, 0.5], [0.95, 0.5], [0.2, 0.8]), DATA)
    assert made.gate == ("i", "f", "o")
    np.testing.assert_array_equal(made.shut, [[1, 0], [0, 0], [0, 0]])
    np.testing.assert_array_equal(made.open, [[0, 0], [1, 0], [0, 0]])
    np.testing.assert_allclose(made.openness, [[0.05, 0.5], [0.95, 0.5], [0.2, 0.8]], rtol=1e-6)
    np.testing.assert_allclose(made.mean_openness, [0.275, 0.725, 0.5], rtol=1e-6)
    np.testing.assert_allclose(made.interval.low, made.mean_openness)


def test_a_gate_that_follows_the_input_is_counted_by_steps_not_by_sequences():
    spec = ModelSpec((Input("x"),), (Recurrent("rnn", "x", "gru", 1),))
    params = {name: np.zeros(shape, np.float32) for name, shape in spec.param_shapes().items()}
    params["rnn.weight_ih_l0"][1] = 30  # z
    made = lens.gate_saturation(Bundle(spec, params), [np.ones((9, 1)), -np.ones((1, 1))])
    assert made.gate == ("r", "z")
    np.testing.assert_allclose(made.open[:, 0], [0, 0.9])
    np.testing.assert_allclose(made.shut[:, 0], [0, 0.1])
    assert made.interval.low[1] == pytest.approx(0, abs=1e-6)


def test_time_constants_of_gates_held_by_their_biases():
    made = lens.gate_time_constants(lstm([0.5] * 3, [0.9, 0.99, 0.5], [0.5] * 3), DATA)
    wanted = -1 / np.log([0.9, 0.99, 0.5])
    np.testing.assert_allclose(made.steps, wanted, rtol=1e-4)
    np.testing.assert_allclose(made.from_bias, wanted, rtol=1e-4)
    assert made.median == pytest.approx(wanted[0], rel=1e-4)
    assert lens.gate_time_constants(counter(), DATA).median == np.inf
    assert (
        "z"
        == lens.gate_time_constants(
            bundle_of(ModelSpec((Input("x"),), (Recurrent("rnn", "x", "gru", 2),))), DATA
        ).gate
    )


def test_the_time_constant_is_the_geometric_mean_over_steps():
    spec = ModelSpec((Input("x"),), (Recurrent("rnn", "x", "gru", 1, bias=False),))
    params = {name: np.zeros(shape, np.float32) for name, shape in spec.param_shapes().items()}
    params["rnn.weight_ih_l0"][1] = 1  # z = sigmoid(x)
    x = np.array([0.5, -1.0, 2.0])
    made = lens.gate_time_constants(Bundle(spec, params), [x])
    assert made.median == pytest.approx(3 / np.log1p(np.exp(-x)).sum(), rel=1e-5)
    assert made.from_bias[0] == pytest.approx(1 / np.log(2))


def test_saturated_states():
    spec = ModelSpec((Input("x"),), (Recurrent("rnn", "x", "rnn", 2, bias=False),))
    params = {
        "rnn.weight_ih_l0": np.array([[9.0], [0.1]], np.float32),
        "rnn.weight_hh_l0": np.zeros((2, 2), np.float32),
    }
    made = lens.state_saturation(Bundle(spec, params), [np.array([1.0, -1.0, 1.0]), np.array([0.0])])
    np.testing.assert_allclose(made.saturated, [0.75, 0])
    assert made.share == pytest.approx(0.375)
    with pytest.raises(OptionError, match="no bounds"):
        lens.state_saturation(decaying(0.5), DATA)


@pytest.mark.parametrize("measure", [lens.gate_saturation, lens.gate_time_constants])
def test_a_model_without_gates_is_refused(measure):
    with pytest.raises(OptionError, match=r"no gates.*gru"):
        measure(bundle_of(CLASSIFIER), [np.ones((4, 3))])
