"""Checks of what enters a model, once, at the edge: whole batches, chunks and single elements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hiddenstate import native
from hiddenstate.errors import DataError, ShapeError
from hiddenstate.spec import Input, ModelSpec

_FINITE = "Fill or drop missing values first: a state that has met NaN never recovers"


def by_name(spec: ModelSpec, value: Any) -> Mapping[str, Any]:
    """Inputs as a mapping; a model with one input also takes the bare value.

    Raises:
        DataError: when the names are not those of the model's inputs.
    """
    names = [node.name for node in spec.inputs]
    if not isinstance(value, Mapping):
        if len(names) != 1:
            got = type(value).__name__
            raise DataError("a model with several inputs takes them by name", expected=names, got=got)
        return {names[0]: value}
    if set(value) != set(names):
        raise DataError("wrong inputs", expected=names, got=sorted(map(str, value)))
    return value


def convert(node: Input, value: Any, rank: int, where: str) -> np.ndarray:
    """An input as an array of the right type and shape (ids and finiteness are checked by ``check_values``).

    Args:
        node: the input.
        value: array or nested lists: ``[..., size]`` numbers, or ``[...]`` ids.
        rank: number of axes before the size.
        where: for messages.

    Raises:
        DataError: when it is not numbers, or not of this shape.
    """
    wanted, kinds = ("whole numbers", "iu") if node.kind == "ids" else ("numbers", "fiub")
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"not {wanted}", where=where, got=_short(value)) from error
    if array.dtype.kind not in kinds and (array.size or array.ndim == 0):
        raise DataError(f"not {wanted}", where=where, expected=wanted, got=_short(value))
    if node.kind == "ids":
        fits, shape = array.ndim == rank, rank * ["any"]
    else:
        array = array[..., None] if array.ndim == rank and node.size == 1 else array
        fits, shape = array.ndim == rank + 1 and array.shape[-1] == node.size, [*rank * ["any"], node.size]
    if not fits:
        what = f"wrong number of values for input {node.name!r}"
        raise DataError(what, where=where, expected=f"shape {shape}", got=f"shape {list(array.shape)}")
    with np.errstate(over="ignore"):  # too large for float32 becomes infinity, which is refused by name
        return array.astype(np.int64 if node.kind == "ids" else np.float32, copy=False)


def check_values(node: Input, array: np.ndarray, where: Callable[..., str]) -> None:
    """Refuses NaN and infinity, and ids outside the vocabulary.

    Args:
        node: the input.
        array: what ``convert`` gave.
        where: from the indices of the leading axes, for the message.

    Raises:
        DataError: naming the first bad value.
    """
    if node.kind == "ids":
        bad = (array < 0) | (array >= node.size)
        if bad.any():
            index = tuple(np.argwhere(bad)[0])
            expected = f"0 to {node.size - 1}"
            raise DataError("id out of range", where=where(*index), expected=expected, got=int(array[index]))
    else:
        bad = ~np.isfinite(array)
        if bad.any():
            index = tuple(np.argwhere(bad)[0])
            got = f"{array[index]} in feature {index[-1]} of input {node.name!r}"
            raise DataError("not a finite number", where=where(*index[:-1]), got=got, fix=_FINITE)


def batch(
    spec: ModelSpec, inputs: Any, lengths: Any, resets: Any
) -> tuple[dict[str, np.ndarray], np.ndarray | None, np.ndarray | None]:
    """A checked batch: inputs ``[T, B, ...]`` with zeros at padded steps, lengths ``[B]``, resets ``[T, B]``.

    Raises:
        DataError: wrong names, types or values.
        ShapeError: inputs of different T or B, lengths or resets that do not fit.
    """
    named = by_name(spec, inputs)
    arrays = {node.name: convert(node, named[node.name], 2, f"input {node.name!r}") for node in spec.inputs}
    shapes = {array.shape[:2] for array in arrays.values()}
    if len(shapes) != 1:
        got = {name: list(array.shape[:2]) for name, array in arrays.items()}
        raise ShapeError("inputs differ in steps or rows", got=got)
    steps, rows = shapes.pop()
    if resets is not None:
        resets = np.asarray(resets)
        if resets.shape != (steps, rows) or resets.dtype != bool:
            got = f"{resets.dtype} {list(resets.shape)}"
            raise ShapeError("wrong reset flags", where="resets", expected=f"bool {[steps, rows]}", got=got)
    if lengths is not None:
        lengths = _lengths(lengths, steps, rows)
        valid = np.arange(steps)[:, None] < lengths
        arrays = {name: _without_padding(array, valid) for name, array in arrays.items()}
    for node in spec.inputs:
        check_values(node, arrays[node.name], lambda step, row: f"step {step}, row {row}")
    return arrays, lengths, resets


def sequence(spec: ModelSpec, value: Any, label: str, where: Callable[[int], str]) -> dict[str, np.ndarray]:
    """The checked arrays ``[T, ...]`` of one sequence, by input name.

    Args:
        spec: the model.
        value: ``[T, size]`` numbers or ``[T]`` ids, bare or by input name.
        label: names the sequence in messages.
        where: names a step of it.

    Raises:
        DataError: wrong names, types, sizes or values.
    """
    named, arrays = by_name(spec, value), {}
    for node in spec.inputs:
        arrays[node.name] = convert(node, named[node.name], 1, label)
        check_values(node, arrays[node.name], where)
    if len({len(array) for array in arrays.values()}) > 1:
        got = {name: len(array) for name, array in arrays.items()}
        raise DataError("inputs differ in length", where=label, got=got)
    return arrays


def _without_padding(array: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Padding may hold anything: NaN, ids of -1."""
    return np.where(valid if array.ndim == 2 else valid[:, :, None], array, np.zeros((), array.dtype))


