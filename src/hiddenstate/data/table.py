"""A table: named columns of equal length, read once and never changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hiddenstate.errors import DataError

from . import columns

if TYPE_CHECKING:
    import polars as pl


class Table:
    """Named columns of equal length.

    What a column holds ("numbers", "text", "time" or "sequences") is seen from its values; `numbers`,
    `text`, `times` and `sequences` ask for one kind and name the row that does not fit.

    Args:
        frame: the columns; strings are read as what they spell.
        where: what messages call the table, such as its file name.
        first_row: number of the first row in messages (rows count from 1, a header is not counted).
        notes: what was decided about the data while reading, one sentence each.
        time_format: how dates that are not ISO 8601 are written, in the notation of ``strftime``.

    Example:
        >>> from hiddenstate.data import read
        >>> table = read({"day": ["2024-01-01", "2024-01-02"], "price": ["1.5", ""]})
        >>> table.kind("day"), table.column("price").tolist()
        ('time', [1.5, nan])
    """

    def __init__(
        self,
        frame: pl.DataFrame,
        *,
        where: str = "table",
        first_row: int = 1,
        notes: Sequence[str] = (),
        time_format: str | None = None,
    ) -> None:
        self._frame = frame
        self._kinds: dict[str, str] = {}
        self.where = where
        self.first_row = first_row
        self.notes = tuple(notes)
        self._time_format = time_format

    @property
    def names(self) -> list[str]:
        """The names of the columns, in order."""
        return self._frame.columns

    def __len__(self) -> int:
        return self._frame.height

    def __contains__(self, name: object) -> bool:
        return name in self._frame.columns

    def __repr__(self) -> str:
        return f"Table({self.where}: {len(self)} rows of {', '.join(self.names)})"

    def kind(self, name: str) -> str:
        """What a column holds: "numbers", "text", "time" or "sequences"."""
        if name not in self._kinds:
            self._kinds[name] = columns.kind_of(self._series(name), self._time_format)
        return self._kinds[name]

    def column(self, name: str) -> np.ndarray | list[np.ndarray]:
        """A column as what it holds: see `numbers`, `text`, `times` (NaT where missing) and `sequences`."""
        kind = self.kind(name)
        if kind == "time":
            return self._times(name, gaps=True)
        convert = {"numbers": self.numbers, "text": self.text, "sequences": self.sequences}
        return convert[kind](name)

    def numbers(self, name: str) -> np.ndarray:
        """A column as float64 ``[N]``, NaN where a value is missing; true and false are 1 and 0.

        Raises:
            DataError: a value is no number or is infinite, or there is no such column.
        """
        return columns.to_numbers(self._series(name), where=self.where, first_row=self.first_row)

    def matrix(self, names: Sequence[str]) -> np.ndarray:
        """Columns of numbers side by side, float64 ``[N, F]``."""
        if not names:
            return np.empty((len(self), 0))
        return np.stack([self.numbers(name) for name in names], axis=1)

    def text(self, name: str) -> np.ndarray:
        """A column as str in an object array ``[N]``, None where a value is missing."""
        return columns.to_text(self._series(name))

    def times(self, name: str) -> np.ndarray:
        """A column as ``datetime64[us]`` (UTC where zones are given), or int64 where it only counts steps.

        Raises:
            DataError: a value is missing or unreadable, or zones are mixed.
        """
        return self._times(name, gaps=False)

    def sequences(self, name: str) -> list[np.ndarray]:
        """A column of lists as float64 arrays ``[T]`` or ``[T, F]`` of any lengths."""
        return columns.to_sequences(self._series(name), where=self.where, first_row=self.first_row)

    def select(self, names: Sequence[str]) -> Table:
        """The table with these columns only."""
        for name in names:
            self._series(name)
        return self._part(self._frame.select(names))

    def slice(self, start: int, stop: int | None = None) -> Table:
        """The rows from ``start`` up to ``stop``, counted from 0."""
        return self._part(self._frame[start:stop], start)

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows one by one: name to float (NaN when missing), str or None, ``datetime64`` or array."""
        values = [self.column(name) for name in self.names]
        for row in zip(*values, strict=True):
            yield {
                name: float(value) if isinstance(value, np.floating) else value
                for name, value in zip(self.names, row, strict=True)
            }

    def to_dict(self) -> dict[str, np.ndarray | list[np.ndarray]]:
        """All columns by name, each as what it holds."""
        return {name: self.column(name) for name in self.names}

    def to_polars(self) -> pl.DataFrame:
        """The columns as read, as a polars frame (text files give strings)."""
        return self._frame

    def _times(self, name: str, *, gaps: bool) -> np.ndarray:
        return columns.to_times(
            self._series(name),
            where=self.where,
            first_row=self.first_row,
            time_format=self._time_format,
            gaps=gaps,
        )

    def _part(self, frame: pl.DataFrame, start: int = 0) -> Table:
        return Table(
            frame,
            where=self.where,
            first_row=self.first_row + start,
            notes=self.notes,
            time_format=self._time_format,
        )

    def _series(self, name: str) -> pl.Series:
        if name not in self._frame.columns:
            raise DataError(
                f"no column {name!r}",
                where=self.where,
                expected="one of " + ", ".join(repr(known) for known in self.names),
                fix="A file without a header row is read with header=False",
            )
        return self._frame.get_column(name)
