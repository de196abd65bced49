"""Parameter ranges as data, beside the defaults; error messages and invalid-value tests follow from them.

Example:
    >>> @dataclass(kw_only=True)
    ... class Settings:
    ...     size: int = option(8, Whole(1))
    ...     cell: str = option("gru", OneOf("gru", "lstm"))
    ...     limit: float | None = option(None, Real(0, above=True), OneOf(None))
    >>> check(Settings(size=4))
    >>> check(Settings(size=0))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    hiddenstate.errors.OptionError: parameter out of range (in Settings.size): expected a whole number ...
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from numbers import Integral
from numbers import Real as RealNumber
from typing import Any, Protocol

from .errors import OptionError


class Range(Protocol):
    """A set of allowed values that can say what it is (``str``) and name values outside it."""

    def admits(self, value: Any) -> bool:
        """Whether ``value`` is allowed."""
        ...

    def outside(self) -> list[Any]:
        """Some values that are not allowed, for tests of the messages."""
        ...


@dataclass(frozen=True)
class Whole:
    """Whole numbers from ``low`` to ``high``, both included; True and False are not numbers here."""

    low: int
    high: int | None = None

    def admits(self, value: Any) -> bool:
        """Whether ``value`` is a whole number in the range."""
        if isinstance(value, bool) or not isinstance(value, Integral):
            return False
        return self.low <= int(value) and (self.high is None or int(value) <= self.high)

    def outside(self) -> list[Any]:
        """Below, above, fractional, and not a number."""
        return [self.low - 1, self.low + 0.5, "1", True] + ([] if self.high is None else [self.high + 1])

    def __str__(self) -> str:
        return f"a whole number from {self.low}" + ("" if self.high is None else f" to {self.high}")


@dataclass(frozen=True)
class Real:
    """Finite numbers from ``low`` to ``high``, both included; ``above`` and ``below`` exclude the ends."""

    low: float
    high: float = math.inf
    above: bool = False
    below: bool = False

    def admits(self, value: Any) -> bool:
        """Whether ``value`` is a finite number in the range."""
        if isinstance(value, bool) or not isinstance(value, RealNumber) or not math.isfinite(value):
            return False
        number = float(value)
        high_enough = self.low < number if self.above else self.low <= number
        return high_enough and (number < self.high if self.below else number <= self.high)

    def outside(self) -> list[Any]:
        """Below, above, not finite, and not a number."""
        ends = ([self.low] if self.above else []) + ([self.high] if self.below else [])
        over = [] if math.isinf(self.high) else [self.high + 1]
        return [self.low - 1, *ends, *over, math.nan, math.inf, "1", True]

    def __str__(self) -> str:
        text = f"a number {'above' if self.above else 'from'} {self.low:g}"
        if math.isinf(self.high):
            return text
        return f"{text} {'and below' if self.below else 'to'} {self.high:g}"


class OneOf:
    """One of a few listed values."""

    def __init__(self, *choices: Any) -> None:
        self.choices = choices

    def admits(self, value: Any) -> bool:
        """Whether ``value`` is listed: the same type and equal."""
        return any(type(value) is type(choice) and value == choice for choice in self.choices)

    def outside(self) -> list[Any]:
        """A word that is not listed, and not a word."""
        return ["no such choice", object()]

    def __str__(self) -> str:
        return " or ".join(repr(choice) for choice in self.choices)


class InstanceOf:
    """Any value of the given types."""

    def __init__(self, *types: type, what: str | None = None) -> None:
        self.types = types
        self.what = what or " or ".join(f"a {cls.__name__}" for cls in types)

    def admits(self, value: Any) -> bool:
        """Whether ``value`` is of one of the types (a bool only where bool is listed)."""
        return isinstance(value, self.types) and (not isinstance(value, bool) or bool in self.types)

    def outside(self) -> list[Any]:
        """A value of no listed type."""
        return [object()]

    def __str__(self) -> str:
        return self.what


FLAG = OneOf(True, False)


def option(default: Any, *ranges: Range) -> Any:
    """A dataclass field with its default and the ranges a value may lie in."""
    return field(default=default, metadata={"ranges": ranges})


def ranges_of(cls: Any) -> dict[str, tuple[Range, ...]]:
    """The ranges of every parameter of a dataclass that states them."""
    return {f.name: f.metadata["ranges"] for f in fields(cls) if f.metadata.get("ranges")}


def check(settings: Any) -> None:
    """Check every parameter of a dataclass instance against its ranges.

    Raises:
        OptionError: naming the first parameter that lies in none of its ranges.
    """
    for name, ranges in ranges_of(settings).items():
        value = getattr(settings, name)
        if not any(allowed.admits(value) for allowed in ranges):
            raise OptionError(
                "parameter out of range",
                where=f"{type(settings).__name__}.{name}",
                expected=" or ".join(map(str, ranges)),
                got=repr(value),
            )
