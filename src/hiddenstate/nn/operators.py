"""The scan and its gradient as registered torch operators, for compile, export and functional transforms.

``hiddenstate::scan`` and ``hiddenstate::scan_backward`` have rules for fake tensors (shapes), autograd and
vmap. The second derivative goes through the cell's Python step, which torch differentiates to any order:
slower, and right.

``torch.func`` asks for its rules on an ``autograd.Function`` and not on an operator, so each operator has one
beside it, with the same rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from . import kernel, segments, stepwise, vmap
from .kernel import DIFFERENTIABLE, NOTHING, TAPE, Arguments

_N = len(Arguments._fields)
_ARGUMENTS = (
    "Tensor x, Tensor? h0, Tensor? c0, Tensor weight_ih, Tensor weight_hh, Tensor? bias_ih, Tensor? bias_hh, "
    "Tensor? weight_hr, Tensor? rest_h, Tensor? rest_c, Tensor? lengths, Tensor? resets"
)

_library = torch.library.Library("hiddenstate", "DEF")
_library.define(
    f"scan({_ARGUMENTS}, str cell, bool reverse, int keep) -> (Tensor y, Tensor h_n, Tensor c_n, Tensor tape)"
)
_library.define(
    f"scan_backward(Tensor? dy, Tensor? dh_n, Tensor? dc_n, {_ARGUMENTS}, Tensor? y, Tensor tape, "
    "str cell, bool reverse, int keep, bool[] needs) -> Tensor[]"
)
_scan = torch.ops.hiddenstate.scan.default
_scan_backward = torch.ops.hiddenstate.scan_backward.default


def scan(arguments: Arguments, cell: str, reverse: bool, keep: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """``segments.forward`` as an operator that compilers, transforms and autograd know."""
    call = _Scan.apply if _transformed() else _scan
    return call(*arguments, cell, reverse, keep)


def scan_backward(
    d_outputs: Sequence[Tensor | None],
    arguments: Arguments,
    y: Tensor | None,
    tape: Tensor,
    cell: str,
    reverse: bool,
    keep: int,
    needs: Sequence[bool],
) -> list[Tensor | None]:
    """``segments.backward``, likewise: differentiable itself."""
    call = _ScanBackward.apply if _transformed() else _scan_backward
    gradients = iter(call(*d_outputs, *arguments, y, tape, cell, reverse, keep, list(needs)))
    return [next(gradients) if need else None for need in needs]


def saved_output(y: Tensor, keep: int) -> Tensor | None:
    """``y`` where backward reads it: beside the whole tape."""
    return y if keep == TAPE else None


def any_of(gradients: Sequence[Tensor | None]) -> bool:
    """Whether any output has a gradient; torch also asks for the backward of none."""
    return any(gradient is not None for gradient in gradients)


def _transformed() -> bool:
    """Whether a transform of ``torch.func`` is at work."""
    return not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active()


# Rules of ``scan``


def _forward_cpu(*inputs: Any) -> tuple[Tensor, ...]:
    *tensors, cell, reverse, keep = inputs
    arguments = Arguments(*tensors)
    packed = kernel.plan(arguments, cell, backward=keep != NOTHING)
    outputs = segments.forward(arguments, packed, reverse, keep)
    if keep == TAPE and arguments.lengths is not None:
        # An operator's outputs are functions of its inputs, to the last unused row.
        outputs.tape[int(arguments.lengths.sum()) :].zero_()
    return _all_tensors(outputs)


def _forward_fake(*inputs: Any) -> tuple[Tensor, ...]:
    *tensors, cell, _, keep = inputs
    return _all_tensors(kernel.allocate(Arguments(*tensors), cell, keep))


def _all_tensors(outputs: kernel.Outputs) -> tuple[Tensor, ...]:
    """An operator has no optional outputs: an empty tensor stands for no cell state."""
    y, h_n, c_n, tape = outputs
    return y, h_n, y.new_empty(0) if c_n is None else c_n, tape


def _forward_setup(ctx: Any, inputs: tuple, output: tuple) -> None:
    *tensors, ctx.cell, ctx.reverse, ctx.keep = inputs
    y, _, _, tape = output
    ctx.save_for_backward(*tensors, saved_output(y, ctx.keep), tape)
    ctx.mark_non_differentiable(tape)
    ctx.set_materialize_grads(False)


def _forward_autograd(ctx: Any, *d_outputs: Tensor | None) -> tuple:
    if not any_of(d_outputs[:3]):
        return (None,) * (_N + 3)
    *tensors, y, tape = ctx.saved_tensors
    needs = ctx.needs_input_grad[:DIFFERENTIABLE]
    gradients = scan_backward(
        d_outputs[:3], Arguments(*tensors), y, tape, ctx.cell, ctx.reverse, ctx.keep, needs
    )
    return *gradients, *(None,) * (_N + 3 - DIFFERENTIABLE)


# Rules of ``scan_backward``


def _backward_cpu(*inputs: Any) -> list[Tensor]:
    d_outputs, arguments = inputs[:3], Arguments(*inputs[3 : 3 + _N])
    y, tape, cell, reverse, keep, needs = inputs[3 + _N :]
    packed = kernel.plan(arguments, cell, backward=True)
    gradients = segments.backward(d_outputs, arguments, y, tape, packed, reverse, keep, needs)
    return [gradient for gradient in gradients if gradient is not None]


def _backward_fake(*inputs: Any) -> list[Tensor]:
    tensors, needs = inputs[3 : 3 + _N], inputs[-1]
    return [tensor.new_empty(tensor.shape) for tensor, need in zip(tensors, needs, strict=False) if need]


def _backward_setup(ctx: Any, inputs: tuple, output: Sequence[Tensor]) -> None:
    *tensors, ctx.cell, ctx.reverse, _, ctx.needs = inputs
    ctx.save_for_backward(*tensors[:-2])  # without y and tape, which are functions of the others
    ctx.set_materialize_grads(False)


def _backward_autograd(ctx: Any, d_gradients: Sequence[Tensor | None]) -> tuple:
    if not any_of(d_gradients):
        return (None,) * (_N + 9)
    d_outputs, arguments = ctx.saved_tensors[:3], Arguments(*ctx.saved_tensors[3:])
    results = stepwise.second_backward(d_gradients, d_outputs, arguments, ctx.cell, ctx.reverse, ctx.needs)
    return *results, *(None,) * 6


class _Scan(torch.autograd.Function):
    """``hiddenstate::scan`` for ``torch.func``."""

    forward = staticmethod(_scan)
    setup_context = staticmethod(_forward_setup)
    backward = staticmethod(_forward_autograd)

    @staticmethod
    def vmap(info: Any, in_dims: tuple, *inputs: Any) -> tuple:
        return vmap.scan_rule(_Scan.apply)(info, in_dims, *inputs)


class _ScanBackward(torch.autograd.Function):
    """``hiddenstate::scan_backward`` for ``torch.func``."""

    setup_context = staticmethod(_backward_setup)

    @staticmethod
    def forward(*inputs: Any) -> tuple[Tensor, ...]:
        return tuple(_scan_backward(*inputs))

    @staticmethod
    def backward(ctx: Any, *d_gradients: Tensor | None) -> tuple:
        return _backward_autograd(ctx, d_gradients)

    @staticmethod
    def vmap(info: Any, in_dims: tuple, *inputs: Any) -> tuple:
        return vmap.backward_rule(_ScanBackward.apply)(info, in_dims, *inputs)


_library.impl("scan", _forward_cpu, "CPU")
_library.impl("scan_backward", _backward_cpu, "CPU")
torch.library.register_fake(_scan, _forward_fake, lib=_library)
torch.library.register_fake(_scan_backward, _backward_fake, lib=_library)
torch.library.register_autograd(_scan, _forward_autograd, setup_context=_forward_setup, lib=_library)
torch.library.register_autograd(
    _scan_backward, _backward_autograd, setup_context=_backward_setup, lib=_library
)
torch.library.register_vmap(_scan, vmap.scan_rule(_scan), lib=_library)
torch.library.register_vmap(_scan_backward, vmap.backward_rule(_scan_backward), lib=_library)
