"""One answer: backtests, predictions from cut series, streams and pools give the same bits."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import hiddenstate as hs

NAN = float("nan")


@dataclass
class Case:
    """A forecaster, data to learn from and data to forecast, and how a row is fed to a stream."""

    options: dict[str, Any]
    table: dict[str, Any]
    fresh: dict[str, Any]
    known: tuple[str, ...] = ()
    model: Any = field(default=None)

    def fit(self):
        if self.model is None:
            small = {"hidden_size": 6, "epochs": 1, "progress": False, "horizon": 3, "context": 20, "lags": 4}
            self.model = hs.Forecaster(**(small | self.options)).fit(self.table)
        return self.model


def values(rows, seed, *, counts=False):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=rows).cumsum() + 3 * np.sin(np.arange(rows) / 2)
    return np.round(np.abs(y) * 2) if counts else y


def hours(rows, start="2024-02-27"):
    return np.datetime64(start, "us") + np.arange(rows).astype("timedelta64[h]")


def with_holes(y, *places):
    y = np.array(y, float)
    y[list(places)] = NAN
    return y


def plain():
    return Case({}, {"y": values(120, 0)}, {"y": values(40, 1)})


def two_targets():
    columns = {"a": values(120, 0), "b": values(120, 1)}
    fresh = {"a": with_holes(values(40, 2), 0, 7, 8), "b": with_holes(values(40, 3), 5, 8)}
    options = {"target": ["a", "b"], "output": "quantiles", "quantiles": [0.9, 0.2], "level": "mean"}
    return Case(options, columns | {"a": with_holes(columns["a"], 3, 50)}, fresh)


def covariates():
    """Everything at once: two series, static columns, a gap, missing values, columns known ahead."""
    kept = np.array([t for t in range(60) if t not in (20, 21, 41)])

    def series(shop, seed, size, rows):
        t = kept[:rows] if shop == "a" else np.arange(rows)
        return {
            "shop": [shop] * rows,
            "when": hours(60)[t],
            "sold": with_holes(values(60, seed)[t], 2, 9),
            "visits": with_holes(values(60, seed + 10)[t], 4),
            "promo": (t % 5 == 0).astype(float),
            "price": np.cos(t / 3),
            "region": ["north" if shop == "a" else "south"] * rows,
            "size": [size] * rows,
        }

    def joined(*parts):
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    options = {
        "target": "sold",
        "id": "shop",
        "time": "when",
        "static": ["region", "size"],
        "past": ["visits"],
        "future": ["promo", "price"],
        "output": "distribution",
        "distribution": "student-t",
    }
    table = joined(series("a", 0, 1.0, 57), series("b", 1, 5.0, 60))
    fresh = joined(series("a", 4, 1.0, 50), series("new", 5, NAN, 45))
    return Case(options, table, fresh, known=("promo", "price"))


def counts():
    options = {"output": "distribution", "distribution": "negative-binomial", "level": "none"}
    return Case(options, {"y": values(120, 0, counts=True)}, {"y": values(40, 1, counts=True)})


def logarithms():
    return Case({"scaling": "log"}, {"y": values(120, 0, counts=True)}, {"y": values(40, 1, counts=True)})


def recursive_point():
    options = {"strategy": "recursive", "cell": "lstm", "num_layers": 2}
    return Case(options, {"y": values(120, 0)}, {"y": with_holes(values(30, 1), 3)})


def recursive_paths():
    days = np.datetime64("2024-01-30", "us") + np.arange(120).astype("timedelta64[D]")
    table = {"day": days, "y": values(120, 0), "known": np.sin(np.arange(120))}
    fresh = {"day": days[:30], "y": values(30, 1), "known": np.sin(np.arange(30))}
    options = {"target": "y", "future": ["known"], "strategy": "recursive", "samples": 5}
    options["output"] = "distribution"
    return Case(options, table, fresh, known=("known",))


CASES = {
    make.__name__: make()
    for make in (plain, two_targets, covariates, counts, logarithms, recursive_point, recursive_paths)
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def series_of(case, table):
    """The rows of each series, as dicts."""
    names = list(table)
    rows = [dict(zip(names, row, strict=True)) for row in zip(*table.values(), strict=True)]
    key = case.options.get("id")
    ids = dict.fromkeys(row[key] for row in rows) if key else [None]
    return {id: [row for row in rows if key is None or row[key] == id] for id in ids}


def elements(case, rows, horizon=3):
    """The rows as a stream takes them: a known-future column holds its next values on the grid."""
    if not case.known:
        return rows
    when = case.options.get("time") or "day"
    step = rows[1][when] - rows[0][when]
    by_time = {row[when]: row for row in rows}
    empty = dict.fromkeys(case.known, NAN)
    fed = []
    for row in rows:
        ahead = [by_time.get(row[when] + k * step, empty) for k in range(1, horizon + 1)]
        fed.append(row | {name: [other[name] for other in ahead] for name in case.known})
    return fed


def by_origin(case, result, id):
    """The columns of a backtest by origin, ``[H]`` each."""
    columns = result.to_dict()
    mine = np.ones(len(result), bool) if id is None else result.text(case.options["id"]) == id
    found = {}
    for origin in dict.fromkeys(columns["origin"][mine].tolist()):
        rows = mine & (columns["origin"] == np.array(origin, columns["origin"].dtype))
        found[origin] = {name: values[rows] for name, values in columns.items()}
    return found


def forecast_columns(case):
    return case.model.codec_.columns()


def origin_of(case, row, position):
    when = case.options.get("time") or "day"
    return row[when].astype("datetime64[us]").astype(object) if when in row else position


def same(one, two):
    assert np.asarray(one).tobytes() == np.asarray(two).tobytes()


def test_a_stream_gives_the_bits_of_a_backtest(case):
    model = case.fit()
    result = model.backtest(case.fresh, start=1)
    compared = 0
    for id, rows in series_of(case, case.fresh).items():
        expected, session = by_origin(case, result, id), model.stream()
        for position, (row, element) in enumerate(zip(rows, elements(case, rows), strict=True)):
            answer = session.step(element)
            origin = expected.get(origin_of(case, row, position))
            if origin is not None:
                compared += 1
                for name in forecast_columns(case):
                    same(answer[name], origin[name])
    assert compared > 20


def test_a_prediction_is_the_backtest_of_the_cut_series(case):
    model = case.fit()
    result = model.backtest(case.fresh, start=1)
    for id, rows in series_of(case, case.fresh).items():
        expected = by_origin(case, result, id)
        for position in (1, 12, 25):
            origin = expected.get(origin_of(case, rows[position], position))
            if origin is None:
                continue
            cut = rows[: position + 1]
            after = rows[position + 1 : position + 4]
            ahead = [row | dict.fromkeys(model.target_names_, NAN) for row in after]
            table = cut + ahead if case.known else cut
            predicted = model.predict({name: [row[name] for row in table] for name in table[0]})
            for name in forecast_columns(case):
                same(predicted.numbers(name), origin[name])


def test_a_pool_and_a_snapshot_give_the_bits_of_a_session(case):
    model = case.fit()
    streams = [elements(case, rows)[:25] for rows in series_of(case, case.fresh).values()]
    pool, sessions = model.streams(), [model.stream() for _ in streams]
    for position in range(25):
        taking = {i: rows[position] for i, rows in enumerate(streams) if (position + i) % 3}
        answers = pool.step(taking)
        for i, element in taking.items():
            alone = sessions[i].step(element)
            for name in (*forecast_columns(case), "step"):
                same(alone[name], answers[i][name])
        if position == 12:
            sessions = [model.stream(session.snapshot()) for session in sessions]
            blob = pool.snapshot(0)
            pool.remove(0)
            pool.add(0, blob)


def test_a_saved_model_answers_alike(case, tmp_path):
    model = case.fit()
    model.save(tmp_path / "model.safetensors")
    loaded = hs.load(tmp_path / "model.safetensors")
    one, two = (m.backtest(case.fresh, start=5, stride=4) for m in (model, loaded))
    for name in one.names:
        np.testing.assert_array_equal(one.column(name), two.column(name))
