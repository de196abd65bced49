"""One recorded pass through a whole model, and the way back through all its blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hiddenstate.blocks import ModelState, own_params, pool, stateless
from hiddenstate.scan import Recording, stack
from hiddenstate.spec import Embed, Pool, Recurrent, sources_of, suffix
from hiddenstate.types import Array

from . import backward as back
from .encoding import Encoded
from .loss import StepLoss, loss_of

if TYPE_CHECKING:
    from .probe import Probe


@dataclass(frozen=True, eq=False)
class Backward:
    """Gradients of one scalar, the sum over all rows of what ``Pass.backward`` was seeded with.

    Attributes:
        d_steps: by layer name: record of ``[T, B, *]``, the effect of the layer's state after step t along
            every path, its own output included; zero at padded steps.
        d_nodes: by input or block name: gradient by its output, ``[T, B, size]`` (``[B, size]`` after a
            pool). Of an input of ids it is missing: its embed block is what has a gradient.
        d_params: by full parameter name, as ``spec.param_shapes()``; summed over rows and steps.
        d_state: by layer name: record of ``[B, *]``, by the state that the rows started from.
    """

    d_steps: dict[str, Any]
    d_nodes: dict[str, Array]
    d_params: dict[str, Array]
    d_state: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Pass:
    """One recorded forward pass over B rows of up to T steps.

    Attributes:
        probe: the model.
        lengths: steps of each row, ``[B]`` int64.
        nodes: output of every input and block by name, ``[T, B, size]`` (ids ``[T, B]``).
        recordings: by layer name: the layer's ``scan.Recording``.
        state: last state of every block that keeps one; ``Probe.run(..., state=)`` continues from it.
        sequences: what the rows are; empty when made from bare arrays.
        given: names of blocks whose outputs were put in from outside.
    """

    probe: Probe
    lengths: np.ndarray
    nodes: dict[str, Array]
    recordings: dict[str, Recording]
    state: ModelState
    sequences: Sequence[Encoded] = ()
    given: frozenset[str] = field(default_factory=frozenset)

    @property
    def output(self) -> Array:
        """Output of the last block: ``[T, B, O]``, or ``[B, O]`` after a pool; no meaning at padded steps."""
        return self.nodes[self.probe.spec.blocks[-1].name]

    @property
    def valid(self) -> np.ndarray:
        """Which steps are no padding, ``[T, B]`` bool."""
        steps = next(iter(self.nodes.values())).shape[0]
        return np.arange(steps)[:, None] < self.lengths

    def states(self, layer: str) -> Any:
        """States after every step as a record: ``h [T, B, R]``, for an LSTM ``c [T, B, H]`` too."""
        made = self.recordings[layer]
        record = type(made.state)
        return record(*(made.y if name == "h" else made.steps[name] for name in record._fields))

    def joined(self, layer: str) -> Array:
        """The full state ``s_t`` of a layer as one array: h, for an LSTM [h; c]; ``[T, B, S]``."""
        return np.concatenate(self.states(layer), axis=-1)

    def gates(self, layer: str) -> dict[str, Array]:
        """Every gate by name, ``[T, B, H]``: LSTM i, f, o; GRU r, z (keep form); zero at padded steps.

        Raises:
            OptionError: the layer has none.
        """
        found = self.probe.layer(layer)
        found.require_gates()
        return {gate: self.recordings[layer].steps[gate] for gate in found.gates}

    def loss(self) -> StepLoss:
        """The loss of every step (of every row after a pool) and its gradient by the output."""
        return loss_of(self)

    def only_step(self, steps: Sequence[int] | np.ndarray, d_output: Array | None = None) -> Array:
        """Seeds that select one step of each row: the loss of that step only.

        Args:
            steps: a step for each row, ``[B]``.
            d_output: gradient of the loss by the output, ``[T, B, O]``; None: ones (the sum of outputs).

        Returns:
            ``[T, B, O]``, zero at all other steps; for ``backward``.
        """
        seed = np.zeros_like(self.output)
        rows = np.arange(len(self.lengths))
        seed[steps, rows] = 1 if d_output is None else d_output[steps, rows]
        return seed

    def backward(
        self,
        d_output: Array | None = None,
        *,
        d_nodes: Mapping[str, Array] | None = None,
        d_state: Mapping[str, Any] | None = None,
    ) -> Backward:
        """Backpropagation through time through the whole model.

        Args:
            d_output: gradient of a scalar by ``output``, in its shape; padded steps are ignored.
            d_nodes: further gradients by the outputs of blocks, by name, in their shapes.
            d_state: further gradients by the last state of layers, by layer name, records of ``[B, *]``.

        Raises:
            BackendError: a layer's cell has no native kernel.
        """
        blocks = self.probe.spec.blocks
        seeds = dict(d_nodes or {}) | ({} if d_output is None else {blocks[-1].name: d_output})
        valid = self.valid[:, :, None]
        found: dict[str, Array] = {
            name: np.asarray(np.where(valid, seed, 0) if seed.ndim == 3 else seed, self.probe.dtype)
            for name, seed in seeds.items()
        }
        way = _Way(self, found, d_state or {})
        for block in reversed(blocks):
            if block.name not in self.given and way.reaches(block):
                way.through(block)
        return way.result()


def record(
    probe: Probe,
    inputs: Mapping[str, Array],
    *,
    lengths: Array | None,
    state: ModelState | None,
    given: Mapping[str, Array],
    sequences: Sequence[Encoded],
) -> Pass:
    """``blocks.forward`` with every layer recorded."""
    nodes: dict[str, Array] = dict(inputs)
    steps, rows = next(iter(nodes.values())).shape[:2]
    lengths = np.full(rows, steps, np.int64) if lengths is None else np.asarray(lengths, np.int64)
    before, after, recordings = state or {}, {}, {}
    for block in probe.spec.blocks:
        sources = [nodes[source] for source in sources_of(block)]
        if block.name in given:
            nodes[block.name] = np.asarray(given[block.name], probe.dtype)
        elif isinstance(block, Recurrent):
            nodes[block.name], after[block.name] = _recurrent(
                probe, block, sources[0], before.get(block.name), lengths, recordings
            )
        elif isinstance(block, Pool):
            nodes[block.name], after[block.name] = pool(
                probe.ops, block, sources[0], before.get(block.name), lengths, None
            )
        else:
            nodes[block.name] = stateless(block, probe.params, sources, probe.ops)
    return Pass(probe, lengths, nodes, recordings, after, tuple(sequences), frozenset(given))


def _recurrent(
    probe: Probe, block: Recurrent, x: Array, state: Any, lengths: Array, recordings: dict[str, Recording]
) -> tuple[Array, Any]:
    def run(layer: int, direction: int, x: Array, state: Any, reverse: bool) -> tuple[Array, Any]:
        one = probe.layer(block.name + suffix(layer, direction))
        made = one.scan.record(x, state, lengths=lengths, rest=one.rest, reverse=reverse)
        recordings[one.name] = made
        return made.y, made.state

    return stack(run, x, num_layers=block.num_layers, directions=block.directions, state=state)


class _Way:
    """The way back, block by block."""

    def __init__(self, made: Pass, d_nodes: dict[str, Array], d_last: Mapping[str, Any]) -> None:
        self._pass, self._nodes, self._last = made, d_nodes, d_last
        self._params: dict[str, Array] = {}
        self._steps: dict[str, Any] = {}
        self._first: dict[str, Any] = {}

    def result(self) -> Backward:
        """What was found; zeros where nothing arrived."""
        probe, made = self._pass.probe, self._pass
        shapes = probe.spec.param_shapes()
        params = {n: self._params.get(n, np.zeros(shape, probe.dtype)) for n, shape in shapes.items()}
        steps = {
            name: self._steps.get(name) or type(made.states(name))(*map(np.zeros_like, made.states(name)))
            for name in made.recordings
        }
        first = {
            name: self._first.get(name) or type(record.state)(*map(np.zeros_like, record.state))
            for name, record in made.recordings.items()
        }
        return Backward(steps, self._nodes, params, first)

    def reaches(self, block: Any) -> bool:
        """Whether any gradient has arrived at a block."""
        return block.name in self._nodes or (
            isinstance(block, Recurrent)
            and any(layer.name in self._last for layer in self._pass.probe.layers if layer.block is block)
        )

    def through(self, block: Any) -> None:
        """From the gradient by a block's output to those by its sources and parameters."""
        nodes = self._pass.nodes
        d_out = self._nodes.get(block.name)
        d_out = np.zeros_like(nodes[block.name]) if d_out is None else d_out
        sources = [nodes[source] for source in sources_of(block)]
        if isinstance(block, Recurrent):
            d_sources = [self._recurrent(block, d_out)]
        elif isinstance(block, Pool):
            d_sources = [back.pool(block, sources[0], self._pass.valid, d_out, self._pass.state[block.name])]
        else:
            own = own_params(block, self._pass.probe.params)
            tied = getattr(block, "tied", None)
            if tied:
                own["weight"] = self._pass.probe.params[f"{tied}.weight"]
            d_sources, d_params = back.stateless(block, own, sources, nodes[block.name], d_out)
            for name, value in d_params.items():
                owner = tied if tied and name == "weight" else block.name
                self._add(self._params, f"{owner}.{name}", value)
        if not isinstance(block, Embed):
            for source, value in zip(sources_of(block), d_sources, strict=True):
                self._add(self._nodes, source, value)

    def _recurrent(self, block: Recurrent, d_out: Array) -> Array:
        """Back through layers and directions."""
        for layer in reversed(range(block.num_layers)):
            parts = np.split(d_out, block.directions, axis=-1)
            d_out = 0
            for direction, part in enumerate(parts):
                tail = suffix(layer, direction)
                own = block.name + tail
                found = self._pass.recordings[own].backward(np.ascontiguousarray(part), self._last.get(own))
                self._steps[own], self._first[own] = found.d_steps, found.d_state
                d_out = d_out + found.dx
                for name, value in found.d_params.items():
                    self._params[f"{block.name}.{name}{tail}"] = value
                if block.learn_initial_state:
                    self._initial(block, layer * block.directions + direction, found.d_rest)
        return np.asarray(d_out)

    def _initial(self, block: Recurrent, place: int, d_rest: Any) -> None:
        shapes = self._pass.probe.spec.param_shapes()
        for name, value in d_rest._asdict().items():
            full = f"{block.name}.initial_{name}"
            whole = self._params.setdefault(full, np.zeros(shapes[full], value.dtype))
            whole[place] = value

    @staticmethod
    def _add(totals: dict[str, Array], name: str, value: Array) -> None:
        totals[name] = totals[name] + value if name in totals else value
