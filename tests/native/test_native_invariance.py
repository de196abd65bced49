"""One answer, bit for bit: chunks, single steps, batch composition, row order, threads."""

import numpy as np
import pytest

from hiddenstate import native

CELLS = ("rnn_tanh", "rnn_relu", "lstm", "gru", "gru_before")
# (steps, batch, inputs, hidden): small ones run on one thread; the last two split rows and hidden units.
SIZES = ((9, 1, 3, 5), (8, 13, 7, 50), (40, 16, 24, 130), (12, 2, 40, 300))


def same(actual, wanted):
    np.testing.assert_array_equal(actual, wanted, strict=True)


def run(p, x, h, c, lengths=None, resets=None):
    T, B = x.shape[:2]
    y, h_n = np.empty((T, B, h.shape[1]), p.dtype), np.empty_like(h)
    c_n = None if c is None else np.empty_like(c)
    x, h = np.ascontiguousarray(x), np.ascontiguousarray(h)
    c = None if c is None else np.ascontiguousarray(c)
    native.forward(p.plan(), x, h, c, lengths, resets, None, None, False, y, h_n, c_n, None)
    return y, h_n, c_n


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_chunks_steps_and_rows(make, cell, size, dtype):
    p = make(cell, *size, dtype=dtype)
    T, B = size[:2]
    x, h0, c0 = p.get("x"), p.get("h0"), p.get("c0")
    y, h_n, c_n = run(p, x, h0, c0)
    h, c, chunks = h0, c0, []
    for part in np.split(x, sorted({T // 3, T // 3 + 1, T - 2})):
        chunk, h, c = run(p, part, h, c)
        chunks.append(chunk)
    same(np.concatenate(chunks), y)
    same(h, h_n)
    order = np.random.default_rng(0).permutation(B)[: B // 2 + 1]
    rows, _, _ = run(p, x[:, order], h0[order], None if c0 is None else c0[order])
    same(rows, y[:, order])
    h, c, plan = h0.copy(), None if c0 is None else c0.copy(), p.plan()
    for t in range(T):
        h_out = np.empty_like(h)
        native.step(plan, x[t], h, c, h_out, c)
        same(h_out, y[t])
        h = h_out
    if c0 is not None:
        same(c, c_n)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "size",
    [(40, 16, 24, 130), (12, 2, 40, 300), (12, 1, 40, 300), (300, 3, 2, 72), (400, 1, 2, 72), (12, 0, 2, 72)],
)
@pytest.mark.parametrize("proj", [0, 70])
def test_threads(make, threads, cell, size, proj):
    if proj and cell != "lstm":
        proj = 0
    T, B = size[:2]
    rng = np.random.default_rng(0)
    options = {"lengths": rng.integers(0, T + 1, B), "resets": rng.random((T, B)) < 0.1, "rest": True}
    for extra in ({}, options, options | {"reverse": True}):
        p = make(cell, *size, proj, dtype=np.float32, **extra)
        results = []
        for count in (1, 2, 3):
            threads(count)
            results.append([*p.forward()[:3], *p.backward().values()])
        for other in results[1:]:
            for a, b in zip(other, results[0], strict=True):
                if a is not None:
                    same(a, b)


@pytest.mark.parametrize("cell", CELLS)
def test_padding_is_never_read(make, cell):
    lengths = np.array([3, 0, 7, 5])
    p = make(cell, 7, 4, 3, 21, lengths=lengths, dtype=np.float32)
    y, h_n, *_ = p.forward()
    grads = p.backward()
    padded = np.arange(7)[:, None] >= lengths
    p.arrays["x"][padded] = np.nan
    p.arrays["dy"][padded] = np.nan
    same(p.forward()[0], y)
    same(p.forward()[1], h_n)
    for name, value in p.backward().items():
        same(value, grads[name])


@pytest.mark.parametrize("cell", CELLS)
def test_row_alone(make, cell):
    """A row's values and gradients do not depend on the others, on their lengths or on its place."""
    lengths = np.array([3, 0, 7, 5, 7])
    p = make(cell, 7, 5, 3, 21, lengths=lengths, dtype=np.float32)
    y, dx = p.forward()[0], p.backward()["dx"]
    for b in range(5):
        alone = make(cell, 7, 1, 3, 21, lengths=lengths[b : b + 1], dtype=np.float32)
        for name, value in p.arrays.items():
            if name in ("x", "dy"):
                alone.arrays[name] = np.ascontiguousarray(value[:, b : b + 1])
            elif name in ("h0", "c0", "dh_n", "dc_n"):
                alone.arrays[name] = np.ascontiguousarray(value[b : b + 1])
            else:
                alone.arrays[name] = value
        same(alone.forward()[0][:, 0], y[:, b])
        same(alone.backward()["dx"][:, 0], dx[:, b])


def test_linear_rows():
    rng = np.random.default_rng(0)
    w, x = rng.standard_normal((45, 37)).astype("f4"), rng.standard_normal((200, 37)).astype("f4")
    plan, y = native.Linear(w), np.empty((200, 45), "f4")
    native.linear(plan, x, y)
    for rows in (slice(0, 1), slice(3, 5), slice(7, 150)):
        part = np.empty((rows.stop - rows.start, 45), "f4")
        native.linear(plan, x[rows], part)
        same(part, y[rows])
