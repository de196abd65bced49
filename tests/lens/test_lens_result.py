"""What all results have in common, and intervals with a known answer."""

import dataclasses
import json

import numpy as np
import pytest

from hiddenstate import lens
from hiddenstate.errors import OptionError
from hiddenstate.lens.result import StepMeans, bootstrap, check_count, plain
from random_models import CHARACTERS, SMALL, bundle_of

NUMBERS = [np.random.default_rng(i).normal(size=(30 + i, 3)) for i in range(4)]
IDS = [np.random.default_rng(i).integers(0, 7, 30) for i in range(4)]
OVER_DATA = {
    "gradient_through_time": {"max_lag": 6},
    "truncation_bias": {"windows": [1, 4]},
    "gate_saturation": {},
    "state_saturation": {},
    "gate_time_constants": {},
    "input_reach": {"max_lag": 6},
    "effective_context": {"max_context": 8},
    "memory_capacity": {"max_lag": 4},
    "norm_drift": {"beyond": 5},
    "dead_units": {},
    "used_dimension": {},
}


def measure(name, spec):
    """One measurement on a small random model."""
    if name == "clip_statistics":
        return lens.clip_statistics([1.0, 2.0, 3.0], 2.0)
    params = bundle_of(spec).params
    if name == "update_ratios":
        after = {key: value * 1.1 for key, value in params.items()}
        return lens.update_ratios(spec, [params, after, params])
    data = NUMBERS if spec is SMALL else IDS
    return getattr(lens, name)(bundle_of(spec), data, **OVER_DATA[name])


@pytest.mark.parametrize("spec", [SMALL, CHARACTERS], ids=["numbers", "symbols"])
@pytest.mark.parametrize("name", [*OVER_DATA, "clip_statistics", "update_ratios"])
def test_every_result_keeps_the_contract(name, spec):
    made = measure(name, spec)
    assert isinstance(made, lens.Measurement)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.convention = ""
    figure = np.asarray(getattr(made, made.interval.of), np.float64)
    low, high = (
        np.broadcast_to(made.interval.low, figure.shape),
        np.broadcast_to(made.interval.high, figure.shape),
    )
    assert low.shape == figure.shape
    known = np.isfinite(figure)
    assert (low[known] <= high[known]).all()
    assert len(made.convention) > 20
    assert made.sentence()[0].isupper()
    assert made.sentence().endswith(".")
    assert "nan" not in made.sentence()
    lengths = {len(column) for column in made.table().values()}
    assert len(lengths) == 1
    data = json.loads(json.dumps(made.to_json(), allow_nan=False))
    assert data["measurement"] == type(made).__name__
    assert data["interval"]["level"] == 0.95


@pytest.mark.parametrize("name", OVER_DATA)
def test_the_same_seed_gives_the_same_result(name):
    model, options = bundle_of(SMALL), OVER_DATA[name]
    first, second = (getattr(lens, name)(model, NUMBERS, seed=3, **options).to_json() for _ in range(2))
    assert first == second


@pytest.mark.parametrize("name", OVER_DATA)
def test_one_sequence_has_no_interval(name):
    made = getattr(lens, name)(bundle_of(SMALL), NUMBERS[:1], **OVER_DATA[name])
    if name != "memory_capacity":  # it draws its own sequences
        assert np.isnan(made.interval.low).all()
        assert made.interval.sequences == 1
        assert str(made.interval) == "one sequence, so no interval"
    json.dumps(made.to_json(), allow_nan=False)


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    hits = [bootstrap(rng.normal(size=60), of="x", seed=i) for i in range(60)]
    assert 52 <= sum(bool(made.low < 0 < made.high) for made in hits) <= 60


def test_means_count_steps_not_sequences():
    values = np.array([[1.0, 5.0], [1.0, 0.0], [1.0, 0.0]])
    valid = np.array([[True, True], [True, False], [True, False]])
    means = StepMeans.of(values, valid)
    assert means.mean() == 2.0
    assert means.mean(np.array([1, 1])) == 5.0
    made = means.interval(of="x")
    assert (made.low, made.high) == (1.0, 5.0)


def test_plain_data():
    assert plain({"a": np.array([1.0, np.nan]), "b": (np.int64(3), np.inf)}) == {
        "a": [1.0, None],
        "b": [3, None],
    }
    for bad in (0, 1.5, True, "3"):
        with pytest.raises(OptionError, match="lag"):
            check_count(bad, 1, "lag")
