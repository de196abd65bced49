"""What a bundle says about its training: data, seed, metrics, time, versions."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from hiddenstate.version import __version__

if TYPE_CHECKING:
    from hiddenstate.train import Report


def make(data: Mapping[str, Any], *, seed: int, report: Report) -> dict[str, Any]:
    """The card of a training that just ended; metrics are added by the task."""
    versions = {"hiddenstate": __version__, "python": platform.python_version(), "numpy": np.__version__}
    return {
        "data": dict(data),
        "seed": int(seed),
        "training": asdict(report),
        "versions": {**versions, "torch": metadata.version("torch")},
    }


def digest(values: Iterable[Any]) -> str:
    """SHA-256 of arrays, texts and numbers in order: two trainings with one digest saw the same data.

    Example:
        >>> digest(["a", np.arange(3)])[:8] == digest(["a", np.arange(3)])[:8]
        True
    """
    total = hashlib.sha256()
    for value in values:
        array = np.asarray(value)
        if array.dtype == object:
            parts = [b"\x00" if item is None else str(item).encode() for item in array.ravel().tolist()]
            data = b"".join(len(part).to_bytes(8, "little") + part for part in parts)
        else:
            data = np.ascontiguousarray(array).tobytes()
        header = f"{array.dtype.str}{array.shape}".encode()
        total.update(len(header).to_bytes(8, "little") + header + data)
    return total.hexdigest()
