"""Nested records of tensors: the carried states of a job, and batches on their way into torch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hiddenstate.errors import StateError


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same nesting of dicts, lists and (named) tuples with ``function`` applied to what is inside."""
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


def flatten(tree: Any) -> tuple[Any, list[Tensor]]:
    """A tree as JSON-able outline and the tensors in it, in order.

    Raises:
        StateError: on something inside that is neither a tensor nor a plain JSON value.
    """
    found: list[Tensor] = []
    return _outline(tree, found), found


def _outline(tree: Any, found: list[Tensor]) -> Any:
    if isinstance(tree, Tensor):
        found.append(tree)
        return {"tensor": len(found) - 1, "device": str(tree.device)}
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return {"value": tree}
    if isinstance(tree, Mapping):
        return {"dict": [[key, _outline(value, found)] for key, value in tree.items()]}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        cls = type(tree)
        items = [_outline(value, found) for value in tree]
        return {"record": [cls.__module__, cls.__qualname__], "items": items}
    if isinstance(tree, (list, tuple)):
        return {"list" if isinstance(tree, list) else "tuple": [_outline(value, found) for value in tree]}
    raise StateError(
        "a carried state cannot be saved",
        expected="tensors and plain values in dicts, lists, tuples or named tuples",
        got=type(tree).__name__,
    )


def unflatten(outline: Any, found: Sequence[Tensor]) -> Any:
    """The tree that ``flatten`` took apart."""
    if "tensor" in outline:
        return found[outline["tensor"]].to(outline["device"])
    if "value" in outline:
        return outline["value"]
    if "dict" in outline:
        return {key: unflatten(value, found) for key, value in outline["dict"]}
    if "record" in outline:
        cls = _record_class(*outline["record"])
        return cls(*(unflatten(value, found) for value in outline["items"]))
    kind = list if "list" in outline else tuple
    return kind(unflatten(value, found) for value in outline[kind.__name__])


def _record_class(module: str, name: str) -> Any:
    """A named tuple the program has already loaded; a file must not make anything else run."""
    cls = getattr(sys.modules.get(module), name, None)
    if not (isinstance(cls, type) and issubclass(cls, tuple) and hasattr(cls, "_fields")):
        raise StateError("a carried state is of an unknown type", got=f"{module}.{name}")
    return cls
