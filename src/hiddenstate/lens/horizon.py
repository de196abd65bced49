"""M4: how far back networks can be trained to remember: recall against distance, by cell and seed."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np

from hiddenstate import cells as cell_registry
from hiddenstate.errors import OptionError
from hiddenstate.tasks import probes
from hiddenstate.version import __version__

from .progress import Advance, Report
from .result import check_count, plain
from .shelf import Shelf

RECALLED = 0.9
"""Chance-corrected score from which on a delay counts as bridged."""

DELAYS = (5, 10, 20, 50, 100, 200)


@dataclass(frozen=True, eq=False, kw_only=True)
class RecallHorizon:
    """M4; see :func:`recall_horizon`.

    Attributes:
        task: the memory task.
        cell: names of the cells, C of them.
        delay: delays tried, in ascending order, D of them.
        seed: seeds of first weights and data, S of them.
        score: chance-corrected score on rows never seen, ``[C, D, S]``.
        updates: optimiser steps taken, ``[C, D, S]``; fewer than allowed where the task was solved before.
        seconds: training time, ``[C, D, S]``.
        parts: score by kind of question, name -> ``[C, D, S]``.
        horizon: greatest delay with a score of at least 0.9, ``[C, S]``; 0: none.
        training: how the networks were trained.
        convention: what all this means.
    """

    task: str
    cell: tuple[str, ...]
    delay: np.ndarray
    seed: np.ndarray
    score: np.ndarray
    updates: np.ndarray
    seconds: np.ndarray
    parts: Mapping[str, np.ndarray]
    horizon: np.ndarray
    training: probes.Training
    convention: str

    def sentence(self) -> str:
        """The horizon of every cell, with its spread and what it was trained with."""
        found = []
        for name, horizon in zip(self.cell, self.horizon, strict=True):
            low, middle, high = (int(n) for n in np.quantile(horizon, [0, 0.5, 1], method="lower"))
            beyond = " (the longest tried)" if low == self.delay[-1] else ""
            spread = "" if low == high else f" ({low} to {high})"
            found.append(f"{name.upper()} {middle}{spread}{beyond}")
        seeds = "1 seed" if len(self.seed) == 1 else f"median of {len(self.seed)} seeds"
        return (
            f"Steps over which '{self.task}' was learned: {', '.join(found)}; {seeds}, at most "
            f"{self.training.updates} updates. Another budget, size or rate gives another horizon."
        )

    def table(self) -> dict[str, list[Any]]:
        """A row per cell and delay: mean, lowest and highest score over seeds, and how many bridged it."""
        where = list(product(range(len(self.cell)), range(len(self.delay))))
        scores = [self.score[place] for place in where]
        return {
            "cell": [self.cell[c] for c, _ in where],
            "delay": [int(self.delay[d]) for _, d in where],
            "score": [float(row.mean()) for row in scores],
            "low": [float(row.min()) for row in scores],
            "high": [float(row.max()) for row in scores],
            "recalled": [f"{(row >= RECALLED).sum()} of {len(row)}" for row in scores],
            "updates": [int(np.median(self.updates[place])) for place in where],
        } | {
            name: [float(values[place].mean()) for place in where]
            for name, values in self.parts.items()
            if len(self.parts) > 1
        }

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``."""
        fields = {name: plain(value) for name, value in vars(self).items()}
        return {"measurement": type(self).__name__, "sentence": self.sentence()} | fields


