"""The scan by the cell's Python step, in operations that torch differentiates to any order.

Where no kernel goes: other devices and dtypes, cells without a kernel, forward-mode derivatives, and the
second derivative of the native scan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import torch
from array_api_compat import torch as xp
from torch import Tensor

from hiddenstate import cells
from hiddenstate.cells import Cell
from hiddenstate.scan import scan_python
from hiddenstate.types import State

from .kernel import Arguments


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
) -> tuple[Tensor, State]:
    """One layer in one direction, one Python call a step. Arguments and results as for ``ops.scan``."""
    return scan_python(
        cell, params, x, state, lengths=lengths, resets=resets, rest=rest, reverse=reverse, xp=xp
    )


def backward(
    d_outputs: Sequence[Tensor | None], arguments: Arguments, cell: str, reverse: bool, needs: Sequence[bool]
) -> list[Tensor]:
    """Gradients of the arguments marked in ``needs``, as a function that can be differentiated again.

    Args:
        d_outputs: gradients of ``y``, ``h_n`` and ``c_n``; None where there is none.
        arguments: those of the scan.
        cell: name of the native kernel whose backward this is.
        reverse: direction of the scan.
        needs: one flag for each differentiable argument.
    """
    found = _cells()[cell]
    wanted = [position for position, need in enumerate(needs) if need]
    seeds = d_outputs[: 1 + len(found.State._fields)]  # c_n is empty where there is no cell state

    def outputs_of(*values: Tensor) -> list[Tensor]:
        outputs = _outputs(Arguments(*_replaced(arguments, wanted, values)), found, reverse)
        return [output for output, seed in zip(outputs, seeds, strict=True) if seed is not None]

    _, pull, *_ = torch.func.vjp(outputs_of, *(arguments[position] for position in wanted))
    return list(pull([seed for seed in seeds if seed is not None]))


def second_backward(
    d_gradients: Sequence[Tensor | None],
    d_outputs: Sequence[Tensor | None],
    arguments: Arguments,
    cell: str,
    reverse: bool,
    needs: Sequence[bool],
) -> list[Tensor | None]:
    """Gradient of ``backward``: what ``d_gradients`` become on ``d_outputs``, then on ``arguments``."""
    values = [*d_outputs, *arguments]
    count = len(values) - 2  # lengths and resets have no gradient
    given = [position for position, value in enumerate(values[:count]) if value is not None]

    def gradients_of(*tensors: Tensor) -> list[Tensor]:
        filled = _replaced(values, given, tensors)
        return backward(filled[:3], Arguments(*filled[3:]), cell, reverse, needs)

    gradients, pull, *_ = torch.func.vjp(gradients_of, *(values[position] for position in given))
    seeds = [torch.zeros_like(g) if d is None else d for g, d in zip(gradients, d_gradients, strict=True)]
    return _replaced([None] * len(values), given, pull(seeds))


def _replaced(values: Sequence, positions: Sequence[int], replacements: Sequence) -> list:
    filled = list(values)
    for position, value in zip(positions, replacements, strict=True):
        filled[position] = value
    return filled


def _outputs(arguments: Arguments, cell: Cell, reverse: bool) -> tuple[Tensor, ...]:
    """``y``, ``h_n`` and, for an LSTM, ``c_n``."""
    params = {name: value for name, value in arguments.params.items() if value is not None}
    y, state = scan(
        cell, params, arguments.x, _record(cell, arguments.h0, arguments.c0),
        lengths=arguments.lengths, resets=arguments.resets,
        rest=_record(cell, arguments.rest_h, arguments.rest_c), reverse=reverse,
    )  # fmt: skip
    return y, *state


def _record(cell: Cell, *fields: Tensor | None) -> State | None:
    used = fields[: len(cell.State._fields)]
    return None if used[0] is None else cell.State(*used)


@cache
def _cells() -> dict[str, Cell]:
    """Cells by the names of their native kernels."""
    return {cell.native: cell for name in cells.names() for cell in cells.variants(name) if cell.native}
