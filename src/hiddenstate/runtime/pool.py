"""Many live sequences over one model, stepped together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hiddenstate.blocks import ModelState
from hiddenstate.errors import DataError, StateError

from . import snapshot
from .adapter import Adapter
from .inputs import Filler
from .stepper import Stepper

if TYPE_CHECKING:
    from .model import Model


class Pool:
    """Live sequences by id, stepped together in one batch; ``Model.streams`` makes it.

    Sequences join with their first element and leave at any time; those without an element in a step keep
    their state. Each gives the same bits as a ``Session`` of its own, and snapshots of both are
    interchangeable. A refused element refuses the whole step: nobody moves. A pool is used by one thread at
    a time.

    Args:
        model: a streamable model.
        adapter: makes the adapter of a sequence when it joins; None: arrays in, arrays out.

    Example:
        >>> import numpy as np
        >>> from hiddenstate.bundle import Bundle
        >>> from hiddenstate.spec import Input, ModelSpec, Recurrent
        >>> from hiddenstate.runtime import Model
        >>> spec = ModelSpec((Input("x", size=2),), (Recurrent("rnn", "x", "gru", hidden_size=3),))
        >>> weights = {name: np.full(shape, 0.1, np.float32) for name, shape in spec.param_shapes().items()}
        >>> pool = Model(Bundle(spec, weights)).streams()
        >>> answers = pool.step({"a": [1.0, 2.0], "b": [0.0, 1.0]})
        >>> answers["a"].shape, pool.ids
        ((3,), ['a', 'b'])
    """

    def __init__(self, model: Model, adapter: Callable[[], Adapter] | None = None) -> None:
        self._model, self._adapter = model, adapter
        self._rows: dict[Hashable, int] = {}
        self._ids: list[Hashable] = []
        self._adapters: list[Adapter] = []
        self._positions = np.zeros(0, np.int64)
        self._side = 0
        self._sides = (model.layout.at_rest(0), model.layout.at_rest(0))
        self._whole: tuple[Stepper, Filler] | None = None
        self._parts: dict[int, tuple[Stepper, Filler]] = {}
        self._part(1)  # refuses a model that cannot stream

    @property
    def ids(self) -> list[Hashable]:
        """Ids of the live sequences, in the order of the rows of ``step_array``."""
        return list(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, id: Hashable) -> bool:
        return id in self._rows

    def step(self, elements: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Takes one element for each of some sequences; ids not seen before join at rest.

        Args:
            elements: id -> element, as for ``Session.step``.

        Returns:
            id -> answer, in the same order.

        Raises:
            DataError: naming the sequence and its step; no sequence has moved and none has joined.
        """
        if not isinstance(elements, Mapping):
            raise DataError("not elements by id", expected="{id: element}", got=type(elements).__name__)
        joined = [id for id in elements if id not in self._rows]
        self._join(joined)
        try:
            return self._step(elements) if self._adapter is None else self._adapted(elements)
        except BaseException:
            for id in reversed(joined):
                self.remove(id)
            raise

    def step_array(self, inputs: Any) -> np.ndarray:
        """Takes one element for every live sequence, as arrays: the way with the least work per sequence.

        Args:
            inputs: ``[n, size]`` numbers or ``[n]`` ids, rows in the order of ``ids`` (a mapping of those
                by input name when there are several inputs).

        Returns:
            Outputs ``[n, size]``.

        Raises:
            DataError: naming the sequence and its step; no sequence has moved.
            StateError: the pool has adapters, which take elements one by one.
        """
        if self._adapter is not None:
            raise StateError("a pool with adapters takes no bare arrays", fix="Use step")
        stepper, filler = self._all()
        filler.array(inputs, self._where)
        return self._run_all(stepper)

    def add(self, id: Hashable, blob: bytes | None = None) -> None:
        """Lets a sequence join before its first element, at rest or from a snapshot.

        Raises:
            StateError: the id is live already, or the snapshot does not fit (then it has not joined).
        """
        if id in self._rows:
            raise StateError(
                "a sequence of that id is live", got=repr(id), fix="Use restore, or remove it first"
            )
        self._join([id])
        if blob is not None:
            try:
                self.restore(id, blob)
            except BaseException:
                self.remove(id)
                raise

    def remove(self, id: Hashable) -> None:
        """Lets a sequence leave. The last row of ``ids`` takes its place.

        Raises:
            StateError: no such sequence.
        """
        row, last = self._row(id), len(self._ids) - 1
        now = self._sides[self._side]
        self._model.layout.copy_rows(now, slice(last, last + 1), now, slice(row, row + 1))
        self._positions[row] = self._positions[last]
        lists: list[list[Any]] = [self._ids, self._adapters] if self._adapters else [self._ids]
        for items in lists:
            items[row] = items[last]
            items.pop()
        del self._rows[id]
        if row < last:
            self._rows[self._ids[row]] = row
        self._whole = None

    def reset(self, id: Hashable) -> None:
        """Starts one sequence over.

        Raises:
            StateError: no such sequence.
        """
        row = self._row(id)
        self._model.layout.reset(self._sides[self._side], row)
        self._positions[row] = 0
        if self._adapter is not None:
            self._adapters[row] = self._adapter()

    def state(self, id: Hashable) -> ModelState:
        """A copy of one sequence's state, as ``Session.state``.

        Raises:
            StateError: no such sequence.
        """
        layout, row, one = self._model.layout, self._row(id), self._model.layout.at_rest(1)
        layout.copy_rows(self._sides[self._side], slice(row, row + 1), one, slice(0, 1))
        return one

    def snapshot(self, id: Hashable) -> bytes:
        """One sequence as bytes, as ``Session.snapshot``.

        Raises:
            StateError: no such sequence.
        """
        row = self._row(id)
        state = self._model.layout.pack(self._sides[self._side], row)
        extra = self._adapters[row].state() if self._adapters else None
        return snapshot.write(self._model.id, snapshot.Snapshot(int(self._positions[row]), state, extra))

    def restore(self, id: Hashable, blob: bytes) -> None:
        """Lets a live sequence go on from a snapshot.

        Raises:
            StateError: no such sequence, or the blob does not fit; nothing has changed.
        """
        row = self._row(id)
        taken = snapshot.read(self._model.id, self._model.layout.nbytes, blob)
        snapshot.restore_adapter(self._adapters[row] if self._adapters else None, taken.adapter)
        self._model.layout.unpack(self._sides[self._side], row, taken.state)
        self._positions[row] = taken.position

    def _step(self, elements: Mapping[Hashable, Any]) -> dict[Hashable, np.ndarray]:
        """One step of the sequences named, all of them live."""
        if not elements:
            return {}
        if len(elements) == len(self._ids):
            stepper, filler = self._all()
            filler.each([elements[id] for id in self._ids], self._where)
            answers = dict(zip(self._ids, self._run_all(stepper), strict=True))
            return {id: answers[id] for id in elements}
        rows = [self._rows[id] for id in elements]
        stepper, filler = self._part(len(rows))
        filler.each(list(elements.values()), lambda index: self._where(rows[index]))
        now = self._sides[self._side]
        self._model.layout.copy_rows(now, rows, stepper.sides[0], slice(None))
        output = stepper.run(0).copy()
        self._model.layout.copy_rows(stepper.sides[1], slice(None), now, rows)
        self._positions[rows] += 1
        return dict(zip(elements, output, strict=True))

    def _adapted(self, elements: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """``_step`` through the adapters, which are put back when an element is refused."""
        adapters = {id: self._adapters[self._rows[id]] for id in elements}
        before = {id: adapter.state() for id, adapter in adapters.items()}
        try:
            encoded = {id: adapter.encode(elements[id]) for id, adapter in adapters.items()}
            outputs = self._step({id: arrays for id, arrays in encoded.items() if arrays is not None})
        except BaseException:
            for id, adapter in adapters.items():
                adapter.restore(before[id])
            raise
        self._positions[[self._rows[id] for id in elements if id not in outputs]] += 1
        return {id: adapters[id].decode(outputs[id]) if id in outputs else None for id in elements}

    def _run_all(self, stepper: Stepper) -> np.ndarray:
        output = stepper.run(self._side).copy()
        self._side ^= 1
        self._positions[: len(self._ids)] += 1
        return output

    def _all(self) -> tuple[Stepper, Filler]:
        """The stepper over all live rows, in place."""
        if self._whole is None:
            count = len(self._ids)
            first, second = (self._model.layout.first(side, count) for side in self._sides)
            stepper = self._model.stepper((first, second), count)
            self._whole = stepper, Filler(self._model.spec, stepper.inputs)
        return self._whole

    def _part(self, count: int) -> tuple[Stepper, Filler]:
        """A stepper over arrays of its own, for some of the rows."""
        if count not in self._parts:
            if sum(self._parts) + count > _PART_ROWS:
                self._parts.clear()
            layout = self._model.layout
            stepper = self._model.stepper((layout.at_rest(count), layout.at_rest(count)), count)
            self._parts[count] = stepper, Filler(self._model.spec, stepper.inputs)
        return self._parts[count]

    def _join(self, ids: Sequence[Hashable]) -> None:
        """Gives new ids the next rows, at rest. The arrays at least double when they are full."""
        if not ids:
            return
        if self._adapter is not None:
            self._adapters += [self._adapter() for _ in ids]
        self._reserve(len(self._ids) + len(ids))
        for id in ids:
            row = self._rows[id] = len(self._ids)
            self._ids.append(id)
            self._model.layout.reset(self._sides[self._side], row)
            self._positions[row] = 0
        self._whole = None

    def _reserve(self, count: int) -> None:
        capacity = len(self._positions)
        if count <= capacity:
            return
        layout, live = self._model.layout, len(self._ids)
        capacity = max(count, 2 * capacity, _FIRST_CAPACITY)
        grown = (layout.at_rest(capacity), layout.at_rest(capacity))
        layout.copy_rows(self._sides[self._side], slice(0, live), grown[self._side], slice(0, live))
        self._sides = grown
        self._positions = np.concatenate(
            [self._positions, np.zeros(capacity - len(self._positions), np.int64)]
        )

    def _row(self, id: Hashable) -> int:
        if id not in self._rows:
            raise StateError(
                "no live sequence of that id", got=repr(id), fix="It joins with its first element or add"
            )
        return self._rows[id]

    def _where(self, row: int) -> str:
        return f"sequence {self._ids[row]!r}, step {self._positions[row]}"


_FIRST_CAPACITY = 16
_PART_ROWS = 4096
"""Rows of arrays that are kept ready for steps of some of the sequences, over all sizes of such steps."""
