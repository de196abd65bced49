"""Whatever holds sequences, as a list of sequences with a key and perhaps a label each.

| given | sequences |
|---|---|
| array ``[n, T]``, list of n equal rows | n univariate sequences of T steps |
| array ``[n, T, F]`` | n sequences of T steps and F features |
| list of arrays ``[T]`` or ``[T, F]`` | sequences of any length, 0 included |
| list (or 1-D array) of strings | texts |
| table (file, frame, dict of columns) with ``text=`` | one text per row |
| table with ``id=`` | rows of one id are the steps of one sequence, in order of ``time=`` |
| table with one column of lists | one sequence per row |
| any other table | one univariate sequence per row, its columns are the steps |

Missing values are NaN. In arrays and in the rows of a table, missing values at the end mean that a sequence
is shorter. Labels are the column named by ``label=``, or handed over beside the data as ``y``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np

from hiddenstate import data
from hiddenstate.errors import DataError, OptionError, ShapeError

from .labels import as_labels


@dataclass(frozen=True)
class Columns:
    """Which column of a table is what; None where nothing is named."""

    text: str | None = None
    label: str | None = None
    id: str | None = None
    time: str | None = None
    group: str | None = None
    features: Sequence[str] | None = None


@dataclass(frozen=True)
class Sequences:
    """Sequences as given, before any encoding.

    Attributes:
        items: strings, or float64 arrays ``[T, F]`` with NaN where a value is missing.
        keys: what each is called in a table of answers: its id, or its row number from 1.
        labels: ``[n]``, or None.
        names: feature names, where columns have names.
        groups: ``[n]``, sequences that belong together have the same; None where no column says so.
        width: number of columns where rows were sequences, else None.
        where: name of the source, for messages.
    """

    items: list[Any]
    keys: np.ndarray
    labels: np.ndarray | None = None
    names: tuple[str, ...] | None = None
    groups: np.ndarray | None = None
    width: int | None = None
    where: str = "X"

    def __len__(self) -> int:
        return len(self.items)

    @property
    def is_text(self) -> bool:
        """Whether the sequences are strings."""
        return isinstance(self.items[0], str)


def read(source: Any, y: Any = None, *, columns: Columns, labelled: bool) -> Sequences:
    """The sequences of any source in the module's table.

    Args:
        source: the data.
        y: labels ``[n]`` beside it; None: the label column, if ``labelled``.
        columns: which column of a table is what.
        labelled: whether labels are needed.

    Raises:
        DataError: on an unreadable file, a missing column, text among numbers, an infinite value.
        OptionError: when labels are needed and neither ``y`` nor a label column is there.
        ShapeError: on an array of the wrong rank, or labels of another number than sequences.
    """
    if y is None and labelled and columns.label is None:
        raise OptionError(
            "fit requires y to be passed, but the target y is None",
            fix="Pass labels as y, or name the column of the data that holds them: label='...'",
        )
    if hasattr(source, "tocsr"):
        raise DataError("sparse input is not supported", where="X", fix="Pass X.toarray()")
    if is_table(source):
        table = source if isinstance(source, data.Table) else data.read(source)
        found = from_table(table, columns, labelled=labelled and y is None)
    else:
        found = from_memory(source)
        if labelled and y is None:
            raise OptionError("arrays hold no label column", where="y", got=None, fix="Pass labels as y")
    if not len(found):
        raise DataError("no sequences", where=found.where, expected="at least one")
    if y is None:
        return found
    labels = as_labels(y, "y")
    if len(labels) != len(found):
        raise ShapeError("data and labels differ in number", where="y", expected=len(found), got=len(labels))
    return replace(found, labels=labels)


def is_table(source: Any) -> bool:
    """Files, frames, tables and dicts of columns; lists and arrays are sequences themselves."""
    return isinstance(source, (str, PathLike, Mapping, data.Table)) or hasattr(source, "columns")


# ---- tables


def from_table(table: data.Table, columns: Columns, *, labelled: bool) -> Sequences:
    """Sequences of a table, with the labels of its label column and their groups if ``labelled``."""
    if columns.id is not None:
        return _from_series(table, columns, labelled)
    keys = np.arange(len(table)) + table.first_row
    names = () if columns.text is not None else _feature_names(table, columns)
    rest: dict[str, Any] = {"where": table.where}
    if labelled:
        rest["labels"] = as_labels(table.column(str(columns.label)), _place(table, columns.label))
        rest["groups"] = None if columns.group is None else table.text(columns.group)
    if columns.text is not None:
        return Sequences([text or "" for text in table.text(columns.text)], keys, **rest)
    if len(names) == 1 and table.kind(names[0]) == "sequences":
        return Sequences([_two_axes(item) for item in table.sequences(names[0])], keys, **rest)
    items = _untailed(table.matrix(names)[:, :, None])
    return Sequences(items, keys, names=names, width=len(names), **rest)


def _from_series(table: data.Table, columns: Columns, labelled: bool) -> Sequences:
    """One sequence per id; label and group have to be the same in all rows of an id."""
    names = _feature_names(table, columns)
    alike = [name for name in (columns.label, columns.group) if name is not None and labelled]
    kinds = dict.fromkeys(names, "numbers") | dict.fromkeys(alike, "text")
    series = data.group(table, id=columns.id, time=columns.time, columns=kinds)
    rest: dict[str, Any] = {"where": table.where, "names": names}
    first = [int(one.rows[0]) for one in series]
    for name in alike:
        for one in series:
            _refuse_several(one, name)
    if labelled:
        labels = np.asarray(table.column(str(columns.label)))[first]
        rest["labels"] = as_labels(labels, _place(table, columns.label))
        rest["groups"] = None if columns.group is None else table.text(columns.group)[first]
    return Sequences([one.matrix(names) for one in series], np.array([one.id for one in series]), **rest)


def _refuse_several(series: data.Series, column: str) -> None:
    """Label and group belong to a sequence, not to its steps."""
    found = list(dict.fromkeys(series.columns[column].tolist()))
    if len(found) > 1:
        raise DataError(
            "a sequence with more than one value",
            where=f"{series.where}, column {column!r}",
            expected="the same in all rows of an id",
            got=found[:5],
        )


def _feature_names(table: data.Table, columns: Columns) -> tuple[str, ...]:
    """The named features, or every column that plays no other part."""
    taken = {columns.label, columns.id, columns.time, columns.group}
    names = tuple(columns.features or (name for name in table.names if name not in taken))
    if not names:
        raise DataError("no feature columns", where=table.where, expected="at least one", got=table.names)
    if columns.features is None:
        for name in names:
            if table.kind(name) not in ("numbers", "sequences"):
                raise DataError(
                    f"column {name!r} holds no numbers",
                    where=table.where,
                    expected="numbers in every column that is not the label, id or time",
                    got=table.kind(name),
                    fix=f"Name the text to classify (text={name!r}), or the features to use (features=...)",
                )
    return names


def _place(table: data.Table, column: str | None) -> str:
    return f"{table.where}, column {column!r}"


# ---- memory


def from_memory(source: Any) -> Sequences:
    """Sequences of an array, a list of arrays, or a list of strings."""
    if not isinstance(source, (list, tuple)):
        return _from_array(_as_array(source))
    if source and all(isinstance(item, str) for item in source):
        return Sequences(list(source), np.arange(len(source)) + 1)
    if source and all(hasattr(item, "ndim") or hasattr(item, "__array__") for item in source):
        return _from_list(source)
    try:
        array = _as_array(source)
    except ShapeError:
        return _from_list(source)  # rows of unequal length
    return _from_array(array)


def _as_array(source: Any) -> np.ndarray:
    try:
        array = np.asarray(source)
    except ValueError as error:
        raise ShapeError("not a rectangular array", where="X", got=str(error)) from error
    if array.dtype.kind == "c":
        raise DataError("Complex data not supported", where="X", got=str(array.dtype))
    return array


def _from_array(array: np.ndarray) -> Sequences:
    if array.ndim == 1 and len(array) and all(isinstance(item, str) for item in array.tolist()):
        return Sequences(array.tolist(), np.arange(len(array)) + 1)
    if array.ndim == 1 and array.dtype == object and len(array) and hasattr(array[0], "__len__"):
        return _from_list(array)
    if array.ndim not in (2, 3):
        raise ShapeError(
            "the data is not a batch of sequences",
            where="X",
            expected="2 axes [n, T] or 3 axes [n, T, F]",
            got=f"{array.ndim} axes",
            fix="Reshape your data: X.reshape(1, -1) for one sequence, X.reshape(-1, 1) if each value is one",
        )
    if not array.shape[0] or 0 in array.shape[2:]:
        raise DataError("an empty array", where="X", got=f"shape {array.shape}")
    values = _finite(array, "X")
    if array.ndim == 3:
        return Sequences(_untailed(values), np.arange(len(values)) + 1)
    if not array.shape[1]:
        raise DataError(f"0 feature(s) (shape={array.shape}) while a minimum of 1 is required.", where="X")
    return Sequences(_untailed(values[:, :, None]), np.arange(len(values)) + 1, width=array.shape[1])


def _from_list(source: Iterable[Any]) -> Sequences:
    items = [_two_axes(_finite(_as_array(item), f"X[{i}]"), f"X[{i}]") for i, item in enumerate(source)]
    if len(widths := {item.shape[1] for item in items}) > 1:
        raise ShapeError("sequences differ in their number of features", where="X", got=sorted(widths))
    return Sequences(items, np.arange(len(items)) + 1)


def _two_axes(item: np.ndarray, where: str = "X") -> np.ndarray:
    if item.ndim not in (1, 2):
        raise ShapeError("not a sequence", where=where, expected="[T] or [T, F]", got=f"shape {item.shape}")
    return item[:, None] if item.ndim == 1 else item


def _finite(array: np.ndarray, where: str) -> np.ndarray:
    """The array as float64; NaN is a missing value, infinity is refused."""
    try:
        values = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError("not numbers", where=where, got=str(error)) from error
    if np.isinf(values).any():
        place = "".join(f"[{i}]" for i in np.argwhere(np.isinf(values))[0])
        raise DataError(
            "infinite value", where=where + place, expected="finite numbers, NaN where missing", got="inf"
        )
    return values


def _untailed(values: np.ndarray) -> list[np.ndarray]:
    """Rows ``[T, F]`` of ``[n, T, F]`` without the steps at the end where everything is missing."""
    seen = np.any(~np.isnan(values), axis=2)
    steps = np.where(seen.any(axis=1), values.shape[1] - np.argmax(seen[:, ::-1], axis=1), 0)
    return [row[:count] for row, count in zip(values, steps, strict=True)]
