"""Progress on standard error: a live display on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from .callbacks import Callback

if TYPE_CHECKING:
    from .run import Run

LIVE_EVERY_S = 0.1
LINE_EVERY_S = 2.0
BESIDE_TEXT = len("━━━━━━━━ 00:00 left  ")


class Progress(Callback):
    """Shows epoch, batch, loss, validation, the best so far, and the time left.

    On a terminal this is one line that is drawn anew; in a log file or a pipe it is at most a line per epoch
    and one in two seconds, and nothing at all for a training shorter than that.
    """

    def __init__(self) -> None:
        self._live: Any = None
        self._task: Any = None
        self._next = 0.0
        self._epochs_before = 0.0

    def start(self, run: Run) -> None:
        """Open the display."""
        self._epochs_before, self._next = run.progress, time.monotonic() + LINE_EVERY_S
        if sys.stderr is not None and sys.stderr.isatty():
            self._live = _display()
            self._task = self._live.add_task("", total=run.config.epochs, completed=run.progress, text="")
            self._live.start()
            self._next = 0.0

    def update(self, run: Run) -> None:
        """Draw the display anew, ten times a second."""
        if self._live is not None and time.monotonic() >= self._next:
            self._draw(run)

    def epoch(self, run: Run) -> None:
        """Draw, or write a line."""
        if self._live is not None:
            self._draw(run)
        elif time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_EVERY_S
            self._write(run, f"about {_duration(self._seconds_left(run))} left")

    def stop(self, run: Run) -> None:
        """Close the display, leaving a last line."""
        if self._live is not None:
            self._draw(run)
            self._live.stop()
            self._live = None
        elif run.history and run.seconds >= LINE_EVERY_S and run.stopped:
            self._write(run, f"ended by {run.stopped}")

    def _draw(self, run: Run) -> None:
        self._next = time.monotonic() + LIVE_EVERY_S
        room = self._live.console.width - BESIDE_TEXT  # rich would squeeze the bar first
        self._live.update(self._task, completed=run.progress, text=_text(run)[:room])
        self._live.refresh()

    def _write(self, run: Run, last: str) -> None:
        if sys.stderr is not None:
            print(f"{_text(run)}  {_duration(run.seconds)}, {last}", file=sys.stderr, flush=True)

    def _seconds_left(self, run: Run) -> float:
        """If all epochs are run, at the speed since the start (or resumption) of this process."""
        done = run.progress - self._epochs_before
        return run.seconds_here / done * (run.config.epochs - run.progress) if done else 0.0


def _display() -> Any:
    """A rich progress bar without a refresh thread: nothing runs beside the training."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    columns = (
        BarColumn(bar_width=8),
        TimeRemainingColumn(compact=True),
        TextColumn("left  {task.fields[text]}", table_column=Column(no_wrap=True)),
    )
    return Progress(*columns, console=Console(stderr=True), auto_refresh=False)


def _text(run: Run) -> str:
    """``epoch 3/20  loss 0.51  validation 0.62  best 0.60 (epoch 2)  batch 12/40``, what matters first."""
    inside = run.index > 0
    parts = [f"epoch {run.epoch + inside}/{run.config.epochs}"]
    last = run.history[-1] if run.history else None
    if inside and run.totals.weight:
        parts.append(f"loss {run.totals.loss / run.totals.weight:.4g}")
    elif last is not None:
        parts.append(f"loss {last['loss']:.4g}")
    if last is not None and last["validation"] is not None:
        parts.append(f"validation {last['validation']:.4g}")
    if run.watch.best_epoch is not None:
        parts.append(f"best {run.watch.best:.4g} (epoch {run.watch.best_epoch})")
    if inside:
        parts.append(f"batch {run.index}/{run.num_batches}")
    return "  ".join(parts)


def _duration(seconds: float) -> str:
    """``8 s``, ``3:05`` or ``1:02:09``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if not minutes and not hours:
        return f"{rest} s"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
