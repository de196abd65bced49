import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hiddenstate.errors import DataError, OptionError
from hiddenstate.runtime import distribution, sample

LOGITS = st.lists(st.integers(-3, 3).map(float) | st.just(-np.inf), min_size=1, max_size=6).filter(
    lambda values: max(values) > -np.inf
)


def softmax(logits, temperature=1.0):
    weights = [np.exp(value / temperature) for value in logits]
    return [weight / sum(weights) for weight in weights]


def kept_by_top_k(p, k):
    """The best set of ``k`` choices, by looking at all; of equal sets the one with the lowest indices."""
    k = min(k, len(p))
    subsets = list(itertools.combinations(range(len(p)), k))
    best = max(sum(sorted(p[i] for i in subset)) for subset in subsets)
    good = [subset for subset in subsets if np.isclose(sum(p[i] for i in subset), best, rtol=1e-12, atol=0)]
    return set(min(good))


def rescaled(p, kept):
    total = sum(p[i] for i in kept)
    return [p[i] / total if i in kept else 0.0 for i in range(len(p))]


@given(LOGITS, st.sampled_from([0.5, 1.0, 2.0]))
def test_temperature_is_the_softmax_of_the_divided_scores(logits, temperature):
    np.testing.assert_allclose(
        distribution(logits, temperature=temperature), softmax(logits, temperature), rtol=1e-12
    )


@given(LOGITS, st.integers(1, 7))
def test_top_k_by_brute_force(logits, k):
    p = softmax(logits)
    np.testing.assert_allclose(distribution(logits, top_k=k), rescaled(p, kept_by_top_k(p, k)), rtol=1e-12)


@pytest.mark.parametrize(
    ("share", "kept"),
    [(0.35, {1}), (0.45, {1, 3}), (0.69, {1, 3}), (0.75, {1, 3, 2}), (0.95, {0, 1, 2, 3}), (1, {0, 1, 2, 3})],
)
def test_top_p_keeps_the_fewest_that_hold_the_share(share, kept):
    p = [0.1, 0.4, 0.2, 0.3]
    np.testing.assert_allclose(distribution(np.log(p), top_p=share), rescaled(p, kept), rtol=1e-12)


@given(LOGITS, st.floats(0.01, 0.99))
def test_top_p_holds_the_share_and_nothing_less_likely(logits, share):
    p, kept = np.array(softmax(logits)), distribution(logits, top_p=share) > 0
    assert p[kept].sum() >= share - 1e-12
    assert kept.all() or p[kept].min() >= p[~kept].max()
    assert kept.sum() == 1 or p[kept].sum() - p[kept].min() < share + 1e-12


def test_the_order_is_temperature_then_top_k_then_top_p():
    p = [0.4, 0.3, 0.2, 0.1]
    # top_k=2 leaves 4/7 and 3/7: the first holds 0.5 alone. The other way round 0.4 < 0.5 would keep both.
    np.testing.assert_allclose(distribution(np.log(p), top_k=2, top_p=0.5), [1, 0, 0, 0])
    # Sharpened by temperature 0.5: 16 9 4 1 of 30. 25/30 of it holds 0.8; unsharpened it would take three.
    found = distribution(np.log(p), temperature=0.5, top_p=0.8)
    np.testing.assert_allclose(found, [16 / 25, 9 / 25, 0, 0])


@given(LOGITS)
def test_temperature_zero_takes_the_first_of_the_highest(logits):
    p = distribution(logits, temperature=0)
    assert p[int(np.argmax(logits))] == 1
    assert sample(np.array(logits), np.random.default_rng(0), temperature=0) == np.argmax(logits)


def test_rows_are_independent():
    logits = np.random.default_rng(0).normal(size=(4, 3, 9))
    options = {"temperature": 0.7, "top_k": 5, "top_p": 0.8}
    whole = distribution(logits, **options)
    for index in np.ndindex(4, 3):
        assert whole[index].tobytes() == distribution(logits[index], **options).tobytes()


def test_draws_follow_the_distribution():
    """Chi-square with 4 degrees of freedom: 28 has a probability of 1e-5."""
    logits = np.log([0.4, 0.3, 0.15, 0.1, 0.05])
    count = 20000
    drawn = sample(np.tile(logits, (count, 1)), np.random.default_rng(5))
    seen, expected = np.bincount(drawn, minlength=5), count * np.array([0.4, 0.3, 0.15, 0.1, 0.05])
    assert ((seen - expected) ** 2 / expected).sum() < 28


def test_equal_seeds_draw_alike_one_row_at_a_time_too():
    logits = np.random.default_rng(1).normal(size=(50, 8))
    together = sample(logits, np.random.default_rng(3), top_p=0.9)
    rng = np.random.default_rng(3)
    alone = [int(sample(row, rng, top_p=0.9)) for row in logits]
    assert together.tolist() == alone
    assert sample(logits, np.random.default_rng(4)).tolist() != together.tolist()


class Edge:
    """A generator that always draws the same number."""

    def __init__(self, value):
        self.value = value

    def random(self, shape):
        return np.full(shape, self.value)


@given(LOGITS, st.sampled_from([0.0, 0.5, np.nextafter(1, 0)]))
def test_what_is_ruled_out_is_never_drawn(logits, draw):
    assert logits[int(sample(np.array(logits), Edge(draw)))] > -np.inf


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"temperature": "1"},
        {"temperature": True},
        {"top_k": 0},
        {"top_k": 1.5},
        {"top_k": True},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"top_p": float("nan")},
    ],
)
def test_options_outside_their_range(options):
    with pytest.raises(OptionError, match=next(iter(options))):
        distribution([0.0, 1.0], **options)


@pytest.mark.parametrize("logits", [[], 3.0, [0.0, np.nan], [0.0, np.inf], [-np.inf, -np.inf]])
def test_scores_that_are_none(logits):
    with pytest.raises(DataError):
        distribution(logits)


def test_extreme_scores_and_temperatures_stay_finite():
    np.testing.assert_allclose(distribution([1e308, -1e308], temperature=1e-300), [1, 0])
    np.testing.assert_allclose(distribution([1.0, 2.0], temperature=1e300), [0.5, 0.5])
