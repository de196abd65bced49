"""Why recurrence, and why not: recurrent networks, transformer, window and bag of words on the same tasks.

``python -m evaluate.recurrence`` prints markdown. No data is needed: the tasks are drawn at random. Times are
seconds of one processor core (CPU time), so that other programs on the machine do not count.
"""

import argparse
import time
from dataclasses import asdict, dataclass, replace
from typing import ClassVar

import numpy as np
import torch

import hiddenstate.nn as hs_nn
from evaluate.rivals import WIDTH, WINDOW, Bag, Transformer, Window
from hiddenstate import train
from hiddenstate.bundle import Bundle
from hiddenstate.runtime import Model
from hiddenstate.spec import Input
from hiddenstate.tasks import probes
from hiddenstate.tasks.probes.training import SCORED, fit, network

TRAINING = probes.Training(hidden_size=WIDTH, updates=800)
RATES = {"transformer": 2e-3}
"""Learning rates other than that of ``TRAINING``."""


@dataclass(frozen=True, kw_only=True)
class WhoActs(probes.MemoryTask):
    """``dog bites man``: who bites? Both are in the sentence; only the order tells."""

    name: ClassVar[str] = "who-acts"
    delay: int = 2
    NOUNS: ClassVar[tuple[str, ...]] = ("dog", "man", "cat", "child", "bear", "horse", "goose", "monkey")
    VERBS: ClassVar[tuple[str, ...]] = ("bites", "sees", "follows", "likes")

    @property
    def input(self) -> Input:
        return Input("x", "ids", len(self.NOUNS) + len(self.VERBS))

    @property
    def classes(self) -> int:
        return len(self.NOUNS)

    @property
    def chance(self) -> float:
        return 1 / (len(self.NOUNS) - 1)  # the last word is one that it is not

    def _draw(self, rng, count):
        first = rng.integers(0, len(self.NOUNS), count)
        last = (first + rng.integers(1, len(self.NOUNS), count)) % len(self.NOUNS)
        verb = rng.integers(len(self.NOUNS), self.input.size, count)
        return self._at_the_end(np.stack([first, verb, last]), first)


def make(name, task):
    """A network by its name, with fresh weights."""
    rivals = {"transformer": Transformer, "window": Window, "bag of words": Bag}
    if name in rivals:
        return rivals[name](task)
    return hs_nn.build(network(task, name, hidden_size=WIDTH))


def trained(name, task, seed):
    with train.seeded(seed):
        module = make(name, task)
    fit(
        module,
        task,
        training=replace(TRAINING, learning_rate=RATES.get(name, TRAINING.learning_rate)),
        seed=seed,
    )
    return module


def accuracy(module, task, seed):
    """Share of right answers on rows never seen."""
    rows = task.draw(SCORED, seed=(seed, 3))
    with torch.no_grad():
        outputs, _ = module(train.tensors(rows.inputs), None, lengths=train.tensors(rows.lengths))
    return task.measure(outputs.numpy(), rows)


NAMES = ("rnn", "gru", "lstm", "transformer", "window", "bag of words")


def heading(*names):
    """The first two lines of a table."""
    print("| " + " | ".join(map(str, names)) + " |\n" + "|---" * len(names) + "|")


def quality(title, learned, scored, seeds, names=NAMES):
    """A table: networks trained on one task, scored on others."""
    print(f"\n### {title}\n")
    heading("network", "weights", *scored)
    for name in names:
        modules = [trained(name, learned, seed) for seed in range(seeds)]
        weights = sum(parameter.numel() for parameter in modules[0].parameters())
        cells = []
        for task in scored.values():
            found = [accuracy(module, task, seed) for seed, module in enumerate(modules)]
            cells.append(f"{np.mean(found):.2f} ({min(found):.2f} to {max(found):.2f})")
        print(f"| {name} | {weights:,} | " + " | ".join(cells) + " |", flush=True)
    print("| no memory | | " + " | ".join(f"{task.chance:.2f}" for task in scored.values()) + " |")


def order(seeds):
    quality("Order: who bites whom", WhoActs(), {"accuracy": WhoActs()}, seeds)


def length(seeds):
    learned = probes.Reflexive(delay=10, least=2)
    scored = {"2 to 10 words": learned} | {f"{n} words": probes.Reflexive(delay=n) for n in (20, 40, 80)}
    quality("Length: learned on 2 to 10 words before the question, asked after more", learned, scored, seeds)


