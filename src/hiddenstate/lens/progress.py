"""Progress of long measurements, with the time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Advance:
    """How far a measurement has come.

    Attributes:
        what: what is measured.
        done: parts done.
        total: parts there are.
        elapsed_s: seconds since the start.
        left_s: seconds to go, if the rest goes like the parts so far.
    """

    what: str
    done: int
    total: int
    elapsed_s: float
    left_s: float


Report = Callable[[Advance], None]
"""Called after every part. What it raises ends the measurement: that is how to cancel one."""


def parts(items: Sequence[Item], *, what: str, report: Report | None) -> Iterator[Item]:
    """The items one by one, with a report after each.

    Example:
        >>> seen = []
        >>> [part * 2 for part in parts([1, 2], what="doubling", report=seen.append)]
        [2, 4]
        >>> [(step.done, step.total) for step in seen]
        [(1, 2), (2, 2)]
    """
    start = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if report is not None:
            elapsed = time.monotonic() - start
            report(Advance(what, done, len(items), elapsed, elapsed / done * (len(items) - done)))
