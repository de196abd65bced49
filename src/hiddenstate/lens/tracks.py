"""States and labels of every step, side by side over all sequences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hiddenstate.errors import DataError, OptionError, ShapeError

from .encoding import Encoded
from .probe import Probe, StackLayer
from .recorded import Pass

Labels = Sequence[Any] | Callable[[Encoded], Any]
"""A label for every step: one list per sequence, or what makes it from a sequence; None or NaN: no label."""


@dataclass(frozen=True, eq=False)
class Tracks:
    """What one layer holds at every labelled step, sequences one after another.

    Attributes:
        layer: the layer.
        units: name of every unit, H of them.
        values: ``[N, H]`` float64.
        labels: ``[N]``.
        sequence: number of the sequence of each step, ``[N]``.
        step: its place in the sequence, ``[N]``.
        inputs: what a reader calls the input of each step, ``[N]``.
        sequences: the sequences.
    """

    layer: StackLayer
    units: tuple[str, ...]
    values: np.ndarray
    labels: np.ndarray
    sequence: np.ndarray
    step: np.ndarray
    inputs: np.ndarray
    sequences: Sequence[Encoded]


def unit_values(made: Pass, layer: StackLayer, of: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of units, and their values ``[T, B, H]``.

    Raises:
        OptionError: the layer's state has no such part.
    """
    state = made.states(layer.name)
    if of not in state._fields:
        raise OptionError("no such part of the state", where="of", expected=list(state._fields), got=repr(of))
    values = getattr(state, of).astype(np.float64)
    return tuple(f"{layer.name}.{of}[{unit}]" for unit in range(values.shape[-1])), values


def collect(probe: Probe, data: Any, labels: Labels, *, layer: str | None, of: str, seed: int) -> Tracks:
    """One pass over the data, with the labels beside the states.

    Args:
        probe: the model.
        data: what ``Probe.read`` takes; with labels in lists it is not cut, so that they stay in step.
        labels: of every step.
        layer: name of a layer; None: the last one that reads forwards.
        of: "h" or "c".
        seed: of the sample of sequences.

    Raises:
        DataError: labels are missing, or their number is not that of sequences or steps.
        OptionError: no such layer or part.
    """
    one = probe.layer(layer)
    whole = {} if callable(labels) else {"steps": None, "sequences": None}
    sequences = probe.read(data, seed=seed, **whole)
    rows = _rows(sequences, labels)
    made = probe.run(sequences)
    units, values = unit_values(made, one, of)
    flat = np.concatenate([values[: len(row), place] for place, row in enumerate(rows)])
    joined = np.concatenate(rows)
    known = np.array([not _missing(label) for label in joined])
    if not known.any():
        fix = "Give a label for every step (None where it has none)"
        raise DataError("no step has a label", where="labels", fix=fix)
    return Tracks(
        layer=one,
        units=units,
        values=flat[known],
        labels=joined[known],
        sequence=np.repeat(np.arange(len(rows)), [len(row) for row in rows])[known],
        step=np.concatenate([np.arange(len(row)) for row in rows])[known],
        inputs=np.concatenate([np.array(list(found.labels), object) for found in sequences])[known],
        sequences=sequences,
    )


def _rows(sequences: Sequence[Encoded], labels: Labels) -> list[np.ndarray]:
    """The labels of each sequence as an array of objects, checked against its steps."""
    if labels is None or isinstance(labels, str):
        expected = "one list per sequence, or a function of a sequence"
        raise DataError("labels are missing", where="labels", expected=expected, got=repr(labels))
    given = [labels(one) for one in sequences] if callable(labels) else list(labels)
    if len(given) != len(sequences):
        expected, got = f"{len(sequences)} lists", len(given)
        raise ShapeError("labels and sequences differ in number", where="labels", expected=expected, got=got)
    rows = []
    for one, row in zip(sequences, given, strict=True):
        found = np.array([_plain(label) for label in row], object)
        if len(found) != len(one):
            expected = f"{len(one)} labels"
            raise ShapeError(
                "labels and steps differ in number", where=one.name, expected=expected, got=len(found)
            )
        rows.append(found)
    return rows


def _plain(label: Any) -> Any:
    return label.item() if isinstance(label, np.generic) else label


def _missing(label: Any) -> bool:
    return label is None or (isinstance(label, float) and np.isnan(label))
