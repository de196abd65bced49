"""Principal components against scikit-learn; counters that count."""

import json

import numpy as np
import pytest
from sklearn.decomposition import PCA

from hiddenstate.bundle import Bundle
from hiddenstate.errors import DataError, ShapeError
from hiddenstate.lens.counting import counter_test
from hiddenstate.lens.examples import counter, decaying
from hiddenstate.lens.probe import Probe
from hiddenstate.lens.trajectory import trajectory
from hiddenstate.spec import Input, ModelSpec, Recurrent


def random_model(size=6, seed=0):
    spec = ModelSpec((Input("x"),), (Recurrent("rnn", "x", "lstm", size),))
    rng = np.random.default_rng(seed)
    return Bundle(spec, {n: rng.normal(size=s).astype(np.float32) for n, s in spec.param_shapes().items()})


def walks(count=5, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=20 + n) for n in range(count)]


def test_directions_are_principal_components():
    made = trajectory(random_model(), walks())
    probe = Probe(random_model())
    run = probe.run(probe.read(walks()))
    states = np.concatenate([run.joined("rnn_l0")[: len(x), row] for row, x in enumerate(walks())])
    wanted = PCA(3).fit(states.astype(float))
    np.testing.assert_allclose(made.share, wanted.explained_variance_ratio_, rtol=1e-6)
    np.testing.assert_allclose(np.abs(made.axes), np.abs(wanted.components_), atol=1e-5)
    np.testing.assert_allclose(np.concatenate(made.path), made.project(states), atol=1e-6)
    assert [len(path) for path in made.path] == [len(x) for x in walks()]
    assert (made.interval.low <= made.share).all()
    assert (made.share <= made.interval.high).all()
    assert "of the movement" in made.sentence()
    json.dumps(made.to_json(), allow_nan=False)


def test_another_model_on_the_same_axes():
    first = trajectory(random_model(), walks())
    again = trajectory(random_model(), walks(seed=1), like=first)
    assert again.borrowed
    assert again.axes is first.axes
    assert again.share.sum() < 1
    same = trajectory(random_model(), walks(), like=first)
    np.testing.assert_allclose(same.share, first.share)
    with pytest.raises(ShapeError, match="another state"):
        trajectory(random_model(5), walks(), like=first)
    with pytest.raises(ShapeError, match="another width"):
        first.project(np.zeros(3))


def test_a_single_step_has_no_direction():
    with pytest.raises(DataError, match="single state"):
        trajectory(decaying(0.5), [np.ones(1)])


def test_a_counter_counts_beyond_training_and_a_leaky_one_does_not():
    rng = np.random.default_rng(0)
    steps = [rng.choice([-1.0, 1.0], 80, p=[0.3, 0.7]) for _ in range(6)]
    counts = [np.cumsum(x) for x in steps]
    made = counter_test(counter(), steps, counts, trained_length=30)
    assert made.correlation[0] == pytest.approx(1, abs=1e-6)
    assert made.slope[0] == pytest.approx(np.tanh(0.01), rel=1e-3)
    assert made.slope_beyond[0] == pytest.approx(made.slope[0], rel=1e-3)
    assert "its slope is 100% of that" in made.sentence()
    leaky = counter_test(counter(keep=0.8), steps, counts, trained_length=30)
    assert leaky.slope_beyond[0] < 0.5 * made.slope[0]
    assert leaky.interval.low[0] < leaky.correlation[0] < leaky.interval.high[0]


def test_correlation_is_that_of_numpy():
    x = walks()
    counts = [np.cumsum(one > 0) for one in x]
    made = counter_test(random_model(), x, counts, trained_length=20, of="h")
    probe = Probe(random_model())
    h = probe.run(probe.read(x)).states("rnn_l0").h[:20]
    flat = np.concatenate([h[:, row] for row in range(len(x))])
    wanted = np.corrcoef(np.concatenate([one[:20] for one in counts]), flat.T)[0, 1:]
    found = dict(zip(made.unit, made.correlation.tolist(), strict=True))
    for unit, value in enumerate(wanted):
        assert found[f"rnn_l0.h[{unit}]"] == pytest.approx(value, abs=1e-6)


def test_within_training_only():
    made = counter_test(counter(), [np.ones(10)], [np.arange(10)], trained_length=10)
    assert np.isnan(made.slope_beyond[0])
    assert "no sequence goes beyond" in made.sentence()


def test_counts_must_be_numbers_that_vary():
    with pytest.raises(DataError, match="not numbers"):
        counter_test(counter(), [np.ones(5)], [list("abcde")], trained_length=5)
    with pytest.raises(DataError, match="nothing to count"):
        counter_test(counter(), [np.ones(5)], [[1] * 5], trained_length=5)
