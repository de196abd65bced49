"""Finite automata with a label on every state: running, minimising, comparing and learning them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hiddenstate.errors import OptionError

Word = tuple[int, ...]
"""A string as indices of symbols."""


@dataclass(frozen=True, eq=False)
class Automaton:
    """A deterministic automaton that answers with the label of the state it has reached (Moore machine).

    Attributes:
        symbols: the alphabet, as a reader writes it; V of them.
        transitions: next state by state and symbol, ``[S, V]`` int.
        labels: answer of each state, ``[S]`` int (an acceptor: 0 refuse, 1 accept).
        start: the state before the first symbol.

    Example:
        >>> parity = Automaton(("0", "1"), np.array([[0, 1], [1, 0]]), np.array([0, 1]), 0)
        >>> parity.answers([1, 0, 1, 1]).tolist()
        [1, 1, 0, 1]
    """

    symbols: tuple[str, ...]
    transitions: np.ndarray
    labels: np.ndarray
    start: int

    def __len__(self) -> int:
        return len(self.labels)

    def path(self, word: Sequence[int] | np.ndarray) -> np.ndarray:
        """States before, between and after the symbols of ``word``: one more than it has symbols."""
        states = [self.start]
        for symbol in word:
            states.append(int(self.transitions[states[-1], symbol]))
        return np.array(states)

    def answers(self, word: Sequence[int] | np.ndarray) -> np.ndarray:
        """The answer after every symbol of ``word``."""
        return self.labels[self.path(word)[1:]]

    def minimal(self) -> Automaton:
        """The smallest automaton that answers alike, its states numbered in the order they are reached.

        Two automata over the same symbols answer alike if and only if their minimal ones are equal arrays.

        Source: Moore, Gedanken-experiments on sequential machines (1956), partition refinement.
        """
        kept = _reached(self.transitions, self.start)
        place = np.full(len(self), -1)
        place[kept] = np.arange(len(kept))
        step = place[self.transitions[kept]]
        classes = np.unique(self.labels[kept], return_inverse=True)[1]
        count = 0
        while classes.max() + 1 != count:
            count = classes.max() + 1
            seen = np.column_stack([classes, classes[step]])
            classes = np.unique(seen, axis=0, return_inverse=True)[1].reshape(-1)
        first = np.unique(classes, return_index=True)[1]
        return self._renumbered(
            classes[step[first]], self.labels[kept][first], int(classes[place[self.start]])
        )

    def _renumbered(self, transitions: np.ndarray, labels: np.ndarray, start: int) -> Automaton:
        order = _reached(transitions, start)
        place = np.full(len(labels), -1)
        place[order] = np.arange(len(order))
        return Automaton(self.symbols, place[transitions[order]], labels[order], 0)

    def same_as(self, other: Automaton) -> bool:
        """Whether both give the same answers to every string but the empty one.

        The start's own label counts only where the start is entered again.
        """
        mine, theirs = (one.with_free_start(sorted({*self.labels, *other.labels})) for one in (self, other))
        return np.array_equal(mine.transitions, theirs.transitions) and np.array_equal(
            mine.labels, theirs.labels
        )

    def with_free_start(self, choices: Sequence[int]) -> Automaton:
        """Minimal, where the start may take the label that makes the automaton smallest.

        A network gives no answer before the first symbol; a copy of the start that is never entered again
        may therefore merge with any state that goes on alike.
        """
        count = len(self)
        copied = replace(
            self,
            transitions=np.vstack([self.transitions, self.transitions[self.start]]),
            labels=np.append(self.labels, 0),
            start=count,
        )
        tried = [replace(copied, labels=np.append(self.labels, label)).minimal() for label in choices]
        return min(tried, key=len)


def _reached(transitions: np.ndarray, start: int) -> np.ndarray:
    """States that some string leads to, breadth first."""
    order = [start]
    known = {start}
    for state in order:
        for following in transitions[state].tolist():
            if following not in known:
                known.add(following)
                order.append(following)
    return np.array(order)


def learn(
    ask: Callable[[list[Word]], Sequence[int]],
    symbols: Sequence[str],
    *,
    tests: Sequence[Word],
    limit: int = 64,
) -> Automaton:
    """An automaton learned from questions alone, without a look at any state (L*).

    Rows of an observation table are told apart by the answers after suffixes; a test string that the
    automaton gets wrong adds all its suffixes, until none does.

    Args:
        ask: answers to strings (the empty one included), as labels.
        symbols: the alphabet.
        tests: strings on which automaton and ``ask`` must agree after every symbol.
        limit: most states.

    Raises:
        OptionError: the answers need more states than ``limit``.

    Source: Angluin, Learning regular sets from queries and counterexamples (1987); suffixes as in Maler and
    Pnueli (1995); on networks: Weiss, Goldberg and Yahav, arXiv 1711.09576.

    Example:
        >>> odd = lambda words: [sum(word) % 2 for word in words]
        >>> len(learn(odd, ("0", "1"), tests=[(1, 0, 1, 1)]))
        2
    """
    table = _Table(ask, len(symbols))
    while True:
        rows = table.close(limit)
        index = {row: number for number, row in enumerate(rows)}
        transitions = np.array(
            [
                [index[table.row((*access, symbol))] for symbol in range(len(symbols))]
                for access in rows.values()
            ]
        )
        labels = np.array([row[0] for row in rows])
        made = Automaton(tuple(symbols), transitions, labels, index[table.row(())])
        wrong = table.first_wrong(made, tests)
        if wrong is None:
            return made.minimal()
        table.split_by(wrong)


class _Table:
    """The observation table of L*: every question is asked once."""

    def __init__(self, ask: Callable[[list[Word]], Sequence[int]], width: int) -> None:
        self._ask, self._width = ask, width
        self._known: dict[Word, int] = {}
        self._suffixes: list[Word] = [()]

    def row(self, prefix: Word) -> Word:
        """Answers after ``prefix`` and every suffix."""
        words = [prefix + suffix for suffix in self._suffixes]
        self._look_up(words)
        return tuple(self._known[word] for word in words)

    def close(self, limit: int) -> dict[Word, Word]:
        """A string that leads to each state, by the state's row."""
        rows: dict[Word, Word] = {self.row(()): ()}
        waiting: list[Word] = [()]
        for access in waiting:
            nexts = [(*access, symbol) for symbol in range(self._width)]
            self._look_up([one + suffix for one in nexts for suffix in self._suffixes])
            for one in nexts:
                if (row := self.row(one)) not in rows:
                    rows[row] = one
                    waiting.append(one)
            if len(rows) > limit:
                fix = "Raise limit, or extract the automaton from the states instead"
                raise OptionError("more states than allowed", where="limit", expected=limit, fix=fix)
        return rows

    def first_wrong(self, made: Automaton, tests: Sequence[Word]) -> Word | None:
        """The shortest beginning of a test that gets a wrong answer."""
        starts = [word[:end] for word in tests for end in range(1, len(word) + 1)]
        self._look_up(starts)
        wrong = [word for word in starts if made.labels[made.path(word)[-1]] != self._known[word]]
        return min(wrong, key=len, default=None)

    def split_by(self, word: Word) -> None:
        """Tell states apart by the ends of ``word`` too."""
        ends = [word[start:] for start in range(len(word))]
        self._suffixes += [end for end in ends if end not in self._suffixes]

    def _look_up(self, words: list[Word]) -> None:
        new = [word for word in dict.fromkeys(words) if word not in self._known]
        if new:
            self._known.update(zip(new, map(int, self._ask(new)), strict=True))
