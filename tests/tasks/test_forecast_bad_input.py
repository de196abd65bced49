"""What a user's mistake says: one error that names what is wrong, where, and what to do."""

import numpy as np
import pytest

import hiddenstate as hs
from hiddenstate import bundle as bundles
from hiddenstate.errors import BundleError, DataError, NotFittedError, OptionError, StateError

NAN = float("nan")
SMALL = {"hidden_size": 4, "epochs": 1, "progress": False, "horizon": 2, "lags": 2, "cycle": 0}
DAYS = np.arange("2024-01-01", "2024-03-01", dtype="datetime64[D]").astype("datetime64[us]")
Y = np.sin(np.arange(60.0))


def forecaster(**options):
    return hs.Forecaster(**(SMALL | options))


@pytest.fixture(scope="module")
def daily():
    return forecaster(target="y", time="day").fit({"day": DAYS, "y": Y})


@pytest.fixture(scope="module")
def several():
    """Two series with a static column, and a column known ahead."""
    table = {
        "id": ["a"] * 30 + ["b"] * 30,
        "kind": ["x"] * 30 + ["z"] * 30,
        "t": [*range(30)] * 2,
        "known": Y,
        "y": Y,
    }
    return forecaster(target="y", id="id", time="t", static=["kind"], future=["known"]).fit(table)


@pytest.mark.parametrize(
    ("options", "table", "words"),
    [
        ({"target": "z"}, {"y": Y}, "no column 'z'"),
        ({}, {"a": Y, "b": Y}, "not clear which column to forecast.*a, b.*target="),
        ({}, {"name": ["u"] * 60}, "not clear which column to forecast.*none"),
        ({"target": "y"}, {"y": ["1"] * 5 + ["many"]}, "not a number.*row 6.*'many'"),
        ({"target": "y"}, {"y": [NAN] * 60}, "without any value.*column 'y'"),
        ({"target": "y"}, {"y": [*Y, np.inf]}, "infinite value.*row 61"),
        ({"target": "y"}, {"y": [1.0]}, "too few rows to learn from.*more rows than the horizon"),
        ({"target": "y", "horizon": 60}, {"y": Y}, "too few rows to learn from.*horizon of 60.*got 51"),
        ({"target": "y", "scaling": "log"}, {"y": Y}, "negative value.*logarithms"),
        (
            {"target": "y", "output": "distribution", "distribution": "negative-binomial"},
            {"y": Y},
            "not counts.*column 'y'",
        ),
        ({"target": "y", "past": ["p"]}, {"y": Y, "p": [NAN] * 60}, "without any value.*column 'p'"),
        ({"target": "y", "time": "day"}, {"y": Y, "day": DAYS[::-1][[0] * 60]}, "time stamp that repeats"),
        (
            {"target": "y", "time": "day"},
            {"y": Y[:4], "day": DAYS[[0, 1, 3, 7]] + np.array([0, 5, 11, 2]).astype("timedelta64[s]")},
            "no regular step between time stamps.*time=None",
        ),
        ({"target": "y", "id": "i"}, {"y": Y, "i": [None] + ["a"] * 59}, "belongs to no series.*row 1"),
        (
            {"target": "y", "id": "i", "static": ["s"]},
            {"y": Y, "i": ["a"] * 60, "s": ["u", "v"] * 30},
            "static column changes inside a series.*'s'",
        ),
    ],
)
def test_data_that_cannot_be_learned_from(options, table, words):
    with pytest.raises(DataError, match=words):
        forecaster(**options).fit(table)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"horizon": 0}, "horizon.*whole number from 1"),
        ({"output": "line"}, "output.*'point' or 'quantiles' or 'distribution'"),
        ({"output": "quantiles", "quantiles": [0.5, 1.5]}, "not quantile levels"),
        ({"output": "quantiles", "quantiles": []}, "not quantile levels"),
        ({"output": "quantiles", "quantiles": [0.5, 0.5]}, "quantile level twice"),
        ({"output": "quantiles", "strategy": "recursive"}, "quantiles cannot be fed back.*distribution"),
        ({"strategy": "recursive", "past": ["p"]}, "past columns of the future.*direct"),
        ({"past": ["y"]}, "two roles.*y"),
        (
            {"output": "distribution", "distribution": "negative-binomial", "scaling": "log"},
            "counts are not forecast on a log scale",
        ),
        ({"cell": "transformer"}, "cell"),
    ],
)
def test_parameters_that_cannot_be(options, words):
    with pytest.raises(OptionError, match=words):
        forecaster(target="y", **options).fit({"y": Y, "p": Y})


