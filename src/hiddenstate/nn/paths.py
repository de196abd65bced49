"""Which implementation can run a call, and the arguments that torch's layers do not have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd import forward_ad

from hiddenstate.cells import Cell
from hiddenstate.errors import ShapeError

Path = Literal["native", "torch", "python"]
"""What ran: the kernels, torch's own layer, or the cell's Python step."""

_DTYPES = (torch.float32, torch.float64)


def has_native(cell: Cell, x: Tensor, others: Iterable[Tensor]) -> bool:
    """Whether the kernels take this call: CPU tensors of one dtype, float32 or float64.

    They have no rules for autocast and for forward-mode derivatives.
    """
    dtype = x.dtype
    if cell.native is None or not x.is_cpu or dtype not in _DTYPES:
        return False
    for other in others:  # a loop, for it is run at every call of a layer
        if other.dtype != dtype or not other.is_cpu:
            return False
    return not torch.is_autocast_enabled("cpu") and forward_ad._current_level < 0


def as_lengths(lengths: Any, x: Tensor) -> Tensor:
    """``lengths`` of the rows of ``x [T, B, *]`` as an int64 tensor ``[B]``; one number for unbatched input.

    Raises:
        ShapeError: not one whole number for each row. Values are checked where the scan runs.
    """
    found = torch.as_tensor(lengths, device=x.device)
    if found.dim() == 0:
        found = found[None]
    if found.shape != (x.shape[1],) or found.is_floating_point() or found.dtype == torch.bool:
        raise ShapeError(
            "lengths do not fit the input",
            where="lengths",
            expected=f"{x.shape[1]} whole numbers from 0 to {x.shape[0]}",
            got=f"{found.dtype} of shape {tuple(found.shape)}",
        )
    return found.long()


def check_lengths(lengths: Tensor, time: int) -> None:
    """Refuse lengths outside 0 to T, on a path that does not look at them itself.

    Raises:
        ShapeError: naming the smallest and the largest.
    """
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active() or not lengths.numel():
        return
    low, high = (int(value) for value in torch.aminmax(lengths))
    if low < 0 or high > time:
        raise ShapeError(
            "length out of range", where="lengths", expected=f"0 to {time}", got=f"{low} to {high}"
        )


def as_resets(resets: Any, x: Tensor, *, batch_first: bool) -> Tensor:
    """Reset flags of ``x [T, B, *]`` as a bool tensor ``[T, B]``.

    They come in the layout of the input: ``[T, B]``, ``[B, T]`` with ``batch_first``, ``[T]`` unbatched.

    Raises:
        ShapeError: not bool, or not one flag for each step.
    """
    flags = torch.as_tensor(resets, device=x.device)
    if flags.dim() == 1:
        flags = flags[:, None]
    elif batch_first and flags.dim() == 2:
        flags = flags.transpose(0, 1)
    if flags.shape != x.shape[:2] or flags.dtype != torch.bool:
        raise ShapeError(
            "resets do not fit the input",
            where="resets",
            expected=f"bool, one flag for each of {x.shape[0]} steps of {x.shape[1]} rows",
            got=f"{flags.dtype} for {' x '.join(str(size) for size in flags.shape)}",
        )
    return flags


def plain(fields: Iterable[Tensor]) -> Any:
    """A state as torch has it: ``h``, or ``(h, c)``."""
    found = tuple(fields)
    return found if len(found) > 1 else next(iter(found))
