"""JSONL, JSON, Parquet, text, and objects in memory."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from hiddenstate import data
from hiddenstate.errors import DataError, OptionError


@pytest.fixture
def file(tmp_path):
    def write(content, name):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_jsonl(file):
    lines = [
        '{"a": 1, "b": "x", "c": true}',
        "",
        '{"b": null, "a": 2.5}',
        '{"a": null, "b": "ü", "c": false}',
    ]
    table = data.read(file("\n".join(lines), "some.jsonl"))
    np.testing.assert_array_equal(table.numbers("a"), [1, 2.5, np.nan])
    assert table.text("b").tolist() == ["x", None, "ü"]
    np.testing.assert_array_equal(table.numbers("c"), [1, np.nan, 0])


def test_json_holds_records_or_columns(file):
    for content in ([{"a": 1}, {"a": 2}], {"a": [1, 2]}):
        assert data.read(file(json.dumps(content), "some.json")).numbers("a").tolist() == [1, 2]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"a": 1}\n{"a": \n', r"a line that is not JSON \(in .*a.jsonl, line 2\)"),
        ("a.jsonl", '{"a": 1}\n[1, 2]\n', r"a line that is no JSON object \(in .*line 2\)"),
        ("a.jsonl", '{"a": {"b": 1}}\n', r"an object inside a field \(in .*column 'a', row 1\)"),
        ("a.jsonl", '{"a": ["x"]}\n', r"a list that does not hold numbers only \(in .*column 'a', row 1\)"),
        ("a.jsonl", "{}\n", "records without keys"),
        ("a.jsonl", "\n\n", "no rows"),
        ("a.jsonl", "[" * 100_000 + "\n", "not JSON"),
        ("a.json", "nonsense", "not a JSON file"),
        ("a.json", "[]", "no rows"),
        ("a.json", "3", "a JSON file without rows"),
        ("a.json", '{"a": [1], "b": [1, 2]}', r"columns of unequal length.*'a': 1, 'b': 2"),
        ("a.parquet", "nonsense", "not a readable Parquet file"),
        ("a.parquet", "", "not a readable Parquet file"),
        ("a.txt", "\n\n", "no rows"),
        ("a.txt", "", "an empty file"),
    ],
)
def test_wrong_content(file, name, content, message):
    with pytest.raises(DataError, match=message):
        data.read(file(content, name))


def test_mixed_values_are_text_until_numbers_are_asked_for(file):
    table = data.read(file('{"a": 1}\n{"a": "x"}\n{"a": true}\n', "some.jsonl"))
    assert table.text("a").tolist() == ["1", "x", "true"]
    with pytest.raises(DataError, match=r"not a number.*column 'a', row 2.*got 'x'"):
        table.numbers("a")


def test_a_key_far_into_the_file(file):
    lines = ['{"a": 1}'] * 200_000
    with pytest.raises(DataError, match=r"key 'b' first appears far into the file \(in .*line 200001\)"):
        data.read(file("\n".join([*lines, '{"b": 1}']), "some.jsonl"))
    assert data.read(file('{"a": 1}\n{"b": 2}\n', "some.jsonl")).names == ["a", "b"]


def test_whole_numbers_keep_their_digits(file):
    table = data.read(file('{"id": 9007199254740993}\n{"id": 18446744073709551617}\n', "some.jsonl"))
    assert table.kind("id") == "numbers"
    assert data.read(file('{"id": 9007199254740993}\n', "b.jsonl")).text("id").tolist() == [
        "9007199254740993"
    ]


def test_parquet(file, tmp_path):
    path = tmp_path / "some.parquet"
    frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"], "t": pd.date_range("2024", periods=3)})
    frame.to_parquet(path)
    table = data.read(path)
    assert table.names == ["a", "b", "t"]
    assert [table.kind(name) for name in table.names] == ["numbers", "text", "time"]
    assert table.text("b").tolist() == ["x", None, "z"]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="not a readable Parquet file"):
        data.read(path)
    with pytest.raises(DataError, match="no such file"):
        data.read(tmp_path / "none.parquet")


def test_text_files(file):
    path = file("first line\r\n\n  second\n", "some.txt")
    assert data.read(path).text("text").tolist() == ["first line", "  second"]
    assert data.read_text(path) == "first line\r\n\n  second\n"
    with pytest.raises(DataError, match="an empty file"):
        data.read_text(file("", "empty.txt"))
    assert data.read(file("1,2\n3,4\n", "numbers.txt"), format="csv").matrix(["column_1"]).tolist() == [
        [1],
        [3],
    ]


SAME = {"a": [1.0, 2.5, None], "b": ["x", None, "z"], "c": [1, 2, 3], "d": [True, False, True]}


@pytest.mark.parametrize(
    "source",
    [
        SAME,
        [dict(zip(SAME, row, strict=True)) for row in zip(*SAME.values(), strict=True)],
        pd.DataFrame(SAME),
        pd.DataFrame(SAME).astype({"a": "Float64", "b": "category", "c": "Int32", "d": "boolean"}),
        pd.DataFrame(SAME, dtype=object),
        pd.DataFrame(SAME).set_index("a"),
        pl.DataFrame(SAME),
        pl.DataFrame(SAME).lazy(),
        pa.table(SAME),
        {name: pd.Series(values) for name, values in SAME.items()},
        {name: np.array(values, dtype=object) for name, values in SAME.items()},
    ],
    ids=[
        "dict",
        "records",
        "pandas",
        "nullable",
        "object",
        "index",
        "polars",
        "lazy",
        "arrow",
        "series",
        "arrays",
    ],
)
def test_one_table_from_any_library(source):
    table = data.read(source)
    assert table.names == list(SAME)
    np.testing.assert_array_equal(table.numbers("a"), [1, 2.5, np.nan])
    assert table.text("b").tolist() == ["x", None, "z"]
    assert table.text("c").tolist() == ["1", "2", "3"]
    assert table.numbers("d").tolist() == [1, 0, 1]


def test_dates_in_frames():
    stamps = pd.date_range("2024-01-01", periods=2, tz="Europe/Berlin")
    expected = np.array(["2023-12-31T23", "2024-01-01T23"], "datetime64[us]")
    frame = pd.DataFrame({"t": stamps, "x": [1, 2]})
    for source in (
        frame,
        frame.set_index("t"),
        frame.astype({"t": object}),
        pl.from_pandas(frame),
        pa.table(frame),
    ):
        np.testing.assert_array_equal(data.read(source).times("t"), expected)
    with_gap = pd.DataFrame({"t": pd.to_datetime(["2024-01-01", None])})
    with pytest.raises(DataError, match=r"missing time stamp.*row 2"):
        data.read(with_gap).times("t")


@pytest.mark.parametrize(
    ("source", "columns"),
    [
        (np.array([1, 2]), {"value": [1, 2]}),
        (np.array([[1.5, 2], [3, 4]]), {"column_1": [1.5, 3], "column_2": [2, 4]}),
        (np.array([(1, 2.5)], dtype=[("a", int), ("b", float)]), {"a": [1], "b": [2.5]}),
        (np.asfortranarray(np.ones((2, 2), np.float32))[::-1], {"column_1": [1, 1], "column_2": [1, 1]}),
        ([1, 2.5], {"value": [1, 2.5]}),
        (range(3), {"value": [0, 1, 2]}),
        (pd.Series([1, 2], name="x"), {"x": [1, 2]}),
        (pd.Series([1, 2]), {"value": [1, 2]}),
        (pl.Series([1, 2]), {"value": [1, 2]}),
        (pa.chunked_array([[1, 2]]), {"value": [1, 2]}),
        ((1, 2), {"value": [1, 2]}),
        (torch.tensor([1, 2]), {"value": [1, 2]}),
        (np.array([1, 2], ">f8"), {"value": [1, 2]}),
        (np.array([1, 2], ">i2"), {"value": [1, 2]}),
        (np.array([1, 2], np.float16), {"value": [1, 2]}),
        (np.array([1, 2], np.longdouble), {"value": [1, 2]}),
    ],
)
def test_arrays_and_lists(source, columns):
    table = data.read(source)
    assert {name: table.numbers(name).tolist() for name in table.names} == columns


def test_masked_values_are_missing():
    table = data.read(np.ma.masked_equal([[1.0, 2.0], [3.0, 0.0]], 0.0))
    np.testing.assert_array_equal(table.matrix(table.names), [[1, 2], [3, np.nan]])


def test_lists_of_text():
    assert data.read(["good", "bad"]).text("text").tolist() == ["good", "bad"]
    assert data.read(np.array(["good", "bad"])).text("value").tolist() == ["good", "bad"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((2, 2, 2)), "an array of the wrong rank"),
        (np.float64(1), "an array of the wrong rank|no table"),
        ({}, "no columns"),
        ({"a": "text"}, "a column that is no list"),
        ({"a": 3}, "a column that is no list"),
        ({"a": [1], "b": [1, 2]}, "columns of unequal length"),
        ([], "no rows"),
        ({"a": []}, "no rows"),
        (pd.DataFrame(), "no rows"),
        ([[1, 2], [3, 4]], "a list of something else"),
        (3, "an object that is no table"),
        (None, "an object that is no table"),
        (b"a,b", "an object that is no table"),
        ([{"a": 1j}], "cannot hold"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns of one name"),
    ],
)
def test_objects_that_are_no_table(source, message):
    with pytest.raises(DataError, match=message):
        data.read(source)


def test_chunks_are_the_file_in_order(file, tmp_path):
    rows = [{"id": i, "name": f"n{i}", "x": i / 3} for i in range(1000)]
    frame = pl.DataFrame(rows)
    frame.write_csv(tmp_path / "some.csv")
    frame.write_ndjson(tmp_path / "some.jsonl")
    frame.write_parquet(tmp_path / "some.parquet", row_group_size=64)
    for name in ("some.csv", "some.jsonl", "some.parquet"):
        for size in (1, 7, 250, 1000, 5000):
            parts = list(data.read_chunks(tmp_path / name, rows=size))
            assert [len(part) for part in parts] == [min(size, 1000 - at) for at in range(0, 1000, size)]
            found = np.concatenate([part.numbers("x") for part in parts])
            np.testing.assert_array_equal(found, frame["x"].to_numpy())
    with pytest.raises(OptionError, match="at least one row"):
        data.read_chunks(tmp_path / "some.csv", rows=0)
    parts = list(data.read_chunks(file("x\n" + "1\n" * 699 + "y\n", "bad.csv"), rows=100))
    with pytest.raises(DataError, match="row 700"):
        parts[-1].numbers("x")
