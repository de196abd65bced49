"""Everything that happens in a network while it reads one sequence, as labelled arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hiddenstate.tasks.scores import aligned
from hiddenstate.tasks.softmax import softmax

from .encoding import Encoded
from .probe import Probe, open_probe
from .recorded import Pass
from .result import plain

SHOWN = 6
"""Units and answers shown in the text of a trace."""


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """One recurrent layer in one direction, step by step.

    Attributes:
        name: of the layer, ``rnn_l0``.
        cell: of the layer, ``lstm``.
        units: names of the hidden units, H of them: ``rnn_l0[0]``.
        h: state after every step, ``[T, R]``.
        c: cell state of an LSTM, ``[T, H]``; None for other cells.
        gates: by name, ``[T, H]``: LSTM i, f, o; GRU r, z; empty for a plain RNN. f and z keep at 1.
        candidate: what the cell would write, ``[T, H]``: LSTM g, GRU n; None for a plain RNN.
        norm: ``||h_t||``, ``[T]``.
        change: ``||h_t - h_(t-1)||``, from the state at rest on, ``[T]``.
    """

    name: str
    cell: str
    units: tuple[str, ...]
    h: np.ndarray
    c: np.ndarray | None
    gates: Mapping[str, np.ndarray]
    candidate: np.ndarray | None
    norm: np.ndarray
    change: np.ndarray


@dataclass(frozen=True, eq=False)
class Trace:
    """One pass over one sequence; ``trace`` makes it. ``print(trace)`` shows it as a table.

    Attributes:
        steps: what the user calls each step: a word, a character, a time stamp, a value; T of them.
        inputs: by node name, what each step shows the network, ``[T, F]``: scaled numbers, or the vectors of
            symbols.
        layers: by layer name, in order.
        output: raw output after every step, ``[T, O]``; of a model with one answer per sequence, the answer
            to the sequence up to that step.
        answers: what the columns of ``probabilities`` are about: classes, or symbols; empty for other models.
        probabilities: ``[T, K]``: of the classes, given the sequence so far, or of the next symbol; None for
            other models.
        probability: of the answer at the end (class), or of the symbol itself before it came (language),
            ``[T]``; None for other models.
        carried: change of the log odds of the final class at every step, from an empty sequence on, ``[T]``:
            positive steps speak for it; None but for classifiers. It depends on the order of reading;
            attribution says what each step is worth in all.
    """

    steps: tuple[str, ...]
    inputs: Mapping[str, np.ndarray]
    layers: Mapping[str, LayerTrace]
    output: np.ndarray
    answers: tuple[str, ...] = ()
    probabilities: np.ndarray | None = None
    probability: np.ndarray | None = None
    carried: np.ndarray | None = None

    def table(self, layer: str | None = None) -> list[dict[str, Any]]:
        """A row per step: its name, the size and first units of the state, mean gates, the answer.

        Args:
            layer: name of a layer; None: the last one.

        Raises:
            KeyError: no such layer.
        """
        one = self.layers[layer] if layer is not None else list(self.layers.values())[-1]
        rows = []
        for t, step in enumerate(self.steps):
            row: dict[str, Any] = {
                "step": step if step.strip() else repr(step)[1:-1],
                "|h|": float(one.norm[t]),
            }
            row |= {f"h{unit}": float(value) for unit, value in enumerate(one.h[t, :SHOWN])}
            row |= {gate: float(values[t].mean()) for gate, values in one.gates.items()}
            if self.probability is not None:
                row["probability"] = float(self.probability[t])
            if self.carried is not None:
                row["carried"] = float(self.carried[t])
            rows.append(row)
        return rows

    def strongest(self, count: int = 3) -> list[str]:
        """The steps that carried the answer of a classifier most, the strongest first; empty for others."""
        if self.carried is None:
            return []
        order = np.argsort(-self.carried, kind="stable")[:count]
        return [self.steps[t] for t in order if self.carried[t] > 0]

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps(..., allow_nan=False)``; NaN becomes None."""
        return {**plain(self), "layers": {name: plain(layer) for name, layer in self.layers.items()}}

    def __str__(self) -> str:
        """The table of the last layer, and for a classifier its answer."""
        text = aligned(self.table())
        if self.carried is None or self.probabilities is None or self.probability is None:
            return text
        answer = self.answers[int(np.argmax(self.probabilities[-1]))]
        words = ", ".join(self.strongest())
        return f"{text}\n\n{answer} ({self.probability[-1]:.0%}), carried most by: {words}"


