"""CSV and its relatives: separator, header and quoting are seen from the first block; rows come as strings.

A block without quotes whose lines all have the right number of fields is split by polars; anything else
goes through the ``csv`` module row by row, which knows the line of whatever is wrong.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hiddenstate.errors import DataError

from .blocks import MAX_LINE_BYTES, Block, lines_of

if TYPE_CHECKING:
    import polars as pl

SEPARATORS = ("\t", ";", ",", "|")
NO_SEPARATOR = "\x1f"
"""Splits nothing: for files of one column."""

SAMPLE_ROWS = 100


@dataclass(frozen=True)
class Dialect:
    """How a file is written: separator, quoting, the names of its columns, and whether a header gave them."""

    separator: str
    quoted: bool
    header: bool
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def sniff(block: Block, where: str, *, header: bool | None = None, separator: str | None = None) -> Dialect:
    """The dialect of a file, from its first block.

    Args:
        block: the first whole lines.
        where: the file, for messages.
        header: whether the first row names the columns; None: seen from the values.
        separator: between fields; None: the one that splits the sample into equally many fields.

    Raises:
        DataError: the file is blank, or names a column twice.
    """
    lines = [line for line in lines_of(block.data) if line.strip()]
    if not lines:
        raise DataError(
            "no rows", where=where, expected="a header and rows of values", got="blank lines only"
        )
    separator = _best_separator(lines[: 10 * SAMPLE_ROWS]) if separator is None else separator
    quoted = separator != "\t" or _tabs_are_quoted(lines)
    rows = _sample(lines, separator, quoted)
    seen = _has_header(rows) if header is None else header
    fields = [name.strip() for name in rows[0]] if seen else [""] * len(rows[0])
    names = tuple(name or f"column_{i}" for i, name in enumerate(fields, 1))
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(
            f"column {twice[0]!r} appears twice", where=where, fix="Rename one, or read with header=False"
        )
    notes = _notes(where, fields, names) if header is None or seen else ()
    return Dialect(separator, quoted, seen, names, notes)


def tables(blocks: Iterator[Block], dialect: Dialect, where: str) -> Iterator[pl.DataFrame]:
    """The rows of a file as frames of strings, one for each block; empty fields are null.

    Raises:
        DataError: a row has too many or too few fields, or a quote is never closed; the message names the
            line.
    """
    reader = _RowReader(dialect, where)
    for block in blocks:
        frame = None if reader.header or reader.blanks else _split_plain(block.data, dialect)
        if frame is None:
            frame = _frame(reader.read(block, blocks), dialect.names)
        yield frame


def with_points(frame: pl.DataFrame) -> pl.DataFrame:
    """``1.234,5`` as ``1234.5``: the comma is the decimal sign, points stand between thousands."""
    import polars as pl

    words = pl.all().str.strip_chars()
    grouped = words.str.contains(r"^[+-]?\d{1,3}(\.\d{3})+(,\d*)?$")
    plain = words.str.contains(r"^[+-]?(\d+,\d*|,\d+)([eE][+-]?\d+)?$")
    return frame.with_columns(
        pl.when(grouped | plain)
        .then(words.str.replace_all(".", "", literal=True).str.replace(",", "."))
        .otherwise(pl.all())
    )


def _split_plain(data: bytes, dialect: Dialect) -> pl.DataFrame | None:
    """A block by polars when nothing about it is special, else None."""
    import polars as pl

    if (
        (dialect.quoted and b'"' in data)
        or b"\n\n" in data
        or b"\n\r\n" in data
        or data[:1] in (b"\n", b"\r")
    ):
        return None
    text = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(text == ord("\n"))
    if not data.endswith(b"\n"):
        ends = np.append(ends, len(data))
    separators = np.flatnonzero(text == ord(dialect.separator))
    if (np.diff(np.searchsorted(separators, ends), prepend=0) != len(dialect.names) - 1).any():
        return None
    return pl.read_csv(
        data,
        separator=dialect.separator,
        has_header=False,
        new_columns=list(dialect.names),
        quote_char=None,
        infer_schema=False,
        truncate_ragged_lines=False,
    )


class _RowReader:
    """Rows by the csv module.

    A blank line is a missing value in a file of one column, unless only blank lines follow; elsewhere it is
    skipped.

    Attributes:
        header: whether the row of names is still to come.
        blanks: blank lines after the last row of a file of one column.
    """

    def __init__(self, dialect: Dialect, where: str) -> None:
        self.header = dialect.header
        self.blanks = 0
        self._dialect = dialect
        self._where = where
        csv.field_size_limit(MAX_LINE_BYTES)

    def read(self, block: Block, more: Iterator[Block]) -> list[list[str]]:
        """The rows of a block, and of as many further blocks as a quoted field runs into."""
        feed, width = _Feed(block, more), len(self._dialect.names)
        reader = _reader(feed, self._dialect.separator, self._dialect.quoted)
        rows: list[list[str]] = []
        while feed.lines:
            line = feed.line
            try:
                row = next(reader)
            except csv.Error as error:
                raise _bad_quotes(error, self._where, line) from error
            if not row or (len(row) == 1 and row[0].isspace()):
                self.blanks += width == 1 and not self.header
            elif self.header:
                self.header = False
            elif len(row) != width:
                raise _ragged(row, self._where, line, self._dialect)
            else:
                rows += [[""]] * self.blanks + [row]
                self.blanks = 0
        return rows


class _Feed:
    """Lines of a block for the csv reader; further blocks are taken only while a quoted field is open."""

    def __init__(self, block: Block, more: Iterator[Block]) -> None:
        self.lines = lines_of(block.data)[::-1]
        self.line = block.first_line
        self._more = more

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        if not self.lines:
            block = next(self._more, None)
            if block is None:
                raise StopIteration
            self.lines = lines_of(block.data)[::-1]
        self.line += 1
        return self.lines.pop()


def _reader(lines: Iterator[str] | list[str], separator: str, quoted: bool) -> Iterator[list[str]]:
    if quoted:
        return csv.reader(lines, delimiter=separator, strict=True)
    return csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE)


def _frame(rows: list[list[str]], names: tuple[str, ...]) -> pl.DataFrame:
    import polars as pl

    columns = zip(*rows, strict=True) if rows else ([] for _ in names)
    return pl.DataFrame(
        {name: [field or None for field in column] for name, column in zip(names, columns, strict=True)},
        schema=dict.fromkeys(names, pl.String),
    )


def _best_separator(lines: list[str]) -> str:
    """The separator that gives most rows as many fields as the first row, which must have more than one."""
    best, best_share = NO_SEPARATOR, 0.5
    for separator in SEPARATORS:
        rows = _sample(lines, separator, separator != "\t" or _tabs_are_quoted(lines))
        width = len(rows[0])
        share = sum(len(row) == width for row in rows) / len(rows)
        if width > 1 and share > best_share:
            best, best_share = separator, share
    return best


def _sample(lines: list[str], separator: str, quoted: bool) -> list[list[str]]:
    rows: list[list[str]] = []
    try:
        for row in _reader(lines, separator, quoted):
            rows.append(row)
            if len(rows) == SAMPLE_ROWS:
                break
    except csv.Error:  # reported with its line when the rows are read
        pass
    return rows or [lines[0].rstrip("\r\n").split(separator)]


def _tabs_are_quoted(lines: list[str]) -> bool:
    """Whether quotes enclose fields in a tab-separated file: if so, every row has equally many fields."""
    try:
        return len({len(row) for row in _reader(lines, "\t", quoted=True)}) == 1
    except csv.Error:
        return False


def _has_header(rows: list[list[str]]) -> bool:
    """No header if some column is a number or date from the first row on, and none becomes one after it.

    Whole numbers, all different, over columns of decimals are names too (of sensors, say).
    """
    first, rest = rows[0], [row for row in rows[1:] if len(row) == len(rows[0])]
    if not rest:
        return not all(_is_value(field) for field in first)
    if len(set(first)) == len(first) > 1 and all(field.isdigit() for field in first):
        return all(any("." in value for value in column) for column in zip(*rest, strict=True))
    from_start = after = False
    for field, column in zip(first, zip(*rest, strict=True), strict=True):
        values = [value for value in column if value.strip()]
        if values and all(_is_value(value) for value in values):
            from_start |= _is_value(field)
            after |= not _is_value(field) and bool(field.strip())
    return after or not from_start


def _is_value(field: str) -> bool:
    text = field.strip()
    try:
        float(text.replace(",", ".", 1))
    except ValueError:
        return len(text) >= 7 and text[:4].isdigit() and text[4] in "-/." and text[5:7].strip("-/.").isdigit()
    return True


def _notes(where: str, fields: list[str], names: tuple[str, ...]) -> tuple[str, ...]:
    if not any(fields):
        span = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
        return (f"{where}: no header row was seen, so the columns are called {span}",)
    unnamed = [name for field, name in zip(fields, names, strict=True) if not field]
    return (f"{where}: columns without a name are called {', '.join(unnamed)}",) if unnamed else ()


def _ragged(row: list[str], where: str, line: int, dialect: Dialect) -> DataError:
    return DataError(
        "a row of another length",
        where=f"{where}, line {line}",
        expected=f"{len(dialect.names)} fields",
        got=f"{len(row)}",
        fix="Put text with separators in it in double quotes; leave a field empty where a value is missing",
    )


def _bad_quotes(error: csv.Error, where: str, line: int) -> DataError:
    return DataError(
        "quotes that do not match",
        where=f"{where}, line {line}",
        expected='text in "double quotes", with quotes inside it doubled',
        got=str(error),
    )
