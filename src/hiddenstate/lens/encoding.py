"""The user's own sequences as a network takes them, with a label for every step and what the loss compares.

| model | one sequence | several: ``read`` | labels | targets |
|---|---|---|---|---|
| language model | a string | what ``predict`` takes | symbols | id of the next symbol, ``[T]`` |
| classifier | a string, or ``[T]`` / ``[T, F]`` | what ``predict`` takes | symbols, values | class index |
| forecaster | as ``read`` | what ``predict`` takes | time stamps, row numbers | perfect output ``[T, O]`` |
| ``runtime.Model`` | ``[T, size]``, ids ``[T]``, or a dict of those | a list of them | values, ids | none |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hiddenstate.errors import DataError
from hiddenstate.runtime import Model
from hiddenstate.runtime import inputs as edge

NO_TARGET = -1
"""Stands where a step (or sequence) has no target id."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """One sequence, ready to run.

    Attributes:
        inputs: by input name: ``[T, size]`` float32, or ids ``[T]`` int64.
        labels: what a reader calls each step: a character, a word, a time stamp, a value; T of them.
        name: what a reader calls the sequence.
        targets: what the loss compares the output with (see ``loss.StepLoss``); None: nothing is known.
            Class or next-symbol ids are int64 (``NO_TARGET``: none), ``[T]`` or, after a pool, ``[]``;
            numbers are ``[T, O]`` with NaN where there is none.
    """

    inputs: Mapping[str, np.ndarray]
    labels: Sequence[str]
    name: str
    targets: np.ndarray | None = field(default=None)

    def __len__(self) -> int:
        return len(self.labels)

    def cut(self, start: int, stop: int) -> Encoded:
        """The steps ``start`` to ``stop`` as a sequence of its own."""
        part = slice(start, stop)
        targets = self.targets[part] if self.targets is not None and self.targets.ndim else self.targets
        inputs = {name: value[part] for name, value in self.inputs.items()}
        name = self.name if (start, stop) == (0, len(self)) else f"{self.name}, steps {start} to {stop - 1}"
        return Encoded(inputs, self.labels[part], name, targets)


def one(model: Any, sequence: Any) -> Encoded:
    """A single sequence of the user's elements, in the form of the module's table.

    Raises:
        DataError: when it cannot be used, or is empty.
    """
    if isinstance(sequence, Encoded):
        return sequence
    if isinstance(model, Model):
        found = _arrays(model, sequence, "sequence")
    elif model.task == "language":
        found = _document(model, _text(sequence), "text")
    elif model.task == "classify":
        wrapped = [sequence] if isinstance(sequence, str) else [np.asarray(sequence)]
        found = read(model, wrapped)[0]
    else:
        several = read(model, _series(sequence))
        if len(several) > 1:
            raise DataError("several series where one was expected", got=[one.name for one in several][:5])
        found = several[0]
    if not len(found):
        raise DataError("an empty sequence", expected="at least one step")
    return found


def read(model: Any, data: Any) -> list[Encoded]:
    """All sequences of ``data``, whole; a list of ``Encoded`` passes through. Empty ones are left out.

    Raises:
        DataError: on data that the model cannot take, NaN among bare arrays included.
    """
    if isinstance(data, Encoded):
        data = [data]
    if isinstance(data, (list, tuple)) and data and all(isinstance(item, Encoded) for item in data):
        found = list(data)
    elif isinstance(model, Model):
        found = [_arrays(model, item, f"sequence {i}") for i, item in enumerate(_listed(model, data))]
    else:
        found = _TASKS[model.task](model, data)
    kept = [one for one in found if len(one)]
    if not kept:
        raise DataError("no sequences to look at", expected="at least one with at least one step")
    return kept


# ---- by kind of model


def _arrays(model: Model, value: Any, name: str) -> Encoded:
    """Bare arrays, checked as ``Model.predict`` checks them; a label is the value of a step."""
    inputs = edge.sequence(model.spec, value, name, lambda step: f"{name}, step {step}")
    first = inputs[model.spec.inputs[0].name]
    return Encoded(inputs, [_number_label(step) for step in first], name)


def _listed(model: Model, data: Any) -> Sequence[Any]:
    """A list of sequences; a bare array is one of them."""
    if isinstance(data, (Mapping, np.ndarray)):
        return [data]
    if not isinstance(data, (list, tuple)):
        got, fix = type(data).__name__, "A model saved without a task takes arrays: [T, size], or ids [T]"
        raise DataError("not a list of sequences", expected=list(model.spec.sizes())[:1], got=got, fix=fix)
    return data


def _number_label(step: Any) -> str:
    numbers = np.atleast_1d(step)
    shown = " ".join(f"{number:.4g}" for number in numbers[:4].tolist())
    return shown + (" ..." if len(numbers) > 4 else "")


def _language(model: Any, data: Any) -> list[Encoded]:
    from hiddenstate.tasks.language import documents

    texts = documents.read(data, text=model.text)
    return [_document(model, text, f"document {number}") for number, text in enumerate(texts, start=1)]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise DataError("not a text", expected="a string", got=type(value).__name__)
    return value


def _document(model: Any, text: str, name: str) -> Encoded:
    """Symbols of a text; each step's target is the next symbol (the last one has none)."""
    model._require_fitted()
    ids = model._vocabulary.encode(text)
    targets = np.append(ids[1:], NO_TARGET)[: len(ids)]
    return Encoded({"x": ids}, model._vocabulary.split(text), name, targets)


