"""Backpropagation through time in less memory: segments of time whose tape is computed a second time.

Forward keeps the states before every segment. Backward goes from the last segment to the first: it runs the
segment again, which gives the same bits, keeps its tape, and hands the gradient of its first state on to the
segment before. Gradients are exact; only sums over time are rounded differently, being added up by segment.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hiddenstate import native

from . import kernel
from .kernel import TAPE, Arguments, Outputs


def forward(arguments: Arguments, packed: native.Plan, reverse: bool, keep: int) -> Outputs:
    """One layer in one direction, with what ``keep`` asks for (see ``kernel``)."""
    outputs = kernel.allocate(arguments, packed.cell, keep)
    if keep > 0:
        _Segments(arguments, packed, reverse, keep).forward(outputs)
    else:
        kernel.forward(arguments, packed, reverse, outputs)
    return outputs


def backward(
    d_outputs: Sequence[Tensor | None],
    arguments: Arguments,
    y: Tensor | None,
    tape: Tensor,
    packed: native.Plan,
    reverse: bool,
    keep: int,
    needs: Sequence[bool],
) -> list[Tensor | None]:
    """Gradients of the arguments that ``needs`` asks for, from those of ``y``, ``h_n`` and ``c_n``.

    ``tape`` is what ``forward`` kept; ``y`` may be None when that is borders.
    """
    if y is None:
        return _Segments(arguments, packed, reverse, keep).backward(d_outputs, tape, needs)
    gradients = kernel.new_gradients(arguments, needs)
    kernel.backward(d_outputs, arguments, y, tape, packed, reverse, gradients)
    return gradients


class _Segments:
    """A scan cut into segments of ``size`` steps, ``spans`` in the order of processing."""

    def __init__(self, arguments: Arguments, packed: native.Plan, reverse: bool, size: int) -> None:
        self.given, self.packed, self.reverse, self.size = arguments, packed, reverse, size
        self.spans = kernel.spans(len(arguments.x), size, reverse=reverse)

    def forward(self, outputs: Outputs) -> None:
        """Writes the outputs; in place of the tape, the state before every segment."""
        y, h_n, c_n, borders = outputs
        state: Sequence[Tensor | None] = self.given[1:3]
        for border, span in zip(borders, self.spans, strict=True):
            flags = self._flags(span)
            for value, before, rest in zip(self._state(border), state, self.given[8:10], strict=False):
                value.copy_(_or_zeros(before, value))
                if flags is not None:
                    value[flags] = _or_zeros(rest, value[0])
            part = self._part(span, border)
            kernel.forward(part, self.packed, self.reverse, Outputs(y[span], h_n, c_n, borders[:0]))
            state = h_n, c_n

    def backward(
        self, d_outputs: Sequence[Tensor | None], borders: Tensor, needs: Sequence[bool]
    ) -> list[Tensor | None]:
        """The gradients that ``needs`` asks for, from the last segment to the first."""
        dy, *d_state = d_outputs
        totals = kernel.new_gradients(self.given, needs)
        for total in totals[3:]:
            if total is not None:
                total.zero_()
        steps = kernel.allocate(self.given._replace(x=self.given.x[: self.size]), self.packed.cell, TAPE)
        for border, span in zip(borders.flip(0), self.spans[::-1], strict=True):
            part = self._part(span, border)
            gradients = kernel.new_gradients(part, [False, True, True, *needs[3:]])
            gradients[0] = None if totals[0] is None else totals[0][span]
            d_part = (None if dy is None else dy[span], *d_state)
            self._pull(d_part, part, steps, gradients)
            d_state = gradients[1:3]
            self._leave(span, d_state, totals[8:10])
            _add(totals[3:], gradients[3:])
        for total, value in zip(totals[1:3], d_state, strict=True):
            if total is not None and value is not None:
                total.copy_(value)
        return totals

    def _pull(
        self,
        d_part: Sequence[Tensor | None],
        part: Arguments,
        steps: Outputs,
        gradients: Sequence[Tensor | None],
    ) -> None:
        """Runs a segment once more, in the memory of ``steps``, and then backwards."""
        time, batch, _ = part.x.shape
        outputs = steps._replace(y=steps.y[:time], tape=steps.tape[: time * batch])
        kernel.forward(part, self.packed, self.reverse, outputs)
        kernel.backward(d_part, part, outputs.y, outputs.tape, self.packed, self.reverse, gradients)

    def _leave(self, span: slice, d_state: Sequence[Tensor | None], d_rest: Sequence[Tensor | None]) -> None:
        """Gradients of rows that a segment starts from rest belong to the rest state."""
        flags = self._flags(span)
        if flags is None:
            return
        for value, total in zip(d_state, d_rest, strict=True):
            if value is not None:
                if total is not None:
                    total += torch.where(flags[:, None], value, 0.0).sum(0)
                value[flags] = 0.0

    def _flags(self, span: slice) -> Tensor | None:
        """Rows that enter a segment from rest though the flag lies outside it: backwards, at its end."""
        resets, lengths, end = self.given.resets, self.given.lengths, span.stop
        if resets is None or not self.reverse or end >= len(self.given.x):
            return None
        return resets[end] if lengths is None else resets[end] & (lengths > end)

    def _part(self, span: slice, border: Tensor) -> Arguments:
        """The arguments of one segment."""
        x, lengths, resets = self.given.x[span], self.given.lengths, self.given.resets
        h0, c0 = (*self._state(border), None)[:2]
        return self.given._replace(
            x=x,
            h0=h0,
            c0=c0,
            lengths=None if lengths is None else (lengths - span.start).clamp(0, len(x)),
            resets=None if resets is None else resets[span],
        )

    def _state(self, border: Tensor) -> list[Tensor]:
        """Views of ``h`` and, for an LSTM, ``c``."""
        _, batch, hidden, out = self.given.sizes
        h, c = border[: batch * out], border[batch * out :]
        return [h.view(batch, out), c.view(batch, hidden)] if len(c) else [h.view(batch, out)]


def _or_zeros(value: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if value is None else value


def _add(totals: Sequence[Tensor | None], parts: Sequence[Tensor | None]) -> None:
    for total, part in zip(totals, parts, strict=True):
        if total is not None and part is not None:
            total += part
