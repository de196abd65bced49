"""M4: the grid of trainings, what is kept of it, and its verb."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from hiddenstate import cli
from hiddenstate.errors import DataError, OptionError
from hiddenstate.lens import examples
from hiddenstate.lens.horizon import recall_horizon
from hiddenstate.lens.shelf import Shelf
from hiddenstate.tasks import probes

NONE = examples.counter()
QUICK = probes.Training(updates=50, hidden_size=16, learning_rate=1e-2)


@pytest.fixture
def trained(monkeypatch):
    """Counts trainings that bridge a known number of steps: cell and seed say how many."""
    reach = {("rnn", 0): 10, ("rnn", 1): 20, ("lstm", 0): 50, ("lstm", 1): 5, ("gru", 0): 0, ("gru", 1): 0}
    seen = []

    def train_probe(task, cell, *, training, seed):
        seen.append((cell, task.delay, seed))
        score = 0.95 if task.delay <= reach[cell, seed] else 0.1
        return probes.Outcome(
            score=score,
            parts={"all": score},
            stopped="updates",
            updates=7,
            seconds=0.5,
            history=(),
            bundle=NONE,
        )

    monkeypatch.setattr(probes, "train_probe", train_probe)
    return seen


def test_the_horizon_is_the_greatest_delay_bridged(trained):
    found = recall_horizon(["rnn", "lstm", "gru"], delays=[50, 5, 20, 10], seeds=2, training=QUICK)
    assert found.delay.tolist() == [5, 10, 20, 50]
    assert found.horizon.tolist() == [[10, 20], [50, 5], [0, 0]]
    assert found.score.shape == (3, 4, 2)
    assert found.score[0, 1].tolist() == [0.95, 0.95]
    assert found.score[0, 2].tolist() == [0.1, 0.95]
    assert len(trained) == 24
    assert "RNN 10 (10 to 20), LSTM 5 (5 to 50), GRU 0;" in found.sentence()
    table = found.table()
    assert {len(column) for column in table.values()} == {12}
    row = {name: column[2] for name, column in table.items()}
    assert (row["cell"], row["delay"], row["low"], row["high"]) == ("rnn", 20, 0.1, 0.95)
    assert row["recalled"] == "1 of 2"
    assert row["score"] == pytest.approx(0.525)
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert data["horizon"] == [[10, 20], [50, 5], [0, 0]]
    assert data["training"]["updates"] == 50


def test_a_short_delay_is_bridged_for_real():
    found = recall_horizon(["gru"], delays=[1, 80], seeds=1, training=QUICK)
    assert found.horizon.tolist() == [[1]]
    assert abs(found.score[0, 1, 0]) < 0.1


def test_finished_trainings_are_kept(trained, tmp_path):
    kept = tmp_path / "runs.jsonl"
    first = recall_horizon(["rnn"], delays=[5, 10], seeds=2, training=QUICK, kept=kept)
    assert len(trained) == 4
    second = recall_horizon(["rnn", "lstm"], delays=[5, 10], seeds=2, training=QUICK, kept=kept)
    assert len(trained) == 8
    assert (second.score[0] == first.score[0]).all()
    again = recall_horizon(["rnn", "lstm"], delays=[5, 10], seeds=2, training=QUICK, kept=kept)
    assert len(trained) == 8
    assert again.to_json() == second.to_json()


def test_another_setting_is_another_training(trained, tmp_path):
    kept = tmp_path / "runs.jsonl"
    recall_horizon(["rnn"], delays=[5], seeds=1, training=QUICK, kept=kept)
    recall_horizon(["rnn"], delays=[5], seeds=1, training=probes.Training(updates=51), kept=kept)
    recall_horizon(["rnn"], delays=[5], seeds=1, training=QUICK, kept=kept, task="parity")
    recall_horizon(["rnn"], delays=[5], seeds=1, training=QUICK, kept=kept, settings={"symbols": 4})
    assert len(trained) == 4


def test_a_line_that_was_cut_off_is_trained_again(trained, tmp_path):
    kept = tmp_path / "runs.jsonl"
    whole = recall_horizon(["rnn"], delays=[5, 10], seeds=2, training=QUICK, kept=kept)
    content = kept.read_bytes()
    last = content.rfind(b"\n", 0, -1) + 1
    for cut in range(last + 7, len(content), 23):
        kept.write_bytes(content[:cut])
        trained.clear()
        found = recall_horizon(["rnn"], delays=[5, 10], seeds=2, training=QUICK, kept=kept)
        assert trained == [("rnn", 10, 1)]
        assert found.to_json() == whole.to_json()
        assert kept.read_bytes() == content


def test_progress_counts_what_is_kept(trained, tmp_path):
    kept, seen = tmp_path / "runs.jsonl", []
    recall_horizon(["rnn"], delays=[5], seeds=2, training=QUICK, kept=kept)
    recall_horizon(["rnn"], delays=[5, 10], seeds=2, training=QUICK, kept=kept, report=seen.append)
    assert [(step.done, step.total) for step in seen] == [(3, 4), (4, 4)]
    assert seen[0].left_s > 0
    assert seen[-1].left_s == 0
    assert "rnn, delay 10, seed 1" in seen[-1].what


def test_an_interrupted_training_is_not_kept(monkeypatch, tmp_path):
    stopped = probes.Outcome(
        score=0.2, parts={"all": 0.2}, stopped="interrupt", updates=3, seconds=0.1, history=(), bundle=NONE
    )
    monkeypatch.setattr(probes, "train_probe", lambda *_, **__: stopped)
    with pytest.raises(KeyboardInterrupt):
        recall_horizon(["rnn"], delays=[5], seeds=1, kept=tmp_path / "runs.jsonl")
    assert (tmp_path / "runs.jsonl").read_bytes() == b""


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"cells": []}, "cells"),
        ({"cells": ["rnn", "nonsense"]}, "nonsense"),
        ({"delays": []}, "delays"),
        ({"delays": [5, 0]}, "delay"),
        ({"seeds": 0}, "seeds"),
        ({"task": "nonsense"}, "nonsense"),
        ({"settings": {"nonsense": 1}}, "nonsense"),
    ],
)
def test_bad_settings_are_refused_before_the_first_training(trained, bad, said):
    with pytest.raises(OptionError, match=said):
        recall_horizon(**({"cells": ["rnn"], "delays": [5], "seeds": 1} | bad))
    assert not trained


# ---- the file of finished trainings


@pytest.mark.parametrize(
    "content", ["not json\n", '{"a": 1}\n', "[]\n", "no line end", '{"key": {}, "outcome": 3}\n']
)
def test_another_file_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "other.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=r"not a file of kept results.*line 1"):
        Shelf(path)
    assert path.read_text() == content


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(DataError, match="cannot use the file"):
        Shelf(tmp_path)


# ---- the verb

WORDS = ["lens", "horizon", "--cell", "gru,rnn", "--delays", "1,2", "--seeds", "2", "--updates", "50"]
WORDS += ["--hidden-size", "8", "--task", "first-middle-last", "--learning-rate", "0.02"]


def test_the_verb_prints_and_writes(tmp_path, capsys):
    words = [*WORDS[:4], "--delays", "3,4", *WORDS[6:], "--settings", "symbols=2,marked=true"]
    files = [tmp_path / name for name in ("a.png", "a.svg", "a.json")]
    assert cli.main([*words, "-o", ",".join(map(str, files))]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0].split() == "cell delay score low high recalled updates first middle latest".split()
    assert [line.split()[:2] for line in lines[1:5]] == [
        ["gru", "3"],
        ["gru", "4"],
        ["rnn", "3"],
        ["rnn", "4"],
    ]
    assert "8/8 rnn, delay 4, seed 1" in said.err
    assert files[0].read_bytes().startswith(b"\x89PNG")
    assert files[1].read_text().startswith("<svg")
    data = json.loads(files[2].read_text())
    assert data["cell"] == ["gru", "rnn"]
    assert np.shape(data["parts"]["middle"]) == (2, 2, 2)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--delays", "1,x"], "--delays"),
        (["--delays", "2"], "at least 3"),
        (["--out", "a.pdf"], ".png"),
        (["--settings", "symbols"], "key=value"),
        (["--init", "zeros"], "Training.init"),
        (["--window", "0"], "Training.window"),
        (["--cell", ""], "cells"),
        (["--seeds", "0"], "seeds"),
    ],
)
def test_the_verb_refuses(more, said, capsys):
    keep = [
        word for pair in zip(WORDS[2::2], WORDS[3::2], strict=True) if pair[0] != more[0] for word in pair
    ]
    assert cli.main(["lens", "horizon", *keep, *more]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_folder_that_is_not_there_is_said_first(trained, tmp_path, capsys):
    assert cli.main([*WORDS, "--out", str(tmp_path / "none" / "a.json")]) == 1
    assert "Check that" in capsys.readouterr().err
    assert not trained


def test_killed_and_started_again_ends_as_undisturbed(tmp_path):
    words = ["lens", "horizon", "--cell", "rnn,gru", "--delays", "3,5", "--seeds", "2", "--updates", "150"]
    command = [sys.executable, "-m", "hiddenstate.cli", *words, "--hidden-size", "8", "--batch-size", "8"]

    def start():
        more = ["--kept", str(tmp_path / "cut.jsonl"), "--out", str(tmp_path / "cut.json")]
        return subprocess.Popen([*command, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    for stop, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)):
        running = start()
        before = _lines(tmp_path / "cut.jsonl")
        while _lines(tmp_path / "cut.jsonl") < before + 2:
            assert running.poll() is None
            time.sleep(0.005)
        os.kill(running.pid, stop)
        _, said = running.communicate()
        assert running.returncode == code, said
        assert not (tmp_path / "cut.json").exists()
    assert b"the same command goes on" in said
    running = start()
    running.communicate()
    assert running.returncode == 0
    training = probes.Training(updates=150, hidden_size=8, batch_size=8)
    whole = recall_horizon(["rnn", "gru"], delays=[3, 5], seeds=2, training=training).to_json()
    found = json.loads((tmp_path / "cut.json").read_text())
    assert found.keys() == whole.keys()
    assert {name: value for name, value in found.items() if name != "seconds"} == {
        name: value for name, value in whole.items() if name != "seconds"
    }


def _lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0
