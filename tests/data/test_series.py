"""Rows to series: grouping, order, repeats, gaps."""

import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hiddenstate import data
from hiddenstate.data.frequency import OFF_GRID
from hiddenstate.errors import DataError, OptionError, SpecError


def days(*numbers):
    return [f"2024-01-{number:02}" for number in numbers]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("bca"), st.integers(0, 30)), min_size=1, unique=True), st.booleans()
)
def test_groups_are_those_of_pandas(rows, dates):
    ids, steps = zip(*rows, strict=True)
    time = pd.date_range("2024", periods=31).to_numpy()[list(steps)] if dates else list(steps)
    frame = pd.DataFrame({"id": ids, "t": time, "x": np.arange(len(rows))})
    found = data.group(data.read(frame), id="id", time="t")
    assert [one.id for one in found] == list(dict.fromkeys(ids))
    for one in found:
        expected = frame[frame.id == one.id].sort_values("t")
        assert one.columns["x"].tolist() == expected.x.tolist() == one.rows.tolist()
        np.testing.assert_array_equal(one.time, expected.t.to_numpy())
        assert one.matrix(["x", "x"]).shape == (len(one), 2)


def test_without_id_or_time_the_table_is_one_series_in_order():
    [one] = data.group(data.read({"x": [3, 1, 2], "c": ["u", None, "v"]}))
    assert (one.id, one.time) == (None, None)
    assert one.columns["x"].tolist() == [3, 1, 2]
    assert one.columns["c"].tolist() == ["u", None, "v"]
    assert one.slice(1).columns["x"].tolist() == [1, 2]
    assert data.regular(one) is one


def test_sorting_is_reported_once(caplog):
    table = data.read({"id": list("aabb"), "t": days(2, 1, 1, 2), "x": [1, 2, 3, 4]})
    with caplog.at_level(logging.WARNING):
        found = data.group(table, id="id", time="t")
    assert [one.columns["x"].tolist() for one in found] == [[2, 1], [3, 4]]
    assert [record.message for record in caplog.records] == [
        "columns: 1 of 2 series were not in time order and sorted"
    ]


@pytest.mark.parametrize(
    ("how", "x", "c", "rows"),
    [
        ("first", [1, 2, 5], ["u", "v", "y"], [0, 1, 4]),
        ("last", [1, 4, 5], ["u", "x", "y"], [0, 3, 4]),
        ("mean", [1, 3, 5], ["u", "x", "y"], [0, 3, 4]),
    ],
)
def test_repeated_stamps(how, x, c, rows):
    table = data.read({"t": days(1, 2, 2, 2, 3), "x": [1, 2, None, 4, 5], "c": list("uvwxy")})
    [one] = data.group(table, time="t", duplicates=how)
    assert one.columns["x"].tolist() == x
    assert one.columns["c"].tolist() == c
    assert one.rows.tolist() == rows
    with pytest.raises(
        DataError, match=r"repeats \(in columns, rows 2, 3, 4\).*got 2024-01-02.*duplicates='first'"
    ):
        data.group(table, time="t")


def test_the_mean_of_missing_values_is_missing():
    table = data.read({"t": days(1, 1), "x": [None, None], "y": [None, 3.0]})
    [one] = data.group(table, time="t", duplicates="mean", columns={"x": "numbers", "y": "numbers"})
    np.testing.assert_array_equal(one.matrix(["x", "y"]), [[np.nan, 3]])


def test_wrong_groups():
    table = data.read({"id": ["a", None], "t": days(1, 2), "x": ["1", "y"], "s": [[1.0], [2.0]]})
    with pytest.raises(DataError, match=r"belongs to no series \(in columns, column 'id', row 2\)"):
        data.group(table, id="id", columns=["t"])
    with pytest.raises(DataError, match="no column 'shop'"):
        data.group(table, id="shop", columns=["t"])
    with pytest.raises(DataError, match=r"not a number.*row 2"):
        data.group(table, time="t", columns={"x": "numbers"})
    with pytest.raises(DataError, match="a column of lists inside a series"):
        data.group(table, time="t")
    with pytest.raises(OptionError, match="duplicates"):
        data.group(table, time="t", duplicates="sum")
    with pytest.raises(OptionError, match="columns"):
        data.group(table, columns={"x": "colour"})


