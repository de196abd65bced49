"""Automata: minimisation against brute force over strings, L* against known machines."""

import itertools

import numpy as np
import pytest

from hiddenstate.errors import OptionError
from hiddenstate.lens.automaton import Automaton, learn

PARITY = Automaton(("0", "1"), np.array([[0, 1], [1, 0]]), np.array([0, 1]), 0)
MOD3 = Automaton(("0", "1"), np.array([[0, 1], [1, 2], [2, 0]]), np.array([0, 1, 1]), 0)
WORDS = [word for length in range(1, 8) for word in itertools.product((0, 1), repeat=length)]


def doubled(one):
    """The same answers with twice the states and one that is never reached."""
    size = len(one)
    transitions = np.vstack([one.transitions + size, one.transitions, np.zeros((1, 2), int)])
    return Automaton(
        one.symbols, transitions, np.concatenate([one.labels, one.labels, [1]]), one.start + size
    )


@pytest.mark.parametrize("machine", [PARITY, MOD3])
def test_minimal_has_the_known_size_and_the_same_answers(machine):
    small = doubled(machine).minimal()
    assert len(small) == len(machine)
    for word in WORDS:
        assert small.answers(word).tolist() == machine.answers(word).tolist()
    assert small.same_as(machine)
    assert not small.same_as(MOD3 if machine is PARITY else PARITY)


def test_random_machines_keep_their_answers():
    rng = np.random.default_rng(0)
    for _ in range(20):
        machine = Automaton(("a", "b"), rng.integers(0, 9, (9, 2)), rng.integers(0, 2, 9), 0)
        small = machine.minimal()
        assert len(small) <= 9
        assert all(small.answers(w).tolist() == machine.answers(w).tolist() for w in WORDS)
        # Every pair of states of the minimal machine is told apart by some string.
        for a, b in itertools.combinations(range(len(small)), 2):
            ends = [
                (small.labels[a], *_from(small, a, w)) != (small.labels[b], *_from(small, b, w))
                for w in WORDS
            ]
            assert any(ends)


def _from(machine, state, word):
    return Automaton(machine.symbols, machine.transitions, machine.labels, state).answers(word).tolist()


def test_a_start_that_is_never_entered_again_takes_any_label():
    # The same parity, but the start is a state of its own with the wrong label.
    machine = Automaton(("0", "1"), np.array([[1, 2], [1, 2], [2, 1]]), np.array([1, 0, 1]), 0)
    assert len(machine.minimal()) == 3
    assert len(machine.with_free_start([0, 1])) == 2
    assert machine.same_as(PARITY)


@pytest.mark.parametrize("machine", [PARITY, MOD3])
def test_learning_from_questions(machine):
    def ask(words):
        return [machine.labels[machine.path(word)[-1]] for word in words]

    found = learn(ask, machine.symbols, tests=WORDS)
    assert np.array_equal(found.transitions, machine.minimal().transitions)
    assert np.array_equal(found.labels, machine.minimal().labels)


def test_learning_what_is_no_automaton_stops():
    def equal(words):
        return [sum(word) * 2 == len(word) for word in words]

    with pytest.raises(OptionError, match="more states than allowed"):
        learn(equal, ("0", "1"), tests=WORDS, limit=4)
