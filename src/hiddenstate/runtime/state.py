"""The state of live sequences as arrays: what it consists of, where it rests, and one row of it as bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hiddenstate import cells
from hiddenstate.blocks import ModelState, PoolState
from hiddenstate.errors import StateError
from hiddenstate.spec import ModelSpec, Pool, Recurrent
from hiddenstate.types import Array, State

_LITTLE = {"float32": "<f4", "float64": "<f8", "int64": "<i8"}


class _Field(NamedTuple):
    """One array of the state: its place in the records, and which of its axes counts the rows."""

    block: str
    place: int
    axis: int

    def of(self, state: ModelState) -> Array:
        return state[self.block][self.place]


class StateLayout:
    """What the state of a model consists of.

    Args:
        spec: the model.
        rest: learned initial states by block, records of ``[L*D, *]``; the others rest at zero.

    Attributes:
        nbytes: size of one row's state as bytes.
    """

    def __init__(self, spec: ModelSpec, rest: Mapping[str, State]) -> None:
        sizes = spec.sizes()
        self._template: ModelState = {}
        self._fields: list[_Field] = []
        for block in spec.blocks:
            if isinstance(block, (Recurrent, Pool)):
                one = (
                    _pool_rest(block, sizes[block.source])
                    if isinstance(block, Pool)
                    else _recurrent_rest(block, rest.get(block.name))
                )
                self._template[block.name] = one
                axis = 0 if isinstance(block, Pool) else 1
                self._fields += [_Field(block.name, place, axis) for place in range(len(one))]
        self.nbytes = sum(field.of(self._template).nbytes for field in self._fields)

    def at_rest(self, rows: int) -> ModelState:
        """New arrays for that many rows, at rest."""
        return self._map(lambda value, axis: np.repeat(value, rows, axis=axis), self._template)

    def first(self, state: ModelState, rows: int) -> ModelState:
        """Views of the first ``rows`` rows."""
        return self._map(lambda value, axis: value[:rows] if axis == 0 else value[:, :rows], state)

    def copy_rows(
        self,
        source: ModelState,
        source_rows: Sequence[int] | slice,
        target: ModelState,
        target_rows: Sequence[int] | slice,
    ) -> None:
        """Copies rows from one state to another."""
        for field in self._fields:
            a, b = field.of(source), field.of(target)
            if field.axis == 0:
                b[target_rows] = a[source_rows]
            else:
                b[:, target_rows] = a[:, source_rows]

    def reset(self, state: ModelState, row: int) -> None:
        """Puts one row at rest."""
        self.copy_rows(self._template, slice(0, 1), state, slice(row, row + 1))

    def pack(self, state: ModelState, row: int) -> bytes:
        """One row as bytes, little endian."""
        parts = (np.take(field.of(state), row, axis=field.axis) for field in self._fields)
        return b"".join(part.astype(_LITTLE[part.dtype.name]).tobytes() for part in parts)

    def unpack(self, state: ModelState, row: int, data: bytes) -> None:
        """Puts what ``pack`` gave into one row. ``len(data)`` must be ``nbytes``."""
        start = 0
        for field in self._fields:
            array, like = field.of(state), np.take(field.of(self._template), 0, axis=field.axis)
            values = np.frombuffer(data, _LITTLE[like.dtype.name], like.size, start).reshape(like.shape)
            array[(slice(None),) * field.axis + (row,)] = values
            start += like.nbytes

    def check(self, state: ModelState, rows: int) -> None:
        """Checks a state that a caller passes in.

        Raises:
            StateError: when a block is missing or unknown, or a record does not fit.
        """
        if set(state) != set(self._template):
            raise StateError("state of another model", expected=sorted(self._template), got=sorted(state))
        for name, one in self._template.items():
            if type(state[name]) is not type(one):
                raise StateError(
                    "wrong record", where=name, expected=type(one).__name__, got=type(state[name]).__name__
                )
        for field in self._fields:
            like, value = field.of(self._template), field.of(state)
            wanted = (*like.shape[: field.axis], rows, *like.shape[field.axis + 1 :])
            if np.shape(value) != wanted or value.dtype != like.dtype:
                where = f"{field.block}.{self._template[field.block]._fields[field.place]}"
                got = f"{getattr(value, 'dtype', type(value).__name__)} {list(np.shape(value))}"
                raise StateError("wrong state", where=where, expected=f"{like.dtype} {list(wanted)}", got=got)

    def _map(self, function, state: ModelState) -> ModelState:
        parts: dict[str, list[Array]] = {name: [] for name in self._template}
        for field in self._fields:
            parts[field.block].append(function(field.of(state), field.axis))
        return {name: type(self._template[name])(*values) for name, values in parts.items()}


def _pool_rest(block: Pool, size: int) -> PoolState:
    dtype = np.float64 if block.how == "mean" else np.float32
    return PoolState(np.zeros((1, size), dtype), np.zeros(1, np.int64))


def _recurrent_rest(block: Recurrent, rest: State | None) -> State:
    if rest is not None:
        return type(rest)(*(value[:, None].copy() for value in rest))
    cell = cells.get(block.cell, **block.options)
    shapes = cell.state_shapes(1, block.hidden_size, proj_size=block.proj_size)
    return type(shapes)(*(np.zeros((block.num_layers * block.directions, *s), np.float32) for s in shapes))
