"""The verb ``stream``: standard input to a session, its answers to standard output."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from hiddenstate.errors import DataError
from hiddenstate.files import write_atomic

from .lines import Elements, text_lines, to_line


def run(model: Any, source: BinaryIO, sink: TextIO, snapshot: Path | None) -> int:
    """Answers every line until the end of the input.

    Args:
        model: a fitted estimator.
        source: lines in.
        sink: lines out, flushed one by one.
        snapshot: where to go on from and where to leave the state; None: nowhere.
    """
    session = model.stream(_restored(snapshot))
    answer = _answerer(model, session)
    with _saved(session, snapshot):
        for number, line in text_lines(source):
            out = answer(line, number)
            if out is not None:
                sink.write(out + "\n")
                sink.flush()
    return 0


def _answerer(model: Any, session: Any) -> Callable[[str, int], str | None]:
    """What to do with a line: text goes in as text, anything else as one element."""
    if getattr(model, "reads_text", False):
        return lambda line, _: to_line(model.step_line(session, line))
    elements = Elements()

    def step(line: str, number: int) -> str | None:
        if not line.strip():
            session.reset()
            return ""
        element = elements(line, number)
        if element is None:
            return None
        try:
            return to_line(session.step(element))
        except DataError as error:
            error.where = f"line {number}" if error.where is None else f"line {number}, {error.where}"
            raise

    return step


def _restored(snapshot: Path | None) -> bytes | None:
    if snapshot is None or not snapshot.exists():
        return None
    return snapshot.read_bytes()


@contextmanager
def _saved(session: Any, snapshot: Path | None) -> Iterator[None]:
    """Leaves the state in a file at the end, be it the end of input, an error, Ctrl-C or SIGTERM."""
    if snapshot is None:
        yield
        return
    with _terminable():
        try:
            yield
        finally:
            write_atomic(snapshot, session.snapshot())


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends like Ctrl-C, so that what has to be saved is saved."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
