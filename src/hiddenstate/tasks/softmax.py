"""From logits to probabilities, in one way for batches and for streams."""

from __future__ import annotations

import numpy as np


def log_softmax(logits: np.ndarray, *, temperature: float = 1.0) -> np.ndarray:
    """``l / t - ln sum exp(l / t)`` over the last axis.

    Computed in float64 with the largest logit taken out first; the bits of a row depend on that row alone.

    Args:
        logits: ``[..., K]``.
        temperature: t, above 0.
    """
    scaled = logits.astype(np.float64) / temperature
    scaled = scaled - scaled.max(axis=-1, keepdims=True)
    return scaled - np.log(np.exp(scaled).sum(axis=-1, keepdims=True))


def softmax(logits: np.ndarray, *, temperature: float = 1.0) -> np.ndarray:
    """Probabilities ``exp(l / t) / sum exp(l / t)`` over the last axis."""
    return np.exp(log_softmax(logits, temperature=temperature))
