"""What every codec does, and how its JSON is read: nothing in a file is believed before it is checked."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from hiddenstate.errors import DataError, NotFittedError, SpecError

MAX_ENTRIES = 1 << 24
"""Largest vocabulary or number of series in a codec; more in a file is a damaged or hostile file."""


class Codec(ABC):
    """Raw values to arrays and back.

    A codec is fitted once, on training values, and plain data from then on (`to_json`). Element by element
    (`encode_one`) it gives exactly the bits it gives for a whole array (`encode`).
    """

    kind: ClassVar[str]

    @property
    @abstractmethod
    def size(self) -> int:
        """Numbers an encoded value takes, or for ids, how many there are."""

    @abstractmethod
    def encode(self, values: Any) -> Any:
        """Values as an array."""

    @abstractmethod
    def decode(self, array: Any) -> Any:
        """The values an array stands for."""

    @abstractmethod
    def encode_one(self, value: Any) -> Any:
        """One value, as `encode` gives it."""

    @abstractmethod
    def decode_one(self, item: Any) -> Any:
        """One value, as `decode` gives it."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Everything fitted, as plain data that `codecs.from_json` reads back to the last bit."""

    @classmethod
    @abstractmethod
    def read_json(cls, data: Fields) -> Codec:
        """The codec that `to_json` described."""


class Fields:
    """The fields of a JSON object, each checked when it is taken.

    Args:
        data: the object.
        where: what messages call it.
    """

    def __init__(self, data: dict[str, Any], where: str) -> None:
        self.data = data
        self.where = where

    def take(self, name: str, *types: type) -> Any:
        """A field of one of these types.

        Raises:
            SpecError: it is missing or of another type.
        """
        value = self.data.get(name)
        if name not in self.data or type(value) not in types:
            expected = f"{name} of type {' or '.join(cls.__name__ for cls in types)}"
            raise SpecError(
                "a codec that cannot be read", where=self.where, expected=expected, got=repr(value)[:60]
            )
        return value

    def number(self, name: str, value: Any = None) -> float:
        """A finite number: the field ``name``, or ``value`` when given (``name`` is for messages then)."""
        found = self.take(name, int, float) if value is None else value
        if type(found) not in (int, float) or not -sys.float_info.max <= found <= sys.float_info.max:
            raise SpecError(
                "a codec that cannot be read",
                where=self.where,
                expected=f"{name} finite",
                got=repr(found)[:60],
            )
        return float(found)

    def texts(self, name: str) -> list[str]:
        """A list of different texts."""
        values = self.take(name, list)
        if len(values) > MAX_ENTRIES or not all(isinstance(value, str) for value in values):
            raise SpecError(
                "a codec that cannot be read", where=self.where, expected=f"{name}: a list of texts"
            )
        if len(set(values)) != len(values):
            raise SpecError(
                "a codec that cannot be read", where=self.where, expected=f"{name} without repeats"
            )
        return values

    def one_of(self, name: str, choices: tuple[str, ...]) -> str:
        """A text out of ``choices``."""
        value = self.take(name, str)
        if value not in choices:
            raise SpecError(
                "a codec that cannot be read", where=self.where, expected=f"{name} in {choices}", got=value
            )
        return value


def number_of(value: Any) -> float:
    """One raw value as a finite float; None, NaN and "" are NaN; text is read as the number it spells.

    Raises:
        DataError: it is no number, or infinite.
    """
    if value is None or value == "":
        return math.nan
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise DataError("not a number", expected="a number", got=repr(value)[:60]) from error
    if math.isinf(number):
        raise DataError("infinite value", expected="finite numbers", got=repr(value))
    return number


def text_of(value: Any) -> str | None:
    """One raw value as text, None when missing; whole numbers without a fraction: 7.0 is "7"."""
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, np.generic):
        value = value.item()
    if value != value:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value) or None


def not_fitted(codec: Codec) -> NotFittedError:
    """The error of a codec that is used before ``fit``."""
    return NotFittedError("a codec that has seen no data", where=type(codec).__name__, fix="Call fit first")
