"""Live series: a row in, the forecast from it out; what a batch gives, to the bit."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from hiddenstate.codecs.base import number_of, text_of
from hiddenstate.data.frequency import OFF_GRID
from hiddenstate.data.series import MAX_GROWTH
from hiddenstate.data.times import parse_time
from hiddenstate.errors import DataError, StateError
from hiddenstate.runtime import Pool, Session

from .codec import Encoder, Rows
from .features import plain_list
from .heads import Reference
from .recursion import Origin, Paths, rollout, summary
from .run import Network


class LiveRow(NamedTuple):
    """One row of a live series, checked.

    Attributes:
        time: its stamp, or None.
        target: ``[K]``, NaN where missing.
        past: ``[P]``, NaN where missing.
        ahead: known-future columns of the next rows, ``[horizon, F]``.
        series: its id, or None where it is not said.
        numbers: static numbers ``[S]``, or None where they are not said.
        words: static words, or None where they are not said.
    """

    time: Any
    target: np.ndarray
    past: np.ndarray
    ahead: np.ndarray
    series: str | None
    numbers: np.ndarray | None
    words: tuple[str | None, ...] | None


class Live:
    """Adapter of a forecaster (see ``runtime.Adapter``), for one series.

    An element is a dict of columns; a number (or a list of them) will do where the targets are all there is.
    Missing values are None, NaN or "". The time stamp may be left out after the first row: then it is the
    next one. Rows skipped in time are run as rows without values. A known-future column takes the list of
    its next ``horizon`` values. Id and static columns are needed in the first row only.

    ``ForecastSession`` and ``ForecastPool`` turn one element into the rows it stands for, and outputs into
    answers.
    """

    def __init__(self, network: Network, horizon: int, paths: Paths) -> None:
        self._network, self._horizon, self._paths = network, horizon, paths
        self._encoder: Encoder | None = None
        self._last: LiveRow | None = None
        self._reference: Reference | None = None
        self._count = 0

    def rows(self, element: Any) -> list[LiveRow]:
        """The rows an element stands for: itself, after a row for each step of a gap. Nothing moves.

        Raises:
            DataError: when the element cannot be used.
        """
        if isinstance(element, LiveRow):
            return [element]
        row = self._parse(element)
        before = None if self._last is None else self._last.time
        if before is None or row.time is None:
            return [row]
        grid = self._network.codec.layout.frequency
        assert grid is not None
        steps = int(grid.positions(np.array([row.time]), before)[0])
        self._check_time(steps, row.time, before)
        empty = row._replace(target=row.target * np.nan, past=row.past * np.nan, ahead=row.ahead * np.nan)
        stamps = grid.advance(before, steps - 1)
        return [*(empty._replace(time=stamp) for stamp in stamps), row]

    def encode(self, element: Any) -> Mapping[str, np.ndarray]:
        """The network's inputs for one row."""
        rows = self.rows(element)
        if len(rows) > 1:
            raise DataError("rows are missing before this one", got=f"a gap of {len(rows) - 1} steps")
        row, codec = rows[0], self._network.codec
        if self._encoder is None:
            self._encoder = self._start(row)
        steps = codec.layout.steps
        stamps = None if row.time is None else np.array([row.time])
        seen = self._encoder.encode(
            Rows(stamps, row.target[None, None], row.past[None], row.ahead[None, :steps])
        )
        self._reference = Reference(*(value[0, 0] for value in seen.reference))
        self._last, self._count = row, self._count + 1
        return {name: value[0, 0] for name, value in seen.inputs.items()}

    def decode(self, output: np.ndarray) -> np.ndarray:
        """The output itself; ``answer`` makes a forecast of it."""
        return output

    def answer(self, output: np.ndarray, state: Any) -> dict[str, np.ndarray]:
        """The forecast from the row just taken: "step", the time column where there is one, the targets.

        Args:
            output: of the network.
            state: of the network after the row, a callable (only a recursive forecast needs it).
        """
        codec = self._network.codec
        assert self._encoder is not None
        assert self._last is not None
        assert self._reference is not None
        if codec.layout.recursive:
            row = self._last
            origin = Origin(output, state(), self._reference, row.time, row.ahead)
            paths = rollout(self._network, self._encoder, origin, self._horizon, self._paths)
            columns = summary(codec, paths)
        else:
            columns = codec.decode(self._network.head, output, self._reference, self._encoder.series)
        head: dict[str, np.ndarray] = {}
        if codec.layout.time is not None and codec.layout.frequency is not None:
            head[codec.layout.time] = codec.layout.frequency.advance(self._last.time, self._horizon)
        return head | {"step": np.arange(1, self._horizon + 1)} | columns

    def state(self) -> dict[str, Any]:
        """Everything the next rows need, as plain data."""
        if self._encoder is None or self._last is None:
            return {"count": 0}
        row = self._last
        time = row.time.astype(np.int64).item() if isinstance(row.time, np.datetime64) else row.time
        return {
            "count": self._count,
            "time": None if time is None else int(time),
            "series": row.series,
            "numbers": plain_list(_known(row.numbers)),
            "words": list(row.words or ()),
            "features": self._encoder.features.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continues from what ``state`` gave.

        Raises:
            StateError: when it is of another layout.
        """
        try:
            if state["count"] == 0:
                self._encoder = self._last = None
            else:
                row = self._row_of(state)
                encoder = self._start(row)
                encoder.features.restore(state["features"])
                self._encoder, self._last = encoder, row
            self._count = int(state["count"])
        except (KeyError, TypeError, ValueError) as error:
            raise StateError("the memory of a live forecast does not fit", got=repr(error)) from error

    def _row_of(self, state: dict[str, Any]) -> LiveRow:
        layout, time = self._network.codec.layout, state["time"]
        if time is not None and layout.frequency is not None and layout.frequency.unit != "steps":
            time = np.datetime64(time, "us")
        numbers = np.array([np.nan if v is None else v for v in state["numbers"]], np.float64)
        none = np.empty(0)
        return LiveRow(time, none, none, none, state["series"], numbers, tuple(state["words"]))

    def _start(self, row: LiveRow) -> Encoder:
        return self._network.codec.encoder(row.series, _known(row.numbers), row.words or ())

    def _parse(self, element: Any) -> LiveRow:
        layout = self._network.codec.layout
        values = element if isinstance(element, Mapping) else self._bare(element)
        first = self._last is None
        for name in (*layout.target, *layout.past, *layout.future):
            if name not in values:
                raise DataError("a column is missing", expected=f"'{name}'", got=sorted(map(str, values)))
        series, numbers, words = self._statics(values, first)
        return LiveRow(
            self._time(values, first),
            np.array([_number(values, name) for name in layout.target]),
            np.array([_number(values, name) for name in layout.past]),
            self._ahead(values),
            series,
            numbers,
            words,
        )

    def _bare(self, element: Any) -> Mapping[str, Any]:
        """A number, or a list of them, as a dict of the targets."""
        names = self._network.codec.layout.target
        many = isinstance(element, (Sequence, np.ndarray)) and not isinstance(element, str)
        numbers = list(np.ravel(np.asarray(element, object))) if many else [element]
        if len(numbers) != len(names):
            raise DataError(
                "wrong number of values", expected=f"{len(names)}: {', '.join(names)}", got=len(numbers)
            )
        return dict(zip(names, numbers, strict=True))

    def _statics(self, values: Mapping[str, Any], first: bool) -> tuple[Any, Any, Any]:
        """Id and static columns: from the first row, and not to change after it."""
        layout, last = self._network.codec.layout, self._last
        series = text_of(values.get(layout.id)) if layout.id is not None else None
        if last is not None:
            if series is not None and series != last.series:
                raise DataError(
                    "a row of another series",
                    expected=repr(last.series),
                    got=repr(series),
                    fix="Use one session for each series, or streams()",
                )
            return last.series, last.numbers, last.words
        missing = [name for name in (*layout.static_numbers, *layout.static_words) if name not in values]
        if first and missing:
            raise DataError(
                "a static column is missing in the first row", expected=missing, got=sorted(map(str, values))
            )
        numbers = np.array([_number(values, name) for name in layout.static_numbers])
        return series, numbers, tuple(text_of(values[name]) for name in layout.static_words)

    def _time(self, values: Mapping[str, Any], first: bool) -> Any:
        layout = self._network.codec.layout
        if layout.time is None or layout.frequency is None:
            return None
        stamp = values.get(layout.time)
        if stamp is None or stamp == "" or stamp != stamp:  # NaN and NaT differ from themselves
            if first:
                raise DataError("the first row needs its time stamp", expected=f"'{layout.time}'", got="none")
            assert self._last is not None
            return layout.frequency.advance(self._last.time, 1)[0]
        return np.int64(number_of(stamp)) if layout.frequency.unit == "steps" else parse_time(stamp)

    def _ahead(self, values: Mapping[str, Any]) -> np.ndarray:
        """Known-future columns of the next rows, ``[horizon, F]``."""
        names = self._network.codec.layout.future
        columns = []
        for name in names:
            given = values[name]
            if isinstance(given, (str, bytes)) or not isinstance(given, (Sequence, np.ndarray)):
                given = [given]
            if len(given) < self._horizon:
                raise DataError(
                    "known-future values are missing",
                    where=f"'{name}'",
                    expected=f"a list of the next {self._horizon} values",
                    got=f"{len(given)} of them",
                )
            columns.append([number_of(value) for value in given[: self._horizon]])
        return np.array(columns, np.float64).reshape(len(names), self._horizon).T

    def _check_time(self, steps: int, now: Any, before: Any) -> None:
        grid = self._network.codec.layout.frequency
        assert grid is not None
        if steps == OFF_GRID or steps < 1:
            raise DataError(
                "a time stamp that does not follow",
                expected=f"{grid.name} steps after {before}",
                got=str(now),
                fix="Feed rows in time order, each once",
            )
        if steps > max(1000, MAX_GROWTH * self._count):
            raise DataError(
                "a gap so wide that a time stamp must be wrong",
                expected=f"{grid.name} steps after {before}",
                got=str(now),
                fix="Start a new session after a long pause",
            )


def _known(numbers: np.ndarray | None) -> np.ndarray:
    return np.empty(0) if numbers is None else numbers


def _number(values: Mapping[str, Any], name: str) -> float:
    try:
        return number_of(values[name])
    except DataError as error:
        error.where = f"'{name}'"
        raise


class ForecastSession(Session):
    """One live series: ``step(row)`` gives the forecast of the next rows, by column."""

    def _adapted(self, adapter: Any, element: Any) -> dict[str, np.ndarray]:
        """The rows of an element, and the forecast from the last of them."""
        output = None
        for row in adapter.rows(element):
            output = super()._adapted(adapter, row)
        return adapter.answer(output, lambda: self.state)


class ForecastPool(Pool):
    """Many live series: ``step({id: row})`` gives the forecasts by id."""

    def _adapted(self, elements: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Rows that fill gaps first, then all series together."""
        adapters: dict[Hashable, Any] = {id: self._adapters[self._rows[id]] for id in elements}
        rows = {id: adapter.rows(elements[id]) for id, adapter in adapters.items()}
        for number in range(max((len(one) for one in rows.values()), default=0) - 1):
            super()._adapted({id: one[number] for id, one in rows.items() if number < len(one) - 1})
        outputs = super()._adapted({id: one[-1] for id, one in rows.items()})
        return {
            id: adapters[id].answer(output, lambda id=id: self._state_of(id))
            for id, output in outputs.items()
        }

    def _state_of(self, id: Hashable) -> Any:
        layout = self._model.layout
        state, row = layout.at_rest(1), self._rows[id]
        layout.copy_rows(self._sides[self._side], slice(row, row + 1), state, slice(0, 1))
        return state
