"""Naive forecasts against hand-computed values, and the detection of seasons."""

import numpy as np
import pytest

from hiddenstate.tasks.forecast import baselines
from hiddenstate.tasks.forecast.season import detect_season

Y = np.array([np.nan, 2.0, 4.0, np.nan, 8.0, 10.0])
ALL = np.arange(6)
NAN = np.nan


def at(name, origin, horizon=3, season=2):
    return baselines.BASELINES[name](Y, np.array([origin]), horizon, season)[0].tolist()


def test_each_forecast_by_hand():
    assert at("last value", 3) == [4, 4, 4]
    assert at("seasonal naive", 5) == [8, 10, 8]
    assert at("seasonal naive", 5, season=3) == [4, 8, 10]  # row 3 is missing: the value before it stands in
    assert at("mean", 4) == [14 / 3] * 3
    assert at("drift", 5) == [12, 14, 16]
    assert at("drift", 1) == [2, 2, 2]


def test_before_the_first_value_there_is_no_forecast():
    for name in baselines.BASELINES:
        assert np.isnan(at(name, 0)).all()
    assert np.isnan(baselines.drift(np.full(3, NAN), np.array([2]), 2, 1)).all()


def test_a_cycle_longer_than_the_past_falls_back_to_the_last_value():
    assert at("seasonal naive", 2, season=4) == [4, 4, 2]


def test_forecasts_use_nothing_after_the_origin():
    rng = np.random.default_rng(1)
    y = rng.normal(size=30)
    for function in baselines.BASELINES.values():
        whole = function(y, np.arange(30), 5, 4)
        for origin in (0, 7, 20):
            cut = function(y[: origin + 1], np.array([origin]), 5, 4)
            np.testing.assert_array_equal(whole[origin], cut[0])


def test_forward_fill_works_on_columns():
    filled = baselines.forward_filled(np.array([[NAN, 1.0], [2.0, NAN]]), start=0.0)
    assert filled.tolist() == [[0, 1], [2, 1]]


@pytest.mark.parametrize("season", [3, 7, 24])
def test_seasons_are_found_under_noise_and_trend(season):
    t = np.arange(season * 12)
    rng = np.random.default_rng(season)
    y = 0.05 * t + np.sin(2 * np.pi * t / season) + 0.1 * rng.normal(size=len(t))
    assert detect_season(y) == season


def test_no_season_where_there_is_none():
    rng = np.random.default_rng(0)
    assert detect_season(rng.normal(size=500)) == 1
    assert detect_season(rng.normal(size=500).cumsum()) == 1
    assert detect_season(np.zeros(100)) == 1
    assert detect_season(np.arange(5.0)) == 1
