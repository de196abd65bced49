"""The report: a page that stands alone, JSON with the measured numbers, and what is left out says why."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

import hiddenstate as hs
from hiddenstate import bundle as bundles
from hiddenstate import lens
from hiddenstate.errors import DataError, MissingExtraError, OptionError
from hiddenstate.lens import Probe, report
from hiddenstate.lens.examples import counter, decaying, shift_register
from hiddenstate.runtime import Model
from random_models import CHARACTERS, CLASSIFIER, TWO_WAYS, bundle_of

TINY = {"hidden_size": 4, "epochs": 1, "progress": False, "seed": 1, "validation": None}
VOID = {"meta", "br", "hr", "link", "img"}


def rows(count=4, steps=30, size=1, seed=0):
    return list(np.random.default_rng(seed).random((count, steps, size)).astype(np.float32))


@pytest.fixture(scope="module")
def made():
    """A quick report on a small LSTM."""
    return report(counter(keep=0.9, size=3), rows(), effort="quick")


def only(made, *names):
    """A report with these sections only: drawing takes time."""
    return replace(made, parts=tuple(part for part in made.parts if part.section.name in names))


@pytest.fixture(scope="module")
def page(made):
    return made.to_html()


class Reader(HTMLParser):
    """Checks nesting; keeps ids, links, attributes that load something, and the number of each tag."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.loads, self.tags = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        self.handle_startendtag(tag, attrs)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            elif name in ("href", "xlink:href"):
                self.links.append(value)
            elif name in ("src", "action", "data", "poster", "background"):
                self.loads.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def read(text):
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert not reader.open
    return reader


