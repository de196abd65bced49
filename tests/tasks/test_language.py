"""Language models end to end."""

import json
import math
import os
import signal

import numpy as np
import pytest

import hiddenstate as hs
from hiddenstate.errors import DataError, NotFittedError, OptionError, StateError
from hiddenstate.tasks.language.documents import read
from hiddenstate.tasks.language.job import LanguageJob, Stream
from hiddenstate.tasks.language.scoring import first_symbol

RHYME = "one two buckle my shoe\nthree four knock at the door\nfive six pick up sticks\n" * 12
POEMS = ["red sun", "red moon", "blue sun", "blue moon"] * 10


def small(**settings):
    defaults = {
        "hidden_size": 24,
        "embedding_size": 12,
        "epochs": 12,
        "window": 16,
        "batch_size": 8,
        "learning_rate": 0.02,
        "dropout": 0.0,
        "progress": False,
    }
    return hs.LanguageModel(**defaults | settings)


@pytest.fixture(scope="module")
def bard():
    return small().fit([RHYME])


@pytest.fixture(scope="module")
def wordy():
    return small(level="word", tied=True, epochs=20).fit(POEMS)


def test_it_learns(bard, wordy):
    scores = bard.evaluate([RHYME])
    assert scores["bits_per_character"] < 0.7
    frequencies = next(row for row in scores.rows if row["model"] == "symbol frequencies")
    assert scores["bits_per_character"] < 0.3 * frequencies["bits_per_character"]
    assert wordy.evaluate(POEMS)["perplexity"] < 2.5
    assert wordy.score(POEMS) == -wordy.evaluate(POEMS)["nats_per_symbol"]


def test_a_stream_gives_the_bits_of_the_batch(bard, wordy):
    text = "five four, pick ✓ the sun"
    session = bard.stream()
    assert [session.step(symbol).surprisal for symbol in text] == bard.predict([text])[0].tolist()
    session = wordy.stream()
    words = ["red", "moon", "green", "sun"]
    assert [session.step(word).surprisal for word in words] == wordy.predict([" ".join(words)])[0].tolist()


def test_a_long_text_is_read_in_chunks(bard, monkeypatch):
    import hiddenstate.tasks.language.estimator as estimator

    whole = bard.predict([RHYME])[0]
    monkeypatch.setattr(estimator, "CHUNK_VALUES", 7 * 30)
    np.testing.assert_array_equal(bard.predict([RHYME])[0], whole)


def test_documents_do_not_touch_one_another(bard):
    together = bard.predict(["one two", "three"])
    np.testing.assert_array_equal(together[1], bard.predict(["three"])[0])


def test_probabilities_of_the_next_symbol(bard):
    session = bard.stream()
    for symbol in "five six pick u":
        answer = session.step(symbol)
    assert answer.probabilities.sum() == pytest.approx(1.0)
    assert len(answer.symbols) == len(answer.probabilities)
    assert next(iter(answer.likeliest(1))) == "p"
    p = answer.probabilities[answer.symbols.index("p")]
    assert session.step("p").surprisal == pytest.approx(-math.log2(p))


def test_a_snapshot_goes_on(bard):
    session = bard.stream()
    session.steps("three four kn")
    other = bard.stream(session.snapshot())
    a, b = session.step("o"), other.step("o")
    assert a.surprisal == b.surprisal
    np.testing.assert_array_equal(a.probabilities, b.probabilities)
    session.reset()
    assert session.step("o").surprisal == bard.stream().step("o").surprisal
    pool = bard.streams()
    for x, y in zip("one", "two", strict=True):
        answers = pool.step({"a": x, "b": y})
    assert answers["b"].surprisal == bard.predict(["two"])[0][-1]


@pytest.mark.parametrize("state", [3, "not base64!", "AAAA", None])
def test_a_state_that_is_none(bard, state):
    with pytest.raises(StateError):
        bard._adapter().restore(state)


@pytest.mark.parametrize("element", ["", "ab", 3, None])
def test_elements_that_are_no_symbol_leave_the_stream_alone(bard, element):
    session = bard.stream()
    session.step("o")
    with pytest.raises(DataError, match="one character"):
        session.step(element)
    assert session.step("n").surprisal == bard.predict(["on"])[0][1]


def test_generation(bard):
    text = "".join(bard.generate("five six ", length=40, temperature=0))
    assert text.startswith("pick up sticks\n")
    one, two = ("".join(bard.generate("one", length=60, seed=5)) for _ in range(2))
    assert one == two
    assert one != "".join(bard.generate("one", length=60, seed=6))
    assert len("".join(bard.generate(length=30, top_k=2, seed=0))) <= 30
    assert "".join(bard.generate("x", length=0)) == ""
    symbols = set("".join(bard.generate(length=300, temperature=5.0, seed=0)))
    assert symbols <= set(RHYME)


