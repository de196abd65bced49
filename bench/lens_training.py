"""What the lens costs during training: its own count of its time, and whole trainings with and without it.

``python -m bench.lens_training [--updates 500]`` prints markdown. Trainings with and without alternate, three
times each, so that what else runs on the machine strikes both alike; the fastest of each are compared.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings

import torch

from hiddenstate import nn
from hiddenstate.spec import Embed, Input, Linear, ModelSpec, Recurrent
from hiddenstate.train import Config, Lens, Loss, fit, losses, seeded

SYMBOLS = 64
SIZES = (("lstm", 35, 20, 200), ("gru", 100, 32, 64), ("rnn", 784, 16, 64))
"""Cell, steps of a window, rows, hidden units."""


class Stream:
    """Random symbols in windows, the state carried from one to the next."""

    identity = {"data": "random symbols"}  # noqa: RUF012

    def __init__(self, steps: int, rows: int, updates: int) -> None:
        draw = torch.Generator().manual_seed(0)
        self.ids = torch.randint(SYMBOLS, (updates, steps + 1, rows), generator=draw)

    def batches(self, epoch: int, seed: int) -> range:
        return range(len(self.ids))

    def loss(self, module, batch, carried) -> Loss:
        ids = self.ids[batch]
        output, state = module({"x": ids[:-1]}, carried)
        return losses.cross_entropy(output, ids[1:])._replace(carried=state)

    def validate(self, module) -> None:
        return None


def network(cell: str, hidden: int):
    spec = ModelSpec(
        (Input("x", "ids", SYMBOLS),),
        (Embed("embed", "x", 32), Recurrent("rnn", "embed", cell, hidden), Linear("head", "rnn", SYMBOLS)),
    )
    with seeded(0):
        return nn.build(spec)


def train(cell: str, hidden: int, job: Stream, lens: Lens | None) -> float:
    """Seconds of a training of one epoch."""
    module, began = network(cell, hidden), time.perf_counter()
    fit(module, job, Config(epochs=1), progress=False, callbacks=[] if lens is None else [lens])
    return time.perf_counter() - began


def measure(cell: str, steps: int, rows: int, hidden: int, updates: int) -> list[str]:
    """One line of the table."""
    job = Stream(steps, rows, updates)
    plain, watched, shares, looks = [], [], [], []
    for _ in range(3):
        plain.append(train(cell, hidden, job, None))
        lens = Lens()
        watched.append(train(cell, hidden, job, lens))
        shares.append(lens.time_share)
        looks.append(len(lens.records))
    update_ms, ratio = 1000 * min(plain) / updates, min(watched) / min(plain)
    shown = f"{statistics.median(looks):.0f}", f"{statistics.median(shares):.1%}", f"{max(shares):.1%}"
    return [f"{cell} {steps} x {rows} x {hidden}", f"{update_ms:.1f}", *shown, f"{ratio:.3f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=500, help="of one training")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    names = "steps x rows x units", "ms an update", "looks", "share", "largest of 3", "time with / without"
    print("| " + " | ".join(names) + " |")
    print("|---|" + "--:|" * (len(names) - 1))
    for size in SIZES:
        print("| " + " | ".join(measure(*size, options.updates)) + " |", flush=True)


if __name__ == "__main__":
    main()