def reach(seeds):
    for delay in (10, 50):
        task = probes.DelayedRecall(delay=delay)
        quality(f"Reach: recall after {delay} steps", task, {"accuracy": task}, seeds)


# ---- what it costs


def cpu_s(run, *, repeats):
    """CPU seconds of a call: the lowest of several, as whatever else runs on the machine only adds."""
    run()
    found = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        found.append(time.process_time() - start)
    return min(found)


SEEN = (10, 100, 1000, 10000)


def streaming():
    """The cost of the next element after some have been seen, and what must be kept for it."""
    task = probes.DelayedRecall(delay=max(SEEN))
    x = task.draw(1, seed=0).inputs["x"]
    print("\n### Streaming: microseconds for the next element, and numbers to be kept\n")
    heading("network", *(f"after {seen:,}" for seen in SEEN))
    for name in ("rnn", "gru", "lstm"):
        module = make(name, task)
        model = Model(Bundle(module.spec, train.arrays(module.state_dict())))
        print(
            f"| {name}, `session.step` | " + " | ".join(_session_cost(model, x, seen) for seen in SEEN) + " |"
        )
    transformer = make("transformer", task).eval()
    for label, cost in (("keys and values kept", _cached_cost), ("from the beginning each time", _anew_cost)):
        cells = [cost(transformer, torch.from_numpy(x), seen) for seen in SEEN]
        print(f"| transformer, {label} | " + " | ".join(cells) + " |", flush=True)


def _session_cost(model, x, seen):
    session = model.stream()
    for element in x[:seen, 0]:
        session.step(element)
    each = cpu_s(lambda: [session.step(element) for element in x[:50, 0]], repeats=25) / 50
    return f"{each * 1e6:.0f} µs, {sum(np.size(field) for field in session.state['rnn'])}"


@torch.no_grad()
def _cached_cost(transformer, x, seen):
    memory = transformer.remember()
    for number, layer in enumerate(transformer.layers):  # what ``seen`` elements leave behind, all at once
        keys = layer.qkv(torch.randn(1, seen, WIDTH)).chunk(3, dim=2)[1:]
        memory[number] = tuple(part.unflatten(2, (transformer.heads, -1)).transpose(1, 2) for part in keys)
    kept = sum(part.numel() for pair in memory for part in pair)
    each = cpu_s(lambda: [transformer.step(x[0], list(memory)) for _ in range(10)], repeats=15) / 10
    return f"{each * 1e6:.0f} µs, {kept:,}"


@torch.no_grad()
def _anew_cost(transformer, x, seen):
    each = cpu_s(lambda: transformer({"x": x[: seen + 1]}), repeats=3 if seen > 1000 else 25)
    return f"{each * 1e6:,.0f} µs, {seen:,}"


STEPS = (16, 64, 256, 1024)


def training_time():
    """CPU time of one update as rows grow."""
    print("\n### Training: milliseconds of one update of 8 rows, by steps per row\n")
    heading("network", *STEPS)
    for name in NAMES:
        cells = [f"{_update_cost(name, steps) * 1e3:.2f}" for steps in STEPS]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def _update_cost(name, steps):
    task = probes.Parity(delay=steps - 1)
    with train.seeded(0):
        module = make(name, task)
    rows = train.tensors(asdict(task.draw(8, seed=0)))
    optimizer = torch.optim.Adam(module.parameters(), fused=True)

    def update():
        outputs, _ = module(rows["inputs"], None, lengths=rows["lengths"])
        optimizer.zero_grad()
        train.losses.cross_entropy(outputs, rows["targets"], rows["mask"]).mean.backward()
        optimizer.step()

    return cpu_s(update, repeats=5 if steps > 300 else 40)


PARTS = {"order": order, "length": length, "reach": reach}
COSTS = {"streaming": streaming, "training": training_time}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("parts", nargs="*", default=[*PARTS, *COSTS], help=", ".join([*PARTS, *COSTS]))
    options.add_argument("--seeds", type=int, default=3)
    given = options.parse_args()
    torch.set_num_threads(1)
    print(
        f"Width {WIDTH}, window {WINDOW}, at most {TRAINING.updates} updates of {TRAINING.batch_size} rows, "
        f"{given.seeds} seeds: mean (lowest to highest)"
    )
    for part in given.parts:
        if part in PARTS:
            PARTS[part](given.seeds)
        else:
            COSTS[part]()


if __name__ == "__main__":
    main()
