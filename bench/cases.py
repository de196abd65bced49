"""What is measured: sizes, the three cells, and the arithmetic that each case needs."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

CELLS = ("rnn", "gru", "lstm")
GATES = {"rnn": 1, "gru": 3, "lstm": 4}
SIZES = (
    (100, 32, 64, 64),
    (100, 32, 128, 128),
    (35, 20, 200, 200),
    (128, 64, 256, 256),
    (64, 32, 512, 512),
    (784, 64, 1, 128),
    (1000, 1, 64, 64),
)
ROUND = {50: 48, 65: 64, 100: 96, 650: 640}
"""Hidden sizes off the vector grid, and their neighbours on it."""


@dataclass(frozen=True)
class Case:
    """Layers over a batch: T steps, B rows, I inputs, H hidden units in each layer and direction.

    ``kind``: "infer" (forward without gradients), "train" (forward and backward to all inputs and weights),
    "update" (an update as a training loop makes it: layer, linear head, squared error, backward, Adam),
    "step" (one step at batch B from Python, state carried), "model" (the step plus a linear head).
    ``lengths``: "full", "uniform" (1 to T) or "short" (90 % of the rows a tenth of T).
    ``proj``: width that an LSTM's state is projected to; 0: no projection.
    ``numbers``: "normal", or "subnormal" for inputs, states and gradients that decay below 1e-38.
    """

    kind: str
    cell: str
    T: int
    B: int
    I: int
    H: int
    lengths: str = "full"
    resets: bool = False
    layers: int = 1
    bidirectional: bool = False
    proj: int = 0
    numbers: str = "normal"

    @property
    def name(self) -> str:
        extras = {
            self.lengths: self.lengths != "full",
            "resets": self.resets,
            f"{self.layers} layers": self.layers > 1,
            "bidirectional": self.bidirectional,
            f"proj {self.proj}": self.proj,
            self.numbers: self.numbers != "normal",
        }
        size = f"{self.T},{self.B},{self.I},{self.H}"
        return " ".join([self.kind, self.cell, size, *(text for text, there in extras.items() if there)])

    @property
    def plain(self) -> bool:
        """Whether this is one layer in one direction over full rows: what every library has."""
        stacked = self.layers > 1 or self.bidirectional or self.proj
        return self.lengths == "full" and not self.resets and not stacked

    @property
    def neighbour(self) -> Case | None:
        """The plain case of round size that this one is compared with; None where this is one.

        Rows of unequal length are compared with full rows of as many steps in total.
        """
        steps = math.ceil(sum(self.row_lengths()) / self.B)
        full = replace(self, T=steps, lengths="full", resets=False, numbers="normal")
        plain = replace(full, layers=1, bidirectional=False, proj=0)
        if plain != self:
            return plain
        return replace(self, I=ROUND[self.H], H=ROUND[self.H]) if self.H in ROUND else None

    @property
    def directions(self) -> int:
        return 1 + self.bidirectional

    @property
    def out(self) -> int:
        """Width of one direction's state and output."""
        return self.proj or self.H

    @property
    def widths(self) -> list[int]:
        """Width of each layer's input."""
        return [self.I] + [self.directions * self.out] * (self.layers - 1)

    def row_lengths(self) -> list[int]:
        """Length of every row, the same in every library."""
        if self.lengths == "uniform":
            return [1 + (self.T - 1) * (7 * b % self.B) // max(self.B - 1, 1) for b in range(self.B)]
        if self.lengths == "short":
            return [self.T if b % 10 == 0 else max(self.T // 10, 1) for b in range(self.B)]
        return [self.T] * self.B

    @property
    def flops(self) -> float:
        """Multiply-adds of the layers, counted twice; a training step is three forward products."""
        products = [GATES[self.cell] * (width + self.out) + self.proj for width in self.widths]
        per_step = 2 * self.directions * self.H * sum(products)
        return per_step * sum(self.row_lengths()) * (3 if self.kind in ("train", "update") else 1)

    def to_dict(self) -> dict:
        return asdict(self)


def layer_cases() -> list[Case]:
    """Seven sizes of every cell, inference and training."""
    return [Case(kind, cell, *size) for kind in ("infer", "train") for size in SIZES for cell in CELLS]


def update_cases() -> list[Case]:
    """Updates of a training loop, where torch's own operations run between the layer's."""
    return [Case("update", cell, *size) for size in ((96, 32, 7, 64), *SIZES[:4]) for cell in CELLS]


def step_cases() -> list[Case]:
    """One step at batch 1 from Python, alone and with a linear head; and 64 live sequences at once."""
    one = [Case(kind, cell, 1, 1, H, H) for kind in ("step", "model") for H in (64, 256) for cell in CELLS]
    return one + [Case("step", cell, 1, 64, 64, 64) for cell in CELLS]


def length_cases() -> list[Case]:
    """Rows of unequal length, and a reset flag at every step, each near full rows of as many steps."""
    cases = []
    for kind in ("infer", "train"):
        for cell in CELLS:
            full = Case(kind, cell, 100, 64, 128, 128)
            for case in (
                replace(full, resets=True), replace(full, lengths="uniform"), replace(full, lengths="short")
            ):  # fmt: skip
                cases += [case.neighbour, case]
    return cases


def odd_cases() -> list[Case]:
    """Sizes off the vector grid, two layers, both directions, projections: each near its neighbour."""
    cases = []
    for kind in ("infer", "train"):
        for cell in CELLS:
            for H in (size for pair in ROUND.items() for size in reversed(pair)):
                plain = Case(kind, cell, 50, 32, H, H)
                cases.append(plain)
                if H in (64, 100, 640):
                    cases += [replace(plain, layers=2), replace(plain, bidirectional=True)]
                    cases += [replace(plain, proj=H // 2)] if cell == "lstm" else []
    return cases


def denormal_cases() -> list[Case]:
    """Sequences that fade to subnormal numbers, each beside one that does not."""
    plain = [Case(kind, cell, *size) for kind in ("infer", "train") for size in SIZES[:2] for cell in CELLS]
    return [case for one in plain for case in (one, replace(one, numbers="subnormal"))]


def scan_cases() -> list[Case]:
    """The seven sizes in inference: ``hs.scan`` on numpy beside ``hs.nn``.

    Training is left out: ``hs.scan.record`` also keeps the activations and gives the gradient of the state of
    every step, which a layer's backward does not.
    """
    return [case for case in layer_cases() if case.kind == "infer"]


SUITES = {
    "layers": layer_cases,
    "updates": update_cases,
    "step": step_cases,
    "lengths": length_cases,
    "odd": odd_cases,
    "denormals": denormal_cases,
    "scan": scan_cases,
}