def test_greedy_and_narrow_choices_agree(bard):
    greedy = "".join(bard.generate("three", length=30, temperature=0))
    assert greedy == "".join(bard.generate("three", length=30, top_k=1))
    assert greedy == "".join(bard.generate("three", length=30, top_p=1e-9))


def test_generation_is_a_stream(bard):
    pieces = bard.generate("one", length=10**9)
    assert len(next(pieces)) == 1


def test_generation_ends_where_documents_end(wordy):
    for seed in range(5):
        text = "".join(wordy.generate(length=50, seed=seed))
        assert len(text.split()) < 50
    assert "".join(wordy.generate("red", length=1, temperature=0)) in (" sun", " moon")


def test_symbols_of_a_prompt_that_are_unknown(bard):
    with pytest.warns(UserWarning, match=r"unknown to the model.*\['✓', '日'\]"):
        pieces = bard.generate("日one✓", length=3, seed=1)
    assert len("".join(pieces)) == 3


@pytest.mark.parametrize(
    "options", [{"temperature": -1}, {"top_k": 0}, {"top_p": 1.5}, {"length": -1}, {"length": 2.0}]
)
def test_options_of_generation_out_of_range(bard, options):
    with pytest.raises(OptionError):
        list(bard.generate("one", **options))


def test_figures_are_consistent(bard, wordy):
    text = "one two three four"
    bits = bard.predict([text])[0]
    scores = bard.evaluate([text])
    assert scores["bits_per_character"] == pytest.approx(bits.mean())
    assert scores["perplexity"] == pytest.approx(2 ** bits.mean())
    assert scores["nats_per_symbol"] == pytest.approx(bits.mean() * math.log(2))
    by_words = wordy.predict(["blue moon"])[0]
    assert wordy.evaluate(["blue moon"])["bits_per_character"] == pytest.approx(by_words.sum() / 9)


def test_baselines(bard):
    scores = bard.evaluate(["one two"], train=[RHYME])
    names = [row["model"] for row in scores.rows]
    assert names == [
        "network (lstm)",
        "uniform",
        "symbol frequencies",
        "2-gram",
        "3-gram",
        "4-gram",
        "5-gram",
    ]
    assert scores.rows[1]["bits_per_character"] == pytest.approx(math.log2(bard._vocabulary.size))
    assert "1 symbols are unknown" in str(bard.evaluate(["✓"]))


def test_the_card_holds_the_baselines(bard):
    assert set(bard.card["metrics"]) >= {"network (lstm)", "5-gram"}
    json.dumps(bard.card)


def test_save_and_load(bard, wordy, tmp_path):
    for model, text in ((bard, "one two"), (wordy, "blue moon")):
        model.save(tmp_path / "m.safetensors")
        again = hs.load(tmp_path / "m.safetensors")
        assert isinstance(again, hs.LanguageModel)
        np.testing.assert_array_equal(again.predict([text])[0], model.predict([text])[0])
        assert list(again.generate(length=5, seed=0)) == list(model.generate(length=5, seed=0))
        assert str(again.evaluate([text])) == str(model.evaluate([text]))


def test_tables_of_surprisals(bard):
    first, second = bard.predict_table(["on", "e"])
    assert first["symbol"].tolist() == ["o", "n"]
    assert (first["document"].tolist(), second["document"].tolist()) == ([1, 1], [2])
    np.testing.assert_array_equal(second["bits"], bard.predict(["e"])[0])


def test_lines(bard):
    session = bard.stream()
    answers = [bard.step_line(session, line) for line in ("one two", "", "three")]
    bits = bard.predict(["one two\n\nthree\n"])[0]
    assert [answer["bits"] for answer in answers] == pytest.approx([bits[:8].sum(), bits[8], bits[9:].sum()])
    assert answers[0]["bits_per_character"] == pytest.approx(bits[:8].mean())
    assert len(answers[0]["next"]) == 5


