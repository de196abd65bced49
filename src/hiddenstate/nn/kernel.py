"""The native kernels called with torch tensors: allocates outputs, knows nothing of autograd.

Tensors are CPU tensors of one dtype (float32 or float64). Short on purpose: what runs here between two calls
of the kernels finds the caches emptied by them, and takes several times as long as in a loop of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import prod
from typing import NamedTuple

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

_LARGE = 1 << 15
"""From so many numbers on, memory fresh from the system is worth avoiding.

What a training step frees, the C library may give back to the system at every step, and each page is cleared
when it comes again: a fifth of an update was spent on it.
"""

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
    sizes = time, batch, hidden, out = arguments.sizes
    y, h_n, c_n = _new_outputs(arguments.x, sizes, cell, stacked, kept=keep != NOTHING)
    if keep > 0:
        width = out if c_n is None else out + hidden
        tape = y.new_empty(len(spans(time, keep, reverse=False)), batch * width)
    else:
        rows = time * batch if keep == TAPE else 0
        tape = _new_kept(arguments.x, (rows, _tape_fields(cell) * hidden))
    return Outputs(y, h_n, c_n, tape)


def _new_outputs(
    like: Tensor, sizes: tuple[int, int, int, int], cell: str, stacked: bool, *, kept: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """``y``, ``h_n`` and ``c_n``; sizes as arguments take torch half as long as a tuple of them.

    ``kept``: ``y`` may lie in memory of the kernels, which cannot be resized; nor can what needs a gradient.
    """
    time, batch, hidden, out = sizes
    new, lstm = like.new_empty, cell == "lstm"
    y = _new_kept(like, (time, batch, out)) if kept else new(time, batch, out)
    if stacked:
        return y, new(1, batch, out), new(1, batch, hidden) if lstm else None
    return y, new(batch, out), new(batch, hidden) if lstm else None


def _new_kept(like: Tensor, shape: Sequence[int]) -> Tensor:
    """A large one lies in memory that the kernels keep for the next step."""
    if type(like) not in (Tensor, torch.nn.Parameter) or prod(shape) < _LARGE:
        return like.new_empty(*shape)
    return torch.from_numpy(native.reusable(shape, like.dtype == torch.float64))


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
    y, h_n, c_n = _new_outputs(arguments.x, arguments.sizes, cell, stacked, kept=False)
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
    return [
        _new_like(value) if need and value is not None else None
        for need, value in zip(needs, arguments, strict=False)
    ]


def _new_like(value: Tensor) -> Tensor:
    if value.numel() < _LARGE:
        return torch.empty_like(value, memory_format=torch.contiguous_format)
    return _new_kept(value, value.shape)


def _operands(given: Arguments) -> tuple[Tensor, _Given, _Given, _Given, _Given, _Given, _Given]:
    """What forward and backward read beside the weights, in the kernels' order."""
    x, h0, c0, _, _, _, _, _, rest_h, rest_c, lengths, resets = given
    return x, h0, c0, lengths, resets, rest_h, rest_c
