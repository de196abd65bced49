"""Tasks whose answer is something seen before: the longer ago, the harder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hiddenstate.errors import OptionError
from hiddenstate.options import Whole, option
from hiddenstate.spec import Input

from .base import Examples, MemoryTask


@dataclass(frozen=True, kw_only=True)
class DelayedRecall(MemoryTask):
    """Name the first symbol again, ``delay`` steps later, after as many symbols that do not count.

    Step 0 shows one of ``symbols``; the steps up to ``delay`` show symbols of another alphabet; step
    ``delay`` asks. Chance: accuracy 1/symbols.

    Args:
        delay: steps from the symbol to the question.
        symbols: how many different ones there are.

    Source: in the manner of Hochreiter and Schmidhuber, Neural Computation 9 (1997), task 2.
    """

    name: ClassVar[str] = "recall"
    symbols: int = option(8, Whole(2))

    @property
    def input(self) -> Input:
        """Symbols, as many distractors, and the question."""
        return Input("x", "ids", 2 * self.symbols + 1)

    @property
    def classes(self) -> int:
        """The symbols."""
        return self.symbols

    @property
    def chance(self) -> float:
        """All symbols are equally likely."""
        return 1 / self.symbols

    def _draw(self, rng: np.random.Generator, count: int) -> Examples:
        x = rng.integers(self.symbols, 2 * self.symbols, (self.steps, count))
        x[0] -= self.symbols
        x[-1] = 2 * self.symbols
        return self._at_the_end(x, x[0])


@dataclass(frozen=True, kw_only=True)
class Copy(MemoryTask):
    """Say the first ``items`` symbols again, in order, each ``delay`` steps after it was seen.

    Symbols, then blanks, a sign at step ``delay``, and from there on one answer a step. Chance: accuracy
    1/symbols.

    Args:
        delay: steps from a symbol to its repetition; at least ``items``.
        symbols: how many different ones there are.
        items: how many are to be kept.

    Source: Hochreiter and Schmidhuber (1997); Arjovsky et al., arXiv 1511.06464 (2015).
    """

    name: ClassVar[str] = "copy"
    symbols: int = option(8, Whole(2))
    items: int = option(3, Whole(1))

    @property
    def input(self) -> Input:
        """Symbols, the blank, and the sign to begin."""
        return Input("x", "ids", self.symbols + 2)

    @property
    def classes(self) -> int:
        """The symbols."""
        return self.symbols

    @property
    def chance(self) -> float:
        """All symbols are equally likely."""
        return 1 / self.symbols

    @property
    def steps(self) -> int:
        """T: the delay of the first item, and a step for every item."""
        return self.delay + self.items

    def _minimum(self) -> int:
        return self.items

    def _draw(self, rng: np.random.Generator, count: int) -> Examples:
        x = np.full((self.steps, count), self.symbols)
        kept = rng.integers(0, self.symbols, (self.items, count))
        x[: self.items] = kept
        x[self.delay] = self.symbols + 1
        targets, mask = np.zeros_like(x), np.zeros(x.shape, bool)
        targets[self.delay :] = kept
        mask[self.delay :] = True
        return Examples({"x": x}, targets, mask, np.full(count, self.steps))


@dataclass(frozen=True, kw_only=True)
class FirstMiddleLast(MemoryTask):
    """One memory, three wishes: name the first, the middle or the latest symbol; which one, the end says.

    Steps 0 to ``delay - 1`` show symbols, step ``delay`` asks for that of step 0, ``delay // 2`` or
    ``delay - 1``. As the question comes last, all three must be kept. Chance: accuracy 1/symbols.

    Args:
        delay: steps from the first symbol to the question.
        symbols: how many different ones there are.
        marked: whether the middle symbol is shown in another alphabet; otherwise a network has to count to
            know which one is the middle.
    """

    name: ClassVar[str] = "first-middle-last"
    shortest: ClassVar[int] = 3
    symbols: int = option(8, Whole(2))
    marked: bool = False

    @property
    def input(self) -> Input:
        """Symbols, three questions, and the symbols once more as marked ones."""
        return Input("x", "ids", 2 * self.symbols + 3 if self.marked else self.symbols + 3)

    @property
    def classes(self) -> int:
        """The symbols."""
        return self.symbols

    @property
    def chance(self) -> float:
        """All symbols are equally likely."""
        return 1 / self.symbols

    def _draw(self, rng: np.random.Generator, count: int) -> Examples:
        x = rng.integers(0, self.symbols, (self.steps, count))
        which = rng.integers(0, 3, count)
        x[-1] = self.symbols + which
        answers = x[np.array([0, self.delay // 2, self.delay - 1])[which], np.arange(count)]
        if self.marked:
            x[self.delay // 2] += self.symbols + 3
        return self._at_the_end(x, answers)

    def parts(self, examples: Examples) -> dict[str, np.ndarray]:
        """The questions for the first, the middle and the latest symbol."""
        return {
            name: examples.mask & (examples.inputs["x"] == self.symbols + which)
            for which, name in enumerate(("first", "middle", "latest"))
        }


@dataclass(frozen=True, kw_only=True)
class Reflexive(MemoryTask):
    """A sentence whose last word needs its first: ``she often with them near him saw`` -> ``herself``.

    The answer is asked at the verb, after up to ``delay`` words; the pronouns between are of no use. Rows may
    differ in length. Chance: accuracy 1/6.

    Args:
        delay: words from the first one to the verb, in the longest rows.
        least: the same in the shortest rows; None: all rows are as long as the longest.
    """

    name: ClassVar[str] = "reflexive"
    least: int | None = None

    FIRST: ClassVar[tuple[str, ...]] = ("I", "you", "he", "she", "we", "they")
    LAST: ClassVar[tuple[str, ...]] = ("myself", "yourself", "himself", "herself", "ourselves", "themselves")
    OTHERS: ClassVar[tuple[str, ...]] = ("me", "him", "her", "us", "them")
    PLACES: ClassVar[tuple[str, ...]] = ("with", "near", "behind", "beside")
    ADVERBS: ClassVar[tuple[str, ...]] = ("often", "again")
    VERBS: ClassVar[tuple[str, ...]] = ("saw", "helped", "hurt")
    WORDS: ClassVar[tuple[str, ...]] = (*FIRST, *OTHERS, *PLACES, *ADVERBS, *VERBS)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.least is not None and not Whole(1, self.delay).admits(self.least):
            raise OptionError(
                "parameter out of range",
                where="Reflexive.least",
                expected=Whole(1, self.delay),
                got=self.least,
            )

    @property
    def input(self) -> Input:
        """The words."""
        return Input("x", "ids", len(self.WORDS))

    @property
    def classes(self) -> int:
        """The reflexive pronouns."""
        return len(self.LAST)

    @property
    def chance(self) -> float:
        """All first words are equally likely."""
        return 1 / len(self.FIRST)

    def words(self, ids: np.ndarray) -> str:
        """A row as text.

        Example:
            >>> task = Reflexive(delay=4)
            >>> task.words(task.draw(1, seed=3).inputs["x"][:, 0])
            'he often behind him saw'
        """
        return " ".join(self.WORDS[i] for i in ids)

    def _draw(self, rng: np.random.Generator, count: int) -> Examples:
        ends = rng.integers(self.delay if self.least is None else self.least, self.delay + 1, count)
        shape = self.steps, count
        step = np.arange(self.steps)[:, None]
        # pairs of place and person are counted back from the verb; one word over at the front is an adverb
        x = np.where((ends - step) % 2 == 1, self._any(rng, self.OTHERS, shape), 0)
        x = np.where((ends - step) % 2 == 0, self._any(rng, self.PLACES, shape), x)
        x = np.where((step == 1) & (ends % 2 == 0), self._any(rng, self.ADVERBS, shape), x)
        x = np.where(step == ends, self._any(rng, self.VERBS, shape), x)
        x[0] = rng.integers(0, len(self.FIRST), count)
        x[step > ends] = 0
        mask = step == ends
        return Examples({"x": x}, np.where(mask, x[0], 0), mask, ends + 1)

    def _any(self, rng: np.random.Generator, words: tuple[str, ...], shape: tuple[int, int]) -> np.ndarray:
        """Random words of one kind."""
        start = self.WORDS.index(words[0])
        return rng.integers(start, start + len(words), shape)
