"""Automata out of networks that are known to be one, or known not to be."""

import json

import numpy as np
import pytest

from hiddenstate.bundle import Bundle
from hiddenstate.errors import DataError, OptionError
from hiddenstate.lens.automata import extract_automaton
from hiddenstate.lens.automaton import Automaton
from hiddenstate.lens.clusters import grid, k_means
from hiddenstate.lens.examples import counter, parity, shift_register
from hiddenstate.lens.shares import discoveries, two_sided, wilson
from hiddenstate.spec import Embed, Input, Linear, ModelSpec, Pool, Recurrent

PARITY = Automaton(("0", "1"), np.array([[0, 1], [1, 0]]), np.array([0, 1]), 0)


def strings(count=40, longest=12, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 2, rng.integers(1, longest + 1)) for _ in range(count)]


def pooled_parity():
    one = parity()
    head = Linear("head", "pool", 1)
    spec = ModelSpec(one.spec.inputs, (*one.spec.blocks[:2], Pool("pool", "rnn", "last"), head))
    return Bundle(spec, one.params)


@pytest.mark.parametrize("how", ["cluster", "grid"])
@pytest.mark.parametrize("make", [parity, pooled_parity])
def test_parity_is_found_exactly(make, how):
    made = extract_automaton(make(), strings(), how=how)
    assert made.automaton.same_as(PARITY)
    assert len(made.automaton) == 2
    assert (made.fidelity, made.step_fidelity, made.violations, made.label_violations) == (1, 1, 0, 0)
    assert made.agrees
    assert made.learned_states == 2
    assert made.interval.low < 1
    assert "automaton of 2 states" in made.sentence()
    json.dumps(made.to_json(), allow_nan=False)


def test_held_out_strings_can_be_longer():
    made = extract_automaton(parity(), strings(), held_out=strings(10, 60, seed=1))
    assert made.fidelity == 1
    assert made.strings == 10


def test_a_shift_register_remembers_its_last_symbols():
    # Answers whether the symbol before the last was above 1.5: four states, one for each last two symbols.
    rng = np.random.default_rng(0)
    made = extract_automaton(
        shift_register(2),
        [rng.integers(1, 3, 12).astype(float) for _ in range(30)],
        decide=lambda output: output[:, 0] > 1.5,
    )
    assert made.automaton.symbols == ("1", "2")
    assert len(made.automaton) == 4
    assert made.fidelity == 1
    assert made.agrees


def test_a_counter_is_no_automaton_and_the_result_says_so():
    rng = np.random.default_rng(0)
    walks = [rng.choice([-1.0, 1.0], 40) for _ in range(20)]
    made = extract_automaton(counter(), walks, max_states=4)
    assert made.violations > 0
    assert not made.agrees
    assert "sketch" in made.sentence()


def test_bad_strings_are_refused():
    with pytest.raises(DataError, match="too few strings"):
        extract_automaton(parity(), strings(1))
    with pytest.raises(OptionError, match="unknown way"):
        extract_automaton(parity(), strings(), how="guess")
    with pytest.raises(DataError, match="too many symbols"):
        extract_automaton(counter(), [np.arange(100.0), np.ones(3)])
    with pytest.raises(DataError, match="look alike"):
        extract_automaton(counter(), [np.array([1.0, 1.000001]), np.ones(3)])


def test_ids_behind_an_embedding_of_a_random_network_give_a_faithful_sketch():
    spec = ModelSpec(
        (Input("x", kind="ids", size=2),),
        (Embed("e", "x", 2), Recurrent("r", "e", "gru", 3), Linear("y", "r", 2)),
    )
    rng = np.random.default_rng(5)
    model = Bundle(spec, {n: rng.normal(size=s).astype(np.float32) for n, s in spec.param_shapes().items()})
    made = extract_automaton(model, strings(), max_states=8)
    assert made.fidelity >= 0.7
    assert made.groups <= 8


def test_groups():
    points = np.concatenate([np.random.default_rng(0).normal(c, 0.01, (20, 2)) for c in (0, 1, 3)])
    means = k_means(points, 3)
    assert sorted(np.round(means.centres[:, 0]).tolist()) == [0, 1, 3]
    assert len(set(means.of(points[:20]).tolist())) == 1
    assert len(k_means(np.ones((5, 2)), 3).centres) == 1
    cells = grid(np.array([[0.0, 5.0], [0.4, 5.0], [1.0, 5.0]]), 2)
    assert cells.of(np.array([[0.1, 5.0], [0.9, 5.0], [7.0, 5.0]])).tolist() == [0, 1, 1]


def test_shares_against_other_libraries():
    from scipy import stats

    for hits, count in [(3, 10), (20, 20), (0, 7)]:
        wanted = stats.binomtest(hits, count).proportion_ci(method="wilson")
        made = wilson(hits, count, of="x")
        assert (float(made.low), float(made.high)) == pytest.approx((wanted.low, wanted.high), abs=1e-9)
    z = np.array([0.0, -1.5, 3.0])
    np.testing.assert_allclose(two_sided(z), 2 * stats.norm.sf(np.abs(z)))
    p = np.random.default_rng(0).random((4, 5)) ** 3
    assert np.array_equal(discoveries(p), (stats.false_discovery_control(p.ravel()) <= 0.05).reshape(p.shape))
