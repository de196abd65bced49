"""Sequence classification end to end."""

import itertools
import json
import os
import signal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hiddenstate as hs
from hiddenstate.errors import DataError, NotFittedError, OptionError, ShapeError, StateError
from hiddenstate.tasks.classify.calibrate import fit_temperature
from hiddenstate.tasks.classify.job import ClassifyJob
from hiddenstate.tasks.classify.split import held_back
from hiddenstate.tasks.softmax import log_softmax, softmax

WORDS = {"good": "+", "fine": "+", "nice": "+", "bad": "-", "dull": "-", "poor": "-"}
TEXTS = [f"{a} {word} {b}" for word, a, b in itertools.product(WORDS, ["a", "the"], ["film", "day", ""])]
TONES = [WORDS[text.split()[1]] for text in TEXTS]


def waves(count, *, features=2, seed=0):
    """Slow and fast waves of 5 to 20 steps."""
    draw = np.random.default_rng(seed)
    sequences, labels = [], []
    for i in range(count):
        steps = np.arange(draw.integers(5, 21))[:, None]
        speed = (0.3, 1.5)[i % 2]
        noise = 0.1 * draw.normal(size=(len(steps), features))
        sequences.append(np.sin(speed * steps + draw.uniform(0, 6, features)) + noise)
        labels.append(("slow", "fast")[i % 2])
    return sequences, np.array(labels)


def small(**settings):
    defaults = {"hidden_size": 12, "epochs": 25, "learning_rate": 0.02, "progress": False}
    return hs.SequenceClassifier(**defaults | settings)


@pytest.fixture(scope="module")
def numeric():
    return small().fit(*waves(120))


@pytest.fixture(scope="module")
def spoken():
    return small(level="word", embedding_size=8).fit(TEXTS, TONES)


@pytest.fixture(scope="module")
def spelled():
    return small(pooling="max", embedding_size=8, epochs=12).fit(TEXTS, TONES)


def test_it_learns(numeric, spoken):
    test, labels = waves(60, seed=1)
    assert numeric.score(test, labels) > 0.95
    assert numeric.classes_.tolist() == ["fast", "slow"]
    assert spoken.predict(["the good car", "the dull car"]).tolist() == ["+", "-"]


def test_probabilities_sum_to_one_and_agree_with_predict(numeric):
    test, _ = waves(10, seed=2)
    proba = numeric.predict_proba(test)
    assert proba.shape == (10, 2)
    np.testing.assert_allclose(proba.sum(axis=1), 1.0, atol=1e-12)
    np.testing.assert_array_equal(numeric.predict(test), numeric.classes_[proba.argmax(axis=1)])


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "all"])
def test_a_stream_gives_the_bits_of_every_prefix(pooling):
    sequences, labels = waves(24)
    model = small(pooling=pooling, epochs=2).fit(sequences, labels)
    x = sequences[3]
    session = model.stream()
    streamed = [list(session.step(row).probabilities.values()) for row in x]
    whole = model.predict_proba([x[: t + 1] for t in range(len(x))])
    np.testing.assert_array_equal(streamed, whole)


@pytest.mark.parametrize("fixture", ["spoken", "spelled"])
def test_a_text_streams_symbol_by_symbol(fixture, request):
    model = request.getfixturevalue(fixture)
    symbols = ["the", "poor", "film"] if fixture == "spoken" else list("the poor film")
    joint = " ".join if fixture == "spoken" else "".join
    session = model.stream()
    streamed = [session.step(symbol).probabilities for symbol in symbols]
    whole = model.predict_proba([joint(symbols[: t + 1]) for t in range(len(symbols))])
    np.testing.assert_array_equal([list(p.values()) for p in streamed], whole)
    assert session.step(symbols[0]).label in model.classes_


def test_a_row_does_not_depend_on_its_neighbours(numeric):
    test, _ = waves(20, seed=3)
    whole = numeric.predict_proba(test)
    np.testing.assert_array_equal(whole[::-1], numeric.predict_proba(test[::-1]))
    np.testing.assert_array_equal(whole[7:8], numeric.predict_proba(test[7:8]))


