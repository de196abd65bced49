"""What a network does on strings: the states it visits, and its answer to any string of its symbols."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from hiddenstate.errors import DataError

from .automaton import Word
from .encoding import Encoded
from .scorer import output_names
from .system import System

SYMBOLS = 64
"""Largest alphabet."""

Decide = Callable[[np.ndarray], np.ndarray]
"""Labels ``[N]`` int from outputs ``[N, O]``."""


@dataclass(eq=False)
class Reading:
    """What a network does on strings: the states it visits, and its answers to any string of its symbols.

    Attributes:
        system: the network.
        words: the strings as symbols.
        test: the held-out strings as symbols.
        points: all visited states, those before the first symbol first, ``[N, S]``.
        names: what the labels mean.
    """

    system: System
    train: Sequence[Encoded]
    held_out: Sequence[Encoded]
    decide: Decide | None
    words: list[Word] = field(init=False)
    test: list[Word] = field(init=False)
    points: np.ndarray = field(init=False)
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        every = [*self.train, *self.held_out]
        self.symbols = tuple(sorted({label for one in every for label in one.labels}))
        if len(self.symbols) > SYMBOLS:
            expected = f"at most {SYMBOLS}"
            raise DataError("too many symbols for an automaton", expected=expected, got=len(self.symbols))
        place = {symbol: index for index, symbol in enumerate(self.symbols)}
        self.words, self.test = (
            [tuple(place[label] for label in one.labels) for one in part]
            for part in (self.train, self.held_out)
        )
        self._steps = _steps_of(self.symbols, every)
        self._known: dict[Word, int] = {}
        names = output_names(self.system.probe.model)
        width = max(self.system.probe.output_size, 2)
        self.names = tuple(map(str, names or range(width)))
        # Lengths differ: only states that a string went through count, beginning with the one before it.
        made, states = self.system.run(self.train)
        through = np.arange(len(states))[:, None] <= made.lengths
        bounded = np.where([".c[" in name for name in self.system.names], np.tanh(states), states)
        self.points = np.concatenate([bounded[through[:, row], row] for row in range(len(self.train))])

    def answers(self, word: Word) -> np.ndarray:
        """The network's answer after every symbol."""
        return np.array(self.last_answers([word[:end] for end in range(1, len(word) + 1)]))

    def last_answers(self, words: Sequence[Word]) -> list[int]:
        """The network's answer after the last symbol of each string (none of them empty)."""
        new = [word for word in dict.fromkeys(words) if word not in self._known]
        if new:
            made = self.system.probe.run([self._encoded(word) for word in new])
            output = made.output
            if not self.system.probe.spec.pooled:
                output = output[made.lengths - 1, np.arange(len(new))]
            self._known.update(zip(new, self._labels(output).tolist(), strict=True))
        return [self._known[word] for word in words]

    def _labels(self, output: np.ndarray) -> np.ndarray:
        if self.decide is not None:
            return np.asarray(self.decide(output)).astype(np.int64)
        return output.argmax(axis=-1) if output.shape[-1] > 1 else (output[:, 0] > 0).astype(np.int64)

    def _encoded(self, word: Word) -> Encoded:
        inputs = {name: table[list(word)] for name, table in self._steps.items()}
        return Encoded(inputs, [self.symbols[symbol] for symbol in word], "string")


def _steps_of(symbols: tuple[str, ...], sequences: Sequence[Encoded]) -> dict[str, np.ndarray]:
    """The input that stands for each symbol, ``[V, ...]`` by input name.

    Raises:
        DataError: one symbol stands for different inputs.
    """
    found: dict[str, dict[str, np.ndarray]] = {symbol: {} for symbol in symbols}
    for one in sequences:
        for step, label in enumerate(one.labels):
            for name, values in one.inputs.items():
                if not np.array_equal(found[label].setdefault(name, values[step]), values[step]):
                    fix = "Give sequences over few exact values"
                    raise DataError("steps that look alike but differ", where=one.name, got=label, fix=fix)
    return {name: np.stack([found[symbol][name] for symbol in symbols]) for name in sequences[0].inputs}
