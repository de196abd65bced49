"""`read`: a table from a file, standard input or an object in memory."""

from __future__ import annotations

import io
import itertools
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hiddenstate.errors import DataError, OptionError

from . import delimited, memory
from .blocks import OPENERS, blocks, opened
from .jsonl import frame_of_documents, frames_of_lines
from .table import Table

if TYPE_CHECKING:
    import polars as pl

FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "text",
    ".text": "text",
    ".md": "text",
}

CHUNK_ROWS = 65_536
PARQUET_SLICE_ROWS = 262_144

_log = logging.getLogger(__name__)


def read(
    source: Any,
    *,
    format: str | None = None,
    header: bool | None = None,
    separator: str | None = None,
    decimal: str = ".",
    time_format: str | None = None,
) -> Table:
    """Read a table.

    Args:
        source: a path (``.csv .tsv .jsonl .ndjson .json .parquet .txt``, text also with ``.gz .xz .bz2``
            after it), "-" for standard input, or in memory: a frame or series of pandas, polars or Arrow, a
            numpy array (``[N]``, ``[N, F]`` or with named fields), a dict of columns, a list of dicts, of
            numbers or of texts.
        format: "csv", "jsonl", "json", "parquet" or "text" where the suffix does not say it. "text" gives
            one row a line in a column "text".
        header: whether the first row of a CSV names the columns; None: seen from the values.
        separator: between the fields of a CSV; None: seen from the rows.
        decimal: the decimal sign of a CSV, "." or ",".
        time_format: how dates are written that are not ISO 8601, in the notation of ``strftime``.

    Returns:
        A `Table` of at least one row.

    Raises:
        DataError: no such file, no rows, not UTF-8, ragged rows, a column named twice; the message names
            the line.

    Example:
        >>> read({"price": [1.0, None, 3.0]}).numbers("price").tolist()
        [1.0, nan, 3.0]
    """
    if isinstance(source, Table):
        return source
    if not isinstance(source, (str, os.PathLike)):
        table = memory.from_memory(source)
        return Table(table.to_polars(), where=table.where, time_format=time_format)
    parts = list(_parts(os.fspath(source), format, header, separator, decimal))
    return _joined(parts, time_format)


def read_chunks(
    source: str | os.PathLike[str],
    *,
    rows: int = CHUNK_ROWS,
    format: str | None = None,
    header: bool | None = None,
    separator: str | None = None,
    decimal: str = ".",
    time_format: str | None = None,
) -> Iterator[Table]:
    r"""Read a file of any size as tables of at most ``rows`` rows; memory does not grow with the file.

    The rows of one series may lie in several chunks. Column names and messages are those of `read`; rows
    are numbered through the file.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "numbers.csv"
        >>> _ = path.write_text("x\n" + "1\n" * 5)
        >>> [len(part) for part in read_chunks(path, rows=2)]
        [2, 2, 1]
    """
    if rows < 1:
        raise OptionError("chunks need at least one row", where="rows", expected="1 or more", got=rows)
    return _regrouped(_parts(os.fspath(source), format, header, separator, decimal), rows, time_format)


def read_text(source: str | os.PathLike[str]) -> str:
    """A text file as one string, exactly as it is; "-" reads standard input.

    Raises:
        DataError: no such file, empty, or not UTF-8.
    """
    path = os.fspath(source)
    with opened(path) as file:
        text = b"".join(block.data for block in blocks(file, path)).decode()
    if not text:
        raise DataError("an empty file", where=path, expected="text")
    return text


def _parts(
    path: str, format: str | None, header: bool | None, separator: str | None, decimal: str
) -> Iterator[Table]:
    """The file in pieces of any size, at least one; rows are numbered through it."""
    _check_options(format, separator, decimal)
    format = format or _format_of(path)
    if format == "parquet":
        pieces = ((frame, ()) for frame in _parquet_frames(path))
    elif format == "json":
        pieces = ((frame, ()) for frame in _json_frames(path))
    else:
        pieces = _text_frames(path, format, header, separator, decimal)
    first_row = 1
    for frame, notes in pieces:
        if frame.height:
            yield Table(frame, where=path, first_row=first_row, notes=notes)
            first_row += frame.height
    if first_row == 1:
        raise DataError("no rows", where=path, expected="at least one row of values", got="a header only")