def _classify(model: Any, data: Any) -> list[Encoded]:
    """Sequences with the class index of their label where the data has one."""
    found = model._read(data, labelled=_has_labels(model, data))
    known = {label: index for index, label in enumerate(model.classes_.tolist())}
    encoded = []
    for number, (key, item) in enumerate(zip(found.keys.tolist(), found.items, strict=True)):
        labels = model._features.elements(item) if isinstance(item, str) else list(map(_number_label, item))
        index = None if found.labels is None else known.get(found.labels[number].item(), NO_TARGET)
        targets = None if index is None else np.array(index)
        encoded.append(Encoded({"x": model._features.encode(item)}, labels, f"sequence {key}", targets))
    return encoded


def _has_labels(model: Any, data: Any) -> bool:
    """Whether the data is a table with the label column of the model."""
    from hiddenstate import data as tables
    from hiddenstate.tasks.classify.inputs import is_table

    if model.label is None or not is_table(data):
        return False
    table = data if isinstance(data, tables.Table) else tables.read(data)
    return model.label in table.names


def _forecast(model: Any, data: Any) -> list[Encoded]:
    """Rows of series; targets are what the point outputs should have been (see ``_perfect``)."""
    from hiddenstate.tasks.forecast.run import encode_whole

    encoded = []
    for number, history in enumerate(model._read(data), start=1):
        seen = encode_whole(model.codec_, history)
        inputs = {name: value[:, 0] for name, value in seen.inputs.items()}
        labels = _stamp_labels(history.stamps(), len(history))
        name = history.id if history.id is not None else f"series {number}"
        encoded.append(Encoded(inputs, labels, name, _perfect(model, seen)))
    return encoded


def _stamp_labels(stamps: np.ndarray | None, count: int) -> list[str]:
    """Time stamps as short as they can be (no time of day where there is none); else row numbers from 0."""
    if stamps is not None and stamps.dtype.kind == "M":
        return np.datetime_as_string(stamps, unit="auto").tolist()
    return list(map(str, range(count) if stamps is None else stamps.tolist()))


def _series(value: Any) -> Any:
    """Numbers in a list are one series of one target."""
    if not isinstance(value, (list, tuple)):
        return value
    try:
        return np.asarray(value, np.float64)
    except (TypeError, ValueError) as error:
        raise DataError("not a series", expected="numbers", got=str(error)) from error


def _perfect(model: Any, seen: Any) -> np.ndarray | None:
    """The outputs whose point forecasts would have been right, ``[T, O]``; NaN for all other outputs.

    None for counts, whose mean is no linear output.
    """
    layout, head = model.codec_.layout, model.head_
    if head.name == "negative-binomial":
        return None
    place = point_output(model)
    scaled = seen.scaled[:, 0]
    wanted = np.full((len(scaled), layout.steps, len(layout.target), head.width), np.nan)
    for step in range(min(layout.steps, len(scaled) - 1)):
        wanted[: -1 - step, step, :, place] = scaled[1 + step :]
    offset, unit = (value[:, 0][:, None] for value in (seen.reference.offset, seen.reference.unit))
    wanted[..., place] = (wanted[..., place] - offset) / unit
    return wanted.reshape(len(scaled), -1)


def point_output(model: Any) -> int:
    """Number of the output that is the point forecast of the next step of the first target."""
    if model.head_.name != "quantiles":
        return 0
    return int(np.argmin(np.abs(np.array(model.head_.levels) - 0.5)))


_TASKS = {"language": _language, "classify": _classify, "forecast": _forecast}
