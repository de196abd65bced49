"""``RNN``, ``LSTM`` and ``GRU``: torch's layers with native kernels, rows of any length, and resets."""

from __future__ import annotations

from typing import Any

import torch

from hiddenstate import cells
from hiddenstate.errors import OptionError

from .recurrent import Recurrent


class RNN(Recurrent):
    """Elman RNN, a drop-in for ``torch.nn.RNN``: ``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``, or relu.

    Args:
        input_size: I, width of the input.
        hidden_size: H, width of the state and of the output.
        num_layers: L, layers on top of one another.
        nonlinearity: "tanh" or "relu".
        bias: whether there are ``bias_ih`` and ``bias_hh``.
        batch_first: whether input and output are ``[B, T, *]`` instead of ``[T, B, *]``; states never are.
        dropout: probability, between layers, while training.
        bidirectional: whether a second set of weights reads each row from its end.
        device: where the parameters are made.
        dtype: of the parameters.
        init: "uniform", torch's (a seed gives the weights of the torch layer), or "orthogonal": recurrent
            blocks orthogonal, input blocks Glorot-uniform, biases zero.
        learn_initial_state: adds the parameter ``initial_h [L*D, H]``, from which rows start when no state is
            given, and restart after a reset.
        max_memory: most bytes to hold for a training step, over all layers and directions, beside input,
            output and their gradients (``predict_memory``). To keep to it the layer holds the states at the
            borders of segments of time and computes the rest again, for at most one more forward pass.
            Gradients stay exact. Holds on the native path, except for second derivatives. None: no limit.
        proj_size: only for the LSTM; refused as in torch.

    Raises:
        OptionError, ValueError, TypeError: an argument outside its range, as in torch.

    Example:
        >>> layer = RNN(3, 5, nonlinearity="relu")
        >>> y, h_n = layer(torch.zeros(7, 2, 3), lengths=[7, 0])
        >>> y.shape, h_n.shape, layer.last_path
        (torch.Size([7, 2, 5]), torch.Size([1, 2, 5]), 'native')
    """

    _twin = torch.nn.RNN

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        init: str = "uniform",
        learn_initial_state: bool = False,
        max_memory: int | None = None,
        proj_size: int = 0,
    ) -> None:
        _refuse_projection(proj_size)
        cell = cells.get("rnn", nonlinearity=nonlinearity)
        self.nonlinearity = nonlinearity
        super().__init__(
            f"RNN_{nonlinearity.upper()}", cell, input_size, hidden_size, num_layers, bias, batch_first,
            dropout, bidirectional, device=device, dtype=dtype, init=init,
            learn_initial_state=learn_initial_state, max_memory=max_memory,
        )  # fmt: skip


class LSTM(Recurrent):
    """Long short-term memory, a drop-in for ``torch.nn.LSTM``.

    ::

        i, f, o = sigmoid(...)   g = tanh(...)      each W_i* x + b_i* + W_h* h + b_h*, in the order i f g o
        c' = f * c + i * g
        h' = o * tanh(c')                           or W_hr (o * tanh(c')) with proj_size

    Args:
        input_size: I, width of the input.
        hidden_size: H, width of the cell state.
        num_layers: L, layers on top of one another.
        bias: whether there are ``bias_ih`` and ``bias_hh``.
        batch_first: whether input and output are ``[B, T, *]`` instead of ``[T, B, *]``; states never are.
        dropout: probability, between layers, while training.
        bidirectional: whether a second set of weights reads each row from its end.
        proj_size: P < H, width of ``h`` and of the output; 0: no projection.
        device: where the parameters are made.
        dtype: of the parameters.
        init: "uniform", torch's (a seed gives the weights of the torch layer), or "orthogonal": recurrent
            blocks of each gate orthogonal, input blocks Glorot-uniform, biases zero.
        forget_bias: what ``bias_ih + bias_hh`` of the forget gate start at, in every layer and direction;
            None: as ``init`` draws them.
        learn_initial_state: adds the parameters ``initial_h [L*D, R]`` and ``initial_c [L*D, H]``, from which
            rows start when no state is given, and restart after a reset.
        max_memory: most bytes to hold for a training step, over all layers and directions, beside input,
            output and their gradients (``predict_memory``). To keep to it the layer holds the states at the
            borders of segments of time and computes the rest again, for at most one more forward pass.
            Gradients stay exact. Holds on the native path, except for second derivatives. None: no limit.

    Raises:
        OptionError, ValueError, TypeError: an argument outside its range, as in torch.

    Example:
        >>> layer = LSTM(input_size=3, hidden_size=5, num_layers=2, forget_bias=1.0)
        >>> resets = torch.zeros(7, 2, dtype=torch.bool)
        >>> resets[4, 0] = True                           # a new episode begins in row 0
        >>> y, (h_n, c_n) = layer(torch.zeros(7, 2, 3), resets=resets)
        >>> y.shape, c_n.shape
        (torch.Size([7, 2, 5]), torch.Size([2, 2, 5]))
    """

    _twin = torch.nn.LSTM
    get_expected_cell_size = torch.nn.LSTM.get_expected_cell_size
    check_forward_args = torch.nn.LSTM.check_forward_args  # pyright: ignore[reportAssignmentType]
    permute_hidden = torch.nn.LSTM.permute_hidden  # pyright: ignore[reportAssignmentType]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
        *,
        init: str = "uniform",
        forget_bias: float | None = None,
        learn_initial_state: bool = False,
        max_memory: int | None = None,
    ) -> None:
        super().__init__(
            "LSTM", cells.get("lstm"), input_size, hidden_size, num_layers, bias, batch_first, dropout,
            bidirectional, proj_size, device=device, dtype=dtype, init=init, forget_bias=forget_bias,
            learn_initial_state=learn_initial_state, max_memory=max_memory,
        )  # fmt: skip


