"""Forecasts as tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hiddenstate import data

from .history import History
from .layout import Layout


def labels(layout: Layout, history: History, rows: np.ndarray, horizon: int) -> dict[str, np.ndarray]:
    """Id, time stamp and step of forecasts from some rows of a series, ``[O, horizon]`` each."""
    shape = (len(rows), horizon)
    columns: dict[str, np.ndarray] = {}
    if layout.id is not None:
        columns[layout.id] = np.full(shape, history.id, object)
    stamps = history.stamps()
    if layout.time is not None and layout.frequency is not None and stamps is not None:
        columns[layout.time] = np.stack([layout.frequency.advance(stamps[row], horizon) for row in rows])
    return columns | {"step": np.broadcast_to(np.arange(1, horizon + 1), shape)}


def by_target(names: Sequence[str], values: np.ndarray) -> dict[str, np.ndarray]:
    """``[..., K]`` as one array for each target."""
    return {name: values[..., k] for k, name in enumerate(names)}


def table(parts: Sequence[dict[str, np.ndarray]]) -> data.Table:
    """Blocks of columns, one below the other."""
    return data.read({name: np.concatenate([part[name].ravel() for part in parts]) for name in parts[0]})
