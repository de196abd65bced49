"""The verb ``lens``: findings as text, numbers as JSON, a page, pictures, and how it ends when it cannot."""

import io
import json
import sys

import numpy as np
import polars as pl
import pytest

import hiddenstate as hs
from hiddenstate import bundle as bundles
from hiddenstate.cli import main
from hiddenstate.lens.examples import counter

TINY = {"hidden_size": 4, "epochs": 1, "progress": False, "seed": 1}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A model of texts with its data, and a bare one."""
    folder = tmp_path_factory.mktemp("files")
    table = {
        "review": ["good film", "bad film today", "good day", "poor day"] * 6,
        "tone": ["+", "-", "+", "-"] * 6,
    }
    pl.DataFrame(table).write_csv(folder / "reviews.csv")
    model = hs.SequenceClassifier(text="review", label="tone", level="word", **TINY)
    model.fit(folder / "reviews.csv").save(folder / "tone")
    bundles.save(folder / "bare", counter(size=2))
    (folder / "numbers.csv").write_text("x\n" + "0.5\n1.0\n" * 10)
    return folder


def run(capsys, *words):
    capsys.readouterr()
    code = main(["lens", *map(str, words)])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_findings_as_text(files, capsys):
    code, out, err = run(capsys, files / "tone", files / "reviews.csv", "--quick")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 6
    assert "95" in out


def test_numbers_on_standard_output(files, capsys):
    code, out, _ = run(capsys, files / "bare", files / "numbers.csv", "--quick", "--format", "json")
    assert code == 0
    found = json.loads(out)
    assert found["about"]["effort"] == "quick"
    assert found["about"]["longest"] == 20


def test_a_page_and_pictures(files, tmp_path, capsys):
    page, figures = tmp_path / "report.html", tmp_path / "figures"
    code, out, err = run(
        capsys, files / "tone", files / "reviews.csv", "--quick", "-o", page, "--figures", figures
    )
    assert code == 0
    assert f"saved {page}" in err
    assert page.read_text().count("<figure") == len(list(figures.glob("*.png"))) > 8
    assert len(out.splitlines()) == 6


def test_the_format_may_differ_from_the_suffix(files, tmp_path, capsys):
    place = tmp_path / "report.txt"
    words = (files / "bare", files / "numbers.csv", "--quick", "--format", "json", "-o", place)
    assert run(capsys, *words)[:2] == (0, "")
    assert json.loads(place.read_text())["format"] == 1


def test_another_sequence_and_layer(files, capsys):
    words = ("--quick", "--format", "json", "--example", "2", "--layer", "rnn_l0", "--seed", "3")
    code, out, _ = run(capsys, files / "tone", files / "reviews.csv", *words)
    assert code == 0
    assert json.loads(out)["about"]["example"] == "sequence 2"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--quick", "--full"], 2, "one or the other"),
        (["--format", "html"], 2, "a page needs a file"),
        (["-o", "report.pdf"], 2, "expected .html or .json"),
        (["-o", "/nowhere/report.html"], 1, "cannot write the report (in /nowhere/report.html)"),
        (["--figures", "/nowhere/at/all"], 1, "cannot write the report"),
        (["--layer", "other"], 2, "no such layer"),
        (["--example", "99"], 2, "no such sequence"),
        (["--format", "pdf"], 2, "--format"),
    ],
)
def test_commands_that_cannot_be_done(files, capsys, words, code, message):
    found, out, err = run(capsys, files / "tone", files / "reviews.csv", *words)
    assert (found, out) == (code, "")
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("model", "name", "content", "message"),
    [
        ("bare", "nan.csv", "x\n0.5\n\n0.25\nnan\n", "step"),
        ("bare", "empty.csv", "", "empty"),
        ("bare", "header.csv", "x\n", "no rows"),
        ("bare", "one.csv", "x\n1\n", "every sequence is a single step"),
        ("tone", "empty.csv", "", "empty"),
        ("tone", "other.csv", "a,b\n1,2\n", "review"),
    ],
)
def test_files_that_cannot_be_used(files, tmp_path, capsys, model, name, content, message):
    (tmp_path / name).write_text(content)
    code, out, err = run(capsys, files / model, tmp_path / name, "--quick")
    assert (code, out) == (1, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_files_that_are_not_there(files, capsys):
    assert run(capsys, files / "tone", "missing.csv")[0] == 1
    assert run(capsys, "missing", files / "reviews.csv")[0] == 1


def test_a_page_without_matplotlib_is_refused_before_measuring(files, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = run(capsys, files / "tone", files / "reviews.csv", "-o", tmp_path / "a.html")
    assert code == 1
    assert "pip install 'hiddenstate[plot]'" in err
    assert run(capsys, files / "bare", files / "numbers.csv", "--quick")[0] == 0


def test_progress_on_a_terminal(files, capsys, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    assert main(["lens", str(files / "bare"), str(files / "numbers.csv"), "--quick"]) == 0
    assert "memory-length, about" in terminal.getvalue()
    capsys.readouterr()


def test_help(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert "horizon" in out
    assert "--figures" in out


def test_predictions_are_not_changed_by_looking(files):
    model = hs.load(files / "tone")
    before = model.predict(files / "reviews.csv")
    hs.lens.report(model, files / "reviews.csv", effort="quick")
    assert np.array_equal(before, model.predict(files / "reviews.csv"))
