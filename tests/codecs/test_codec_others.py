"""Categories, calendar features and filling."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hiddenstate import codecs, data
from hiddenstate.codecs.calendar import FIELDS
from hiddenstate.errors import DataError


def test_categories_of_any_type_are_one_text():
    codec = codecs.Categories().fit([7, "7", 7.0, np.int64(7), True, None, "", np.nan, "é"])
    assert codec.known_ == ["7", "true", "é"]
    assert codec.size == 4
    assert codec.encode([7.0, np.bool_(True), "é", "nan", None]).tolist() == [1, 2, 3, 0, 0]
    assert codec.decode([1, 0, 3]).tolist() == ["7", None, "é"]
    assert codec.unseen(["é", "z", None, 8, "z"]) == ["8", "z"]


def test_labels_know_no_unknown():
    codec = codecs.Categories(unknown="error").fit(["spam", "ham"])
    assert (codec.size, codec.encode_one("ham"), codec.decode_one(1)) == (2, 0, "spam")
    for wrong in ("egg", None, ""):
        with pytest.raises(DataError, match="an unknown category: expected one of 'ham', 'spam', got"):
            codec.encode_one(wrong)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.datetimes(), min_size=1, max_size=9))
def test_calendar_fields_are_those_of_python_and_come_back(stamps):
    codec = codecs.Calendar(tuple(FIELDS))
    encoded = codec.encode(np.array(stamps, "datetime64[us]"))
    assert encoded.shape == (len(stamps), codec.size)
    np.testing.assert_allclose(encoded[:, 0::2] ** 2 + encoded[:, 1::2] ** 2, 1, rtol=1e-12)
    decoded = codec.decode(encoded)
    for i, stamp in enumerate(stamps):
        assert {name: int(values[i]) for name, values in decoded.items()} == {
            "second": stamp.second,
            "time_of_day": stamp.hour * 60 + stamp.minute,
            "weekday": stamp.weekday(),
            "day": stamp.day - 1,
            "day_of_year": stamp.timetuple().tm_yday - 1,
            "month": stamp.month - 1,
        }


@pytest.mark.parametrize(
    ("freq", "periods", "fields"),
    [
        ("s", 100_000, ("second", "time_of_day")),
        ("30min", 500, ("time_of_day", "weekday")),
        ("h", 9000, ("time_of_day", "weekday", "day_of_year")),
        ("h", 20, ()),
        ("D", 800, ("weekday", "day", "day_of_year")),
        ("B", 100, ("weekday", "day")),
        ("W", 110, ("day_of_year",)),
        ("MS", 30, ("month",)),
        ("QE", 30, ("month",)),
        ("YS", 30, ()),
    ],
)
def test_the_step_of_the_series_chooses_the_fields(freq, periods, fields):
    stamps = pd.date_range("2020-01-01", periods=periods, freq=freq).to_numpy().astype("datetime64[us]")
    assert codecs.Calendar().fit(stamps).fields_ == fields
    assert codecs.Calendar().fit(stamps, frequency=data.infer_frequency(stamps)).fields_ == fields


def test_calendars_without_fields():
    for times in (np.arange(9), np.array(["2024-01-01"], "datetime64[us]"), np.array([], "datetime64[us]")):
        codec = codecs.Calendar().fit(times)
        assert codec.size == 0
        assert codec.encode(times).shape == (len(times), 0)
        assert codec.encode_one(3).shape == (0,)


def test_one_stamp_in_any_form():
    codec = codecs.Calendar(("month", "time_of_day"))
    expected = codec.encode(np.array(["2024-03-05T06:30"], "datetime64[us]"))[0]
    for stamp in (
        "2024-03-05 06:30",
        "2024-03-05T08:30+02:00",
        dt.datetime(2024, 3, 5, 6, 30),
        dt.datetime(2024, 3, 5, 6, 30, tzinfo=dt.UTC),
        pd.Timestamp("2024-03-05 06:30"),
        np.datetime64("2024-03-05T06:30"),
    ):
        assert codec.encode_one(stamp).tolist() == expected.tolist()


@settings(deadline=None)
@given(st.integers(1, 3), st.lists(st.sampled_from([np.nan, 1.0, 2.0, 3.0]), min_size=3, max_size=60))
def test_filling_is_that_of_pandas_and_never_looks_ahead(width, values):
    values = np.array(values[: len(values) // width * width]).reshape(-1, width)
    codec = codecs.ForwardFill().fit(np.array([[4.0], [6.0]]).repeat(width, axis=1))
    filled = codec.encode(values)
    np.testing.assert_array_equal(filled, pd.DataFrame(values).ffill().fillna(5.0).to_numpy())
    for cut in range(len(values) + 1):
        first = codec.encode(values[:cut])
        rest = codec.encode(values[cut:], last=first[-1] if cut else None)
        np.testing.assert_array_equal(np.concatenate([first, rest]), filled)


def test_filling_learns_column_means():
    codec = codecs.ForwardFill().fit(np.array([[1.0, np.nan], [3.0, 7.0]]))
    assert codec.means_.tolist() == [2, 7]
    assert codec.encode_one([None, "1.5"]).tolist() == [2, 1.5]
    assert codec.encode(np.empty((0, 2))).shape == (0, 2)
    empty = codecs.ForwardFill().fit(np.empty((3, 0)))
    assert empty.encode(np.empty((2, 0))).shape == (2, 0)
