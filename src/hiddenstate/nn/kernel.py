"""The native kernels called with torch tensors: allocates outputs, knows nothing of autograd.

Tensors are CPU tensors of one dtype (float32 or float64). Short on purpose: what runs here between two calls
of the kernels finds the caches emptied by them, and takes several times as long as in a loop of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hiddenstate import native


class Arguments(NamedTuple):
    """What one scan (one layer in one direction) reads.

    Attributes:
        x: input ``[T, B, I]``.
        h0: initial output ``[B, R]``, or ``[1, B, R]`` where the kernels are called at once; None: zeros.
        c0: initial cell state ``[B, H]`` (LSTM), likewise; None: zeros.
        weight_ih: ``[G*H, I]``.
        weight_hh: ``[G*H, R]``.
        bias_ih: ``[G*H]`` or None.
        bias_hh: ``[G*H]`` or None.
        weight_hr: projection ``[P, H]`` or None.
        rest_h: ``[R]``, the state after a reset; None: zeros.
        rest_c: ``[H]``, likewise (LSTM).
        lengths: int64 ``[B]``; None: T.
        resets: bool ``[T, B]`` or None.
    """

    x: Tensor
    h0: Tensor | None
    c0: Tensor | None
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None
    weight_hr: Tensor | None
    rest_h: Tensor | None
    rest_c: Tensor | None
    lengths: Tensor | None
    resets: Tensor | None

    @property
    def params(self) -> dict[str, Tensor | None]:
        """The parameters by name."""
        return dict(zip(self._fields[3:8], self[3:8], strict=True))

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """T, B, H and R."""
        time, batch, _ = self.x.shape
        out = self.weight_hh.shape[1]
        return time, batch, out if self.weight_hr is None else self.weight_hr.shape[1], out


_Given = Tensor | None
_PLAIN = (Tensor, torch.nn.Parameter)

DIFFERENTIABLE = 10
"""How many of the arguments, from the first on, have a gradient."""

NOTHING, TAPE = 0, -1
"""What a scan keeps for its backward (``keep``): nothing, or the tape of every step.

A positive number S keeps the states before every S steps, from which ``segments`` computes the tape again.
"""


class Outputs(NamedTuple):
    """What one scan gives: ``y [T, B, R]``, ``h_n [B, R]``, ``c_n [B, H]`` (None: no LSTM), and the tape.

    The tape is what backward needs of every step, ``[T*B, fields*H]``, or the states before every segment,
    ``[segments, B*(R + H)]`` (LSTM) or ``[segments, B*R]``; with ``keep=NOTHING`` it has no rows.
    """

    y: Tensor
    h_n: Tensor
    c_n: Tensor | None
    tape: Tensor


def allocate(arguments: Arguments, cell: str, keep: int, *, stacked: bool = False) -> Outputs:
    """Uninitialised outputs; with fake tensors this is the shape rule.

    ``stacked``: last states get torch's axis of layers, ``[1, B, *]``.
    """
    time, batch, hidden, out = arguments.sizes
    rows, lstm = (1, batch) if stacked else (batch,), cell == "lstm"
    if keep > 0:
        tape = (len(spans(time, keep, reverse=False)), batch * (out + hidden if lstm else out))
    else:
        tape = (time * batch if keep == TAPE else 0, _tape_fields(cell) * hidden)
    shapes = [(time, batch, out), (*rows, out), (*rows, hidden) if lstm else None, tape]
    return Outputs(*_new_tensors(arguments.x, shapes))


def _new_tensors(like: Tensor, shapes: list[Any]) -> list[Any]:
    """Uninitialised tensors, see ``native.new_tensors``; fake ones and those of other devices are torch's."""
    if type(like) in _PLAIN and like.is_cpu:
        return native.new_tensors(like, shapes)
    return [None if shape is None else like.new_empty(getattr(shape, "shape", shape)) for shape in shapes]


def spans(time: int, size: int, *, reverse: bool) -> list[slice]:
    """``time`` steps in segments of ``size``, in the order of processing; without steps one empty one."""
    found = [slice(start, min(start + size, time)) for start in range(0, max(time, 1), size)]
    return found[::-1] if reverse else found


@cache
def _tape_fields(cell: str) -> int:
    return len(native.tape_fields(cell))


def plan(arguments: Arguments, cell: str, *, backward: bool) -> native.Plan:
    """The weights, packed for the kernels. Made at every call: an optimiser changes weights unseen."""
    return native.Plan(cell, *arguments[3:8], backward=backward)


def forward(arguments: Arguments, packed: native.Plan, reverse: bool, outputs: Outputs) -> None:
    """One layer in one direction, into ``outputs``; a tape without rows is not written."""
    y, h_n, c_n, tape = outputs
    native.forward(packed, *_operands(arguments), reverse, y, h_n, c_n, tape if tape.numel() else None)


def infer(
    arguments: Arguments, cell: str, reverse: bool, *, stacked: bool = False
) -> tuple[Tensor, Tensor, Tensor | None]:
    """``y``, ``h_n`` and ``c_n`` of one layer in one direction that no backward follows."""
    time, batch, hidden, out = arguments.sizes
    new, rows = arguments.x.new_empty, (1, batch) if stacked else (batch,)
    y, h_n = new(time, batch, out), new(*rows, out)  # torch's own: what needs no gradient may be resized
    c_n = new(*rows, hidden) if cell == "lstm" else None
    packed = plan(arguments, cell, backward=False)
    native.forward(packed, *_operands(arguments), reverse, y, h_n, c_n, None)
    return y, h_n, c_n


def backward(
    d_outputs: Sequence[Tensor | None],
    arguments: Arguments,
    y: Tensor,
    tape: Tensor,
    packed: native.Plan,
    reverse: bool,
    gradients: Sequence[Tensor | None],
) -> None:
    """Gradients of the first ``DIFFERENTIABLE`` arguments from those of ``y``, ``h_n`` and ``c_n``.

    They are written to ``gradients``; where that is None nothing is computed.
    """
    dx, dh0, dc0, dw_ih, dw_hh, db_ih, db_hh, dw_hr, drest_h, drest_c = gradients
    dy, dh_n, dc_n = d_outputs
    native.backward(
        packed, *_operands(arguments), reverse, y, tape if tape.shape[1] else None,
        dy, dh_n, dc_n if packed.cell == "lstm" else None,
        dx, dh0, dc0, drest_h, drest_c, dw_ih, dw_hh, db_ih, db_hh, dw_hr, None, None,
    )  # fmt: skip


def new_gradients(arguments: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Uninitialised gradients of the arguments that ``needs`` asks for; None for the others."""
    shapes = [value if need else None for need, value in zip(needs, arguments, strict=False)]
    return _new_tensors(arguments.x, shapes)


def _operands(given: Arguments) -> tuple[Tensor, _Given, _Given, _Given, _Given, _Given, _Given]:
    """What forward and backward read beside the weights, in the kernels' order."""
    x, h0, c0, _, _, _, _, _, rest_h, rest_c, lengths, resets = given
    return x, h0, c0, lengths, resets, rest_h, rest_c
