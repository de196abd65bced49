"""The n-gram baselines against a count by hand, and the rules of probability."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hiddenstate.tasks.language.ngram import MAX_ORDER, NGram


def by_hand(train: list[int], history: list[int], symbol: int, order: int, size: int) -> float:
    """The recursion of the module's docstring, with dictionaries, for one symbol."""
    if order == 0:
        return 1 / size
    shorter = by_hand(train, history, symbol, order - 1, size)
    padded = [0] * (order - 1) + train
    key = tuple(([0] * order + history)[len(history) + 1 :]) if order > 1 else ()
    after = Counter(
        padded[i] for i in range(order - 1, len(padded)) if tuple(padded[i - order + 1 : i]) == key
    )
    if not after:
        return shorter
    return (after[symbol] + len(after) * shorter) / (sum(after.values()) + len(after))


@settings(max_examples=25, deadline=None)
@given(
    train=st.lists(st.integers(0, 3), min_size=1, max_size=30),
    test=st.lists(st.integers(0, 4), min_size=1, max_size=12),
)
def test_equals_the_definition(train, test):
    got = NGram(np.array(train), size=5, border=0).probabilities(np.array(test))
    for order in range(1, MAX_ORDER + 1):
        want = [by_hand(train, test[:i], s, order, 5) for i, s in enumerate(test)]
        np.testing.assert_allclose(got[order], want, rtol=1e-12)


def test_probabilities_of_all_symbols_sum_to_one():
    train = np.random.default_rng(0).integers(0, 4, 200)
    model = NGram(train, size=5, border=0)
    for history in ([1, 2, 3, 1], [4, 4, 4, 4], []):
        rows = [model.probabilities(np.array([*history, s])) for s in range(5)]
        for order in range(1, MAX_ORDER + 1):
            assert sum(row[order][-1] for row in rows) == pytest.approx(1.0, abs=1e-12)


def test_longer_histories_help_on_a_cycle():
    cycle = np.tile([1, 1, 2, 1, 3], 40)
    p = NGram(cycle, size=4, border=0).probabilities(cycle[:50])
    bits = [-np.log2(p[order][10:]).mean() for order in range(1, MAX_ORDER + 1)]
    assert bits == sorted(bits, reverse=True)
    assert bits[-1] < 0.3 < bits[0]
