"""Rows of any length and resets inside rows, against the same rows and segments run alone."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import hiddenstate.nn as hs_nn
from hiddenstate.errors import OptionError, ShapeError
from where import BEST_PATHS

VARIANTS = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu"}),
    ("LSTM", {}),
    ("LSTM", {"proj_size": 3}),
    ("GRU", {}),
    ("GRU", {"reset": "before"}),
]
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def make(name, options, **kwargs):
    torch.manual_seed(0)
    return getattr(hs_nn, name)(4, 5, 2, dtype=torch.float64, **options, **kwargs)


def fields(state):
    return state if isinstance(state, tuple) else (state,)


def row_of(state, row):
    picked = tuple(field[:, row : row + 1] for field in fields(state))
    return picked if isinstance(state, tuple) else picked[0]


def loss_of(y, state):
    return y.pow(2).sum() + sum(field.sin().sum() for field in fields(state))


def gradients(layer, loss, *inputs):
    found = torch.autograd.grad(loss, [*inputs, *layer.parameters()], allow_unused=True)
    zeros = [*inputs, *layer.parameters()]
    return [torch.zeros_like(z) if g is None else g for g, z in zip(found, zeros, strict=True)]


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("learned", [False, True])
def test_lengths_are_rows_run_alone(name, options, both, learned):
    layer = make(name, options, bidirectional=both, learn_initial_state=learned)
    for key, value in layer.named_parameters():
        if key.startswith("initial_"):
            torch.nn.init.normal_(value)
    lengths = [3, 0, 7, 1, 7, 0]
    x = torch.randn(7, 6, 4, dtype=torch.float64, requires_grad=True)
    y, state = layer(x, lengths=lengths)
    assert layer.last_path in BEST_PATHS
    total = torch.zeros((), dtype=torch.float64)
    for row, length in enumerate(lengths):
        alone, last = layer(x[:length, row : row + 1], lengths=[length])
        torch.testing.assert_close(y[:length, row : row + 1], alone, **CLOSE)
        assert not y[length:, row].any()
        for a, b in zip(fields(row_of(state, row)), fields(last), strict=True):
            torch.testing.assert_close(a, b, **CLOSE)
        total = total + loss_of(alone, last)
    together, apart = gradients(layer, loss_of(y, state), x), gradients(layer, total, x)
    for a, b in zip(together, apart, strict=True):
        torch.testing.assert_close(a, b, **CLOSE)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("learned", [False, True])
def test_resets_are_segments_run_alone(name, options, learned):
    layer = make(name, options, learn_initial_state=learned)
    for key, value in layer.named_parameters():
        if key.startswith("initial_"):
            torch.nn.init.normal_(value)
    cuts = [[0, 3, 4], [5], []]
    x = torch.randn(7, 3, 4, dtype=torch.float64, requires_grad=True)
    resets = torch.zeros(7, 3, dtype=torch.bool)
    for row, marks in enumerate(cuts):
        resets[marks, row] = True
    y, state = layer(x, resets=resets)
    total = torch.zeros((), dtype=torch.float64)
    for row, marks in enumerate(cuts):
        ends = sorted({0, *marks, 7})
        for first, end in itertools.pairwise(ends):
            alone, last = layer(x[first:end, row : row + 1])
            torch.testing.assert_close(y[first:end, row : row + 1], alone, **CLOSE)
            total = total + alone.pow(2).sum()
        for a, b in zip(fields(row_of(state, row)), fields(last), strict=True):
            torch.testing.assert_close(a, b, **CLOSE)
        total = total + sum(field.sin().sum() for field in fields(last))
    together, apart = gradients(layer, loss_of(y, state), x), gradients(layer, total, x)
    for a, b in zip(together, apart, strict=True):
        torch.testing.assert_close(a, b, **CLOSE)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_both_directions_with_lengths_resets_and_state_as_the_python_step(name, options):
    """The kernels and the Python step agree on everything at once, gradients included."""
    layer = make(name, options, bidirectional=True, learn_initial_state=True)
    for key, value in layer.named_parameters():
        if key.startswith("initial_"):
            torch.nn.init.normal_(value)
    x = torch.randn(7, 5, 4, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([7, 2, 0, 5, 7])
    resets = torch.rand(7, 5) < 0.3
    hx = [torch.randn(4, 5, 3 if "proj_size" in options else 5, dtype=torch.float64, requires_grad=True)]
    if name == "LSTM":
        hx.append(torch.randn(4, 5, 5, dtype=torch.float64, requires_grad=True))
    state = layer.cell.State(*hx)
    results = []
    for path in ("native", "python"):
        y, last = layer._run(path, x, state, lengths, resets)
        results.append((y, *last, *gradients(layer, loss_of(y, tuple(last)), x, *hx)))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, **CLOSE)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_lengths_and_resets(data):
    name, options = data.draw(st.sampled_from(VARIANTS))
    batch, time = data.draw(st.integers(0, 6)), data.draw(st.integers(0, 6))
    layer = make(name, options, bidirectional=data.draw(st.booleans()))
    lengths = torch.tensor(
        data.draw(st.lists(st.integers(0, time), min_size=batch, max_size=batch)), dtype=torch.int32
    )
    resets = torch.tensor(
        data.draw(st.lists(st.booleans(), min_size=time * batch, max_size=time * batch)), dtype=bool
    )
    resets = resets.reshape(time, batch)
    x = torch.randn(time, batch, 4, dtype=torch.float64)
    y, state = layer(x, lengths=lengths, resets=resets)
    expected, last = layer._run("python", x, None, lengths.long(), resets)
    torch.testing.assert_close(y, expected, **CLOSE)
    for a, b in zip(fields(state), last, strict=True):
        torch.testing.assert_close(a, b, **CLOSE)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_batch_first_and_unbatched_forms(name):
    layer = make(name, {})
    first = make(name, {}, batch_first=True)
    x = torch.randn(7, 3, 4, dtype=torch.float64)
    resets = torch.rand(7, 3) < 0.3
    y, state = layer(x, lengths=[2, 7, 5], resets=resets)
    turned, same = first(x.transpose(0, 1), lengths=[2, 7, 5], resets=resets.T)
    torch.testing.assert_close(turned.transpose(0, 1), y)
    torch.testing.assert_close(same, state)
    for made in (layer, first):
        alone, last = made(x[:, 0], lengths=2, resets=resets[:, 0])
        torch.testing.assert_close(alone, y[:, 0])
        torch.testing.assert_close(fields(last), tuple(field[:, 0] for field in fields(state)))


def test_lengths_agree_with_torchs_packed_sequence():
    ours = hs_nn.LSTM(4, 5, 2, bidirectional=True)
    theirs = torch.nn.LSTM(4, 5, 2, bidirectional=True)
    theirs.load_state_dict(ours.state_dict())
    x, lengths = torch.randn(7, 4, 4), torch.tensor([3, 7, 1, 7])
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    expected, last = theirs(packed)
    y, state = ours(x, lengths=lengths)
    torch.testing.assert_close(y, torch.nn.utils.rnn.pad_packed_sequence(expected)[0], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(state, last, rtol=1e-6, atol=1e-6)


def test_nan_in_padding_stays_there():
    layer = hs_nn.GRU(4, 5, bidirectional=True)
    x = torch.randn(7, 2, 4)
    x[3:, 0] = torch.nan
    x.requires_grad_()
    y, h = layer(x, lengths=[3, 7])
    (y.sum() + h.sum()).backward()
    assert y.isfinite().all()
    assert all(p.grad.isfinite().all() for p in layer.parameters())
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("reset", ["after", "before"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_steps_at_all(reset, dtype):
    layer = hs_nn.GRU(4, 5, learn_initial_state=True, reset=reset, dtype=dtype)
    torch.nn.init.normal_(layer.initial_h)
    y, h = layer(torch.zeros(0, 3, 4, dtype=dtype), lengths=[0, 0, 0])
    assert y.shape == (0, 3, 5)
    torch.testing.assert_close(h, layer.initial_h[:, None].expand(1, 3, 5))
    h.sum().backward()
    assert (layer.initial_h.grad == 3).all()


@pytest.mark.parametrize(
    ("lengths", "got"),
    [([1, 2], "shape"), ([[1, 2, 3]], "shape"), ([1.0, 2.0, 3.0], "float32"), ([True, False, True], "bool"),
     (2, "shape"), ([1, 2, 8], "8"), ([-1, 2, 3], "-1")],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_wrong_lengths_are_refused(lengths, got, dtype):
    layer = hs_nn.GRU(4, 5, dtype=dtype)
    with pytest.raises(ShapeError, match=f"lengths.*{got}"):
        layer(torch.zeros(7, 3, 4, dtype=dtype), lengths=lengths)


@pytest.mark.parametrize(
    "resets", [torch.zeros(7, 3), torch.zeros(3, 7, dtype=bool), torch.zeros(7, dtype=bool)]
)
def test_wrong_resets_are_refused(resets):
    with pytest.raises(ShapeError, match="resets"):
        hs_nn.GRU(4, 5)(torch.zeros(7, 3, 4), resets=resets)


def test_a_packed_sequence_has_its_own_lengths():
    packed = torch.nn.utils.rnn.pack_sequence([torch.zeros(3, 4)])
    with pytest.raises(OptionError, match="lengths of its own"):
        hs_nn.GRU(4, 5)(packed, lengths=[3])
