"""The torch-free backend of ``blocks``: numpy arrays, native kernels, weights packed once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hiddenstate import cells, native
from hiddenstate.blocks import own_params
from hiddenstate.scan import Layer, stack
from hiddenstate.spec import Dropout, Embed, Linear, ModelSpec, Recurrent, suffix
from hiddenstate.types import Array, State


class NumpyOps:
    """What ``blocks.forward`` asks of a backend, over numpy.

    Args:
        spec: the model.
        params: float32 weights as in ``spec.param_shapes()``.

    Attributes:
        layers: the prepared layers of every recurrent block, ``layers[block][layer][direction]``.
        linears: the prepared weights of every linear block.
        rest: the learned initial state of recurrent blocks that have one, a record of ``[L*D, *]`` arrays.
    """

    xp = np

    def __init__(self, spec: ModelSpec, params: Mapping[str, np.ndarray]) -> None:
        self.layers: dict[str, list[list[Layer]]] = {}
        self.linears: dict[str, Any] = {}
        self.rest: dict[str, State] = {}
        for block in spec.blocks:
            own = own_params(block, params)
            if isinstance(block, Linear):
                weight = params[f"{block.tied or block.name}.weight"]
                self.linears[block.name] = native.Linear(weight, own.get("bias"))
            elif isinstance(block, Recurrent):
                self.layers[block.name] = _layers(block, own)
                if block.learn_initial_state:
                    record = cells.get(block.cell, **block.options).State
                    self.rest[block.name] = record(*(own[f"initial_{name}"] for name in record._fields))

    def embed(self, block: Embed, weight: Array, ids: Array) -> Array:
        """Rows of the table."""
        return weight[ids]

    def linear(self, block: Linear, weight: Array, bias: Array | None, x: Array) -> Array:
        """One fixed order of summation for every output, whatever the number of rows."""
        y = np.empty((*x.shape[:-1], block.size), x.dtype)
        rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
        native.linear(self.linears[block.name], rows, y.reshape(-1, block.size))
        return y

    def recurrent(
        self,
        block: Recurrent,
        params: Mapping[str, Array],
        x: Array,
        state: State | None,
        lengths: Array | None,
        resets: Array | None,
    ) -> tuple[Array, State]:
        """All layers and directions on the native scan."""

        def run(layer: int, direction: int, x: Array, state: State | None, reverse: bool):
            one = self.layers[block.name][layer][direction]
            rest = self._rest(block, layer * block.directions + direction)
            return one.scan(x, state, lengths=lengths, resets=resets, rest=rest, reverse=reverse)

        return stack(run, x, num_layers=block.num_layers, directions=block.directions, state=state)

    def total(self, before: Array | None, steps: Array) -> Array:
        """In float64, for streams of millions of steps, and in the order of the steps."""
        start = np.zeros((1, *steps.shape[1:])) if before is None else before[None]
        return np.cumulative_sum(np.concatenate([start, steps], dtype=np.float64), axis=0)[-1]

    def dropout(self, block: Dropout, x: Array) -> Array:
        """Nothing is dropped outside training."""
        return x

    def _rest(self, block: Recurrent, index: int) -> State | None:
        """The vectors that one layer in one direction starts from; None for zeros."""
        rest = self.rest.get(block.name)
        return None if rest is None else type(rest)(*(value[index] for value in rest))


def _layers(block: Recurrent, own: Mapping[str, np.ndarray]) -> list[list[Layer]]:
    cell = cells.get(block.cell, **block.options)
    names = cell.param_shapes(1, block.hidden_size, bias=block.bias, proj_size=block.proj_size)

    def one(layer: int, direction: int) -> Layer:
        return Layer(cell, {name: own[name + suffix(layer, direction)] for name in names})

    return [
        [one(layer, direction) for direction in range(block.directions)] for layer in range(block.num_layers)
    ]
