"""Memory tasks: sequences whose answer lies in the past, drawn at random, of any length.

=====================  =============================================================  ==========
task                   what has to be remembered                                      chance
=====================  =============================================================  ==========
``recall``             the first symbol, after others that do not count               1/symbols
``copy``               the first few symbols, in order                                1/symbols
``first-middle-last``  three symbols, one of which will be asked for                  1/symbols
``reflexive``          the first word of a sentence, which decides the last           1/6
``adding``             two marked numbers                                             1/6 (error)
``parity``             whether there was an odd number of ones so far                 1/2
``counter``            whether two counts agree, or which is one ahead                1/3
``brackets``           which brackets are still open                                  1/kinds
=====================  =============================================================  ==========

Example:
    >>> task = get("copy", delay=10, items=2)
    >>> examples = task.draw(64, seed=0)
    >>> examples.inputs["x"].shape, int(examples.mask.sum())
    ((12, 64), 128)
"""

from __future__ import annotations

from typing import Any

from hiddenstate.errors import OptionError

from .base import Examples, MemoryTask
from .counting import Adding, Brackets, Counter, Parity
from .recall import Copy, DelayedRecall, FirstMiddleLast, Reflexive
from .training import SCORED, Outcome, Training, examine, train_probe

__all__ = [
    "SCORED",
    "Adding",
    "Brackets",
    "Copy",
    "Counter",
    "DelayedRecall",
    "Examples",
    "FirstMiddleLast",
    "MemoryTask",
    "Outcome",
    "Parity",
    "Reflexive",
    "Training",
    "examine",
    "get",
    "names",
    "train_probe",
]

_TASKS: dict[str, type[MemoryTask]] = {
    task.name: task
    for task in (DelayedRecall, Copy, FirstMiddleLast, Reflexive, Adding, Parity, Counter, Brackets)
}


def names() -> list[str]:
    """The memory tasks."""
    return list(_TASKS)


def get(name: str, **settings: Any) -> MemoryTask:
    """The memory task called ``name``.

    Args:
        name: one of ``names()``.
        settings: of the task, as its class describes them.

    Raises:
        OptionError: on an unknown name or setting, or one out of range.
    """
    if name not in _TASKS:
        raise OptionError("unknown memory task", where="task", expected=names(), got=repr(name))
    try:
        return _TASKS[name](**settings)
    except TypeError as error:
        raise OptionError("unknown setting of a memory task", where=name, got=str(error)) from error
