"""Attributions: exact for linear models, Shapley against all orders, gradients against finite differences."""

import itertools

import numpy as np
import pytest

from hiddenstate.bundle import Bundle
from hiddenstate.errors import DataError, OptionError
from hiddenstate.lens.attribution import check_ranking, faithfulness, integrated_gradients, occlusion
from hiddenstate.lens.examples import decaying, shift_register
from hiddenstate.lens.scorer import Scorer
from hiddenstate.lens.shapley import event_shapley, exact, oldest_negligible, sampled
from hiddenstate.spec import Concat, Embed, Input, Linear, ModelSpec, Pool, Recurrent

METHODS = [integrated_gradients, occlusion, event_shapley]
X = np.array([3.0, 0.5, 2.0, 1.0, 4.0, 0.25])


def mixed(*, pooled=False, bidirectional=False, seed=0):
    """Ids and numbers, read together."""
    blocks = [
        Embed("emb", "ids", 2),
        Concat("both", ("emb", "x")),
        Recurrent("rnn", "both", "lstm", 3, num_layers=2, bidirectional=bidirectional),
        *([Pool("pool", "rnn", "mean")] if pooled else []),
        Linear("head", "pool" if pooled else "rnn", 2),
    ]
    spec = ModelSpec((Input("ids", kind="ids", size=4), Input("x", size=2)), tuple(blocks))
    rng = np.random.default_rng(seed)
    return Bundle(spec, {n: rng.normal(size=s).astype(np.float32) for n, s in spec.param_shapes().items()})


def sequence(steps=7, seed=0):
    rng = np.random.default_rng(seed)
    return {"ids": rng.integers(0, 4, steps), "x": rng.normal(size=(steps, 2))}


