"""The symbols of a language model: characters or words, the unknown one, and the end of a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hiddenstate import codecs
from hiddenstate.codecs import Characters, Words

END = "<end>"
UNKNOWN = "<unknown>"


class Vocabulary:
    """Symbols as ids: 0 any unknown symbol, then those of the training text, last the end of a document.

    Args:
        codec: fitted, of characters or words.
    """

    def __init__(self, codec: Characters | Words) -> None:
        self.codec = codec
        self.end = codec.size
        self.size = codec.size + 1

    @classmethod
    def fit(cls, documents: Sequence[str], *, level: str, limit: int) -> Vocabulary:
        """Learns the symbols of the documents; of words only the ``limit`` most frequent."""
        codec = Characters() if level == "char" else Words(max_size=limit)
        return cls(codec.fit(documents))

    @property
    def symbols(self) -> list[str]:
        """The symbol of every id."""
        return [UNKNOWN, *(self.codec.symbols_ or ()), END]

    @property
    def one(self) -> str:
        """What a step is, for messages."""
        return "one character" if isinstance(self.codec, Characters) else "one word"

    def encode(self, text: str) -> np.ndarray:
        """A text as ids, int64 ``[T]``."""
        return self.codec.encode(text)

    def split(self, text: str) -> list[str]:
        """A text as the symbols that a stream takes one by one."""
        return list(text) if isinstance(self.codec, Characters) else self.codec.tokens(text)

    def text_of(self, symbol: int, *, after: int | None) -> str:
        """What a symbol adds to a text that ends in ``after``: a word may need a space before it."""
        if after is None:
            return self.codec.decode([symbol])
        return self.codec.decode([after, symbol])[len(self.codec.decode([after])) :]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return self.codec.to_json()

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Vocabulary:
        """The vocabulary that ``to_json`` described."""
        return cls(codecs.from_json(found))
