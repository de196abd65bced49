"""Traces of the three tasks and of bare models; what the lens sees of the user's own data."""

import json
import subprocess
import sys

import numpy as np
import pytest

import hiddenstate as hs
from hiddenstate.errors import DataError
from hiddenstate.lens.encoding import NO_TARGET
from hiddenstate.lens.examples import counter
from random_models import CHARACTERS, SMALL, TWO_WAYS, bundle_of

QUIET = {"progress": False, "validation": None, "seed": 0}
FOOD = [
    "The food was absolutely delicious",
    "The food was really delicious",
    "absolutely wonderful food",
    "The food was absolutely awful",
    "The food was really awful",
    "absolutely terrible food",
]


@pytest.fixture(scope="module")
def language():
    model = hs.LanguageModel(level="word", hidden_size=8, embedding_size=4, epochs=2, window=4, **QUIET)
    return model.fit(["the cat sat on the mat. the dog sat on the cat."] * 4)


@pytest.fixture(scope="module")
def classifier():
    options = {"text": "text", "label": "label", "level": "word", "cell": "lstm", "dropout": 0.0}
    model = hs.SequenceClassifier(hidden_size=8, epochs=25, learning_rate=0.02, **options, **QUIET)
    return model.fit({"text": FOOD * 4, "label": ["good", "good", "good", "bad", "bad", "bad"] * 4})


@pytest.fixture(scope="module")
def forecaster():
    model = hs.Forecaster(hidden_size=4, epochs=1, horizon=2, lags=2, cell="lstm", **QUIET)
    return model.fit(np.sin(np.arange(60.0) / 3))


# ---- the three lessons


def test_the_hidden_state_grows_word_by_word(language):
    seen = hs.lens.trace(language, "the cat sat")
    assert seen.steps == ("the", "cat", "sat")
    state = seen.layers["rnn_l0"]
    assert state.h.shape == (3, 8)
    session, ids = language.model_.stream(), language._vocabulary.encode("the cat sat")
    for t, symbol in enumerate(ids):  # the state after each word is the state of a live text
        session.step(symbol)
        assert np.array_equal(session.state["rnn"].h[0, 0], state.h[t])
        assert np.array_equal(session.state["rnn"].c[0, 0], state.c[t])
    np.testing.assert_allclose(state.norm, np.linalg.norm(state.h, axis=1))
    np.testing.assert_allclose(state.change[1], np.linalg.norm(state.h[1] - state.h[0]))
    np.testing.assert_allclose(seen.probabilities.sum(axis=1), 1)
    surprisal = language.predict(["the cat sat"])[0]
    np.testing.assert_allclose(-np.log2(seen.probability), surprisal, rtol=1e-6)
    assert seen.answers[np.argmax(seen.probabilities[0])] in language._vocabulary.symbols
    assert str(seen).splitlines()[0].split()[:3] == ["step", "|h|", "h0"]
    assert len(str(seen).splitlines()) == 4


