"""N-gram models: the baselines of a language model.

Interpolated with Witten-Bell weights. With ``c(h, s)`` the count of symbol ``s`` after a history ``h`` of n -
1 symbols, ``C(h)`` the count of the history and ``D(h)`` the number of different symbols seen after it,

    p_n(s | h) = (c(h, s) + D(h) p_{n-1}(s | shorter h)) / (C(h) + D(h)),      p_0 = 1 / V

and ``p_n = p_{n-1}`` after a history never seen.

Source: Witten and Bell 1991, "The zero-frequency problem", method C, interpolated as in Chen and Goodman
1998.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_ORDER = 5


@dataclass(frozen=True)
class _Level:
    """What one order counted; ``histories`` and ``events`` are sorted keys.

    A history's key is ``index of its newer part * V + its oldest symbol``, an event's ``index of its history
    * V + symbol``.
    """

    histories: np.ndarray
    events: np.ndarray
    counts: np.ndarray
    totals: np.ndarray
    kinds: np.ndarray


class NGram:
    """Counts of all orders 1 to 5, and the probabilities that follow from them.

    Args:
        ids: training symbols ``[N]``, integers below ``size``; documents stand one after another, each behind
            ``border``.
        size: number of symbols V.
        border: the symbol that stands before a document.

    Example:
        >>> model = NGram(np.array([1, 2, 1, 2, 1, 2]), size=3, border=0)
        >>> p = model.probabilities(np.array([1, 2]))
        >>> bool(p[2][1] > p[1][1])     # that 2 follows 1 is no surprise to order 2
        True
    """

    def __init__(self, ids: np.ndarray, *, size: int, border: int) -> None:
        self.size, self.border = size, border
        self._levels: list[_Level] = []
        history = np.zeros(len(ids), np.int64)
        for order in range(1, MAX_ORDER + 1):
            keys = self._keys(ids, order, history)
            histories, history = np.unique(keys, return_inverse=True)
            self._levels.append(_count(histories, history, ids, size))

    def probabilities(self, ids: np.ndarray) -> dict[int, np.ndarray]:
        """``p(symbol | history)`` of every symbol of ``ids [M]``, by order, each ``[M]`` float64."""
        answer: dict[int, np.ndarray] = {}
        p = np.full(len(ids), 1.0 / self.size)
        history = np.zeros(len(ids), np.int64)
        for order, level in enumerate(self._levels, start=1):
            history = _find(level.histories, np.where(history < 0, -1, self._keys(ids, order, history)))
            seen = history >= 0
            event = _find(level.events, np.where(seen, history * self.size + ids, -1))
            count = np.where(event >= 0, level.counts[event], 0)
            total, kinds = level.totals[history], level.kinds[history]
            p = np.where(seen, (count + kinds * p) / (total + kinds), p)
            answer[order] = p
        return answer

    def _keys(self, ids: np.ndarray, order: int, newer: np.ndarray) -> np.ndarray:
        """Keys of the histories of ``order - 1`` symbols, from the indices of those one symbol shorter."""
        if order == 1:
            return newer
        oldest = np.concatenate([np.full(order - 1, self.border), ids])[: len(ids)]
        return newer * self.size + oldest


def _count(histories: np.ndarray, history: np.ndarray, ids: np.ndarray, size: int) -> _Level:
    events, counts = np.unique(history * size + ids, return_counts=True)
    owner = events // size
    totals = np.bincount(owner, weights=counts, minlength=len(histories))
    return _Level(histories, events, counts, totals, np.bincount(owner, minlength=len(histories)))


def _find(table: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Index of every key in the sorted ``table``, -1 where it is not there."""
    at = np.minimum(np.searchsorted(table, keys), len(table) - 1)
    return np.where(table[at] == keys, at, -1)
