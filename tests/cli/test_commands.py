"""The verbs, from files to answers, and every way a command ends."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import hiddenstate as hs
from hiddenstate.cli import main

TIMEOUT_S = 60
QUICK = ["--hidden-size", "8", "--no-progress", "--seed", "1"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Small data files, and a model of each task trained on them by commands."""
    folder = tmp_path_factory.mktemp("files")
    steps = np.arange(150)
    pl.DataFrame({"t": steps, "load": np.round(10 + 5 * np.sin(steps / 3), 3)}).write_csv(folder / "load.csv")
    texts = [
        f"{word} {thing}" for word in ("good", "fine", "bad", "poor") for thing in ("film", "day", "car")
    ]
    tones = ["+"] * 6 + ["-"] * 6
    pl.DataFrame({"review": texts * 4, "tone": tones * 4}).write_csv(folder / "reviews.csv")
    (folder / "rhyme.txt").write_text("one two buckle my shoe\nthree four knock at the door\n" * 15)
    commands = {
        "load": "forecast load.csv --target load --time t --horizon 3 --epochs 4",
        "tone": "classify reviews.csv --text review --label tone --level word --epochs 30 --no-validation",
        "rhyme": "language rhyme.txt --epochs 6 --window 16 --learning-rate 0.02",
    }
    for model, command in commands.items():
        task, file, *rest = command.split()
        assert main(["fit", task, str(folder / file), *rest, "-o", str(folder / model), *QUICK]) == 0
    return folder


def run(capsys, *words, fed=None, monkeypatch=None):
    """Exit code, standard output and standard error of a command."""
    if fed is not None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(fed.encode())))
    capsys.readouterr()
    code = main([str(word) for word in words])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_version_and_help(capsys):
    assert run(capsys, "--version") == (0, hs.__version__ + "\n", "")
    for words in (
        [],
        ["fit"],
        ["fit", "forecast"],
        ["predict"],
        ["stream"],
        ["generate"],
        ["score"],
        ["show"],
    ):
        code, out, err = run(capsys, *words, "--help")
        assert (code, err) == (0, "")
        assert "Usage" in out


