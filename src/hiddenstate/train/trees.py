"""Nested records of tensors: the carried states of a job, and batches of numpy arrays on their way into torch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import StateError


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same nesting of dicts, lists, tuples and named tuples with ``function`` applied to what is inside."""
    if isinstance(tree, Mapping):
        return {key: map_leaves(function, value) for key, value in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(map_leaves(function, value) for value in tree))
    if isinstance(tree, (list, tuple)):
        return type(tree)(map_leaves(function, value) for value in tree)
    return function(tree)


def tensors(tree: Any) -> Any:
    """Numpy arrays, nested in any way, as torch tensors that share their memory; anything else is kept.

    Example:
        >>> tensors({"x": np.zeros((3, 2), dtype=np.float32)})["x"].shape
        torch.Size([3, 2])
    """
    return map_leaves(lambda leaf: torch.from_numpy(leaf) if isinstance(leaf, np.ndarray) else leaf, tree)


def arrays(tree: Any) -> Any:
    """Torch tensors, nested in any way, as numpy arrays; anything else is kept."""
    return map_leaves(lambda leaf: leaf.detach().cpu().numpy() if isinstance(leaf, Tensor) else leaf, tree)


def detached(tree: Any) -> Any:
    """The same values, cut off from the graph that made them."""
    return map_leaves(lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, tree)
