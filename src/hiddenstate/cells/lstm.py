"""Long short-term memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hiddenstate.types import Array, LSTMState

from .base import Cell, affine, sigmoid, split


@dataclass(frozen=True)
class LSTM(Cell):
    """Long short-term memory: a protected sum ``c``, three gates around it, and an output ``h`` read from it.

    With ``a = W_ih x + b_ih + W_hh h + b_hh`` cut into four blocks of ``H`` in the order i, f, g, o::

        i = sigmoid(a_i)    input gate: 1 writes the candidate
        f = sigmoid(a_f)    forget gate: 1 KEEPS the old sum
        g = tanh(a_g)       candidate (a block of weights, not a gate: hence four blocks for three gates)
        o = sigmoid(a_o)    output gate: 1 shows the sum
        c' = f * c + i * g
        h' = o * tanh(c')               or  W_hr (o * tanh(c'))  with a projection to P < H values

    Parameters: ``4*(H*I + H*H + 2*H)``; with a projection ``4*(H*I + H*P + 2*H) + P*H``.

    Source: Hochreiter and Schmidhuber, Neural Computation 9 (1997); forget gate: Gers, Schmidhuber and
    Cummins, Neural Computation 12 (2000); projection: Sak, Senior and Beaufays, arXiv 1402.1128 (2014).
    No peepholes; two biases, as torch has them, of which only the sum acts.

    Example:
        >>> import numpy as np
        >>> params = {"weight_ih": np.zeros((4, 1)), "weight_hh": np.zeros((4, 1))}
        >>> old = LSTMState(h=np.zeros((1, 1)), c=np.array([[3.0]]))
        >>> state, gates = LSTM().step(np, params, np.ones((1, 1)), old)  # gates half open, candidate 0
        >>> state.c, gates["f"]
        (array([[1.5]]), array([[0.5]]))
    """

    name = "lstm"
    gates = ("i", "f", "g", "o")
    State = LSTMState
    projects = True

    @property
    def native(self) -> str:
        """``lstm``."""
        return "lstm"

    @property
    def tape(self) -> tuple[str, ...]:
        """The four blocks, and the sum."""
        return ("i", "f", "g", "o", "c")

    def step(
        self, xp: Any, params: Mapping[str, Array], x: Array, state: LSTMState
    ) -> tuple[LSTMState, dict[str, Array]]:
        """One step; the activations are ``i``, ``f``, ``g``, ``o``."""
        i, f, g, o = split(affine(params, "ih", x) + affine(params, "hh", state.h), 4)
        i, f, g, o = sigmoid(xp, i), sigmoid(xp, f), xp.tanh(g), sigmoid(xp, o)
        c = f * state.c + i * g
        h = o * xp.tanh(c)
        if "weight_hr" in params:
            h = h @ params["weight_hr"].T
        return LSTMState(h, c), {"i": i, "f": f, "g": g, "o": o}