def test_a_snapshot_goes_on_in_another_session_and_in_a_pool(numeric):
    x = waves(1)[0][0]
    session = numeric.stream()
    session.steps(x[:4])
    other = numeric.stream(session.snapshot())
    assert other.step(x[4]) == session.step(x[4])
    pool = numeric.streams()
    for row in x[:4]:
        answers = pool.step({"a": row, "b": row[::-1]})
    assert answers["a"] == numeric.stream().steps(x[:4])[-1]
    assert answers["b"] == numeric.stream().steps(x[:4, ::-1])[-1]


def test_a_model_that_reads_both_ways_does_not_stream():
    sequences, labels = waves(24)
    model = small(bidirectional=True, epochs=1).fit(sequences, labels)
    assert model.predict(sequences).shape == (24,)
    with pytest.raises(StateError, match=r"both ends.*bidirectional=False"):
        model.stream()


def test_save_and_load(numeric, spoken, tmp_path):
    for model, data in ((numeric, waves(9, seed=5)[0]), (spoken, TEXTS[:5])):
        model.save(tmp_path / "m.safetensors")
        again = hs.load(tmp_path / "m.safetensors")
        assert isinstance(again, hs.SequenceClassifier)
        np.testing.assert_array_equal(again.predict_proba(data), model.predict_proba(data))
        assert again.get_params() == model.get_params() | {"progress": True}
        assert again.temperature_ == model.temperature_
        truth = model.predict(data)
        assert str(again.evaluate(data, truth)) == str(model.evaluate(data, truth))


def test_the_same_seed_gives_the_same_model():
    data = waves(24)
    one, two, other = (small(epochs=2, seed=seed).fit(*data).predict_proba(data[0]) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_the_card_says_what_happened(numeric):
    card = numeric.card
    assert card["data"]["sequences"] == 120
    assert card["data"]["held_back"] == 12
    assert set(card["metrics"]) == {"accuracy", "macro_f1", "log_loss"}
    json.dumps(card)


def test_missing_values_are_features():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(200, 6))
    y = draw.integers(0, 2, 200)
    x[y == 1, 2] = np.nan  # that it is missing is all there is to know
    model = small(epochs=15).fit(x, y)
    assert model.bundle_.spec.inputs[0].size == 2
    assert model.score(x, y) > 0.95
    session = model.stream()
    assert session.steps(x[0])[-1].probabilities == dict(
        zip([0, 1], model.predict_proba(x[:1])[0].tolist(), strict=True)
    )
    # where training saw none, a missing value is the middle of the scale
    plain = small(epochs=1).fit(np.nan_to_num(x), y)
    assert plain.bundle_.spec.inputs[0].size == 1
    assert np.isfinite(plain.predict_proba(x)).all()


def test_empty_sequences_get_an_answer(numeric, spoken):
    assert numeric.predict_proba([np.zeros((0, 2))]).sum() == pytest.approx(1.0)
    assert spoken.predict_proba(["", "good"])[0].sum() == pytest.approx(1.0)


def test_unseen_symbols_get_an_answer(spoken, spelled):
    for model in (spoken, spelled):
        assert model.predict_proba(["日本 ✓", "\x00"]).sum(axis=1) == pytest.approx([1.0, 1.0])


def test_tables(tmp_path):
    sequences, labels = waves(40)
    rows = [
        {"who": f"w{i}", "t": t, "x": row[0], "y": row[1], "speed": label}
        for i, (sequence, label) in enumerate(zip(sequences, labels, strict=True))
        for t, row in enumerate(sequence)
    ]
    frame = pl.DataFrame(rows).sample(fraction=1.0, shuffle=True, seed=0)
    frame.write_csv(tmp_path / "long.csv")
    model = small(id="who", time="t", label="speed", epochs=2).fit(tmp_path / "long.csv")
    assert model.feature_names_in_.tolist() == ["x", "y"]
    (table,) = model.predict_table(frame.drop("speed"))
    assert list(table) == ["who", "speed", "p(fast)", "p(slow)"]
    np.testing.assert_allclose(table["p(fast)"] + table["p(slow)"], 1.0, atol=1e-12)
    by_id = dict(zip(table["who"].tolist(), table["speed"].tolist(), strict=True))
    direct = model.predict(sequences)
    assert by_id == {f"w{i}": label for i, label in enumerate(direct.tolist())}
    session = model.stream()
    assert session.step({"y": 0.5, "x": 1.0, "t": 3}) == model.stream().step([1.0, 0.5])


