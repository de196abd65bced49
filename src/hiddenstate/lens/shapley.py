"""Shapley values of the steps of a sequence, old steps taken together until they matter."""

from __future__ import annotations

from collections.abc import Callable
from math import comb
from typing import Any

import numpy as np

from hiddenstate.blocks import ModelState

from .attribution import Attribution, attributed
from .progress import Report, parts
from .result import check_count
from .scorer import Baseline, Scorer

EXACT = 10
"""With at most this many players every coalition is tried (1024 runs)."""

Worth = Callable[[np.ndarray], np.ndarray]
"""Scores of coalitions ``[N, players]`` bool: ``[N]``."""


def event_shapley(
    model: Any,
    sequence: Any,
    *,
    target: int | str | None = None,
    step: int | None = None,
    baseline: Baseline = "zero",
    state: ModelState | None = None,
    tolerance: float = 0.01,
    permutations: int = 64,
    seed: int = 0,
    progress: Report | None = None,
) -> Attribution:
    """Shapley value of every step (A3): its mean contribution over all orders in which steps are revealed.

    Old steps are one player together: the longest beginning whose Shapley value, against the rest of the
    sequence as the only other player, is at most ``tolerance`` of the whole effect. Each of its steps is
    given an equal part of what the group gets. With at most 10 players the values are exact; else they are
    means over random orders, each with its reverse, and ``error`` says how certain.

    Args:
        model: as in ``integrated_gradients``.
        sequence: as there.
        target: as there.
        step: as there.
        baseline: as there.
        state: as there.
        tolerance: share of the whole effect below which old steps are grouped; 0: no grouping.
        permutations: random orders (half of them reverses of the others) where exact values cost too much.
        seed: of the orders, and of the faithfulness check.
        progress: called after each pair of orders.

    Raises:
        OptionError, DataError: as there.

    Source: Bento et al., TimeSHAP, arXiv 2012.00073 (grouping of old events; they fit a kernel, here orders
    are drawn); reversed orders: Mitchell et al., arXiv 2104.12199.

    Example:
        >>> from hiddenstate.lens.examples import decaying
        >>> made = event_shapley(decaying(0.5), np.array([1.0, 2.0, 4.0]), tolerance=0)
        >>> made.value.round(6).tolist()
        [0.25, 1.0, 4.0]
    """
    check_count(permutations, 2, "permutations")
    scorer = Scorer(model, sequence, target=target, step=step, baseline=baseline, state=state)
    old = oldest_negligible(scorer, tolerance)
    players = [np.arange(old)] if old else []
    players += [np.array([place]) for place in range(old, scorer.reach)]

    def worth(coalitions: np.ndarray) -> np.ndarray:
        present = np.zeros((len(coalitions), len(scorer)), bool)
        for player, steps in enumerate(players):
            present[:, steps] = coalitions[:, [player]]
        return scorer.masked(present)

    if len(players) <= EXACT:
        found, error = exact(worth, len(players)), np.zeros(len(players))
    else:
        found, error = sampled(worth, len(players), permutations, seed, progress)
    value, spread = np.zeros(len(scorer)), np.zeros(len(scorer))
    for player, steps in enumerate(players):
        value[steps], spread[steps] = found[player] / len(steps), error[player] / len(steps)
    return attributed(scorer, "event_shapley", value, error=spread, seed=seed)


def oldest_negligible(scorer: Scorer, tolerance: float) -> int:
    """How many steps at the beginning can be taken together, because they hardly matter.

    With two players, old and recent, the Shapley value of the old is
    ``(F(old) - F(none) + F(all) - F(recent)) / 2``.
    """
    count = scorer.reach
    cuts = np.arange(count)
    steps = np.arange(len(scorer))
    only_old = steps < cuts[:, None]
    alone, rest = scorer.masked(only_old), scorer.masked(~only_old)
    value = np.abs(alone - scorer.base_score + scorer.score - rest) / 2
    small = value <= tolerance * abs(scorer.score - scorer.base_score)
    if tolerance == 0 or not small.any():
        return 0
    # The longest beginning whose every part is negligible too.
    return int(cuts[np.logical_and.accumulate(small)][-1])


def exact(worth: Worth, count: int) -> np.ndarray:
    """Shapley values from all ``2^count`` coalitions.

    ``value_i = sum over S without i of |S|! (n - |S| - 1)! / n! * (F(S and i) - F(S))``.
    """
    masks = np.array([[bool(number >> player & 1) for player in range(count)] for number in range(2**count)])
    scores = worth(masks)
    sizes = masks.sum(axis=1)
    numbers = np.arange(2**count)
    values = np.empty(count)
    for player in range(count):
        without = numbers[~masks[:, player]]
        weights = np.array([1 / (count * comb(count - 1, size)) for size in sizes[without].tolist()])
        values[player] = (weights * (scores[without | 1 << player] - scores[without])).sum()
    return values


def sampled(
    worth: Worth, count: int, permutations: int, seed: int, report: Report | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Shapley values as means over random orders and their reverses, with standard errors.

    In every order the contributions add up to the whole effect, so their means do too.
    """
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in parts(range(permutations // 2), what="Shapley values", report=report):
        order = rng.permutation(count)
        pairs.append(np.mean([_along(worth, order), _along(worth, order[::-1])], axis=0))
    found = np.stack(pairs)
    if len(pairs) < 2:
        return found[0], np.full(count, np.nan)
    return found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(len(pairs))


def _along(worth: Worth, order: np.ndarray) -> np.ndarray:
    """What each player adds when players come in this order."""
    coalitions = np.zeros((len(order) + 1, len(order)), bool)
    for place, player in enumerate(order):
        coalitions[place + 1 :, player] = True
    added = np.empty(len(order))
    added[order] = np.diff(worth(coalitions))
    return added
