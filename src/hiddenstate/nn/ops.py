"""The differentiable scan of one layer in one direction: which door a call takes to the kernels.

Plain eager calls go to the kernels through one ``autograd.Function``, which costs about 10 us; the registered
operators, with an autograd rule in Python, cost about 50. They serve the calls that somebody else watches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from hiddenstate.cells import Cell
from hiddenstate.types import State

from . import kernel, operators, segments
from .kernel import DIFFERENTIABLE, NOTHING, TAPE, Arguments


def scan(
    cell: Cell,
    params: Mapping[str, Tensor],
    x: Tensor,
    state: State | None,
    *,
    lengths: Tensor | None = None,
    resets: Tensor | None = None,
    rest: State | None = None,
    reverse: bool = False,
    keep: int = TAPE,
    keep_last: bool = False,
) -> tuple[Tensor, State]:
    """One layer in one direction by the native kernels, differentiable in every floating-point argument.

    Args:
        cell: a cell with a native kernel.
        params: ``weight_ih``, ``weight_hh`` and, where the layer has them, ``bias_ih``, ``bias_hh``,
        ``weight_hr``.
        x: ``[T, B, I]`` on the CPU, float32 or float64 as all others.
        state: initial state, fields ``[B, *]``; None: ``rest``.
        lengths: int64 ``[B]``, 0 to T; None: T.
        resets: bool ``[T, B]``: True restarts the row before that step.
        rest: state that a row restarts from, fields ``[*]``; None: zeros.
        reverse: from each row's last step to its first.
        keep: what is kept for a backward, see ``kernel.TAPE``.
        keep_last: of segments, whether the last one's tape is kept for the first backward.

    Returns:
        ``y [T, B, R]`` (zero at padded steps) and the state after the last step.
    """
    if state is None and rest is not None:
        state = type(rest)(*(field.expand(x.shape[1], -1) for field in rest))
    h0, c0 = _fields(state)
    rest_h, rest_c = _fields(None if resets is None else rest)
    arguments = Arguments(
        x, h0, c0, params["weight_ih"], params["weight_hh"], params.get("bias_ih"), params.get("bias_hh"),
        params.get("weight_hr"), rest_h, rest_c, lengths, resets,
    )  # fmt: skip
    y, *last = _run(arguments, str(cell.native), reverse, keep, keep_last)
    return y, cell.State(*last[: len(cell.State._fields)])


def _fields(state: State | None) -> tuple[Tensor | None, Tensor | None]:
    """``h`` and ``c`` of a record; None where there is none."""
    return getattr(state, "h", None), getattr(state, "c", None)


def _run(
    arguments: Arguments, cell: str, reverse: bool, keep: int, keep_last: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    if not _is_plain(arguments.x):
        tracing = torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage] - a trace serves both modes
        kept = keep if torch.is_grad_enabled() or tracing else NOTHING
        return operators.scan(arguments, cell, reverse, kept)[:3]
    if torch.is_grad_enabled() and any(t.requires_grad for t in arguments if t is not None):
        return _EagerScan.apply(*arguments, cell, reverse, keep, keep_last)  # pyright: ignore[reportReturnType]
    return kernel.infer(arguments, cell, reverse)


def _is_plain(x: Tensor) -> bool:
    """Whether only autograd watches this call: no compiler or tracer, no functional transform, no mode."""
    return not (
        torch.compiler.is_compiling()
        or torch._C._is_tracing()
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack()
        or type(x) not in (Tensor, torch.nn.Parameter)
    )


class _EagerScan(torch.autograd.Function):
    """The eager path: as the registered operator, without its overhead, and with the weights packed once."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor, Tensor | None]:
        *tensors, ctx.cell, ctx.reverse, ctx.keep, keep_last = inputs
        arguments = Arguments(*tensors)
        ctx.packed = kernel.plan(arguments, ctx.cell, backward=True)
        if ctx.keep > 0 and keep_last:
            ctx.last = segments.new_segment(arguments, ctx.cell, ctx.keep)
        y, h_n, c_n, tape = segments.forward(
            arguments, ctx.packed, ctx.reverse, ctx.keep, getattr(ctx, "last", None)
        )
        ctx.save_for_backward(*arguments, operators.saved_output(y, ctx.keep), tape)
        ctx.set_materialize_grads(False)
        return y, h_n, c_n

    @staticmethod
    def backward(ctx: Any, *d_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        if not operators.any_of(d_outputs):
            return (None,) * (len(Arguments._fields) + 4)
        last = vars(ctx).pop("last", None)  # backward writes over it, and a graph may be used again
        *tensors, y, tape = ctx.saved_tensors
        arguments = Arguments(*tensors)
        needs = ctx.needs_input_grad[:DIFFERENTIABLE]
        if torch.is_grad_enabled():  # create_graph: the gradient itself will be differentiated
            gradients = operators.scan_backward(
                d_outputs, arguments, y, tape, ctx.cell, ctx.reverse, ctx.keep, needs
            )
        else:
            gradients = segments.backward(
                d_outputs, arguments, y, tape, ctx.packed, ctx.reverse, ctx.keep, needs, last
            )
        return *gradients, None, None, None, None, None, None