def test_the_same_seed_gives_the_same_model():
    one, two, other = (small(epochs=1, seed=seed).fit([RHYME]).predict(["one"])[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_tied_weights_need_fewer_parameters():
    plain, tied = (small(epochs=0, tied=tied).fit([RHYME]).bundle_.params for tied in (False, True))
    assert "head.weight" in plain
    assert "head.weight" not in tied


def test_data_that_cannot_be_used(tmp_path):
    for text in ([], [""], ["", ""]):
        with pytest.raises(DataError, match="no text"):
            small().fit(text)
    with pytest.raises(DataError, match="no text to learn from"):
        small(level="word").fit([" ", "  "])
    with pytest.raises(DataError, match="no such file"):
        small().fit("nowhere.txt")
    with pytest.raises(DataError, match=r"text where a path was expected.*Pass a list"):
        small().fit("two\nlines")
    with pytest.raises(DataError, match=r"no string.*got int"):
        small().fit(["a", 3])
    with pytest.raises(OptionError, match="level"):
        small(level="byte").fit(["a"])
    with pytest.raises(NotFittedError):
        small().generate("a")
    (tmp_path / "latin.txt").write_bytes("caf\xe9".encode("latin-1"))
    with pytest.raises(DataError, match="UTF-8"):
        small().fit(tmp_path / "latin.txt")


def test_sources_of_documents(tmp_path):
    (tmp_path / "b.txt").write_text("second\n")
    (tmp_path / "a.txt").write_text("first\n")
    (tmp_path / "table.csv").write_text('n,poem\n1,red sun\n2,\n3,"blue, moon"\n')
    assert read(tmp_path / "a.txt") == ["first\n"]
    assert read(tmp_path) == ["first\n", "second\n"]
    assert read(tmp_path / "table.csv") == ["red sun", "blue, moon"]
    assert read(tmp_path / "table.csv", text="poem") == ["red sun", "blue, moon"]
    assert read({"poem": ["x"], "by": ["y"]}, text="poem") == ["x"]
    with pytest.raises(DataError, match=r"which column holds the text.*'poem', 'by'"):
        read({"poem": ["x"], "by": ["y"]})
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no .txt files"):
        read(tmp_path / "empty")


def job(documents, *, lanes, window, held=()):
    return LanguageJob(documents, held, end=9, lanes=lanes, window=window, identity={})


def test_windows_follow_one_another_in_every_lane():
    documents = [np.arange(1, 6), np.arange(1, 9), np.arange(1, 4)]
    batches = job(documents, lanes=2, window=3).batches(0, seed=0)
    ids, targets, starts = (np.concatenate([batch[field] for batch in batches]) for field in range(3))
    assert ids.shape == (8, 2)
    follows = targets[:-1] == ids[1:]
    assert (follows | (targets[:-1] == 9) | (ids[1:] == 0)).all()
    # a document starts exactly where one has ended
    np.testing.assert_array_equal(starts[1:], targets[:-1] == 9)


def test_every_symbol_has_its_turn():
    documents = [np.arange(1, 8)]
    seen = [
        batch.ids for epoch in range(40) for batch in job(documents, lanes=3, window=1).batches(epoch, seed=0)
    ]
    counts = np.bincount(np.concatenate(seen).ravel(), minlength=8)
    assert (counts[1:] > 5).all()


def test_epochs_differ_and_repeat():
    one = job([np.arange(1, 9)] * 3, lanes=2, window=4)
    a, b, again = one.batches(0, 1), one.batches(1, 1), one.batches(0, 1)
    assert all(np.array_equal(x.ids, y.ids) for x, y in zip(a, again, strict=True))
    assert not all(np.array_equal(x.ids, y.ids) for x, y in zip(a, b, strict=True))


def test_a_stream_of_documents():
    stream = Stream.of([np.array([1, 2]), np.array([3])], end=9)
    assert stream.ids.tolist() == [1, 2, 3]
    assert stream.targets.tolist() == [2, 9, 9]
    assert stream.starts.tolist() == [True, False, True]


def test_the_first_symbol_of_a_document():
    p = first_symbol([np.array([1, 2]), np.array([1, 1])], 4)
    assert sum(p) == pytest.approx(1.0)
    assert p[1] > p[2] > p[0] == p[3] > 0


def test_a_training_that_was_interrupted_goes_on(tmp_path, monkeypatch):
    loss, calls = LanguageJob.loss, []

    def interrupting(self, module, batch, carried):
        calls.append(batch)
        if len(calls) == 11:  # in the middle of an epoch, with a state to carry on
            os.kill(os.getpid(), signal.SIGINT)
        return loss(self, module, batch, carried)

    want = small(epochs=2, dropout=0.2).fit([RHYME])
    with monkeypatch.context() as patched:
        patched.setattr(LanguageJob, "loss", interrupting)
        first = small(epochs=2, dropout=0.2, checkpoint=tmp_path / "run").fit([RHYME])
    assert first.card["training"]["stopped"] == "interrupt"
    again = small(epochs=2, dropout=0.2, checkpoint=tmp_path / "run").fit([RHYME])
    np.testing.assert_array_equal(again.predict(["one two"])[0], want.predict(["one two"])[0])