class GRU(Recurrent):
    """Gated recurrent unit, a drop-in for ``torch.nn.GRU``.

    ::

        r, z = sigmoid(...)                                    each W_i* x + b_i* + W_h* h + b_h*
        n = tanh(W_in x + b_in + r * (W_hn h + b_hn))          reset="after"
        n = tanh(W_in x + b_in + W_hn (r * h) + b_hn)          reset="before"
        h' = (1 - z) * n + z * h                               z keeps

    Args:
        input_size: I, width of the input.
        hidden_size: H, width of the state and of the output.
        num_layers: L, layers on top of one another.
        bias: whether there are ``bias_ih`` and ``bias_hh``.
        batch_first: whether input and output are ``[B, T, *]`` instead of ``[T, B, *]``; states never are.
        dropout: probability, between layers, while training.
        bidirectional: whether a second set of weights reads each row from its end.
        device: where the parameters are made.
        dtype: of the parameters.
        reset: "after" the recurrent product, as in torch and cuDNN, or "before" it, as Cho et al. published
            it. Weights trained for one form are wrong in the other.
        init: "uniform", torch's (a seed gives the weights of the torch layer), or "orthogonal": recurrent
            blocks of each gate orthogonal, input blocks Glorot-uniform, biases zero.
        learn_initial_state: adds the parameter ``initial_h [L*D, H]``, from which rows start when no state is
            given, and restart after a reset.
        max_memory: most bytes to hold for a training step, over all layers and directions, beside input,
            output and their gradients (``predict_memory``). To keep to it the layer holds the states at the
            borders of segments of time and computes the rest again, for at most one more forward pass.
            Gradients stay exact. Holds on the native path, except for second derivatives. None: no limit.
        proj_size: only for the LSTM; refused as in torch.

    Raises:
        OptionError, ValueError, TypeError: an argument outside its range, as in torch.

    Source: Cho et al., arXiv 1406.1078 (2014).

    Example:
        >>> layer = GRU(3, 5, bidirectional=True, batch_first=True, reset="before")
        >>> y, h_n = layer(torch.zeros(2, 7, 3))
        >>> y.shape, h_n.shape
        (torch.Size([2, 7, 10]), torch.Size([2, 2, 5]))
    """

    _twin = torch.nn.GRU

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        reset: str = "after",
        init: str = "uniform",
        learn_initial_state: bool = False,
        max_memory: int | None = None,
        proj_size: int = 0,
    ) -> None:
        _refuse_projection(proj_size)
        self.reset = reset
        super().__init__(
            "GRU", cells.get("gru", reset=reset), input_size, hidden_size, num_layers, bias, batch_first,
            dropout, bidirectional, device=device, dtype=dtype, init=init,
            learn_initial_state=learn_initial_state, max_memory=max_memory,
        )  # fmt: skip

    @property
    def _torch_has_cell(self) -> bool:
        return self.reset == "after"

    def extra_repr(self) -> str:
        """Torch's, and the reset form where it is not torch's."""
        return super().extra_repr() + ("" if self.reset == "after" else f", reset={self.reset!r}")


def _refuse_projection(proj_size: int) -> None:
    if proj_size:
        raise OptionError("proj_size argument is only supported for LSTM, not RNN or GRU", got=proj_size)
