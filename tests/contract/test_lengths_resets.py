"""Contract 3: rows of any length in any order, and resets, equal to running every segment by itself."""

from itertools import pairwise

import numpy as np
import pytest

from contract.battery import DTYPES, VARIANTS, Case, build, close, hold, same_bits
from hiddenstate import cells
from hiddenstate.scan import Layer


def alone(layer, case: Case):
    """Every segment of every row as a scan of its own, with one row, no lengths and no resets."""
    steps, rows, _ = case.x.shape
    start, rest = case.start(), case.resting()
    y = np.zeros((steps, rows, start.h.shape[1]), case.x.dtype)
    last = type(start)(*(value.copy() for value in start))
    for row in range(rows):
        state = type(start)(*(value[row : row + 1] for value in start))
        for begin, end, fresh in segments(case, row):
            if fresh:
                state = type(rest)(*(value[None] for value in rest))
            x = np.ascontiguousarray(case.x[begin:end, row : row + 1])
            part, state = layer.scan(x, state, reverse=case.reverse)
            y[begin:end, row] = part[:, 0]
        for value, new in zip(last, state, strict=True):
            value[row] = new[0]
    return y, last


def segments(case: Case, row: int):
    """Begin and end of the segments of a row in the order they run, and whether they start from rest."""
    end = int(case.ends[row])
    flagged = np.zeros(end, bool) if case.resets is None else case.resets[:end, row]
    begins = sorted({0, *np.flatnonzero(flagged).tolist()}) if end else []
    spans = list(pairwise([*begins, end]))
    if case.reverse:
        return [(*span, index > 0) for index, span in enumerate(reversed(spans))]
    return [(*span, bool(flagged[span[0]])) for span in spans]


def segments_stand_alone(case: Case, make=Layer):
    layer = make(case.cell, case.params)
    y, last = layer.scan(case.x, case.state, **case.options)
    y_alone, last_alone = alone(Layer(case.cell, case.params, backend=layer.backend), case)
    # Without a kernel the products are those of the array library, which may differ with the number of rows.
    equal = same_bits if layer.backend == "native" else almost
    equal(y, y_alone, "y")
    equal(last, last_alone, "state")


def almost(got, wanted, what):
    close(got, wanted, what, tolerance=1e-12)


EVERY = pytest.mark.parametrize("cell", VARIANTS, ids=str)


@EVERY
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
def test_segments_stand_alone(cell, dtype):
    hold(segments_stand_alone, cell, dtype)


@EVERY
def test_segments_stand_alone_by_the_python_step(cell):
    python = lambda cell, params: Layer(cell, params, backend="python")  # noqa: E731
    hold(lambda case: segments_stand_alone(case, python), cell, np.float64, examples=15)


@EVERY
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [[0, 0, 0, 0], [1, 0, 1, 0], [5, 1, 0, 4], [0, 1, 4, 5], [5, 5, 5, 5]])
def test_lengths_in_any_order(cell, lengths, reverse):
    given = {"state", "resets", "rest", "lengths"}
    case = build(cell, np.float32, 5, 4, 3, 19, 0, True, given, reverse, seed=7)
    case.lengths[:] = lengths
    segments_stand_alone(case)


@EVERY
def test_a_row_without_steps_keeps_its_state(cell):
    case = build(cell, np.float64, 3, 2, 2, 5, 0, True, {"state", "lengths", "resets", "rest"}, False, seed=3)
    case.lengths[:] = [0, 3]
    case.resets[:] = True
    _, last = Layer(cell, case.params).scan(case.x, case.state, **case.options)
    for value, first in zip(last, case.state, strict=True):
        assert value[0].tobytes() == first[0].tobytes()


# The battery catches what it is there for.


class Deaf(Layer):
    """Ignores resets."""

    def scan(self, x, state=None, *, resets=None, **options):
        return super().scan(x, state, **options)


class Restless(Layer):
    """Restarts from zeros instead of the rest state."""

    def scan(self, x, state=None, *, rest=None, **options):
        return super().scan(x, state, **options)


class Onward(Layer):
    """Ignores the direction."""

    def scan(self, x, state=None, *, reverse=False, **options):
        return super().scan(x, state, **options)


class Endless(Layer):
    """Ignores where rows end."""

    def scan(self, x, state=None, *, lengths=None, **options):
        return super().scan(x, state, **options)


@pytest.mark.parametrize("make", [Deaf, Restless, Onward, Endless])
def test_a_broken_promise_is_caught(make):
    with pytest.raises(AssertionError):
        hold(lambda case: segments_stand_alone(case, make), cells.GRU(), np.float64, examples=60)
