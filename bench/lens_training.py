"""What the lens costs during training: its own count of its time, and whole trainings with and without it.

``python -m bench.lens_training [--seconds 20]`` prints markdown. Trainings with and without alternate, so
that what else runs on the machine strikes both alike.
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


def measure(cell: str, steps: int, rows: int, hidden: int, budget_s: float) -> None:
    trial = train(cell, hidden, Stream(steps, rows, 20), None)
    job = Stream(steps, rows, max(20, int(20 * budget_s / trial)))
    plain, watched, shares, looks = [], [], [], []
    for _ in range(3):
        plain.append(train(cell, hidden, job, None))
        lens = Lens()
        watched.append(train(cell, hidden, job, lens))
        shares.append(lens.time_share)
        looks.append(len(lens.records))
    ratio = statistics.median(watched) / statistics.median(plain)
    update_ms = 1000 * statistics.median(plain) / len(job.ids)
    print(
        f"| {cell} {steps} x {rows} x {hidden} | {len(job.ids)} | {update_ms:.1f} | {statistics.median(looks):.0f} "
        f"| {statistics.median(shares):.1%} | {max(shares):.1%} | {ratio:.3f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of one training")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(
        "| steps x rows x units | updates | ms an update | looks | share | largest of 3 | time with / without |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|")
    for size in SIZES:
        measure(*size, options.seconds)


if __name__ == "__main__":
    main()
