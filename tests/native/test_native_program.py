"""Several operations on fixed arrays in one call, and the copy that checks its numbers."""

import numpy as np
import pytest

from hiddenstate import native
from hiddenstate.errors import OptionError, ShapeError

F4 = np.float32


def numbers(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(F4)


def test_a_program_is_its_parts():
    table, ids = numbers(7, 4), np.array([0, 6, 99, -3])
    embedded, joined, summed = np.empty((4, 4), F4), np.empty((4, 10), F4), np.empty((4, 6), F4)
    other, more = numbers(4, 6), numbers(4, 6)
    layer, head = (
        native.Plan("lstm", numbers(20, 10), numbers(20, 5)),
        native.Linear(numbers(3, 5), numbers(3)),
    )
    h, c, h_out, c_out = numbers(4, 5), numbers(4, 5), np.empty((4, 5), F4), np.empty((4, 5), F4)
    y = np.empty((4, 3), F4)
    native.Program([
        ("embed", table, ids, embedded),
        ("add", summed, [other, more, other]),
        ("concat", joined, [embedded, summed]),
        ("step", layer, joined, h, c, h_out, c_out),
        ("linear", head, h_out, y),
        ("relu", y),
    ]).run()  # fmt: skip
    np.testing.assert_array_equal(embedded, table[[0, 6, 6, 0]])
    np.testing.assert_array_equal(summed, other + more + other)
    np.testing.assert_array_equal(joined, np.concatenate([embedded, summed], axis=1))
    h_n, c_n, expected = np.empty_like(h), np.empty_like(c), np.empty_like(y)
    native.step(layer, joined, h, c, h_n, c_n)
    native.linear(head, h_n, expected)
    np.testing.assert_array_equal(h_out, h_n)
    np.testing.assert_array_equal(c_out, c_n)
    np.testing.assert_array_equal(y, np.where(expected <= 0, F4(0), expected))


def test_relu_keeps_nan():
    x = np.array([[np.nan, -1, -0.0, 2]], F4)
    native.Program([("relu", x)]).run()
    assert np.isnan(x[0, 0])
    assert x[0, 1:].tobytes() == np.array([0, 0, 2], F4).tobytes()


def test_a_program_keeps_what_it_needs():
    y = np.empty((1, 3), F4)
    program = native.Program([("linear", native.Linear(np.ones((3, 2), F4), None), np.ones((1, 2), F4), y)])
    program.run()
    assert (y == 2).all()


WRONG = {
    "unknown": ([("sort", np.zeros((1, 1), F4))], OptionError),
    "type": ([("relu", np.zeros((1, 1)))], ShapeError),
    "rank": ([("relu", np.zeros(1, F4))], ShapeError),
    "columns": ([("concat", np.zeros((2, 5), F4), [np.ones((2, 2), F4)])], ShapeError),
    "rows": ([("add", np.zeros((2, 5), F4), [np.ones((1, 5), F4)])], ShapeError),
    "ids": ([("embed", np.zeros((2, 5), F4), np.zeros(2, F4), np.zeros((2, 5), F4))], ShapeError),
    "plan": (
        [("linear", native.Linear(np.ones((3, 2), F4)), np.ones((1, 3), F4), np.ones((1, 3), F4))],
        ShapeError,
    ),
}


@pytest.mark.parametrize(("operations", "error"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_refused_when_made(operations, error):
    with pytest.raises(error):
        native.Program(operations)


def test_fill_takes_plain_finite_arrays():
    target = np.empty((3, 2), F4)
    values = numbers(3, 2)
    assert native.fill(target, values)
    np.testing.assert_array_equal(target, values)
    assert native.fill_rows(target, [values[2], values[0], values[1]])
    np.testing.assert_array_equal(target, values[[2, 0, 1]])
    assert native.fill(target, np.full((3, 2), np.finfo(F4).max))
    for refused in (None, [1.0], values[:2], values.astype("f8"), values.T, numbers(2, 3).T, values.ravel()):
        assert not native.fill(target, refused)
    for bad in (np.nan, np.inf, -np.inf):
        values[1, 1] = bad
        assert not native.fill(target, values)
        assert not native.fill_rows(target, list(values))
    with pytest.raises(ShapeError):
        native.fill_rows(target, [values[0]])
