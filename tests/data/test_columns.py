"""What a column means: numbers, text, time stamps, lists; and the row that does not fit."""

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hiddenstate import data
from hiddenstate.data.times import parse_time, parse_times
from hiddenstate.errors import DataError


def table(*values, name="x"):
    return data.Table(pl.DataFrame({name: pl.Series(values)}), where="some.csv")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (("1", "2.5", None), "numbers"),
        (("1", "NA", "nan", "null", "?", "-", "."), "numbers"),
        (("true", "False", None), "numbers"),
        (("true", "1"), "text"),
        ((None, None), "numbers"),
        (("", "NA"), "numbers"),
        (("a", "1"), "text"),
        (("2024-01-01", "2024-01-02"), "time"),
        (("2024-01", None), "time"),
        (("2024-01-01", "soon"), "text"),
        (("01/02/2024",), "text"),
        ((1, 2), "numbers"),
        ((True, False), "numbers"),
        ((dt.date(2024, 1, 1),), "time"),
        (([1.0], [2.0, 3.0]), "sequences"),
    ],
)
def test_kind(values, kind):
    assert table(*values).kind("x") == kind


def test_numbers():
    np.testing.assert_array_equal(
        table("1", " 2.5 ", "+3", "-1e3", ".5", "NA", None, "n/a", "007").numbers("x"),
        [1, 2.5, 3, -1000, 0.5, np.nan, np.nan, np.nan, 7],
    )
    np.testing.assert_array_equal(table("TRUE", "false", None).numbers("x"), [1, 0, np.nan])
    np.testing.assert_array_equal(table(True, None).numbers("x"), [1, np.nan])
    assert table(*range(3)).numbers("x").flags.writeable


@pytest.mark.parametrize("wrong", ["abc", "1.2.3", "1_000", "0x10", "1 000", "12px", "--1", "1e"])
def test_a_wrong_number_names_row_and_value(wrong):
    with pytest.raises(DataError, match=r"not a number \(in some.csv, column 'x', row 3\)") as error:
        table("1", None, wrong, "also wrong").numbers("x")
    assert error.value.got == repr(wrong)


@pytest.mark.parametrize("wrong", ["inf", "-Infinity", "1e999"])
def test_infinities_are_refused(wrong):
    with pytest.raises(DataError, match=r"infinite value \(in some.csv, column 'x', row 2\)"):
        table("1", wrong).numbers("x")
    with pytest.raises(DataError, match="infinite"):
        data.read({"x": [1.0, float(wrong)]}).numbers("x")


def test_text_keeps_what_is_written_and_spells_numbers_simply():
    assert table("007", "NA", None, " a ").text("x").tolist() == ["007", "NA", None, " a "]
    assert table(7, None).text("x").tolist() == ["7", None]
    assert table(7.0, 7.5, float("nan"), None).text("x").tolist() == ["7", "7.5", None, None]
    assert table(True, None).text("x").tolist() == ["true", None]
    assert table(dt.date(2024, 1, 2)).text("x").tolist() == ["2024-01-02"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-31", "2024-01-31"),
        ("2024/1/5", "2024-01-05"),
        ("2024.01.05", "2024-01-05"),
        ("1749-01", "1749-01-01"),
        ("2024-Q3", "2024-07-01"),
        ("2024Q1", "2024-01-01"),
        ("2024-01-31 12:30", "2024-01-31T12:30"),
        ("2024-01-31T12:30:05.25", "2024-01-31T12:30:05.25"),
        ("2024-01-31T12:30:05.123456789", "2024-01-31T12:30:05.123456"),
        ("2024-01-31T12:30:00Z", "2024-01-31T12:30"),
        ("2024-01-31T12:30+02:00", "2024-01-31T10:30"),
        ("2024-01-01 00:30 +0100", "2023-12-31T23:30"),
        (" 2024-01-31 ", "2024-01-31"),
    ],
)
def test_time_stamps_in_text(text, expected):
    expected = np.datetime64(expected, "us")
    assert table(text).times("x")[0] == expected == parse_time(text)


@settings(max_examples=200, deadline=None)
@given(
    st.datetimes(dt.datetime(1000, 1, 1), dt.datetime(9990, 1, 1), timezones=st.none() | st.timezones()),
    st.sampled_from(["T", " "]),
    st.sampled_from(["auto", "minutes", "milliseconds"]),
)
def test_one_stamp_is_read_as_the_whole_column_is(stamp, sep, precision):
    stamp = stamp.replace(
        second=stamp.second * (precision != "minutes"),
        microsecond=0 if precision == "minutes" else stamp.microsecond // 1000 * 1000,
        fold=0,
    )
    offset = stamp.utcoffset()
    if offset is not None and offset % dt.timedelta(minutes=1):
        return  # zones of before 1900 with seconds in their offset
    text = stamp.isoformat(sep, precision)
    expected = np.datetime64((stamp - offset).replace(tzinfo=None) if offset is not None else stamp, "us")
    times, wrong = parse_times(pl.Series([text]))
    assert (wrong, times.to_numpy()[0], parse_time(text)) == (None, expected, expected)


@pytest.mark.parametrize(
    "wrong", ["2024-02-30", "2024-13", "tomorrow", "01/02/2024", "2024-01-01 25:00", "12:30"]
)
def test_an_unreadable_stamp_names_its_row(wrong):
    with pytest.raises(DataError, match=r"unreadable time stamp \(in some.csv, column 'x', row 2\)") as error:
        table("2024-01-01", wrong, "2024-01-03").times("x")
    assert error.value.got == repr(wrong)
    with pytest.raises(DataError, match="unreadable time stamp"):
        parse_time(wrong)