def test_predict_to_standard_output_and_to_files(files, tmp_path, capsys):
    code, out, err = run(capsys, "predict", files / "tone", files / "reviews.csv")
    assert (code, err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 48
    assert list(rows[0]) == ["row", "tone", "p(+)", "p(-)"]
    for suffix, read in ((".csv", pl.read_csv), (".jsonl", pl.read_ndjson), (".parquet", pl.read_parquet)):
        target = tmp_path / f"out{suffix}"
        assert run(capsys, "predict", files / "tone", files / "reviews.csv", "-o", target)[:2] == (0, "")
        table = read(target)
        assert table["tone"].to_list() == [row["tone"] for row in rows]
        assert table["p(+)"].to_list() == [float(row["p(+)"]) for row in rows]


def test_predict_forecasts(files, capsys):
    code, out, _ = run(capsys, "predict", files / "load", files / "load.csv")
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    want = hs.load(files / "load").predict(files / "load.csv")
    assert [float(row["load"]) for row in rows] == want.numbers("load").tolist()


def test_predict_surprisals(files, capsys):
    code, out, _ = run(capsys, "predict", files / "rhyme", files / "rhyme.txt")
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    bits = hs.load(files / "rhyme").predict(files / "rhyme.txt")[0]
    assert [float(row["bits"]) for row in rows] == bits.tolist()


@pytest.mark.parametrize(
    ("model", "data", "names"),
    [
        ("load", "load.csv", ["network", "last value"]),
        ("tone", "reviews.csv", ["network (gru)", "majority class", "logistic regression", "recall"]),
        ("rhyme", "rhyme.txt", ["network (lstm)", "symbol frequencies", "bits_per_character"]),
    ],
)
def test_score_shows_the_baselines(files, tmp_path, capsys, model, data, names):
    code, out, err = run(capsys, "score", files / model, files / data)
    assert (code, err) == (0, "")
    assert all(name in out for name in names)
    assert run(capsys, "score", files / model, files / data, "-o", tmp_path / "scores.jsonl")[:2] == (0, "")
    rows = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert rows[0]["model"].startswith("network")


def test_score_against_n_grams(files, capsys):
    words = ["score", files / "rhyme", files / "rhyme.txt", "--train", files / "rhyme.txt"]
    code, out, _ = run(capsys, *words)
    assert code == 0
    assert "5-gram" in out
    code, _, err = run(capsys, "score", files / "tone", files / "reviews.csv", "--train", "x.csv")
    assert code == 2
    assert "only for language models (in --train): got a model of task 'classify'" in err


@pytest.mark.parametrize("model", ["load", "tone", "rhyme"])
def test_show(files, capsys, model):
    code, out, err = run(capsys, "show", files / model)
    assert (code, err) == (0, "")
    for word in (
        "task:",
        "network",
        "rnn:",
        "parameters:",
        "streams: yes",
        "codec",
        "card",
        "sha256",
        "seed: 1",
    ):
        assert word in out
    assert max(map(len, out.splitlines())) < 200


def test_generate(files, capsys):
    words = ["generate", files / "rhyme", "--prompt", "one two", "--length", 30, "--seed", 3]
    code, out, err = run(capsys, *words)
    assert (code, err) == (0, "")
    assert out.startswith("one two")
    assert run(capsys, *words)[1] == out
    model = hs.load(files / "rhyme")
    assert out == "one two" + "".join(model.generate("one two", length=30, seed=3)) + "\n"
    greedy = run(capsys, *words[:-2], "--temperature", 0)[1]
    assert greedy == run(capsys, *words[:-2], "--top-k", 1)[1] == run(capsys, *words[:-2], "--top-p", 1e-6)[1]


def test_a_note_on_unknown_symbols(files, capsys):
    code, _, err = run(capsys, "generate", files / "rhyme", "--prompt", "✓", "--length", 1)
    assert code == 0
    assert err == "hiddenstate: note: unknown to the model, read as the unknown symbol: ['✓']\n"


def test_a_note_on_what_was_done_to_the_data(files, tmp_path, capsys):
    rows = (files / "load.csv").read_text().splitlines()
    (tmp_path / "mixed.csv").write_text("\n".join([rows[0], *reversed(rows[1:])]))
    code, out, err = run(capsys, "predict", files / "load", tmp_path / "mixed.csv")
    assert (code, out) == run(capsys, "predict", files / "load", files / "load.csv")[:2]
    assert err.startswith("hiddenstate: note: ")
    assert err.endswith("sorted\n")


def test_stream_of_numbers(files, capsys, monkeypatch):
    fed = "t,load\n0,10\n1,11.6\n2,\n"
    code, out, err = run(capsys, "stream", files / "load", fed=fed, monkeypatch=monkeypatch)
    assert (code, err) == (0, "")
    lines = [json.loads(line) for line in out.splitlines()]
    session = hs.load(files / "load").stream()
    rows = [{"t": 0, "load": 10.0}, {"t": 1, "load": 11.6}, {"t": 2, "load": None}]
    assert [line["load"] for line in lines] == [session.step(row)["load"].tolist() for row in rows]


def test_stream_of_text(files, capsys, monkeypatch):
    fed = "good film\nbad\n\nbad film\n"
    code, out, _ = run(capsys, "stream", files / "tone", fed=fed, monkeypatch=monkeypatch)
    assert code == 0
    answers = [json.loads(line) for line in out.splitlines()]
    proba = hs.load(files / "tone").predict_proba(["good film", "good film\nbad", "bad film"])
    assert answers[2] is None
    got = [list(answers[i]["probabilities"].values()) for i in (0, 1, 3)]
    np.testing.assert_array_equal(got, proba)


def test_stream_of_language(files, capsys, monkeypatch):
    code, out, _ = run(capsys, "stream", files / "rhyme", fed="one two\nthree\n", monkeypatch=monkeypatch)
    assert code == 0
    bits = hs.load(files / "rhyme").predict(["one two\nthree\n"])[0]
    answers = [json.loads(line) for line in out.splitlines()]
    assert [answer["bits"] for answer in answers] == pytest.approx([bits[:8].sum(), bits[8:].sum()])


def test_a_snapshot_makes_one_stream_of_two(files, tmp_path, capsys, monkeypatch):
    def lines(fed, *more):
        code, out, err = run(capsys, "stream", files / "load", *more, fed=fed, monkeypatch=monkeypatch)
        assert (code, err) == (0, "")
        return out.splitlines()

    rows = [f"{t},{10 + t % 5}\n" for t in range(6)]
    head, state = "t,load\n", ["--snapshot", tmp_path / "state"]
    whole = lines(head + "".join(rows))
    assert lines(head + "".join(rows[:4]), *state) + lines(head + "".join(rows[4:]), *state) == whole


def test_a_bad_line_ends_the_stream_and_keeps_what_was_answered(files, tmp_path, capsys, monkeypatch):
    state = ["--snapshot", tmp_path / "state"]
    fed = "t,load\n0,10\n1,x\n2,9\n"
    code, out, err = run(capsys, "stream", files / "load", *state, fed=fed, monkeypatch=monkeypatch)
    assert code == 1
    assert len(out.splitlines()) == 1
    assert err.startswith("hiddenstate: ")
    assert "line 3" in err
    assert len(err.splitlines()) == 1
    rest = run(capsys, "stream", files / "load", *state, fed="t,load\n1,11\n", monkeypatch=monkeypatch)[1]
    session = hs.load(files / "load").stream()
    session.step({"t": 0, "load": 10.0})
    assert json.loads(rest)["load"] == session.step({"t": 1, "load": 11.0})["load"].tolist()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fly"], 'Unknown command "fly"'),
        (["predict", "model"], "FILE"),
        (["predict", "model", "file", "more"], "more"),
        (["fit", "forecast", "FOLDER/load.csv", "--target", "load"], "--out"),
        (["fit", "forecast", "FOLDER/load.csv", "-o", "x", "--hidden-sizes", "3"], "--hidden-sizes"),
        (["fit", "forecast", "FOLDER/load.csv", "-o", "x", "--hidden-size", "many"], "--hidden-size"),
        (["fit", "classify", "FOLDER/reviews.csv", "-o", "FOLDER/x", "--pooling", "sum"], "pooling"),
        (["fit", "classify", "FOLDER/reviews.csv", "-o", "FOLDER/x", "--text", "review"], "label"),
        (
            ["fit", "classify", "FOLDER/reviews.csv", "-o", "FOLDER/x", "--class-weight", "a=1,b"],
            "--class-weight",
        ),
        (["generate", "FOLDER/rhyme", "--temperature", "-1"], "temperature"),
        (["generate", "FOLDER/load"], "a task with 'generate'"),
    ],
)
def test_a_command_written_wrongly(files, capsys, words, message):
    code, out, err = run(capsys, *(word.replace("FOLDER", str(files)) for word in words))
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("hiddenstate: ")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predict", "nowhere", "FOLDER/load.csv"], "nowhere"),
        (["predict", "FOLDER/load.csv", "FOLDER/load.csv"], "load.csv"),
        (["predict", "FOLDER/load", "nowhere.csv"], "no such file (in nowhere.csv)"),
        (["predict", "FOLDER/load", "FOLDER/reviews.csv"], "'load'"),
        (["predict", "FOLDER/tone", "FOLDER/reviews.csv", "-o", "FOLDER/no/such/folder.csv"], "folder.csv"),
        (["score", "FOLDER/tone", "FOLDER/load.csv"], "no column"),
        (["show", "FOLDER/rhyme.txt"], "rhyme.txt"),
        (["stream", "FOLDER/load", "--snapshot", "FOLDER/load.csv"], "snapshot"),
        (["fit", "forecast", "FOLDER/load.csv", "--target", "price", "-o", "FOLDER/x"], "'price'"),
        (["fit", "language", "nowhere.txt", "-o", "FOLDER/x"], "no such file (in nowhere.txt)"),
        (["fit", "language", "FOLDER/rhyme.txt", "-o", "FOLDER/no/x"], "cannot write the model"),
    ],
)
def test_data_and_models_at_fault(files, capsys, words, message):
    code, _, err = run(capsys, *(word.replace("FOLDER", str(files)) for word in words))
    assert code == 1
    assert message in err
    assert err.startswith("hiddenstate: ")
    assert len(err.splitlines()) == 1