def test_the_page_is_whole_and_loads_nothing(page):
    found = read(page)
    assert len(found.ids) == len(set(found.ids))
    inside = [link for link in found.links if not link.startswith("data:")]
    assert inside
    assert all(link.startswith("#") and link[1:] in found.ids for link in inside)
    assert not found.loads
    assert not {"script", "link", "iframe", "object"} & set(found.tags)
    assert not re.search(r"@import|url\((?!['\"]?#)", page)
    assert "default-src 'none'" in page
    assert set(re.findall(r"https?://[^\"'<> ]+", page)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_every_figure_has_a_caption_words_and_a_table(page, made):
    pictures = [picture for part in made.parts if part.found for picture in part.found.pictures]
    assert len(pictures) >= 10
    found = read(page)
    counts = {tag: found.tags.count(tag) for tag in ("figure", "figcaption", "table", "svg")}
    assert set(counts.values()) == {len(pictures)}
    assert page.count('role="img" aria-label="') == len(pictures)
    for picture in pictures:
        assert len(picture.alt) > 40
        assert len({len(column) for column in picture.table.values()}) == 1


def test_the_findings_come_first(page, made):
    assert page.index("In short") < page.index("<figure")
    assert len(made.headlines) >= 5
    for sentence in made.headlines:
        assert any(letter.isdigit() for letter in sentence)
    assert made.sentences[: len(made.headlines)] == made.headlines


def test_json_holds_the_measured_numbers(made):
    text = json.dumps(made.to_json(), allow_nan=False)
    found = json.loads(text)
    assert (found["kind"], found["format"]) == ("hiddenstate lens report", 1)
    assert found["sentences"] == made.sentences
    assert found["about"]["layers"] == [{"name": "rnn_l0", "cell": "lstm", "units": 3}]
    sections = {one["name"]: one for one in found["sections"]}
    assert set(sections) == {part.section.name for part in made.parts}
    (gradient,) = sections["gradient"]["measurements"]
    probe = Probe(counter(keep=0.9, size=3))
    want = lens.gradient_through_time(probe, rows())
    assert gradient["norm"] == pytest.approx(want.norm.tolist())
    assert gradient["interval"]["sequences"] == 4
    assert sections["time-constants"]["measurements"][0]["median"] == pytest.approx(
        -1 / np.log(0.9), rel=1e-3
    )
    assert sections["training"]["left_out"].startswith("the model file says nothing about its training")


def test_figures_show_the_measured_numbers(made):
    part = next(part for part in made.parts if part.section.name == "gradient")
    (found,), (picture,) = part.found.measurements, part.found.pictures
    assert picture.table["lag"] == found.lag.tolist()
    assert picture.table["norm"] == pytest.approx(found.norm.tolist(), rel=1e-3)


def test_the_same_data_and_seed_give_the_same_report(made):
    again = report(counter(keep=0.9, size=3), rows(), effort="quick").to_json()
    first = made.to_json()
    assert first["about"].pop("seconds") != again["about"].pop("seconds")
    assert first == again


def test_the_memory_of_a_shift_register_is_found():
    made = report(shift_register(5), rows(count=8, steps=40), effort="quick")
    found = {part.section.name: part.found for part in made.parts}
    assert found["effective-context"].measurements[0].length in (5, 8)  # tried: 1, 2, 4, 8 ...
    assert found["memory-length"].measurements[0].length == 4


@pytest.mark.parametrize(
    ("bundle", "sequences", "gone"),
    [
        (decaying(0.5), rows(), {"gates", "time-constants", "answer", "training"}),
        (bundle_of(CLASSIFIER), rows(size=3), {"gates", "time-constants", "answer", "training"}),
        (bundle_of(CHARACTERS), [np.arange(30) % 7, np.arange(12) % 5], {"answer", "training"}),
    ],
)
def test_what_does_not_apply_is_left_out_with_the_reason(bundle, sequences, gone):
    made = report(bundle, sequences, effort="normal")
    left = {part.section.name: part.left_out for part in made.parts if part.found is None}
    assert set(left) == gone
    assert all(len(reason) > 20 for reason in left.values())
    page = only(made, *gone).to_html()
    read(page)
    assert "Left out" in page
    assert left["training"].split(".")[0] in page


def test_models_that_read_both_ways_have_no_jacobians():
    made = report(bundle_of(TWO_WAYS), rows(size=3), effort="normal")
    left = {part.section.name: part.left_out for part in made.parts if part.found is None}
    assert "jacobians" in left
    assert made.to_json()["sections"]


def test_full_measures_more():
    made = report(bundle_of(CHARACTERS), [np.arange(60) % 7] * 3, effort="full")
    names = [part.section.name for part in made.parts if part.found]
    assert {"capacity", "lag-gain", "lyapunov", "truncation"} <= set(names)
    json.dumps(made.to_json(), allow_nan=False)


@pytest.fixture(scope="module")
def estimators():
    """A model of each task, and data for it."""
    steps = np.arange(120.0)
    table = {"day": np.arange("2024-01-01", "2024-04-30", dtype="datetime64[D]"), "load": np.sin(steps / 3)}
    texts = ["good & <b>fine</b> film", "bad poor film", "good day", "poor day"] * 4
    tones = ["+", "-", "+", "-"] * 4
    text = "one two buckle my shoe\n" * 20
    return {
        "forecast": (hs.Forecaster(target="load", time="day", horizon=3, **TINY).fit(table), table),
        "classify": (
            hs.SequenceClassifier(text="review", label="tone", level="word", **TINY).fit(
                {"review": texts, "tone": tones}
            ),
            {"review": texts, "tone": tones},
        ),
        "language": (hs.LanguageModel(**TINY).fit([text]), [text]),
    }


@pytest.mark.parametrize("task", ["forecast", "classify", "language"])
def test_every_task_has_a_report(estimators, task):
    model, data = estimators[task]
    made = report(model, data, effort="quick")
    assert made.about["task"] == task
    left = {part.section.name for part in made.parts if part.found is None}
    assert left == ({"answer"} if task == "forecast" else set())
    states = next(part for part in made.parts if part.section.name == "states").found.pictures[0]
    first = {"forecast": "2024-01-01", "classify": "good", "language": "o"}[task]
    assert states.table["label"][0] == first
    json.dumps(made.to_json(), allow_nan=False)


def test_text_of_the_data_cannot_become_markup(estimators):
    model, _ = estimators["language"]
    text = ["</svg><b>'\"&" * 9] * 2
    page = only(report(model, text, effort="quick"), "states").to_html()
    read(page)
    assert "<b>" not in page
    assert "<td>&lt;</td>" in page


def test_classifiers_can_be_looked_at_without_labels(estimators):
    model, data = estimators["classify"]
    made = report(model, {"review": data["review"]}, effort="quick")
    assert "no targets are known" in json.dumps(made.to_json())


def test_the_answer_of_a_classifier_is_told_word_by_word(estimators):
    model, data = estimators["classify"]
    made = report(model, data, effort="quick", example=2)
    found = next(part.found for part in made.parts if part.section.name == "answer")
    seen = lens.trace(model, "bad poor film")
    assert found.pictures[0].table["label"] == ["bad", "poor", "film"]
    assert found.pictures[0].table["change of the log odds"] == pytest.approx(seen.carried.tolist(), rel=1e-3)
    assert repr(seen.answers[int(np.argmax(seen.probabilities[-1]))]) in found.sentences[0]


def test_the_path_of_the_example_is_drawn_first(made):
    found = next(part.found for part in made.parts if part.section.name == "trajectory")
    (path,), (picture,) = found.measurements, found.pictures
    assert picture.table["first direction"] == pytest.approx(path.path[0][:, 0].tolist(), rel=1e-3, abs=1e-9)
    assert path.sequence[0] == made.about["example"]


def test_another_sequence_can_be_shown(estimators):
    model, data = estimators["classify"]
    made = report(model, data, effort="quick", example=2)
    states = next(part for part in made.parts if part.section.name == "states").found.pictures[0]
    assert states.table["label"] == ["bad", "poor", "film"]


def test_saving(made, tmp_path):
    made = only(made, "gradient", "drift")
    made.save(tmp_path / "a.html")
    made.save(tmp_path / "a.json")
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")
    assert json.loads((tmp_path / "a.json").read_text()) == made.to_json()
    files = made.save_figures(tmp_path / "figures")
    assert sorted(files) == sorted((tmp_path / "figures").iterdir())
    assert sorted(file.name for file in files) == ["gradient-through-time.png", "norm-drift.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


def test_saving_where_it_cannot_be_saved(made, tmp_path):
    with pytest.raises(OptionError, match=r"expected .html or .json"):
        made.save(tmp_path / "a.pdf")
    with pytest.raises(DataError, match="cannot write the file"):
        made.save(tmp_path / "missing" / "a.json")
    (tmp_path / "file").write_text("here")
    with pytest.raises(DataError, match="cannot make the folder"):
        made.save_figures(tmp_path / "file")


def test_a_page_without_matplotlib_names_the_extra(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"hiddenstate\[plot\]"):
        made.to_html()
    assert made.to_json()


def test_reports_need_no_torch(tmp_path):
    bundles.save(tmp_path / "model", counter(size=2))
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['matplotlib'] = None\n"
        "import numpy as np; from hiddenstate import lens\n"
        f"made = lens.report({str(tmp_path / 'model')!r}, [np.ones((9, 1))] * 2, effort='quick')\n"
        "print(len(made.to_json()['sections']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 12


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([np.full((9, 1), np.nan)], "sequence 0, step 0"),
        ([], "no sequences"),
        ([np.empty((0, 1))], "no sequences"),
        ([np.ones((1, 1)), np.ones((1, 1))], "every sequence is a single step"),
        ([np.ones((9, 2))], "sequence 0"),
        ("nowhere.csv", "nowhere.csv"),
        (3, "not a list of sequences"),
    ],
)
def test_data_that_cannot_be_used(data, message):
    with pytest.raises(DataError, match=message):
        report(counter(), data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"effort": "much"}, "unknown effort"),
        ({"layer": "rnn_l7"}, "no such layer"),
        ({"example": 0}, "example"),
        ({"example": 5}, "no such sequence"),
    ],
)
def test_options_that_do_not_exist(options, message):
    with pytest.raises(OptionError, match=message):
        report(counter(), rows(), **options)