def recall_horizon(
    cells: Sequence[str] = ("rnn", "gru", "lstm"),
    *,
    task: str = "recall",
    settings: Mapping[str, Any] | None = None,
    delays: Sequence[int] = DELAYS,
    seeds: int = 3,
    training: probes.Training | None = None,
    kept: str | os.PathLike[str] | None = None,
    report: Report | None = None,
) -> RecallHorizon:
    """Train every cell on every delay with every seed, and see what is recalled.

    The recall horizon of a cell and seed is the greatest delay with a chance-corrected score of at least 0.9.
    It says what gradient descent found within a budget, not what the cell could hold: more updates, other
    rates and widths move it, so all of them are part of the result.

    Ctrl-C, SIGTERM or a kill loses no more than the running training when ``kept`` is given: the same call
    goes on after it.

    Args:
        cells: names of cells.
        task: a memory task, one of ``probes.names()``.
        settings: of the task, beside the delay.
        delays: distances to be bridged, in steps.
        seeds: trainings of every cell on every delay; seeds 0, 1, ...
        training: how to train; None: the defaults.
        kept: a JSONL file that finished trainings are added to, and read from when they are needed again.
        report: called after every training with progress and the time left.

    Returns:
        Scores, horizons, and how they came about.

    Raises:
        OptionError: on an unknown cell or task, or a delay or setting out of range.
        DataError: when ``kept`` cannot be read or written.
        MissingExtraError: when torch is not installed.
        KeyboardInterrupt: when a training was interrupted.

    Source: greatest bridged delay as measure: Hochreiter and Schmidhuber, Neural Computation 9 (1997);
    Arjovsky et al., arXiv 1511.06464 (2015).

    Example:
        >>> short = probes.Training(updates=300, hidden_size=16, learning_rate=0.01)
        >>> found = recall_horizon(["gru"], delays=[2, 4], seeds=1, training=short)
        >>> found.horizon.tolist()
        [[4]]
    """
    how = training or probes.Training()
    order = sorted(set(delays))
    runs = _runs(cells, task, settings or {}, order, seeds, how)
    shelf = Shelf(kept)
    _train(runs, shelf, report)
    shape = len(cells), len(order), seeds
    return _gathered(tuple(cells), task, np.array(order), how, shape, [shelf[run.key] for run in runs])


@dataclass(frozen=True)
class _Run:
    """One training of the grid."""

    cell: str
    task: probes.MemoryTask
    seed: int
    training: probes.Training

    @property
    def key(self) -> dict[str, Any]:
        """What makes it this training."""
        task = {"name": self.task.name} | asdict(self.task)
        rest = {"seed": self.seed, "training": asdict(self.training), "version": __version__}
        return {"cell": self.cell, "task": task} | rest


def _runs(
    cells: Sequence[str],
    task: str,
    settings: Mapping[str, Any],
    delays: Sequence[int],
    seeds: int,
    training: probes.Training,
) -> list[_Run]:
    """The trainings of the grid, all checked before the first begins."""
    for what, values in (("cells", cells), ("delays", delays)):
        if not values:
            raise OptionError("nothing to measure", where=what, expected="at least one", got="none")
    check_count(seeds, 1, "seeds")
    for cell in cells:
        cell_registry.get(cell)
    tasks = [probes.get(task, delay=delay, **settings) for delay in delays]
    return [_Run(*one, training) for one in product(cells, tasks, range(seeds))]


def _train(runs: Sequence[_Run], shelf: Shelf, report: Report | None) -> None:
    """The trainings that are not on the shelf yet. Their time is taken to go with the length of rows."""
    missing = [run for run in runs if run.key not in shelf]
    lengths = [run.task.steps for run in missing]
    start = time.monotonic()
    for number, run in enumerate(missing, start=1):
        outcome = probes.train_probe(run.task, run.cell, training=run.training, seed=run.seed)
        if outcome.stopped == "interrupt":
            raise KeyboardInterrupt
        shelf.add(run.key, outcome.to_json())
        if report is not None:
            elapsed = time.monotonic() - start
            left = elapsed / sum(lengths[:number]) * sum(lengths[number:])
            what = f"{run.cell}, delay {run.task.delay}, seed {run.seed}: score {outcome.score:.2f}"
            report(Advance(what, len(runs) - len(missing) + number, len(runs), elapsed, left))


def _gathered(
    cells: tuple[str, ...],
    task: str,
    delay: np.ndarray,
    training: probes.Training,
    shape: tuple[int, int, int],
    outcomes: Sequence[Mapping[str, Any]],
) -> RecallHorizon:
    """Outcomes in the order of the grid, as arrays."""

    def grid(values: Sequence[Any]) -> np.ndarray:
        return np.array(values).reshape(shape)

    score = grid([one["score"] for one in outcomes])
    return RecallHorizon(
        task=task,
        cell=cells,
        delay=delay,
        seed=np.arange(shape[2]),
        score=score,
        updates=grid([one["updates"] for one in outcomes]),
        seconds=grid([one["seconds"] for one in outcomes]),
        parts={name: grid([one["parts"][name] for one in outcomes]) for name in outcomes[0]["parts"]},
        horizon=np.where(score >= RECALLED, delay[None, :, None], 0).max(axis=1),
        training=training,
        convention=(
            f"score (measure - chance) / (perfect - chance) on {probes.SCORED} fresh rows; horizon: greatest "
            f"delay with a score of at least {RECALLED}; spread over seeds of first weights and data"
        ),
    )
