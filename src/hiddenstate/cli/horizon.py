"""The verb ``lens horizon``: how far back cells can be trained to remember."""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hiddenstate.errors import DataError, OptionError
from hiddenstate.tasks import probes
from hiddenstate.tasks.scores import aligned

from . import DONE, INTERRUPTED, options

if TYPE_CHECKING:
    from hiddenstate.lens.progress import Advance

HELP = """Train each cell to recall across ever longer delays, and draw recall against distance.

Answers with a table; what was trained before is read from --kept and not trained again.

Args:
    cell: cells to compare, with commas between.
    delays: distances in steps, with commas between.
    seeds: trainings of every cell on every delay.
    task: {tasks}.
    settings: of the task, beside the delay, as name=value with commas between.
    kept: a JSONL file for finished trainings: stopped at any moment, the same command goes on from there.
    out: where the result goes: a figure (.png, .svg) or all numbers (.json); several with commas between.
"""


def command() -> Callable:
    """The verb, with the settings of a training as its options."""

    def horizon(
        *,
        cell: str = "rnn,gru,lstm",
        delays: str = "5,10,20,50,100,200",
        seeds: int = 3,
        task: str = "recall",
        settings: str | None = None,
        kept: str | None = None,
        out: str | None = None,
        **given: Any,
    ) -> int:
        training = probes.Training(**options.values(probes.Training, given))
        files = _files(out)
        from hiddenstate.lens.horizon import recall_horizon

        try:
            found = recall_horizon(
                _words(cell),
                task=task,
                settings=_settings(settings),
                delays=[_whole(word) for word in _words(delays)],
                seeds=seeds,
                training=training,
                kept=kept,
                report=_say,
            )
        except KeyboardInterrupt:
            left = (
                "nothing is kept without --kept" if kept is None else f"the same command goes on from {kept}"
            )
            print(f"hiddenstate: interrupted; {left}", file=sys.stderr)
            return INTERRUPTED
        for file in files:
            _write(found, file)
        table = found.table()
        print(aligned([dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]))
        print("\n" + found.sentence())
        return DONE

    own = list(inspect.signature(horizon, eval_str=True).parameters.values())[:-1]
    horizon.__signature__ = inspect.Signature([*own, *options.parameters(probes.Training)])  # type: ignore[attr-defined]
    horizon.__doc__ = HELP.format(tasks=", ".join(probes.names()))
    return horizon


def _say(step: Advance) -> None:
    left = f"{step.left_s:.0f} s" if step.left_s < 90 else f"{step.left_s / 60:.0f} min"
    print(
        f"hiddenstate: {step.done}/{step.total} {step.what}, about {left} left", file=sys.stderr, flush=True
    )


def _write(found: Any, file: Path) -> None:
    from hiddenstate.files import write_atomic
    from hiddenstate.lens.figures.recall import recall

    if file.suffix == ".json":
        text = json.dumps(found.to_json(), indent=1, allow_nan=False) + "\n"
        write_atomic(file, text.encode())
    else:
        picture = recall(found)
        write_atomic(file, picture.png() if file.suffix == ".png" else picture.svg().encode())


def _files(out: str | None) -> list[Path]:
    """Where the result goes; whatever is in the way is said before the training, not after it."""
    from hiddenstate.lens.figures import require

    files = [Path(word) for word in _words(out or "")]
    for file in files:
        if file.suffix not in (".png", ".svg", ".json"):
            raise OptionError(
                "unknown kind of file", where="--out", expected=".png, .svg or .json", got=str(file)
            )
        if not os.access(folder := file.resolve().parent, os.W_OK):
            fix = f"Check that {folder} exists and is writable"
            raise DataError("cannot write the result", where=file, fix=fix)
        if file.suffix != ".json":
            require()
    return files


def _words(text: str) -> Sequence[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _whole(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise OptionError("not a list of delays", where="--delays", expected="5,10,20", got=word) from None


def _settings(text: str | None) -> dict[str, Any]:
    return options.pairs("settings", text) if text else {}
