"""What stands between a caller's elements and a model's arrays in a live sequence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from hiddenstate.types import Array


@runtime_checkable
class Adapter(Protocol):
    """Turns elements into inputs and outputs into answers; one instance serves one live sequence.

    It may remember things (the last values, a clock). What it remembers is part of a snapshot, and is put
    back when an element is refused, so a refused element leaves no trace.
    """

    def encode(self, element: Any) -> Mapping[str, Array] | None:
        """Arrays of one step by input name (``[size]`` numbers, or one id); None when the model is to wait.

        Raises:
            DataError: when the element cannot be used.
        """
        ...

    def decode(self, output: Array) -> Any:
        """The answer from the model's output ``[size]`` for the element just encoded."""
        ...

    def state(self) -> Any:
        """What it remembers, as JSON-able data (not None) that later steps do not change."""
        ...

    def restore(self, state: Any) -> None:
        """Continues from what ``state`` gave.

        Raises:
            StateError: when it cannot.
        """
        ...
