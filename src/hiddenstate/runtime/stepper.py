"""One step of a model for a fixed number of rows, compiled to a list of calls on fixed arrays.

Walking the spec for every element would cost more than the arithmetic of a small model. A ``Stepper`` walks
it once: every block becomes operations whose arguments are already in place, and those that the kernels know
run as one call. The equations stay those of ``blocks``; what is said again here, for one step, the contract
tests hold to the same bits.

The state is kept twice: a step reads one side and writes the other, so that no call overwrites what it still
reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np

from hiddenstate import native
from hiddenstate.blocks import ModelState, norm
from hiddenstate.spec import (
    Add,
    Block,
    Concat,
    Dropout,
    Embed,
    Linear,
    ModelSpec,
    Norm,
    Pool,
    Recurrent,
    sources_of,
)
from hiddenstate.types import Array

from .ops import NumpyOps

Call = Callable[[], Any]
Operation = tuple[Any, ...]
"""What ``native.Program`` can run: its kind and its arrays."""
Sides = tuple[ModelState, ModelState]


class Stepper:
    """One step of a model over fixed arrays.

    Args:
        spec: a streamable model.
        params: its weights.
        ops: its prepared weights.
        sides: two states of the same ``rows`` rows.
        rows: number of sequences, B.

    Attributes:
        inputs: arrays to fill before a step, by input name: ``[B, size]`` float32, or ``[B]`` int64 ids.
        sides: the two states.
    """

    def __init__(
        self, spec: ModelSpec, params: Mapping[str, np.ndarray], ops: NumpyOps, sides: Sides, rows: int
    ) -> None:
        self._spec, self._params, self._ops, self._rows = spec, params, ops, rows
        self._sizes = spec.sizes()
        self.sides = sides
        self.inputs: dict[str, np.ndarray] = {
            node.name: np.zeros(rows, np.int64)
            if node.kind == "ids"
            else np.zeros((rows, node.size), np.float32)
            for node in spec.inputs
        }
        self._programs = (self._compile(sides[0], sides[1]), self._compile(sides[1], sides[0]))

    def run(self, side: int) -> np.ndarray:
        """Steps all rows from ``sides[side]`` to the other side.

        Returns:
            Output ``[B, size]``: an array that the next step overwrites.
        """
        calls, output = self._programs[side]
        for call in calls:
            call()
        return output

    def _compile(self, before: ModelState, after: ModelState) -> tuple[list[Call], np.ndarray]:
        """All calls from one side to the other, and where they leave the output."""
        nodes: dict[str, np.ndarray] = dict(self.inputs)
        calls: list[Call | Operation] = []
        for block in self._spec.blocks:
            sources = [nodes[source] for source in sources_of(block)]
            if isinstance(block, Recurrent):
                nodes[block.name], new = self._recurrent(
                    block, sources[0], before[block.name], after[block.name]
                )
            elif isinstance(block, Pool):
                nodes[block.name], new = _pool(block, sources[0], before[block.name], after[block.name])
            elif isinstance(block, Dropout):
                nodes[block.name], new = sources[0], []
            else:
                nodes[block.name] = np.empty((self._rows, self._sizes[block.name]), np.float32)
                new = self._stateless(block, sources, nodes[block.name])
            calls += new
        return _joined(calls), nodes[self._spec.blocks[-1].name]

    def _recurrent(
        self, block: Recurrent, x: Array, before: Any, after: Any
    ) -> tuple[Array, list[Call | Operation]]:
        """One call a layer; a layer's output is its new state ``h``, read where it lies."""
        calls = []
        for index, (layer,) in enumerate(self._ops.layers[block.name]):
            old, new = (type(side)(*(value[index] for value in side)) for side in (before, after))
            calls.append(layer.operation(x, old, new) or layer.bind(x, old, new))
            x = new.h
        return x, calls

    def _stateless(self, block: Block, sources: list[Array], out: Array) -> list[Call | Operation]:
        x = sources[0]
        if isinstance(block, Embed):
            return [("embed", self._params[f"{block.name}.weight"], x, out)]
        if isinstance(block, Linear):
            return [("linear", self._ops.linears[block.name], x, out), *_activation(block, out)]
        if isinstance(block, Concat | Add):
            return [(block.kind, out, sources)]
        if isinstance(block, Norm):
            weight, bias = (self._params[f"{block.name}.{name}"] for name in ("weight", "bias"))
            return [lambda: np.copyto(out, norm(np, weight, bias, x, eps=block.eps))]
        raise TypeError(f"no step for {type(block).__name__}")


def _joined(calls: list[Call | Operation]) -> list[Call]:
    """Operations that follow one another become one call of the kernels."""
    joined: list[Call] = []
    for _, group in groupby(calls, lambda call: isinstance(call, tuple)):
        ones = list(group)
        operations = [one for one in ones if isinstance(one, tuple)]
        joined += [native.Program(operations).run] if operations else [one for one in ones if callable(one)]
    return joined


def _activation(block: Linear, x: Array) -> list[Call | Operation]:
    """``blocks.activate`` in place."""
    if block.activation == "tanh":
        return [partial(np.tanh, x, x)]
    return [("relu", x)] if block.activation == "relu" else []


def _pool(block: Pool, x: Array, before: Any, after: Any) -> tuple[Array, list[Call]]:
    """``blocks.pool`` for one step, which every row takes."""
    count = partial(np.add, before.count, 1, after.count)
    if block.how == "last":
        return after.value, [count, partial(np.copyto, after.value, x)]
    if block.how == "max":
        return after.value, [count, lambda: _pool_max(x, before, after)]
    out, exact = np.empty(x.shape, np.float32), np.empty(x.shape, np.float64)
    return out, [
        count,
        partial(np.add, before.value, x, after.value),
        partial(np.divide, after.value, after.count[:, None], exact),
        partial(np.copyto, out, exact, "same_kind"),
    ]


def _pool_max(x: Array, before: Any, after: Any) -> None:
    np.copyto(after.value, x)
    np.maximum(before.value, x, out=after.value, where=(before.count > 0)[:, None])
    np.add(after.value, 0.0, after.value)  # no -0
