"""Characters and words as ids."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np

from hiddenstate.errors import DataError, OptionError, SpecError

from .base import Codec, Fields, not_fitted

UNKNOWN_CHARACTER = "\ufffd"
UNKNOWN_WORD = "\ufffd"
CLOSING = frozenset(".,;:!?)]}%…")
"""Punctuation that joins the word before it when words are put together."""

SPLITS = ("words", "spaces")


class _Vocabulary(Codec):
    """Symbols in the order of their ids; id 0 stands for every symbol that is not listed."""

    unknown: str
    symbols_: list[str] | None = None
    _ids: dict[str, int]

    @property
    def size(self) -> int:
        """Number of ids, the one for unknown symbols included."""
        return len(self._symbols()) + 1

    def encode_one(self, value: str) -> int:
        """The id of one symbol, 0 when it is unknown."""
        self._symbols()
        return self._ids.get(value, 0)

    def decode_one(self, item: int) -> str:
        """The symbol of one id.

        Raises:
            DataError: there is no such id.
        """
        symbols = self._symbols()
        if not 0 <= int(item) <= len(symbols):
            raise DataError("no such id", expected=f"0 to {len(symbols)}", got=int(item))
        return symbols[int(item) - 1] if item else self.unknown

    def _symbols(self) -> list[str]:
        if self.symbols_ is None:
            raise not_fitted(self)
        return self.symbols_

    def _learn(self, symbols: list[str]) -> None:
        self.symbols_ = list(symbols)
        self._ids = {symbol: id for id, symbol in enumerate(symbols, 1)}

    def _encoded(self, symbols: Iterable[str]) -> np.ndarray:
        self._symbols()
        return np.array([self._ids.get(symbol, 0) for symbol in symbols], dtype=np.int64)


class Characters(_Vocabulary):
    """Text as one id for each character (Unicode code point); decoding gives the same text back.

    Attributes:
        symbols_: the characters of the training text, sorted; the first has id 1. An unknown one is 0 and
            decodes to U+FFFD.

    Example:
        >>> codec = Characters().fit("abba")
        >>> codec.encode("abc").tolist(), codec.decode([2, 1, 0])
        ([1, 2, 0], 'ba\ufffd')
    """

    kind = "characters"
    unknown = UNKNOWN_CHARACTER

    def fit(self, texts: str | Iterable[str]) -> Characters:
        """Learn the characters of a text, or of many.

        Raises:
            DataError: there is no character.
        """
        seen: set[str] = set()
        for text in _several(texts):
            seen.update(text)
        if not seen:
            raise DataError("no text to learn from", expected="at least one character")
        self._learn(sorted(seen))
        return self

    def encode(self, values: str) -> np.ndarray:
        """A text as ids, int64 ``[T]``."""
        return self._encoded(values)

    def decode(self, array: Iterable[int]) -> str:
        """Ids as a text."""
        return "".join(self.decode_one(item) for item in array)

    def to_json(self) -> dict[str, Any]:
        """The characters in the order of their ids."""
        return {"kind": self.kind, "symbols": list(self._symbols())}

    @classmethod
    def read_json(cls, data: Fields) -> Characters:
        """See `Codec`."""
        codec = cls()
        codec._learn(data.texts("symbols"))
        return codec


class Words(_Vocabulary):
    """Text as one id for each word, punctuation mark and line break.

    Args:
        split: "words": runs of letters, digits and marks of any script, with apostrophes inside ("don't");
            any other visible character is a word of its own. "spaces": whatever stands between white space,
            for text that is already cut into words. A line break is a word in both.
        lower: whether capital and small letters are one.
        max_size: most frequent words to keep, all others are unknown; ties go in the order of the alphabet.

    Attributes:
        symbols_: the words, most frequent first; the first has id 1. An unknown one is 0 and decodes to
            U+FFFD.

    Example:
        >>> codec = Words(lower=True).fit("The cat. The dog!")
        >>> codec.encode("the Bird.").tolist(), codec.decode(codec.encode("The cat."))
        ([1, 0, 3], 'the cat.')
    """

    kind = "words"
    unknown = UNKNOWN_WORD

    def __init__(self, *, split: str = "words", lower: bool = False, max_size: int = 20_000) -> None:
        if split not in SPLITS:
            raise OptionError("unknown way to split", where="split", expected=f"one of {SPLITS}", got=split)
        if max_size < 1:
            raise OptionError(
                "a vocabulary needs words", where="max_size", expected="1 or more", got=max_size
            )
        self.split = split
        self.lower = lower
        self.max_size = max_size

    def fit(self, texts: str | Iterable[str]) -> Words:
        """Learn the words of a text, or of many.

        Raises:
            DataError: there is no word.
        """
        counts: Counter[str] = Counter()
        for text in _several(texts):
            counts.update(self.tokens(text))
        if not counts:
            raise DataError("no text to learn from", expected="at least one word")
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        self._learn([word for word, _ in ranked[: self.max_size]])
        return self

    def tokens(self, text: str) -> list[str]:
        """The words of a text, before they become ids."""
        words = _pattern(self.split).findall(text)
        return [word.lower() for word in words] if self.lower else words

    def encode(self, values: str) -> np.ndarray:
        """A text as ids, int64 ``[T]``."""
        return self._encoded(self.tokens(values))

    def decode(self, array: Iterable[int]) -> str:
        """Ids as a text: spaces between words, none at line breaks nor ("words") before . , ! etc."""
        text = ""
        for word in (self.decode_one(item) for item in array):
            glued = word == "\n" or text.endswith("\n") or (self.split == "words" and word in CLOSING)
            text += word if glued or not text else " " + word
        return text

    def stream(self) -> WordStream:
        """A reader that takes text in pieces of any size."""
        self._symbols()
        return WordStream(self)

    def to_json(self) -> dict[str, Any]:
        """The words in the order of their ids, and how text is split."""
        return {
            "kind": self.kind,
            "split": self.split,
            "lower": self.lower,
            "max_size": self.max_size,
            "symbols": list(self._symbols()),
        }

    @classmethod
    def read_json(cls, data: Fields) -> Words:
        """See `Codec`."""
        max_size = data.number("max_size")
        if not (max_size >= 1 and max_size.is_integer()):
            raise SpecError(
                "a codec that cannot be read", where=data.where, expected="max_size 1 or more", got=max_size
            )
        codec = cls(
            split=data.one_of("split", SPLITS), lower=data.take("lower", bool), max_size=int(max_size)
        )
        codec._learn(data.texts("symbols"))
        return codec


class WordStream:
    """Words out of text that arrives in pieces: a word is given once no later character can change it.

    Fed any cutting of a text and then flushed, it gives exactly the ids of the whole text.

    Attributes:
        pending: the text that is not yet given out; a reader with the same pending text goes on from there.

    Example:
        >>> reader = Words().fit("good morning").stream()
        >>> reader.feed("good mor"), reader.feed("ning"), reader.flush()
        ([1], [], [2])
    """

    LOOKAHEAD = 2
    """An apostrophe joins words if a letter follows: the two characters after a word decide where it ends."""

    def __init__(self, codec: Words) -> None:
        self.codec = codec
        self.pending = ""

    def feed(self, text: str) -> list[int]:
        """The ids of the words that are certain now."""
        self.pending += text
        ids, end = [], 0
        for match in _pattern(self.codec.split).finditer(self.pending):
            if match.end() + self.LOOKAHEAD > len(self.pending):
                break
            ids.append(self._id(match.group()))
            end = match.end()
        self.pending = self.pending[end:]
        return ids

    def flush(self) -> list[int]:
        """The ids of what is left, at the end of the text."""
        words = self.codec.encode(self.pending).tolist()
        self.pending = ""
        return words

    def _id(self, word: str) -> int:
        return self.codec.encode_one(word.lower() if self.codec.lower else word)


@cache
def _pattern(split: str) -> re.Pattern[str]:
    if split == "spaces":
        return re.compile(r"\S+|\n")
    letter = rf"[\w{_marks()}]"
    return re.compile(rf"{letter}+(?:['\u2019]{letter}+)*|[^\s]|\n")


@cache
def _marks() -> str:
    """Combining marks as a character class: without them words of many scripts would fall apart."""
    codes = [code for code in range(0x300, 0x20000) if unicodedata.category(chr(code))[0] == "M"]
    starts = [code for code in codes if unicodedata.category(chr(code - 1))[0] != "M"]
    ends = [code for code in codes if unicodedata.category(chr(code + 1))[0] != "M"]
    return "".join(f"{chr(start)}-{chr(end)}" for start, end in zip(starts, ends, strict=True))


def _several(texts: str | Iterable[str]) -> Iterable[str]:
    return [texts] if isinstance(texts, str) else (text for text in texts if text is not None)
