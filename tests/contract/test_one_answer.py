"""Contract 1: whole scans, chunks and single steps agree bit for bit, and rows do not see one another."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest

from contract.battery import DTYPES, VARIANTS, Case, build, close, hold, same_bits
from hiddenstate import cells, native
from hiddenstate.scan import Layer


def in_chunks(layer, case: Case, cuts):
    """The scan cut at the times ``cuts``, with the state carried from chunk to chunk."""
    steps = case.x.shape[0]
    edges = [0, *sorted(cuts), steps]
    spans = list(pairwise(edges))
    state, outputs = case.start(), []
    for begin, end in reversed(spans) if case.reverse else spans:
        if case.reverse and case.resets is not None and 0 < end < steps:
            state = restarted(case, state, case.resets[end] & (end < case.ends))
        lengths = None if case.lengths is None else np.clip(case.lengths - begin, 0, end - begin)
        resets = None if case.resets is None else case.resets[begin:end]
        y, state = layer.scan(
            case.x[begin:end], state, lengths=lengths, resets=resets, rest=case.rest, reverse=case.reverse
        )
        outputs.append(y)
    return np.concatenate(outputs[::-1] if case.reverse else outputs), state


def in_steps(layer, case: Case):
    """The scan as single steps of the rows that have not ended."""
    steps, rows, _ = case.x.shape
    state = type(case.start())(*(value.copy() for value in case.start()))
    y = np.zeros((steps, rows, state.h.shape[1]), case.x.dtype)
    for t in range(steps - 1, -1, -1) if case.reverse else range(steps):
        at = t + 1 if case.reverse else t
        if case.resets is not None and at < steps:
            state = restarted(case, state, case.resets[at] & (at < case.ends))
        now = np.flatnonzero(t < case.ends)
        new = layer.step(case.x[t, now], type(state)(*(value[now] for value in state)))
        for value, part in zip(state, new, strict=True):
            value[now] = part
        y[t, now] = new.h
    return y, state


def restarted(case: Case, state, rows):
    """The state with some rows back at rest."""
    pairs = zip(case.resting(), state, strict=True)
    return type(state)(*(np.where(rows[:, None], rest[None], value) for rest, value in pairs))


def rows_of(case: Case, rows) -> Case:
    """The case with these rows only, in this order."""

    def pick(record):
        return None if record is None else type(record)(*(value[rows] for value in record))

    return replace(
        case,
        x=np.ascontiguousarray(case.x[:, rows]),
        state=pick(case.state),
        lengths=None if case.lengths is None else case.lengths[rows],
        resets=None if case.resets is None else np.ascontiguousarray(case.resets[:, rows]),
    )


def run(layer, case: Case):
    return layer.scan(case.x, case.state, **case.options)


def time_does_not_matter(case: Case, make=Layer):
    """Whole = chunks = steps = recorded."""
    layer = make(case.cell, case.params)
    y, last = run(layer, case)
    rng = np.random.default_rng(case.x.size)
    for _ in range(2):
        cuts = rng.integers(0, case.x.shape[0] + 1, rng.integers(1, 4)).tolist()
        chunks = in_chunks(layer, case, cuts)
        same_bits(chunks[0], y, f"y in chunks cut at {cuts}")
        same_bits(chunks[1], last, f"state in chunks cut at {cuts}")
    steps = in_steps(layer, case)
    # Without a kernel the products are those of the array library, which may differ with the number of rows.
    equal = same_bits if layer.backend == "native" else almost
    equal(steps[0], y, "y in steps")
    equal(steps[1], last, "state in steps")
    recorded = layer.record(case.x, case.state, **case.options)
    same_bits(recorded.y, y, "y recorded")
    same_bits(recorded.state, last, "state recorded")


def rows_do_not_matter(case: Case, make=Layer):
    """A row's result in any company, order and padding."""
    layer = make(case.cell, case.params)
    equal = same_bits if layer.backend == "native" else almost
    y, last = run(layer, case)
    rng = np.random.default_rng(case.x.size)
    count = case.x.shape[1]
    for rows in (rng.permutation(count), np.arange(count)[::-1], rng.integers(0, max(count, 1), count // 2)):
        part_y, part_last = run(layer, rows_of(case, rows))
        equal(part_y, y[:, rows], f"y of rows {rows}")
        equal(part_last, type(last)(*(value[rows] for value in last)), f"state of rows {rows}")
    padding = np.arange(case.x.shape[0])[:, None] >= case.ends[None]
    for garbage in (np.nan, np.inf, 1e30):
        padded = replace(case, x=np.where(padding[:, :, None], case.x.dtype.type(garbage), case.x))
        if case.resets is not None:
            padded = replace(padded, resets=case.resets ^ padding)
        y_padded, last_padded = run(layer, padded)
        same_bits(y_padded, y, f"y with {garbage} in the padding")
        same_bits(last_padded, last, f"state with {garbage} in the padding")
    assert not y[padding].any(), "y is not zero at padded steps"


def almost(got, wanted, what):
    close(got, wanted, what, tolerance=1e-12)


def threads_do_not_matter(case: Case, make=Layer):
    """The same bits on any number of threads, whole and in chunks."""
    layer = make(case.cell, case.params)
    before = native.get_num_threads()
    try:
        native.set_num_threads(1)
        y, last = run(layer, case)
        for threads in (2, 3):
            native.set_num_threads(threads)
            again, last_again = run(layer, case)
            same_bits(again, y, f"y on {threads} threads")
            same_bits(last_again, last, f"state on {threads} threads")
    finally:
        native.set_num_threads(before)


EVERY = pytest.mark.parametrize("cell", VARIANTS, ids=str)
PRECISION = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


@EVERY
@PRECISION
def test_whole_chunks_and_steps_agree(cell, dtype):
    hold(time_does_not_matter, cell, dtype)


@EVERY
@PRECISION
def test_rows_do_not_see_one_another(cell, dtype):
    hold(rows_do_not_matter, cell, dtype)


@EVERY
@PRECISION
def test_threads_do_not_change_bits(cell, dtype):
    hold(threads_do_not_matter, cell, dtype, examples=8)
    wide = {"given": {"state", "lengths", "resets"}, "reverse": False, "bias": True, "seed": 1}
    threads_do_not_matter(build(cell, dtype, steps=5, rows=67, inputs=33, hidden=62, proj=5, **wide))
    threads_do_not_matter(build(cell, dtype, steps=3, rows=1, inputs=130, hidden=300, proj=60, **wide))


@EVERY
@PRECISION
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_number_is_seen_in_its_row_only_and_until_its_reset(cell, dtype, bad):
    case = build(cell, dtype, 6, 5, 3, 17, 4, True, {"state", "resets"}, False, seed=3)
    case.resets[:] = False
    case.resets[4, 1] = True
    clean, _ = run(Layer(cell, case.params), case)
    case.x[2, 1, 0] = bad
    with np.errstate(all="ignore"):
        y, _ = run(Layer(cell, case.params), case)
        python, _ = run(Layer(cell, case.params, backend="python"), case)
    others = [0, 2, 3, 4]
    same_bits(y[:, others], clean[:, others], "the other rows")
    same_bits(y[4:, 1], clean[4:, 1], "the row after its reset")
    assert np.isnan(y[2:4, 1]).all() or not np.isnan(bad)
    np.testing.assert_array_equal(np.isfinite(y), np.isfinite(python))


@EVERY
def test_the_python_step_keeps_the_contract(cell):
    python = lambda cell, params: Layer(cell, params, backend="python")  # noqa: E731
    hold(lambda case: time_does_not_matter(case, python), cell, np.float64, examples=15)
    hold(lambda case: rows_do_not_matter(case, python), cell, np.float64, examples=15)


# The batteries catch what they are there for.


@dataclass(frozen=True)
class BatchMean(cells.RNN):
    """A cell whose rows see one another."""

    name = "batch_mean"
    native = None

    def step(self, xp, params, x, state):
        return super().step(xp, params, x - 0.1 * x.sum(axis=0), state)


class Forgetful(Layer):
    """Loses the last bits of the state that it hands on."""

    def scan(self, *args, **kwargs):
        y, state = super().scan(*args, **kwargs)
        return y, type(state)(*(value.astype(np.float16).astype(value.dtype) for value in state))


class Unmasked(Layer):
    """Does not know where rows end."""

    def scan(self, x, state=None, *, lengths=None, **options):
        return super().scan(x, state, **options)


class Drifting(Layer):
    """Rounds differently when there are many rows."""

    def scan(self, x, state=None, **options):
        y, state = super().scan(x, state, **options)
        return y * (1 + np.finfo(x.dtype).eps) if x.shape[1] > 4 else y, state


@pytest.mark.parametrize(
    ("check", "cell", "make"),
    [
        (time_does_not_matter, cells.GRU(), Forgetful),
        (time_does_not_matter, cells.LSTM(), Unmasked),
        (time_does_not_matter, cells.RNN(), Drifting),
        (rows_do_not_matter, BatchMean(), Layer),
        (rows_do_not_matter, cells.GRU(), Unmasked),
        (rows_do_not_matter, cells.LSTM(), Drifting),
    ],
)
def test_a_broken_promise_is_caught(check, cell, make):
    with pytest.raises(AssertionError):
        hold(lambda case: check(case, make), cell, np.float64, examples=60)
