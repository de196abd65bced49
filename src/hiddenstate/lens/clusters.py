"""States put into groups: by nearness, or by the cell of a grid that they lie in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RESTARTS = 3
ROUNDS = 50


@dataclass(frozen=True, eq=False)
class Means:
    """Groups around means (k-means).

    Attributes:
        centres: ``[K, S]``.
    """

    centres: np.ndarray

    def of(self, points: np.ndarray) -> np.ndarray:
        """Number of the group of every point, ``[N]``."""
        return distances(points, self.centres).argmin(axis=1)


@dataclass(frozen=True, eq=False)
class Grid:
    """Groups by the interval that each value lies in, one group for every cell that was met.

    Attributes:
        low: lowest value met of each entry, ``[S]``.
        width: of the intervals, ``[S]``.
        cells: cells met, ``[K, S]``; a point in another cell goes to the nearest.
    """

    low: np.ndarray
    width: np.ndarray
    cells: np.ndarray

    def of(self, points: np.ndarray) -> np.ndarray:
        """Number of the group of every point, ``[N]``."""
        return distances(_cells(points, self.low, self.width), self.cells).argmin(axis=1)


def distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Squared distances ``[N, K]``."""
    squares = (points**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1)
    return squares - 2 * points @ centres.T


def k_means(points: np.ndarray, count: int, *, seed: int = 0) -> Means:
    """``count`` groups with small distances to their means; the best of a few starts.

    Source: Lloyd (1982); starts by Arthur and Vassilvitskii, k-means++ (2007).

    Example:
        >>> made = k_means(np.array([[0.0], [0.1], [5.0], [5.1]]), 2)
        >>> sorted(made.centres.ravel().round(2).tolist())
        [0.05, 5.05]
    """
    rng = np.random.default_rng(seed)
    best, least = points[:1], np.inf
    for _ in range(RESTARTS):
        centres = _spread(points, count, rng)
        for _ in range(ROUNDS):
            nearest = distances(points, centres).argmin(axis=1)
            members = np.eye(len(centres))[nearest]
            sizes = members.sum(axis=0)
            moved = np.where(sizes[:, None] > 0, members.T @ points / np.maximum(sizes, 1)[:, None], centres)
            if np.array_equal(moved, centres):
                break
            centres = moved
        total = float(distances(points, centres).min(axis=1).sum())
        if total < least:
            best, least = centres, total
    return Means(best)


def _spread(points: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Starting centres far from one another; fewer when the points coincide."""
    chosen = [int(rng.integers(len(points)))]
    for _ in range(1, min(count, len(points))):
        away = np.maximum(distances(points, points[chosen]).min(axis=1), 0)
        away[away < 1e-12] = 0
        if not away.any():
            break
        chosen.append(int(rng.choice(len(points), p=away / away.sum())))
    return points[chosen]


def grid(points: np.ndarray, levels: int) -> Grid:
    """Every entry cut into ``levels`` intervals of equal width over the range that was met.

    Source: Omlin and Giles, Extraction of rules from discrete-time recurrent neural networks (1996).
    """
    low = points.min(axis=0)
    span = points.max(axis=0) - low
    width = np.where(span > 0, span / levels, 1.0)
    return Grid(low, width, np.unique(_cells(points, low, width), axis=0))


def _cells(points: np.ndarray, low: np.ndarray, width: np.ndarray) -> np.ndarray:
    """The highest value met belongs to the interval below it."""
    return np.ceil((points - low) / width - 1e-9).clip(min=1)
