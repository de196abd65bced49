"""Gradients through time against closed forms and torch."""

import numpy as np
import pytest
import torch

from hiddenstate import lens, nn
from hiddenstate.bundle import Bundle
from hiddenstate.errors import DataError, OptionError
from hiddenstate.lens.examples import counter, decaying, linear
from hiddenstate.spec import Input, Linear, ModelSpec, Pool, Recurrent
from random_models import CLASSIFIER, SMALL, bundle_of


def positive(count=3, steps=40, size=1):
    return [np.random.default_rng(i).random((steps, size)) + 0.1 for i in range(count)]


# ---- G1


@pytest.mark.parametrize("gain", [0.5, 0.9, 1.0, 1.1])
def test_the_gain_of_a_linear_network_is_its_eigenvalue(gain):
    made = lens.gradient_through_time(decaying(gain, size=3), positive(), max_lag=20)
    assert made.gain_per_step == pytest.approx(gain, rel=1e-4)
    np.testing.assert_allclose(made.norm / made.norm[0], gain**made.lag, rtol=1e-4)
    assert made.fit == pytest.approx(1.0, abs=1e-4)
    assert made.interval.low <= made.gain_per_step + 1e-6
    assert made.half_life == pytest.approx(np.log(0.5) / np.log(gain) if gain < 1 else np.inf, rel=1e-3)


def test_the_curve_follows_the_powers_of_the_recurrent_matrix():
    matrix, out = np.array([[0.5, 0.3], [0.1, 0.6]]), np.array([[1.0, 0.2]])
    made = lens.gradient_through_time(linear(matrix, np.ones((2, 1)), out), positive(), max_lag=15)
    wanted = [np.linalg.norm(np.linalg.matrix_power(matrix.T, k) @ out[0]) for k in range(16)]
    np.testing.assert_allclose(made.norm / made.norm[0], wanted / wanted[0], rtol=1e-4)


def test_a_forget_gate_of_one_keeps_the_gradient():
    kept = lens.gradient_through_time(counter(), positive(), max_lag=30)
    assert kept.gain_per_step == pytest.approx(1.0, abs=1e-6)
    assert (kept.reach, kept.censored) == (30, True)
    assert "keeps" in kept.sentence()
    lost = lens.gradient_through_time(counter(keep=0.7), positive(), max_lag=30)
    assert lost.gain_per_step == pytest.approx(0.7, rel=1e-4)
    np.testing.assert_allclose(lost.norm[1:] / lost.norm[1], 0.7 ** np.arange(30), rtol=1e-3)
    last = int(np.log(0.01 * lost.norm.max() / lost.norm[1]) / np.log(0.7)) + 1
    assert (lost.reach, lost.censored) == (last, False)


def both_ways(forward, backward, pool=None):
    options = {"nonlinearity": "relu"}
    blocks = [Recurrent("rnn", "x", "rnn", 1, bias=False, bidirectional=True, options=options)]
    blocks += [Pool("pool", "rnn", pool)] if pool else []
    spec = ModelSpec((Input("x"),), (*blocks, Linear("head", blocks[-1].name, 1, bias=False)))
    params = {name: np.ones(shape, np.float32) for name, shape in spec.param_shapes().items()}
    params["rnn.weight_hh_l0"][:], params["rnn.weight_hh_l0_reverse"][:] = forward, backward
    return Bundle(spec, params)


def test_a_layer_that_reads_backwards_looks_back_the_other_way():
    model = both_ways(0.5, 0.8)
    assert lens.gradient_through_time(model, positive(), max_lag=10).gain_per_step == pytest.approx(0.5, 1e-4)
    other = lens.gradient_through_time(model, positive(), max_lag=10, layer="rnn_l0_reverse")
    assert other.gain_per_step == pytest.approx(0.8, rel=1e-4)


def test_the_loss_of_a_whole_sequence_is_followed_back_from_its_end():
    made = lens.gradient_through_time(both_ways(0.5, 0.8, "last"), positive(), max_lag=10)
    assert made.gain_per_step == pytest.approx(0.5, rel=1e-4)


def test_no_gradient_where_nothing_is_carried():
    made = lens.gradient_through_time(decaying(0.0), positive(), max_lag=5)
    assert made.reach == 0
    assert "No gradient" in made.sentence()


def test_sequences_shorter_than_the_lag_are_refused_or_left_out():
    with pytest.raises(DataError, match=r"shorter than the lag.*at least 41 steps"):
        lens.gradient_through_time(decaying(0.5), positive(), max_lag=40)
    mixed = [*positive(2, 40), np.ones((5, 1))]
    assert lens.gradient_through_time(decaying(0.5), mixed, max_lag=20).interval.sequences == 2
    assert len(lens.gradient_through_time(decaying(0.5), mixed).lag) == 40
    with pytest.raises(OptionError, match="max_lag"):
        lens.gradient_through_time(decaying(0.5), mixed, max_lag=0)


# ---- G4


def torch_gradient(bundle, x, window):
    module = nn.build(bundle.spec)
    module.load_state_dict({name: torch.tensor(value) for name, value in bundle.params.items()})
    state, total = None, 0
    for start in range(0, len(x), window):
        output, state = module({"x": torch.tensor(x[start : start + window])[:, None]}, state)
        total = total + 0.5 * (output**2).sum() / len(x)
        state = {name: type(record)(*(part.detach() for part in record)) for name, record in state.items()}
    total.backward()
    return np.concatenate(
        [p.grad.numpy().ravel() for name, p in module.named_parameters() if name.startswith("rnn")]
    )


def test_truncation_bias_is_that_of_torch_with_detached_states():
    bundle = bundle_of(SMALL)
    data = [np.random.default_rng(i).normal(size=(24, 3)).astype(np.float32) for i in range(3)]
    made = lens.truncation_bias(bundle, data, windows=[1, 5, 24])
    full = sum(torch_gradient(bundle, x, 24) for x in data)
    for place, window in enumerate([1, 5, 24]):
        cut = sum(torch_gradient(bundle, x, window) for x in data)
        error = np.linalg.norm(cut - full) / np.linalg.norm(full)
        cosine = cut @ full / np.linalg.norm(cut) / np.linalg.norm(full)
        assert made.error[place] == pytest.approx(error, abs=1e-5)
        assert made.cosine[place] == pytest.approx(cosine, abs=1e-5)
    assert made.error[-1] == 0
    assert (made.interval.low <= made.error + 1e-9).all()
    assert "Windows of" in made.sentence()


def test_truncation_bias_refuses_what_is_not_truncated():
    with pytest.raises(OptionError, match="every step"):
        lens.truncation_bias(bundle_of(CLASSIFIER), [np.ones((5, 3))])
    with pytest.raises(DataError, match="shorter than the window"):
        lens.truncation_bias(bundle_of(SMALL), [np.ones((5, 3))], windows=[2, 8])
    assert lens.truncation_bias(bundle_of(SMALL), [np.ones((9, 3))]).window.tolist() == [4, 8]
