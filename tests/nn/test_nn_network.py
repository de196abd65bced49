"""A spec as a module: parameters, starts, states, and the same numbers as plain torch."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

import hiddenstate.nn as hs_nn
from hiddenstate import cells
from hiddenstate.cells import Cell
from hiddenstate.errors import ShapeError
from hiddenstate.spec import Add, Concat, Dropout, Embed, Input, Linear, ModelSpec, Norm, Pool, Recurrent
from hiddenstate.types import RNNState

# Torch says once that its own projected LSTM runs without oneDNN.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")

NUMBERS = ModelSpec(
    inputs=(Input("x", size=3), Input("known", size=2)),
    blocks=(
        Concat("all", sources=("x", "known")),
        Recurrent("rnn", "all", "lstm", hidden_size=6, num_layers=2, proj_size=4, learn_initial_state=True),
        Norm("norm", source="rnn"),
        Dropout("drop", source="norm", p=0.5),
        Linear("mix", source="drop", size=4, activation="relu"),
        Add("sum", sources=("mix", "rnn")),
        Linear("head", source="sum", size=2),
    ),
)  # fmt: skip
TEXT = ModelSpec(
    inputs=(Input("ids", kind="ids", size=11),),
    blocks=(
        Embed("table", source="ids", size=8),
        Recurrent("rnn", source="table", cell="gru", hidden_size=8, options={"reset": "before"}),
        Linear("logits", source="rnn", size=11, tied="table"),
    ),
)
POOLED = ModelSpec(
    inputs=(Input("x", size=3),),
    blocks=(
        Recurrent("rnn", "x", "rnn", hidden_size=5, bidirectional=True, options={"nonlinearity": "relu"}),
        Pool("pool", source="rnn", how="mean"),
        Linear("head", source="pool", size=4, bias=False),
    ),
)  # fmt: skip
SPECS = {"numbers": NUMBERS, "text": TEXT, "pooled": POOLED}


def inputs_of(spec, time, batch):
    return {
        node.name: torch.randn(time, batch, node.size)
        if node.kind == "numbers"
        else torch.randint(node.size, (time, batch))
        for node in spec.inputs
    }


def assert_states_close(a, b):
    assert a.keys() == b.keys()
    for name in a:
        for x, y in zip(a[name], b[name], strict=True):
            torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_parameters_are_those_of_the_spec(spec):
    network = hs_nn.build(spec)
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == spec.param_shapes()
    assert list(network.state_dict()) == list(spec.param_shapes())
    assert all(value.isfinite().all() for value in network.parameters())


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_parameter_learns(spec):
    network = hs_nn.build(spec)
    y, _ = network(inputs_of(spec, 5, 3))
    y.pow(2).sum().backward()
    for name, value in network.named_parameters():
        assert value.grad is not None, name
        assert value.grad.abs().sum() > 0, name


def test_numbers_against_plain_torch():
    network = hs_nn.build(NUMBERS).eval()
    twin = torch.nn.LSTM(5, 6, 2, proj_size=4)
    own = {
        key.removeprefix("rnn."): value
        for key, value in network.state_dict().items()
        if key.startswith("rnn.")
    }
    start = [own.pop(key)[:, None].repeat(1, 3, 1) for key in ("initial_h", "initial_c")]
    twin.load_state_dict(own)
    inputs = inputs_of(NUMBERS, 5, 3)
    middle, _ = twin(torch.cat([inputs["x"], inputs["known"]], -1), tuple(start))
    p = network.state_dict()
    z = torch.nn.functional.layer_norm(middle, (4,), p["norm.weight"], p["norm.bias"])
    z = (z @ p["mix.weight"].T + p["mix.bias"]).relu() + middle
    torch.testing.assert_close(
        network(inputs)[0], z @ p["head.weight"].T + p["head.bias"], rtol=1e-5, atol=1e-6
    )


def test_a_tied_head_reads_the_table():
    network = hs_nn.build(TEXT)
    ids = torch.randint(11, (5, 3))
    p = network.state_dict()
    layer = hs_nn.GRU(8, 8, reset="before")
    layer.load_state_dict({key[4:]: value for key, value in p.items() if key.startswith("rnn.")})
    expected = layer(p["table.weight"][ids])[0] @ p["table.weight"].T + p["logits.bias"]
    torch.testing.assert_close(network({"ids": ids})[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("spec", [NUMBERS, TEXT], ids=["numbers", "text"])
def test_carried_state_joins_two_halves(spec):
    network = hs_nn.build(spec).eval()
    inputs = inputs_of(spec, 6, 3)
    y, state = network(inputs)
    first, between = network({name: value[:2] for name, value in inputs.items()})
    nothing, same = network({name: value[:0] for name, value in inputs.items()}, between)
    second, last = network({name: value[2:] for name, value in inputs.items()}, same)
    assert nothing.shape[0] == 0
    torch.testing.assert_close(torch.cat([first, second]), y, rtol=1e-5, atol=1e-6)
    assert_states_close(last, state)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_lengths_are_rows_alone(spec):
    network = hs_nn.build(spec).eval()
    inputs, lengths = inputs_of(spec, 6, 3), [2, 6, 1]
    y, state = network(inputs, lengths=lengths)
    for row, length in enumerate(lengths):
        alone, last = network({name: value[:length, row : row + 1] for name, value in inputs.items()})
        got = y[row : row + 1] if spec is POOLED else y[:length, row : row + 1]
        torch.testing.assert_close(got, alone, rtol=1e-5, atol=1e-6)
        for name, record in last.items():
            rows = slice(row, row + 1)
            for a, b in zip(state[name], record, strict=True):
                torch.testing.assert_close(a[rows] if name == "pool" else a[:, rows], b, rtol=1e-5, atol=1e-6)


def test_a_reset_starts_anew():
    network = hs_nn.build(NUMBERS).eval()
    inputs = inputs_of(NUMBERS, 6, 2)
    resets = torch.zeros(6, 2, dtype=torch.bool)
    resets[4] = True
    y, _ = network(inputs, resets=resets)
    expected, _ = network({name: value[4:] for name, value in inputs.items()})
    torch.testing.assert_close(y[4:], expected, rtol=1e-5, atol=1e-6)


def test_starts():
    network = hs_nn.build(NUMBERS)
    rnn = network.get_submodule("rnn")
    for block in rnn.weight_ih_l0.chunk(4):
        assert block.abs().max() <= (6 / (5 + 6)) ** 0.5
    assert (rnn.bias_ih_l1.chunk(4)[1] == 1).all()
    tied = hs_nn.build(TEXT)
    logits, _ = tied({"ids": torch.randint(11, (5, 3))})
    assert logits.std() < 2


def test_dropout_works_only_in_training():
    network = hs_nn.build(NUMBERS)
    inputs = inputs_of(NUMBERS, 5, 3)
    assert not torch.equal(network(inputs)[0], network(inputs)[0])
    network.eval()
    assert torch.equal(network(inputs)[0], network(inputs)[0])


def test_functional_call():
    network = hs_nn.build(NUMBERS).eval()
    inputs = inputs_of(NUMBERS, 5, 3)
    zeros = {name: torch.zeros_like(value) for name, value in network.named_parameters()}
    assert not torch.func.functional_call(network, zeros, (inputs,))[0].any()


def test_blocks_named_like_methods():
    spec = ModelSpec(
        (Input("x", size=2),), (Recurrent("type", "x", cell="gru", hidden_size=3), Linear("eval", "type", 1))
    )
    network = hs_nn.build(spec)
    network.double().eval()
    assert list(network.state_dict()) == list(spec.param_shapes())
    assert network({"x": torch.zeros(4, 2, 2).double()})[0].shape == (4, 2, 1)


@dataclass(frozen=True)
class Leaky(Cell):
    """``h' = 0.9 h + 0.1 tanh(W_ih x + W_hh h)``."""

    name = "leaky"
    gates = ("h",)
    State = RNNState

    def step(self, xp, params, x, state):
        total = x @ params["weight_ih"].T + state.h @ params["weight_hh"].T
        if "bias_ih" in params:
            total = total + params["bias_ih"] + params["bias_hh"]
        return RNNState(0.9 * state.h + 0.1 * xp.tanh(total)), {}


