"""Checkpoints: what is refused, and what survives damage."""

import errno
import fcntl
import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from hiddenstate.errors import BundleError, DivergedError
from hiddenstate.train import Callback, Checkpoint, Config, fit
from hiddenstate.train import checkpoint as checkpoints
from train.toys import Regression, Scripted, line, same_weights

CONFIG = Config(epochs=4, learning_rate=0.05)


class Crash(Callback):
    """Ends the process's part of the training by an error, after some updates."""

    def __init__(self, after):
        self.after = after

    def update(self, run):
        if run.updates == self.after:
            raise RuntimeError("crash")


def crashed(folder, after=7, config=CONFIG, job=None, module=None):
    with pytest.raises(RuntimeError, match="crash"):
        fit(
            module or line(), job or Regression(), config,
            checkpoint=Checkpoint(folder, every_updates=1), progress=False, callbacks=[Crash(after)],
        )  # fmt: skip


def go_on(folder, config=CONFIG, job=None, module=None):
    module = module or line()
    return fit(module, job or Regression(), config, checkpoint=folder, progress=False), module


@pytest.fixture
def undisturbed():
    module = line()
    report = fit(module, Regression(), CONFIG, progress=False)
    return report, module.state_dict()


def test_goes_on_in_the_middle_of_an_epoch(tmp_path, undisturbed):
    crashed(tmp_path, after=7)
    report, module = go_on(tmp_path)
    assert report.resumed
    assert (report.updates, report.best_score) == (undisturbed[0].updates, undisturbed[0].best_score)
    assert same_weights(module, undisturbed[1])


def test_a_finished_training_is_only_read(tmp_path, undisturbed):
    go_on(tmp_path)
    report, module = go_on(tmp_path, job=Scripted([]))  # would fail if it trained
    assert report.resumed
    assert same_weights(module, undisturbed[1])


def test_a_finished_training_can_be_prolonged(tmp_path):
    go_on(tmp_path)
    longer = replace(CONFIG, epochs=6)
    report, module = go_on(tmp_path, config=longer)
    expected = line()
    fit(expected, Regression(), longer, progress=False)
    assert report.epochs == 6
    assert same_weights(module, expected.state_dict())


def test_patience_may_change_but_not_what_the_schedule_hangs_on(tmp_path):
    job = Scripted([1, 2, 3, 4, 5, 6])
    stopped, _ = go_on(tmp_path, config=replace(CONFIG, epochs=6, patience=1), job=job)
    assert stopped.stopped == "patience"
    report, _ = go_on(tmp_path, config=replace(CONFIG, epochs=6, patience=None), job=job)
    assert (report.stopped, report.epochs) == ("epochs", 6)

    cosine = replace(CONFIG, schedule="cosine")
    go_on(tmp_path / "cosine", config=cosine)
    with pytest.raises(BundleError, match=r"another config.*config\.epochs.*expected 4, got 5"):
        go_on(tmp_path / "cosine", config=replace(cosine, epochs=5))


def test_another_training_is_refused_with_the_reason(tmp_path):
    crashed(tmp_path)
    with pytest.raises(BundleError, match=r"another config.*config\.learning_rate.*expected 0\.05, got 0\.1"):
        go_on(tmp_path, config=replace(CONFIG, learning_rate=0.1))
    with pytest.raises(BundleError, match=r"another job.*job\.rows.*expected 40, got 48"):
        go_on(tmp_path, job=Regression(rows=48))
    with pytest.raises(BundleError, match=r"another module.*weights"):
        go_on(tmp_path, module=nn.Linear(3, 1, bias=False))
    go_on(tmp_path)  # the refusals left it whole


def test_a_module_with_a_spec_is_known_by_it(tmp_path):
    class Spec:
        def __init__(self, p):
            self.p = p

        def to_json(self):
            return {"dropout": self.p}

    one, other = line(), line()
    one.spec, other.spec = Spec(0.1), Spec(0.2)
    crashed(tmp_path, module=one)
    with pytest.raises(BundleError, match=r"module\.spec.*0\.1.*0\.2"):
        go_on(tmp_path, module=other)


def saves(folder):
    """The two files, the newest first."""
    files = [folder / slot for slot in checkpoints.SLOTS]
    return sorted(files, key=lambda file: checkpoints._read(file)[0]["saves"], reverse=True)


def cut(file):
    file.write_bytes(file.read_bytes()[:-100])


def flip(file):
    data = bytearray(file.read_bytes())
    data[-10] ^= 1
    file.write_bytes(data)


def empty(file):
    file.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, flip, empty])
