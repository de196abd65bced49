"""The differentiable scan of one layer in one direction: which door a call takes to the kernels.

Plain eager calls go to the kernels through one ``autograd.Function``, which costs about 10 us; the registered
operators, with an autograd rule in Python, cost about 50. They serve the calls that somebody else watches.
A layer that is one scan takes the shortest way, ``scan_layer``, on which states keep torch's axis of layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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
    arguments = _arguments(params, x, state, lengths, resets, rest)
    y, *last = _run(arguments, _Call(str(cell.native), reverse, keep, keep_last))
    return y, cell.State(*last[: len(cell.State._fields)])


def scan_layer(
    cell: Cell,
    params: Mapping[str, Tensor],
    x: Tensor,
    state: State | None,
    lengths: Tensor | None,
    resets: Tensor | None,
    rest: State | None,
) -> tuple[Tensor, State]:
    """``scan`` forwards with ``TAPE``, for calls that ``is_plain``; states are ``[1, B, *]``."""
    if state is None and rest is not None:
        state = type(rest)(*(field.expand(1, x.shape[1], -1) for field in rest))
    call = _Call(str(cell.native), stacked=True)
    y, h_n, c_n = _run_plain(_arguments(params, x, state, lengths, resets, rest), call)
    return y, cell.State(h_n) if c_n is None else cell.State(h_n, c_n)


def is_plain(x: Tensor) -> bool:
    """Whether only autograd watches this call: no compiler or tracer, no functional transform, no mode."""
    return not (
        torch.compiler.is_compiling()
        or torch._C._is_tracing()
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack()
        or type(x) not in (Tensor, torch.nn.Parameter)
    )


class _Call(NamedTuple):
    """How to run a scan: see ``scan``; ``stacked``: with states ``[1, B, *]``."""

    cell: str
    reverse: bool = False
    keep: int = TAPE
    keep_last: bool = False
    stacked: bool = False


def _arguments(
    params: Mapping[str, Tensor],
    x: Tensor,
    state: State | None,
    lengths: Tensor | None,
    resets: Tensor | None,
    rest: State | None,
) -> Arguments:
    h0, c0 = _fields(state)
    rest_h, rest_c = _fields(None if resets is None else rest)
    return Arguments(
        x, h0, c0, params["weight_ih"], params["weight_hh"], params.get("bias_ih"), params.get("bias_hh"),
        params.get("weight_hr"), rest_h, rest_c, lengths, resets,
    )  # fmt: skip


def _fields(state: State | None) -> tuple[Tensor | None, Tensor | None]:
    """``h`` and ``c`` of a record; None where there is none."""
    if state is None:
        return None, None
    return state.h, getattr(state, "c", None)


def _run(arguments: Arguments, call: _Call) -> tuple[Tensor, Tensor, Tensor | None]:
    if is_plain(arguments.x):
        return _run_plain(arguments, call)
    tracing = torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage] - a trace serves both modes
    kept = call.keep if torch.is_grad_enabled() or tracing else NOTHING
    return operators.scan(arguments, call.cell, call.reverse, kept)[:3]


def _run_plain(arguments: Arguments, call: _Call) -> tuple[Tensor, Tensor, Tensor | None]:
    if torch.is_grad_enabled():
        places = [place for place, value in enumerate(arguments) if value is not None]
        given = [arguments[place] for place in places]
        if any([value.requires_grad for value in given]):  # pyright: ignore[reportOptionalMemberAccess]
            return _apply(call, arguments, places, *given)
    return kernel.infer(arguments, call.cell, call.reverse, stacked=call.stacked)


class _EagerScan(torch.autograd.Function):
    """The eager path: as the registered operator, without its overhead, and with the weights packed once.

    Torch looks at every argument several times, so only those that are there are handed over:
    ``tensors`` are those of ``arguments`` that stand at ``places``.
    """

    @staticmethod
    def forward(ctx: Any, call: _Call, arguments: Arguments, places: list[int], *tensors: Tensor) -> tuple:
        ctx.call, ctx.places = call, places
        ctx.packed = kernel.plan(arguments, call.cell, backward=True)
        if call.keep > 0 and call.keep_last:
            ctx.last = segments.new_segment(arguments, call.cell, call.keep)
        y, h_n, c_n, tape = segments.forward(
            arguments, ctx.packed, call.reverse, call.keep, getattr(ctx, "last", None), stacked=call.stacked
        )
        ctx.save_for_backward(*tensors, operators.saved_output(y, call.keep), tape)
        ctx.set_materialize_grads(False)
        return y, h_n, c_n

    @staticmethod
    def backward(ctx: Any, *d_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        call, places = ctx.call, ctx.places
        if not operators.any_of(d_outputs):
            return (None,) * (len(places) + 3)
        last = vars(ctx).pop("last", None)  # backward writes over it, and a graph may be used again
        *tensors, y, tape = ctx.saved_tensors
        arguments = _placed(places, tensors)
        needed = dict(zip(places, ctx.needs_input_grad[3:], strict=True))
        needs = [needed.get(place, False) for place in range(DIFFERENTIABLE)]
        if torch.is_grad_enabled():  # create_graph: the gradient itself will be differentiated
            gradients = _backward_with_graph(d_outputs, arguments, y, tape, call, needs)
        else:
            gradients = segments.backward(
                d_outputs, arguments, y, tape, ctx.packed, call.reverse, call.keep, needs, last
            )
        return None, None, None, *[gradients[place] if place < DIFFERENTIABLE else None for place in places]


_apply = super(torch.autograd.Function, _EagerScan).apply  # pyright: ignore[reportAttributeAccessIssue]
"""Without what ``Function.apply`` does before, in Python: it looks for transforms, as ``is_plain`` has."""


def _placed(places: Sequence[int], tensors: Sequence[Tensor]) -> Arguments:
    values: list[Any] = [None] * len(Arguments._fields)
    for place, tensor in zip(places, tensors, strict=True):
        values[place] = tensor
    return Arguments(*values)


def _backward_with_graph(
    d_outputs: Sequence[Tensor | None],
    arguments: Arguments,
    y: Tensor | None,
    tape: Tensor,
    call: _Call,
    needs: Sequence[bool],
) -> list[Tensor | None]:
    """By the registered operator, which knows states as ``[B, *]``."""
    if call.stacked:
        d_outputs = [d_outputs[0], *map(_of_layer, d_outputs[1:])]
        arguments = arguments._replace(h0=_of_layer(arguments.h0), c0=_of_layer(arguments.c0))
    gradients = operators.scan_backward(
        d_outputs, arguments, y, tape, call.cell, call.reverse, call.keep, needs
    )
    if call.stacked:
        gradients[1:3] = [None if value is None else value[None] for value in gradients[1:3]]
    return gradients


def _of_layer(state: Tensor | None) -> Tensor | None:
    return None if state is None else state[0]