def test_the_gates_of_an_lstm_over_four_numbers():
    x = [0.0, 0.5, 0.3, 1.0]
    bundle = bundle_of(hs.spec.ModelSpec((hs.spec.Input("x"),), (hs.spec.Recurrent("rnn", "x", "lstm", 3),)))
    seen = hs.lens.trace(bundle, x)
    assert seen.steps == ("0", "0.5", "0.3", "1")
    layer = seen.layers["rnn_l0"]
    h = c = np.zeros(3)
    for t, value in enumerate(x):
        p = {name.removeprefix("rnn."): part.astype(np.float64) for name, part in bundle.params.items()}
        a = p["weight_ih_l0"][:, 0] * value + p["bias_ih_l0"] + p["weight_hh_l0"] @ h + p["bias_hh_l0"]
        i, f, o = (1 / (1 + np.exp(-a[3 * k : 3 * k + 3])) for k in (0, 1, 3))
        c = f * c + i * np.tanh(a[6:9])
        h = o * np.tanh(c)
        for name, wanted in {"i": i, "f": f, "o": o}.items():
            np.testing.assert_allclose(layer.gates[name][t], wanted, rtol=1e-5)
        np.testing.assert_allclose(layer.candidate[t], np.tanh(a[6:9]), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(layer.c[t], c, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(layer.h[t], h, rtol=1e-4, atol=1e-6)
    assert seen.probabilities is None
    np.testing.assert_array_equal(seen.inputs["x"][:, 0], np.float32(x))


def test_the_sentiment_of_a_sentence_and_the_words_that_carried_it(classifier):
    seen = hs.lens.trace(classifier, "The food was absolutely delicious")
    assert seen.steps == ("the", "food", "was", "absolutely", "delicious")
    assert seen.answers == ("bad", "good")
    final = classifier.predict_proba(["The food was absolutely delicious"])[0]
    np.testing.assert_allclose(seen.probabilities[-1], final, rtol=1e-6)
    assert seen.probability[-1] == final.max()
    answers = classifier.stream().steps(list(seen.steps))
    np.testing.assert_allclose(seen.probabilities[:, 1], [one.probabilities["good"] for one in answers])
    log_odds = np.log(final[1] / final[0])
    assert seen.carried.sum() == pytest.approx(
        log_odds, rel=1e-5
    )  # from an empty sequence, where odds are even
    assert seen.strongest()[0] == "delicious"
    assert "good" in str(seen).splitlines()[-1]
    assert "delicious" in str(seen).splitlines()[-1]


# ---- other models


def test_a_series_by_its_rows_and_by_its_time_stamps(forecaster):
    seen = hs.lens.trace(forecaster, [0.0, 0.5, 0.3, 1.0])
    assert seen.steps == ("0", "1", "2", "3")
    assert set(seen.layers["rnn_l0"].gates) == {"i", "f", "o"}
    assert seen.output.shape == (4, 2)
    days = {"day": [f"2026-01-{d:02d}" for d in range(1, 31)], "y": [float(d % 7) for d in range(30)]}
    model = hs.Forecaster(hidden_size=2, epochs=1, target="y", lags=1, **QUIET).fit(days)
    assert hs.lens.trace(model, days).steps[2].startswith("2026-01-03")


def test_both_directions_and_several_layers():
    seen = hs.lens.trace(bundle_of(TWO_WAYS), np.ones((5, 3)))
    assert list(seen.layers) == ["rnn_l0", "rnn_l0_reverse"]
    back = seen.layers["rnn_l0_reverse"]
    np.testing.assert_allclose(back.change[4], np.linalg.norm(back.h[4]))
    assert len(seen.table("rnn_l0")) == 5


def test_a_trace_is_plain_data(classifier, language):
    for model, text in ((classifier, FOOD[0]), (language, "the cat sat"), (bundle_of(CHARACTERS), [1, 2])):
        data = json.loads(json.dumps(hs.lens.trace(model, text).to_json(), allow_nan=False))
        assert len(data["layers"]["rnn_l0"]["h"]) == len(data["steps"])


def test_what_cannot_be_traced(language, forecaster):
    with pytest.raises(DataError, match="not a text"):
        hs.lens.trace(language, ["the"])
    with pytest.raises(DataError, match="empty"):
        hs.lens.trace(language, "")
    with pytest.raises(DataError, match="finite"):
        hs.lens.trace(bundle_of(SMALL), np.full((3, 3), np.nan))
    with pytest.raises(DataError):
        hs.lens.trace(forecaster, ["a", "b"])


# ---- data of the tasks


def test_targets_of_a_language_model_are_the_next_symbols(language):
    probe = hs.lens.Probe(language)
    one = probe.read(["the cat sat"])[0]
    ids = language._vocabulary.encode("the cat sat")
    assert one.targets.tolist() == [ids[1], ids[2], NO_TARGET]
    loss = probe.run([one]).loss()
    assert loss.kind == "cross-entropy"
    bits = language.predict(["the cat sat"])[0]
    np.testing.assert_allclose(loss.value[:2, 0] / np.log(2), bits[1:], rtol=1e-5)
    assert loss.counted[:, 0].tolist() == [True, True, False]
    assert not loss.d_output[2].any()


def test_targets_of_a_classifier_are_its_labels(classifier):
    probe = hs.lens.Probe(classifier)
    labelled = probe.read({"text": FOOD[2:4], "label": ["good", "bad"]})
    assert [int(one.targets) for one in labelled] == [1, 0]
    assert [int(one.targets) for one in probe.read({"text": FOOD[:1], "label": ["odd"]})] == [NO_TARGET]
    assert probe.read(FOOD[:2])[0].targets is None
    assert probe.run(labelled).loss().value.shape == (2,)
    with pytest.raises(DataError, match="some sequences"):
        probe.run([labelled[0], *probe.read(FOOD[:1])]).loss()


@pytest.mark.parametrize("output", ["point", "quantiles", "distribution"])
def test_targets_of_a_forecaster_are_perfect_outputs(output):
    y = np.sin(np.arange(40.0) / 3)
    model = hs.Forecaster(hidden_size=2, epochs=1, horizon=2, lags=2, output=output, **QUIET).fit(y)
    one = hs.lens.Probe(model).read(y)[0]
    assert len(one) == 40
    head, codec = model.head_, model.codec_
    from hiddenstate.tasks.forecast.heads import Reference
    from hiddenstate.tasks.forecast.run import encode_whole

    seen = encode_whole(codec, model._read(y)[0])
    reference = Reference(*(value[:, 0] for value in seen.reference))
    said = np.where(np.isnan(one.targets), 0.0, one.targets)
    if output == "quantiles":  # the median is the middle one of three
        said = np.repeat(one.targets.reshape(-1, 2, 3)[..., 1:2], 3, axis=2).reshape(-1, 6)
    told = next(iter(codec.decode(head, said, reference, None).values()))
    np.testing.assert_allclose(told[:38, 0], y[1:39], atol=1e-5)
    np.testing.assert_allclose(told[:38, 1], y[2:40], atol=1e-5)
    assert np.isnan(one.targets[39]).all()


def test_measurements_take_what_predict_takes(language, classifier, forecaster, tmp_path):
    assert len(hs.lens.gradient_through_time(language, ["the cat sat on the mat."]).lag) == 6
    made = hs.lens.gradient_through_time(language, ["the cat sat on the mat."] * 3, max_lag=4)
    assert "next symbol" in made.convention
    texts = {"text": FOOD, "label": ["good", "good", "good", "bad", "bad", "bad"]}
    made = hs.lens.effective_context(classifier, texts, max_context=3)
    assert "cross-entropy" in made.loss
    made = hs.lens.truncation_bias(forecaster, np.sin(np.arange(50.0) / 3))
    assert made.error[0] > made.error[-1]
    path = tmp_path / "model.safetensors"
    forecaster.save(path)
    again = hs.lens.truncation_bias(path, np.sin(np.arange(50.0) / 3))
    np.testing.assert_array_equal(again.error, made.error)


def test_the_lens_needs_no_torch(classifier, tmp_path):
    classifier.save(tmp_path / "model.safetensors")
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import hiddenstate as hs\n"
        f"model = hs.load({str(tmp_path / 'model.safetensors')!r})\n"
        "print(hs.lens.trace(model, 'The food was absolutely delicious').strongest()[0])\n"
        f"print(hs.lens.gradient_through_time(model, {FOOD!r}, max_lag=2).sentence())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("delicious")


def test_the_counter_counts():
    seen = hs.lens.trace(counter(), [1.0, 1.0, 0.0])
    np.testing.assert_allclose(seen.layers["rnn_l0"].c[:, 0], np.tanh(0.01) * np.array([1, 2, 2]), rtol=1e-5)
