"""The forward pass of the recurrent layers: torch's contract outside, scans inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from hiddenstate.cells import Cell
from hiddenstate.errors import OptionError, ShapeError
from hiddenstate.types import State

from . import memory, paths
from .kernel import TAPE
from .paths import Path
from .stacked import Stacked

# torch 2.6 does not say when it exports; there a layer's last_path may name the exported program's.
_is_exporting = getattr(torch.compiler, "is_exporting", lambda: False)


class Recurrent(Stacked, torch.nn.RNNBase):
    """What ``RNN``, ``LSTM`` and ``GRU`` share; not made directly.

    Derives from ``torch.nn.RNNBase`` and not from ``torch.nn.LSTM`` and the like: ``torch.compile`` breaks
    its graph at every instance of those three classes, whatever its forward does. So ``isinstance(layer,
    torch.nn.RNNBase)`` holds and ``isinstance(layer, torch.nn.LSTM)`` does not.

    Arguments that do not fit are handed to torch's own forward, which refuses them in its own words.

    Attributes:
        cell: the equation of one step.
        max_memory: most bytes that a training step may hold; None: no limit.
        last_path: which implementation ran last: "native", "torch" (torch's own layer) or "python" (the
            cell's Python step); None before the first call.
    """

    _twin: ClassVar[type[torch.nn.RNNBase]]

    def __init__(
        self,
        mode: str,
        cell: Cell,
        *arguments: Any,
        init: str = "uniform",
        forget_bias: float | None = None,
        learn_initial_state: bool = False,
        max_memory: int | None = None,
        **factory: Any,
    ) -> None:
        if max_memory is not None and (not isinstance(max_memory, int) or max_memory < 1):
            expected = "a number of bytes, or None"
            raise OptionError("not a budget", where="max_memory", expected=expected, got=repr(max_memory))
        self.cell, self.max_memory = cell, max_memory
        self._tape_fields = len(cell.tape)  # of every step; asked for here, where no compiler traces
        self.init, self.forget_bias, self.learn_initial_state = init, forget_bias, learn_initial_state
        self.last_path: Path | None = None
        super().__init__(mode, *arguments, **factory)
        self._add_initial_state(**factory)

    def forward(
        self, input: Tensor | PackedSequence, hx: Any = None, *, lengths: Any = None, resets: Any = None
    ) -> tuple[Any, Any]:
        """Runs the layer over a batch of sequences.

        Args:
            input: ``[T, B, I]`` (``[B, T, I]`` with ``batch_first``), unbatched ``[T, I]``, or a
                PackedSequence.
            hx: initial state as in torch, ``h`` or for the LSTM ``(h, c)``, each ``[L*D, B, *]``; None:
                zeros, or the learned initial state.
            lengths: ``[B]`` whole numbers from 0 to T in any order: valid steps of each row. None: all.
            resets: bool, shaped as ``input`` without its last axis; True restarts that row before that step,
                from zeros or the learned initial state. In the reverse direction the restart lies between the
                same two steps.

        Returns:
            Output ``[T, B, D*R]`` (zero at padded steps), shaped as the input was, and the state after each
            row's last step, as in torch.

        Raises:
            ShapeError: ``lengths`` or ``resets`` do not fit.
            OptionError: ``lengths`` or ``resets`` beside a PackedSequence.
            RuntimeError, ValueError: torch's own, when ``input`` or ``hx`` do not fit. A sequence of no steps
                is refused as in torch, unless ``lengths`` say that it is meant.
        """
        if isinstance(input, PackedSequence):
            if lengths is not None or resets is not None:
                fix = "Pass the padded tensor with lengths= and resets="
                raise OptionError("a PackedSequence has lengths of its own", where="input", fix=fix)
            return self._forward_packed(input, hx)
        batched = input.dim() == 3
        batch_first = self.batch_first and batched
        x = input.transpose(0, 1) if batch_first else input if batched else input.unsqueeze(1)
        if not self._fits(x.shape, hx, batched) or (lengths is None and not x.shape[0]):
            self._refuse(input, hx)
        if lengths is not None:
            lengths = paths.as_lengths(lengths, x)
        if resets is not None:
            resets = paths.as_resets(resets, x, batch_first=batch_first)
        y, state = self.scan(x, self._state(hx, batched), lengths=lengths, resets=resets)
        if not batched:
            return y.squeeze(1), paths.plain(field.squeeze(1) for field in state)
        return y.transpose(0, 1) if batch_first else y, paths.plain(state)

    def _forward_packed(self, input: PackedSequence, hx: Any) -> tuple[PackedSequence, Any]:
        """Pads, runs with lengths, and packs again, in the packed order of rows."""
        data, batch_sizes, order, back = input
        if not self._fits((1, int(batch_sizes[0]), *data.shape[1:]), hx, True):
            self._refuse(input, hx)
        state = self._state(hx, True)
        if self._choose(data, state, torch_can=True) == "torch":
            return self._twin.forward(self, input, self._start(state, int(batch_sizes[0])))
        if state is not None and order is not None:
            state = type(state)(*(field.index_select(1, order) for field in state))
        x, lengths = pad_packed_sequence(PackedSequence(data, batch_sizes))
        y, state = self.scan(x, state, lengths=lengths.to(x.device))
        if back is not None:
            state = type(state)(*(field.index_select(1, back) for field in state))
        return PackedSequence(pack_padded_sequence(y, lengths).data, batch_sizes, order, back), paths.plain(
            state
        )

    def scan(
        self,
        x: Tensor,
        state: State | None = None,
        *,
        lengths: Tensor | None = None,
        resets: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """The layer over a time-major batch with named states: ``forward`` without torch's variety of forms.

        Args:
            x: ``[T, B, I]``; T may be 0.
            state: record of ``[L*D, B, *]`` tensors; None: zeros, or the learned initial state.
            lengths: int64 ``[B]``, 0 to T.
            resets: bool ``[T, B]``.

        Returns:
            ``y [T, B, D*R]`` and the state after each row's last step.
        """
        path = self._choose(x, state, torch_can=lengths is None and resets is None and x.shape[0] > 0)
        if path == "torch":
            return self._torch_scan(x, state)
        if path == "python":
            self.check_input(x, None)
        keep = TAPE
        if path == "native" and self.max_memory is not None and torch.is_grad_enabled():
            keep = memory.segment(self._stack(*x.shape[:2]), self.max_memory)
        return self._run(path, x.contiguous(), state, lengths, resets, keep=keep)

    def predict_memory(self, steps: int, batch: int) -> int:
        """Most bytes that a training step on the native path holds at once for this layer.

        Counted are the tape, outputs of inner layers with their gradients, packed weights, gradients of
        weights, and working memory, over all layers and directions; input and output of the layer and their
        gradients are the caller's. Rows of unequal length may need less. With ``max_memory`` this is what the
        layer makes of that budget.

        Args:
            steps: T.
            batch: B.

        Raises:
            OptionError: ``max_memory`` is too small for this; says what would do.

        Example:
            >>> from hiddenstate.nn import LSTM
            >>> whole = LSTM(32, 64).predict_memory(1000, 16)
            >>> LSTM(32, 64, max_memory=whole // 4).predict_memory(1000, 16) <= whole // 4
            True
        """
        stack = self._stack(steps, batch)
        return stack.peak(TAPE if self.max_memory is None else memory.segment(stack, self.max_memory))

    def _stack(self, steps: int, batch: int) -> memory.Stack:
        """The sizes of a training step."""
        return memory.Stack(
            T=steps, B=batch, I=self.input_size, H=self.hidden_size, R=self.proj_size or self.hidden_size,
            L=self.num_layers, D=2 if self.bidirectional else 1, gates=len(self.cell.gates),
            fields=self._tape_fields, cell_state="c" in self.cell.State._fields,
            itemsize=getattr(self, self._all_weights[0][0]).element_size(),
            copied=self.batch_first, dropout=self.dropout > 0 and self.training,
        )  # fmt: skip

    def _torch_scan(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """The same by torch's own layer."""
        swap = self.batch_first
        start = self._start(state, x.shape[1])
        y, last = self._twin.forward(self, x.transpose(0, 1) if swap else x, start)
        return y.transpose(0, 1) if swap else y, self.cell.State(
            *((last,) if isinstance(last, Tensor) else last)
        )

    def _fits(self, shape: Sequence[int], hx: Any, batched: bool) -> bool:
        """Whether the sizes of time-major input and initial state are those of this layer."""
        if len(shape) != 3 or shape[2] != self.input_size:
            return False
        if hx is None:
            return True
        fields = (hx,) if isinstance(hx, Tensor) else tuple(hx)
        count, rows = len(self._all_weights), (shape[1],) if batched else ()
        widths = (self.proj_size or self.hidden_size, self.hidden_size)[: len(self.cell.State._fields)]
        return [tuple(field.shape) for field in fields] == [(count, *rows, width) for width in widths]

    def _refuse(self, input: Any, hx: Any) -> None:
        """Raises torch's error for arguments that do not fit."""
        self._twin.forward(self, input, hx)
        raise ShapeError("input or hx does not fit the layer", where=type(self).__name__)

    def _choose(self, x: Tensor, state: State | None, *, torch_can: bool) -> Path:
        """The implementation that runs this call, kept as ``last_path``."""
        weights = (self._weight(self._all_weights[0][0]),)
        path: Path = "native"
        if not paths.has_native(self.cell, x, weights if state is None else (*weights, *state)):
            path = "torch" if torch_can and self._torch_has_cell else "python"
        if not torch.compiler.is_compiling():
            object.__setattr__(self, "last_path", path)  # torch's setter takes ten times as long
        elif not _is_exporting():  # a program on its own is not this layer's last call
            self.last_path = path
        return path

    @property
    def _torch_has_cell(self) -> bool:
        """Whether torch has this variant of the cell."""
        return True

    def _start(self, state: State | None, rows: int) -> Any:
        """A state for torch's own layer: as given, or the learned one, or None."""
        if state is None and self.learn_initial_state:
            learned = (getattr(self, f"initial_{field}") for field in self.cell.State._fields)
            return paths.plain(field.unsqueeze(1).repeat(1, rows, 1) for field in learned)
        return None if state is None else paths.plain(state)

    def _state(self, hx: Any, batched: bool) -> State | None:
        """``hx`` as a record of ``[L*D, B, *]`` tensors."""
        if hx is None:
            return None
        fields = (hx,) if isinstance(hx, Tensor) else hx
        return self.cell.State(*(field if batched else field.unsqueeze(1) for field in fields))

    def extra_repr(self) -> str:
        """Torch's, and what differs from torch's defaults."""
        text = super().extra_repr()
        if self.init != "uniform":
            text += f", init={self.init!r}"
        if self.forget_bias is not None:
            text += f", forget_bias={self.forget_bias}"
        if self.max_memory is not None:
            text += f", max_memory={self.max_memory}"
        return text + (", learn_initial_state=True" if self.learn_initial_state else "")
