"""The vanilla recurrent network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hiddenstate.types import Array, RNNState

from .base import Cell, affine


@dataclass(frozen=True)
class RNN(Cell):
    """Vanilla (Elman) recurrent cell: the next state is a squashed mix of the input and the last state.

    ``h' = phi(W_ih x + b_ih + W_hh h + b_hh)`` with ``phi`` tanh or relu.

    Parameters: ``H*I + H*H + 2*H``. The two biases act only as their sum; both are kept for torch's sake.

    Args:
        nonlinearity: "tanh", bounded, or "relu", which keeps gradients from shrinking but lets the state grow
            without bound unless ``W_hh`` is well conditioned (start it near the identity).

    Source: Elman, "Finding structure in time", Cognitive Science 14 (1990), who squashes with the logistic
    function; relu, started from the identity: Le, Jaitly and Hinton, arXiv 1504.00941 (2015).

    Example:
        >>> import numpy as np
        >>> params = {"weight_ih": np.ones((1, 1)), "weight_hh": np.ones((1, 1))}
        >>> old = RNNState(h=np.array([[3.0]]))
        >>> state, _ = RNN(nonlinearity="relu").step(np, params, np.array([[2.0]]), old)
        >>> state.h
        array([[5.]])
    """

    nonlinearity: Literal["tanh", "relu"] = "tanh"

    name = "rnn"
    gates = ("h",)
    State = RNNState

    @property
    def native(self) -> str:
        """``rnn_tanh`` or ``rnn_relu``."""
        return f"rnn_{self.nonlinearity}"

    def step(
        self, xp: Any, params: Mapping[str, Array], x: Array, state: RNNState
    ) -> tuple[RNNState, dict[str, Array]]:
        """One step; there are no gates, so nothing is kept beside the state."""
        total = affine(params, "ih", x) + affine(params, "hh", state.h)
        if self.nonlinearity == "tanh":
            return RNNState(xp.tanh(total)), {}
        # Written so that a NaN passes through and the slope at exactly zero is zero, both as in torch.
        return RNNState(xp.where(total <= 0, xp.zeros_like(total), total)), {}