def test_short_sequences_are_looked_at_as_far_as_they_go():
    made = report(counter(), [np.ones((3, 1)), np.ones((2, 1))], effort="normal")
    gradient = next(part for part in made.parts if part.section.name == "gradient")
    assert gradient.found.measurements[0].lag.max() <= 2


def test_files_for_models_without_a_task(tmp_path):
    model = Model(bundle_of(CLASSIFIER))
    np.save(tmp_path / "many.npy", np.stack(rows(size=3)))
    assert report(model, tmp_path / "many.npy", effort="quick").about["sequences"] == 4
    (tmp_path / "one.csv").write_text("a,b,c\n" + "0.5,0.25,1\n" * 20)
    assert report(model, tmp_path / "one.csv", effort="quick").about["longest"] == 20
    ids = Model(bundle_of(CHARACTERS))
    (tmp_path / "ids.csv").write_text("id\n" + "".join(f"{i % 7}\n" for i in range(20)))
    assert report(ids, tmp_path / "ids.csv", effort="quick").about["sequences"] == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bad.npy", b"not numpy", "not a file of numbers"),
        ("empty.npy", b"", "not a file of numbers"),
        ("empty.csv", b"", "empty"),
        ("nan.csv", b"a,b,c\n1,2,3\n1,,3\n", "sequence 0, step 1"),
        ("text.csv", b"a,b,c\n1,2,x\n", "text.csv"),
    ],
)
def test_files_of_numbers_that_cannot_be_used(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        report(Model(bundle_of(CLASSIFIER)), tmp_path / name)


def test_progress_is_said_on_standard_error(capsys):
    report(counter(), rows(), effort="quick", progress=True)
    told = capsys.readouterr()
    assert told.out == ""
    assert all(line.startswith("hiddenstate: lens: ") for line in told.err.splitlines())
