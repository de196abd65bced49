"""One output of a model as a number that depends on the steps of one sequence, which can be masked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hiddenstate.blocks import ModelState
from hiddenstate.errors import OptionError
from hiddenstate.runtime import Model
from hiddenstate.spec import Embed
from hiddenstate.types import Array

from .probe import Probe
from .recorded import Pass

ROW_STEPS = 1 << 14
"""Steps of all rows together in one pass; more are run in pieces."""

Baseline = str | Mapping[str, Any]
"""What a masked step holds: "zero", "mean", or a vector by name of input or embedding."""


class Scorer:
    """The score ``F(x)``: one output at one step, in float64, with steps kept or replaced by a baseline.

    What is masked are numbers, or, where the model reads ids, their embedding vectors.

    Args:
        model: what ``Probe`` takes.
        sequence: one sequence as ``Probe.encode`` takes it.
        target: which output: its number, or the label of a class or symbol; None: the largest one.
        step: the step whose output is scored; None: the last. After a pool there is one output only.
        baseline: "zero", "mean" (of the sequence's numbers; of all embedding vectors), or vectors ``[size]``
            by name of input or embed block.
        state: what every run starts from; None: rest.

    Attributes:
        sequence: the encoded sequence.
        values: what each step holds, ``[T, size]`` by name of input or embed block.
        base: the baseline, alike.
        target: number of the output.
        target_name: its label, or its number in words.
        step: the scored step.
        score: ``F(x)``.
        base_score: F with every step masked.

    Raises:
        OptionError: an unknown target, step or baseline.
    """

    def __init__(
        self,
        model: Any,
        sequence: Any,
        *,
        target: int | str | None = None,
        step: int | None = None,
        baseline: Baseline = "zero",
        state: ModelState | None = None,
    ) -> None:
        self.probe = Probe(model, dtype="float64")
        self.sequence = self.probe.encode(sequence)
        self._state = state
        self.step = _checked_step(step, len(self.sequence))
        spec = self.probe.spec
        self._embeds = {block.name: block.source for block in spec.blocks if isinstance(block, Embed)}
        self.values = {
            node.name: np.asarray(self.sequence.inputs[node.name], np.float64)
            for node in spec.inputs
            if node.kind == "numbers"
        }
        for name, source in self._embeds.items():
            self.values[name] = self.probe.params[f"{name}.weight"][self.sequence.inputs[source]]
        self.base = self._baseline(baseline)
        self._baseline_name = baseline if isinstance(baseline, str) else "given"
        outputs = self._outputs(self.run({name: value[:, None] for name, value in self.values.items()}))[0]
        self.target, self.target_name = _target(self.probe.model, target, outputs)
        self.score = float(outputs[self.target])
        self.base_score = float(self.masked(np.zeros((1, len(self)), bool))[0])

    def __len__(self) -> int:
        return len(self.sequence)

    @property
    def reach(self) -> int:
        """How many steps, from the first, can change the score."""
        spec = self.probe.spec
        return self.step + 1 if spec.streamable and not spec.pooled else len(self)

    @property
    def words(self) -> str:
        """What is scored, what a masked step holds and where runs start, for a convention."""
        where = "of the sequence" if self.probe.spec.pooled else f"at step {self.step}"
        start = "rest" if self._state is None else "a given state"
        return (
            f"the score is output {self.target_name!r} {where}, before any softmax; baseline: "
            f"{self._baseline_name} {' and '.join(self.values)}; every run starts from {start}"
        )

    def run(self, values: Mapping[str, Array]) -> Pass:
        """A pass over rows that hold these values, ``[T, B, size]`` by name."""
        rows = next(iter(values.values())).shape[1]
        inputs = {
            node.name: values[node.name]
            if node.kind == "numbers"
            else np.repeat(self.sequence.inputs[node.name][:, None], rows, axis=1)
            for node in self.probe.spec.inputs
        }
        given = {name: values[name] for name in self._embeds}
        state = None if self._state is None else _repeated(self._state, rows)
        return self.probe.forward(inputs, state=state, given=given)

    def scores(self, made: Pass) -> np.ndarray:
        """The score of every row of a pass, ``[B]``."""
        return self._outputs(made)[:, self.target]

    def gradient(self, made: Pass) -> dict[str, Array]:
        """Gradient of every row's score by its values, ``[T, B, size]`` by name."""
        seed = np.zeros_like(made.output)
        if self.probe.spec.pooled:
            seed[:, self.target] = 1
        else:
            seed[self.step, :, self.target] = 1
        found = made.backward(seed).d_nodes
        return {name: found.get(name, np.zeros_like(made.nodes[name])) for name in self.values}

    def masked(self, present: np.ndarray) -> np.ndarray:
        """Scores with some steps replaced by the baseline.

        Args:
            present: which steps each row keeps, ``[B, T]`` bool.
        """
        found = np.empty(len(present))
        piece = max(1, ROW_STEPS // len(self))
        for start in range(0, len(present), piece):
            rows = slice(start, start + piece)
            keep = present[rows].T[:, :, None]
            mixed = {
                name: np.where(keep, value[:, None], self.base[name][:, None])
                for name, value in self.values.items()
            }
            found[rows] = self.scores(self.run(mixed))
        return found

    def _outputs(self, made: Pass) -> np.ndarray:
        return made.output if self.probe.spec.pooled else made.output[self.step]

    def _baseline(self, baseline: Baseline) -> dict[str, np.ndarray]:
        if isinstance(baseline, str):
            if baseline not in ("zero", "mean"):
                expected = ["zero", "mean"]
                raise OptionError("unknown baseline", where="baseline", expected=expected, got=repr(baseline))
            vectors = {name: self._mean(name) if baseline == "mean" else 0.0 for name in self.values}
        else:
            if set(baseline) != set(self.values):
                expected, got = sorted(self.values), sorted(baseline)
                fix = "Give a vector for every input of numbers and every embed block"
                raise OptionError("not a baseline", where="baseline", expected=expected, got=got, fix=fix)
            vectors = dict(baseline)
        found = {}
        for name, value in self.values.items():
            vector = np.asarray(vectors[name], np.float64)
            if vector.shape not in ((), value.shape[1:]) or not np.isfinite(vector).all():
                where, expected = f"baseline[{name!r}]", f"finite, shape {value.shape[1:]}"
                raise OptionError("not a baseline", where=where, expected=expected, got=vector.tolist())
            found[name] = np.broadcast_to(vector, value.shape)
        return found

    def _mean(self, name: str) -> np.ndarray:
        table = self.probe.params[f"{name}.weight"] if name in self._embeds else self.values[name]
        return table.mean(axis=0)


def _checked_step(step: int | None, count: int) -> int:
    found = count - 1 if step is None else step
    if isinstance(found, bool) or not isinstance(found, (int, np.integer)) or not 0 <= found < count:
        raise OptionError("no such step", where="step", expected=f"0 to {count - 1}", got=repr(step))
    return int(found)


def output_names(model: Any) -> list[Any] | None:
    """Labels of the outputs: classes of a classifier, symbols of a language model; None for others."""
    if isinstance(model, Model):
        return None
    if model.task == "classify":
        return model.classes_.tolist()
    return list(model._vocabulary.symbols) if model.task == "language" else None


def _target(model: Any, target: int | str | None, outputs: np.ndarray) -> tuple[int, str]:
    """Number and name of the scored output."""
    names = output_names(model)
    if target is None:
        place = int(np.argmax(outputs))
    elif names is not None and target in names:
        place = names.index(target)
    elif (
        isinstance(target, (int, np.integer)) and not isinstance(target, bool) and 0 <= target < len(outputs)
    ):
        place = int(target)
    else:
        unlabelled = isinstance(target, str) and names is None
        fix = "Give its number: this model has no labels for its outputs" if unlabelled else None
        expected = f"0 to {len(outputs) - 1}" if names is None else names[:20]
        raise OptionError("no such output", where="target", expected=expected, got=repr(target), fix=fix)
    return place, str(place if names is None else names[place])


def _repeated(state: ModelState, rows: int) -> ModelState:
    """The state of one row for all rows: fields are ``[L*D, 1, *]``, of a pool ``[1, *]``."""
    found: ModelState = {}
    for name, record in state.items():
        axis = 0 if hasattr(record, "count") else 1
        values = (np.repeat(value, rows, axis=axis) for value in record)
        found[name] = type(record)(*values)
    return found
