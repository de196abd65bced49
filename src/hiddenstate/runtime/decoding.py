"""From the scores of a model to a choice: greedy, temperature, top-k, top-p, with a seed.

The order is fixed: divide by the temperature, softmax, keep the ``top_k`` most likely, rescale, keep the most
likely whose probabilities first add up to ``top_p``, rescale, draw. Among equals the lower index comes first.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hiddenstate.errors import DataError, OptionError
from hiddenstate.types import Array, Float, Int


def distribution(
    logits: Float[Array, "*rows V"],
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[Array, "*rows V"]:
    """Probabilities to draw from.

    Args:
        logits: scores ``[..., V]``; -inf rules a choice out.
        temperature: at least 0; below 1 sharpens, above 1 flattens, 0 puts everything on the highest score.
        top_k: keep at most this many choices, at least 1; None keeps all.
        top_p: keep the fewest most likely choices that hold this share, in (0, 1]; None keeps all.

    Returns:
        Probabilities ``[..., V]``, float64, summing to 1.

    Raises:
        OptionError: an option outside its range.
        DataError: NaN or +inf among the scores, or nothing to choose from.

    Example:
        >>> distribution(np.log([0.5, 0.3, 0.2]), top_k=2)
        array([0.625, 0.375, 0.   ])
    """
    _check_options(temperature, top_k, top_p)
    scores = np.asarray(logits, np.float64)
    if scores.ndim == 0 or scores.shape[-1] == 0:
        raise DataError("no scores to choose from", expected="[..., V]", got=f"shape {list(scores.shape)}")
    highest = scores.max(axis=-1, keepdims=True)
    if not np.isfinite(highest).all():
        got = "NaN, +inf, or nothing but -inf"
        raise DataError("scores to choose from must be numbers", expected="a finite highest score", got=got)
    with np.errstate(over="ignore"):  # what is too far below the highest has probability 0
        scores = (scores - highest) / (temperature or 1.0)
    top_k = 1 if temperature == 0 else top_k
    p = np.exp(scores)
    p /= p.sum(axis=-1, keepdims=True)
    if top_k is None and top_p is None:
        return p
    return _truncated(p, top_k, top_p)


def sample(
    logits: Float[Array, "*rows V"],
    rng: np.random.Generator,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Int[Array, "*rows"]:
    """Draws one choice per row; options as for ``distribution``.

    Each row uses one number of ``rng``, so equal seeds give equal draws.

    Returns:
        Indices ``[...]``, int64.

    Example:
        >>> int(sample(np.array([0.0, 9.0, 1.0]), np.random.default_rng(0), temperature=0))
        1
    """
    p = distribution(logits, temperature=temperature, top_k=top_k, top_p=top_p)
    upper = np.cumsum(p, axis=-1)
    draw = rng.random(p.shape[:-1])[..., None] * upper[..., -1:]
    return np.minimum((upper <= draw).sum(axis=-1), _last_possible(p))


def _truncated(p: np.ndarray, top_k: int | None, top_p: float | None) -> np.ndarray:
    order = np.argsort(-p, axis=-1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=-1)
    if top_k is not None:
        ranked[..., top_k:] = 0
        ranked /= ranked.sum(axis=-1, keepdims=True)
    if top_p is not None:
        before = np.cumsum(ranked, axis=-1) - ranked
        ranked[before >= top_p] = 0
        ranked /= ranked.sum(axis=-1, keepdims=True)
    kept = np.empty_like(p)
    np.put_along_axis(kept, order, ranked, axis=-1)
    return kept


def _last_possible(p: np.ndarray) -> np.ndarray:
    """Index of the last choice with any probability: rounding must not draw one that was ruled out."""
    return p.shape[-1] - 1 - np.argmax(p[..., ::-1] > 0, axis=-1)


def _check_options(temperature: Any, top_k: Any, top_p: Any) -> None:
    if not _number(temperature) or not 0 <= temperature < math.inf:
        raise OptionError("temperature out of range", expected="0 or more", got=repr(temperature))
    if top_k is not None and (
        isinstance(top_k, bool) or not isinstance(top_k, (int, np.integer)) or top_k < 1
    ):
        raise OptionError("top_k out of range", expected="a whole number, 1 or more", got=repr(top_k))
    if top_p is not None and (not _number(top_p) or not 0 < top_p <= 1):
        raise OptionError("top_p out of range", expected="above 0, at most 1", got=repr(top_p))


def _number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
