"""What is measured: sizes, the three cells, and the arithmetic that each case needs."""

from __future__ import annotations

from dataclasses import asdict, dataclass

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


@dataclass(frozen=True)
class Case:
    """One layer over a batch: T steps, B rows, I inputs, H hidden units.

    ``kind``: "infer" (forward without gradients), "train" (forward and backward to all inputs and weights),
    "step" (one step at batch B from Python, state carried), "model" (the step plus a linear head).
    ``lengths``: "full", "uniform" (1 to T) or "short" (90 % of the rows a tenth of T).
    """

    kind: str
    cell: str
    T: int
    B: int
    I: int
    H: int
    lengths: str = "full"
    resets: bool = False

    @property
    def name(self) -> str:
        extra = "" if self.lengths == "full" else f" {self.lengths}"
        return f"{self.kind} {self.cell} {self.T},{self.B},{self.I},{self.H}{extra}" + (
            " resets" * self.resets
        )

    def row_lengths(self) -> list[int]:
        """Length of every row, the same in every library."""
        if self.lengths == "uniform":
            return [1 + (self.T - 1) * (7 * b % self.B) // max(self.B - 1, 1) for b in range(self.B)]
        if self.lengths == "short":
            return [self.T if b % 10 == 0 else max(self.T // 10, 1) for b in range(self.B)]
        return [self.T] * self.B

    @property
    def flops(self) -> float:
        """Multiply-adds counted twice; a training step is three forward products."""
        per_step = 2 * GATES[self.cell] * self.H * (self.I + self.H)
        return per_step * sum(self.row_lengths()) * (3 if self.kind == "train" else 1)

    def to_dict(self) -> dict:
        return asdict(self)


def layer_cases() -> list[Case]:
    """Seven sizes of every cell, inference and training."""
    return [Case(kind, cell, *size) for kind in ("infer", "train") for size in SIZES for cell in CELLS]


def step_cases() -> list[Case]:
    """One step at batch 1 from Python, alone and with a linear head; and 64 live sequences at once."""
    one = [Case(kind, cell, 1, 1, H, H) for kind in ("step", "model") for H in (64, 256) for cell in CELLS]
    return one + [Case("step", cell, 1, 64, 64, 64) for cell in CELLS]


def length_cases() -> list[Case]:
    """Rows of unequal length, and a reset flag at every step, beside the dense batch."""
    cases = []
    for kind in ("infer", "train"):
        for cell in CELLS:
            cases += [
                Case(kind, cell, 100, 64, 128, 128, lengths) for lengths in ("full", "uniform", "short")
            ]
            cases.append(Case(kind, cell, 100, 64, 128, 128, resets=True))
    return cases


def odd_cases() -> list[Case]:
    """Hidden sizes off the vector grid beside their round neighbours."""
    pairs = (50, 48), (65, 64), (100, 96), (650, 640)
    sizes = sorted({size for pair in pairs for size in pair})
    return [Case(kind, cell, 50, 32, H, H) for kind in ("infer", "train") for H in sizes for cell in CELLS]


SUITES = {"layers": layer_cases, "step": step_cases, "lengths": length_cases, "odd": odd_cases}
