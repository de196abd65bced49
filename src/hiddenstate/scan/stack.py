"""Several layers and both directions, over the arrays of any library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hiddenstate.errors import StateError
from hiddenstate.types import Array, Float

from . import check


def stack(
    run: Callable[[int, int, Array, Any, bool], tuple[Array, Any]],
    x: Float[Array, "T B I"],
    *,
    num_layers: int,
    directions: int = 1,
    state: Any = None,
    dropout: Callable[[Array], Array] | None = None,
    xp: Any = None,
) -> tuple[Float[Array, "T B DR"], Any]:
    """Runs layers on top of one another, each reading the joined outputs of both directions of the one below.

    Args:
        run: one layer in one direction, ``run(layer, direction, x, state, reverse) -> (y, state)``; its
            ``state`` is a record of ``[B, *]`` arrays, or None where the layer starts from its rest state.
        x: input of the first layer ``[T, B, I]``.
        num_layers: L, at least 1.
        directions: D, 1 or 2; direction 1 runs backwards in time.
        state: record of ``[L*D, B, *]`` arrays, layer by layer and forward before backward as in torch; None:
            every layer starts from rest.
        dropout: applied to the output of every layer but the last.
        xp: array namespace to use; None: that of ``x``.

    Returns:
        ``y [T, B, D*R]`` of the last layer, and the record ``[L*D, B, *]`` of all last states.

    Raises:
        StateError: the state's first axis is not ``L*D``.

    Example:
        >>> import numpy as np
        >>> from hiddenstate import cells
        >>> from hiddenstate.scan import scan, stack
        >>> params = {"weight_ih": np.ones((2, 2)), "weight_hh": np.ones((2, 2))}
        >>> def run(layer, direction, x, state, reverse):
        ...     return scan("rnn", params, x, state, reverse=reverse)
        >>> y, state = stack(run, np.zeros((5, 3, 2)), num_layers=2)
        >>> y.shape, state.h.shape
        ((5, 3, 2), (2, 3, 2))
    """
    if state is not None and any(value.shape[0] != num_layers * directions for value in state):
        got = tuple(tuple(value.shape) for value in state)
        expected = f"{num_layers} layers x {directions} directions on the first axis"
        raise StateError("state of another stack", where="state", expected=expected, got=got)
    xp = xp or check.namespace(x)
    last = []
    for layer in range(num_layers):
        outputs = []
        for direction in range(directions):
            own = (
                None
                if state is None
                else type(state)(*(value[layer * directions + direction] for value in state))
            )
            y, new = run(layer, direction, x, own, direction == 1)
            outputs.append(y)
            last.append(new)
        x = outputs[0] if directions == 1 else xp.concat(outputs, axis=-1)
        if dropout is not None and layer < num_layers - 1:
            x = dropout(x)
    if len(last) == 1:  # a view, where stacking one copies it
        return x, type(last[0])(*(value[None] for value in last[0]))
    return x, type(last[0])(*(xp.stack(values) for values in zip(*last, strict=True)))
