"""Tasks in which every step counts: sums, parity, counters, nested brackets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hiddenstate.options import Whole, option
from hiddenstate.spec import Input

from .base import Examples, MemoryTask


@dataclass(frozen=True, kw_only=True)
class Adding(MemoryTask):
    """Add two numbers that are marked among many.

    Every step shows a number from U(0, 1) and a mark, 1 at one step of the first half and one of the second
    (the last step excepted), else 0. The last step asks for the sum of the two. Measure: mean squared error.
    Perfect: 0. Chance: 1/6, the variance of the sum, by always saying 1.

    Args:
        delay: steps from the first number to the question.

    Source: Hochreiter and Schmidhuber (1997), task 4; marks as in Le et al., arXiv 1504.00941 (2015).
    """

    name: ClassVar[str] = "adding"
    perfect: ClassVar[float] = 0.0
    shortest: ClassVar[int] = 2

    @property
    def input(self) -> Input:
        """A number and its mark."""
        return Input("x", "numbers", 2)

    @property
    def classes(self) -> None:
        """The answer is a number."""
        return

    @property
    def chance(self) -> float:
        """Variance of the sum of two numbers from U(0, 1)."""
        return 1 / 6

    def _draw(self, rng: np.random.Generator, count: int) -> Examples:
        x = np.zeros((self.steps, count, 2), np.float32)
        x[..., 0] = rng.random((self.steps, count))
        rows, half = np.arange(count), self.delay // 2
        marked = rng.integers(0, half, count), rng.integers(half, self.delay, count)
        for step in marked:
            x[step, rows, 1] = 1
        return self._at_the_end(x, x[marked[0], rows, 0] + x[marked[1], rows, 0])


@dataclass(frozen=True, kw_only=True)
class Parity(MemoryTask):
    """Is the number of ones so far odd? Asked at every step but the first, where the bit is the answer.

    One wrong step spoils all later answers. Chance: accuracy 1/2.

    Args:
        delay: steps after the first.
    """

    name: ClassVar[str] = "parity"

    @property
    def input(self) -> Input:
        """Two bits."""
        return Input("x", "ids", 2)

    @property
    def classes(self) -> int:
        """Even, odd."""
        return 2

    @property
    def chance(self) -> float:
        """The bits before are as often odd as even."""
        return 1 / 2

    def _draw(self, rng: np.random.Generator, count: int) -> Examples:
        x = rng.integers(0, 2, (self.steps, count))
        mask = np.ones(x.shape, bool)
        mask[0] = False
        return Examples({"x": x}, np.where(mask, x.cumsum(axis=0) % 2, 0), mask, np.full(count, self.steps))


@dataclass(frozen=True, kw_only=True)
class Counter(MemoryTask):
    """Are there fewer b than a, as many, or one more? Counts never differ by more than one.

    ``delay`` steps show a, b and pauses in any order; the last step asks. As the difference is -1, 0 or 1
    whatever the counts, only exact counting helps. Chance: accuracy 1/3.

    Args:
        delay: steps from the first symbol to the question.
    """

    name: ClassVar[str] = "counter"
    shortest: ClassVar[int] = 3

    @property
    def input(self) -> Input:
        """Symbols a, b and pause, and the question."""
        return Input("x", "ids", 4)

    @property
    def classes(self) -> int:
        """Fewer, as many, more."""
        return 3

    @property
    def chance(self) -> float:
        """The three answers are equally likely."""
        return 1 / 3

    def _draw(self, rng: np.random.Generator, count: int) -> Examples:
        first = rng.integers(1, (self.delay - 1) // 2 + 1, count)
        answers = rng.integers(0, 3, count)
        second = first + answers - 1
        place = np.arange(self.delay)[:, None]
        x = np.where(place < first, 0, np.where(place < first + second, 1, 2))
        x = np.concatenate([rng.permuted(x, axis=0), np.full((1, count), 3)])
        return self._at_the_end(x, answers)


@dataclass(frozen=True, kw_only=True)
class Brackets(MemoryTask):
    """Nested brackets of several kinds: which kind has to be closed next?

    Asked right after a bracket was closed inside another one: the answer is the kind of the innermost open
    bracket, of which the last symbol says nothing. Chance: accuracy 1/kinds.

    Args:
        delay: steps after the first.
        kinds: of brackets.
        depth: how many may be open at a time.
    """

    name: ClassVar[str] = "brackets"
    shortest: ClassVar[int] = 2
    kinds: int = option(4, Whole(2))
    depth: int = option(4, Whole(2))

    @property
    def input(self) -> Input:
        """An opening and a closing bracket of each kind."""
        return Input("x", "ids", 2 * self.kinds)

    @property
    def classes(self) -> int:
        """The kinds."""
        return self.kinds

    @property
    def chance(self) -> float:
        """The kind around a bracket does not depend on its own."""
        return 1 / self.kinds

    def _draw(self, rng: np.random.Generator, count: int) -> Examples:
        x = np.zeros((self.steps, count), np.int64)
        targets, mask = np.zeros_like(x), np.zeros(x.shape, bool)
        # one place more than the depth, so that "below the lowest open bracket" is a place, too
        stack, top, rows = (
            np.zeros((count, self.depth + 1), np.int64),
            np.zeros(count, np.int64),
            np.arange(count),
        )
        opening, kind = rng.random(x.shape) < 0.5, rng.integers(0, self.kinds, x.shape)
        opening[:2], opening[2] = True, False  # every row has a question
        for t in range(self.steps):
            opens = (opening[t] | (top == 0)) & (top < self.depth)
            x[t] = np.where(opens, kind[t], self.kinds + stack[rows, top])
            top = np.where(opens, top + 1, top - 1)
            stack[rows[opens], top[opens]] = kind[t, opens]
            mask[t] = ~opens & (top > 0)
            targets[t] = np.where(mask[t], stack[rows, top], 0)
        return Examples({"x": x}, targets, mask, np.full(count, self.steps))
