"""What every cell is: one step ``h_t = f(h_{t-1}, x_t)``, written over a passed-in array namespace."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from ..types import Array, State


class Cell(ABC):
    """One recurrent step.

    A cell is an immutable description; weights and state are passed in. ``step`` uses only functions of the array
    namespace ``xp`` (numpy, ``array_api_compat.torch``, a recorder), so one text serves as float64 oracle, as torch
    fallback with any order of derivative, and for export.

    Attributes:
        name: registry name, as a user types it (``cell="gru"``).
        native: name of the native kernel of this variant, or None (then scans run the Python step).
        gates: names of the stacked blocks of the weight matrices, in torch's order.
        tape: names of what the native forward pass keeps of every step, each ``[H]`` wide, in stored order.
        State: the named record of the state.
    """

    name: ClassVar[str]
    gates: ClassVar[tuple[str, ...]]
    tape: ClassVar[tuple[str, ...]]
    State: ClassVar[type]

    @property
    @abstractmethod
    def native(self) -> str | None:
        """Name of the native kernel of this variant."""

    @abstractmethod
    def step(
        self, xp: Any, params: Mapping[str, Array], x: Array, state: State
    ) -> tuple[State, dict[str, Array]]:
        """One step of the recurrence for a batch of rows.

        Args:
            xp: array namespace of ``x``, the state and the parameters.
            params: ``weight_ih [G*H, I]``, ``weight_hh [G*H, R]`` (R = H, or P with a projection), optional
                ``bias_ih [G*H]``, ``bias_hh [G*H]`` and ``weight_hr [P, H]``.
            x: input ``[B, I]``.
            state: record of ``[B, H]`` arrays (``h`` is ``[B, P]`` with a projection).

        Returns:
            The next state (its ``h`` is the output), and the gate activations by name, each ``[B, H]``.
        """

    def param_shapes(
        self, input_size: int, hidden_size: int, *, bias: bool = True, proj_size: int = 0
    ) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters of one layer in one direction, in torch's order and with torch's names."""
        rows, out = len(self.gates) * hidden_size, proj_size or hidden_size
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, input_size), "weight_hh": (rows, out)}
        if bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if proj_size:
            shapes["weight_hr"] = (proj_size, hidden_size)
        return shapes

    def state_shapes(self, batch: int, hidden_size: int, *, proj_size: int = 0) -> State:
        """Shapes of the state's fields, as a record."""
        shapes = {"h": (batch, proj_size or hidden_size), "c": (batch, hidden_size)}
        return self.State(*(shapes[field] for field in self.State._fields))


def sigmoid(xp: Any, x: Array) -> Array:
    """Logistic function through tanh, which neither overflows nor needs a branch: ``(1 + tanh(x/2)) / 2``."""
    return 0.5 * xp.tanh(0.5 * x) + 0.5
