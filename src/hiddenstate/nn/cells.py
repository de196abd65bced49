"""``RNNCell``, ``LSTMCell`` and ``GRUCell``: one step as a module, drop-ins for torch's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hiddenstate import cells
from hiddenstate.cells import Cell
from hiddenstate.errors import ShapeError
from hiddenstate.types import State

from . import initial, ops, paths, stepwise
from .paths import Path


class _Step(torch.nn.RNNCellBase if TYPE_CHECKING else object):
    """What the three cells share; comes before the torch cell in their bases.

    What has no native path runs the torch cell's forward, and so does what does not fit, which torch refuses
    in its own words.

    Attributes:
        cell: the equation of the step.
        last_path: which implementation ran last: "native", "torch" or "python"; None before the first call.
    """

    cell: Cell
    last_path: Path | None

    def _describe(self, cell: Cell, *, init: str, forget_bias: float | None = None) -> None:
        """What ``reset_parameters`` needs, which torch's constructor calls."""
        self.cell = cell
        self.init, self.forget_bias = init, forget_bias
        self.last_path = None

    def reset_parameters(self) -> None:
        """Draws all parameters again."""
        initial.check(self.cell, init=self.init, forget_bias=self.forget_bias, bias=bool(self.bias))
        initial.fill(
            self._params(), self.cell, self.hidden_size, init=self.init, forget_bias=self.forget_bias
        )

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        """One step.

        Args:
            input: ``[B, I]``, or ``[I]`` unbatched.
            hx: ``h``, or ``(h, c)`` for the LSTM, each ``[B, H]``, or ``[H]`` unbatched; None: zeros.

        Returns:
            The next state, as ``hx``.
        """
        fields = None if hx is None else (hx,) if isinstance(hx, Tensor) else tuple(hx)
        if not self._fits(input, fields):
            super().forward(input, hx)
            raise ShapeError("input or hx does not fit the cell", where=type(self).__name__)
        self.last_path = self._choose(input, fields)
        if self.last_path == "torch":
            return super().forward(input, hx)
        x, state = self._batched(input, fields)
        scan = ops.scan if self.last_path == "native" else stepwise.scan
        _, state = scan(self.cell, self._params(), x, state)
        new = tuple(state) if input.dim() == 2 else tuple(field.squeeze(0) for field in state)
        return paths.plain(new)

    def _fits(self, input: Tensor, fields: tuple | None) -> bool:
        """Whether the sizes are those of this cell."""
        if input.dim() not in (1, 2) or input.shape[-1] != self.input_size:
            return False
        wanted = (*input.shape[:-1], self.hidden_size)
        return fields is None or [tuple(f.shape) for f in fields] == [wanted] * len(self.cell.State._fields)

    def _choose(self, input: Tensor, fields: tuple | None) -> Path:
        if self.hidden_size and paths.has_native(self.cell, input, (self.weight_ih, *(fields or ()))):
            return "native"
        return "torch" if self._torch_has_cell else "python"

    @property
    def _torch_has_cell(self) -> bool:
        """Whether torch has this variant of the cell."""
        return True

    def _params(self) -> dict[str, Tensor]:
        names = ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if self.bias else ()))
        return {name: getattr(self, name) for name in names}

    def _batched(self, input: Tensor, fields: tuple | None) -> tuple[Tensor, State | None]:
        """A sequence of one step ``[1, B, I]``, and the state's record."""
        if input.dim() == 1:
            input = input.unsqueeze(0)
            fields = None if fields is None else tuple(field.unsqueeze(0) for field in fields)
        return input.unsqueeze(0), None if fields is None else self.cell.State(*fields)


class RNNCell(_Step, torch.nn.RNNCell):
    """One step of an Elman RNN, a drop-in for ``torch.nn.RNNCell``.

    ``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``, or relu.

    Args:
        input_size: I.
        hidden_size: H.
        bias: whether there are ``bias_ih`` and ``bias_hh``.
        nonlinearity: "tanh" or "relu".
        device: where the parameters are made.
        dtype: of the parameters.
        init: "uniform" or "orthogonal", as for ``RNN``.

    Example:
        >>> cell = RNNCell(3, 5)
        >>> cell(torch.zeros(2, 3)).shape
        torch.Size([2, 5])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
        *,
        init: str = "uniform",
    ) -> None:
        self._describe(cells.get("rnn", nonlinearity=nonlinearity), init=init)
        super().__init__(input_size, hidden_size, bias, nonlinearity, device=device, dtype=dtype)


class LSTMCell(_Step, torch.nn.LSTMCell):
    """One step of an LSTM, a drop-in for ``torch.nn.LSTMCell``; the equations stand at ``LSTM``.

    Args:
        input_size: I.
        hidden_size: H.
        bias: whether there are ``bias_ih`` and ``bias_hh``.
        device: where the parameters are made.
        dtype: of the parameters.
        init: "uniform" or "orthogonal", as for ``LSTM``.
        forget_bias: as for ``LSTM``.

    Example:
        >>> cell = LSTMCell(3, 5)
        >>> h, c = cell(torch.zeros(2, 3))
        >>> h.shape, c.shape
        (torch.Size([2, 5]), torch.Size([2, 5]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        init: str = "uniform",
        forget_bias: float | None = None,
    ) -> None:
        self._describe(cells.get("lstm"), init=init, forget_bias=forget_bias)
        super().__init__(input_size, hidden_size, bias, device=device, dtype=dtype)


class GRUCell(_Step, torch.nn.GRUCell):
    """One step of a GRU, a drop-in for ``torch.nn.GRUCell``; the equations stand at ``GRU``.

    Args:
        input_size: I.
        hidden_size: H.
        bias: whether there are ``bias_ih`` and ``bias_hh``.
        device: where the parameters are made.
        dtype: of the parameters.
        reset: "after" or "before", as for ``GRU``.
        init: "uniform" or "orthogonal", as for ``GRU``.

    Example:
        >>> cell = GRUCell(3, 5, reset="before")
        >>> cell(torch.zeros(3)).shape
        torch.Size([5])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        reset: str = "after",
        init: str = "uniform",
    ) -> None:
        self.reset = reset
        self._describe(cells.get("gru", reset=reset), init=init)
        super().__init__(input_size, hidden_size, bias, device=device, dtype=dtype)

    @property
    def _torch_has_cell(self) -> bool:
        return self.reset == "after"

    def extra_repr(self) -> str:
        """Torch's, and the reset form where it is not torch's."""
        return super().extra_repr() + ("" if self.reset == "after" else f", reset={self.reset!r}")
