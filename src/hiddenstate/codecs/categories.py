"""Categories: a fixed list of known values as whole numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from hiddenstate.errors import DataError, OptionError

from .base import Codec, Fields, not_fitted, text_of

UNKNOWN = ("index", "error")


class Categories(Codec):
    """Values out of a list, as ids. Values are compared as text, so that 7, 7.0 and "7" are one category.

    Args:
        unknown: "index": id 0 stands for every value that was not seen, and for a missing one; "error":
            there is no such id (for labels), and an unseen value is a `DataError`.

    Attributes:
        known_: the categories, sorted; the first has id 1 ("index") or 0 ("error").

    Example:
        >>> codec = Categories().fit(["b", "a", "b"])
        >>> codec.encode(["a", "b", "c", None]).tolist(), codec.decode([1, 0]).tolist()
        ([1, 2, 0, 0], ['a', None])
    """

    kind = "categories"

    def __init__(self, *, unknown: str = "index") -> None:
        if unknown not in UNKNOWN:
            raise OptionError("unknown treatment", where="unknown", expected=f"one of {UNKNOWN}", got=unknown)
        self.unknown = unknown
        self.known_: list[str] | None = None
        self._ids: dict[str, int] = {}

    @property
    def size(self) -> int:
        """Number of ids, the reserved one included."""
        return len(self._known()) + self._first

    def fit(self, values: Iterable[Any]) -> Categories:
        """Learn the categories; missing values are none.

        Raises:
            DataError: all values are missing.
        """
        known = sorted({text for text in map(text_of, values) if text is not None})
        if not known:
            raise DataError(
                "a column without any value", expected="at least one category", got="only missing values"
            )
        self._learn(known)
        return self

    def encode(self, values: Iterable[Any]) -> np.ndarray:
        """Ids, int64 ``[N]``."""
        return np.array([self.encode_one(value) for value in values], dtype=np.int64)

    def decode(self, array: Iterable[int]) -> np.ndarray:
        """The categories, an object array ``[N]`` of str, None for the reserved id."""
        items = [self.decode_one(item) for item in array]
        out = np.empty(len(items), dtype=object)
        out[:] = items
        return out

    def encode_one(self, value: Any) -> int:
        """The id of one value."""
        known = self._known()
        id = self._ids.get(text_of(value) or "", -1)
        if id >= 0:
            return id
        if self.unknown == "index":
            return 0
        shown = ", ".join(map(repr, known[:10])) + (", ..." if len(known) > 10 else "")
        raise DataError("an unknown category", expected=f"one of {shown}", got=repr(value)[:60])

    def decode_one(self, item: int) -> str | None:
        """The category of one id.

        Raises:
            DataError: there is no such id.
        """
        known = self._known()
        if not 0 <= int(item) < self.size:
            raise DataError("no such id", expected=f"0 to {self.size - 1}", got=int(item))
        return None if int(item) < self._first else known[int(item) - self._first]

    def unseen(self, values: Iterable[Any]) -> list[str]:
        """The different values that are not known, sorted (missing ones left out)."""
        return sorted({text for text in map(text_of, values) if text is not None and text not in self._ids})

    def to_json(self) -> dict[str, Any]:
        """The known categories in the order of their ids."""
        return {"kind": self.kind, "unknown": self.unknown, "known": list(self._known())}

    @classmethod
    def read_json(cls, data: Fields) -> Categories:
        """See `Codec`."""
        codec = cls(unknown=data.one_of("unknown", UNKNOWN))
        codec._learn(data.texts("known"))
        return codec

    @property
    def _first(self) -> int:
        return 1 if self.unknown == "index" else 0

    def _known(self) -> list[str]:
        if self.known_ is None:
            raise not_fitted(self)
        return self.known_

    def _learn(self, known: list[str]) -> None:
        self.known_ = list(known)
        self._ids = {text: id for id, text in enumerate(known, self._first)}