@pytest.mark.parametrize("start", ["2024-01-31 05:30", "2023-02-28", "2020-02-29", "1749-01-01"])
@pytest.mark.parametrize(
    ("offset", "name"),
    [
        ("min", "minutely"),
        ("30min", "every 30 minutes"),
        ("h", "hourly"),
        ("D", "daily"),
        ("B", "business-daily"),
        ("W", "weekly"),
        ("2W", "every 14 days"),
        ("MS", "monthly"),
        ("ME", "monthly"),
        ("QS", "quarterly"),
        ("QE", "quarterly"),
        ("YS", "yearly"),
        ("YE", "yearly"),
        ("250ms", "every 250000 microseconds"),
    ],
)
def test_frequencies_are_those_of_pandas(start, offset, name):
    stamps = pd.date_range(start, periods=24, freq=offset).to_numpy().astype("datetime64[us]")
    keep = np.array([i for i in range(20) if i not in (4, 5, 11)])
    for known in (np.arange(20), keep):
        frequency = data.infer_frequency(stamps[known])
        assert frequency is not None
        assert frequency.name == name
        np.testing.assert_array_equal(frequency.positions(stamps[known], stamps[0]), known)
        np.testing.assert_array_equal(frequency.advance(stamps[19], 4), stamps[20:])
        assert data.Frequency.from_json(frequency.to_json()) == frequency


def test_frequencies_at_the_edges():
    def infer(*stamps):
        return data.infer_frequency(np.array(stamps, "datetime64[us]"))

    assert infer("2024-01-01") is None
    assert infer("2024-01-01", "2024-01-02", "2024-01-02T07:13", "2024-01-05") is None
    assert infer("2024-01-01", "2024-02-01").name == "monthly"
    assert infer("2024-01-31", "2024-02-29", "2024-03-31").name == "monthly"
    assert infer("2024-02-05", "2024-02-06", "2024-02-09").name == "daily"  # no weekend in between
    assert (
        infer("2024-01-01", "2024-01-02", "2024-01-06", "2024-01-09").name == "daily"
    )  # median 3 misses the 2nd
    steps = data.infer_frequency(np.array([0, 2, 4, 8]))
    assert (steps.name, steps.advance(8, 2).tolist(), steps.season) == ("every 2 steps", [10, 12], 1)
    third = data.Frequency("months", 1).advance(np.datetime64("2024-01-30", "us"), 3)
    assert third.astype("datetime64[D]").astype(str).tolist() == ["2024-02-29", "2024-03-30", "2024-04-30"]
    assert data.Frequency("microseconds", 3_600_000_000).season == 24
    for wrong in (
        None,
        {},
        {"unit": "moons", "count": 1},
        {"unit": "steps", "count": 0},
        {"unit": "steps", "count": 1.5},
    ):
        with pytest.raises(SpecError, match="not a frequency"):
            data.Frequency.from_json(wrong)


def test_gaps_become_missing_rows():
    table = data.read({"t": days(1, 2, 5), "x": [1.0, 2, 5], "c": list("uvy"), "when": days(1, 2, 5)})
    [one] = data.group(table, time="t")
    full = data.regular(one)
    assert full.time.astype("datetime64[D]").astype(str).tolist() == days(1, 2, 3, 4, 5)
    np.testing.assert_array_equal(full.columns["x"], [1, 2, np.nan, np.nan, 5])
    assert full.columns["c"].tolist() == ["u", "v", None, None, "y"]
    assert np.isnat(full.columns["when"]).tolist() == [False, False, True, True, False]
    assert full.rows.tolist() == [0, 1, -1, -1, 2]
    assert data.regular(full) is full
    [irregular] = data.group(data.read({"t": [0, 1, 3, 1000], "x": [1, 2, 3, 4]}), time="t")
    assert data.regular(irregular) is irregular


def test_a_wild_stamp_does_not_blow_the_series_up():
    stamps = ["1970-01-01", *days(*range(1, 31))]
    [one] = data.group(data.read({"t": stamps, "x": range(31)}), time="t")
    with pytest.raises(
        DataError, match=r"a gap so wide.*rows 1 and 2\).*1970-01-01.* followed by 2024-01-01"
    ):
        data.regular(one)
    weekly = data.Frequency("microseconds", 7 * 86_400_000_000)
    with pytest.raises(DataError, match=r"not on the weekly grid \(in columns, row 3\)"):
        data.regular(one.slice(1), weekly)
    assert weekly.positions(one.time[1:3], one.time[1]).tolist() == [0, OFF_GRID]