def _text_frames(
    path: str, format: str, header: bool | None, separator: str | None, decimal: str
) -> Iterator[tuple[pl.DataFrame, tuple[str, ...]]]:
    with opened(path) as file:
        parts = blocks(file, path)
        first = next(parts, None)
        if first is None:
            raise DataError("an empty file", where=path, expected="rows of values")
        parts = itertools.chain([first], parts)
        if format == "jsonl" or (format == "auto" and first.data.lstrip()[:1] == b"{"):
            yield from ((frame, ()) for frame in frames_of_lines(parts, path))
        elif format == "text":
            yield from ((frame_of_documents(block), ()) for block in parts)
        else:
            dialect = delimited.sniff(first, path, header=header, separator=separator)
            for note in dialect.notes:
                _log.warning(note)
            for frame in delimited.tables(parts, dialect, path):
                yield (delimited.with_points(frame) if decimal == "," else frame), dialect.notes


def _parquet_frames(path: str) -> Iterator[pl.DataFrame]:
    """Slices of a Parquet file; only about one slice is in memory."""
    import polars as pl

    with opened(path) as file:
        source = io.BytesIO(file.read()) if path == "-" else path
    try:
        lazy = pl.scan_parquet(source, glob=False)
        rows = int(lazy.select(pl.len()).collect().item())
        for start in range(0, rows, PARQUET_SLICE_ROWS):
            yield lazy.slice(start, PARQUET_SLICE_ROWS).collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError("not a readable Parquet file", where=path, got=reason) from error


def _json_frames(path: str) -> Iterator[pl.DataFrame]:
    text = read_text(path)
    try:
        content = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(
            "not a JSON file", where=path, got=str(error), fix="One object a line? Name it .jsonl"
        ) from error
    if not isinstance(content, (list, dict)):
        raise DataError(
            "a JSON file without rows", where=path, expected="a list of objects or an object of lists"
        )
    yield memory.from_memory(content, where=path).to_polars()


def _regrouped(parts: Iterator[Table], rows: int, time_format: str | None) -> Iterator[Table]:
    """The same rows in tables of exactly ``rows`` rows, except the last."""
    waiting: list[Table] = []
    for part in parts:
        waiting.append(part)
        while sum(map(len, waiting)) >= rows:
            whole = _joined(waiting, time_format)
            yield whole.slice(0, rows)
            waiting = [whole.slice(rows)] if len(whole) > rows else []
    if waiting:
        yield _joined(waiting, time_format)


def _joined(parts: list[Table], time_format: str | None) -> Table:
    import polars as pl

    first = parts[0]
    frame = pl.concat([part.to_polars() for part in parts], how="vertical_relaxed")
    return Table(
        frame, where=first.where, first_row=first.first_row, notes=first.notes, time_format=time_format
    )


def _check_options(format: str | None, separator: str | None, decimal: str) -> None:
    names = sorted({*FORMATS.values()})
    if format is not None and format not in names:
        raise OptionError("unknown format", where="format", expected=f"one of {', '.join(names)}", got=format)
    if separator is not None and (len(separator) != 1 or not separator.isascii() or separator in '"\r\n'):
        raise OptionError(
            "not a separator", where="separator", expected="one ASCII character", got=repr(separator)
        )
    if decimal not in (".", ","):
        raise OptionError("not a decimal sign", where="decimal", expected="'.' or ','", got=repr(decimal))


def _format_of(path: str) -> str:
    """The format a suffix names, looking under one of a compression; "auto" when it names none."""
    if "://" in path:
        raise DataError(
            "an address, not a file", where=path, expected="a path", fix="Download the file first"
        )
    if "\n" in path or "\0" in path:
        raise DataError(
            "text where a path was expected", where=repr(path[:40]), fix="Save it to a file, or pass [text]"
        )
    bare = Path(path).with_suffix("") if Path(path).suffix.lower() in OPENERS else Path(path)
    return FORMATS.get(bare.suffix.lower(), "auto")
