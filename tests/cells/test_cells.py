"""Every cell's step against torch's cells and the ONNX reference, and the registry."""

import pickle
from dataclasses import dataclass

import jaxtyping
import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from hiddenstate import cells, native
from hiddenstate.cells import Sizes
from hiddenstate.cells.base import sigmoid
from hiddenstate.errors import OptionError, ShapeError
from hiddenstate.types import GRUState, LSTMState, RNNState

VARIANTS = [cell for name in cells.names() for cell in cells.variants(name)]
TORCH = {
    "rnn_tanh": lambda i, h, b: torch.nn.RNNCell(i, h, bias=b),
    "rnn_relu": lambda i, h, b: torch.nn.RNNCell(i, h, bias=b, nonlinearity="relu"),
    "gru": lambda i, h, b: torch.nn.GRUCell(i, h, bias=b),
    "lstm": lambda i, h, b: torch.nn.LSTMCell(i, h, bias=b),
}


@pytest.fixture
def unchecked():
    """Lets arguments of a wrong type through to the library's own checks."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def draw(cell, rng, rows, size, hidden, *, bias=True, proj=0):
    shapes = cell.param_shapes(size, hidden, bias=bias, proj_size=proj)
    params = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    state = cell.State(*(rng.normal(size=shape) for shape in cell.state_shapes(rows, hidden, proj_size=proj)))
    return params, rng.normal(size=(rows, size)), state


@pytest.mark.parametrize("kernel", TORCH)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    rows=st.integers(0, 4),
    size=st.integers(1, 5),
    hidden=st.integers(1, 6),
    bias=st.booleans(),
    seed=st.integers(0, 99),
)
def test_step_is_torchs(kernel, rows, size, hidden, bias, seed):
    cell = next(cell for cell in VARIANTS if cell.native == kernel)
    params, x, state = draw(cell, np.random.default_rng(seed), rows, size, hidden, bias=bias)
    twin = TORCH[kernel](size, hidden, bias).double()
    twin.load_state_dict({name: torch.from_numpy(value) for name, value in params.items()})
    hx = tuple(map(torch.from_numpy, state))
    with torch.no_grad():
        expected = twin(torch.from_numpy(x), hx if len(hx) == 2 else hx[0])
    new, _ = cell.step(np, params, x, state)
    for got, wanted in zip(new, expected if len(hx) == 2 else [expected], strict=True):
        np.testing.assert_allclose(got, wanted.numpy(), rtol=1e-13, atol=1e-14)
    assert cell.count_parameters(size, hidden, bias=bias) == sum(p.numel() for p in twin.parameters())


def test_projected_lstm_is_torchs():
    cell = cells.get("lstm")
    params, x, state = draw(cell, np.random.default_rng(0), 3, 4, 6, proj=2)
    twin = torch.nn.LSTM(4, 6, proj_size=2).double()
    twin.load_state_dict({f"{name}_l0": torch.from_numpy(value) for name, value in params.items()})
    with torch.no_grad():
        _, expected = twin(torch.from_numpy(x)[None], tuple(torch.from_numpy(s)[None] for s in state))
    for got, wanted in zip(cell.step(np, params, x, state)[0], expected, strict=True):
        np.testing.assert_allclose(got, wanted[0].numpy(), rtol=1e-13, atol=1e-14)
    assert cell.count_parameters(4, 6, proj_size=2) == sum(p.numel() for p in twin.parameters())


@pytest.mark.parametrize(("reset", "linear_before_reset"), [("after", 1), ("before", 0)])
def test_both_gru_forms_are_those_of_onnx(reset, linear_before_reset):
    cell = cells.get("gru", reset=reset)
    params, x, state = draw(cell, np.random.default_rng(1), 3, 4, 5)
    new, _ = cell.step(np, params, x, state)
    np.testing.assert_allclose(new.h, onnx_gru(params, x, state.h, linear_before_reset), rtol=1e-12)


def onnx_gru(params, x, h, linear_before_reset):
    """One step by the reference implementation of ONNX, whose gates are stacked z, r, n."""

    def reorder(value):
        r, z, n = np.split(value, 3)
        return np.concatenate([z, r, n])

    info = onnx.helper.make_tensor_value_info
    double = onnx.TensorProto.DOUBLE
    names = ["X", "W", "R", "B", "", "H"]
    node = onnx.helper.make_node(
        "GRU", names, ["Y"], hidden_size=h.shape[1], linear_before_reset=linear_before_reset
    )
    values = {
        "X": x[None],
        "W": reorder(params["weight_ih"])[None],
        "R": reorder(params["weight_hh"])[None],
        "B": np.concatenate([reorder(params["bias_ih"]), reorder(params["bias_hh"])])[None],
        "H": h[None],
    }
    inputs = [info(name, double, value.shape) for name, value in values.items()]
    graph = onnx.helper.make_graph([node], "gru", inputs, [info("Y", double, None)])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 14)])
    return np.asarray(ReferenceEvaluator(model).run(None, values)[0])[0, 0]


@pytest.mark.parametrize("cell", VARIANTS, ids=str)
def test_sizes_are_the_inverse_of_param_shapes(cell):
    for proj in (0, 2) if cell.projects else (0,):
        shapes = cell.param_shapes(3, 5, proj_size=proj)
        assert cell.sizes({name: np.zeros(shape) for name, shape in shapes.items()}) == Sizes(3, 5, proj)


@pytest.mark.parametrize("cell", VARIANTS, ids=str)
def test_activations_are_named_as_the_native_tape(cell):
    params, x, state = draw(cell, np.random.default_rng(2), 2, 3, 4)
    new, activations = cell.step(np, params, x, state)
    known = {**new._asdict(), **activations}
    assert cell.tape == tuple(native.tape_fields(cell.native))
    assert all(known[name].shape == (2, 4) for name in cell.tape)


def test_update_gate_at_one_keeps_the_state_and_forget_gate_at_one_keeps_the_sum():
    open_gate, shut_gate = np.full(1, 50.0), np.full(1, -50.0)
    zero = np.zeros(1)
    weights = lambda gates: {"weight_ih": np.zeros((gates, 1)), "weight_hh": np.zeros((gates, 1))}  # noqa: E731
    gru = weights(3) | {"bias_ih": np.concatenate([zero, open_gate, zero]), "bias_hh": np.zeros(3)}
    assert cells.get("gru").step(np, gru, np.ones((1, 1)), GRUState(np.full((1, 1), 0.7)))[0].h == 0.7
    bias = np.concatenate([shut_gate, open_gate, zero, open_gate])
    lstm = weights(4) | {"bias_ih": bias, "bias_hh": np.zeros(4)}
    old = LSTMState(np.zeros((1, 1)), np.full((1, 1), 0.7))
    assert cells.get("lstm").step(np, lstm, np.ones((1, 1)), old)[0].c == pytest.approx(0.7, abs=1e-15)


def test_relu_lets_nan_through_and_is_flat_at_zero():
    cell = cells.get("rnn", nonlinearity="relu")
    params = {"weight_ih": torch.eye(2), "weight_hh": torch.zeros(2, 2)}
    x = torch.tensor([[float("nan"), 1.0], [0.0, 2.0]], requires_grad=True)
    h = cell.step(torch, params, x, RNNState(torch.zeros(2, 2)))[0].h
    assert torch.isnan(h[0, 0])
    (slope,) = torch.autograd.grad(h[1].sum(), x)
    assert slope[1].tolist() == [0, 1]


def test_sigmoid_is_exact_at_the_ends_and_never_overflows():
    x = np.array([-1e308, -50.0, 0.0, 50.0, 1e308])
    np.testing.assert_allclose(sigmoid(np, x), [0, 0, 0.5, 1, 1], atol=1e-15)
    x = np.linspace(-30, 30, 101)
    np.testing.assert_allclose(sigmoid(np, x), 1 / (1 + np.exp(-x)), atol=1e-15)


def test_cells_are_values():
    assert cells.get("gru", reset="before") == cells.GRU(reset="before") != cells.GRU()
    assert pickle.loads(pickle.dumps(cells.get("rnn", nonlinearity="relu"))).native == "rnn_relu"
    assert cells.get(cells.LSTM()) == cells.LSTM()
    assert len(VARIANTS) == len(set(VARIANTS)) >= 5


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: cells.get("lstmm"), "'lstmm'"),
        (lambda: cells.get(None), "None"),
        (lambda: cells.get("gru", reset="during"), "'during'"),
        (lambda: cells.get("gru", nonlinearity="relu"), "nonlinearity"),
        (lambda: cells.get(cells.GRU(), reset="before"), "reset"),
        (lambda: cells.get("gru").param_shapes(3, 4, proj_size=2), "projection"),
        (lambda: cells.register(int), "int"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_wrong_options_are_named(call, said):
    with pytest.raises(OptionError, match=said):
        call()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weight_hh": None}, "weight_hh"),
        ({"weight_ih": np.zeros(8)}, "weight_ih"),
        ({"bias_hh": None}, "bias_hh"),
        ({"bias_hh": np.zeros(7)}, r"bias_hh.*\(8,\).*\(7,\)"),
        ({"weight_hh": np.zeros((8, 3))}, r"weight_hh.*\(8, 2\).*\(8, 3\)"),
        ({"weight_ih": np.zeros((9, 3))}, "weight_ih"),
        ({"weight_hr": np.zeros((1, 2))}, "weight_hh"),
        ({"peephole": np.zeros(2)}, "peephole"),
    ],
)
def test_wrong_parameters_are_named(change, said):
    params = {name: np.zeros(shape) for name, shape in cells.get("lstm").param_shapes(3, 2).items()}
    params = {name: value for name, value in (params | change).items() if value is not None}
    with pytest.raises(ShapeError, match=said):
        cells.get("lstm").sizes(params)


def test_a_registered_cell_is_found_by_name_and_its_name_is_its_own():
    @dataclass(frozen=True)
    class Leaky(cells.RNN):
        name = "leaky_for_test"

    try:
        assert cells.register(Leaky) is Leaky
        assert cells.register(Leaky) is Leaky
        assert isinstance(cells.get("leaky_for_test"), Leaky)
        assert "leaky_for_test" in cells.names()

        @dataclass(frozen=True)
        class Other(cells.RNN):
            name = "leaky_for_test"

        with pytest.raises(OptionError, match="leaky_for_test"):
            cells.register(Other)
    finally:
        cells._REGISTRY.pop("leaky_for_test", None)
