"""What a training step of a stack of layers holds in memory, and which segments keep it within a budget.

Counted is what the layers add for backpropagation: the tape, outputs of inner layers and their gradients,
packed weights, gradients of weights, and the kernels' working memory. Input and output of the stack and their
gradients are the caller's.
"""

from __future__ import annotations

from typing import NamedTuple

from hiddenstate.errors import OptionError

from .kernel import TAPE

_CHUNK_BYTES, _CHUNK_PAIRS = 512 * 1024, 192
"""Gate gradients that the kernels hold at once: this many bytes, at least so many steps of rows."""

_ROWS_IN_HALVES = 8
"""From so many rows on the kernels sum up the gradients of the weights in two halves of the batch."""


class Stack(NamedTuple):
    """Sizes of a training step: T steps, B rows, I inputs, H units, R = P or H, L layers, D directions.

    Attributes:
        gates: G.
        fields: vectors ``[H]`` that the tape keeps of a step.
        cell_state: whether the state has ``c``.
        itemsize: bytes of a number.
        copied: whether input and gradients are copied into time-major order.
        dropout: whether outputs are dropped between layers.
    """

    T: int
    B: int
    I: int  # noqa: E741 - the letters of the design
    H: int
    R: int
    L: int
    D: int
    gates: int
    fields: int
    cell_state: bool
    itemsize: int
    copied: bool
    dropout: bool

    def peak(self, keep: int) -> int:
        """Most bytes held at once, when all layers keep the tape (``TAPE``) or segments of ``keep`` steps."""
        held = [self._held(layer, keep) for layer in range(self.L)]
        total = sum(held) + self.copied * self._numbers(self.I)
        most = 0
        for layer in range(self.L - 1, -1, -1):
            working = self._working(layer, keep)
            if layer < self.L - 1:  # the gradient of its output has come; segments make do without the output
                working += self._numbers(self.D * self.R) if keep == TAPE else 0
            most = max(most, total + working)
            total -= held[layer] - 3 * self._weights(layer)  # packed weights stay, and gradients come
        return most * self.itemsize

    def _numbers(self, width: int) -> int:
        return self.T * self.B * width

    def _inputs(self, layer: int) -> int:
        return self.D * self.R if layer else self.I

    def _weights(self, layer: int) -> int:
        """Numbers in the two large matrices of a layer, both directions."""
        return self.D * self.gates * self.H * (self._inputs(layer) + self.R)

    def _held(self, layer: int, keep: int) -> int:
        """From the forward pass to the layer's backward: outputs, tape or borders, weights packed twice."""
        joined = self._numbers(self.D * self.R)
        last = layer == self.L - 1
        drops = self.dropout and not last
        held = joined * (drops + 1 - last) + 2 * self._weights(layer)  # what is dropped is kept as factors
        if keep == TAPE:
            # Kept by each scan, beside what they are joined to.
            separate = joined if self.D > 1 or drops else 0
            return held + separate + self.D * self._numbers(self.fields * self.H)
        return held + self.D * -(-self.T // keep) * self.B * (self.R + self.cell_state * self.H)

    def _working(self, layer: int, keep: int) -> int:
        """Of the layer's backward alone: gradients, the tape of a segment, and what the kernels hold.

        The segment's tape that forward keeps is that of the backward which comes first, of the last layer.
        """
        inputs = self._inputs(layer)
        gradients = self._weights(layer) + (self.D if layer else self.D - 1) * self._numbers(inputs)
        strided = self.D > 1 or (self.copied and layer == self.L - 1)
        if keep == TAPE:
            steps, again = self.T, 0
        else:
            steps = min(keep, self.T)
            again = steps * self.B * (self.fields * self.H + self.R) + self._weights(layer) // self.D
        copies = steps * self.B * self.R if strided else 0
        row = (self.gates + 1) * self.H + inputs + self.R
        halves = 1 if self.B < _ROWS_IN_HALVES else 2
        chunk = max(-(-self.B // halves), _CHUNK_PAIRS, _CHUNK_BYTES // (row * self.itemsize)) * row
        if halves == 1 and self._weights(layer) // self.D * self.itemsize > _CHUNK_BYTES:
            chunk *= 2  # one is filled while the other is taken up; with small weights they are half as large
        sums = (halves - 1) * self._weights(layer) // self.D
        return gradients + again + copies + halves * chunk + sums


def segment(stack: Stack, budget: int) -> int:
    """What the layers are to keep so that a training step holds at most ``budget`` bytes.

    Returns:
        ``TAPE`` when everything fits, else the longest segment that does.

    Raises:
        OptionError: nothing fits; says the least that would.
    """
    least = stack.peak(TAPE)
    if least <= budget:
        return TAPE
    size, count = stack.T, 1
    while size > 0:
        need = stack.peak(size)
        if need <= budget:
            return size
        least, count = min(least, need), count + 1
        size = min(size - 1, -(-stack.T // count))
    raise OptionError(
        "no cut of the sequence keeps a training step within the budget",
        where="max_memory",
        expected=f"at least {least} bytes for {stack.T} steps of {stack.B} rows",
        got=budget,
        fix="Allow more, or train on fewer rows or shorter pieces",
    )
