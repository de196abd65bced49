"""JSON records: one object a line (JSONL), or a list of objects; keys become columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hiddenstate.errors import DataError

from .blocks import Block, lines_of

if TYPE_CHECKING:
    import polars as pl


def frames_of_lines(blocks: Iterator[Block], where: str) -> Iterator[pl.DataFrame]:
    """The objects of a JSONL file as frames, one for each block. Blank lines are skipped.

    The first block names the columns; a key that first appears in a later block is an error, a missing key
    is a missing value.
    """
    names: list[str] | None = None
    for block in blocks:
        lines = [(block.first_line + i, line) for i, line in enumerate(lines_of(block.data)) if line.strip()]
        if not lines:
            continue
        records = _records(lines, where)
        if names is None:
            names = list(dict.fromkeys(key for record in records for key in record))
        late = set().union(*records) - set(names)
        if late:
            key, number = next(
                (key, n) for (n, _), one in zip(lines, records, strict=True) for key in one if key in late
            )
            raise DataError(
                f"key {key!r} first appears far into the file",
                where=f"{where}, line {number}",
                expected="keys of the first lines: " + ", ".join(map(repr, names)),
                fix=f'Give the first line all keys, such as "{key}": null',
            )
        yield frame_of_records(records, where, names=names)


def frame_of_records(
    records: list[dict[str, Any]], where: str, names: list[str] | None = None, first_row: int = 1
) -> pl.DataFrame:
    """Records as a frame: a column for each key, null where a record has no such key."""
    import polars as pl

    if names is None:
        names = list(dict.fromkeys(key for record in records for key in record))
    if not names:
        raise DataError("records without keys", where=where, expected='objects such as {"price": 1.5}')
    return pl.DataFrame(
        [column_of(name, [record.get(name) for record in records], where, first_row) for name in names]
    )


def frame_of_documents(block: Block) -> pl.DataFrame:
    """The lines of a text file that are not blank, one row each, in a column "text"."""
    import polars as pl

    lines = [line.rstrip("\r\n") for line in lines_of(block.data)]
    return pl.DataFrame({"text": [line for line in lines if line.strip()]}, schema={"text": pl.String})


def column_of(name: str, values: Iterable[Any], where: str, first_row: int = 1) -> pl.Series:
    """Python values as a column: numbers, truth values, texts, dates or lists of numbers; mixed: as text."""
    import polars as pl

    values = list(values)
    kinds = {type(value) for value in values if value is not None}
    nested = next((i for i, value in enumerate(values) if isinstance(value, dict)), None)
    if nested is not None:
        raise DataError(
            "an object inside a field",
            where=f"{where}, column '{name}', row {first_row + nested}",
            expected="a number, text, truth value or list of numbers",
            fix="Give each of its parts a key of its own",
        )
    if kinds <= {int} and all(-(2**63) <= value < 2**63 for value in values if value is not None):
        return pl.Series(name, values, dtype=pl.Int64 if kinds else pl.Null)
    if kinds <= {int, float}:
        return pl.Series(
            name, [None if value is None else float(value) for value in values], dtype=pl.Float64
        )
    if kinds == {list}:
        return _column_of_lists(name, values, where, first_row)
    if len(kinds) == 1 and issubclass(next(iter(kinds)), (bool, date, Decimal)):
        return pl.Series(name, values)
    odd = next(
        (i for i, value in enumerate(values) if not isinstance(value, (str, int, float, type(None)))), None
    )
    if odd is not None:
        raise DataError(
            "a value that a table cannot hold",
            where=f"{where}, column '{name}', row {first_row + odd}",
            expected="a number, text, truth value, date or list of numbers, one kind a column",
            got=repr(values[odd])[:60],
        )
    texts = [json.dumps(value) if isinstance(value, (int, float)) else value or None for value in values]
    return pl.Series(name, texts, dtype=pl.String)


def _column_of_lists(name: str, values: list[Any], where: str, first_row: int) -> pl.Series:
    import polars as pl

    deep = any(isinstance(item, list) for value in values if value for item in value)
    dtype = pl.List(pl.List(pl.Float64)) if deep else pl.List(pl.Float64)
    for row, value in enumerate(values):
        try:
            pl.Series(name, [value], dtype=dtype)
        except (TypeError, pl.exceptions.PolarsError) as error:
            raise DataError(
                "a list that does not hold numbers only",
                where=f"{where}, column '{name}', row {first_row + row}",
                expected="a list of numbers, or of equally long lists of numbers",
            ) from error
    return pl.Series(name, values, dtype=dtype)


def _records(lines: list[tuple[int, str]], where: str) -> list[dict[str, Any]]:
    """The objects of numbered lines: all at once if each is one, else one by one up to the wrong line."""
    try:
        records = json.loads(f"[{','.join(line for _, line in lines)}]")
        if len(records) == len(lines) and all(isinstance(record, dict) for record in records):
            return records
    except (json.JSONDecodeError, RecursionError):
        pass
    return [_record(line, f"{where}, line {number}") for number, line in lines]


def _record(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        reason = f"{error.msg} at character {error.pos + 1}" if isinstance(error, ValueError) else str(error)
        raise DataError(
            "a line that is not JSON", where=where, expected="an object a line", got=reason
        ) from error
    if not isinstance(record, dict):
        raise DataError(
            "a line that is no JSON object", where=where, expected='{"name": value, ...}', got=line[:60]
        )
    return record
