"""`write`: columns to a file or to standard output, completely or not at all."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from hiddenstate.errors import DataError, OptionError
from hiddenstate.files import replacing

from . import memory
from .read import FORMATS
from .table import Table

if TYPE_CHECKING:
    import polars as pl

WRITABLE = ("csv", "jsonl", "parquet")


def write(
    data: Table | Mapping[str, Any] | Iterable[Table | Mapping[str, Any]],
    path: str | os.PathLike[str] | None = None,
    *,
    format: str | None = None,
) -> None:
    """Write columns as CSV, JSONL or Parquet.

    Numbers are written with as many digits as they need to be read back exactly; a missing value is an
    empty field (``null`` in JSONL and Parquet). A file appears under its name only when it is complete.

    Args:
        data: a table, a dict of columns, or an iterator of either (they are written as they come, so that a
            file can be larger than memory).
        path: the suffix names the format; None or "-": standard output.
        format: "csv", "jsonl" or "parquet", where the suffix does not say it.

    Raises:
        DataError: the file cannot be written; one that was there before is untouched.

    Example:
        >>> write({"day": ["mon", "tue"], "sold": [1.5, None]})
        day,sold
        mon,1.5
        tue,
    """
    target = None if path is None or os.fspath(path) == "-" else Path(path)
    format = format or ("csv" if target is None else FORMATS.get(target.suffix.lower(), target.suffix))
    if format not in WRITABLE:
        raise OptionError(
            "cannot write this format",
            where=path,
            expected="a name that ends in .csv, .jsonl or .parquet",
            got=format,
        )
    parts = [data] if isinstance(data, (Table, Mapping)) else data
    frames = (_spelled(_frame(cast(Any, part)), format) for part in parts)
    if target is None:
        _write_stdout(frames, format)
        return
    with replacing(target, error=DataError) as file:
        _write_frames(frames, format, file)


def _frame(part: Table | Mapping[str, Any]) -> pl.DataFrame:
    return (part if isinstance(part, Table) else memory.from_columns(part)).to_polars()


def _write_stdout(frames: Iterable[pl.DataFrame], format: str) -> None:
    """Each part is flushed, so that a reader at the other end of a pipe sees it at once."""
    try:
        if format == "parquet":
            whole = io.BytesIO()
            _write_frames(frames, format, whole)
            sys.stdout.buffer.write(whole.getvalue())
        else:
            for number, frame in enumerate(frames):
                sys.stdout.write(_text(frame, format, first=number == 0))
                sys.stdout.flush()
    except OSError as error:
        raise DataError("cannot write to standard output", got=error.strerror or str(error)) from error


def _write_frames(frames: Iterable[pl.DataFrame], format: str, file: BinaryIO) -> None:
    if format == "parquet":
        _write_parquet(frames, file)
        return
    for number, frame in enumerate(frames):
        file.write(_text(frame, format, first=number == 0).encode())


def _write_parquet(frames: Iterable[pl.DataFrame], file: BinaryIO) -> None:
    """Parts go to a folder of their own first: polars joins them without holding them all in memory."""
    import polars as pl

    with tempfile.TemporaryDirectory(dir=Path(file.name).parent if hasattr(file, "name") else None) as folder:
        try:
            for number, frame in enumerate(frames):
                frame.write_parquet(Path(folder) / f"{number:09}.parquet")
            pl.scan_parquet(Path(folder) / "*.parquet").sink_parquet(file)
        except pl.exceptions.PolarsError as error:
            raise OSError(str(error).splitlines()[0]) from error


def _text(frame: pl.DataFrame, format: str, *, first: bool) -> str:
    if format == "jsonl":
        return frame.write_ndjson()
    blank = '""' if frame.width == 1 else ""  # a line without anything could be taken for the end of the file
    return frame.write_csv(include_header=first, null_value=blank)


def _spelled(frame: pl.DataFrame, format: str) -> pl.DataFrame:
    """Missing numbers as null; in text formats, time stamps in ISO 8601 without needless digits."""
    import polars as pl

    frame = frame.with_columns(pl.selectors.float().fill_nan(None))
    if format == "parquet":
        return frame
    nested = next((name for name, dtype in frame.schema.items() if dtype.is_nested()), None)
    if nested is not None and format == "csv":
        raise DataError(
            "a column of lists cannot be written as CSV", where=f"column '{nested}'", fix="Write .jsonl"
        )
    stamps = [name for name, dtype in frame.schema.items() if dtype.is_temporal()]
    return frame.with_columns(_iso(frame[name]) for name in stamps)


def _iso(stamps: pl.Series) -> pl.Series:
    import polars as pl

    if stamps.dtype not in (pl.Datetime, pl.Date):
        return stamps.cast(pl.String)
    micros = stamps.cast(pl.Datetime("us"))
    if (micros == micros.dt.truncate("1d")).all():
        return micros.dt.strftime("%Y-%m-%d")
    whole = (micros == micros.dt.truncate("1s")).all()
    return micros.dt.strftime("%Y-%m-%dT%H:%M:%S" if whole else "%Y-%m-%dT%H:%M:%S%.6f")