@pytest.mark.parametrize("method", METHODS)
def test_exact_for_a_linear_network(method):
    options = {"tolerance": 0} if method is event_shapley else {}
    made = method(decaying(0.5), X, **options)
    np.testing.assert_allclose(made.value, X * 0.5 ** np.arange(5, -1, -1), atol=1e-9)
    assert made.gap == pytest.approx(0, abs=1e-9)
    assert made.base_score == 0
    assert made.top(1) == [4]
    assert "'4'" in made.sentence()
    earlier = method(decaying(0.5), X, step=2, **options)
    np.testing.assert_allclose(earlier.value, [0.75, 0.25, 2, 0, 0, 0], atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_only_the_step_that_is_read_out_counts(method):
    made = method(shift_register(4), np.arange(1.0, 21.0))
    wanted = np.zeros(20)
    wanted[16] = 17
    np.testing.assert_allclose(made.value, wanted, atol=1e-9)
    assert made.faithfulness.passed
    assert made.faithfulness.drop == pytest.approx(17)
    assert "more than chance" in made.sentence()


@pytest.mark.parametrize("baseline", ["zero", "mean", {"emb": [1, 2], "x": [0, 0.5]}])
@pytest.mark.parametrize("kind", [{}, {"pooled": True}, {"bidirectional": True, "pooled": True}])
def test_integrated_gradients_are_complete(kind, baseline):
    made = integrated_gradients(mixed(**kind), sequence(), baseline=baseline, target=1)
    assert abs(made.gap) < 1e-6 * max(1, abs(made.score - made.base_score))
    assert np.abs(made.value).sum() > 0


def test_gradient_of_the_score_is_the_finite_difference():
    scorer = Scorer(mixed(pooled=True), sequence(4), target=0)
    values = {name: value[:, None] for name, value in scorer.values.items()}
    exact_slope = scorer.gradient(scorer.run(values))
    for name, value in values.items():
        for place in np.ndindex(value.shape):
            moved = [dict(values), dict(values)]
            for sign, one in zip((1, -1), moved, strict=True):
                one[name] = value.copy()
                one[name][place] += sign * 1e-6
            up, down = (scorer.scores(scorer.run(one))[0] for one in moved)
            assert exact_slope[name][place] == pytest.approx((up - down) / 2e-6, abs=1e-7)


def test_score_is_the_models_output_and_starts_where_asked():
    model, given = mixed(), sequence()
    scorer = Scorer(model, given)
    made = scorer.probe.run([scorer.probe.encode(given)])
    assert scorer.score == pytest.approx(made.output[-1, 0].max(), abs=1e-12)
    going_on = Scorer(model, given, state=made.state, target=0)
    assert going_on.score != pytest.approx(Scorer(model, given, target=0).score, abs=1e-6)
    assert "a given state" in going_on.words


def over_orders(worth, count):
    """Shapley's definition, order by order."""
    total = np.zeros(count)
    orders = list(itertools.permutations(range(count)))
    for order in orders:
        present = np.zeros((1, count), bool)
        before = worth(present)[0]
        for player in order:
            present[0, player] = True
            after = worth(present)[0]
            total[player] += after - before
            before = after
    return total / len(orders)


def test_shapley_is_the_mean_over_all_orders():
    made = event_shapley(mixed(), sequence(5), target=1, tolerance=0)
    scorer = Scorer(mixed(), sequence(5), target=1)
    np.testing.assert_allclose(made.value, over_orders(scorer.masked, 5), atol=1e-12)
    assert made.gap == pytest.approx(0, abs=1e-12)


def test_sampled_shapley_agrees_within_its_error():
    scorer = Scorer(mixed(seed=3), sequence(8), target=1)
    wanted = exact(scorer.masked, 8)
    found, error = sampled(scorer.masked, 8, 128, seed=0)
    assert (np.abs(found - wanted) < 4 * error + 1e-12).all()
    assert found.sum() == pytest.approx(wanted.sum())
    long = event_shapley(mixed(seed=3), sequence(14), target=1, tolerance=0, permutations=8)
    assert long.gap == pytest.approx(0, abs=1e-9)
    assert (long.error > 0).all()


def test_old_steps_are_one_player_until_they_matter():
    scorer = Scorer(decaying(0.5), np.ones(40))
    assert oldest_negligible(scorer, 0.01) == 33  # sum of 2^-7 ... 2^-39 is below 2 / 100, of 2^-6 ... is not
    made = event_shapley(decaying(0.5), np.ones(40), tolerance=0.01)
    np.testing.assert_allclose(made.value[33:], 0.5 ** np.arange(6, -1, -1), atol=1e-12)
    assert made.value[:33].sum() == pytest.approx(2 - 2**-39 - sum(0.5 ** np.arange(7)))
    assert (made.error == 0).all()


def test_a_ranking_by_chance_does_not_pass():
    scorer = Scorer(shift_register(4), np.arange(1.0, 21.0))
    failed = check_ranking(scorer, -np.eye(20)[16])
    assert not failed.passed
    assert "do not trust" in failed.sentence()


def test_faithfulness_over_data():
    rows = [np.arange(1.0, 21.0), np.arange(2.0, 18.0), np.arange(1.0, 12.0)]
    made = faithfulness(shift_register(4), rows, method=occlusion)
    assert made.passed == 1
    np.testing.assert_allclose(made.drop, [17, 14, 8])
    assert made.interval.low > 0
    assert "the model uses" in made.sentence()
    assert len(made.table()["sequence"]) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": 7}, "no such output"),
        ({"target": "positive"}, "no labels for its outputs"),
        ({"target": True}, "no such output"),
        ({"step": 6}, "no such step"),
        ({"step": -1}, "no such step"),
        ({"baseline": "noise"}, "unknown baseline"),
        ({"baseline": {"y": 0}}, "not a baseline"),
        ({"baseline": {"x": [np.nan]}}, "not a baseline"),
        ({"baseline": {"x": [1, 2]}}, "not a baseline"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(OptionError, match=message):
        occlusion(decaying(0.5), X, **options)


def test_bad_sequences_are_refused():
    with pytest.raises(DataError, match="single step"):
        occlusion(decaying(0.5), np.ones(1))
    with pytest.raises(DataError, match="single step"):
        faithfulness(decaying(0.5), [np.ones(1)])
    with pytest.raises(DataError):
        occlusion(decaying(0.5), np.array([1.0, np.nan]))
