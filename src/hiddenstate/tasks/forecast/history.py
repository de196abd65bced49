"""From a table to the series a forecaster works on: roles of columns, gaps, rows known ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hiddenstate import data
from hiddenstate.data.frequency import Frequency, infer_frequency
from hiddenstate.data.series import Series, group, regular
from hiddenstate.errors import DataError, OptionError

from .layout import Layout


@dataclass(frozen=True)
class History:
    """One series on its grid.

    Args:
        id: its value in the id column, None without one.
        time: stamps of the rows, also of those known ahead; None without a time column.
        target: ``[N, K]``, NaN where missing.
        past: ``[N, P]``, NaN where missing.
        future: ``[N + A, F]`` known-future columns; A rows lie ahead of the last target.
        numbers: static numbers ``[S]``, NaN where missing.
        words: static words, None where missing.
        inserted: ``[N]`` True for a row that fills a gap.
        where: what messages call it.
    """

    id: str | None
    time: np.ndarray | None
    target: np.ndarray
    past: np.ndarray
    future: np.ndarray
    numbers: np.ndarray
    words: tuple[str | None, ...]
    inserted: np.ndarray
    where: str

    def __len__(self) -> int:
        return len(self.target)

    def stamps(self) -> np.ndarray | None:
        """The time stamps of the rows with targets."""
        return None if self.time is None else self.time[: len(self)]

    def ahead(self, steps: int, start: int, stop: int) -> np.ndarray:
        """The known-future columns of the next rows of rows ``start`` to ``stop``, ``[n, steps, F]``.

        NaN where not known. A row that fills a gap knows nothing: in a stream nobody would have been there to
        tell.
        """
        if start == stop:
            return np.empty((0, steps, self.future.shape[1]))
        known = self.future[start + 1 : stop + steps]
        missing = np.full((stop - start + steps - 1 - len(known), known.shape[1]), np.nan)
        views = np.lib.stride_tricks.sliding_window_view(np.concatenate([known, missing]), steps, axis=0)
        ahead = views[: stop - start].transpose(0, 2, 1)
        return np.where(self.inserted[start:stop, None, None], np.nan, ahead)


def assign_roles(
    table: data.Table,
    *,
    target: str | Sequence[str] | None,
    id: str | None,
    time: str | None,
    static: Sequence[str],
    past: Sequence[str],
    future: Sequence[str],
) -> Layout:
    """The columns of a table by role; ``time="auto"``: the only dates, ``target=None``: the only numbers.

    Raises:
        DataError: a column is missing, or no single one can be meant.
        OptionError: a column has two roles.
    """
    if time == "auto":
        dates = [name for name in table.names if table.kind(name) == "time" and name not in {id, *static}]
        time = dates[0] if len(dates) == 1 else None
    given = [name for name in (id, time) if name is not None] + [*static, *past, *future]
    if target is None:
        free = [name for name in table.names if name not in given and table.kind(name) == "numbers"]
        if len(free) != 1:
            raise DataError(
                "it is not clear which column to forecast",
                where=table.where,
                expected="one column of numbers",
                got=", ".join(free) or "none",
                fix="Name it with target=",
            )
        target = free
    targets = (target,) if isinstance(target, str) else tuple(target)
    roles = [*given, *targets]
    if twice := sorted({name for name in roles if roles.count(name) > 1}):
        raise OptionError(
            "a column has two roles", where=", ".join(twice), expected="one role for each column"
        )
    return Layout(
        target=targets,
        past=tuple(past),
        future=tuple(future),
        static_numbers=tuple(name for name in static if table.kind(name) == "numbers"),
        static_words=tuple(name for name in static if table.kind(name) != "numbers"),
        id=id,
        time=time,
    )


def read(source: Any, layout: Layout) -> tuple[list[History], Frequency | None]:
    """The series of a source and the grid of their time stamps.

    Gaps in time become rows without values. With known-future columns, the rows at the end of a series that
    have no target are what is known ahead.

    Args:
        source: anything ``data.read`` takes.
        layout: roles of the columns; its frequency is kept when it has one.

    Raises:
        DataError: what is missing, irregular or no number, with file and row.
    """
    table = data.read(source)
    if layout.time is not None and layout.frequency is None:
        layout = replace(
            layout, frequency=_common_frequency(_grouped(table, layout), table.where, layout.time)
        )
    return [history_of(one, layout) for one in series_of(table, layout)], layout.frequency


def series_of(table: data.Table, layout: Layout) -> list[Series]:
    """The series of a table, in time order on their grid."""
    series = _grouped(table, layout)
    return series if layout.time is None else [regular(one, layout.frequency) for one in series]


def _grouped(table: data.Table, layout: Layout) -> list[Series]:
    kinds = dict.fromkeys((*layout.target, *layout.past, *layout.future, *layout.static_numbers), "numbers")
    kinds |= dict.fromkeys(layout.static_words, "text")
    return group(table, id=layout.id, time=layout.time, columns=kinds, duplicates=layout.duplicates)


def _common_frequency(series: list[Series], where: str, time: str) -> Frequency:
    longest = max(series, key=len)
    assert longest.time is not None
    frequency = infer_frequency(longest.time)
    if frequency is None:
        raise DataError(
            "no regular step between time stamps",
            where=f"{where}, column '{time}'" if len(longest) > 1 else longest.where,
            expected="rows whole steps apart (an hour, a day, a month ...), gaps allowed",
            got=", ".join(str(stamp) for stamp in longest.time[:3]) + " ...",
            fix="Aggregate to a regular step, or count rows with time=None",
        )
    return frequency


def history_of(series: Series, layout: Layout) -> History:
    """A series by role; with known-future columns, rows without targets at its end are known ahead."""
    target = series.matrix(layout.target)
    rows = len(target)
    if layout.future:
        known = np.flatnonzero(~np.isnan(target).all(axis=1))
        rows = int(known[-1]) + 1 if known.size else 0
    return History(
        id=series.id,
        time=series.time,
        target=target[:rows],
        past=series.matrix(layout.past)[:rows],
        future=series.matrix(layout.future),
        numbers=np.array([_static(series, name) for name in layout.static_numbers], np.float64),
        words=tuple(_static(series, name) for name in layout.static_words),
        inserted=series.rows[:rows] < 0,
        where=series.where,
    )


def _static(series: Series, name: str) -> Any:
    """The one value of a static column, NaN or None when it is missing in every row."""
    values = series.columns[name]
    missing = np.isnan(values) if values.dtype.kind == "f" else values == np.array(None)
    found = list(dict.fromkeys(values[~missing].tolist()))
    if len(found) > 1:
        raise DataError(
            "a static column changes inside a series",
            where=f"{series.where}, column '{name}'",
            expected="one value for each series",
            got=", ".join(repr(value) for value in found[:3]),
            fix="Give columns that change as past= or future=",
        )
    return found[0] if found else (np.nan if values.dtype.kind == "f" else None)


def cut(history: History, rows: int) -> History:
    """The first ``rows`` rows, with the known-future columns of all rows kept."""
    return replace(
        history, target=history.target[:rows], past=history.past[:rows], inserted=history.inserted[:rows]
    )
