"""Which sequences are held back to watch the training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hiddenstate import data
from hiddenstate.tasks.cards import digest

FEWEST = 10
"""Fewer sequences than this say nothing; then none is held back, and training goes by its own loss."""


def held_back(
    items: Sequence[Any], y: np.ndarray, groups: np.ndarray | None, *, share: float | None, seed: int
) -> np.ndarray:
    """Marks the sequences to hold back.

    Args:
        items: the sequences.
        y: class indices ``[n]``; without groups every class has its share held back.
        groups: ``[n]``; the sequences of a group (a speaker, a patient) stay together. None: no groups.
        share: part of the sequences; None: none.
        seed: of the draw.

    Returns:
        bool ``[n]``; nowhere True if that would hold back fewer than ``FEWEST``. A sequence that occurs in
        the training part as well is never held back: its answer is known.
    """
    marked = np.zeros(len(y), bool)
    if share is None or share * len(y) < FEWEST:
        return marked
    labels = y if groups is None else None
    marked[data.split(len(y), validation=share, seed=seed, labels=labels, groups=groups).validation] = True
    prints = np.array([digest([item]) for item in items])
    marked &= ~np.isin(prints, prints[~marked])
    return marked if marked.sum() >= FEWEST else np.zeros(len(y), bool)
