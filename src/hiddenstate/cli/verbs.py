"""What each verb does: one call of a public function, and its answer written out."""

from __future__ import annotations

import inspect
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hiddenstate import bundle as bundles
from hiddenstate import data, tasks
from hiddenstate.errors import BundleError, OptionError
from hiddenstate.tasks import Estimator

from . import DONE, INTERRUPTED, live
from .describe import description


@dataclass(frozen=True)
class Reading:
    """How a table file is to be read; what is None is seen from the file.

    Args:
        header: whether the first row names the columns; seen from the file if not given.
        separator: between the values of a row; seen from the file if not given.
        decimal: the decimal sign, "." if not given.
        time_format: the form of the dates, such as "%d/%m/%Y"; ISO 8601 if not given.
    """

    header: bool | None = None
    separator: str | None = None
    decimal: str | None = None
    time_format: str | None = None

    def source(self, file: str) -> Any:
        """The file itself, or the table in it read as the options say."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return data.read(file, **given) if given else file


PLAIN = Reading()


def fit(
    estimator: Estimator,
    file: str,
    /,
    *,
    out: str,
    reading: Reading = PLAIN,
) -> int:
    """Train on a file and save the model; an interrupted training saves the best so far.

    Args:
        estimator: what to train.
        file: the data.
        out: where to save the model (``.safetensors``).
        reading: how a table file is to be read.
    """
    folder = Path(out).resolve().parent
    if not os.access(folder, os.W_OK):
        # said before the training, not after it
        raise BundleError(
            "cannot write the model", where=out, fix=f"Check that {folder} exists and is writable"
        )
    source = reading.source(file)
    estimator.fit(source)  # type: ignore[attr-defined]
    estimator.save(out)
    training = estimator.card["training"]
    how = f"{training['epochs']} epochs in {training['seconds']:.1f} s, ended by {training['stopped']}"
    _note(f"saved {out}: {how}")
    return INTERRUPTED if training["stopped"] == "interrupt" else DONE


def predict(
    model: str,
    file: str,
    /,
    *,
    out: str | None = None,
    reading: Reading = PLAIN,
) -> int:
    """Answer for every sequence, series or text of a file, as a table.

    Args:
        model: the saved model.
        file: the data, as for fit; columns to be predicted may be missing.
        out: where the table goes, as CSV, JSONL or Parquet by its suffix; standard output as CSV if not
            given.
        reading: how a table file is to be read.
    """
    estimator = _task(model, "predict")
    source = reading.source(file)
    answer = estimator.predict_table if hasattr(estimator, "predict_table") else estimator.predict
    table = answer(source)
    data.write(table, out)
    return DONE


def stream(model: str, /, *, snapshot: str | None = None) -> int:
    """Answer each line of standard input at once, with the state carried from line to line.

    A line is a number, numbers with commas between, a JSON list or object, or text, as the model takes it.
    The first line may be a header. Answers are JSON, one a line. An empty line starts a new sequence.

    Args:
        model: the saved model.
        snapshot: a file to go on from if it is there; the state is saved in it at the end, however the end
            came.
    """
    estimator = _task(model, "stream")
    return live.run(estimator, sys.stdin.buffer, sys.stdout, None if snapshot is None else Path(snapshot))


def generate(
    model: str,
    /,
    *,
    prompt: str = "",
    length: int = 500,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | None = None,
) -> int:
    """Let a language model write.

    Args:
        model: the saved model.
        prompt: the text to go on from.
        length: symbols (characters or words) to write at most.
        temperature: below 1 more predictable, above 1 more daring; 0 always takes the likeliest.
        top_k: choose among the k likeliest symbols only.
        top_p: choose among the likeliest symbols that together have this probability.
        seed: the same seed writes the same text.
    """
    writer = _task(model, "generate")
    pieces = writer.generate(
        prompt, length=length, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed
    )
    sys.stdout.write(prompt)
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
    return DONE


def score(
    model: str,
    file: str,
    /,
    *,
    out: str | None = None,
    train: str | None = None,
    reading: Reading = PLAIN,
) -> int:
    """Measure a model on a file, beside the baselines of its task.

    Args:
        model: the saved model.
        file: the data, with what is to be predicted.
        out: where the table of figures goes, by its suffix; readable on standard output if not given.
        train: of a language model, the text to count the n-grams on that it is to beat.
        reading: how a table file is to be read.
    """
    estimator = _task(model, "score")
    measure = estimator.evaluate
    if train is not None and "train" not in inspect.signature(measure).parameters:
        raise OptionError(
            "only for language models", where="--train", got=f"a model of task '{estimator.task}'"
        )
    source = reading.source(file)
    scores = measure(source) if train is None else measure(source, train=train)
    if out is None:
        print(scores)
    else:
        data.write({name: [row[name] for row in scores.rows] for name in scores.rows[0]}, out)
    return DONE


def show(model: str, /) -> int:
    """Say what is in a saved model: network, codec, task, and how it was trained.

    Args:
        model: the saved model.
    """
    print(description(bundles.load(model)))
    return DONE


def _task(model: str, verb: str) -> Any:
    """The model in a file, if its task has the verb."""
    found = tasks.load(model)
    if not hasattr(found, verb):
        raise OptionError(
            "this model cannot do that",
            where=model,
            expected=f"a task with '{verb}'",
            got=getattr(found, "task", "a network without a task"),
        )
    return found


def _note(text: str) -> None:
    print(f"hiddenstate: {text}", file=sys.stderr)
