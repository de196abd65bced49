"""Array annotations and state records shared by every floor.

Axes: T time, B batch, I input, H hidden, G gates, L layers, D directions; time-major inside (``[T, B, H]``).
``Float[Array, "T B H"]`` is jaxtyping's notation. jaxtyping is a development tool: its classes are taken when
it is already imported (the tests do that, and check every annotated call), and are plain placeholders
otherwise, so that ``import hiddenstate`` stays light.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

elif "jaxtyping" in sys.modules:
    Bool, Float, Int = (getattr(sys.modules["jaxtyping"], name) for name in ("Bool", "Float", "Int"))

else:

    class _Unchecked:
        """Stands for a jaxtyping dtype class outside the tests: any subscript means "any array"."""

        def __class_getitem__(cls, _: object) -> Any:
            return Any

    Bool = Float = Int = _Unchecked

Array = Any
"""An array of any library: numpy on the torch-free side, torch tensors in ``nn`` and ``train``."""


class RNNState(NamedTuple):
    """State of a vanilla RNN: ``h [B, H]``."""

    h: Array


class GRUState(NamedTuple):
    """State of a GRU: ``h [B, H]``."""

    h: Array


class LSTMState(NamedTuple):
    """State of an LSTM: output ``h [B, H]`` (``[B, P]`` with a projection) and cell ``c [B, H]``."""

    h: Array
    c: Array


State = RNNState | GRUState | LSTMState

__all__ = ["Array", "Bool", "Float", "GRUState", "Int", "LSTMState", "RNNState", "State"]
