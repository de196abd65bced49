"""CSV in all the shapes people bring, against the standard library's writer and the message a user sees."""

import bz2
import csv
import gzip
import io
import lzma
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hiddenstate import data
from hiddenstate.data import blocks, delimited
from hiddenstate.errors import DataError, OptionError


@pytest.fixture
def file(tmp_path):
    def write(content, name="some.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def columns(table):
    return {name: table.text(name).tolist() for name in table.names}


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"), max_size=8)


@settings(max_examples=200, deadline=None)
@given(
    rows=st.integers(2, 4).flatmap(
        lambda n: st.lists(st.lists(TEXT, min_size=n, max_size=n), min_size=1, max_size=9)
    ),
    separator=st.sampled_from(delimited.SEPARATORS),
    size=st.sampled_from([3, 17, blocks.BLOCK_BYTES]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_the_standard_writer_writes_is_read_back(rows, separator, size, quoting, end):
    names = [f"c{i}" for i in range(len(rows[0]))]
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=separator, quoting=quoting, lineterminator=end).writerows([names, *rows])
    dialect = delimited.Dialect(separator, True, True, tuple(names))
    parts = blocks.blocks(io.BytesIO(out.getvalue().encode()), "x", size)
    found = [row for frame in delimited.tables(parts, dialect, "x") for row in frame.rows()]
    assert found == [tuple(field or None for field in row) for row in rows]


@settings(max_examples=100, deadline=None)
@given(
    values=st.lists(
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=2), min_size=2
    ),
    separator=st.sampled_from(delimited.SEPARATORS),
    header=st.booleans(),
)
def test_numbers_come_back_to_the_last_bit_by_the_fast_way(values, separator, header):
    lines = ["a" + separator + "b"] * header + [separator.join(map(repr, row)) for row in values]
    block = blocks.Block("\n".join(lines).encode(), 1)
    dialect = delimited.sniff(block, "x")
    assert (dialect.separator, dialect.header) == (separator, header)
    [frame] = delimited.tables(iter([block]), dialect, "x")
    found = data.Table(frame).matrix(dialect.names)
    np.testing.assert_array_equal(found, np.array(values))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a,b\n1,2\n", {"a": ["1"], "b": ["2"]}),
        ("a;b\n1,5;2,5\n", {"a": ["1,5"], "b": ["2,5"]}),
        ("a\tb\n1\tx y\n", {"a": ["1"], "b": ["x y"]}),
        ("a|b\n1|2\n", {"a": ["1"], "b": ["2"]}),
        ("a\n1\n2\n", {"a": ["1", "2"]}),
        ("text\nHello, world\nBye\n", {"text": ["Hello, world", "Bye"]}),
        ("a,b\n1,\n,2\n", {"a": ["1", None], "b": [None, "2"]}),
        ("a, b\n1, 2\n", {"a": ["1"], "b": [" 2"]}),
        ("\ufeffprice,day\n1,2\n", {"price": ["1"], "day": ["2"]}),
        ("größe,日付\n1,2\n", {"größe": ["1"], "日付": ["2"]}),
        ('a,b\n"two\nlines","a ""quote"""\n', {"a": ["two\nlines"], "b": ['a "quote"']}),
        ('a,b\n5" pipe,1\n', {"a": ['5" pipe'], "b": ["1"]}),
        ("a,b\r\n1,2\r\n\r\n3,4\r\n", {"a": ["1", "3"], "b": ["2", "4"]}),
        ("a,b\n1,2", {"a": ["1"], "b": ["2"]}),
        ("\n\na,b\n1,2\n\n", {"a": ["1"], "b": ["2"]}),
        ("a\n1\n\n3\n\n\n", {"a": ["1", None, "3"]}),
        (",b\nx,1\n", {"column_1": ["x"], "b": ["1"]}),
        ("1,2\n3,4\n", {"column_1": ["1", "3"], "column_2": ["2", "4"]}),
        ("2024-01-01,a\n2024-01-02,b\n", {"column_1": ["2024-01-01", "2024-01-02"], "column_2": ["a", "b"]}),
        ("0\tgood\n1\tbad\n", {"column_1": ["0", "1"], "column_2": ["good", "bad"]}),
        ("101,102\n1.5,2.5\n0.5,0.25\n", {"101": ["1.5", "0.5"], "102": ["2.5", "0.25"]}),
        (
            "id,2020,2021\nx,1,2\n",
            {"column_1": ["id", "x"], "column_2": ["2020", "1"], "column_3": ["2021", "2"]},
        ),
        ('ham\tsay "hi\nspam\t"buy" now\n', {"ham": ["spam"], 'say "hi': ['"buy" now']}),
        ('a\tb\n"x\ty"\t1\n', {"a": ["x\ty"], "b": ["1"]}),
    ],
)
def test_shapes_of_files(file, content, expected):
    assert columns(data.read(file(content))) == expected