def test_a_cell_of_the_users_own(monkeypatch):
    monkeypatch.setattr(cells, "_REGISTRY", dict(cells._REGISTRY))
    cells.register(Leaky)
    spec = ModelSpec(
        (Input("x", size=3),),
        (Recurrent("rnn", "x", cell="leaky", hidden_size=5, num_layers=2, bidirectional=True,
                   learn_initial_state=True),
         Linear("head", "rnn", 1)),
    )  # fmt: skip
    network = hs_nn.build(spec)
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == spec.param_shapes()
    y, state = network({"x": torch.randn(6, 3, 3)}, lengths=[6, 0, 2])
    y.sum().backward()
    assert state["rnn"].h.shape == (4, 3, 5)
    assert network.get_submodule("rnn").last_path == "python"
    assert all(value.grad is not None for value in network.parameters())


@pytest.mark.parametrize(
    ("inputs", "word"),
    [
        ({"x": torch.zeros(5, 2, 3)}, "wrong inputs"),
        ({"x": torch.zeros(5, 2, 4), "known": torch.zeros(5, 2, 2)}, "in x"),
        ({"x": torch.zeros(5, 2, 3), "known": torch.zeros(5, 3, 2)}, "in known"),
        ({"x": torch.zeros(5), "known": torch.zeros(5, 3, 2)}, "in x"),
    ],
)
def test_wrong_inputs_are_refused(inputs, word):
    with pytest.raises(ShapeError, match=word):
        hs_nn.build(NUMBERS)(inputs)


def test_wrong_ids_are_refused():
    with pytest.raises(ShapeError, match="in ids"):
        hs_nn.build(TEXT)({"ids": torch.zeros(5, 2, 11)})
