"""Gain per step, its bounds, and what clipping and truncation do, on networks where all of it is known."""

import json

import numpy as np
import pytest

from hiddenstate.bundle import Bundle
from hiddenstate.errors import DataError, OptionError
from hiddenstate.lens.examples import counter, decaying, linear
from hiddenstate.lens.jacobian import step_jacobians
from hiddenstate.lens.probe import Probe
from hiddenstate.lens.vanishing import compare_gains, gain_bound, untrained
from hiddenstate.lens.weight_gradient import weight_gradient_by_lag
from hiddenstate.spec import Input, Linear, ModelSpec, Pool, Recurrent


def noise(count=3, steps=60):
    return [np.random.default_rng(seed).normal(size=steps) for seed in range(count)]


def test_a_quarter_to_the_eighth_is_left():
    made = gain_bound(decaying(0.25), [np.ones(20)])
    assert made.left == pytest.approx(0.25**8)
    assert made.recurrent_sigma.tolist() == [0.25]
    assert made.steepest.tolist() == [1]
    assert "cannot do otherwise" in made.sentence()
    assert "1.5e-05" in made.sentence()
    json.dumps(made.to_json(), allow_nan=False)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_no_step_goes_beyond_its_bound(cell):
    model = untrained(cell, hidden_size=12, seed=1)
    made = gain_bound(model, noise(), max_lag=20)
    assert step_jacobians(model, noise()).sigma_max.max() <= made.bound[0] + 1e-12
    assert made.gain_per_step <= made.bound[0]
    assert np.isnan(made.steepest[0]) == (cell != "rnn")


def test_bound_of_a_plain_network_is_sigma_times_slope():
    model = untrained("rnn", hidden_size=6, radius=1.5)
    made = gain_bound(model, noise())
    probe = Probe(model)
    run = probe.run(probe.read(noise()))
    slope = (1 - run.states("rnn_l0").h ** 2).max()
    sigma = np.linalg.norm(model.params["rnn.weight_hh_l0"], 2)
    assert made.bound[0] == pytest.approx(sigma * slope, rel=1e-5)


def test_exploding_and_lasting_are_named():
    assert "explode" in gain_bound(decaying(1.2), [np.ones(30)]).sentence()
    assert "Gradients last" in gain_bound(counter(), [np.ones(30)]).sentence()


def test_untrained_networks_start_as_asked():
    made = untrained("gru", hidden_size=8, start="orthogonal", seed=3).params
    for block in np.split(made["rnn.weight_hh_l0"], 3):
        np.testing.assert_allclose(block @ block.T, np.eye(8), atol=1e-6)
    assert not made["rnn.bias_hh_l0"].any()
    drawn = untrained("lstm", hidden_size=16, forget_bias=2).params
    assert np.abs(drawn["rnn.weight_hh_l0"]).max() <= 0.25
    assert (drawn["rnn.bias_ih_l0"] + drawn["rnn.bias_hh_l0"])[16:32].tolist() == [2] * 16
    scaled = untrained("lstm", hidden_size=16, radius=1.25).params["rnn.weight_hh_l0"]
    for block in np.split(scaled, 4):
        assert np.abs(np.linalg.eigvals(block)).max() == pytest.approx(1.25, rel=1e-5)
    for bad in ({"start": "zeros"}, {"forget_bias": 1.0}):
        with pytest.raises(OptionError):
            untrained("gru", hidden_size=4, **bad)


def test_cells_side_by_side():
    kinds = {
        "rnn": [untrained("rnn", hidden_size=8, seed=n) for n in range(3)],
        "lstm": [untrained("lstm", hidden_size=8, seed=n, forget_bias=4) for n in range(3)],
        "half": [decaying(0.5)],
    }
    made = compare_gains(kinds, [np.abs(x) for x in noise()], max_lag=30)
    assert made.sigma_max.shape == (3, 31)
    assert made.gain_per_step[2] == pytest.approx(0.5)
    assert made.half_life[2] == pytest.approx(1)
    assert made.gain_per_step[0] < 0.8 < 0.95 < made.gain_per_step[1] < 1
    assert made.interval.low[0] <= made.gain_per_step[0] <= made.interval.high[0]
    assert np.isnan(made.interval.low[2])
    assert made.reference[8] == 0.25**8
    assert "lstm" in made.sentence()
    assert made.table()["networks"].tolist() == [3, 3, 1]
    json.dumps(made.to_json(), allow_nan=False)
    with pytest.raises(OptionError, match="nothing to compare"):
        compare_gains({"rnn": []}, noise())


