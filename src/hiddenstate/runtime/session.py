"""One live sequence: an element in, an answer out, the state kept in between."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from hiddenstate.blocks import ModelState
from hiddenstate.errors import DataError

from . import inputs as edge
from . import snapshot
from .adapter import Adapter
from .inputs import Filler

if TYPE_CHECKING:
    from .model import Model


class Session:
    """One live sequence over a model; ``Model.stream`` makes it.

    A refused element (wrong size, NaN, unknown id ...) raises ``DataError`` and leaves everything as it
    was. A session is used by one thread at a time; sessions of one model are independent.

    Args:
        model: a streamable model.
        adapter: translates elements and answers; None: an element is ``[size]`` numbers or an id (by input
            name when there are several inputs), an answer the output ``[size]``.

    Attributes:
        position: number of elements taken; the number of a step in messages counts from 0.
    """

    def __init__(self, model: Model, adapter: Adapter | None = None) -> None:
        self._model, self._adapter = model, adapter
        self._stepper = model.stepper((model.layout.at_rest(1), model.layout.at_rest(1)), 1)
        self._filler = Filler(model.spec, self._stepper.inputs)
        self._fresh = None if adapter is None else adapter.state()
        self._side = 0
        self.position = 0

    @property
    def state(self) -> ModelState:
        """A copy of the state: block name -> record, as ``Model.forward`` takes and gives it."""
        now = self._stepper.sides[self._side]
        return {name: type(record)(*(value.copy() for value in record)) for name, record in now.items()}

    def step(self, element: Any) -> Any:
        """Takes one element and gives the answer after it (for a pooled model: about everything so far).

        Returns:
            Output ``[size]``, or what the adapter makes of it; None when the adapter had nothing to run.

        Raises:
            DataError: the element cannot be used; the session is unchanged.
        """
        if self._adapter is not None:
            return self._adapted(self._adapter, element)
        self._filler.one(element, self.position)
        return self._advance()

    def steps(self, elements: Any) -> Any:
        """Takes a chunk of elements at once, with the same answers as one by one.

        Args:
            elements: without an adapter ``[T, size]`` numbers or ``[T]`` ids (by input name when there are
                several inputs); with an adapter anything that can be iterated.

        Returns:
            Answers ``[T, size]``, or a list of what the adapter makes of them.

        Raises:
            DataError: naming the step. Without an adapter the whole chunk is refused; with one, the elements
                before the refused one are taken.
        """
        if self._adapter is not None:
            return [self._adapted(self._adapter, element) for element in _iterate(elements)]
        arrays = self._chunk(elements)
        count = len(next(iter(arrays.values())))
        if self._model.spec.pooled:
            rows = [self.step({name: array[t] for name, array in arrays.items()}) for t in range(count)]
            return np.array(rows).reshape(count, self._model.output_size)
        batch = {name: array[:, None] for name, array in arrays.items()}
        output, state = self._model.forward(batch, state=self._stepper.sides[self._side])
        self._model.layout.copy_rows(state, slice(None), self._stepper.sides[self._side], slice(None))
        self.position += count
        return output[:, 0]

    def reset(self) -> None:
        """Starts over: state at rest, adapter as at first, position 0."""
        self._model.layout.reset(self._stepper.sides[self._side], 0)
        if self._adapter is not None:
            self._adapter.restore(self._fresh)
        self.position = 0

    def snapshot(self) -> bytes:
        """The session as bytes, for ``restore`` in any process with the same model.

        The blob is small (the state and about 50 bytes), checksummed and bound to the model.
        """
        state = self._model.layout.pack(self._stepper.sides[self._side], 0)
        extra = None if self._adapter is None else self._adapter.state()
        return snapshot.write(self._model.id, snapshot.Snapshot(self.position, state, extra))

    def restore(self, blob: bytes) -> None:
        """Goes on from a snapshot, of a session or of a pool.

        Raises:
            StateError: the blob is damaged, of another model, or does not fit the adapter; nothing has
                changed.
        """
        taken = snapshot.read(self._model.id, self._model.layout.nbytes, blob)
        snapshot.restore_adapter(self._adapter, taken.adapter)
        self._model.layout.unpack(self._stepper.sides[self._side], 0, taken.state)
        self.position = taken.position

    def _advance(self) -> np.ndarray:
        output = self._stepper.run(self._side)
        self._side ^= 1
        self.position += 1
        return output[0].copy()

    def _adapted(self, adapter: Adapter, element: Any) -> Any:
        """``step`` through an adapter, which is put back when the element is refused."""
        before = adapter.state()
        try:
            arrays = adapter.encode(element)
            if arrays is not None:
                self._filler.one(arrays, self.position)
        except BaseException:
            adapter.restore(before)
            raise
        if arrays is None:
            self.position += 1
            return None
        return adapter.decode(self._advance())

    def _chunk(self, elements: Any) -> dict[str, np.ndarray]:
        """The arrays ``[T, ...]`` of a chunk, checked before anything moves."""
        return edge.sequence(
            self._model.spec, elements, "the chunk", lambda step: f"step {self.position + int(step)}"
        )


def _iterate(elements: Any) -> Iterable[Any]:
    try:
        return iter(elements)
    except TypeError:
        raise DataError("steps takes a sequence of elements", got=type(elements).__name__) from None
