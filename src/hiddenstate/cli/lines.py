"""Lines of standard input as elements of a stream, and answers as lines of standard output."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any, BinaryIO

import numpy as np

from hiddenstate.errors import DataError

MISSING = ("", "na", "n/a", "nan", "null", "none", "?")


def text_lines(source: BinaryIO) -> Iterator[tuple[int, str]]:
    """The lines of a binary stream as they arrive, numbered from 1, without their line ends.

    Raises:
        DataError: on a line that is not UTF-8.
    """
    for number, line in enumerate(iter(source.readline, b""), start=1):
        try:
            yield number, line.decode().rstrip("\r\n").removeprefix("\ufeff" if number == 1 else "")
        except UnicodeDecodeError as error:
            raise DataError(
                "not UTF-8 text",
                where=f"line {number}",
                expected="UTF-8",
                got=f"byte {error.object[error.start]:#04x}",
            ) from error


class Elements:
    """Reads one element of a numeric stream from each line.

    A line is a number, several numbers with commas between, or a JSON number, list or object. A first line of
    names is a header: the values of the lines after it are handed on under these names. An empty field or a
    word such as NA is a missing value.

    Example:
        >>> read = Elements()
        >>> read("1.5", 1), read("1,,3", 2), read('{"x": null}', 3)
        (1.5, [1.0, nan, 3.0], {'x': nan})
    """

    def __init__(self) -> None:
        self.header: list[str] | None = None

    def __call__(self, line: str, number: int) -> Any:
        """The element in a line; None for a header.

        Raises:
            DataError: on a line that holds no element.
        """
        if line.lstrip()[:1] in ("{", "["):
            return _from_json(line, number)
        cells = [cell.strip() for cell in next(csv.reader([line]), [""])]
        found = [_number(cell) for cell in cells]
        if self.header is None and number == 1 and not any(isinstance(value, float) for value in found):
            self.header = cells
            return None
        if self.header is not None:
            return _named(self.header, found, number)
        for cell, value in zip(cells, found, strict=True):
            if isinstance(value, str):
                raise DataError(
                    "not a number", where=f"line {number}", expected="numbers or JSON", got=repr(cell)
                )
        return found[0] if len(found) == 1 else found


def _named(header: list[str], found: list[float | str], number: int) -> dict[str, float | str]:
    if len(found) != len(header):
        raise DataError(
            "wrong number of values",
            where=f"line {number}",
            expected=f"{len(header)} ({', '.join(header)})",
            got=len(found),
        )
    return dict(zip(header, found, strict=True))


def _number(cell: str) -> float | str:
    if cell.lower() in MISSING:
        return math.nan
    try:
        return float(cell)
    except ValueError:
        return cell


def _from_json(line: str, number: int) -> Any:
    try:
        return _without_null(json.loads(line))
    except ValueError as error:
        raise DataError(
            "not JSON", where=f"line {number}", expected="a JSON list or object", got=str(error)
        ) from error


def _without_null(value: Any) -> Any:
    """JSON's null is a missing number."""
    if isinstance(value, list):
        return [_without_null(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_null(item) for key, item in value.items()}
    return math.nan if value is None else value


def to_line(answer: Any) -> str:
    """An answer as one line of JSON; a missing number is null.

    Example:
        >>> to_line({"label": np.str_("ham"), "p": np.array([0.5, np.nan])})
        '{"label": "ham", "p": [0.5, null]}'
    """
    return json.dumps(plain(answer), ensure_ascii=False)


def plain(value: Any) -> Any:
    """Arrays, records and numpy scalars as what JSON knows."""
    if isinstance(value, (np.ndarray, np.generic)):
        return _dates(value) if value.dtype.kind == "M" else plain(value.tolist())
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {name: plain(getattr(value, name)) for name in value._fields}  # type: ignore[attr-defined]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _dates(value: np.ndarray | np.generic) -> Any:
    """ISO 8601, as short as it can be: no time of day where there is none."""
    return np.datetime_as_string(np.asarray(value, dtype="datetime64[us]"), unit="auto").tolist()