def _lengths(lengths: Any, steps: int, rows: int) -> np.ndarray:
    array = np.asarray(lengths)
    if array.shape != (rows,) or (array.dtype.kind not in "iu" and rows):
        got = f"{array.dtype} {list(array.shape)}"
        raise ShapeError("wrong lengths", where="lengths", expected=f"{rows} whole numbers", got=got)
    if rows and (array.min() < 0 or array.max() > steps):
        raise ShapeError("length out of range", where="lengths", expected=f"0 to {steps}", got=array.tolist())
    return array.astype(np.int64)


class Filler:
    """Puts checked elements into the input arrays of a ``Stepper``.

    The common case, a model with one input of numbers fed float32 arrays, is one call of the kernels.

    Args:
        spec: the model.
        buffers: ``Stepper.inputs``.
    """

    def __init__(self, spec: ModelSpec, buffers: Mapping[str, np.ndarray]) -> None:
        self._spec, self._buffers = spec, buffers
        self._simple = len(spec.inputs) == 1 and spec.inputs[0].kind == "numbers"
        self._all = buffers[spec.inputs[0].name]

    def one(self, element: Any, step: int) -> None:
        """The element of the only row.

        Raises:
            DataError: naming the step.
        """
        if self._simple and native.fill_rows(self._all, [element]):
            return
        self._checked(0, element, f"step {step}")

    def each(self, elements: list[Any], where: Callable[[int], str]) -> None:
        """One element for every row, in order.

        Raises:
            DataError: naming what ``where(row)`` gives.
        """
        if self._simple and native.fill_rows(self._all, elements):
            return
        for row, element in enumerate(elements):
            self._checked(row, element, where(row))

    def array(self, values: Any, where: Callable[[int], str]) -> None:
        """The elements of all rows as arrays ``[B, ...]``, by input name or bare.

        Raises:
            DataError: naming what ``where(row)`` gives.
        """
        if self._simple and native.fill(self._all, values):
            return
        named = by_name(self._spec, values)
        for node in self._spec.inputs:
            array = convert(node, named[node.name], 1, f"input {node.name!r}")
            if len(array) != len(self._all):
                raise DataError("wrong number of rows", expected=len(self._all), got=len(array))
            check_values(node, array, where)
            np.copyto(self._buffers[node.name], array)

    def _checked(self, row: int, element: Any, where: str) -> None:
        named = by_name(self._spec, element)
        for node in self._spec.inputs:
            array = convert(node, named[node.name], 0, where)
            check_values(node, array, lambda: where)
            self._buffers[node.name][row] = array


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
