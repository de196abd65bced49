"""Lines in, lines out."""

import io
import json
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hiddenstate.cli.lines import Elements, text_lines, to_line
from hiddenstate.errors import DataError


def elements(*lines):
    read = Elements()
    return [read(line, number) for number, line in enumerate(lines, start=1)]


def test_numbers():
    assert elements("1", "-2.5e3", " 7 ") == [1.0, -2500.0, 7.0]
    assert elements("1,2", "3, 4") == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize("word", ["", "NA", "nan", "null", "?"])
def test_missing_values(word):
    one, missing, two = elements(f"1,{word},2")[0]
    assert (one, two) == (1.0, 2.0)
    assert math.isnan(missing)


def test_json():
    assert elements("[1, 2]", '{"a": 1, "b": "x"}') == [[1, 2], {"a": 1, "b": "x"}]
    assert math.isnan(elements('{"a": null}')[0]["a"])


def test_header_names_the_values_after_it():
    assert elements("day,price", "mon,1.5", "tue,2") == [
        None,
        {"day": "mon", "price": 1.5},
        {"day": "tue", "price": 2.0},
    ]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["1", "2,x"], r"not a number .in line 2.: expected numbers or JSON, got 'x'"),
        (["1", "x"], r"not a number .in line 2."),
        (["a,b", "1"], r"wrong number of values .in line 2.: expected 2 .a, b., got 1"),
        (["{1}"], r"not JSON .in line 1."),
    ],
)
def test_a_bad_line_is_named(lines, message):
    with pytest.raises(DataError, match=message):
        elements(*lines)


def test_lines_are_numbered_and_stripped():
    source = io.BytesIO("\ufeffeins\r\nzwei\n\ndrei".encode())
    assert list(text_lines(source)) == [(1, "eins"), (2, "zwei"), (3, ""), (4, "drei")]


def test_a_line_that_is_not_utf_8_is_named():
    lines = text_lines(io.BytesIO(b"fine\nca\xe9\n"))
    assert next(lines) == (1, "fine")
    with pytest.raises(DataError, match=r"not UTF-8 text .in line 2.: expected UTF-8, got byte 0xe9"):
        next(lines)


class Record(NamedTuple):
    label: str
    p: float


@dataclass
class Box:
    values: np.ndarray


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (1.5, "1.5"),
        (np.float64(0.1), "0.1"),
        (np.array([1, 2]), "[1, 2]"),
        (Record("a", math.nan), '{"label": "a", "p": null}'),
        (Box(np.array([[1.0], [np.inf]])), '{"values": [[1.0], [null]]}'),
        ({"när": np.datetime64("2024-01-31")}, '{"när": "2024-01-31"}'),
        ({1: np.bool_(True)}, '{"1": true}'),
        (None, "null"),
    ],
)
def test_answers_are_json(answer, line):
    assert to_line(answer) == line


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_no_bit_is_lost_on_the_way_out(value):
    assert np.float32(json.loads(to_line(np.float32(value)))) == np.float32(value)
