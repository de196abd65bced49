"""Raw values to arrays and back: numbers, categories, time stamps, characters, words.

Every codec is fitted on training values, encodes arrays (`encode`, `decode`) and single elements of a stream
(`encode_one`, `decode_one`) to the same bits, and is plain data: `to_json`, and `from_json` here.
"""

from __future__ import annotations

from typing import Any

from hiddenstate.errors import SpecError

from .base import Codec, Fields
from .calendar import Calendar
from .categories import Categories
from .filling import ForwardFill
from .numbers import Numbers
from .text import Characters, Words, WordStream

KINDS: dict[str, type[Codec]] = {
    codec.kind: codec for codec in (Numbers, Categories, Calendar, Characters, Words, ForwardFill)
}


def from_json(data: Any) -> Any:
    """The codec that its `to_json` described.

    Raises:
        SpecError: ``data`` does not describe a codec; a file it came from is damaged or of a newer version.

    Example:
        >>> from_json(Categories().fit(["a", "b"]).to_json()).encode_one("b")
        2
    """
    kind = data.get("kind") if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise SpecError(
            "a codec of unknown kind", where="codec", expected=", ".join(KINDS), got=repr(kind)[:60]
        )
    return KINDS[kind].read_json(Fields(data, f"codec {kind!r}"))


__all__ = [
    "Calendar",
    "Categories",
    "Characters",
    "Codec",
    "ForwardFill",
    "Numbers",
    "WordStream",
    "Words",
    "from_json",
]