def test_a_file_is_answered_in_chunks(tmp_path, spoken, monkeypatch):
    import hiddenstate.data as data

    path = tmp_path / "texts.csv"
    pl.DataFrame({"review": TEXTS, "tone": TONES}).write_csv(path)
    model = hs.SequenceClassifier.from_bundle(spoken.bundle_).set_params(text="review", label="tone")
    whole = model.predict_proba(path)
    read_chunks = data.read_chunks
    monkeypatch.setattr(data, "read_chunks", lambda source: read_chunks(source, rows=7))
    parts = list(model.predict_table(path))
    assert [len(part["row"]) for part in parts] == [7, 7, 7, 7, 7, 1]
    assert np.concatenate([part["row"] for part in parts]).tolist() == list(range(1, 37))
    np.testing.assert_array_equal(np.concatenate([part["p(+)"] for part in parts]), whole[:, 0])
    assert model.score(path) == model.score(TEXTS, TONES)


def test_evaluate_stands_beside_baselines(spoken):
    scores = spoken.evaluate(TEXTS, TONES)
    assert [row["model"] for row in scores.rows] == [
        "network (gru)",
        "majority class",
        "logistic regression, bag of words",
    ]
    assert scores["accuracy"] == spoken.score(TEXTS, TONES)
    assert {row["class"] for row in scores.details} == {"+", "-"}
    assert "recall" in str(scores)


def test_class_weights_move_the_border():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(80, 3))
    y = (x.mean(axis=1) + 0.7 * draw.normal(size=80) > 0.8).astype(int)
    shares = [
        small(epochs=20, class_weight=weight, validation=None).fit(x, y).predict(x).mean()
        for weight in (None, "balanced", {1: 50.0})
    ]
    assert shares[0] < shares[1] < shares[2]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pooling": "sum"}, "pooling.: expected 'all' or 'last' or 'mean' or 'max', got 'sum'"),
        ({"level": "byte"}, "level"),
        ({"hidden_size": 0}, "hidden_size"),
        ({"cell": "gated"}, "gated"),
        ({"class_weight": {"ham": 2.0}}, "unknown class"),
        ({"features": "x"}, "a list of column names"),
    ],
)
def test_parameters_out_of_range(settings, message):
    with pytest.raises(OptionError, match=message):
        small(**settings).fit(*waves(20))


def test_a_second_fit_forgets_the_first():
    model = small(epochs=1).fit(*waves(20))
    assert model.n_features_in_ == 2
    assert not hasattr(model.fit(TEXTS, TONES), "n_features_in_")


def test_data_that_cannot_be_used(numeric, spoken):
    sequences, _ = waves(20)
    with pytest.raises(DataError, match="one class only"):
        small().fit(sequences, ["slow"] * 20)
    with pytest.raises(DataError, match="every sequence is empty"):
        small().fit([np.zeros((0, 1))] * 4, [0, 1, 0, 1])
    with pytest.raises(DataError, match=r"feature 1.*only missing values"):
        small().fit([np.array([[1.0, np.nan]])] * 4, [0, 1, 0, 1])
    with pytest.raises(NotFittedError, match="not trained yet"):
        small().predict(sequences)
    with pytest.raises(ShapeError, match="X has 3 features, but SequenceClassifier is expecting 2 features"):
        numeric.predict([np.zeros((4, 3))])
    with pytest.raises(DataError, match="trained on numbers"):
        numeric.predict(["text"])
    with pytest.raises(DataError, match="trained on text"):
        spoken.predict(np.zeros((2, 3)))
    with pytest.raises(OptionError, match="requires y"):
        numeric.score(sequences)


@pytest.mark.parametrize(
    "element", [[1.0], [1.0, 2.0, 3.0], "a", [1.0, "x"], [1.0, np.inf], {"x": 1.0}, None]
)
def test_elements_that_are_no_step_leave_the_stream_alone(numeric, element):
    session = numeric.stream()
    session.step([0.1, 0.2])
    with pytest.raises(DataError):
        session.step(element)
    clean = numeric.stream()
    clean.step([0.1, 0.2])
    assert session.step([0.3, 0.4]) == clean.step([0.3, 0.4])


