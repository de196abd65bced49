"""Progress of a report on standard error: what is measured, about how long it takes, and what is left."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

from .progress import Advance

QUIET_S = 1.0
"""Measurements expected to be shorter are not announced in a log."""


class Display:
    """A bar on a terminal; elsewhere a line for each measurement that takes a second or more.

    Args:
        total: measurements there are.
        shown: whether to show anything.
    """

    def __init__(self, total: int, *, shown: bool) -> None:
        self._total, self._done = total, 0
        self._bar: Any = None
        self._shown = shown and sys.stderr is not None
        self._next_s = 0.0

    def __enter__(self) -> Self:
        if self._shown and sys.stderr.isatty():
            self._bar = _bar()
            self._task = self._bar.add_task("", total=self._total, text="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, name: str, expected_s: float) -> None:
        """A measurement begins."""
        self._name = name
        if self._bar is not None:
            self._draw(f"{name}, about {_duration(expected_s)}")
        elif self._shown and expected_s >= QUIET_S:
            self._say(f"{name}: about {_duration(expected_s)}")

    def advance(self, step: Advance) -> None:
        """A long measurement says how far it is; see ``progress.parts``."""
        if time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + (0.1 if self._bar is not None else 5.0)
        text = f"{step.what}: {step.done} of {step.total}, about {_duration(step.left_s)} left"
        if self._bar is not None:
            self._draw(text)
        elif self._shown and step.left_s >= QUIET_S:
            self._say(text)

    def end(self) -> None:
        """The measurement is done."""
        self._done += 1
        if self._bar is not None:
            self._draw(self._name)

    def _draw(self, text: str) -> None:
        self._bar.update(self._task, completed=self._done, text=text)
        self._bar.refresh()

    def _say(self, text: str) -> None:
        print(f"hiddenstate: lens: {self._done + 1}/{self._total} {text}", file=sys.stderr, flush=True)


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (BarColumn(bar_width=12), MofNCompleteColumn(), TextColumn("{task.fields[text]}"))
    return Progress(*columns, console=Console(stderr=True), auto_refresh=False, transient=True)


def _duration(seconds: float) -> str:
    """``under a second``, ``8 s`` or ``3 min``."""
    if seconds < QUIET_S:
        return "a second"
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
