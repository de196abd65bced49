"""What a scan accepts, checked once, at its public edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from hiddenstate.cells import Cell, Sizes
from hiddenstate.errors import ShapeError, StateError
from hiddenstate.types import Array


class Call(NamedTuple):
    """The checked arguments of one scan; ``state``, ``lengths``, ``resets`` and ``rest`` may be None."""

    x: Array
    state: Any
    lengths: Array | None
    resets: Array | None
    rest: Any
    reverse: bool


def namespace(x: Any) -> Any:
    """The array namespace (numpy, torch ...) that ``x`` belongs to.

    Raises:
        ShapeError: when ``x`` is not an array.
    """
    if isinstance(x, np.ndarray):
        return np
    from array_api_compat import array_namespace

    try:
        return array_namespace(x)
    except TypeError:
        raise ShapeError("not an array", expected="a numpy array", got=type(x).__name__) from None


def layer(cell: Cell, params: Mapping[str, Array]) -> tuple[Sizes, Any]:
    """Sizes and dtype of a layer, once its parameters are known to fit the cell and one another."""
    for name, value in params.items():
        if not hasattr(value, "shape"):
            raise ShapeError("not an array", where=name, expected="a numpy array", got=type(value).__name__)
    sizes = cell.sizes(params)
    dtypes = {name: value.dtype for name, value in params.items()}
    if len(set(dtypes.values())) > 1:
        raise ShapeError("parameters differ in dtype", where=cell.name, expected="one dtype", got=dtypes)
    return sizes, next(iter(dtypes.values()))


def call(
    cell: Cell,
    sizes: Sizes,
    dtype: Any,
    x: Array,
    state: Any,
    lengths: Any,
    resets: Any,
    rest: Any,
    reverse: bool,
) -> Call:
    """The arguments of a scan, checked against the layer.

    Raises:
        ShapeError: an array's shape or dtype does not fit, or a length lies outside ``0..T``.
        StateError: ``state`` or ``rest`` is not the record of this cell, or does not fit.
    """
    array(x, (None, None, sizes.input_size), "x", dtype)
    steps, rows = x.shape[:2]
    wanted = cell.state_shapes(rows, sizes.hidden_size, proj_size=sizes.proj_size)
    if state is not None:
        record(state, wanted, "state", dtype)
    if rest is not None:
        record(rest, type(wanted)(*(shape[1:] for shape in wanted)), "rest", dtype)
    if resets is not None:
        array(resets, (steps, rows), "resets", np.dtype(bool) if isinstance(resets, np.ndarray) else None)
    lengths = None if lengths is None else _lengths(lengths, steps, rows)
    return Call(x, state, lengths, resets, rest, bool(reverse))


def step(cell: Cell, sizes: Sizes, dtype: Any, x: Array, state: Any) -> None:
    """Check the arguments of one step against the layer.

    Raises:
        ShapeError: ``x`` does not fit.
        StateError: ``state`` does not fit.
    """
    array(x, (None, sizes.input_size), "x", dtype)
    wanted = cell.state_shapes(x.shape[0], sizes.hidden_size, proj_size=sizes.proj_size)
    record(state, wanted, "state", dtype)


def other_state(state: Any, wanted: type, where: str) -> StateError:
    """The error for a state of the wrong type."""
    name, got = wanted.__name__, type(state).__name__
    fix = f"Wrap the arrays: {name}({', '.join(wanted._fields)})"  # pyright: ignore[reportAttributeAccessIssue]
    return StateError("not the state of this cell", where=where, expected=name, got=got, fix=fix)


def array(value: Any, wanted: tuple[int | None, ...], where: str, dtype: Any) -> None:
    """Check shape (None: any length) and dtype (None: any).

    Raises:
        ShapeError: naming the argument.
    """
    got = tuple(value.shape) if hasattr(value, "shape") else type(value).__name__
    if (
        not isinstance(got, tuple)
        or len(got) != len(wanted)
        or any(w not in (None, g) for w, g in zip(wanted, got, strict=True))
    ):
        names = tuple("any" if size is None else size for size in wanted)
        raise ShapeError("wrong shape", where=where, expected=names, got=got)
    if dtype is not None and value.dtype != dtype:
        fix = "Layer, input and state share one dtype: convert one of them"
        raise ShapeError("wrong dtype", where=where, expected=dtype, got=value.dtype, fix=fix)


def record(state: Any, wanted: Any, where: str, dtype: Any) -> None:
    """Check a state record against the record of its shapes.

    Raises:
        StateError: naming the argument and the field.
    """
    if type(state) is not type(wanted):
        raise other_state(state, type(wanted), where)
    for field, shape in wanted._asdict().items():
        try:
            array(getattr(state, field), shape, f"{where}.{field}", dtype)
        except ShapeError as error:
            parts = {"where": error.where, "expected": error.expected, "got": error.got, "fix": error.fix}
            raise StateError(error.what, **parts) from None


def _lengths(lengths: Any, steps: int, rows: int) -> Array:
    """Row lengths ``[B]``; values are looked at in numpy only, to keep other libraries' tracing whole."""
    if isinstance(lengths, (list, tuple)):
        lengths = np.asarray(lengths, dtype=None if lengths else np.int64)
    array(lengths, (rows,), "lengths", None)
    if not isinstance(lengths, np.ndarray):
        return lengths
    if lengths.dtype.kind not in "iu":
        raise ShapeError("wrong dtype", where="lengths", expected="integers", got=lengths.dtype)
    if rows and (lengths.min() < 0 or lengths.max() > steps):
        raise ShapeError(
            "length out of range", where="lengths", expected=f"0 to {steps}", got=lengths.tolist()
        )
    return np.ascontiguousarray(lengths, dtype=np.int64)