def test_mixed_zones_and_missing_stamps_name_their_row():
    with pytest.raises(DataError, match=r"with and without a time zone.*row 2"):
        table("2024-01-01T00:00Z", "2024-01-01T01:00", "2024-01-01T02:00Z").times("x")
    with pytest.raises(DataError, match=r"with and without a time zone.*row 3"):
        table(None, "2024-01-01T00:00Z", "2024-01-01T01:00").times("x")
    with pytest.raises(DataError, match=r"unreadable time stamp.*row 2"):
        table("2024-01-01T00:00Z", "soon", "2024-01-01T02:00").times("x")
    for missing in (None, "", "NA"):
        with pytest.raises(DataError, match=r"missing time stamp \(in some.csv, column 'x', row 2\)"):
            table("2024-01-01", missing).times("x")
    with pytest.raises(DataError, match=r"missing time stamp.*row 2"):
        table(1, None).times("x")
    with pytest.raises(DataError, match=r"missing time stamp.*row 1"):
        data.read({"x": np.array(["NaT", "2024-01-01"], "datetime64[D]")}).times("x")


def test_a_column_of_dates_that_is_no_time_axis_may_have_gaps():
    assert np.isnat(table("2024-01-01", "").column("x")).tolist() == [False, True]
    assert np.isnat(next(table(None, dt.date(2024, 1, 1)).rows())["x"])


def test_other_dates_need_their_form():
    def dates(*values, form="%d/%m/%Y"):
        return data.read({"x": list(values)}, time_format=form)

    found = dates("31/01/2024 05:00", "01/02/2024 00:30", form="%d/%m/%Y %H:%M").times("x")
    assert found.tolist() == [dt.datetime(2024, 1, 31, 5), dt.datetime(2024, 2, 1, 0, 30)]
    assert dates("31/01/2024", None).kind("x") == dates("31/01/2024").slice(0, 1).kind("x") == "time"
    assert dates("2024-01-31").times("x").tolist() == [dt.datetime(2024, 1, 31)]  # ISO is always read
    assert dates("31012024", "01022024", form="%d%m%Y").times("x").dtype == "datetime64[us]"
    assert dates("31/01/2024 01:00 +0200", form="%d/%m/%Y %H:%M %z").times("x").tolist() == [
        dt.datetime(2024, 1, 30, 23)
    ]
    with pytest.raises(DataError, match=r"row 2.*expected %d/%m/%Y"):
        dates("31/01/2024", "02/31/2024").times("x")


def test_whole_numbers_count_steps_or_time():
    assert table(3, 1, 2).times("x").tolist() == [3, 1, 2]
    assert table("1959", "1960").times("x").dtype == np.int64
    for unit, factor in (("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)):
        found = table(1_700_000_000 * factor, 1_700_000_060 * factor).times("x")
        assert found.tolist() == [
            dt.datetime(2023, 11, 14, 22, 13, 20),
            dt.datetime(2023, 11, 14, 22, 14, 20),
        ], unit
    assert table("20240131", "20240201").times("x").tolist()[1] == dt.datetime(2024, 2, 1)
    assert table(20240131, 20240132).times("x").dtype == np.int64
    with pytest.raises(DataError, match=r"row 2.*whole numbers or ISO dates, got 1.5"):
        table(1.0, 1.5).times("x")
    with pytest.raises(DataError, match="unreadable time stamp"):
        table("a", "b").times("x")


def test_frames_with_zones_become_utc():
    berlin = pl.Series([dt.datetime(2024, 7, 1)]).dt.replace_time_zone("Europe/Berlin")
    assert data.Table(pl.DataFrame({"x": berlin})).times("x").tolist() == [dt.datetime(2024, 6, 30, 22)]
    with pytest.raises(DataError, match="durations are no time stamps"):
        data.Table(pl.DataFrame({"x": [dt.timedelta(1)]})).times("x")


def test_sequences():
    found = table([1, 2, 3], [4]).sequences("x")
    assert [one.tolist() for one in found] == [[1, 2, 3], [4]]
    found = data.read([{"x": [[1, 2], [3, 4]]}, {"x": [[5, None]]}]).sequences("x")
    assert found[0].shape == (2, 2)
    assert np.isnan(found[1][0, 1])
    with pytest.raises(
        DataError, match=r"no sequence of numbers \(in list.*row 2|in records, column 'x', row 2"
    ):
        data.read([{"x": [1]}, {"x": None}]).sequences("x")
    with pytest.raises(DataError, match="no sequence of numbers"):
        data.read([{"x": [[1, 2], [3]]}]).sequences("x")
    with pytest.raises(DataError, match="a column of lists was needed"):
        table(1, 2).sequences("x")
    with pytest.raises(DataError, match="a column of numbers was needed"):
        table([1], [2]).numbers("x")


def test_tables_are_thin():
    one = data.read({"day": ["2024-01-01", "2024-01-02"], "price": ["1.5", ""], "name": ["a", None]})
    assert (len(one), one.names, "price" in one, "cost" in one) == (2, ["day", "price", "name"], True, False)
    rows = list(one.rows())
    assert rows[0] == {"day": np.datetime64("2024-01-01"), "price": 1.5, "name": "a"}
    assert type(rows[0]["price"]) is float
    assert np.isnan(rows[1]["price"])
    assert one.select(["name"]).names == ["name"]
    assert one.matrix([]).shape == (2, 0)
    assert list(one.to_dict()) == one.names
    with pytest.raises(DataError, match=r"column 'price', row 2"):
        data.read({"price": ["1", "x"]}).slice(1).numbers("price")