def test_parts_by_lag_of_a_linear_network():
    # h_t = w h_{t-1} + x_t, y = h: dy_T/dw = sum_k w^k h_{T-k-1}, dy_T/dv = sum_k w^k x_{T-k}.
    w, steps = 0.5, 30
    x = np.random.default_rng(0).uniform(0.5, 1.5, steps)
    made = weight_gradient_by_lag(decaying(w), [x], max_lag=12, window=4, clip_norm=0.01)
    h = np.concatenate([[0.0], [sum(w ** (t - s) * x[s] for s in range(t + 1)) for t in range(steps)]])
    pull = h[-1]  # the loss is half the squared output
    lag = np.arange(12)
    pieces = pull * w ** lag[:, None] * np.column_stack([x[steps - 1 - lag], h[steps - 1 - lag]])
    np.testing.assert_allclose(made.part, np.linalg.norm(pieces, axis=1), rtol=1e-6)
    whole = pieces.sum(axis=0)
    assert made.norm == pytest.approx(np.linalg.norm(whole))
    assert made.scale == pytest.approx(0.01 / np.linalg.norm(whole))
    np.testing.assert_allclose(made.clipped, made.part * made.scale)
    assert made.truncated[3] == made.part[3]
    assert not made.truncated[4:].any()
    assert made.truncation_error == pytest.approx(np.linalg.norm(pieces[4:].sum(axis=0)) / made.norm)
    assert "stays vanished" in made.sentence()


def test_all_lags_together_are_the_ordinary_gradient():
    # Without biases a first input of 0 moves nothing, so that the first step adds nothing to the gradient.
    blocks = (Recurrent("rnn", "x", "lstm", 3, num_layers=2, bias=False), Linear("y", "rnn", 2))
    spec = ModelSpec((Input("x"),), blocks)
    rng = np.random.default_rng(0)
    model = Bundle(spec, {n: rng.normal(size=s).astype(np.float32) for n, s in spec.param_shapes().items()})
    x = [np.concatenate([[0.0], one]) for one in noise(2, 9)]
    made = weight_gradient_by_lag(model, x, max_lag=9, window=9, clip_norm=None)
    probe = Probe(model, dtype="float64")
    run = probe.run(probe.read(x))
    found = run.backward(run.only_step(run.lengths - 1, run.loss().d_output)).d_params
    whole = [(value / 2).ravel() for name, value in found.items() if name.startswith("rnn")]
    assert made.norm == pytest.approx(np.linalg.norm(np.concatenate(whole)), rel=1e-9)
    assert (made.scale, made.truncation_error) == (1, 0)
    assert (made.interval.low <= made.part).all()


def test_pooled_models_need_a_last_state():
    def pooled(how):
        blocks = (Recurrent("rnn", "x", "gru", 3), Pool("pool", "rnn", how), Linear("y", "pool", 2))
        spec = ModelSpec((Input("x"),), blocks)
        rng = np.random.default_rng(0)
        return Bundle(
            spec, {n: rng.normal(size=s).astype(np.float32) for n, s in spec.param_shapes().items()}
        )

    made = weight_gradient_by_lag(pooled("last"), noise(2, 12), max_lag=8)
    assert (made.part > 0).all()
    with pytest.raises(OptionError, match="no single step"):
        weight_gradient_by_lag(pooled("mean"), noise(2, 12))


def test_bad_numbers_are_refused():
    with pytest.raises(OptionError, match="clip_norm"):
        weight_gradient_by_lag(decaying(0.5), noise(), clip_norm=0)
    with pytest.raises(OptionError, match="window"):
        weight_gradient_by_lag(decaying(0.5), noise(), window=0)
    with pytest.raises(DataError, match="shorter than the lag"):
        weight_gradient_by_lag(linear(np.eye(1), np.eye(1), np.eye(1)), noise(), max_lag=60)
