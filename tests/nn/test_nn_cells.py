"""One-step modules against torch's, and against the layers."""

from __future__ import annotations

import copy

import pytest
import torch

import hiddenstate.nn as hs_nn
from where import BEST_PATHS

CELLS = [("RNNCell", {}), ("RNNCell", {"nonlinearity": "relu"}), ("LSTMCell", {}), ("GRUCell", {})]


def twins(name, *args, **kwargs):
    made = []
    for home in (hs_nn, torch.nn):
        torch.manual_seed(7)
        made.append(getattr(home, name)(*args, **kwargs))
    return made


def as_tuple(state):
    return state if isinstance(state, tuple) else (state,)


@pytest.mark.parametrize(("name", "options"), CELLS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [(), (3,), (0,), (20,)])
@pytest.mark.parametrize("with_state", [True, False])
def test_values_and_gradients(name, options, bias, rows, with_state):
    ours, theirs = twins(name, 4, 5, bias, dtype=torch.float64, **options)
    assert repr(ours) == repr(theirs)
    assert isinstance(ours, getattr(torch.nn, name))
    x = torch.randn(*rows, 4, dtype=torch.float64, requires_grad=True)
    hx = None
    if with_state:
        hx = tuple(torch.randn(*rows, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
        hx = hx if name == "LSTMCell" else hx[0]
    results = []
    for cell in (ours, theirs):
        new = as_tuple(cell(x, hx))
        inputs = [x, *(() if hx is None else as_tuple(hx)), *cell.parameters()]
        gradients = torch.autograd.grad(sum(value.sin().sum() for value in new), inputs)
        results.append([*new, *gradients])
    assert ours.last_path in BEST_PATHS
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_repeated_steps_are_the_layer(name):
    layer = getattr(hs_nn, name)(4, 5)
    cell = getattr(hs_nn, f"{name}Cell")(4, 5)
    cell.load_state_dict({key.removesuffix("_l0"): value for key, value in layer.state_dict().items()})
    x, state = torch.randn(6, 3, 4), None
    with torch.no_grad():
        y, last = layer(x)
        for t in range(6):
            state = cell(x[t], state)
            assert torch.equal(as_tuple(state)[0], y[t])
    for a, b in zip(as_tuple(state), as_tuple(last), strict=True):
        assert torch.equal(a, b[0])


def test_other_dtypes_and_no_units_are_torchs_own():
    for name in ("RNNCell", "LSTMCell", "GRUCell"):
        ours, theirs = twins(name, 4, 5, dtype=torch.bfloat16)
        x = torch.randn(3, 4, dtype=torch.bfloat16)
        torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=0)
        assert ours.last_path == "torch"
    empty = hs_nn.GRUCell(10, 0)
    assert empty(torch.randn(3, 10), torch.randn(3, 0)).shape == (3, 0)
    before = hs_nn.GRUCell(4, 5, reset="before", dtype=torch.bfloat16)
    assert before(torch.randn(3, 4, dtype=torch.bfloat16)).shape == (3, 5)
    assert before.last_path == "python"


def test_states_are_not_broadcast():
    for name in ("RNNCell", "LSTMCell", "GRUCell"):
        cell, pair = getattr(hs_nn, name)(10, 20), (lambda h: (h, h)) if name == "LSTMCell" else (lambda h: h)
        for x, h in (((3, 10), (1, 20)), ((3, 10), (3, 1)), ((3, 1), (3, 20)), ((3, 10), (20,))):
            with pytest.raises((RuntimeError, ValueError)):
                cell(torch.randn(x), pair(torch.randn(h)))


def test_starts_and_copies():
    cell = hs_nn.LSTMCell(4, 6, init="orthogonal", forget_bias=1.0)
    for block in cell.weight_hh.chunk(4):
        torch.testing.assert_close(block @ block.T, torch.eye(6), rtol=0, atol=1e-5)
    assert (cell.bias_ih.chunk(4)[1] == 1).all()
    other = copy.deepcopy(cell)
    other.reset_parameters()
    assert not torch.equal(other.weight_hh, cell.weight_hh)
    assert (other.bias_ih == cell.bias_ih).all()
