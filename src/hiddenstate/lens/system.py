"""The whole recurrent stack as one map ``s_t = F(s_{t-1}, x_t)`` over vectors, with its exact derivative."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hiddenstate.blocks import ModelState
from hiddenstate.errors import OptionError
from hiddenstate.types import Array

from .encoding import Encoded
from .probe import Probe
from .recorded import Pass

ROW_VALUES = 1 << 22
"""Values of one kind held at once; larger measurements run in pieces."""


class System:
    """A model's recurrence in float64, the states of all its layers joined to one vector ``s`` of S values.

    ``s`` holds ``[h]`` or ``[h; c]`` of every layer in order of execution. Derivatives come from the native
    backward pass over unit vectors, batched: one pass gives all rows of all Jacobians.

    Args:
        model: what ``Probe`` takes.

    Attributes:
        probe: the model in float64.
        size: S.
        names: name of each entry of ``s``, e.g. ``rnn_l0.h[3]``.

    Raises:
        OptionError: the model reads sequences from both ends, so no step follows from the one before.

    Example:
        >>> from hiddenstate.lens.examples import decaying
        >>> system = System(decaying(0.5, size=2))
        >>> system.jacobians(np.ones((1, 2)), {"x": np.ones((1, 1))})
        array([[[0.5, 0. ],
                [0. , 0.5]]])
    """

    def __init__(self, model: Any) -> None:
        self.probe = Probe(model, dtype="float64")
        if not self.probe.spec.streamable:
            fix = "Look at its gradients over lag instead, or train with bidirectional=False"
            raise OptionError("a model that reads from both ends has no next state", where="model", fix=fix)
        self._parts: list[tuple[str, str, slice]] = []
        self.names: tuple[str, ...] = ()
        for layer in self.probe.layers:
            sizes = layer.scan.sizes
            shapes = layer.scan.cell.state_shapes(1, sizes.hidden_size, proj_size=sizes.proj_size)
            for field, (_, width) in shapes._asdict().items():
                start = len(self.names)
                self._parts.append((layer.name, field, slice(start, start + width)))
                self.names += tuple(f"{layer.name}.{field}[{unit}]" for unit in range(width))
        self.size = len(self.names)

    # ---- records to vectors and back

    def vectors(self, made: Pass) -> np.ndarray:
        """The joined states after every step of a pass, ``[T, B, S]``; zero at padded steps."""
        states = {layer.name: made.states(layer.name) for layer in self.probe.layers}
        return np.concatenate([getattr(states[name], field) for name, field, _ in self._parts], axis=-1)

    def rest(self, rows: int) -> np.ndarray:
        """The state that sequences start from, ``[rows, S]``."""
        rests = {layer.name: layer.scan.initial_state(rows, rest=layer.rest) for layer in self.probe.layers}
        return self._joined(rests)

    def model_state(self, vectors: np.ndarray) -> ModelState:
        """Joined states ``[B, S]`` as the state of a pass."""
        own = self._records(vectors)
        found: ModelState = {}
        for block in self.probe.spec.recurrent:
            records = [own[layer.name] for layer in self.probe.layers if layer.block is block]
            found[block.name] = type(records[0])(*(np.stack(values) for values in zip(*records, strict=True)))
        return found

    def _records(self, vectors: np.ndarray) -> dict[str, Any]:
        """Joined states ``[B, S]`` as a record for every layer."""
        vectors = np.asarray(vectors, np.float64)
        found = {}
        for layer in self.probe.layers:
            fields = {field: vectors[:, part] for name, field, part in self._parts if name == layer.name}
            found[layer.name] = layer.scan.cell.State(**fields)
        return found

    def _joined(self, records: dict[str, Any]) -> np.ndarray:
        return np.concatenate([getattr(records[name], field) for name, field, _ in self._parts], axis=-1)

    # ---- the map and its derivative

    def run(self, sequences: Sequence[Encoded]) -> tuple[Pass, np.ndarray]:
        """A pass from rest, and the states before and after every step, ``[T + 1, B, S]``."""
        made = self.probe.run(sequences)
        return made, np.concatenate([self.rest(len(sequences))[None], self.vectors(made)])

    def advance(self, states: np.ndarray, inputs: dict[str, Array]) -> tuple[Pass, np.ndarray]:
        """One step of every row: the pass and the next states ``[B, S]``.

        Args:
            states: ``[B, S]``.
            inputs: by input name ``[B, size]`` (ids ``[B]``).
        """
        made = self.probe.forward(_one_step(inputs), state=self.model_state(states))
        return made, self.vectors(made)[0]

    def pull(self, made: Pass, seeds: np.ndarray) -> np.ndarray:
        """Vectors times Jacobian: gradients by the first state ``[B, S]`` from those by the last, alike."""
        return self._joined(made.backward(d_state=self._records(seeds)).d_state)

    def jacobians(self, states: np.ndarray, inputs: dict[str, Array]) -> np.ndarray:
        """``J = dF(s, x)/ds`` of every row, exact, ``[B, S, S]``.

        Args:
            states: ``[B, S]``.
            inputs: by input name ``[B, size]`` (ids ``[B]``).
        """
        found = np.empty((len(states), self.size, self.size))
        piece = max(1, ROW_VALUES // self.size**2)
        for start in range(0, len(states), piece):
            rows = slice(start, start + piece)
            count = len(states[rows])
            tiled = {name: np.repeat(value[rows], self.size, axis=0) for name, value in inputs.items()}
            made, _ = self.advance(np.repeat(states[rows], self.size, axis=0), tiled)
            seeds = np.tile(np.eye(self.size), (count, 1))
            found[rows] = self.pull(made, seeds).reshape(count, self.size, self.size)
        return found

    def along(self, sequence: Encoded, steps: range) -> Iterator[np.ndarray]:
        """``J_t`` at the given steps of one sequence, ``[S, S]`` each, computed a few at a time."""
        _, states = self.run([sequence])
        piece = max(1, ROW_VALUES // self.size**2 // 4)
        for start in range(0, len(steps), piece):
            chosen = np.array(steps[start : start + piece])
            places = np.column_stack([np.zeros_like(chosen), chosen])
            yield from self.jacobians(states[chosen, 0], inputs_at([sequence], places))

    def products(self, sequence: Encoded, lags: int) -> Iterator[tuple[np.ndarray, float]]:
        """``ds_T/ds_{T-k}`` for k = 0 .. lags at the end of one sequence.

        Yields:
            A matrix ``[S, S]`` whose largest entry is 1 (all 0 when nothing is left), and the natural
            logarithm of what it is to be multiplied by, so that no lag underflows.
        """
        product, log_scale = np.eye(self.size), 0.0
        yield product, log_scale
        for step in self.along(sequence, range(len(sequence) - 1, len(sequence) - 1 - lags, -1)):
            product = product @ step
            largest = np.abs(product).max()
            if largest > 0:
                product, log_scale = product / largest, log_scale + float(np.log(largest))
            yield product, log_scale


def _one_step(inputs: dict[str, Array]) -> dict[str, Array]:
    return {name: np.asarray(value)[None] for name, value in inputs.items()}


def inputs_at(sequences: Sequence[Encoded], places: np.ndarray) -> dict[str, Array]:
    """Inputs of chosen steps by input name, ``[N, size]`` (ids ``[N]``), numbers in float64.

    Args:
        sequences: the sequences.
        places: ``[N, 2]``: which sequence, which step.
    """
    found = {}
    for name, value in sequences[0].inputs.items():
        chosen = np.stack([sequences[row].inputs[name][step] for row, step in places.tolist()])
        found[name] = chosen if value.dtype.kind == "i" else chosen.astype(np.float64)
    return found
