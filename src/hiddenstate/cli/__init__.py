"""The command line: ``hiddenstate fit | predict | stream | generate | score | show``.

A verb calls one public function. Answers go to standard output, everything else to standard error. Exit
codes: 0 done, 1 the data or the model is at fault, 2 the command is written wrongly, 130 interrupted, 141
nobody reads the output.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from hiddenstate.errors import HiddenStateError, OptionError

DONE, FAULT, USAGE, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 130, 141


def main(tokens: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        tokens: the words of the command; None: those of this process.

    Returns:
        The exit code. A mistake of the user is one line on standard error; ``--debug`` adds the traceback.
    """
    words = list(sys.argv[1:] if tokens is None else tokens)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    with _notes_on_standard_error():
        return _guarded(lambda: _run(words), debug)


def _run(words: list[str]) -> int:
    from cyclopts import CycloptsError

    from .app import build

    try:
        command, bound, *_ = build().parse_args(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        _complain(" ".join(str(error).split()), "See: hiddenstate --help")
        return USAGE
    code = command(*bound.args, **bound.kwargs)
    sys.stdout.flush()
    return code or DONE


def _guarded(run: Callable[[], int], debug: bool) -> int:
    try:
        return run()
    except BrokenPipeError:
        # Python flushes standard output once more at exit: let that go nowhere instead of failing again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if debug:
            traceback.print_exc()
        _complain(*_told(error))
        return USAGE if isinstance(error, OptionError) else FAULT


def _told(error: Exception) -> tuple[str, ...]:
    """What a user reads of an error."""
    if isinstance(error, HiddenStateError):
        return (str(error),)
    if isinstance(error, OSError) and error.filename:
        return (f"{error.filename}: {error.strerror}",)
    if isinstance(error, MemoryError):
        return ("out of memory", "Use a smaller model, batch or file")
    return (
        f"unexpected {type(error).__name__}: {error}",
        "This may be a bug; --debug shows where it happened",
    )


def _complain(*sentences: str) -> None:
    print("hiddenstate: " + ". ".join(one.rstrip(".") for one in sentences), file=sys.stderr)


@contextmanager
def _notes_on_standard_error() -> Iterator[None]:
    """Warnings and log messages of the package, such as what was done to unsorted rows, one line each."""
    handler, logger = logging.StreamHandler(sys.stderr), logging.getLogger("hiddenstate")
    handler.setFormatter(logging.Formatter("hiddenstate: note: %(message)s"))
    before, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("always", module="hiddenstate")
            warnings.showwarning = lambda message, *_, **__: logger.warning(str(message))
            yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = before
