"""The forecaster as a user meets it: quality, tables, new and short series, gaps, scikit-learn's tools."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit

import hiddenstate as hs
from hiddenstate import data

SMALL = {
    "hidden_size": 8,
    "epochs": 6,
    "progress": False,
    "context": 48,
    "learning_rate": 1e-2,
    "dropout": 0.0,
}


def forecaster(**options):
    return hs.Forecaster(**(SMALL | options))


def wave(rows, *, noise=0.0, drift=0.0, seed=0):
    t = np.arange(rows)
    return np.sin(2 * np.pi * t / 12) + drift * t + noise * np.random.default_rng(seed).normal(size=rows)


@pytest.fixture(scope="module")
def fitted():
    return forecaster(target="y", horizon=6).fit({"y": wave(400, noise=0.1, drift=0.02)})


def test_it_beats_the_naive_forecasts_where_the_level_drifts_away(fitted):
    fresh = {"y": wave(700, noise=0.1, drift=0.02, seed=0)}  # beyond row 400 the level was never seen
    score = fitted.evaluate(fresh, start=500)
    errors = {row["model"]: row["mae"] for row in score.rows}
    assert score["mae"] < 0.8 * min(error for name, error in errors.items() if name != "network")
    assert score["mae_scaled"] < 1
    assert [row["model"] for row in score.rows] == [
        "network",
        "last value",
        "seasonal naive",
        "mean",
        "drift",
    ]


def test_scores_are_those_of_the_backtest(fitted):
    table = {"y": wave(120, noise=0.1)}
    result, score = fitted.backtest(table, start=60, stride=5), fitted.evaluate(table, start=60, stride=5)
    error = result.numbers("y") - result.numbers("y_actual")
    assert len(result) == 11 * 6
    assert result.numbers("origin")[0] == 59
    np.testing.assert_array_equal(result.numbers("y_actual")[:6], table["y"][60:66])
    assert score["mae"] == pytest.approx(np.abs(error).mean())
    assert score["rmse"] == pytest.approx(np.sqrt((error**2).mean()))
    assert fitted.season_ == 12
    train = wave(400, noise=0.1, drift=0.02)[:340]
    assert score["mase"] == pytest.approx(np.abs(error).mean() / np.abs(train[12:] - train[:-12]).mean())
    assert score["mse_scaled"] == pytest.approx((error**2).mean() / train.var())
    last = np.repeat(table["y"][59 : 59 + 11 * 5 : 5], 6)
    assert score.rows[1]["mae"] == pytest.approx(np.abs(last - result.numbers("y_actual")).mean())


def test_the_same_seed_gives_the_same_model_and_another_one_another():
    table, models = {"y": wave(120, noise=0.1)}, []
    for seed in (1, 1, 2):
        models.append(forecaster(horizon=3, seed=seed, epochs=2).fit(table).predict(table).numbers("y"))
    np.testing.assert_array_equal(models[0], models[1])
    assert (models[0] != models[2]).all()


def test_the_card_tells_how_it_did(fitted):
    assert fitted.card["metrics"]["network"]["mae"] < fitted.card["metrics"]["last value"]["mae"]
    assert fitted.card["data"]["rows"] == 400


def test_time_stamps_go_on_by_their_frequency(tmp_path):
    months = np.arange("2015-01", "2022-01", dtype="datetime64[M]")
    path = tmp_path / "monthly.csv"
    path.write_text("month,sold\n" + "".join(f"{m},{v:.3f}\n" for m, v in zip(months, wave(84), strict=True)))
    model = forecaster(horizon=3, epochs=1).fit(path)
    assert (model.target_names_, model.season_, model.frequency_.name) == (("sold",), 12, "monthly")
    result = model.predict(path)
    assert result.names == ["month", "step", "sold"]
    assert result.times("month").astype("datetime64[M]").astype(str).tolist() == [
        "2022-01",
        "2022-02",
        "2022-03",
    ]
    assert len(model.predict(path, horizon=2)) == 2
    origins = model.backtest(path, start="2021-06-01").times("origin")
    assert origins[0] == np.datetime64("2021-05-01")
    session = model.stream()
    session.step({"month": "2022-01", "sold": 1.0})
    answer = session.step({"sold": 2.0})
    assert answer["month"].astype("datetime64[M]").astype(str).tolist() == ["2022-03", "2022-04", "2022-05"]


def test_a_row_that_is_not_there_is_a_row_without_a_value():
    days = np.arange("2024-01-01", "2024-06-01", dtype="datetime64[D]").astype("datetime64[us]")
    y, kept = wave(len(days), noise=0.1), np.ones(len(days), bool)
    kept[[20, 21, 60, 90]] = False
    whole = {"day": days, "y": np.where(kept, y, np.nan)}
    gaps = {"day": days[kept], "y": y[kept]}
    one, two = (
        forecaster(horizon=2, epochs=2).fit(table).predict(table).numbers("y") for table in (whole, gaps)
    )
    np.testing.assert_array_equal(one, two)


def test_rows_with_one_time_stamp_are_refused_or_merged():
    days = np.arange("2024-01-01", "2024-04-01", dtype="datetime64[D]")
    once = {"t": days, "y": wave(len(days))}
    twice = {"t": np.repeat(days, 2), "y": np.repeat(once["y"], 2) + np.tile([-1.0, 1.0], len(days))}
    with pytest.raises(hs.HiddenStateError, match="repeats"):
        forecaster(horizon=2, epochs=1).fit(twice)
    merged = forecaster(horizon=2, epochs=1, duplicates="mean").fit(twice)
    plain = forecaster(horizon=2, epochs=1).fit({"t": days, "y": (once["y"] - 1 + (once["y"] + 1)) / 2})
    assert np.allclose(merged.predict(twice).numbers("y"), plain.predict(once).numbers("y"), atol=1e-5)


def test_a_series_it_has_not_seen_is_measured_by_itself():
    """Forecasts of an unknown series grow with its scale, and move with its level."""
    table = {"id": np.repeat(["a", "b"], 150), "y": np.concatenate([wave(150), 50 * wave(150) + 900])}
    model = forecaster(target="y", id="id", horizon=4, epochs=2).fit(table)
    y = wave(60, noise=0.2)
    sizes = [(3, 0), (6e4, 1e6)]
    found = [model.predict({"id": ["x"] * 60, "y": a * y + b}).numbers("y") for a, b in sizes]
    np.testing.assert_allclose((found[1] - 1e6) / 6e4, found[0] / 3, rtol=1e-3, atol=1e-4)


def test_many_series_of_any_length_in_any_order():
    lengths = {"long": 90, "short": 5, "one": 1, "tiny": 2}
    rows = [(name, t, float(t % 4)) for name, n in lengths.items() for t in range(n)]
    order = np.random.default_rng(0).permutation(len(rows))
    table = {
        "name": [rows[i][0] for i in order],
        "t": [rows[i][1] for i in order],
        "y": [rows[i][2] for i in order],
    }
    model = forecaster(target="y", id="name", time="t", horizon=3, epochs=2).fit(table)
    result = model.predict(table)
    assert sorted(set(result.text("name"))) == sorted(lengths)
    assert result.numbers("t")[result.text("name") == "tiny"].tolist() == [2, 3, 4]
    alone = model.predict({"name": ["short"] * 5, "t": range(5), "y": [t % 4 for t in range(5)]})
    np.testing.assert_array_equal(alone.numbers("y"), result.numbers("y")[result.text("name") == "short"])


def test_a_series_without_any_value_is_no_obstacle():
    table = {"id": ["a"] * 40 + ["empty"] * 9, "known": np.arange(49.0), "y": [*wave(40), *[np.nan] * 9]}
    for future in ((), ("known",)):
        model = forecaster(target="y", id="id", future=future, horizon=2, epochs=1).fit(table)
        assert set(model.backtest(table, start=30).text("id")) == {"a"}


def test_columns_known_ahead_are_used():
    """The target is what the known column says: only a network that looks ahead can know it."""
    rng = np.random.default_rng(0)
    known = rng.normal(size=500)
    table = {"y": known + 0.01 * rng.normal(size=500), "known": known}
    model = forecaster(target="y", future=["known"], horizon=3, epochs=10).fit(table)
    score = model.evaluate(table, start=420)
    assert score["mae"] < 0.3 * score.rows[3]["mae"]


def test_static_columns_are_used():
    """Two kinds of series that only their static column tells apart."""
    parts = [(f"{kind}{i}", kind, 1.0 if kind == "up" else -1.0) for i in range(6) for kind in ("up", "down")]
    table = {
        "id": np.repeat([p[0] for p in parts], 12),
        "kind": np.repeat([p[1] for p in parts], 12),
        "y": np.concatenate([p[2] * np.arange(12.0) for p in parts]),
    }
    options = {"target": "y", "id": "id", "level": "last", "horizon": 1, "scaling": "none", "epochs": 30}
    model = forecaster(static=["kind"], validation=None, **options).fit(table)
    first = model.predict({"id": ["x", "z"], "kind": ["up", "down"], "y": [0.0, 0.0]}).numbers("y")
    assert first[0] > 0.2
    assert first[1] < -0.2


def test_quantiles_cover_what_they_say():
    y = np.random.default_rng(0).normal(size=1500) * 3 + 10
    for output in ("quantiles", "distribution"):
        model = forecaster(horizon=2, output=output, level="none", epochs=8, learning_rate=3e-3, lags=4)
        model.fit({"y": y})
        score = model.evaluate({"y": np.random.default_rng(1).normal(size=800) * 3 + 10})
        assert score["coverage"] == pytest.approx(0.8, abs=0.06)
        assert score["crps"] < 0.9 * score.rows[1]["crps"]
        result = model.predict({"y": y})
        assert result.names == ["step", "y", "y_q0.1", "y_q0.5", "y_q0.9"]
        assert (result.numbers("y_q0.1") < result.numbers("y_q0.9")).all()


def test_counts_are_forecast_as_counts():
    y = np.random.default_rng(0).poisson(3, 600)
    model = forecaster(
        horizon=2, output="distribution", distribution="negative-binomial", level="none", epochs=8
    ).fit({"y": y})
    result = model.predict({"y": y})
    low, high = result.numbers("y_q0.1"), result.numbers("y_q0.9")
    assert (low == low.round()).all()
    assert (low <= 2).all()
    assert ((high >= 4) & (high <= 8)).all()
    draws = model.sample({"y": y}, 50, seed=3).numbers("y")
    assert (draws == draws.round()).all()
    assert draws.min() >= 0


def test_a_recursive_forecaster_sees_as_far_as_is_asked():
    table = {"y": wave(400)}
    model = forecaster(horizon=2, strategy="recursive", epochs=12).fit(table)
    result = model.predict(table, horizon=24).numbers("y")
    assert np.abs(result - wave(424)[400:]).mean() < 0.35
    np.testing.assert_array_equal(model.predict(table).numbers("y"), result[:2])


def test_sample_paths_are_seeded_and_joint():
    y = np.random.default_rng(0).normal(size=400).cumsum()
    model = forecaster(horizon=5, strategy="recursive", output="distribution", samples=200, epochs=6).fit(
        {"y": y}
    )
    draws = model.sample({"y": y}, 200, seed=1)
    assert draws.names == ["step", "sample", "y"]
    paths = draws.numbers("y").reshape(200, 5)
    np.testing.assert_array_equal(paths, model.sample({"y": y}, 200, seed=1).numbers("y").reshape(200, 5))
    assert (paths != model.sample({"y": y}, 200, seed=2).numbers("y").reshape(200, 5)).any()
    assert np.corrcoef(paths[:, 3], paths[:, 4])[0, 1] > 0.5  # a random walk remembers
    result = model.predict({"y": y})
    assert (np.diff(result.numbers("y_q0.9") - result.numbers("y_q0.1")) > 0).all()


def test_frames_arrays_and_files_are_alike(tmp_path, fitted):
    y = wave(60)
    data.write({"y": y}, tmp_path / "y.parquet")
    wanted = fitted.predict({"y": y}).numbers("y")
    for source in (pd.DataFrame({"y": y}), tmp_path / "y.parquet", data.read({"y": y})):
        np.testing.assert_array_equal(fitted.predict(source).numbers("y"), wanted)
    array = forecaster(horizon=2, epochs=1).fit(y)
    assert array.predict(y).names == ["step", "value"]


def test_scikit_learn_clones_and_searches():
    model = forecaster(horizon=2, epochs=1)
    assert clone(model).get_params() == model.get_params()
    search = GridSearchCV(
        model,
        {"level": ["last", "none"]},
        cv=TimeSeriesSplit(2, test_size=30),
        error_score="raise",
    )
    search.fit(wave(120, drift=1.0)[:, None])
    assert search.best_params_ == {"level": "last"}
    assert len(search.predict(wave(40)[:, None])) == 2


def test_a_saved_model_forecasts_without_torch(tmp_path, fitted):
    fitted.save(tmp_path / "model.safetensors")
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np, hiddenstate as hs\n"
        f"model = hs.load({str(tmp_path / 'model.safetensors')!r})\n"
        "y = np.sin(np.arange(50.0))\n"
        "session = model.stream()\n"
        "answers = [session.step(v) for v in y]\n"
        "print(model.predict({'y': y}).numbers('y').tolist() == answers[-1]['y'].tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("True", "")
