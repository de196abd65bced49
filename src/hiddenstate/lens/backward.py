"""Gradients of the blocks without recurrence, beside their forwards in ``hiddenstate.blocks``."""

from __future__ import annotations

from typing import Any

import numpy as np

from hiddenstate import spec
from hiddenstate.blocks import PoolState
from hiddenstate.types import Array

Found = tuple[list[Array], dict[str, Array]]
"""Gradients by the sources, and by the block's own parameters."""


def stateless(block: Any, params: dict[str, Array], sources: list[Array], y: Array, dy: Array) -> Found:
    """The way back through a block that keeps nothing between steps.

    Args:
        block: any block but ``Recurrent`` and ``Pool``.
        params: its parameters, the tied table as ``weight`` included.
        sources: what it read.
        y: what it gave.
        dy: gradient by ``y``.
    """
    x = sources[0]
    if isinstance(block, spec.Linear):
        return _linear(block, params, x, y, dy)
    if isinstance(block, spec.Norm):
        return _norm(params["weight"], x, dy, block.eps)
    if isinstance(block, spec.Embed):
        return [], {"weight": _embed(params["weight"], x, dy)}
    if isinstance(block, spec.Concat):
        edges = np.cumsum([source.shape[-1] for source in sources])[:-1]
        return list(np.split(dy, edges, axis=-1)), {}
    if isinstance(block, spec.Add):
        return [dy] * len(sources), {}
    if isinstance(block, spec.Dropout):
        return [dy], {}
    raise TypeError(f"no gradient for {type(block).__name__}")


def _linear(block: spec.Linear, params: dict[str, Array], x: Array, y: Array, dy: Array) -> Found:
    if block.activation == "tanh":
        dy = dy * (1 - y * y)
    elif block.activation == "relu":
        dy = np.where(y > 0, dy, np.zeros((), dy.dtype))
    rows, d_rows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    found = {"weight": d_rows.T @ rows} | ({"bias": d_rows.sum(axis=0)} if block.bias else {})
    return [dy @ params["weight"]], found


def _embed(weight: Array, ids: Array, dy: Array) -> Array:
    """Sums of the gradients of equal ids, by sorting: many times faster than adding them one by one."""
    table, flat = np.zeros_like(weight), ids.ravel()
    order = np.argsort(flat, kind="stable")
    found, starts = np.unique(flat[order], return_index=True)
    if len(found):
        table[found] = np.add.reduceat(dy.reshape(-1, dy.shape[-1])[order], starts, axis=0)
    return table


def _norm(weight: Array, x: Array, dy: Array, eps: float) -> Found:
    centred = x - x.mean(axis=-1, keepdims=True)
    scale = 1 / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + eps)
    z, dz = centred * scale, dy * weight
    dx = (dz - dz.mean(axis=-1, keepdims=True) - z * (dz * z).mean(axis=-1, keepdims=True)) * scale
    axes = tuple(range(x.ndim - 1))
    return [dx], {"weight": (dy * z).sum(axis=axes), "bias": dy.sum(axis=axes)}


def pool(block: spec.Pool, x: Array, valid: Array, dy: Array, state: PoolState) -> Array:
    """Gradient by the steps ``[T, B, F]`` of one vector per row; a tied maximum goes to its first step.

    Args:
        block: the pool.
        x: the steps.
        valid: which steps count, ``[T, B]``.
        dy: ``[B, F]``.
        state: after the last step: its count is what a mean divided by.
    """
    dx = np.zeros_like(x)
    if block.how == "mean":
        share = dy / np.maximum(state.count, 1)[:, None].astype(dy.dtype)
        return np.where(valid[:, :, None], share, dx)
    rows = np.flatnonzero(valid.any(axis=0))
    if block.how == "last":
        last = valid.sum(axis=0) - 1
        dx[last[rows], rows] = dy[rows]
        return dx
    shown = np.where(valid[:, :, None], x, -np.inf)
    best = np.argmax(shown, axis=0)
    reached = shown.max(axis=0) + 0.0 >= state.value  # a step before this pass may hold the maximum
    np.put_along_axis(dx, best[None], np.where(reached & valid.any(axis=0)[:, None], dy, 0)[None], axis=0)
    return dx
