"""Series: the rows of a table that belong together, in time order, with or without gaps."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hiddenstate.errors import DataError, OptionError

from .frequency import OFF_GRID, Frequency, infer_frequency
from .table import Table
from .times import spelled

DUPLICATES = ("error", "first", "last", "mean")

MAX_GROWTH = 20
"""A grid this many times as long as the series (and over a thousand rows) comes from a wrong time stamp."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Series:
    """One ordered series.

    Args:
        id: its value in the id column, None without one.
        time: ``[T]`` increasing ``datetime64[us]`` or int64, None without a time column.
        columns: name to ``[T]`` float64 (NaN where missing) or object array of str and None.
        rows: ``[T]`` int64, the row of the table each step came from, counted from 0; -1 for an inserted
            step.
        where: what messages call it.
    """

    id: str | None
    time: np.ndarray | None
    columns: Mapping[str, np.ndarray]
    rows: np.ndarray
    where: str = "series"

    def __len__(self) -> int:
        return len(self.rows)

    def slice(self, start: int, stop: int | None = None) -> Series:
        """Steps from ``start`` up to ``stop``."""
        return self.take(np.arange(len(self))[start:stop])

    def take(self, steps: np.ndarray) -> Series:
        """The steps at these positions."""
        return replace(
            self,
            time=None if self.time is None else self.time[steps],
            columns={name: values[steps] for name, values in self.columns.items()},
            rows=self.rows[steps],
        )

    def matrix(self, names: Sequence[str]) -> np.ndarray:
        """Columns of numbers side by side, float64 ``[T, F]``."""
        if not names:
            return np.empty((len(self), 0))
        return np.stack([np.asarray(self.columns[name], dtype=np.float64) for name in names], axis=1)


def group(
    table: Table,
    *,
    id: str | None = None,
    time: str | None = None,
    columns: Sequence[str] | Mapping[str, str] | None = None,
    duplicates: str = "error",
) -> list[Series]:
    """The series of a table, in the order in which they first appear, each sorted by time.

    Args:
        table: the rows; those of several series may be mixed.
        id: the column that tells series apart; None: the table is one series.
        time: the column of time stamps; None: rows are in order.
        columns: the columns to keep, or a dict of column to kind ("numbers", "text", "time"); None: all
            others, each as what it holds.
        duplicates: what happens to rows of one series with the same time stamp: "error", or keep the
            "first" or "last", or the "mean" of numbers (with the last of anything else).

    Raises:
        DataError: an id or a time stamp is missing, time stamps repeat, or a column does not hold its kind.

    Example:
        >>> from hiddenstate import data
        >>> table = data.read({"shop": ["b", "a", "b"], "day": [2, 1, 1], "sold": [5, 6, 7]})
        >>> [(one.id, one.columns["sold"].tolist()) for one in data.group(table, id="shop", time="day")]
        [('b', [7.0, 5.0]), ('a', [6.0])]
    """
    if duplicates not in DUPLICATES:
        raise OptionError(
            "unknown treatment", where="duplicates", expected=f"one of {DUPLICATES}", got=duplicates
        )
    kept = _columns(table, columns, {id, time})
    stamps = None if time is None else table.times(time)
    parts = _parts(table, id)
    series, unsorted, dropped = [], 0, 0
    for name, rows in parts:
        where = table.where if id is None else f"{table.where}, series {name!r}"
        one = Series(
            name, None if stamps is None else stamps[rows], {k: v[rows] for k, v in kept.items()}, rows, where
        )
        if stamps is not None:
            one, moved = _sorted(one)
            unsorted += moved
            before = len(one)
            one = _without_duplicates(one, duplicates, table.first_row)
            dropped += before - len(one)
        series.append(one)
    if unsorted:
        _log.warning("%s: %s not in time order and sorted", table.where, _count(unsorted, len(parts)))
    if dropped:
        _log.warning("%s: %d rows with a repeated time stamp merged (%s)", table.where, dropped, duplicates)
    return series


def regular(series: Series, frequency: Frequency | None = None) -> Series:
    """The series with a row for every step of its grid: inserted ones are NaN (or None) in every column.

    Args:
        series: one series with time stamps.
        frequency: its grid; None: inferred. An irregular series is given back as it is, each row a step.

    Raises:
        DataError: a time stamp lies off the given grid, or one is so far off that the grid would be almost
            empty.
    """
    if series.time is None or len(series) == 0:
        return series
    frequency = frequency or infer_frequency(series.time)
    if frequency is None:
        return series
    positions = frequency.positions(series.time, series.time[0])
    off = np.flatnonzero(positions == OFF_GRID)
    if off.size:
        raise DataError(
            f"a time stamp that is not on the {frequency.name} grid",
            where=f"{series.where}, row {series.rows[off[0]] + 1}",
            expected=f"steps from {spelled(series.time[0])}",
            got=spelled(series.time[off[0]]),
        )
    length = int(positions[-1]) + 1
    if length == len(series):
        return series
    if length > max(1000, MAX_GROWTH * len(series)):
        at = int(np.argmax(np.diff(positions)))
        raise DataError(
            "a gap so wide that a time stamp must be wrong",
            where=f"{series.where}, rows {series.rows[at] + 1} and {series.rows[at + 1] + 1}",
            expected=f"{frequency.name} rows",
            got=f"{spelled(series.time[at])} followed by {spelled(series.time[at + 1])}",
            fix="Correct the time stamps, or cut the series in two",
        )
    return _spread(
        series, positions, np.concatenate([series.time[:1], frequency.advance(series.time[0], length - 1)])
    )


