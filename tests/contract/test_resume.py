"""Contract 5: killed at any moment and resumed, training ends with the same bits as undisturbed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hiddenstate.train import checkpoint

CONFIGS = ["adam", "sgd", "rmsprop", "language"]
NEVER = -1


class Worker:
    """A process that trains in forked children; ``train`` is one life of a training."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.runs = 0
        script = Path(__file__).with_name("resume_worker.py")
        self.process = subprocess.Popen(
            [sys.executable, script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        self.references = {config: self.run(config, 2, []) for config in CONFIGS}

    def run(self, config: str, every_updates: int, kills: list[int]) -> dict:
        """A training that is killed at each of ``kills`` (an instruction of each life), then left alone."""
        self.runs += 1
        folder, result = self.folder / f"run{self.runs}", self.folder / f"result{self.runs}"
        task = {
            "folder": str(folder),
            "config": config,
            "every_updates": every_updates,
            "result": str(result),
        }
        for at in kills:
            code = self._life(task | {"kill_at": at})
            assert code in (0, -signal.SIGKILL)
        assert self._life(task | {"kill_at": NEVER}) == 0
        return json.loads(result.read_text()) | {"folder": folder}

    def _life(self, task: dict) -> int:
        print(json.dumps(task), file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    worker = Worker(tmp_path_factory.mktemp("resume"))
    yield worker
    worker.process.stdin.close()
    assert worker.process.wait() == 0
    worker.process.stdout.close()


def without_clock(value):
    """The same facts without seconds, and without the mark of having been resumed."""
    if isinstance(value, dict):
        return {key: without_clock(item) for key, item in value.items() if key not in ("seconds", "resumed")}
    return [without_clock(item) for item in value] if isinstance(value, list) else value


def assert_same(run: dict, reference: dict) -> None:
    assert run["weights"] == reference["weights"]
    assert without_clock(run["report"]) == without_clock(reference["report"])
    _, facts, tensors = checkpoint._newest(run["folder"])
    _, expected_facts, expected = checkpoint._newest(reference["folder"])
    assert without_clock(facts["run"]) == without_clock(expected_facts["run"])
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)


def test_the_jobs_have_something_to_lose(worker):
    """Early stopping, best weights before the last, a falling learning rate and clipping are in play."""
    report = worker.references["adam"]["report"]
    assert report["stopped"] == "patience"
    assert report["best_epoch"] < report["epochs"]
    rates = [record["learning_rate"] for record in report["history"]]
    assert rates[-1] < rates[0]
    assert worker.references["sgd"]["report"]["history"][0]["clipped"] > 0


@pytest.mark.parametrize("config", CONFIGS)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_killed_at_any_instruction(worker, config, data):
    reference = worker.references[config]
    whole = reference["instructions"]
    moments = st.integers(1, whole) | st.integers(1, whole // 8)
    kills = data.draw(st.lists(moments, min_size=1, max_size=3))
    run = worker.run(config, data.draw(st.integers(1, 4)), kills)
    assert_same(run, reference)


@pytest.mark.parametrize("every_updates", [1, 1000])
def test_saving_changes_nothing(worker, every_updates):
    assert_same(worker.run("adam", every_updates, []), worker.references["adam"])


def test_resumed_means_not_trained_twice(worker):
    """A life after the end of the training only reads the result."""
    reference = worker.references["adam"]
    run = worker.run("adam", 1, [NEVER])
    assert run["report"]["resumed"]
    assert run["instructions"] < reference["instructions"] / 5
    assert_same(run, reference)