@pytest.mark.parametrize("element", ["two words", "", 3, None])
def test_elements_that_are_no_word(spoken, element):
    with pytest.raises(DataError, match="one word"):
        spoken.stream().step(element)


def test_lines_of_a_text(spelled):
    session = spelled.stream()
    first = spelled.step_line(session, "the good")
    second = spelled.step_line(session, "film")
    assert list(first.probabilities.values()) == spelled.predict_proba(["the good"])[0].tolist()
    assert list(second.probabilities.values()) == spelled.predict_proba(["the good\nfilm"])[0].tolist()
    assert spelled.step_line(session, "") is None
    assert spelled.step_line(session, "the good") == first


def test_the_temperature_is_the_likeliest():
    draw = np.random.default_rng(0)
    logits = draw.normal(size=(4000, 3)) * 2
    y = np.array([draw.choice(3, p=p) for p in softmax(logits)])
    assert fit_temperature(logits * 3, y) == pytest.approx(3.0, rel=0.1)
    assert fit_temperature(logits / 2, y) == pytest.approx(0.5, rel=0.1)
    # a handful of right answers is no proof of certainty
    few = fit_temperature(np.array([[4.0, 0.0]] * 9), np.zeros(9, int))
    assert softmax(np.array([[4.0, 0.0]]), temperature=few)[0, 0] == pytest.approx(0.95, abs=0.01)


@settings(max_examples=50, deadline=None)
@given(
    rows=st.integers(1, 40),
    classes=st.integers(2, 40),
    seed=st.integers(0, 99),
    temperature=st.floats(0.1, 10),
)
def test_the_bits_of_a_row_depend_on_that_row_alone(rows, classes, seed, temperature):
    logits = np.random.default_rng(seed).normal(size=(rows, classes)).astype(np.float32) * 10
    whole = log_softmax(logits, temperature=temperature)
    for row in range(rows):
        np.testing.assert_array_equal(
            whole[row], log_softmax(logits[row : row + 1], temperature=temperature)[0]
        )


def test_what_is_held_back():
    items = [np.full((2, 1), float(i // 2)) for i in range(200)]  # pairs of copies
    y = np.array([i // 2 % 2 for i in range(200)])
    held = held_back(items, y, None, share=0.5, seed=0)
    learned = {item[0, 0] for item, out in zip(items, held, strict=True) if not out}
    assert held.sum() >= 10
    assert not learned & {item[0, 0] for item, out in zip(items, held, strict=True) if out}
    assert not held_back(items, y, None, share=None, seed=0).any()
    assert not held_back(items[:40], y[:40], None, share=0.1, seed=0).any()


def test_groups_are_held_back_together():
    items = [np.full((2, 1), float(i)) for i in range(100)]
    groups = np.array([f"speaker {i // 10}" for i in range(100)])
    held = held_back(items, np.arange(100) % 2, groups, share=0.2, seed=0)
    assert held.sum() == 20
    assert not set(groups[held]) & set(groups[~held])


def test_a_training_that_was_interrupted_goes_on(tmp_path, monkeypatch):
    want = small(epochs=4, level="word").fit(TEXTS * 4, TONES * 4)
    loss, calls = ClassifyJob.loss, []

    def interrupting(self, module, batch, carried):
        calls.append(batch)
        if len(calls) == 7:
            os.kill(os.getpid(), signal.SIGINT)
        return loss(self, module, batch, carried)

    with monkeypatch.context() as patched:
        patched.setattr(ClassifyJob, "loss", interrupting)
        first = small(epochs=4, level="word", checkpoint=tmp_path / "run").fit(TEXTS * 4, TONES * 4)
    assert first.card["training"]["stopped"] == "interrupt"
    again = small(epochs=4, level="word", checkpoint=tmp_path / "run").fit(TEXTS * 4, TONES * 4)
    assert again.card["training"]["resumed"]
    np.testing.assert_array_equal(again.predict_proba(TEXTS), want.predict_proba(TEXTS))
