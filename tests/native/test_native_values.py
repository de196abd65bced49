"""Values and gradients against torch autograd; every option of the call."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hiddenstate import native

CELLS = ("rnn_tanh", "rnn_relu", "lstm", "gru", "gru_before")
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}


def assert_close(actual, wanted, dtype, what):
    limit = TOLERANCE[dtype] * max(1.0, float(np.abs(wanted).max(initial=0)))
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=limit, err_msg=what)


def check(problem, expected):
    (y, h_n, c_n), grads = expected(problem)
    got = problem.forward()
    for name, value, wanted in zip(("y", "h_n", "c_n"), got, (y, h_n, c_n), strict=False):
        if wanted is not None:
            assert_close(value, wanted, problem.dtype, name)
    native_grads = problem.backward()
    for name, value in native_grads.items():
        assert_close(value, grads[name], problem.dtype, name)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reverse", [False, True])
def test_dense(make, expected, cell, dtype, reverse):
    check(make(cell, 7, 5, 6, 37, dtype=dtype, reverse=reverse), expected)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("reverse", [False, True])
def test_lengths_and_resets(make, expected, cell, reverse):
    rng = np.random.default_rng(1)
    lengths, resets = [3, 0, 9, 1, 9, 4], rng.random((9, 6)) < 0.4
    check(make(cell, 9, 6, 3, 20, lengths=lengths, resets=resets, rest=True, reverse=reverse), expected)


@pytest.mark.parametrize("reverse", [False, True])
def test_projection(make, expected, reverse):
    resets = np.random.default_rng(2).random((6, 4)) < 0.3
    check(
        make("lstm", 6, 4, 5, 19, 7, lengths=[6, 2, 0, 5], resets=resets, rest=True, reverse=reverse),
        expected,
    )


@pytest.mark.parametrize("cell", CELLS)
def test_weights_changed_in_place_are_packed_anew(make, cell):
    """Packed memory comes back with what it held, and only what changed is written."""
    p = make(cell, 3, 2, 150, 150, dtype=np.float32)
    p.backward()
    for name in ("weight_ih", "weight_hh"):
        p.arrays[name][-1, -1] += 1
        p.arrays[name][3, 17] -= 1
    again = make(cell, 3, 2, 150, 150, dtype=np.float32)
    again.arrays = {name: array.copy() for name, array in p.arrays.items()}
    changed, fresh = p.backward(), again.backward()
    for name, value in fresh.items():
        np.testing.assert_array_equal(changed[name], value, err_msg=name)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_size(make, expected, data):
    draw = data.draw
    cell, T, B = draw(st.sampled_from(CELLS)), draw(st.integers(1, 8)), draw(st.integers(1, 9))
    H, proj = draw(st.integers(1, 40)), 0
    if cell == "lstm" and H > 1 and draw(st.booleans()):
        proj = draw(st.integers(1, H - 1))
    lengths = draw(st.none() | st.lists(st.integers(0, T), min_size=B, max_size=B))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    resets = draw(st.none() | st.just(rng.random((T, B)) < 0.4))
    flags = {name: draw(st.booleans()) for name in ("bias", "state", "rest", "reverse")}
    check(
        make(cell, T, B, draw(st.integers(1, 20)), H, proj, lengths=lengths, resets=resets, **flags), expected
    )


@pytest.mark.parametrize("cell", ["rnn_tanh", "rnn_relu", "lstm", "gru"])
@pytest.mark.parametrize("proj", [0, 5])
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")
def test_torch_layer_agrees(make, cell, proj):
    if proj and cell != "lstm":
        proj = 0
    p = make(cell, 11, 3, 4, 33, proj, dtype=np.float32)
    kind, options = {"lstm": (torch.nn.LSTM, {"proj_size": proj}), "gru": (torch.nn.GRU, {})}.get(
        cell, (torch.nn.RNN, {"nonlinearity": cell[4:]})
    )
    layer = kind(4, 33, **options)
    layer.load_state_dict({name + "_l0": torch.tensor(p.get(name)) for name in p.weights})
    state = torch.tensor(p.get("h0"))[None]
    y, _ = layer(
        torch.tensor(p.get("x")), (state, torch.tensor(p.get("c0"))[None]) if cell == "lstm" else state
    )
    np.testing.assert_allclose(p.forward()[0], y.detach().numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("steps", "batch"), [(0, 3), (4, 0), (0, 0)])
def test_empty(make, cell, steps, batch):
    p = make(cell, steps, batch, 3, 5, lengths=np.zeros(batch))
    p.lengths = None
    y, h_n, c_n, _ = p.forward()
    assert y.shape == (steps, batch, 5)
    np.testing.assert_array_equal(h_n, p.get("h0"))
    if cell == "lstm":
        np.testing.assert_array_equal(c_n, p.get("c0"))
    grads = p.backward()
    np.testing.assert_array_equal(grads["dh0"], p.get("dh_n"))
    assert not grads["dweight_hh"].any()
    assert not grads["dbias_ih"].any()


@pytest.mark.parametrize("cell", CELLS)
def test_tape_unpacked(make, cell):
    lengths = [2, 5, 0, 3]
    p = make(cell, 5, 4, 3, 18, lengths=lengths, reverse=True)
    y, _, _, tape = p.forward()
    named = native.unpack_tape(cell, tape, steps=5, batch=4, lengths=lengths, reverse=True)
    assert tuple(named) == native.tape_fields(cell)
    for value in named.values():
        assert not value[4, [0, 2, 3]].any()
    if cell == "lstm":
        np.testing.assert_allclose(named["o"] * np.tanh(named["c"]), y, atol=1e-12)
    if cell.startswith("gru"):
        before = np.concatenate([y[1:], np.zeros((1, 4, 18))])
        before[np.array(lengths) - 1, np.arange(4)] = p.get("h0")
        before[:, 2] = 0
        mask = np.arange(5)[:, None] < np.array(lengths)
        wanted = ((1 - named["z"]) * named["n"] + named["z"] * before) * mask[..., None]
        np.testing.assert_allclose(wanted, y, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_linear(dtype):
    rng = np.random.default_rng(0)
    for rows, inputs, outputs in ((1, 1, 1), (7, 5, 3), (130, 33, 70), (0, 4, 4)):
        w, b, x = (rng.standard_normal(s).astype(dtype) for s in ((outputs, inputs), outputs, (rows, inputs)))
        y = np.full((rows, outputs), np.nan, dtype)
        native.linear(native.Linear(w, b), x, y)
        assert_close(y, x.astype(np.float64) @ w.T + b, dtype, "linear")
        native.linear(native.Linear(w), x, y)
        assert_close(y, x.astype(np.float64) @ w.T, dtype, "linear without bias")


def test_torch_tensors_enter(make):
    p = make("gru", 4, 3, 2, 9, dtype=np.float32)
    wanted = p.forward()[0]
    arrays = {name: torch.tensor(value) for name, value in p.arrays.items()}
    plan = native.Plan("gru", *(arrays[n] for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")), None)
    y, h_n = torch.empty(4, 3, 9), torch.empty(3, 9)
    lengths, resets = torch.full((3,), 4), torch.zeros(4, 3, dtype=torch.bool)
    native.forward(
        plan, arrays["x"], arrays["h0"], None, lengths, resets, None, None, False, y, h_n, None, None
    )
    np.testing.assert_array_equal(y.numpy(), wanted)