def test_before_fit_there_is_nothing_to_ask():
    for ask in (
        lambda model: model.predict({"y": Y}),
        lambda model: model.evaluate({"y": Y}),
        lambda model: model.stream(),
        lambda model: model.save("never"),
    ):
        with pytest.raises(NotFittedError, match="not trained yet"):
            ask(forecaster())


def test_questions_that_cannot_be_answered(daily):
    table = {"day": DAYS, "y": Y}
    with pytest.raises(OptionError, match=r"horizon lies beyond.*1 to 2.*recursive"):
        daily.predict(table, horizon=3)
    with pytest.raises(OptionError, match="not a horizon"):
        daily.predict(table, horizon=0)
    with pytest.raises(OptionError, match="no distribution to draw from"):
        daily.sample(table)
    with pytest.raises(OptionError, match="not a stride"):
        daily.backtest(table, stride=0)
    with pytest.raises(DataError, match="unreadable time stamp"):
        daily.backtest(table, start="soon")
    with pytest.raises(DataError, match=r"too few rows to forecast any that are known.*more than 2 rows"):
        daily.evaluate({"day": DAYS[:2], "y": Y[:2]})
    with pytest.raises(DataError, match="no column 'day'"):
        daily.predict({"y": Y})
    with pytest.raises(DataError, match="not on the daily grid"):
        daily.predict({"day": DAYS + np.arange(60).astype("timedelta64[h]"), "y": Y})
    plain = forecaster(target="y").fit({"y": Y})
    with pytest.raises(OptionError, match="not a row number"):
        plain.backtest({"y": Y}, start="2024-01-01")


def test_columns_known_ahead_have_to_be_there(several):
    table = {"id": ["a"] * 4, "kind": ["x"] * 4, "t": range(4), "known": [0.0] * 4, "y": [1.0, 2.0, 3.0, NAN]}
    with pytest.raises(
        DataError, match=r"known ahead end too early.*known.*2 rows after the last target.*got 1"
    ):
        several.predict(table)
    with pytest.raises(DataError, match="without any target value"):
        several.predict(table | {"y": [NAN] * 4})


def test_rows_of_a_stream_that_cannot_be_used_leave_it_as_it_was(daily):
    session = daily.stream()
    with pytest.raises(DataError, match="first row needs its time stamp"):
        session.step({"y": 1.0})
    session.step({"day": "2024-05-01", "y": 1.0})
    before = session.snapshot()
    for row, words in [
        ({"day": "2024-05-02"}, "column is missing.*'y'"),
        ({"day": "2024-05-02", "y": "much"}, "not a number.*'y'"),
        ({"day": "2024-05-02", "y": np.inf}, "infinite"),
        ({"day": "2024-05-02", "y": 1e300}, "not a finite number"),
        ({"day": "2024-05-01", "y": 1.0}, "does not follow.*2024-05-01.*once"),
        ({"day": "2024-05-02T12:00", "y": 1.0}, "does not follow"),
        ({"day": "2034-05-02", "y": 1.0}, "gap so wide"),
        ({"day": "tomorrow", "y": 1.0}, "unreadable time stamp"),
        ([1.0, 2.0], "wrong number of values.*1: y.*got 2"),
    ]:
        with pytest.raises(DataError, match=words):
            session.step(row)
        assert session.snapshot() == before
    assert session.step({"y": 2.0})["day"][0] == np.datetime64("2024-05-03")


def test_a_stream_is_one_series(several):
    session = several.stream()
    row = {"id": "a", "t": 0, "known": [0.0, 1.0], "y": 1.0}
    with pytest.raises(DataError, match=r"static column is missing in the first row.*kind"):
        session.step(row)
    session.step(row | {"kind": "x"})
    with pytest.raises(DataError, match=r"row of another series.*'a'.*'b'.*streams"):
        session.step(row | {"id": "b", "t": 1})
    with pytest.raises(DataError, match=r"known-future values are missing.*next 2 values"):
        session.step(row | {"t": 1, "known": 3.0})
    session.step({"known": [0.0, 1.0], "y": 1.0})
    with pytest.raises(StateError, match="snapshot"):
        forecaster(target="y").fit({"y": Y}).stream(session.snapshot())


def test_a_file_whose_parts_do_not_fit_is_refused(daily, tmp_path):
    bundle = daily.bundle_
    for codec in ({}, bundle.codec | {"layout": {}}, bundle.codec | {"target": [{"kind": "gems"}]}):
        bundles.save(
            tmp_path / "odd.safetensors", bundles.Bundle(bundle.spec, bundle.params, codec, bundle.task)
        )
        with pytest.raises(BundleError, match="do not hold together"):
            hs.load(tmp_path / "odd.safetensors")
