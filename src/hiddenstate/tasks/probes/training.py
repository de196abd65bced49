"""A small network trained on a memory task, and how much of it it remembers afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from hiddenstate import cells
from hiddenstate.bundle import Bundle
from hiddenstate.errors import DivergedError
from hiddenstate.options import OneOf, Real, Whole, check, option
from hiddenstate.runtime import Model
from hiddenstate.spec import Embed, Linear, ModelSpec, Recurrent
from hiddenstate.tasks.base import torch_wing

from .base import Examples, MemoryTask

if TYPE_CHECKING:
    from hiddenstate.train import Loss

CHECK_EVERY = 50
"""Updates between two looks at the held-back rows."""

SOLVED = 0.99
"""Score on the held-back rows at which training ends early."""

HELD_BACK, SCORED = 256, 1024
"""Rows looked at while training, and rows that the result is measured on."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a network is trained on a memory task.

    Args:
        hidden_size: width of the state.
        updates: optimiser steps at most; training ends earlier at a score of 0.99.
        batch_size: fresh rows per update.
        learning_rate: step size of Adam.
        init: "orthogonal" (recurrent weights that keep norms) or "uniform" (torch's).
        forget_bias: of an LSTM at the start; None: as ``init`` has it (zero, or random).
        clip: longest gradient; None: any.
        window: steps that gradients go back (truncated backpropagation, the state is carried on); None: all.
    """

    hidden_size: int = option(32, Whole(1))
    updates: int = option(2000, Whole(1))
    batch_size: int = option(32, Whole(1))
    learning_rate: float = option(5e-3, Real(0, above=True))
    init: str = option("orthogonal", OneOf("orthogonal", "uniform"))
    forget_bias: float | None = option(1.0, Real(-100, 100), OneOf(None))
    clip: float | None = option(1.0, Real(0, above=True), OneOf(None))
    window: int | None = option(None, Whole(1), OneOf(None))

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a network remembers after training.

    Attributes:
        score: chance-corrected, on rows never seen: 0 guessing, 1 perfect.
        parts: the same by kind of question.
        stopped: "solved", "updates", "diverged" or "interrupt".
        updates: optimiser steps taken.
        seconds: training time.
        history: score on held-back rows after every 50 updates.
        bundle: the trained network, to look into with the lens, run, or save.
    """

    score: float
    parts: Mapping[str, float]
    stopped: str
    updates: int
    seconds: float
    history: tuple[float, ...]
    bundle: Bundle

    def to_json(self) -> dict[str, Any]:
        """Plain data: everything but the network."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "bundle"}


def network(task: MemoryTask, cell: str, *, hidden_size: int) -> ModelSpec:
    """One recurrent layer between the task's input and its answer."""
    given, blocks = task.input, []
    source = given.name
    if given.kind == "ids":
        blocks.append(Embed("embed", source, size=given.size))
        source = "embed"
    blocks += [Recurrent("rnn", source, cell, hidden_size), Linear("head", "rnn", task.classes or 1)]
    return ModelSpec((given,), tuple(blocks))


def train_probe(
    task: MemoryTask, cell: str, *, training: Training | None = None, seed: int = 0, progress: bool = False
) -> Outcome:
    """Train a network with one recurrent layer on a memory task.

    Every update sees fresh rows, so there is nothing to learn by heart. The weights that did best on the
    held-back rows are measured on others.

    Args:
        task: what to remember, and for how long.
        cell: "rnn", "gru", "lstm" or another registered cell.
        training: how; None: the defaults of :class:`Training`.
        seed: of first weights and rows.
        progress: show the training on standard error.

    Returns:
        The outcome. A training that diverged is one, too: its score is that of the best weights before.

    Raises:
        OptionError: on an unknown cell.
        MissingExtraError: when torch is not installed.

    Example:
        >>> from hiddenstate.tasks import probes
        >>> short = probes.Training(updates=50, hidden_size=8)
        >>> done = probes.train_probe(probes.DelayedRecall(delay=2), "gru", training=short)
        >>> done.updates, done.stopped, done.score > 0.2
        (50, 'updates', True)
    """
    nn, train = torch_wing()
    how, gates = training or Training(), cells.get(cell).gates
    with train.seeded(seed):
        module = nn.build(network(task, cell, hidden_size=how.hidden_size))
        _start(module.get_submodule("rnn"), gates, how)
    stopped, run = fit(module, task, training=how, seed=seed, progress=progress)
    trained = Bundle(module.spec, train.arrays(module.state_dict()))
    score, parts = examine(trained, task, seed=(seed, 3))
    return Outcome(
        score=score,
        parts=parts,
        stopped=stopped,
        updates=run.updates,
        seconds=run.seconds,
        history=tuple(1 - record["validation"] for record in run.history),
        bundle=trained,
    )


def fit(
    module: Any, task: MemoryTask, *, training: Training, seed: int = 0, progress: bool = False
) -> tuple[str, Any]:
    """Train any torch module on a memory task; it ends with the weights that did best on the held-back rows.

    Args:
        module: called like a ``nn.Network``: ``module(inputs, state, lengths=...)`` gives outputs and state.
        task: what to remember.
        training: how; what concerns the first weights is not looked at.
        seed: of the rows.
        progress: show the training on standard error.

    Returns:
        Why it stopped ("solved", "updates", "diverged" or "interrupt"), and the state of the training loop.
    """
    _, train = torch_wing()
    job, watch = ProbeJob(task, training, seed), _watch(train)
    epochs = -(-training.updates // CHECK_EVERY)
    config = train.Config(
        epochs=epochs, learning_rate=training.learning_rate, clip_norm=training.clip, seed=seed
    )
    try:
        stopped = train.fit(module, job, config, progress=progress, callbacks=[watch]).stopped
    except _Solved:
        stopped = "solved"
    except DivergedError:
        stopped = "diverged"
    return "updates" if stopped == "epochs" else stopped, watch.run


def examine(bundle: Bundle, task: MemoryTask, *, seed: int | Sequence[int]) -> tuple[float, dict[str, float]]:
    """Score of a trained network on rows of a memory task, overall and by kind of question."""
    examples = task.draw(SCORED, seed=seed)
    outputs, _ = Model(bundle).forward(examples.inputs, lengths=examples.lengths)
    parts = {name: task.score(outputs, examples, mask) for name, mask in task.parts(examples).items()}
    return task.score(outputs, examples), parts


def _start(layer: Any, gates: Sequence[str], how: Training) -> None:
    """First weights as ``how`` says; ``nn.build`` always starts orthogonally, with a forget bias of 1."""
    layer.init = how.init
    if "f" in gates:
        layer.forget_bias = how.forget_bias
    layer.reset_parameters()


class _Solved(Exception):
    """There is nothing left to learn."""


def _watch(train: Any) -> Any:
    """A callback that keeps the state of the training, and ends it when the task is solved."""

    class Watch(train.Callback):
        def start(self, run: Any) -> None:
            self.run = run

        def epoch(self, run: Any) -> None:
            if 1 - run.watch.best >= SOLVED:
                raise _Solved

    return Watch()


class ProbeJob:
    """Fresh rows for every update, the loss of their questions, and the score of rows held back.

    With a window, a batch is cut into pieces of that many steps, counted back from its end, with the state
    carried from piece to piece: gradients of the last step reach back exactly that far. Pieces without
    questions only move the state on.
    """

    def __init__(self, task: MemoryTask, how: Training, seed: int) -> None:
        self.identity = {"task": task.name, "settings": asdict(task), "training": asdict(how), "seed": seed}
        self._task, self._how, self._seed = task, how, seed
        window = how.window or task.steps
        self._starts = [0, *range(task.steps % window or window, task.steps, window)]

    def batches(self, epoch: int, seed: int) -> Sequence[tuple[Examples, bool]]:
        """The pieces of the rows of ``CHECK_EVERY`` updates, drawn as they are asked for."""
        updates = min(CHECK_EVERY, self._how.updates - epoch * CHECK_EVERY)
        return _Pieces(self._task, self._how.batch_size, self._starts, updates, (seed, 1, epoch))

    def loss(self, module: Any, batch: tuple[Examples, bool], carried: Any) -> Loss:
        """Cross-entropy or squared error of the questions in a piece."""
        from hiddenstate.train import losses, tensors

        examples, begins = batch
        outputs, state = self._run(module, examples, None if begins else carried)
        targets, mask = tensors(examples.targets), tensors(examples.mask)
        if self._task.classes is None:
            return losses.squared(outputs[..., 0], targets, mask)._replace(carried=state)
        return losses.cross_entropy(outputs, targets, mask)._replace(carried=state)

    def validate(self, module: Any) -> float:
        """1 - score of the rows held back."""
        from hiddenstate.train import arrays

        examples = self._task.draw(HELD_BACK, seed=(self._seed, 2))
        return 1 - self._task.score(arrays(self._run(module, examples, None)[0]), examples)

    def _run(self, module: Any, examples: Examples, state: Any) -> tuple[Any, Any]:
        from hiddenstate.train import tensors

        return module(tensors(examples.inputs), state, lengths=tensors(examples.lengths))


@dataclass(frozen=True)
class _Pieces(Sequence):
    """The pieces of an epoch, and whether each begins new rows; made anew each time one is asked for."""

    task: MemoryTask
    rows: int
    starts: Sequence[int]
    updates: int
    seed: tuple[int, ...]

    def __len__(self) -> int:
        return self.updates * len(self.starts)

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        number, place = divmod(index, len(self.starts))
        examples = self.task.draw(self.rows, seed=(*self.seed, number))
        stop = [*self.starts[1:], self.task.steps][place]
        return examples.cut(self.starts[place], stop), place == 0
