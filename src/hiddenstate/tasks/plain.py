"""Parameters as JSON and back: tuples stay tuples, and keys of dicts keep their type."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np


def to_plain(value: Any) -> Any:
    """A value made of JSON types only.

    Example:
        >>> from_plain(to_plain({"levels": (0.1, 0.9), "weights": {0: 1.0, 1: 5.0}}))
        {'levels': (0.1, 0.9), 'weights': {0: 1.0, 1: 5.0}}
    """
    if isinstance(value, Mapping):
        return {"dict": [[to_plain(key), to_plain(item)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [to_plain(item) for item in value]}
    if isinstance(value, (list, np.ndarray)):
        return [to_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def from_plain(value: Any) -> Any:
    """The value that ``to_plain`` was given (arrays come back as lists, paths as text)."""
    if isinstance(value, Mapping):
        if "tuple" in value:
            return tuple(from_plain(item) for item in value["tuple"])
        return {from_plain(key): from_plain(item) for key, item in value["dict"]}
    return [from_plain(item) for item in value] if isinstance(value, list) else value
