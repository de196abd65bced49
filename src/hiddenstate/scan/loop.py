"""The scan in plain Python, over the step of any cell and the arrays of any library.

In float64 numpy it is the oracle that the native kernels are tested against; with torch tensors it is
differentiable to any order; with a cell that has no kernel it is how the cell runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hiddenstate import cells
from hiddenstate.cells import Cell, Sizes
from hiddenstate.types import Array, Bool, Float

from . import check
from .check import Call


def scan_python(
    cell: str | Cell,
    params: Mapping[str, Array],
    x: Array,
    state: Any = None,
    *,
    lengths: Any = None,
    resets: Array | None = None,
    rest: Any = None,
    reverse: bool = False,
    xp: Any = None,
) -> tuple[Float[Array, "T B R"], Any]:
    """Runs a cell over a sequence by its Python step, on the arrays of any library.

    Arguments, results and errors are those of ``scan``; no control flow depends on a value, so that another
    library can trace, transform and differentiate the call. Cost follows ``T * B``, not the sum of lengths.

    Args:
        cell: as in ``scan``.
        params: as in ``scan``.
        x: as in ``scan``.
        state: as in ``scan``.
        lengths: as in ``scan``; values are checked for numpy arrays only.
        resets: as in ``scan``.
        rest: as in ``scan``.
        reverse: as in ``scan``.
        xp: array namespace to use; None: that of ``x``.

    Returns:
        ``y [T, B, R]`` and the last state.

    Example:
        >>> import numpy as np
        >>> params = {"weight_ih": np.ones((1, 1)), "weight_hh": np.ones((1, 1))}
        >>> y, state = scan_python(cells.RNN(nonlinearity="relu"), params, np.ones((3, 1, 1)))
        >>> y.ravel(), state.h
        (array([1., 2., 3.]), array([[3.]]))
    """
    cell = cells.get(cell)
    sizes, dtype = check.layer(cell, params)
    call = check.call(cell, sizes, dtype, x, state, lengths, resets, rest, reverse)
    y, last, _ = unroll(cell, params, sizes, call, xp or check.namespace(x))
    return y, last


def unroll(
    cell: Cell, params: Mapping[str, Array], sizes: Sizes, call: Call, xp: Any
) -> tuple[Float[Array, "T B R"], Any, dict[str, Float[Array, "T B H"]]]:
    """The loop: output, last state, and what ``cell.tape`` names, of every step (zero at padded steps)."""
    x, state, reverse = call.x, call.state, call.reverse
    valid, restart = flags(call, xp)
    rested = resting(cell, sizes, x.shape[1], call.rest, like=x, xp=xp)
    state = rested if state is None else state
    outputs, taped = [], []
    for t in range(x.shape[0] - 1, -1, -1) if reverse else range(x.shape[0]):
        now = None if valid is None else valid[t]
        if restart is not None:
            state = choose(xp, restart[t], rested, state)
        # Padding may hold anything; zeros in its place keep a NaN there out of every gradient.
        x_t = x[t] if now is None else xp.where(now[:, None], x[t], xp.zeros_like(x[t]))
        new, activations = cell.step(xp, params, x_t, state)
        kept = {**new._asdict(), **activations}
        outputs.append(_shown(xp, now, new.h))
        taped.append({name: _shown(xp, now, kept[name]) for name in cell.tape})
        state = new if now is None else choose(xp, now, new, state)
    if reverse:
        outputs.reverse()
        taped.reverse()
    y = _stacked(xp, outputs, x, sizes.out_size)
    steps = {name: _stacked(xp, [kept[name] for kept in taped], x, sizes.hidden_size) for name in cell.tape}
    return y, state, steps


def flags(call: Call, xp: Any) -> tuple[Bool[Array, "T B"] | None, Bool[Array, "T B"] | None]:
    """Which steps are no padding (None: all), and before which the state restarts (None: never).

    A reset marks the first step of a segment. Backwards in time the restart comes when the segment is left:
    before the step that precedes the mark.
    """
    x, _, lengths, resets, _, reverse = call
    valid = None
    if lengths is not None:
        times = xp.arange(x.shape[0], device=x.device)
        valid = times[:, None] < xp.asarray(lengths, device=x.device)[None, :]
    if resets is None:
        return valid, None
    restart = resets if valid is None else resets & valid
    if reverse:
        restart = xp.concat([restart[1:], xp.zeros_like(restart[:1])])
    return valid, restart


def resting(cell: Cell, sizes: Sizes, rows: int, rest: Any, *, like: Array, xp: Any) -> Any:
    """The state of ``rows`` rows at ``rest``; None: zeros of the dtype and on the device of ``like``."""
    shapes = cell.state_shapes(rows, sizes.hidden_size, proj_size=sizes.proj_size)
    if rest is None:
        return type(shapes)(*(xp.zeros(shape, dtype=like.dtype, device=like.device) for shape in shapes))
    return type(shapes)(*(xp.tile(value[None, :], (rows, 1)) for value in rest))


def choose(xp: Any, rows: Bool[Array, " B"], yes: Any, no: Any) -> Any:
    """The state record ``yes`` in the flagged rows and ``no`` in the others."""
    return type(no)(*(xp.where(rows[:, None], a, b) for a, b in zip(yes, no, strict=True)))


def _shown(xp: Any, valid: Array | None, value: Array) -> Array:
    """A step's value, with zeros in the padded rows."""
    return value if valid is None else xp.where(valid[:, None], value, xp.zeros_like(value))


def _stacked(xp: Any, values: list[Array], x: Array, width: int) -> Array:
    """All steps in one array, for no steps too."""
    if values:
        return xp.stack(values)
    return xp.zeros((0, x.shape[1], width), dtype=x.dtype, device=x.device)
