"""Layers on layers in one or two directions: what every module that holds recurrent weights shares."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from array_api_compat import torch as xp
from torch import Tensor

from hiddenstate.cells import Cell
from hiddenstate.scan import stack
from hiddenstate.spec import suffix
from hiddenstate.types import State

from . import initial, ops, paths, stepwise
from .kernel import TAPE
from .paths import Path

_SCANS: dict[Path, Callable[..., tuple[Tensor, State]]] = {"native": ops.scan, "python": stepwise.scan}


class Stacked(torch.nn.Module if TYPE_CHECKING else object):
    """Parameters of all layers and directions by torch's names, their start, and the scan over them.

    Mixed into a ``torch.nn.Module`` that has ``num_layers``, ``bidirectional``, ``dropout``, ``hidden_size``,
    ``proj_size`` and ``bias``.

    Attributes:
        cell: the equation of one step.
        init: how weights start, see ``initial.fill``.
        forget_bias: how the forget gate's bias starts; None: as ``init`` says.
        learn_initial_state: whether there are parameters ``initial_h`` (and ``initial_c``).
        last_path: which implementation ran last: "native", "torch" (torch's own layer) or "python" (the
            cell's Python step); None before the first call.
    """

    cell: Cell
    init: str
    forget_bias: float | None
    learn_initial_state: bool
    last_path: Path | None
    hidden_size: int
    proj_size: int
    num_layers: int
    bias: bool
    dropout: float
    bidirectional: bool
    _all_weights: list[list[str]]

    def reset_parameters(self) -> None:
        """Draws all parameters again; learned initial states start at zero."""
        initial.check(self.cell, init=self.init, forget_bias=self.forget_bias, bias=self.bias)
        for index in range(len(self._all_weights)):
            initial.fill(
                self._params(index), self.cell, self.hidden_size, init=self.init, forget_bias=self.forget_bias
            )
        for name, value in self.named_parameters(recurse=False):
            if name.startswith("initial_"):
                torch.nn.init.zeros_(value)

    def _add_initial_state(self, **factory: Any) -> None:
        """Parameters ``initial_h [L*D, R]`` and, for an LSTM, ``initial_c [L*D, H]``, if they are learned."""
        if self.learn_initial_state:
            shapes = self.cell.state_shapes(
                len(self._all_weights), self.hidden_size, proj_size=self.proj_size
            )
            for field, shape in shapes._asdict().items():
                self.register_parameter(f"initial_{field}", torch.nn.Parameter(torch.zeros(shape, **factory)))

    def _params(self, index: int) -> dict[str, Tensor]:
        """Parameters of one layer in one direction, by name without suffix."""
        return {name.partition("_l")[0]: self._weight(name) for name in self._all_weights[index]}

    def _weight(self, name: str) -> Tensor:
        """``getattr``, which for parameters takes ten times as long; some weights are made from others."""
        found = self._parameters.get(name)
        return getattr(self, name) if found is None else found

    def _rest(self, index: int) -> State | None:
        """The learned state ``[R]`` that one layer in one direction starts from."""
        if not self.learn_initial_state:
            return None
        return self.cell.State(
            *(getattr(self, f"initial_{field}")[index] for field in self.cell.State._fields)
        )

    def _run(
        self,
        path: Path,
        x: Tensor,
        state: State | None,
        lengths: Tensor | None,
        resets: Tensor | None,
        *,
        keep: int = TAPE,
    ) -> tuple[Tensor, State]:
        """All layers and directions over time-major input, one scan after the other.

        ``keep`` is what the native path keeps for its backward.
        """
        if path == "python" and lengths is not None:
            paths.check_lengths(lengths, x.shape[0])
        scan, directions, scans = _SCANS[path], 2 if self.bidirectional else 1, len(self._all_weights)
        if scans == 1 and path == "native" and keep == TAPE and ops.is_plain(x):
            return ops.scan_layer(self.cell, self._params(0), x, state, lengths, resets, self._rest(0))

        def run(
            layer: int, direction: int, x: Tensor, state: State | None, reverse: bool
        ) -> tuple[Tensor, State]:
            index = layer * directions + direction
            # One segment's tape at a time: that of the scan with which backward begins.
            kept = {"keep": keep, "keep_last": index == scans - 1} if path == "native" else {}
            return scan(
                self.cell, self._params(index), x, state,
                lengths=lengths, resets=resets, rest=self._rest(index), reverse=reverse, **kept,
            )  # fmt: skip

        dropping = self.dropout > 0 and self.training
        dropout = partial(torch.nn.functional.dropout, p=self.dropout) if dropping else None
        return stack(
            run, x, num_layers=self.num_layers, directions=directions, state=state, dropout=dropout, xp=xp
        )


class CustomRecurrent(Stacked, torch.nn.Module):
    """Layers of a cell that a user registered; runs its Python step.

    Args:
        cell: the cell.
        input_size: width of the input.
        hidden_size: H.
        num_layers: L.
        bias: whether the cell has its biases.
        dropout: probability, between layers, while training.
        bidirectional: whether a second set of weights reads each row from its end.
        proj_size: width of a projected output; 0: none.
        init: "uniform" or "orthogonal".
        learn_initial_state: whether the state at the start is a parameter.
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int,
        *,
        num_layers: int,
        bias: bool,
        dropout: float,
        bidirectional: bool,
        proj_size: int,
        init: str,
        learn_initial_state: bool,
    ) -> None:
        super().__init__()
        self.cell, self.init, self.forget_bias = cell, init, None
        self.hidden_size, self.proj_size, self.num_layers = hidden_size, proj_size, num_layers
        self.bias, self.dropout, self.bidirectional = bias, dropout, bidirectional
        self.learn_initial_state = learn_initial_state
        self.last_path = None
        directions = 2 if bidirectional else 1
        self._all_weights = []
        for index in range(num_layers * directions):
            layer, direction = divmod(index, directions)
            width = (proj_size or hidden_size) * directions if layer else input_size
            shapes = cell.param_shapes(width, hidden_size, bias=bias, proj_size=proj_size)
            self._all_weights.append([name + suffix(layer, direction) for name in shapes])
            for name, shape in zip(self._all_weights[-1], shapes.values(), strict=True):
                self.register_parameter(name, torch.nn.Parameter(torch.empty(shape)))
        self.reset_parameters()
        self._add_initial_state()

    def scan(
        self,
        x: Tensor,
        state: State | None = None,
        *,
        lengths: Tensor | None = None,
        resets: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """The layers over a time-major batch, as ``Recurrent.scan``."""
        self.last_path = "python"
        return self._run("python", x, state, lengths, resets)
