"""Honest probabilities: one temperature for all logits, fitted on sequences that were not trained on."""

from __future__ import annotations

import numpy as np

from hiddenstate.tasks.softmax import log_softmax

LOWEST, HIGHEST = 0.05, 20.0


def fit_temperature(logits: np.ndarray, y: np.ndarray) -> float:
    """The temperature with the smallest mean negative log likelihood.

    Found by golden-section search over its logarithm. The labels are smoothed as if one more sequence had
    been seen that belonged to every class alike: a few right answers are no proof of certainty.

    Args:
        logits: ``[n, K]``.
        y: class indices ``[n]``.

    Source: Guo et al. 2017, "On calibration of modern neural networks"; smoothing after Platt 1999.
    """
    count, classes = logits.shape
    target = (count * np.eye(classes)[y] + 1 / classes) / (count + 1)

    def loss(log_t: float) -> float:
        return -float(np.mean(np.sum(target * log_softmax(logits, temperature=float(np.exp(log_t))), axis=1)))

    ratio = (5**0.5 - 1) / 2
    low, high = np.log(LOWEST), np.log(HIGHEST)
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > 1e-4:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = loss(right)
    return float(np.exp((low + high) / 2))
