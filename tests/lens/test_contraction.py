"""The certificate: never below what any state and input can do, and below 1 for networks known to forget."""

import json

import numpy as np
import pytest

from hiddenstate.bundle import Bundle
from hiddenstate.lens.contraction import bound_of, comparison_matrix, contraction, largest_input
from hiddenstate.lens.examples import decaying
from hiddenstate.lens.system import System
from hiddenstate.spec import Input, ModelSpec, Recurrent

CELLS = [("lstm", {}), ("lstm", {"proj_size": 2}), ("gru", {"reset": "after"}), ("gru", {"reset": "before"})]


def network(cell, *, scale, layers=1, **options):
    proj = options.pop("proj_size", 0)
    block = Recurrent("rnn", "x", cell, 3, num_layers=layers, proj_size=proj, options=options)
    spec = ModelSpec((Input("x", size=2),), (block,))
    rng = np.random.default_rng(3)
    weights = {n: scale * rng.normal(size=s).astype(np.float32) for n, s in spec.param_shapes().items()}
    return Bundle(spec, weights)


@pytest.mark.parametrize(("cell", "options"), CELLS)
def test_comparison_matrix_is_above_every_jacobian(cell, options):
    system = System(network(cell, scale=0.7, **options))
    layer = system.probe.layers[0]
    largest = np.array([0.5, 2.0])
    matrix = comparison_matrix(layer, largest)
    rng = np.random.default_rng(0)
    states = system.rest(200)
    for _ in range(6):  # wherever random inputs of that size can lead, and states at their largest too
        x = {"x": rng.choice([-1, 1], (200, 2)) * largest * rng.choice([1, 1, rng.random()], (200, 1))}
        found = np.abs(system.jacobians(states, x)).max(axis=0)
        assert (found <= matrix + 1e-12).all()
        states = system.advance(states, x)[1]


@pytest.mark.parametrize(("cell", "options"), [*CELLS, ("rnn", {})])
def test_small_weights_are_proved_to_contract_and_do(cell, options):
    made = contraction(network(cell, scale=0.05, layers=2, **options), [np.ones((9, 2)), -np.ones((5, 2))])
    assert made.verdict == "contracting"
    assert made.bound.shape == (2,)
    assert "Proved" in made.sentence()


def test_plain_network_takes_the_better_of_two_bounds():
    probe = System(decaying(0.5, size=3)).probe
    assert bound_of(probe.layers[0], np.ones(1)) == pytest.approx(0.5)


def test_expanding_and_undecided():
    assert contraction(decaying(1.5), [np.ones(9)]).verdict == "expanding"
    spec = ModelSpec((Input("x"),), (Recurrent("rnn", "x", "rnn", 1, bias=False),))
    saturated = Bundle(
        spec, {"rnn.weight_ih_l0": np.full((1, 1), 5, "f4"), "rnn.weight_hh_l0": np.full((1, 1), 3, "f4")}
    )
    made = contraction(saturated, [np.ones(9)])
    assert made.verdict == "undecided"
    assert made.bound.tolist() == [3]
    assert made.to_json()["interval"]["low"] == [None]


def test_inputs_are_those_of_the_layer():
    system = System(network("gru", scale=0.5, layers=2))
    made = system.probe.run(system.probe.read([np.array([[1.0, -3.0], [0.5, 2.0]])]))
    assert largest_input(made, system.probe.layers[0]).tolist() == [1, 3]
    assert (largest_input(made, system.probe.layers[1]) < 1).all()


def test_a_sum_that_nothing_bounds_has_no_bound():
    model = network("lstm", scale=0.5)
    model.params["rnn.bias_ih_l0"][3:6] = 60  # forget gates at 1, and driven by h
    made = contraction(model, [np.ones((9, 2))])
    assert np.isinf(made.bound[0])
    assert "none" in made.sentence()
    json.dumps(made.to_json(), allow_nan=False)
