"""The gated recurrent unit, in both published forms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hiddenstate.types import Array, GRUState

from .base import Cell, affine, sigmoid, split


@dataclass(frozen=True)
class GRU(Cell):
    """Gated recurrent unit: the next state lies between the old one and a candidate.

    ::

        r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)      reset gate: 0 hides the old state from the candidate
        z = sigmoid(W_iz x + b_iz + W_hz h + b_hz)      update gate: 1 KEEPS the old state
        n = tanh(W_in x + b_in + r * (W_hn h + b_hn))   candidate, reset="after" (the product)
        n = tanh(W_in x + b_in + W_hn (r * h) + b_hn)   candidate, reset="before"
        h' = (1 - z) * n + z * h

    Parameters: ``3*(H*I + H*H + 2*H)``, stacked in the order r, z, n (``W_hr``: a block of ``weight_hh``).

    Args:
        reset: "after", as in torch and cuDNN (one product for all gates, so it is the faster one), or
            "before", as published first. Weights trained for one form are wrong in the other.

    Source: Cho et al., arXiv 1406.1078 (2014), ``reset="before"``, where z points as here; in Chung et al.,
    arXiv 1412.3555 (2014), it points the other way (z = 1 replaces).

    Example:
        >>> import numpy as np
        >>> params = {"weight_ih": np.zeros((3, 1)), "weight_hh": np.zeros((3, 1))}
        >>> state, gates = GRU().step(np, params, np.ones((1, 1)), GRUState(h=np.array([[4.0]])))
        >>> state.h, gates["z"]                                             # half kept, candidate 0
        (array([[2.]]), array([[0.5]]))
    """

    reset: Literal["after", "before"] = "after"

    name = "gru"
    gates = ("r", "z", "n")
    State = GRUState

    @property
    def native(self) -> str:
        """``gru`` or ``gru_before``."""
        return "gru" if self.reset == "after" else "gru_before"

    @property
    def tape(self) -> tuple[str, ...]:
        """The gates, the candidate and, for ``reset="after"``, ``hn = W_hn h + b_hn``."""
        return ("r", "z", "n", "hn") if self.reset == "after" else ("r", "z", "n")

    def step(
        self, xp: Any, params: Mapping[str, Array], x: Array, state: GRUState
    ) -> tuple[GRUState, dict[str, Array]]:
        """One step; the activations are ``r``, ``z``, ``n`` (and ``hn`` for ``reset="after"``)."""
        from_x = split(affine(params, "ih", x), 3)
        if self.reset == "after":
            from_h = split(affine(params, "hh", state.h), 3)
            r, z = (sigmoid(xp, a + b) for a, b in zip(from_x[:2], from_h[:2], strict=True))
            kept = {"hn": from_h[2]}
            n = xp.tanh(from_x[2] + r * from_h[2])
        else:
            first, last = _halves(params, state.h.shape[-1])
            from_h = split(affine(first, "hh", state.h), 2)
            r, z = (sigmoid(xp, a + b) for a, b in zip(from_x[:2], from_h, strict=True))
            kept = {}
            n = xp.tanh(from_x[2] + affine(last, "hh", r * state.h))
        return GRUState((1 - z) * n + z * state.h), {"r": r, "z": z, "n": n} | kept


def _halves(params: Mapping[str, Array], width: int) -> tuple[dict[str, Array], dict[str, Array]]:
    """The recurrent parameters of the two gates, and of the candidate, which waits for the reset gate."""
    recurrent = {name: value for name, value in params.items() if name.endswith("_hh")}
    return (
        {name: value[: 2 * width] for name, value in recurrent.items()},
        {name: value[2 * width :] for name, value in recurrent.items()},
    )
