"""A model spec as a torch module, to be trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from array_api_compat import torch as xp
from torch import Tensor

from hiddenstate import blocks, cells
from hiddenstate.blocks import ModelState
from hiddenstate.errors import ShapeError
from hiddenstate.spec import Block, Dropout, Embed, Linear, ModelSpec, Norm
from hiddenstate.spec import Recurrent as RecurrentBlock
from hiddenstate.types import State

from . import paths
from .layers import GRU, LSTM, RNN
from .recurrent import Recurrent
from .stacked import CustomRecurrent

_LAYERS: dict[str, Callable[..., Recurrent]] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


def build(spec: ModelSpec) -> Network:
    """A spec as a torch module with fresh weights.

    The keys and shapes of its ``state_dict`` are ``spec.param_shapes()``. Recurrent blocks start with
    orthogonal recurrent weights per gate, Glorot-uniform input weights, zero biases, and a forget bias of 1;
    linear, norm and embedding blocks as in torch, but for an embedding that is also an output layer: there
    N(0, 1/size), so that the first outputs have variance 1.

    Args:
        spec: the model.

    Example:
        >>> from hiddenstate.spec import Input, Linear, ModelSpec, Recurrent
        >>> rnn, head = Recurrent("rnn", "x", cell="lstm", hidden_size=8), Linear("head", "rnn", size=1)
        >>> network = build(ModelSpec(inputs=(Input("x", size=3),), blocks=(rnn, head)))
        >>> y, state = network({"x": torch.zeros(20, 4, 3)})
        >>> y.shape, state["rnn"].c.shape
        (torch.Size([20, 4, 1]), torch.Size([1, 4, 8]))
    """
    return Network(spec)


class Network(torch.nn.Module):
    """A model spec run by torch; ``build`` makes it. Its submodules are named after the blocks.

    Args:
        spec: the model.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        sizes = spec.sizes()
        tied = {block.tied for block in spec.blocks if isinstance(block, Linear)}
        for block in spec.blocks:
            module = _module(block, sizes, tied=block.name in tied)
            if module is not None:
                self._modules[block.name] = module  # add_module would refuse a block called "type"

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        state: ModelState | None = None,
        lengths: Any = None,
        resets: Any = None,
    ) -> tuple[Tensor, ModelState]:
        """Runs the model over a batch of sequences.

        Args:
            inputs: by input name: ``[T, B, size]`` numbers, or ``[T, B]`` integer ids.
            state: where to continue from, as returned; None starts at rest.
            lengths: ``[B]`` valid steps of each row; None means T. Outputs at later steps have no meaning.
            resets: bool ``[T, B]``; True at a step restarts that row's state before the step.

        Returns:
            Output of the last block (``[T, B, size]``, or ``[B, size]`` after a pool), and the state after
            the last valid step of each row: block name -> record.

        Raises:
            ShapeError: an input is missing, or anything does not fit.
        """
        first = self._check(inputs)
        return blocks.forward(
            self.spec,
            self._weights(),
            inputs,
            ops=_TorchOps(self),
            state=state,
            lengths=None if lengths is None else paths.as_lengths(lengths, first),
            resets=None if resets is None else paths.as_resets(resets, first, batch_first=False),
        )

    def _check(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The first input, once all are known to fit the spec and one another."""
        wanted = {node.name: node for node in self.spec.inputs}
        if set(wanted) != set(inputs):
            raise ShapeError("wrong inputs", where="inputs", expected=sorted(wanted), got=sorted(inputs))
        first = inputs[self.spec.inputs[0].name]
        for name, node in wanted.items():
            shape = (*first.shape[:2], node.size) if node.kind == "numbers" else first.shape[:2]
            if tuple(inputs[name].shape) != tuple(shape) or len(first.shape) < 2:
                expected = ("T", "B", node.size) if node.kind == "numbers" else ("T", "B")
                raise ShapeError("wrong shape", where=name, expected=expected, got=tuple(inputs[name].shape))
        return first

    def _weights(self) -> dict[str, Tensor]:
        """Parameters of the blocks that keep no state, by full name; recurrent blocks hold their own."""
        found = {}
        for name, module in self._modules.items():
            for key in ("weight", "bias"):
                value = getattr(module, key, None)
                if isinstance(value, Tensor):
                    found[f"{name}.{key}"] = value
        return found


class _TorchOps:
    """What ``blocks.forward`` needs from torch."""

    xp = xp

    def __init__(self, network: Network) -> None:
        self._modules, self._training = network._modules, network.training

    def embed(self, block: Embed, weight: Tensor, ids: Tensor) -> Tensor:
        return torch.nn.functional.embedding(ids, weight)

    def linear(self, block: Linear, weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
        return torch.nn.functional.linear(x, weight, bias)

    def total(self, before: Tensor | None, steps: Tensor) -> Tensor:
        return steps.sum(0) if before is None else before + steps.sum(0)

    def dropout(self, block: Dropout, x: Tensor) -> Tensor:
        return torch.nn.functional.dropout(x, block.p, self._training)

    def recurrent(
        self,
        block: RecurrentBlock,
        params: Mapping[str, Tensor],
        x: Tensor,
        state: State | None,
        lengths: Tensor | None,
        resets: Tensor | None,
    ) -> tuple[Tensor, State]:
        layer = self._modules[block.name]
        return layer.scan(x, state, lengths=lengths, resets=resets)  # pyright: ignore - Recurrent or Custom


def _module(block: Block, sizes: Mapping[str, int], *, tied: bool) -> torch.nn.Module | None:
    """The module that holds a block's parameters; None for a block that has none."""
    if isinstance(block, Embed):
        table = torch.nn.Embedding(sizes[block.source], block.size)
        if tied:
            torch.nn.init.normal_(table.weight, std=block.size**-0.5)
        return table
    if isinstance(block, Norm):
        return torch.nn.LayerNorm(sizes[block.name], eps=block.eps)
    if isinstance(block, Linear):
        if block.tied is None:
            return torch.nn.Linear(sizes[block.source], block.size, bias=block.bias)
        return _Bias(block.size) if block.bias else None
    if isinstance(block, RecurrentBlock):
        return _recurrent(block, sizes[block.source])
    return None


def _recurrent(block: RecurrentBlock, input_size: int) -> torch.nn.Module:
    cell = cells.get(block.cell, **block.options)
    shared: dict[str, Any] = {
        "num_layers": block.num_layers,
        "bias": block.bias,
        "dropout": block.dropout,
        "bidirectional": block.bidirectional,
        "proj_size": block.proj_size,
        "init": "orthogonal",
        "learn_initial_state": block.learn_initial_state,
    }
    if block.cell not in _LAYERS:
        return CustomRecurrent(cell, input_size, block.hidden_size, **shared)
    if "f" in cell.gates and block.bias:
        shared["forget_bias"] = 1.0
    return _LAYERS[block.cell](input_size, block.hidden_size, **shared, **block.options)


class _Bias(torch.nn.Module):
    """The bias of a linear block whose weight is an embedding's table."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(size))
