"""How the operators meet ``torch.func.vmap``: rules that say what a mapped axis means for a scan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .kernel import TAPE, Arguments

_N = len(Arguments._fields)


def scan_rule(scan: Callable) -> Callable:
    """The rule of ``hiddenstate::scan``: with shared weights the mapped axis joins the batch."""

    def rule(info: Any, in_dims: tuple, *inputs: Any) -> tuple[tuple, tuple]:
        dims = dict(zip(Arguments._fields, in_dims, strict=False))
        arguments = Arguments(*inputs[:_N])
        mapped = {name for name, dim in dims.items() if dim is not None}
        shared = not mapped - {"x", "h0", "c0", "resets"} and arguments.lengths is None
        if not shared or inputs[-1] > 0:  # borders of segments do not lie row by row
            return one_by_one(scan, info.batch_size, in_dims, inputs)
        return _folded(scan, info.batch_size, dims, arguments, *inputs[_N:])

    return rule


def backward_rule(scan_backward: Callable) -> Callable:
    """The rule of ``hiddenstate::scan_backward``: every element has weight gradients of its own."""

    def rule(info: Any, in_dims: tuple, *inputs: Any) -> tuple[tuple, tuple]:
        return one_by_one(scan_backward, info.batch_size, in_dims, inputs)

    return rule


def one_by_one(op: Callable, size: int, in_dims: tuple, inputs: tuple) -> tuple:
    """One call for each element of the mapped axis; outputs stacked."""

    def element(index: int) -> list:
        return [
            value.select(dim, index) if isinstance(dim, int) else value
            for dim, value in zip(in_dims, inputs, strict=True)
        ]

    results = [op(*element(index)) for index in range(size)]
    kind = type(results[0])
    columns = [torch.stack(column) for column in zip(*results, strict=True)]
    return kind(columns), kind([0] * len(columns))


def _folded(
    scan: Callable,
    size: int,
    dims: dict[str, int | None],
    arguments: Arguments,
    cell: str,
    reverse: bool,
    keep: int,
) -> tuple[tuple, tuple]:
    """One call with ``size * B`` rows."""

    def join(name: str, rows: int) -> Tensor | None:
        """Puts the mapped axis in front of the axis of rows and merges the two."""
        value, dim = getattr(arguments, name), dims[name]
        if value is None:
            return None
        value = value.unsqueeze(rows) if dim is None else value.movedim(dim, rows)
        shape = list(value.shape)
        shape[rows] = size
        return value.expand(shape).flatten(rows, rows + 1)

    rows = {"x": 1, "h0": 0, "c0": 0, "resets": 1}
    joined = arguments._replace(**{name: join(name, axis) for name, axis in rows.items()})
    y, h_n, c_n, tape = scan(*joined, cell, reverse, keep)
    time, batch = y.shape[0], y.shape[1] // size
    if keep == TAPE:  # rows are stored step by step; those of one element must lie together
        tape = tape.unflatten(0, (time, size, batch)).movedim(1, 0).flatten(1, 2)
    c_n = c_n.unflatten(0, (size, batch)) if cell == "lstm" else c_n
    outputs = y.unflatten(1, (size, batch)), h_n.unflatten(0, (size, batch)), c_n, tape
    return outputs, (1, 0, 0 if cell == "lstm" else None, 0 if keep == TAPE else None)
