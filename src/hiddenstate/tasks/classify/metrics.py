"""How good a classification is: accuracy, macro F1, log loss, and a row of figures per class."""

from __future__ import annotations

from typing import Any

import numpy as np

SMALLEST = 1e-15
"""Probabilities are clipped here before their logarithm: a certain mistake costs 34.5 nats, not infinity."""


def accuracy(truth: np.ndarray, guess: np.ndarray) -> float:
    """Share of equal labels.

    Args:
        truth: labels ``[n]``.
        guess: labels ``[n]``.
    """
    return float(np.mean(truth == guess))


def class_table(truth: np.ndarray, guess: np.ndarray) -> list[dict[str, Any]]:
    """Precision, recall, F1 and count of every class that occurs in ``truth`` or ``guess``.

    Precision is the share of right answers among those that named the class, recall the share of the class
    that was found; a ratio over nothing is 0.

    Example:
        >>> class_table(np.array(["a", "a", "b"]), np.array(["a", "b", "b"]))[0]
        {'class': 'a', 'precision': 1.0, 'recall': 0.5, 'f1': 0.6666666666666666, 'count': 2}
    """
    rows = []
    for label in np.unique(np.concatenate([truth, guess])):
        hits = int(np.sum((truth == label) & (guess == label)))
        named, there = int(np.sum(guess == label)), int(np.sum(truth == label))
        rows.append(
            {
                "class": label.item() if isinstance(label, np.generic) else label,
                "precision": hits / named if named else 0.0,
                "recall": hits / there if there else 0.0,
                "f1": 2 * hits / (named + there),
                "count": there,
            }
        )
    return rows


def macro_f1(truth: np.ndarray, guess: np.ndarray) -> float:
    """Mean F1 over classes, each counted alike however rare it is."""
    return float(np.mean([row["f1"] for row in class_table(truth, guess)]))


def log_loss(truth: np.ndarray, proba: np.ndarray, classes: np.ndarray) -> float:
    """Mean of ``-ln p(true class)`` in nats.

    Args:
        truth: labels ``[n]``; a label not in ``classes`` has probability 0 (clipped to ``SMALLEST``).
        proba: probabilities ``[n, K]``, rows summing to 1.
        classes: labels of the columns ``[K]``, sorted.
    """
    column = np.clip(np.searchsorted(classes, truth), 0, len(classes) - 1)
    known = classes[column] == truth
    p = np.where(known, proba[np.arange(len(truth)), column], 0.0)
    return float(-np.mean(np.log(np.clip(p, SMALLEST, 1.0))))


def summary(truth: np.ndarray, proba: np.ndarray, classes: np.ndarray) -> dict[str, float]:
    """Accuracy, macro F1 and log loss of the probabilities ``proba [n, K]``."""
    guess = classes[np.argmax(proba, axis=1)]
    return {
        "accuracy": accuracy(truth, guess),
        "macro_f1": macro_f1(truth, guess),
        "log_loss": log_loss(truth, proba, classes),
    }