def test_header_and_separator_can_be_said(file):
    path = file("2020,2021\n1,2\n")
    assert data.read(path, header=True).names == ["2020", "2021"]
    assert data.read(path, header=False).text("column_1").tolist() == ["2020", "1"]
    assert data.read(path, separator=";", header=True).names == ["2020,2021"]
    assert data.read(path).notes == (
        f"{path}: no header row was seen, so the columns are called column_1 to column_2",
    )
    assert data.read(path, header=False).notes == ()


@pytest.mark.parametrize(
    ("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress)]
)
def test_compressed_files(file, suffix, pack):
    packed = pack(b"a,b\n" + b"1,2\n" * 1000)
    assert len(data.read(file(packed, f"some.csv{suffix}"))) == 1000
    with pytest.raises(DataError, match="damaged or truncated compressed file"):
        data.read(file(packed[:-9], f"cut.csv{suffix}"))
    with pytest.raises(DataError, match=r"damaged or truncated|cannot read"):
        data.read(file(b"no archive at all", f"wrong.csv{suffix}"))


def test_standard_input(monkeypatch):
    def feed(text):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        return data.read("-")

    assert columns(feed("a,b\n1,2\n")) == {"a": ["1"], "b": ["2"]}
    assert feed('{"a": 1.5}\n').numbers("a").tolist() == [1.5]
    with pytest.raises(DataError, match="empty"):
        feed("")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"an empty file \(in .*some.csv\)"),
        ("\n \n\n", "no rows"),
        ("a,b\n", r"no rows \(in .*some.csv\): expected at least one row of values, got a header only"),
        ("a,b\n1,2\n3\n", r"a row of another length \(in .*line 3\): expected 2 fields, got 1"),
        ("a,b\n1,2\n3,4,5\n", r"line 3\): expected 2 fields, got 3"),
        ('a,b\n"x\ny",2\n3\n', r"line 4\): expected 2 fields, got 1"),
        ("a,b,a\n1,2,3\n", r"column 'a' appears twice \(in .*some.csv\)"),
        ('a,b\n1,"open\n2,3\n', r"quotes that do not match \(in .*line 2\)"),
        ('a,b\n1,"x"y\n', r"quotes that do not match \(in .*line 2\)"),
        (b"a,b\n1,2\n3,caf\xe9\n", r"not UTF-8 \(in .*line 3, byte 13\): expected UTF-8, got byte 0xe9"),
        (b"a,b\n1,\x00\n", r"a zero byte; this is no text file \(in .*line 2, byte 6\)"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16 text"),
        (b"a,b\r1,2\r", "carriage return"),
    ],
)
def test_wrong_files_are_refused_with_their_line(file, content, message):
    with pytest.raises(DataError, match=message):
        data.read(file(content))


def test_wrong_paths(tmp_path):
    cases = [
        (tmp_path / "none.csv", "no such file"),
        (tmp_path, "a folder, not a file"),
        ("https://example.org/a.csv", "an address, not a file"),
        ("a,b\n1,2\n", "text where a path was expected"),
        (tmp_path / "a.xlsx", "a .xlsx file.*Save the sheet as CSV"),
        (tmp_path / "a.zip", "a .zip file.*Unpack it first"),
        ("a\0b.csv", "text where a path was expected"),
    ]
    for path, message in cases:
        with pytest.raises(DataError, match=message):
            data.read(path)


def test_wrong_options(file):
    path = file("a\n1\n")
    for option in ({"format": "excel"}, {"separator": "::"}, {"separator": '"'}, {"decimal": "'"}):
        with pytest.raises(OptionError, match=next(iter(option))):
            data.read(path, **option)


def test_an_error_far_into_the_file_names_its_line(file):
    good = "1,2\n" * 300_000
    with pytest.raises(DataError, match="line 300002"):
        data.read(file(f"a,b\n{good}3\n"))
    with pytest.raises(DataError, match=r"column 'b', row 300001.*got 'x'"):
        data.read(file(f"a,b\n{good}3,x\n")).numbers("b")


def test_a_line_without_end_is_refused(file, monkeypatch):
    monkeypatch.setattr(blocks, "MAX_LINE_BYTES", 10_000)
    with pytest.raises(DataError, match=r"line without end; is this a text file\? \(in .*line 2\)"):
        data.read(file("a\n" + "1" * (3 << 20)))


def test_decimal_commas(file):
    table = data.read(file("x;y\n1,5;a,b\n-0,25;c\n1.234,5;1.234\n;\n3;d\n"), decimal=",")
    np.testing.assert_array_equal(table.numbers("x"), [1.5, -0.25, 1234.5, np.nan, 3.0])
    assert table.text("y").tolist() == ["a,b", "c", "1234", None, "d"]
    with pytest.raises(DataError, match=r"row 1\): expected a number.*got '1,5'.*decimal=','"):
        data.read(file("x;y\n1,5;2\n")).numbers("x")


def test_missing_columns_are_named(file):
    with pytest.raises(
        DataError, match=r"no column 'price' \(in .*\): expected one of 'day', 'prize'.*header=False"
    ):
        data.read(file("day,prize\n1,2\n")).numbers("price")
