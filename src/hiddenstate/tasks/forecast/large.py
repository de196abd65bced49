"""Forecasts from a file that is read in pieces: memory does not grow with it, only with the number of series.

Each piece moves the states of its series on. The last rows of a series wait for its next piece, because a gap
may lie between, and columns known ahead are read there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hiddenstate import data
from hiddenstate.data import Series
from hiddenstate.errors import DataError

from .codec import Encoder
from .heads import Reference
from .history import History, history_of, series_of
from .layout import Layout
from .recursion import Origin, Paths, rollout, summary
from .run import Forecasts, Network, rows_of

LARGE_BYTES = 1 << 28
"""Files from this size on are read in pieces."""

ROWS = 1 << 16
"""Rows of a piece."""


@dataclass
class Track:
    """One series on the way.

    Attributes:
        waiting: rows that were read and not yet run.
        encoder: after the rows that were run; None before the first.
        state: of the network after them.
    """

    waiting: Series
    encoder: Encoder | None = None
    state: Any = None


def is_large(source: Any) -> bool:
    """Whether a source is a file that is better read in pieces."""
    if not isinstance(source, (str, os.PathLike)):
        return False
    path = Path(source)
    return path.is_file() and path.stat().st_size >= LARGE_BYTES


def tracks(network: Network, source: str | os.PathLike[str]) -> list[Track]:
    """All series of a file, run up to the rows that wait.

    Raises:
        DataError: what ``history.read`` refuses, and rows of a series that are out of order between pieces.
    """
    layout = network.codec.layout
    found: dict[str | None, Track] = {}
    for table in data.read_chunks(source, rows=ROWS):
        for series in series_of(table, layout):
            track = found.get(series.id)
            if track is None:
                found[series.id] = Track(series)
            else:
                track.waiting = _joined(track.waiting, series, layout)
        for track in found.values():
            _advance(network, track)
    return list(found.values())


def forecasts(network: Network, found: Iterable[Track], horizon: int, paths: Paths) -> Iterator[Forecasts]:
    """The forecast after the end of each series."""
    layout = network.codec.layout
    for track in found:
        history = history_of(track.waiting, layout)
        last = np.array([len(history) - 1])
        output, reference = _run(network, track, history, len(history))
        assert track.encoder is not None
        if layout.recursive:
            stamps = history.stamps()
            time = None if stamps is None else stamps[-1]
            ahead = history.ahead(horizon, len(history) - 1, len(history))[0]
            origin = Origin(output, track.state, reference, time, ahead)
            columns = summary(network.codec, rollout(network, track.encoder, origin, horizon, paths))
        else:
            columns = network.codec.decode(network.head, output, reference, history.id)
        yield Forecasts(history, last, {name: value[None, :horizon] for name, value in columns.items()})


def _advance(network: Network, track: Track) -> None:
    """Runs the rows of which everything is known: not the last, nor those whose next rows are to come."""
    layout = network.codec.layout
    history = history_of(track.waiting, layout)
    ready = len(history) - (layout.steps if layout.future else 1)
    if ready > 0:
        _run(network, track, history, ready)
        track.waiting = track.waiting.slice(ready)


def _run(network: Network, track: Track, history: History, rows: int) -> tuple[np.ndarray, Reference]:
    """Runs the first rows that wait; the output ``[size]`` and the reference ``[K]`` of the last of them."""
    if track.encoder is None:
        track.encoder = network.codec.encoder(history.id, history.numbers, history.words)
    seen = track.encoder.encode(rows_of(network.codec, history, 0, rows))
    output, track.state = network.model.forward(seen.inputs, state=track.state)
    return output[-1, 0], Reference(*(value[-1, 0] for value in seen.reference))


def _joined(before: Series, after: Series, layout: Layout) -> Series:
    """Rows that wait, and the next ones, on their grid.

    Raises:
        DataError: when time does not run on.
    """
    if before.time is not None and after.time is not None:
        if after.time[0] <= before.time[-1]:
            raise DataError(
                "time stamps run back",
                where=after.where,
                expected=f"rows after {before.time[-1]}",
                got=str(after.time[0]),
                fix="A file of this size is read in pieces: sort it by time first",
            )
        time = np.concatenate([before.time, after.time])
    else:
        time = None
    joined = replace(
        after,
        time=time,
        columns={
            name: np.concatenate([before.columns[name], values]) for name, values in after.columns.items()
        },
        rows=np.concatenate([before.rows, after.rows]),
    )
    return data.regular(joined, layout.frequency) if layout.time is not None else joined