def test_debug_shows_where(files, capsys):
    code, _, err = run(capsys, "predict", "nowhere", "nowhere.csv", "--debug")
    assert code == 1
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("hiddenstate: ")


def test_an_error_that_is_nobodys_mistake(monkeypatch, capsys, files):
    def broken(path):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("hiddenstate.bundle.load", broken)
    code, _, err = run(capsys, "show", files / "load")
    assert code == 1
    assert err == (
        "hiddenstate: unexpected ZeroDivisionError: oops. "
        "This may be a bug; --debug shows where it happened\n"
    )


def test_an_interrupted_training_saves_the_best_so_far(files, tmp_path, capsys, monkeypatch):
    from hiddenstate.tasks.language.job import LanguageJob

    loss, calls = LanguageJob.loss, []

    def interrupting(self, module, batch, carried):
        calls.append(batch)
        if len(calls) == 40:
            os.kill(os.getpid(), signal.SIGINT)
        return loss(self, module, batch, carried)

    monkeypatch.setattr(LanguageJob, "loss", interrupting)
    words = ["fit", "language", files / "rhyme.txt", "-o", tmp_path / "m", "--window", 8, "--epochs", 10**6]
    code, _, err = run(capsys, *words, *QUICK)
    assert code == 130
    assert "ended by interrupt" in err
    assert main(["show", str(tmp_path / "m")]) == 0