def trace(model: Any, sequence: Any) -> Trace:
    """Records everything of one pass: states, gates, inputs, outputs, probabilities, every step by name.

    Args:
        model: an estimator, ``runtime.Model``, bundle, path or ``Probe``.
        sequence: a text for a model that reads text; numbers ``[T]`` or ``[T, F]``; for a forecaster what
            ``predict`` takes, one series; for a bare model its arrays, by input name if there are several.

    Raises:
        DataError: a sequence that the model cannot take, or that is empty.

    Example:
        >>> from hiddenstate.lens.examples import counter
        >>> seen = trace(counter(), [0.0, 0.5, 0.3, 1.0])
        >>> seen.layers["rnn_l0"].c.ravel().round(3)                # 0.01 of the sum so far
        array([0.   , 0.005, 0.008, 0.018], dtype=float32)
        >>> sorted(seen.layers["rnn_l0"].gates), seen.layers["rnn_l0"].gates["f"].ravel().tolist()
        (['f', 'i', 'o'], [1.0, 1.0, 1.0, 1.0])
    """
    probe = open_probe(model)
    one = probe.encode(sequence)
    made = probe.run([one])
    output = _prefix_answers(probe, one) if probe.spec.pooled else made.output[:, 0]
    inputs = {name: made.nodes[name][:, 0] for name in probe.input_nodes}
    layers = {layer.name: _layer(made, layer.name) for layer in probe.layers}
    return Trace(tuple(one.labels), inputs, layers, output, **_answers(probe.model, one, output))


def _layer(made: Pass, name: str) -> LayerTrace:
    layer, state = made.probe.layer(name), made.states(name)
    recorded = {key: value[:, 0] for key, value in made.recordings[name].steps.items()}
    h = state.h[:, 0]
    rest = np.zeros(h.shape[1]) if layer.rest is None else layer.rest.h
    before = np.concatenate([h[1:], rest[None]]) if layer.reverse else np.concatenate([rest[None], h[:-1]])
    hidden = layer.scan.sizes.hidden_size
    return LayerTrace(
        name=name,
        cell=layer.scan.cell.name,
        units=tuple(f"{name}[{unit}]" for unit in range(hidden)),
        h=h,
        c=recorded.get("c"),
        gates={gate: recorded[gate] for gate in layer.gates},
        candidate=recorded.get("g", recorded.get("n")),
        norm=np.linalg.norm(h, axis=-1),
        change=np.linalg.norm(h - before, axis=-1),
    )


def _prefix_answers(probe: Probe, one: Encoded) -> np.ndarray:
    """The answer to the sequence up to every step, ``[T, O]``."""
    if not probe.spec.streamable:
        return probe.final([one.cut(0, stop) for stop in range(1, len(one) + 1)])
    state, answers = None, []
    for t in range(len(one)):
        made = probe.run([one.cut(t, t + 1)], state=state)
        state = made.state
        answers.append(made.output[0])
    return np.stack(answers)


def _answers(model: Any, one: Encoded, output: np.ndarray) -> dict[str, Any]:
    """Probabilities where the task has them."""
    task = getattr(model, "task", None)
    if task == "classify":
        return _classes(model, output)
    if task == "language":
        return _symbols(model, one, output)
    return {}


def _classes(model: Any, output: np.ndarray) -> dict[str, Any]:
    chances = softmax(output, temperature=model.temperature_)
    final = int(np.argmax(chances[-1]))
    logits = output.astype(np.float64) / model.temperature_
    others = np.delete(logits, final, axis=1)
    odds = logits[:, final] - np.logaddexp.reduce(others, axis=1)
    before = -np.log(others.shape[1])  # an empty sequence: all classes alike
    return {
        "answers": tuple(map(str, model.classes_.tolist())),
        "probabilities": chances,
        "probability": chances[:, final],
        "carried": np.diff(odds, prepend=before),
    }


def _symbols(model: Any, one: Encoded, output: np.ndarray) -> dict[str, Any]:
    chances = softmax(output)
    ids = np.asarray(one.inputs["x"])
    before = np.concatenate([np.exp(model._first)[None], chances[:-1]])
    return {
        "answers": tuple(model._vocabulary.symbols),
        "probabilities": chances,
        "probability": before[np.arange(len(ids)), ids],
    }