def test_damage_to_the_newest_save_falls_back_to_the_one_before(tmp_path, undisturbed, damage):
    crashed(tmp_path)
    newest, _ = saves(tmp_path)
    damage(newest)
    with pytest.warns(UserWarning, match="damaged.*Going on from the save before"):
        _, module = go_on(tmp_path)
    assert same_weights(module, undisturbed[1])
    assert len(saves(tmp_path)) == 2  # both whole again


def test_damage_to_both_is_refused(tmp_path):
    crashed(tmp_path)
    for file in saves(tmp_path):
        cut(file)
    with pytest.raises(BundleError, match=r"damaged.*Delete the folder"):
        go_on(tmp_path)


def test_a_newer_format_is_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as newer:
        newer.setattr(checkpoints, "FORMAT", 2)
        crashed(tmp_path)
    with pytest.raises(BundleError, match=r"another format.*expected 1, got 2"):
        go_on(tmp_path)


@pytest.mark.parametrize("lost", ["random.torch", "optimizer.0", "module.weight"])
def test_a_whole_file_that_does_not_hold_together_is_refused(tmp_path, lost):
    crashed(tmp_path)
    newest, _ = saves(tmp_path)
    facts, tensors = checkpoints._read(newest)
    del tensors[lost]
    text = json.dumps(facts)
    metadata = {checkpoints._KEY: text, "sha256": checkpoints._digest(text, tensors)}
    newest.write_bytes(checkpoints.to_safetensors(tensors, metadata))
    with pytest.raises(BundleError, match="does not hold together"):
        go_on(tmp_path)


def test_two_trainings_cannot_share_a_folder(tmp_path):
    with open(tmp_path / "lock", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BundleError, match="in use by another training"):
            go_on(tmp_path)
    go_on(tmp_path)


def test_the_folder_is_free_after_an_error(tmp_path):
    job = Regression(spoil=lambda module: float("nan"))
    for _ in range(2):
        with pytest.raises(DivergedError):
            go_on(tmp_path, job=job)
    assert not any((tmp_path / slot).exists() for slot in checkpoints.SLOTS)


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "model.safetensors").write_text("dear")
    with pytest.raises(BundleError, match="cannot use the checkpoint folder"):
        go_on(tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").read_text() == "dear"


def test_a_full_disk_keeps_the_save_before(tmp_path, monkeypatch, undisturbed):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    crashed(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(BundleError, match="No space left"):
            go_on(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    assert same_weights(go_on(tmp_path)[1], undisturbed[1])


def test_half_written_files_of_a_killed_run_are_cleared_away(tmp_path):
    (tmp_path / ".a.safetensors.0123.partial").write_bytes(b"half")
    go_on(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} <= {"lock", *checkpoints.SLOTS}


def test_other_conditions_are_pointed_out(tmp_path, monkeypatch):
    crashed(tmp_path)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    with pytest.warns(UserWarning, match="threads 1 -> 77.*last bits may differ|threads .* -> 77"):
        go_on(tmp_path)


def test_tied_weights_stay_tied(tmp_path):
    def tied():
        module = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False), line())
        nn.init.eye_(module[0].weight)
        module[1].weight = module[0].weight
        return module

    expected = tied()
    fit(expected, Regression(), CONFIG, progress=False)
    crashed(tmp_path, module=tied())
    _, module = go_on(tmp_path, module=tied())
    assert module[0].weight is module[1].weight
    assert same_weights(module, expected.state_dict())


def test_a_save_is_plain_safetensors_with_json(tmp_path):
    crashed(tmp_path, after=7)
    code = """
import json, sys
from safetensors import safe_open
with safe_open(sys.argv[1], framework="numpy") as file:
    facts = json.loads(file.metadata()["hiddenstate-checkpoint"])
    print(json.dumps([facts["run"]["epoch"], facts["run"]["index"], sorted(file.keys())]))
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code, saves(tmp_path)[0]], capture_output=True, check=True)
    epoch, index, names = json.loads(done.stdout)
    assert (epoch, index) == (1, 2)
    assert {"module.weight", "best.weight", "random.torch", "optimizer.0"} <= set(names)


def test_saves_come_by_the_clock(tmp_path, monkeypatch):
    now, moments = [0.0], []
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])

    class Clock(Callback):
        def gradients(self, run):
            now[0] += 1

    keeper = Checkpoint(tmp_path, every_s=6)
    save = keeper.save
    monkeypatch.setattr(keeper, "save", lambda run: (moments.append(run.updates), save(run)))
    fit(line(), Regression(), CONFIG, checkpoint=keeper, progress=False, callbacks=[Clock()])
    assert moments == [6, 12, 18, 20]
