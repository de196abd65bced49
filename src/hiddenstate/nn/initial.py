"""How the weights of recurrent layers start."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from hiddenstate.cells import Cell
from hiddenstate.errors import OptionError

SCHEMES = ("uniform", "orthogonal")


def check(cell: Cell, *, init: str, forget_bias: float | None, bias: bool) -> None:
    """Refuse options that do not exist, or do not fit the cell.

    Raises:
        OptionError: on an unknown ``init``, or a ``forget_bias`` without forget gate or biases.
    """
    if init not in SCHEMES:
        raise OptionError("unknown initialisation", where="init", expected=SCHEMES, got=repr(init))
    if forget_bias is None:
        return
    if "f" not in cell.gates:
        raise OptionError("this cell has no forget gate", where="forget_bias", got=cell.name)
    if not bias:
        raise OptionError(
            "a layer without biases has no forget bias", where="forget_bias", expected="bias=True"
        )


@torch.no_grad()
def fill(
    params: Mapping[str, Tensor], cell: Cell, hidden_size: int, *, init: str, forget_bias: float | None
) -> None:
    """Overwrite the parameters of one layer in one direction with starting values.

    ``"uniform"``: every value from U(-1/sqrt(H), 1/sqrt(H)), drawn in torch's order, so that a seed gives the
    weights of the torch layer. ``"orthogonal"``: the recurrent block of each gate orthogonal (norms are kept
    through time), the input block of each gate Glorot-uniform, biases zero.

    Args:
        params: by name without layer suffix, in torch's order.
        cell: the cell.
        hidden_size: H.
        init: "uniform" or "orthogonal".
        forget_bias: what the two forget biases of an LSTM sum to; None leaves them as drawn. 1 or 2 makes the
            cell remember from the start.

    Source: orthogonal: Saxe et al., arXiv 1312.6120 (2013); Glorot and Bengio, AISTATS (2010); forget bias:
    Gers et al. (2000), Jozefowicz et al., ICML (2015).
    """
    for name, value in params.items():
        if init == "uniform":
            bound = 1 / math.sqrt(hidden_size) if hidden_size else 0.0
            torch.nn.init.uniform_(value, -bound, bound)
        elif value.dim() < 2:
            torch.nn.init.zeros_(value)
        elif name == "weight_hr":
            torch.nn.init.orthogonal_(value)
        else:
            draw = torch.nn.init.orthogonal_ if name == "weight_hh" else torch.nn.init.xavier_uniform_
            for block in value.split(hidden_size):
                draw(block)
    if forget_bias is not None:
        gate = cell.gates.index("f")
        rows = slice(gate * hidden_size, (gate + 1) * hidden_size)
        params["bias_ih"][rows] = forget_bias
        params["bias_hh"][rows] = 0.0
