"""What units do, on networks whose units hold something known."""

import json

import numpy as np
import pytest

from hiddenstate.bundle import Bundle
from hiddenstate.errors import DataError, OptionError
from hiddenstate.lens.effects import unit_effects
from hiddenstate.lens.encoding import Encoded
from hiddenstate.lens.examples import counter, decaying, shift_register
from hiddenstate.lens.patterns import find_pattern
from hiddenstate.lens.probe import Probe
from hiddenstate.lens.responses import expected_response
from hiddenstate.spec import Input, Linear, ModelSpec, Recurrent


def with_targets(values, targets):
    values = np.asarray(values, np.float32)
    return Encoded(
        {"x": values[:, None]}, list(map(str, values)), "made", np.asarray(targets, float)[:, None]
    )


def delayed(count=4):
    """Sequences whose targets are the inputs two steps before: what a register of length 3 gives."""
    found = []
    for seed in range(count):
        x = np.random.default_rng(seed).integers(1, 5, 30 + seed)
        found.append(with_targets(x, np.concatenate([[0, 0], x[:-2]])))
    return found


def test_only_units_on_the_way_have_an_effect():
    made = unit_effects(shift_register(3), delayed())
    assert made.loss == pytest.approx(0, abs=1e-9)
    assert (made.effect > 0.1).all()  # every cell of the register is on the way
    assert (made.interval.low > 0).all()
    assert "3 of 3 units" in made.sentence()
    spec = ModelSpec(
        (Input("x"),),
        (
            Recurrent("rnn", "x", "rnn", 2, bias=False, options={"nonlinearity": "relu"}),
            Linear("y", "rnn", 1, bias=False),
        ),
    )
    weights = {"rnn.weight_ih_l0": [[1], [1]], "rnn.weight_hh_l0": [[0, 0], [0, 0]], "y.weight": [[1, 0]]}
    model = Bundle(spec, {name: np.array(value, np.float32) for name, value in weights.items()})
    made = unit_effects(model, [with_targets([1, 2, 3, 4], [1, 2, 3, 4])])
    assert made.unit == ("rnn_l0.h[0]", "rnn_l0.h[1]")
    # Held at 2.5, the squared errors are 1.5^2, 0.5^2, 0.5^2, 1.5^2; half their mean is 0.625.
    assert made.effect.tolist() == pytest.approx([0.625, 0])
    assert made.held_at.tolist() == [2.5, 2.5]


@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"proj_size": 2}])
def test_holding_a_unit_is_what_stepping_by_hand_gives(options):
    spec = ModelSpec(
        (Input("x"),), (Recurrent("rnn", "x", "lstm", 3, num_layers=2, **options), Linear("y", "rnn", 1))
    )
    rng = np.random.default_rng(0)
    model = Bundle(spec, {n: rng.normal(size=s).astype(np.float32) for n, s in spec.param_shapes().items()})
    data = [with_targets(rng.normal(size=n), rng.normal(size=n)) for n in (6, 3)]
    probe = Probe(model)
    layer = probe.layer("rnn_l0")
    made = unit_effects(probe, data, layer="rnn_l0", units=[1])
    base = probe.run(data)
    # By hand: one row at a time, the unit overwritten after every step.
    losses = []
    for row, one in enumerate(data):
        state, outputs = layer.scan.initial_state(1), []
        for x in one.inputs["x"]:
            state = layer.scan.step(x[None], state)
            for name in ("h",) if options.get("proj_size") else ("h", "c"):
                mean = getattr(base.states("rnn_l0"), name)[base.valid].mean(axis=0)[1]
                getattr(state, name)[:, 1] = mean
            outputs.append(state.h[0].copy())
        y = np.stack(outputs)[:, None]
        if options.get("bidirectional"):
            y = np.concatenate([y, base.recordings["rnn_l0_reverse"].y[: len(one), [row]]], axis=-1)
        tops = [found for found in probe.layers if found.index == 1]
        y = np.concatenate([top.scan.scan(y, reverse=top.reverse)[0] for top in tops], axis=-1)
        again = probe.forward({"x": one.inputs["x"][:, None]}, given={"rnn": y}, sequences=[one])
        losses.append(again.loss().mean() - probe.run([one]).loss().mean())
    assert made.effect[0] == pytest.approx(np.mean(losses), abs=1e-5)


def test_effects_need_targets_and_units_that_exist():
    with pytest.raises(DataError, match="needs labels"):
        unit_effects(decaying(0.5), [np.ones(5)])
    with pytest.raises(OptionError, match="no such unit"):
        unit_effects(shift_register(3), delayed(), units=[3])


def test_response_of_a_counter_is_what_it_adds():
    x = [np.array([1.0, -1.0, 2.0, 1.0]), np.array([2.0, 2.0]), np.array([-1.0, 1.0, 1.0])]
    made = expected_response(counter(), x, of="c")
    wanted = {token: np.tanh(0.01 * float(token)) for token in made.token}
    np.testing.assert_allclose(made.response[:, 0], list(wanted.values()), atol=1e-6)
    assert made.count.tolist() == [4, 3, 2]
    assert list(made.strongest("2")) == ["rnn_l0.c[0]"]
    assert "Reading '2'" in made.sentence()
    with pytest.raises(OptionError, match="no such token"):
        made.strongest("7")
    json.dumps(made.to_json(), allow_nan=False)


def test_response_backwards_starts_at_the_end():
    spec = ModelSpec((Input("x"),), (Recurrent("rnn", "x", "rnn", 1, bidirectional=True, bias=False),))
    weights = {name: np.ones(shape, np.float32) for name, shape in spec.param_shapes().items()}
    made = expected_response(
        Bundle(spec, weights), [np.array([1.0, 2.0]), np.array([3.0])], layer="rnn_l0_reverse"
    )
    response = dict(zip(made.token, made.response[:, 0].tolist(), strict=True))
    assert response["2"] == pytest.approx(np.tanh(2))
    assert response["3"] == pytest.approx(np.tanh(3))
    assert response["1"] == pytest.approx(np.tanh(1 + np.tanh(2)) - np.tanh(2))


def test_pattern_finds_the_spans_that_share_units_and_length():
    x = np.array([0, 1, 1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 0.0])
    made = find_pattern(shift_register(2), [x, np.array([1, 1, 0.0])], sequence=0, start=1, stop=3)
    assert made.unit == ("rnn_l0.h[0]",)
    assert list(zip(made.sequence, made.start.tolist(), made.stop.tolist(), strict=True)) == [
        ("sequence 0", 7, 9),
        ("sequence 1", 0, 2),
        ("sequence 0", 5, 6),
        ("sequence 0", 10, 13),
    ]
    assert made.text[0] == ("1", "1")
    assert "also in: '11', '11', '1'" in made.sentence()


def test_pattern_without_units_or_matches_says_so():
    x = np.array([0, 1, 1, 0.0])
    assert "No unit" in find_pattern(shift_register(1), [x], sequence=0, start=0, stop=2).sentence()
    assert "nowhere else" in find_pattern(shift_register(1), [x], sequence=0, start=1, stop=3).sentence()
    with pytest.raises(OptionError, match="no such span"):
        find_pattern(shift_register(1), [x], sequence=0, start=3, stop=3)
    with pytest.raises(OptionError, match="no such sequence"):
        find_pattern(shift_register(1), [x], sequence=1, start=0, stop=1)
