"""Memory lengths of networks whose memory is known."""

import numpy as np
import pytest

from hiddenstate import lens
from hiddenstate.errors import DataError, OptionError
from hiddenstate.lens.examples import decaying, linear, shift_register
from random_models import CHARACTERS, CLASSIFIER, TWO_WAYS, bundle_of


def noise(count=4, steps=40, size=1):
    return [np.random.default_rng(i).random((steps, size)) + 0.1 for i in range(count)]


# ---- M2


def test_a_shift_register_reaches_exactly_as_far_as_it_is_long():
    made = lens.input_reach(shift_register(6), noise(), max_lag=12)
    np.testing.assert_allclose(made.sensitivity, np.eye(13)[5])
    assert (made.length, made.censored) == (5, False)
    assert (made.interval.low, made.interval.high) == (5, 5)


def test_the_length_of_an_exponential_memory():
    made = lens.input_reach(decaying(0.8), noise(), max_lag=39)
    np.testing.assert_allclose(made.sensitivity, 0.8**made.lag, rtol=1e-5)
    assert made.half_life == pytest.approx(np.log(0.5) / np.log(0.8), rel=1e-4)
    assert made.length == int(np.ceil(np.log(0.05) / np.log(0.8))) - 1


def test_the_norm_of_many_outputs_is_estimated():
    one = np.eye(16)
    made = lens.input_reach(linear(0.5 * one, one, one), noise(size=16), max_lag=6)
    np.testing.assert_allclose(made.sensitivity, 4 * 0.5**made.lag, rtol=1e-5)


def test_symbols_count_by_their_vectors_and_pooled_answers_by_the_end():
    ids = [np.random.default_rng(i).integers(0, 7, 30) for i in range(3)]
    bundle = bundle_of(CHARACTERS)
    made = lens.input_reach(bundle, ids, max_lag=10)
    probe = lens.Probe(bundle, dtype="float64")
    seen = probe.run(probe.read([ids[0]]))
    step = 1e-6 * np.random.default_rng(0).normal(size=seen.nodes["table"].shape)
    moved = probe.forward({"ids": ids[0][:, None]}, given={"table": seen.nodes["table"] + step})
    back = seen.backward(seen.only_step([29])).d_nodes["table"]
    assert (moved.output[29] - seen.output[29]).sum() == pytest.approx((back * step).sum(), rel=1e-4)
    assert made.sensitivity[0] > made.sensitivity[10] > 0
    pooled = lens.input_reach(bundle_of(CLASSIFIER), noise(steps=12, size=3), max_lag=5)
    assert len(pooled.lag) == 6


# ---- M3


def test_a_shift_register_needs_its_length():
    made = lens.effective_context(shift_register(5), noise(), max_context=16, contexts=range(1, 9))
    assert (made.length, made.order_length, made.censored) == (5, 5, False)
    assert made.cut[:4].min() > 0.5
    assert abs(made.cut[4:]).max() < 1e-6
    assert made.replaced[3] > 0.5
    assert made.context.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 16]


def test_a_sum_needs_everything_in_any_order():
    made = lens.effective_context(decaying(1.0), noise(), max_context=16)
    assert (made.length, made.order_length, made.censored) == (16, 1, True)
    assert made.context.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 16]


def test_one_sequence_cannot_be_replaced_by_another():
    made = lens.effective_context(shift_register(2), noise(1), max_context=8)
    assert np.isnan(made.replaced).all()
    assert made.to_json()["replaced"][0] is None


def test_whole_sequence_answers_and_both_directions():
    pooled = lens.effective_context(bundle_of(CLASSIFIER), noise(steps=12, size=3))
    assert pooled.context[-1] == 12
    both = lens.effective_context(bundle_of(TWO_WAYS), noise(steps=12, size=3), max_context=6)
    assert both.cut[-1] == 0


def test_contexts_out_of_range():
    with pytest.raises(DataError, match="shorter than the context"):
        lens.effective_context(shift_register(2), noise(), max_context=50)
    with pytest.raises(OptionError, match="1 to 8"):
        lens.effective_context(shift_register(2), noise(), max_context=8, contexts=[9])


# ---- M5


@pytest.mark.parametrize("length", [1, 4])
def test_the_capacity_of_a_shift_register_is_its_length(length):
    made = lens.memory_capacity(shift_register(length), noise(), max_lag=8)
    assert made.capacity == pytest.approx(length, abs=0.02)
    np.testing.assert_allclose(made.recovered[:length], 1, atol=0.01)
    assert made.recovered[length:].max() < 0.01
    assert made.baseline.max() < 0.02
    assert made.interval.low <= made.capacity <= made.interval.high + 1e-9


def test_a_scalar_state_holds_one_number_in_all():
    made = lens.memory_capacity(decaying(0.7), noise(), max_lag=20)
    np.testing.assert_allclose(made.recovered[:5], (1 - 0.7**2) * 0.7 ** (2 * made.lag[:5]), atol=0.03)
    assert made.capacity == pytest.approx(1.0, abs=0.05)


def test_vectors_count_as_one_step_and_equal_steps_are_refused():
    one = np.eye(3)
    made = lens.memory_capacity(linear(0 * one, one, one), noise(size=3), max_lag=3)
    assert made.capacity == pytest.approx(1.0, abs=0.02)
    with pytest.raises(DataError, match="are alike"):
        lens.memory_capacity(shift_register(2), [np.ones((9, 1))])
