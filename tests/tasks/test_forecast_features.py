"""What the network sees: levels, lags, masks and units, by hand and in any cut."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hiddenstate.errors import StateError
from hiddenstate.tasks.forecast.features import Features
from hiddenstate.tasks.forecast.layout import Layout

NAN = np.nan


def layout(**options):
    return Layout(**({"target": ("y",), "lags": 2} | options))


def column(*values):
    return np.array(values, float).reshape(-1, 1, 1)


def no_past(rows):
    return np.empty((rows, 0))


def test_values_are_shown_relative_to_the_last_one():
    seen = Features(layout()).encode(column(1, 4, 9), no_past(3))
    assert seen.level.ravel().tolist() == [1, 4, 9]
    assert seen.values[:, 0].tolist() == [
        [0, 0],
        [-3, 0],
        [-5, -8],
    ]  # what came before the first row is shown as 0
    assert seen.unit.tolist() == np.ones((3, 1, 1)).tolist()


def test_values_relative_to_the_mean_of_those_shown():
    seen = Features(layout(level="mean")).encode(column(1, 5, 9, 1), no_past(4))
    assert seen.level.ravel().tolist() == [1, 3, 5, 5]
    assert seen.values[3, 0].tolist() == [-4, 4, 0]


def test_values_as_they_are():
    seen = Features(layout(level="none", lags=1)).encode(column(2, NAN, 7), no_past(3))
    assert seen.level.ravel().tolist() == [0, 0, 0]
    assert seen.values[:, 0].tolist() == [
        [2, 0],
        [2, 2],
        [7, 2],
    ]  # the gap is filled with the last known value


def test_a_masked_column_says_what_is_missing():
    columns = layout(past=("a", "b"), masked=("y", "b"))
    past = np.array([[1, NAN], [NAN, 3], [2, NAN]])
    seen = Features(columns).encode(column(NAN, 5, NAN), past)
    assert seen.missing[:, 0].tolist() == [[1, 1], [0, 0], [1, 1]]
    assert seen.past[:, 0].tolist() == [[1, 0], [1, 3], [2, 3]]
    assert seen.level.ravel().tolist() == [
        0,
        5,
        5,
    ]  # 0, the mean of the training data, before there is a value


def test_an_unknown_series_is_measured_in_its_own_deviation():
    values = np.array([3.0, NAN, 5.0, 9.0, 1.0])
    seen = Features(layout(), known=False).encode(values.reshape(-1, 1, 1), no_past(5))
    wanted = [1.0, 1.0, *(np.nanstd(values[: i + 1]) for i in (2, 3, 4))]
    np.testing.assert_allclose(seen.unit.ravel(), wanted, rtol=1e-12)
    np.testing.assert_allclose(seen.values[4, 0, 0], (9.0 - 1.0) / wanted[4], rtol=1e-12)


@settings(max_examples=40)
@given(st.integers(1, 25), st.integers(0, 100), st.sampled_from(["last", "mean", "none"]), st.booleans())
def test_any_cut_gives_the_same_bits(rows, seed, level, known):
    rng = np.random.default_rng(seed)
    columns = layout(target=("a", "b"), past=("p",), masked=("b", "p"), level=level, lags=3)
    target = np.where(rng.random((rows, 1, 2)) < 0.3, NAN, rng.normal(size=(rows, 1, 2)) * 100)
    past = np.where(rng.random((rows, 1)) < 0.3, NAN, rng.normal(size=(rows, 1)))
    whole = Features(columns, known=known).encode(target, past)
    features, parts = Features(columns, known=known), []
    cuts = sorted(rng.integers(0, rows + 1, 3).tolist())
    for start, stop in zip([0, *cuts], [*cuts, rows], strict=True):
        parts.append(features.encode(target[start:stop], past[start:stop]))
        state = json.loads(json.dumps(features.state()))
        features = Features(columns, known=known)
        features.restore(state)
    for name in whole._fields:
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert joined.tobytes() == getattr(whole, name).tobytes(), name


def test_paths_go_their_own_ways():
    features = Features(layout(), known=False)
    features.encode(column(1, 2, 4), no_past(3))
    forked = features.fork(2)
    both = forked.encode(np.array([[[8.0], [3.0]]]), no_past(1))
    for path, value in enumerate((8.0, 3.0)):
        alone = features.fork(1).encode(column(value), no_past(1))
        np.testing.assert_array_equal(both.values[:, path], alone.values[:, 0])
        np.testing.assert_array_equal(both.unit[:, path], alone.unit[:, 0])


@pytest.mark.parametrize(
    "state", [{}, {"window": [1.0]}, {"window": "x", "past": [], "moments": [], "first": []}]
)
def test_a_state_that_does_not_fit_is_refused(state):
    with pytest.raises(StateError, match="does not fit"):
        Features(layout()).restore(state)


def test_the_values_of_the_steps_ahead_one_cycle_before():
    columns = layout(lags=1, cycle=5, steps=2)
    assert columns.shown == (1, 4, 3)
    seen = Features(columns).encode(column(10, 11, 12, 13, 14, 25), no_past(6))
    assert seen.values[5, 0].tolist() == [14 - 25, 11 - 25, 12 - 25]
    assert seen.values[2, 0].tolist() == [-1, 0, 0]
    assert layout(lags=3, cycle=5, steps=9).shown == (1, 2, 3, 4)
