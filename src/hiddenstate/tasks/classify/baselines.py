"""What a network has to beat: the most frequent class, and a logistic regression that does not know order.

The regression sees, of a text, which of the most frequent words occur in it; of a numeric sequence, the mean
and the standard deviation of every feature. A network that is no better than this has found nothing in the
order of things.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hiddenstate.tasks.softmax import softmax

NUM_WORDS = 1000
"""Words in the bag: the ones that occur in most training texts."""

MAX_ROWS = 20_000
"""Rows that the regression is fitted on; of a larger training set, rows at an even distance."""

SMALLEST_SPREAD = 1e-6
"""Differences smaller than this, relative to the numbers themselves, are rounding errors, not features."""

_STEPS = 300
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Majority:
    """Class shares of the training set, whatever the input.

    Args:
        shares: probabilities ``[K]``.
    """

    shares: np.ndarray

    def predict_proba(self, rows: int) -> np.ndarray:
        """The shares, ``[rows, K]``."""
        return np.tile(self.shares, (rows, 1))


@dataclass(frozen=True)
class Logistic:
    """Multinomial logistic regression ``p = softmax(x W^T + b)`` over standardised features.

    Args:
        mean: feature means ``[F]``.
        scale: feature standard deviations ``[F]``, 1 for a constant feature.
        weight: ``[K, F]``.
        bias: ``[K]``.
    """

    mean: np.ndarray
    scale: np.ndarray
    weight: np.ndarray
    bias: np.ndarray

    @classmethod
    def fit(cls, x: np.ndarray, y: np.ndarray, num_classes: int, *, l2: float = 1e-3) -> Logistic:
        """Minimises the mean negative log likelihood plus ``l2 / 2 * |W|^2`` by accelerated gradient descent.

        Args:
            x: features ``[n, F]``.
            y: class indices ``[n]``.
            num_classes: K.
            l2: weight decay; the bias has none.
        """
        mean, scale = x.mean(axis=0), x.std(axis=0)
        scale = np.where(scale > SMALLEST_SPREAD * np.abs(x).max(axis=0), scale, 1.0)
        z = np.hstack([(x - mean) / scale, np.ones((len(x), 1))])
        decay = np.r_[np.full(x.shape[1], l2), 0.0]
        step = 1.0 / (0.5 * _largest_eigenvalue(z) / len(z) + l2)
        theta = previous = np.zeros((num_classes, z.shape[1]))
        target = np.eye(num_classes)[y]
        for k in range(_STEPS):
            ahead = theta + k / (k + 3) * (theta - previous)
            grad = (softmax(z @ ahead.T) - target).T @ z / len(z) + decay * ahead
            previous, theta = theta, ahead - step * grad
        return cls(mean, scale, theta[:, :-1], theta[:, -1])

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """Class probabilities ``[n, K]`` of features ``x [n, F]``."""
        return softmax((x - self.mean) / self.scale @ self.weight.T + self.bias)

    def to_json(self) -> dict[str, list]:
        """Plain lists of six digits, which a baseline does not feel."""
        return {key: _rounded(value) for key, value in vars(self).items()}

    @classmethod
    def from_json(cls, data: dict[str, list]) -> Logistic:
        """The regression that ``to_json`` wrote."""
        return cls(**{key: np.asarray(value, np.float64) for key, value in data.items()})


def _rounded(values: np.ndarray) -> list:
    if values.ndim > 1:
        return [_rounded(row) for row in values]
    return [float(f"{value:.6g}") for value in values.tolist()]


def _largest_eigenvalue(z: np.ndarray) -> float:
    """An upper estimate of the largest eigenvalue of ``z^T z``, by power iteration."""
    v = np.full(z.shape[1], z.shape[1] ** -0.5)
    value = 1.0
    for _ in range(30):
        v = z.T @ (z @ v)
        value = float(np.linalg.norm(v)) or 1.0
        v /= value
    return 1.1 * value


def frequent_words(texts: Sequence[str], limit: int = NUM_WORDS) -> list[str]:
    """The ``limit`` words found in most of the texts, most frequent first, ties in alphabetical order."""
    counts = Counter(word for text in texts for word in set(_WORD.findall(text.lower())))
    return sorted(counts, key=lambda word: (-counts[word], word))[:limit]


def bag_of_words(texts: Sequence[str], words: Sequence[str]) -> np.ndarray:
    """Which of ``words`` occur in each text: ``[n, len(words)]`` of 0 and 1."""
    column = {word: index for index, word in enumerate(words)}
    bag = np.zeros((len(texts), len(words)))
    for row, text in enumerate(texts):
        bag[row, [column[word] for word in set(_WORD.findall(text.lower())) if word in column]] = 1.0
    return bag


def moments(sequences: Sequence[np.ndarray]) -> np.ndarray:
    """Mean and standard deviation over time of every feature, ``[n, 2 F]``; missing values are left out.

    Args:
        sequences: arrays ``[T, F]``. A feature without any value counts as 0.
    """
    rows = []
    for x in sequences:
        seen = ~np.isnan(x)
        count = np.maximum(seen.sum(axis=0), 1)
        mean = np.where(seen, x, 0.0).sum(axis=0) / count
        spread = np.sqrt((np.where(seen, x - mean, 0.0) ** 2).sum(axis=0) / count)
        # the mean of a normalised sequence is a rounding error
        mean = np.where(np.abs(mean) > SMALLEST_SPREAD * spread, mean, 0.0)
        rows.append(np.concatenate([mean, spread]))
    return np.array(rows)


@dataclass(frozen=True)
class Baselines:
    """The two baselines of one training set.

    Args:
        majority: class shares.
        logistic: regression over ``bag_of_words`` or ``moments``.
        words: the bag's words; None for numeric sequences.
    """

    majority: Majority
    logistic: Logistic
    words: list[str] | None

    @classmethod
    def fit(cls, sequences: Sequence[Any], y: np.ndarray, num_classes: int) -> Baselines:
        """Fits both on training sequences (strings, or arrays ``[T, F]``) and class indices ``y [n]``."""
        shares = np.bincount(y, minlength=num_classes) / len(y)
        keep = np.linspace(0, len(y) - 1, min(len(y), MAX_ROWS)).astype(int)
        some = [sequences[i] for i in keep]
        words = frequent_words(some) if isinstance(some[0], str) else None
        logistic = Logistic.fit(_features(some, words), y[keep], num_classes)
        return cls(Majority(shares), logistic, words)

    def predict_proba(self, sequences: Sequence[Any]) -> dict[str, np.ndarray]:
        """Probabilities ``[n, K]`` by name of the baseline."""
        name = "bag of words" if self.words is not None else "feature means"
        return {
            "majority class": self.majority.predict_proba(len(sequences)),
            f"logistic regression, {name}": self.logistic.predict_proba(_features(sequences, self.words)),
        }

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        shares = self.majority.shares.tolist()
        return {"shares": shares, "logistic": self.logistic.to_json(), "words": self.words}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Baselines:
        """The baselines that ``to_json`` wrote."""
        majority = Majority(np.asarray(data["shares"], np.float64))
        return cls(majority, Logistic.from_json(data["logistic"]), data["words"])


def _features(sequences: Sequence[Any], words: list[str] | None) -> np.ndarray:
    return moments(sequences) if words is None else bag_of_words(sequences, words)
