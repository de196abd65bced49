"""The native kernels behind ``scan``: arrays allocated, records taken apart, one call each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any

import numpy as np

from hiddenstate import native
from hiddenstate.cells import Cell, Sizes
from hiddenstate.types import Array

from .check import Call
from .recording import Gradients, Recording

PARAMS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
"""All parameters that kernels know."""
Given = tuple[Any, Any, Any, Any, Any, Any, Any, bool]
"""x, h0, c0, lengths, resets, rest_h, rest_c, reverse; None where there is none."""


def takes(cell: Cell, params: Mapping[str, Array]) -> bool:
    """Whether there is a kernel for this cell on these arrays."""
    return cell.native is not None and all(
        isinstance(value, np.ndarray) and value.dtype in (np.float32, np.float64) for value in params.values()
    )


class Kernel:
    """The packed weights of one layer in one direction, and the calls on them.

    Args:
        cell: a cell with a native kernel.
        params: its parameters.
        sizes: their sizes.
    """

    def __init__(self, cell: Cell, params: Mapping[str, Array], sizes: Sizes) -> None:
        self._cell, self._sizes, self._params = cell, sizes, params
        self._plan = self._pack()

    @cached_property
    def _plan_back(self) -> native.Plan:
        """The weights packed for the way back too."""
        return self._pack(backward=True)

    def _pack(self, *, backward: bool = False) -> native.Plan:
        weights = {name: _dense(value) for name, value in self._params.items()}
        return native.Plan(str(self._cell.native), **weights, backward=backward)

    def forward(self, call: Call) -> tuple[Array, Any]:
        """Output and last state."""
        y, last = self._results(call)
        native.forward(self._plan, *_inputs(call), y, *_pair(last), None)
        return y, last

    def step(self, x: Array, state: Any) -> Any:
        """The next state of every row."""
        new = type(state)(*map(np.empty_like, state))
        native.step(self._plan, x, *_pair(state), *_pair(new))
        return new

    def bind(self, x: Array, state: Any, out: Any) -> Callable[[], None]:
        """A step on fixed arrays, without a Python frame around the kernel."""
        return partial(native.step, self._plan, x, *_pair(state), *_pair(out))

    def operation(self, x: Array, state: Any, out: Any) -> tuple[Any, ...]:
        """A step on fixed arrays, as ``native.Program`` takes it."""
        return "step", self._plan, x, *_pair(state), *_pair(out)

    def record(self, call: Call) -> Recording:
        """The scan with its activations, and the way back."""
        steps, rows, _ = call.x.shape
        tape = np.empty((steps * rows, len(self._cell.tape) * self._sizes.hidden_size), call.x.dtype)
        y, last = self._results(call)
        given = _inputs(call)
        native.forward(self._plan_back, *given, y, *_pair(last), tape)
        kept = native.unpack_tape(
            self._plan.cell, tape, steps=steps, batch=rows, lengths=call.lengths, reverse=call.reverse
        )
        return Recording(y, last, kept, lambda dy, d_last: self._backward(call, given, y, tape, dy, d_last))

    def _backward(
        self, call: Call, given: Given, y: Array, tape: Array, dy: Array | None, d_last: Any
    ) -> Gradients:
        """All gradients, each in an array of its own."""
        steps, rows, _ = call.x.shape
        dtype = call.x.dtype
        dx = np.empty(call.x.shape, dtype)
        d_state, d_rest, d_steps = (self._record(lead, dtype) for lead in ((rows,), (), (steps, rows)))
        d_params = {name: np.empty(value.shape, dtype) for name, value in self._params.items()}
        by_h, by_c = _pair(d_last)
        d_weights = {f"d{name}": d_params.get(name) for name in PARAMS}
        dh_steps, dc_steps = _pair(d_steps)
        native.backward(
            self._plan_back, *given, y, tape, _dense(dy), _dense(by_h), _dense(by_c), dx,
            *_pair(d_state), *_pair(d_rest), **d_weights, dh_steps=dh_steps, dc_steps=dc_steps,
        )  # fmt: skip
        if call.state is None:
            for total, by_row in zip(d_rest, d_state, strict=True):
                total += by_row.sum(axis=0)
        return Gradients(dx, d_state, d_params, d_rest, d_steps)

    def _results(self, call: Call) -> tuple[Array, Any]:
        """Arrays for the output and the last state."""
        steps, rows, _ = call.x.shape
        y = np.empty((steps, rows, self._sizes.out_size), call.x.dtype)
        return y, self._record((rows,), call.x.dtype)

    def _record(self, leading: tuple[int, ...], dtype: Any) -> Any:
        """A state record of uninitialised arrays with these leading axes."""
        widths = self._cell.state_shapes(0, self._sizes.hidden_size, proj_size=self._sizes.proj_size)
        return type(widths)(*(np.empty((*leading, width), dtype) for _, width in widths))


def _inputs(call: Call) -> Given:
    """What forward and backward share."""
    state = call.state
    if state is None and call.rest is not None:
        state = type(call.rest)(*(np.tile(value, (call.x.shape[1], 1)) for value in call.rest))
    (h0, c0), (rest_h, rest_c) = _pair(state), _pair(call.rest)
    x, resets = _dense(call.x), _dense(call.resets)
    return x, _dense(h0), _dense(c0), call.lengths, resets, _dense(rest_h), _dense(rest_c), call.reverse


def _pair(state: Any) -> tuple[Any, Any]:
    """``h`` and ``c`` of a record; None where there is none."""
    return getattr(state, "h", None), getattr(state, "c", None)


def _dense(array: Any) -> Any:
    """The array as the kernels read it: C-contiguous."""
    return None if array is None else np.ascontiguousarray(array)