# ---- in processes of their own


def start(*words):
    environment = os.environ | {"PYTHONPATH": str(Path(hs.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "hiddenstate.cli", *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def test_each_line_is_answered_at_once(files):
    with start("stream", files / "load") as process:
        process.stdin.write("t,load\n")
        for t in range(3):
            process.stdin.write(f"{t},{10 + t}\n")
            process.stdin.flush()
            assert "load" in json.loads(process.stdout.readline())  # it comes before the input ends
        out, err = process.communicate(timeout=TIMEOUT_S)
    assert (out, err, process.returncode) == ("", "", 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_stream_leaves_its_state(files, tmp_path, number):
    with start("stream", files / "load", "--snapshot", tmp_path / "state") as process:
        process.stdin.write("t,load\n0,10\n")
        process.stdin.flush()
        process.stdout.readline()
        process.send_signal(number)
        _, err = process.communicate(timeout=TIMEOUT_S)
    assert (err, process.returncode) == ("", 130)
    model = hs.load(files / "load")
    session = model.stream()
    session.step({"t": 0, "load": 10.0})
    again = model.stream((tmp_path / "state").read_bytes())
    row = {"t": 1, "load": 9.0}
    assert again.step(row)["load"].tolist() == session.step(row)["load"].tolist()


def test_a_reader_that_goes_away(files):
    endless = ["--length", 10**8, "--temperature", 0]
    with start("generate", files / "rhyme", *endless) as process:
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(timeout=TIMEOUT_S) == 141
        assert process.stderr.read() == ""


def test_only_fit_needs_torch(files, tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('torch is not here')")
    blocked = {
        **os.environ,
        "PYTHONPATH": f"{tmp_path}:{Path(hs.__file__).parents[1]}",
        "OMP_NUM_THREADS": "1",
    }
    commands = [
        ["predict", files / "tone", files / "reviews.csv"],
        ["score", files / "load", files / "load.csv"],
        ["generate", files / "rhyme", "--length", 5],
    ]
    for words in commands:
        done = subprocess.run(
            [sys.executable, "-m", "hiddenstate.cli", *map(str, words)],
            env=blocked,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_files_of_other_forms_are_read_as_the_options_say(files, tmp_path, capsys):
    rows = [line.split(",") for line in (files / "load.csv").read_text().splitlines()[1:]]
    foreign = tmp_path / "foreign.csv"
    foreign.write_text("t;load\n" + "".join(f"{t};{load.replace('.', ',')}\n" for t, load in rows))
    options = ["--separator", ";", "--decimal", ","]
    plain = run(capsys, "predict", files / "load", files / "load.csv")
    assert run(capsys, "predict", files / "load", foreign, *options) == plain
    assert run(capsys, "score", files / "load", foreign, *options)[0] == 0
    model = tmp_path / "model"
    fit = ["fit", "forecast", foreign, "--target", "load", "--time", "t", "--horizon", "3", "--epochs", "1"]
    assert run(capsys, *fit, *options, "-o", model, *QUICK)[0] == 0
    code, _, err = run(capsys, "predict", files / "load", foreign)
    assert code == 1
    assert "decimal" in err
