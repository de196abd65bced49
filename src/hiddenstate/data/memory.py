"""Tables from objects in memory: frames of any library, numpy arrays, dicts and lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hiddenstate.errors import DataError

from .jsonl import column_of, frame_of_records
from .table import Table

if TYPE_CHECKING:
    import polars as pl


def from_memory(source: Any, *, where: str | None = None) -> Table:
    """A table from a frame or series (pandas, polars, Arrow), numpy array, dict of columns or list.

    Messages call it ``where``, or what it is ("columns", "records" ...).

    Raises:
        DataError: not a kind of object that is known here, columns of unequal length, or no rows.
    """
    if isinstance(source, np.ndarray):
        table = _from_array(source)
    elif isinstance(source, Mapping):
        table = from_columns(source, where=where or "columns")
    elif isinstance(source, Sequence) and not isinstance(source, (str, bytes)):
        table = _from_list(list(source), where)
    else:
        table = _from_foreign(source)
    if not len(table):
        raise DataError("no rows", where=table.where, expected="at least one row")
    return table


def _from_array(array: np.ndarray) -> Table:
    import polars as pl

    where = "array"
    if array.dtype.names:
        columns = {name: array[name] for name in array.dtype.names}
    elif array.ndim == 1:
        columns = {"value": array}
    elif array.ndim == 2:
        columns = {f"column_{i}": column for i, column in enumerate(array.T, 1)}
    else:
        raise DataError(
            "an array of the wrong rank",
            where=where,
            expected="[N] or [N, F]",
            got=f"shape {list(array.shape)}",
            fix="Give one sequence a table, or a list of arrays where a task takes one",
        )
    return Table(
        pl.DataFrame([_column(name, values, where) for name, values in columns.items()]), where=where
    )


def from_columns(columns: Mapping[Any, Any], *, where: str = "columns") -> Table:
    """A table from a dict of columns (lists, arrays or series) of equal length."""
    import polars as pl

    if not columns:
        raise DataError("no columns", where=where, expected='a dict such as {"price": [1.0, 2.0]}')
    series = [_column(str(name), values, where) for name, values in columns.items()]
    lengths = {column.name: len(column) for column in series}
    if len(set(lengths.values())) > 1:
        raise DataError("columns of unequal length", where=where, expected="one length", got=lengths)
    return Table(pl.DataFrame(series), where=where)


def _from_list(items: list[Any], where: str | None) -> Table:
    if items and all(isinstance(item, Mapping) for item in items):
        where = where or "records"
        records = [{str(key): value for key, value in item.items()} for item in items]
        return Table(frame_of_records(records, where), where=where)
    where = where or "list"
    if all(item is None or isinstance(item, (str, int, float, np.number, bool)) for item in items):
        name = "text" if any(isinstance(item, str) for item in items) else "value"
        return Table(column_of(name, [_plain(item) for item in items], where).to_frame(), where=where)
    raise DataError(
        "a list of something else",
        where=where,
        expected="dicts, numbers or texts",
        got=type(items[0]).__name__,
        fix="Give rows as dicts, or columns as a dict of lists",
    )


def _from_foreign(source: Any) -> Table:
    """Frames and series that narwhals knows; no other library is needed to convert them."""
    import narwhals as nw
    import polars as pl

    if isinstance(source, pl.DataFrame):
        return Table(source, where="frame")
    try:
        known = nw.from_native(_with_index(source), pass_through=True, allow_series=True)
        known = known.collect() if isinstance(known, nw.LazyFrame) else known
        names = known.columns if isinstance(known, nw.DataFrame) else []
    except nw.exceptions.DuplicateError as error:
        raise DataError("two columns of one name", where="frame", got=str(error), fix="Rename one") from error
    if isinstance(known, nw.Series):
        name = str(known.name) if known.name else "value"
        return Table(_from_narwhals(known, name).to_frame(), where="series")
    if hasattr(source, "__array__") and not isinstance(known, nw.DataFrame):
        return _from_array(np.asarray(source))
    if isinstance(known, nw.DataFrame):
        series = [_from_narwhals(known.get_column(name), str(name)) for name in names]
        return Table(pl.DataFrame(series), where="frame")
    raise DataError(
        "an object that is no table",
        where="source",
        expected="a path, a frame (pandas, polars, Arrow), a numpy array, a dict of columns or a list",
        got=type(source).__name__,
    )


def _with_index(source: Any) -> Any:
    """A pandas object with its index as columns where that has a name: often it holds the time stamps."""
    names = getattr(getattr(source, "index", None), "names", None)
    return source.reset_index() if names and None not in names else source


def _from_narwhals(series: Any, name: str) -> pl.Series:
    import narwhals as nw
    import polars as pl

    if isinstance(series.to_native(), pl.Series):
        return series.to_native().alias(name)
    if series.dtype.is_numeric() and not series.is_null().any():
        return pl.Series(name, series.to_numpy())
    if isinstance(series.dtype, nw.Datetime):
        zone = series.dtype.time_zone
        if zone:
            series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return pl.Series(name, series.cast(nw.Datetime("us")).to_numpy().astype("datetime64[us]"))
    return column_of(name, [_plain(value) for value in series.to_list()], "frame")


def _column(name: str, values: Any, where: str) -> pl.Series:
    import polars as pl

    if isinstance(values, pl.Series):
        return values.alias(name)
    if isinstance(values, np.ma.MaskedArray):
        values = values.tolist()  # None where masked
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "biuf":
        plain = (
            np.float64
            if values.dtype.kind == "f" and values.dtype != np.float32
            else values.dtype.newbyteorder("=")
        )
        return pl.Series(name, np.ascontiguousarray(values, dtype=plain))
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind == "M":
        return pl.Series(name, values.astype("datetime64[us]"))
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise DataError(
            "a column that is no list",
            where=f"{where}, column '{name}'",
            expected="a list",
            got=repr(values)[:60],
        )
    return column_of(name, [_plain(value) for value in values], where)


def _plain(value: Any) -> Any:
    """Python's own type for a value of numpy or pandas; their marks of a missing value become None."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else value.astype("datetime64[us]").item()
    if isinstance(value, np.generic):
        return value.item()
    if type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value):
        return None
    return value
