"""What ``blocks`` computes itself, against plain loops, torch, and itself in another order."""

import array_api_compat.torch as xpt
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hiddenstate.blocks import PoolState, activate, norm, pool
from hiddenstate.nn import build
from hiddenstate.runtime.ops import NumpyOps
from hiddenstate.spec import Input, ModelSpec, Pool
from random_models import SMALL, weights

HOWS = ("last", "mean", "max")
NUMPY = NumpyOps(SMALL, weights(SMALL))


def pool_in_torch(how, x, lengths, resets):
    """The same pool as a network without parameters."""
    network = build(ModelSpec((Input("x", size=x.shape[2]),), (Pool("p", "x", how),)))
    return network({"x": x}, lengths=lengths, resets=resets)[0]


@st.composite
def cases(draw):
    steps, rows, size = draw(st.integers(0, 9)), draw(st.integers(0, 4)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    x = rng.normal(size=(steps, rows, size)).astype(np.float32)
    lengths = rng.integers(0, steps + 1, rows) if draw(st.booleans()) else None
    resets = rng.random((steps, rows)) < 0.2 if draw(st.booleans()) else None
    return draw(st.sampled_from(HOWS)), x, lengths, resets


def by_hand(how, x, lengths, resets):
    """One row at a time: the steps of its last segment, then the textbook word for it."""
    answers = []
    for row in range(x.shape[1]):
        end = len(x) if lengths is None else lengths[row]
        flags = [] if resets is None else np.flatnonzero(resets[:end, row])
        steps = x[flags[-1] if len(flags) else 0 : end, row].astype(np.float64)
        words = {"last": lambda s: s[-1], "mean": lambda s: s.mean(axis=0), "max": lambda s: s.max(axis=0)}
        answers.append(words[how](steps) if len(steps) else np.zeros(x.shape[2]))
    return np.array(answers).reshape(x.shape[1:])


@given(cases())
def test_pool_by_hand(case):
    how, x, lengths, resets = case
    answer, state = pool(NUMPY, Pool("p", "x", how), x, None, lengths, resets)
    np.testing.assert_allclose(answer, by_hand(how, x, lengths, resets), rtol=1e-6, atol=1e-7)
    assert answer.dtype == np.float32
    assert state.count.dtype == np.int64


@given(cases(), st.integers(0, 9))
def test_pool_in_two_pieces_gives_the_same_bits(case, cut):
    how, x, lengths, resets = case
    # Numbers of very different size, so that a sum depends on its order.
    x = (x * 10.0 ** np.random.default_rng(0).integers(-18, 18, x.shape)).astype(np.float32)
    block = Pool("p", "x", how)
    whole, last = pool(NUMPY, block, x, None, lengths, resets)
    state = None
    cut = min(cut, len(x))
    for piece in (slice(0, cut), slice(cut, len(x))):
        part = None if lengths is None else np.clip(lengths - piece.start, 0, piece.stop - piece.start)
        flags = None if resets is None else resets[piece]
        pieces, state = pool(NUMPY, block, x[piece], state, part, flags)
    assert pieces.tobytes() == whole.tobytes()
    assert [value.tobytes() for value in state] == [value.tobytes() for value in last]


@given(cases())
def test_pool_in_torch_has_the_numbers_and_a_gradient(case):
    how, x, lengths, resets = case
    expected, _ = pool(NUMPY, Pool("p", "x", how), x, None, lengths, resets)
    there = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    tensors = (None if value is None else torch.from_numpy(value) for value in (lengths, resets))
    answer = pool_in_torch(how, there, *tensors)
    np.testing.assert_allclose(answer.detach().numpy(), expected, rtol=1e-6, atol=1e-6)
    if not x.size:
        return
    answer.sum().backward()
    some = (by_hand("max", np.abs(x), lengths, resets) > 0).all(axis=1)  # rows with any step
    np.testing.assert_allclose(
        there.grad.numpy().sum(axis=0), some[:, None] * np.ones(x.shape[2]), rtol=1e-12
    )


@pytest.mark.parametrize("how", HOWS)
def test_padding_of_nan_stays_outside(how):
    x = np.full((4, 2, 3), np.nan, np.float32)
    x[:2, 0] = 1
    x[:3, 1] = 2
    answer, _ = pool(NUMPY, Pool("p", "x", how), x, None, np.array([2, 3]), None)
    np.testing.assert_array_equal(answer, [[1] * 3, [2] * 3])
    there = torch.tensor(x, requires_grad=True)
    pool_in_torch(how, there, torch.tensor([2, 3]), None).sum().backward()
    assert torch.isfinite(there.grad).all()


def test_mean_of_a_long_stream_stays_exact():
    """In float32 the sum would stop growing; the state is as after ten million steps of 0.1."""
    count = 10_000_000
    state = PoolState(np.full((1, 1), 0.1 * count), np.array([count]))
    answer, after = pool(
        NUMPY, Pool("p", "x", "mean"), np.full((1, 1, 1), 0.1, np.float32), state, None, None
    )
    assert after.count[0] == count + 1
    assert after.value[0, 0] > state.value[0, 0]
    assert answer[0, 0] == pytest.approx(0.1, rel=1e-6)


@given(st.integers(1, 40), st.integers(1, 20), st.integers(0, 1000))
def test_norm_is_torch_layer_norm_and_row_wise(rows, size, seed):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(rows, 2, size)) * 3 + 1).astype(np.float32)
    weight, bias = rng.normal(size=(2, size)).astype(np.float32)
    ours = norm(np, weight, bias, x, eps=1e-5)
    doubles = (torch.from_numpy(array).double() for array in (x, weight, bias))
    theirs = torch.nn.functional.layer_norm(next(doubles), (size,), *doubles)
    np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)
    for row in range(rows):
        assert norm(np, weight, bias, x[row, :1], eps=1e-5).tobytes() == ours[row, :1].tobytes()


def test_relu_is_that_of_torch():
    x = torch.tensor([-1.0, -0.0, 0.0, 2.0, float("nan"), -float("inf"), float("inf")], requires_grad=True)
    y = torch.tensor(x.detach().numpy(), requires_grad=True)
    ours, theirs = activate(xpt, "relu", x), torch.relu(y)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)
    ours[:4].sum().backward()
    theirs[:4].sum().backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=0, atol=0)
