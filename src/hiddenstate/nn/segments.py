"""Backpropagation through time in less memory: segments of time whose tape is computed a second time.

Forward keeps the states before every segment. Backward goes from the last segment to the first: it runs the
segment again, which gives the same bits, keeps its tape, and hands the gradient of its first state on to the
segment before. Gradients are exact; only sums over time are rounded differently, being added up by segment.

Backward holds the tape of one segment at a time and begins with the last, so forward may keep that one: it
lies in the same memory and is not computed twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hiddenstate import native

from . import kernel
from .kernel import TAPE, Arguments, Outputs

_State = tuple[Tensor, Tensor | None]
"""``h`` and ``c`` (None: no LSTM)."""


def forward(
    arguments: Arguments,
    packed: native.Plan,
    reverse: bool,
    keep: int,
    last: Outputs | None = None,
    *,
    stacked: bool = False,
) -> Outputs:
    """One layer in one direction, with what ``keep`` asks for (see ``kernel``).

    ``last``, of ``new_segment``, takes what backward needs of the last segment. ``stacked``: states are
    ``[1, B, *]``, which segments do not know.
    """
    outputs = kernel.allocate(arguments, packed.cell, keep, stacked=stacked)
    if keep > 0:
        _Segments(arguments, packed, reverse, keep).forward(outputs, last)
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
    last: Outputs | None = None,
) -> list[Tensor | None]:
    """Gradients of the arguments that ``needs`` asks for, from those of ``y``, ``h_n`` and ``c_n``.

    ``tape`` is what ``forward`` kept; ``y`` may be None when that is borders. ``last`` is what ``forward``
    filled, and is overwritten; None: the last segment is run again too.
    """
    if y is None:
        return _Segments(arguments, packed, reverse, keep).backward(d_outputs, tape, needs, last)
    gradients = kernel.new_gradients(arguments, needs)
    kernel.backward(d_outputs, arguments, y, tape, packed, reverse, gradients)
    return gradients


def new_segment(arguments: Arguments, cell: str, size: int) -> Outputs:
    """Memory for what one segment gives, its tape included."""
    return kernel.allocate(arguments._replace(x=arguments.x[:size]), cell, TAPE)


class _Segments:
    """A scan cut into segments of ``size`` steps, ``spans`` in the order of processing."""

    def __init__(self, arguments: Arguments, packed: native.Plan, reverse: bool, size: int) -> None:
        self.given, self.packed, self.reverse, self.size = arguments, packed, reverse, size
        self.spans = kernel.spans(len(arguments.x), size, reverse=reverse)

    def forward(self, outputs: Outputs, last: Outputs | None) -> None:
        """Writes the outputs; in place of the tape, the state before every segment."""
        y, h_n, c_n, borders = outputs
        states = [*(self._state(border) for border in borders), (h_n, c_n)]
        for value, given in zip(states[0], self.given[1:3], strict=True):
            if value is not None:
                value.copy_(torch.zeros_like(value) if given is None else given)
        tapes = [borders[:0]] * len(self.spans)
        if last is not None:
            tapes[-1] = last.tape
        for span, before, (h, c), tape in zip(self.spans, states[:-1], states[1:], tapes, strict=True):
            self._restart(span, before)
            outputs = Outputs(y[span], h, c, tape)
            kernel.forward(self._part(span, before), self.packed, self.reverse, outputs)
        if last is not None:
            shown = y[self.spans[-1]]
            last.y[: len(shown)] = shown  # a copy: the output may change, or go, before backward

    def backward(
        self,
        d_outputs: Sequence[Tensor | None],
        borders: Tensor,
        needs: Sequence[bool],
        last: Outputs | None,
    ) -> list[Tensor | None]:
        """The gradients that ``needs`` asks for, from the last segment to the first."""
        dy, *d_state = d_outputs
        totals = kernel.new_gradients(self.given, [needs[0], False, False, *needs[3:]])
        parts = kernel.new_gradients(self.given, [False, False, False, *needs[3:]])
        steps = last or new_segment(self.given, self.packed.cell, self.size)
        for span, border in reversed(list(zip(self.spans, borders, strict=True))):
            ends = span is self.spans[-1]
            part = self._part(span, self._state(border))
            again = steps._replace(y=steps.y[: len(part.x)])
            if last is None or not ends:
                kernel.forward(part, self.packed, self.reverse, again)
            d_part = (None if dy is None else dy[span], *d_state)
            d_state = kernel.new_gradients(part, [False, True, True])[1:]
            dx = None if totals[0] is None else totals[0][span]
            gradients = [dx, *d_state, *(totals if ends else parts)[3:]]
            kernel.backward(d_part, part, again.y, again.tape, self.packed, self.reverse, gradients)
            self._leave(span, d_state, totals[8:10])
            if not ends:
                _add(totals[3:], parts[3:])
        totals[1:3] = [value if need else None for value, need in zip(d_state, needs[1:3], strict=True)]
        return totals

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

    def _restart(self, span: slice, state: _State) -> None:
        """Puts the rest state where a segment starts from it."""
        flags = self._flags(span)
        if flags is not None:
            for value, rest in zip(state, self.given[8:10], strict=True):
                if value is not None:
                    value[flags] = 0.0 if rest is None else rest

    def _flags(self, span: slice) -> Tensor | None:
        """Rows that enter a segment from rest though the flag lies outside it: backwards, at its end."""
        resets, lengths, end = self.given.resets, self.given.lengths, span.stop
        if resets is None or not self.reverse or end >= len(self.given.x):
            return None
        return resets[end] if lengths is None else resets[end] & (lengths > end)

    def _part(self, span: slice, state: _State) -> Arguments:
        """The arguments of one segment that starts from ``state``."""
        x, lengths, resets = self.given.x[span], self.given.lengths, self.given.resets
        return self.given._replace(
            x=x,
            h0=state[0],
            c0=state[1],
            lengths=None if lengths is None else (lengths - span.start).clamp(0, len(x)),
            resets=None if resets is None else resets[span],
        )

    def _state(self, border: Tensor) -> _State:
        """Views of ``h`` and ``c``."""
        _, batch, hidden, out = self.given.sizes
        h, c = border[: batch * out], border[batch * out :]
        return h.view(batch, out), c.view(batch, hidden) if self.packed.cell == "lstm" else None


def _add(totals: Sequence[Tensor | None], parts: Sequence[Tensor | None]) -> None:
    for total, part in zip(totals, parts, strict=True):
        if total is not None and part is not None:
            total += part
