"""A trained model opened up: its recurrent layers by name, recorded passes, gradients of every state.

Every measurement of the lens begins with a ``Probe``; ``probe.run(sequences)`` gives a ``Pass``.

Example:
    >>> import numpy as np
    >>> from hiddenstate.bundle import Bundle
    >>> from hiddenstate.spec import Input, Linear, ModelSpec, Recurrent
    >>> spec = ModelSpec(
    ...     (Input("x"),),
    ...     (Recurrent("rnn", "x", "rnn", 1, options={"nonlinearity": "relu"}), Linear("head", "rnn", 1)),
    ... )
    >>> weights = {name: np.ones(shape, np.float32) for name, shape in spec.param_shapes().items()}
    >>> weights["rnn.weight_hh_l0"] *= 0.5
    >>> probe = Probe(Bundle(spec, weights))
    >>> made = probe.run(probe.read([np.ones(3)]))
    >>> made.states("rnn_l0").h.ravel().tolist()
    [3.0, 4.5, 5.25]
    >>> made.backward(made.only_step([2])).d_steps["rnn_l0"].h.ravel().tolist()  # dy_3/dh_t
    [0.25, 0.5, 1.0]
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hiddenstate import tasks
from hiddenstate.blocks import ModelState, forward
from hiddenstate.bundle import Bundle
from hiddenstate.errors import DataError, OptionError
from hiddenstate.runtime import Model
from hiddenstate.runtime.ops import NumpyOps
from hiddenstate.scan import Layer
from hiddenstate.spec import Embed, ModelSpec, Recurrent, suffix
from hiddenstate.types import Array

from . import encoding
from .encoding import Encoded
from .recorded import Pass, record

STEPS = 256
"""Longest sequence that ``Probe.read`` gives unless asked otherwise; longer ones are cut."""

SEQUENCES = 64
"""Most sequences that ``Probe.read`` gives unless asked otherwise."""

BATCH_STEPS = 1 << 14
"""Steps (padding included) that ``Probe.final`` runs at once."""


@dataclass(frozen=True, eq=False)
class StackLayer:
    """One recurrent layer in one direction.

    Attributes:
        name: block name and torch's suffix: ``rnn_l0``, ``rnn_l1``, ``rnn_l0_reverse``.
        block: the block it belongs to.
        index: its number in the block, from 0.
        direction: 0 forwards in time, 1 backwards.
        scan: its weights prepared: ``scan.cell``, ``scan.params`` (``weight_ih`` ...), ``scan.sizes``.
        rest: learned state that it starts from, a record of vectors; None: zeros.
    """

    name: str
    block: Recurrent
    index: int
    direction: int
    scan: Layer
    rest: Any

    @property
    def reverse(self) -> bool:
        """Whether it reads from the end to the start."""
        return self.direction == 1

    @property
    def gates(self) -> tuple[str, ...]:
        """Names of its gates (values in 0 to 1): LSTM i, f, o; GRU r, z; none for a plain RNN."""
        return tuple(gate for gate in self.scan.cell.gates if gate in ("i", "f", "o", "r", "z"))

    @property
    def keep_gate(self) -> str | None:
        """The gate that multiplies the old state: LSTM f, GRU z (1 keeps); None for a plain RNN."""
        return next((gate for gate in ("f", "z") if gate in self.gates), None)

    def require_gates(self) -> None:
        """Refuses a layer without gates.

        Raises:
            OptionError: saying which cells have gates.
        """
        if not self.gates:
            fix = "Ask for its states or gradients, or train with cell='gru' or cell='lstm'"
            raise OptionError("this layer has no gates", where=self.name, got=self.scan.cell.name, fix=fix)


class Probe:
    """A model opened for measurement; immutable, needs no torch.

    Args:
        model: an estimator, a ``runtime.Model``, a ``Bundle``, the path of one, or another ``Probe``.
        dtype: "float32", the arithmetic that the model runs in and the bits that it gives, or "float64", the
            same weights in double precision (vanishing gradients keep their digits down to 1e-308).

    Attributes:
        model: the estimator, or the ``runtime.Model`` of a bundle that names no task.
        spec: the model as plain data.
        params: weights by full name, of ``dtype``.
        dtype: numpy dtype of all arrays.
        layers: every recurrent layer in every direction, in order of execution.
        output_size: width O of the output.

    Raises:
        BundleError: a file that cannot be read.
        OptionError: something that is no model, or a model without recurrent layers.
    """

    def __init__(self, model: Any, *, dtype: str = "float32") -> None:
        self.model = _opened(model)
        bundle: Any = self.model if isinstance(self.model, Model) else self.model.model_
        self.spec: ModelSpec = bundle.spec
        self.dtype = np.dtype(dtype)
        self.params: dict[str, np.ndarray] = {
            name: np.asarray(value, self.dtype) for name, value in bundle.params.items()
        }
        self.ops = NumpyOps(self.spec, self.params)
        self.output_size = self.spec.sizes()[self.spec.blocks[-1].name]
        self.layers = tuple(_layers(self.spec, self.ops))
        if not self.layers:
            raise OptionError("a model without recurrent layers has no memory to look at", where="model")

    def layer(self, name: str | None = None) -> StackLayer:
        """The layer called ``name``; None: the last one that reads forwards.

        Raises:
            OptionError: no such layer.
        """
        if name is None:
            return [layer for layer in self.layers if not layer.reverse][-1]
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = [layer.name for layer in self.layers]
        raise OptionError("no such layer", where="layer", expected=names, got=repr(name))

    @property
    def input_nodes(self) -> tuple[str, ...]:
        """The nodes that show what is read at a step as vectors: inputs of numbers, embeddings of ids."""
        numbers = [node.name for node in self.spec.inputs if node.kind == "numbers"]
        return (*numbers, *(block.name for block in self.spec.blocks if isinstance(block, Embed)))

    def encode(self, sequence: Any) -> Encoded:
        """One sequence of the user's elements (a text, numbers, a series), whole; see ``lens.encoding``.

        Raises:
            DataError: when it cannot be used, or is empty.
        """
        return encoding.one(self.model, sequence)

    def read(
        self, data: Any, *, steps: int | None = STEPS, sequences: int | None = SEQUENCES, seed: int = 0
    ) -> list[Encoded]:
        """Sequences of ``data`` to measure on: a sample of bounded size.

        Args:
            data: what the estimator's ``predict`` takes; a list of arrays for a bare model; a list of
                ``Encoded`` passes through the same cutting.
            steps: longer sequences are cut into pieces of this many steps, each of which starts from rest;
                the remainder is left out. None: no cutting. Models that give one answer for a sequence
                (``spec.pooled``) are never cut.
            sequences: most pieces to keep, drawn at random; None: all.
            seed: of the draw.

        Returns:
            At least one sequence, in the order of the data.

        Raises:
            DataError: on data that cannot be used.
        """
        found = encoding.read(self.model, data)
        if steps is not None and not self.spec.pooled:
            found = [piece for one in found for piece in _pieces(one, steps)]
        if sequences is not None and len(found) > sequences:
            chosen = np.sort(np.random.default_rng(seed).choice(len(found), sequences, replace=False))
            found = [found[index] for index in chosen]
        return found

    def run(self, sequences: Sequence[Encoded], *, state: ModelState | None = None) -> Pass:
        """One recorded pass over sequences of any lengths, each from rest (or ``state``).

        Args:
            sequences: B of them; the same one may stand there several times (one row per loss, say).
            state: where the rows continue from, ``Pass.state`` of the pass before.

        Raises:
            DataError: no sequences.
        """
        if not sequences:
            raise DataError("no sequences to run", expected="at least one")
        inputs, lengths = self.batch(sequences)
        return self.forward(inputs, lengths=lengths, state=state, sequences=sequences)

    def batch(self, sequences: Sequence[Encoded]) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Sequences side by side: inputs ``[T, B, ...]`` by name (zeros at padded steps), lengths ``[B]``."""
        lengths = np.array([len(one) for one in sequences], np.int64)
        inputs = {}
        for node in self.spec.inputs:
            parts = [one.inputs[node.name] for one in sequences]
            dtype = np.dtype(np.int64) if node.kind == "ids" else self.dtype
            whole = np.zeros((int(lengths.max()), len(parts), *parts[0].shape[1:]), dtype)
            for row, part in enumerate(parts):
                whole[: len(part), row] = part
            inputs[node.name] = whole
        return inputs, lengths

    def final(self, sequences: Sequence[Encoded]) -> np.ndarray:
        """Output after the last step of every sequence, ``[B, O]``: many of them cheaply, nothing recorded.

        Raises:
            DataError: a sequence without steps.
        """
        if any(not len(one) for one in sequences):
            raise DataError("an empty sequence has no last step", expected="at least one step")
        output = np.empty((len(sequences), self.output_size), self.dtype)
        order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
        while order:
            rows = max(1, BATCH_STEPS // len(sequences[order[-1]]))
            chosen, order = order[-rows:], order[:-rows]
            inputs, lengths = self.batch([sequences[index] for index in chosen])
            found, _ = forward(self.spec, self.params, inputs, ops=self.ops, lengths=lengths)
            output[chosen] = found if self.spec.pooled else found[lengths - 1, np.arange(len(chosen))]
        return output

    def forward(
        self,
        inputs: Mapping[str, Array],
        *,
        lengths: Array | None = None,
        state: ModelState | None = None,
        given: Mapping[str, Array] | None = None,
        sequences: Sequence[Encoded] = (),
    ) -> Pass:
        """One recorded pass over arrays, unchecked: for measurements that change inputs.

        Args:
            inputs: by input name: ``[T, B, size]`` of ``dtype``, or ids ``[T, B]``.
            lengths: ``[B]``; None: all T.
            state: where the rows continue from; None: rest.
            given: outputs of blocks to put in place of what they would compute, by block name
                (``{"embed": vectors}``); ``[T, B, size]``.
            sequences: what the rows are, where anyone wants to know (``Pass.loss`` does).
        """
        return record(self, inputs, lengths=lengths, state=state, given=given or {}, sequences=sequences)


def open_probe(model: Any) -> Probe:
    """A ``Probe`` as it is; anything else opened in float32."""
    return model if isinstance(model, Probe) else Probe(model)


def _opened(model: Any) -> Any:
    """The estimator or ``runtime.Model`` behind what a caller passes."""
    if isinstance(model, Probe):
        return model.model
    if isinstance(model, (str, os.PathLike)):
        return tasks.load(model)
    if isinstance(model, Bundle):
        return Model(model)
    if not isinstance(model, Model) and not hasattr(model, "bundle_") and not hasattr(model, "model_"):
        expected = "an estimator, a runtime.Model, a bundle, or the path of a model file"
        raise OptionError("not a model", where="model", expected=expected, got=type(model).__name__)
    return model


def _layers(spec: ModelSpec, ops: NumpyOps) -> list[StackLayer]:
    found = []
    for block in spec.recurrent:
        for index, directions in enumerate(ops.layers[block.name]):
            for direction, layer in enumerate(directions):
                rest = ops.rest.get(block.name)
                place = index * block.directions + direction
                own = None if rest is None else type(rest)(*(value[place] for value in rest))
                name = block.name + suffix(index, direction)
                found.append(StackLayer(name, block, index, direction, layer, own))
    return found


def _pieces(one: Encoded, steps: int) -> list[Encoded]:
    """A sequence in pieces of ``steps``; one that is shorter stays whole."""
    if len(one) <= steps:
        return [one]
    return [one.cut(start, start + steps) for start in range(0, len(one) - steps + 1, steps)]