def _columns(
    table: Table, wanted: Sequence[str] | Mapping[str, str] | None, keys: set
) -> dict[str, np.ndarray]:
    if isinstance(wanted, Mapping):
        convert = {"numbers": table.numbers, "text": table.text, "time": table.times}
        for name, kind in wanted.items():
            if kind not in convert:
                raise OptionError(
                    "unknown kind", where=f"columns[{name!r}]", expected=f"one of {[*convert]}", got=kind
                )
        return {name: convert[kind](name) for name, kind in wanted.items()}
    names = [name for name in table.names if name not in keys] if wanted is None else wanted
    values = {name: table.column(name) for name in names}
    ragged = next((name for name, column in values.items() if isinstance(column, list)), None)
    if ragged is not None:
        raise DataError("a column of lists inside a series", where=f"{table.where}, column '{ragged}'")
    return values  # type: ignore[return-value]


def _parts(table: Table, id: str | None) -> Sequence[tuple[str | None, np.ndarray]]:
    """Each id with the rows it has, in order of first appearance."""
    if id is None:
        return [(None, np.arange(len(table)))]
    names = table.text(id)
    missing = np.flatnonzero([name is None for name in names])
    if missing.size:
        raise DataError(
            "a row that belongs to no series",
            where=f"{table.where}, column '{id}', row {table.first_row + int(missing[0])}",
            expected="an id in every row",
        )
    known: dict[str, int] = {}
    member = np.array([known.setdefault(name, len(known)) for name in names])
    rows = np.split(np.argsort(member, kind="stable"), np.cumsum(np.bincount(member))[:-1])
    return list(zip(known, rows, strict=True))


def _sorted(series: Series) -> tuple[Series, bool]:
    assert series.time is not None
    if (series.time[1:] >= series.time[:-1]).all():
        return series, False
    return series.take(np.argsort(series.time, kind="stable")), True


def _without_duplicates(series: Series, treatment: str, first_row: int) -> Series:
    assert series.time is not None
    repeated = np.flatnonzero(series.time[1:] == series.time[:-1])
    if not repeated.size:
        return series
    if treatment == "error":
        at = int(repeated[0])
        rows = series.rows[series.time == series.time[at]] + first_row
        raise DataError(
            "a time stamp that repeats",
            where=f"{series.where}, rows {', '.join(map(str, rows[:5].tolist()))}",
            expected="one row for each time stamp",
            got=spelled(series.time[at]),
            fix="Several series in one file? Name the column that tells them apart (id=). "
            "Else choose duplicates='first', 'last' or 'mean'",
        )
    starts = np.concatenate([[True], series.time[1:] != series.time[:-1]])
    ends = np.concatenate([starts[1:], [True]])
    kept = series.take(np.flatnonzero(starts if treatment == "first" else ends))
    if treatment != "mean":
        return kept
    member = np.cumsum(starts) - 1
    return replace(
        kept,
        columns={
            name: _means(values, member) if values.dtype.kind == "f" else kept.columns[name]
            for name, values in series.columns.items()
        },
    )


def _means(values: np.ndarray, member: np.ndarray) -> np.ndarray:
    """The mean of the values present in each group, NaN where a group has none."""
    present = ~np.isnan(values)
    counts = np.bincount(member, weights=present)
    sums = np.bincount(member, weights=np.where(present, values, 0.0))
    return np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)


def _spread(series: Series, positions: np.ndarray, time: np.ndarray) -> Series:
    """The rows at their positions of a longer series, everything else missing."""
    columns = {}
    for name, values in series.columns.items():
        if values.dtype.kind == "f":
            full = np.full(len(time), np.nan)
        elif values.dtype.kind == "M":
            full = np.full(len(time), np.datetime64("NaT"), dtype=values.dtype)
        else:
            full = np.full(len(time), None, dtype=object)
        full[positions] = values
        columns[name] = full
    rows = np.full(len(time), -1, dtype=np.int64)
    rows[positions] = series.rows
    return replace(series, time=time, columns=columns, rows=rows)


def _count(some: int, all_: int) -> str:
    return "rows were" if all_ == 1 else f"{some} of {all_} series were"
