"""The finite automaton that a network has become, with how faithful it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hiddenstate.errors import DataError, OptionError

from .automaton import Automaton, Word, learn
from .clusters import Grid, Means, grid, k_means
from .encoding import Encoded
from .jacobian import STATE
from .probe import Probe
from .progress import Report, parts
from .result import Measurement, check_count
from .shares import wilson
from .strings import Decide, Reading
from .system import System

COUNTS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Numbers of groups that are tried."""

HELD_OUT = 0.25
"""Share of the strings that the automaton is judged on, unless others are given."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Extraction(Measurement):
    """F1; see :func:`extract_automaton`.

    Attributes:
        automaton: minimal; its labels are numbers of ``answers``.
        answers: what the labels mean.
        groups: groups of states before minimising.
        fidelity: share of held-out strings whose last answer is the network's; the interval belongs to it.
        step_fidelity: share of all their steps.
        strings: number of held-out strings.
        violations: share of transitions that do not go where most of their kind go: how far the network is
            from an automaton with these groups.
        label_violations: share of steps whose answer is not that of most of their group.
        unseen: transitions that no string took; they stay where they are.
        learned_states: states of the automaton that was learned from questions alone (L*); 0 when that needed
            too many.
        agrees: whether that automaton is the same one.
    """

    automaton: Automaton
    answers: tuple[str, ...]
    groups: int
    fidelity: float
    step_fidelity: float
    strings: int
    violations: float
    label_violations: float
    unseen: int
    learned_states: int
    agrees: bool

    def sentence(self) -> str:
        """What automaton it is, and whether it can be believed."""
        check = "questions alone did not lead to any small automaton, so treat it as a sketch"
        if self.agrees:
            check = "an automaton learned from questions alone is the same"
        elif self.learned_states:
            check = f"one learned from questions alone has {self.learned_states} states: only a sketch"
        return (
            f"The network acts like an automaton of {len(self.automaton)} states: it gives the network's "
            f"answer on {self.fidelity:.1%} of {self.strings} held-out strings ({self.interval.low:.1%} to "
            f"{self.interval.high:.1%}); {self.violations:.1%} of transitions break its rules; {check}."
        )


def extract_automaton(
    model: Any,
    strings: Any,
    *,
    held_out: Any = None,
    how: str = "cluster",
    levels: int = 2,
    max_states: int = 32,
    decide: Decide | None = None,
    seed: int = 0,
    progress: Report | None = None,
) -> Extraction:
    """A finite automaton from the states of a network that reads strings (F1).

    States that the network visits are put into groups; from each group and symbol the automaton goes where
    most strings went, and answers what most of the group answered; then it is minimised. With
    ``how="cluster"`` the number of groups grows until no transition and no answer contradicts another, or to
    ``max_states``, and the one most faithful on the strings it was made from is kept.

    Args:
        model: what ``Probe`` takes; it must not read from both ends.
        strings: sequences over few symbols, as ``Probe.read`` takes them.
        held_out: strings to judge the automaton on, alike; None: a quarter of ``strings``, drawn at random.
        how: "cluster" (k-means) or "grid" (every value cut into ``levels`` intervals).
        levels: intervals per value.
        max_states: most groups of "cluster".
        decide: labels ``[N]`` from outputs ``[N, O]``; None: the largest output, of a single one its sign.
        seed: of all draws.
        progress: called for each number of groups.

    Raises:
        DataError: fewer than two strings, or more than 64 symbols.
        OptionError: a bidirectional model, or an unknown ``how``.

    Source: Omlin and Giles (1996), grids; Wang et al., arXiv 1709.10380, clusters; Weiss, Goldberg and Yahav,
    arXiv 1711.09576, questions alone; that groups can mislead: arXiv 2201.12451.
    """
    check_count(max_states, 2, "max_states")
    check_count(levels, 2, "levels")
    system = System(model)
    train, test = _strings(system.probe, strings, held_out, seed)
    reading = Reading(system, train, test, decide)
    options = _groupings(how, levels, max_states)
    best = None
    for count in parts(options, what="automaton", report=progress):
        found = _Draft.of(reading, _group(reading.points, how, count, seed))
        if best is None or found.rank > best.rank:
            best = found
        if found.violations == 0 and found.label_violations == 0:
            break
    assert best is not None
    learned = _learned(reading, best.automaton)
    right = np.array([best.automaton.answers(word)[-1] == reading.answers(word)[-1] for word in reading.test])
    steps = np.concatenate([best.automaton.answers(word) == reading.answers(word) for word in reading.test])
    return Extraction(
        automaton=best.automaton,
        answers=reading.names,
        groups=best.groups,
        fidelity=float(right.mean()),
        step_fidelity=float(steps.mean()),
        strings=len(right),
        violations=best.violations,
        label_violations=best.label_violations,
        unseen=best.unseen,
        learned_states=0 if learned is None else len(learned),
        agrees=learned is not None and best.automaton.same_as(learned),
        interval=wilson(int(right.sum()), len(right), of="fidelity"),
        convention=(
            f"{STATE}, c through tanh; answers after every symbol; shares over held-out strings, by Wilson's "
            "interval; the empty string has no answer"
        ),
    )


def _strings(probe: Probe, strings: Any, held_out: Any, seed: int) -> tuple[list[Encoded], list[Encoded]]:
    train = probe.read(strings, steps=None, sequences=None)
    if held_out is not None:
        return train, probe.read(held_out, steps=None, sequences=None)
    if len(train) < 2:
        raise DataError("too few strings", expected="2 or more, some to be held out", got=len(train))
    order = np.random.default_rng(seed).permutation(len(train))
    count = max(1, round(HELD_OUT * len(train)))
    return [train[place] for place in order[count:]], [train[place] for place in order[:count]]


def _groupings(how: str, levels: int, max_states: int) -> list[int]:
    if how == "grid":
        return [levels]
    if how != "cluster":
        raise OptionError("unknown way of grouping", where="how", expected=["cluster", "grid"], got=repr(how))
    return [*(count for count in COUNTS if count < max_states), max_states]


def _group(points: np.ndarray, how: str, count: int, seed: int) -> Means | Grid:
    return grid(points, count) if how == "grid" else k_means(points, count, seed=seed)


@dataclass(frozen=True, eq=False)
class _Draft:
    """An automaton of one grouping, with what contradicts it."""

    automaton: Automaton
    groups: int
    violations: float
    label_violations: float
    unseen: int
    fidelity: float

    @property
    def rank(self) -> tuple[float, float, int]:
        return self.fidelity, -self.violations, -len(self.automaton)

    @classmethod
    def of(cls, reading: Reading, grouping: Means | Grid) -> _Draft:
        """Counts transitions and answers of every group, and goes by the majority."""
        places = grouping.of(reading.points)
        groups, symbols, names = int(places.max()) + 1, len(reading.symbols), len(reading.names)
        moves = np.zeros((groups, symbols, groups), np.int64)
        answers = np.zeros((groups, names), np.int64)
        start = 0
        for word in reading.words:
            path = places[start : start + len(word) + 1]
            np.add.at(moves, (path[:-1], np.array(word), path[1:]), 1)
            np.add.at(answers, (path[1:], reading.answers(word)), 1)
            start += len(word) + 1
        seen = moves.sum(axis=2) > 0
        step = np.where(seen, moves.argmax(axis=2), np.arange(groups)[:, None])
        whole = Automaton(reading.symbols, step, answers.argmax(axis=1), int(places[0]))
        small = whole.with_free_start(np.flatnonzero(answers.sum(axis=0)).tolist())
        right = [small.answers(word)[-1] == reading.answers(word)[-1] for word in reading.words]
        return cls(
            automaton=small,
            groups=groups,
            violations=float(1 - moves.max(axis=2).sum() / moves.sum()),
            label_violations=float(1 - answers.max(axis=1).sum() / answers.sum()),
            unseen=int((~seen).sum()),
            fidelity=float(np.mean(right)),
        )


def _learned(reading: Reading, found: Automaton) -> Automaton | None:
    """The automaton that questions alone lead to, or None when it would be much larger."""
    empty = int(found.labels[found.start])

    def ask(words: list[Word]) -> list[int]:
        asked = iter(reading.last_answers([word for word in words if word]))
        return [next(asked) if word else empty for word in words]

    try:
        return learn(ask, reading.symbols, tests=reading.words + reading.test, limit=2 * len(found) + 4)
    except OptionError:
        return None
