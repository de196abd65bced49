"""Memory tasks: solvable by memory alone, not without; the training on them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hiddenstate import nn, train
from hiddenstate.errors import OptionError
from hiddenstate.tasks import probes
from hiddenstate.tasks.probes.training import ProbeJob, Training, network

NAMES = probes.names()
TASKS = [probes.get(name, delay=delay) for name in NAMES for delay in (3, 4, 17, 60)] + [
    probes.Reflexive(delay=12, least=1),
    probes.FirstMiddleLast(delay=9, marked=True),
    probes.Brackets(delay=30, kinds=2, depth=2),
    probes.Copy(delay=5, items=5),
]


def said(task, answers):
    """The outputs of a network that gives these answers."""
    if task.classes is None:
        return answers[..., None]
    return np.eye(task.classes)[answers]


# ---- hand-written solvers: from a whole row of inputs to the answer at every step


def recall(task, row):
    return [row[0]] * len(row)


def copy(task, row):
    start = task.delay
    return [row[t - start] if t >= start else 0 for t in range(len(row))]


def first_middle_last(task, row):
    which = row[-1] - task.symbols
    middle = row[task.delay // 2] - (task.symbols + 3 if task.marked else 0)
    return [(row[0], middle, row[task.delay - 1])[which]] * len(row)


def reflexive(task, row):
    pairs = "I myself you yourself he himself she herself we ourselves they themselves".split()
    mine = dict(zip(pairs[::2], pairs[1::2], strict=True))
    return [task.LAST.index(mine[task.WORDS[row[0]]])] * len(row)


def adding(task, row):
    return [sum(number for number, mark in row if mark == 1)] * len(row)


def parity(task, row):
    return [sum(row[: t + 1]) % 2 for t in range(len(row))]


def counter(task, row):
    ups, downs = (row == 0).sum(), (row == 1).sum()
    return [1 + downs - ups if abs(downs - ups) <= 1 else 0] * len(row)


def brackets(task, row):
    answers, open_ = [], []
    for symbol in row:
        if symbol < task.kinds:
            open_.append(symbol)
        else:
            assert open_.pop() == symbol - task.kinds, "the brackets are not nested"
        assert len(open_) <= task.depth
        answers.append(open_[-1] if open_ else 0)
    return answers


SOLVERS = {
    "recall": recall, "copy": copy, "first-middle-last": first_middle_last, "reflexive": reflexive,
    "adding": adding, "parity": parity, "counter": counter, "brackets": brackets,
}  # fmt: skip


def solved(task, examples):
    rows = np.moveaxis(examples.inputs["x"], 1, 0)
    return np.array([SOLVERS[task.name](task, row) for row in rows]).T


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_remembering_solves_it(task):
    examples = task.draw(50, seed=1)
    outputs = said(task, solved(task, examples))
    assert task.measure(outputs, examples) == pytest.approx(task.perfect, abs=1e-12)
    assert task.score(outputs, examples) == pytest.approx(1)


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_the_best_answer_without_memory_scores_zero(task):
    """Blind: for every present input, the most frequent answer (the mean of numbers) of other rows."""
    known, examples = task.draw(6000, seed=2), task.draw(6000, seed=3)
    answers = np.zeros_like(examples.targets)
    if task.classes is None:
        answers[:] = known.targets[known.mask].mean()
    else:
        seen = np.zeros((task.input.size, task.classes))
        np.add.at(seen, (known.inputs["x"][known.mask], known.targets[known.mask]), 1)
        answers = seen.argmax(axis=1)[examples.inputs["x"]]
    assert abs(task.score(said(task, answers), examples)) < 0.05


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_all_answers_are_equally_likely_by_chance(task):
    examples = task.draw(8000, seed=4)
    wanted = examples.targets[examples.mask]
    if task.classes is None:
        assert np.mean((wanted - 1) ** 2) == pytest.approx(task.chance, rel=0.05)
    else:
        shares = np.bincount(wanted, minlength=task.classes) / len(wanted)
        assert shares == pytest.approx(np.full(task.classes, task.chance), abs=0.03)


@given(name=st.sampled_from(NAMES), delay=st.integers(4, 80), rows=st.integers(1, 9), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_shapes_and_seeds(name, delay, rows, seed):
    task = probes.get(name, delay=delay)
    examples, again = (task.draw(rows, seed=seed) for _ in range(2))
    shape = task.steps, rows
    x = examples.inputs["x"]
    assert x.shape == (shape if task.input.kind == "ids" else (*shape, task.input.size))
    assert x.dtype == (np.int64 if task.input.kind == "ids" else np.float32)
    assert examples.targets.shape == examples.mask.shape == shape
    assert examples.targets.dtype == (np.float32 if task.classes is None else np.int64)
    assert examples.mask.any(axis=0).all(), "a row without a question"
    assert not examples.targets[~examples.mask].any()
    assert (examples.lengths == task.steps).all()
    if task.input.kind == "ids":
        assert x.min() >= 0
        assert x.max() < task.input.size
    assert (x == again.inputs["x"]).all()
    assert (examples.targets == again.targets).all()
    if rows > 4:
        assert (x != task.draw(rows, seed=seed + 1).inputs["x"]).any()


@pytest.mark.parametrize("name", ["recall", "copy", "first-middle-last", "reflexive"])
def test_the_answer_lies_exactly_the_delay_before_the_question(name):
    task = probes.get(name, delay=11)
    examples = task.draw(40, seed=5)
    first = examples.inputs["x"][0]
    asked = examples.mask[task.delay]
    assert asked.all()
    if name == "first-middle-last":
        asked = task.parts(examples)["first"][task.delay]
    assert (examples.targets[task.delay][asked] == first[asked]).all()


def test_rows_of_a_reflexive_task_may_differ_in_length():
    task = probes.Reflexive(delay=9, least=2)
    examples = task.draw(200, seed=0)
    assert set(examples.lengths - 1) == set(range(2, 10))
    assert (examples.mask.argmax(axis=0) == examples.lengths - 1).all()
    assert (examples.mask.sum(axis=0) == 1).all()
    sentence = task.words(examples.inputs["x"][: examples.lengths[0], 0]).split()
    assert sentence[0] in task.FIRST
    assert sentence[-1] in task.VERBS


def test_parts_are_the_questions():
    task = probes.FirstMiddleLast(delay=6)
    examples = task.draw(300, seed=0)
    parts = task.parts(examples)
    assert list(parts) == ["first", "middle", "latest"]
    assert (sum(mask.astype(int) for mask in parts.values()) == examples.mask).all()
    assert all(60 < mask.sum() < 140 for mask in parts.values())


# ---- bad input


@pytest.mark.parametrize(
    ("name", "bad", "said"),
    [
        ("recall", {"delay": 0}, "DelayedRecall.delay"),
        ("recall", {"symbols": 1}, "DelayedRecall.symbols"),
        ("copy", {"delay": 2}, "at least 3"),
        ("first-middle-last", {"delay": 2}, "at least 3"),
        ("reflexive", {"delay": 5, "least": 6}, "1 to 5"),
        ("brackets", {"depth": 1}, "Brackets.depth"),
        ("counter", {"delay": 2}, "at least 3"),
        ("parity", {"delay": 1.5}, "Parity.delay"),
        ("parity", {"colour": 1}, "colour"),
        ("no-such-task", {}, "recall"),
    ],
)
def test_bad_settings_are_refused(name, bad, said):
    with pytest.raises(OptionError, match=said):
        probes.get(name, **bad)


@pytest.mark.parametrize("bad", [{"updates": 0}, {"init": "zeros"}, {"clip": 0.0}, {"window": 0}])
def test_bad_training_is_refused(bad):
    with pytest.raises(OptionError, match=f"Training.{next(iter(bad))}"):
        probes.Training(**bad)


def test_an_unknown_cell_is_refused():
    with pytest.raises(OptionError, match="no-such-cell"):
        probes.train_probe(probes.Parity(delay=3), "no-such-cell")


# ---- training

QUICK = probes.Training(hidden_size=16, updates=600, learning_rate=1e-2)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_short_delay_is_learned(cell):
    done = probes.train_probe(probes.DelayedRecall(delay=3, symbols=4), cell, training=QUICK, seed=1)
    assert done.stopped == "solved"
    assert done.score > 0.95
    assert done.updates < 600
    assert done.updates == 50 * len(done.history)
    assert json.loads(json.dumps(done.to_json()))["parts"] == {"all": done.score}
    assert probes.examine(done.bundle, probes.DelayedRecall(delay=3, symbols=4), seed=9)[0] > 0.95


def test_numbers_are_learned():
    done = probes.train_probe(probes.Adding(delay=2), "gru", training=QUICK)
    assert done.score > 0.8


def test_the_same_seed_is_the_same_training():
    task, quick = probes.FirstMiddleLast(delay=3, symbols=3), replace(QUICK, updates=70)
    one, two, other = (probes.train_probe(task, "gru", training=quick, seed=seed) for seed in (5, 5, 6))
    assert one.updates == 70
    assert (one.score, one.parts, one.history) == (two.score, two.parts, two.history)
    assert one.history != other.history


def test_what_does_not_reach_back_is_not_learned():
    """With a window of one step no gradient tells the network to keep what it saw twelve steps before."""
    task, quick = probes.DelayedRecall(delay=12, symbols=4), replace(QUICK, updates=150)
    long, short = (probes.train_probe(task, "gru", training=replace(quick, window=n)) for n in (13, 1))
    assert long.score > 0.95
    assert short.score < 0.6


@pytest.mark.parametrize("window", [None, 1, 4, 7, 12, 50])
def test_pieces_of_a_window_are_the_row(window):
    task = probes.Reflexive(delay=11, least=3)
    how = Training(updates=3, batch_size=5, window=window)
    pieces = list(ProbeJob(task, how, 0).batches(0, seed=0))
    sizes = [len(piece.mask) for piece, _ in pieces]
    wanted = min(window or 12, 12)
    assert sum(sizes) == 3 * 12
    assert set(sizes[len(sizes) // 3 - 1 :: len(sizes) // 3]) == {wanted}, "the last piece is a whole window"
    whole = ProbeJob(task, replace(how, window=None), 0).batches(0, seed=0)
    for number, (row, begins) in enumerate(whole):
        parts = pieces[number * len(pieces) // 3 : (number + 1) * len(pieces) // 3]
        assert begins
        assert [first for _, first in parts] == [True] + [False] * (len(parts) - 1)
        assert (np.concatenate([piece.inputs["x"] for piece, _ in parts]) == row.inputs["x"]).all()
        assert (sum(piece.lengths for piece, _ in parts) == row.lengths).all()


def test_cut_rows_give_the_loss_of_whole_ones():
    task = probes.Brackets(delay=20)
    module = nn.build(network(task, "lstm", hidden_size=8))
    losses = []
    for window in (None, 6):
        job, total, weight, carried = ProbeJob(task, Training(window=window, updates=1), 0), 0.0, 0.0, None
        for piece in job.batches(0, seed=0):
            mean, amount, carried = job.loss(module, piece, carried)
            total, weight = total + mean.item() * amount, weight + amount
        losses.append((total / weight, weight))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_ways_to_start():
    task = probes.DelayedRecall(delay=2, symbols=2)
    found = {}
    for init, bias in (("orthogonal", 1.0), ("orthogonal", None), ("uniform", None)):
        weights = _first_weights(task, replace(QUICK, updates=1, init=init, forget_bias=bias))
        found[init, bias] = weights
    hidden = QUICK.hidden_size
    forget = slice(hidden, 2 * hidden)
    for bias in (1.0, None):
        block = found["orthogonal", bias]["rnn.weight_hh_l0"][forget]
        assert block @ block.T == pytest.approx(np.eye(hidden), abs=1e-5)
        assert (found["orthogonal", bias]["rnn.bias_ih_l0"][forget] == (bias or 0.0)).all()
    assert abs(found["uniform", None]["rnn.weight_hh_l0"]).max() <= 1 / np.sqrt(hidden)
    assert np.ptp(found["uniform", None]["rnn.bias_ih_l0"]) > 0


def _first_weights(task, how):
    """Weights that ``train_probe`` hands to the training loop."""
    seen = {}

    def fit(module, *rest, **options):
        seen.update({name: value.numpy().copy() for name, value in module.state_dict().items()})
        return original(module, *rest, **options)

    original = train.fit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "fit", fit)
        probes.train_probe(task, "lstm", training=how)
    return seen


def test_a_training_that_diverges_has_a_score():
    wild = replace(QUICK, learning_rate=1e30, clip=None, updates=200)
    done = probes.train_probe(probes.Adding(delay=10), "rnn", training=wild)
    assert done.stopped == "diverged"
    assert np.isfinite(done.score)
