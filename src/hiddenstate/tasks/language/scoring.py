"""Figures of a language model, and the baselines they stand beside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .live import BIT
from .ngram import NGram
from .vocabulary import Vocabulary

NGRAM_SYMBOLS = 2_000_000
"""Symbols that the n-grams are counted on, at most."""


def figures(bits: np.ndarray, characters: int) -> dict[str, float]:
    """Bits per character, perplexity and nats per symbol.

    Args:
        bits: surprisal of every symbol ``[T]``.
        characters: characters of the text, white space included.
    """
    nats = float(bits.mean()) * BIT
    return {
        "bits_per_character": float(bits.sum()) / characters,
        "perplexity": float(np.exp(nats)),
        "nats_per_symbol": nats,
    }


def baseline_rows(
    ids: Sequence[np.ndarray],
    characters: int,
    vocabulary: Vocabulary,
    counts: Sequence[int],
    learned: Sequence[np.ndarray],
) -> list[dict[str, Any]]:
    """Rows of the baselines for documents ``ids``.

    Args:
        ids: documents, ``[T]`` each.
        characters: characters of their texts.
        vocabulary: the symbols.
        counts: how often each symbol occurs in the training text ``[V]``.
        learned: documents to count n-grams on; none: no n-grams of higher order.
    """
    size, symbols = vocabulary.size, np.concatenate(ids)
    share = (np.asarray(counts) + 1) / (sum(counts) + size)
    chances = {"uniform": np.full(len(symbols), 1 / size), "symbol frequencies": share[symbols]}
    if learned:
        model = NGram(_joined(learned, vocabulary.end)[:NGRAM_SYMBOLS], size=size, border=vocabulary.end)
        stream = _joined(ids, vocabulary.end)
        found = model.probabilities(stream)
        inside = stream != vocabulary.end
        chances |= {f"{order}-gram": p[inside] for order, p in found.items() if order > 1}
    return [{"model": name} | figures(-np.log2(p), characters) for name, p in chances.items()]


def first_symbol(documents: Sequence[np.ndarray], size: int) -> list[float]:
    """Probabilities of the first symbol of a document, ``[V]``.

    Counted over the documents' first symbols, smoothed with the frequencies of all symbols (one document's
    worth) and of a uniform choice (a hundredth of it). A document is never empty: the end has probability 0
    but for that hundredth.
    """
    starts = np.bincount([document[0] for document in documents], minlength=size)
    every = np.bincount(np.concatenate(documents), minlength=size)
    smooth = 0.99 * every / every.sum() + 0.01 / size
    return ((starts + smooth) / (len(documents) + 1)).tolist()


def _joined(documents: Sequence[np.ndarray], end: int) -> np.ndarray:
    """Documents one after another, each followed by ``end``."""
    return np.concatenate([np.append(document, end) for document in documents])
