"""Trains a small job in a child process that kills itself, as told by JSON lines on standard input.

One process imports torch once and forks a child for each life, so that a life costs milliseconds.
"""

import json
import os
import random
import signal
import sys
import types
from pathlib import Path

import numpy as np
import torch
from torch import nn

from hiddenstate.nn import build
from hiddenstate.spec import Embed, Input, Linear, ModelSpec, Recurrent
from hiddenstate.tasks.language.job import LanguageJob
from hiddenstate.train import Checkpoint, Config, fit, losses, mean_loss, seeded
from hiddenstate.types import LSTMState

CONFIGS = {
    "adam": Config(
        epochs=8, learning_rate=0.05, schedule="plateau", decay_epochs=1, patience=2, warmup_updates=3, seed=5
    ),
    "sgd": Config(
        epochs=3, optimizer="sgd", momentum=0.9, learning_rate=0.05, schedule="cosine", clip_value=0.01
    ),
    "language": Config(epochs=3, learning_rate=0.1, optimizer="adamw", weight_decay=0.01),
    "rmsprop": Config(epochs=3, optimizer="rmsprop", schedule="step", decay_epochs=1, restore_best=False),
}


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(2, 4, num_layers=2, dropout=0.3)
        self.norm = nn.BatchNorm1d(4)  # has buffers: they must come back too
        self.head = nn.Linear(4, 1)

    def forward(self, x, state):
        y, (h, c) = self.rnn(x, None if state is None else tuple(state))
        return self.head(nn.functional.dropout(self.norm(y[-1]), 0.2, self.training)), LSTMState(h, c)


class Windows:
    """Shuffled windows with the state carried along, and noise from every generator there is."""

    identity = types.MappingProxyType({"data": "noise"})

    def __init__(self):
        draw = np.random.default_rng(0)
        self.x = torch.tensor(draw.normal(size=(4, 5, 3, 2)), dtype=torch.float32)
        self.y = torch.tensor(draw.normal(size=(4, 3, 1)), dtype=torch.float32)

    def batches(self, epoch, seed):
        return [int(i) for i in np.random.default_rng([seed, epoch]).permutation(3)]

    def loss(self, module, index, carried):
        output, state = module(self.x[index], carried and carried["rnn"])
        noise = random.gauss(0, 0.1) + float(np.random.normal()) + float(torch.randn(()))
        return losses.squared(output, self.y[index] + 0.1 * noise)._replace(carried={"rnn": state})

    def validate(self, module):
        return mean_loss(self, module, [3])


def language() -> tuple[nn.Module, LanguageJob]:
    """A network on the native kernels, with a job of the package."""
    blocks = (
        Embed("embed", source="x", size=3),
        Recurrent("rnn", source="embed", cell="gru", hidden_size=4, num_layers=2, dropout=0.4),
        Linear("head", source="rnn", size=6),
    )
    draw = np.random.default_rng(2)
    documents = [draw.integers(1, 6, size=size) for size in (40, 7, 1, 30)]
    job = LanguageJob(documents[:3], documents[3:], end=0, lanes=4, window=3, identity={"data": "digits"})
    return build(ModelSpec((Input("x", kind="ids", size=6),), blocks)), job


def train(folder: str, config: str, every_updates: int) -> dict:
    torch.set_num_threads(1)
    with seeded(1):
        module, job = language() if config == "language" else (Network(), Windows())
    report = fit(
        module,
        job,
        CONFIGS[config],
        checkpoint=Checkpoint(folder, every_updates=every_updates),
        progress=False,
    )
    weights = {name: value.tolist() for name, value in module.state_dict().items()}
    return {"weights": weights, "report": vars(report)}


def killer(at: int):
    """A trace function that kills the process before the ``at``-th bytecode instruction of the training."""
    count = 0
    ours = ("hiddenstate/train/", "hiddenstate/files.py")

    def local(frame: types.FrameType, event: str, _):
        nonlocal count
        if event == "opcode":
            count += 1
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)
        return local

    def start(frame: types.FrameType, event: str, _):
        if any(part in frame.f_code.co_filename for part in ours):
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            return local
        return None

    return start, lambda: count


def live(task: dict) -> None:
    """One life: it ends by the kill, or by writing the result."""
    trace, count = killer(task["kill_at"])
    sys.settrace(trace)
    result = train(task["folder"], task["config"], task["every_updates"])
    sys.settrace(None)
    Path(task["result"]).write_text(json.dumps(result | {"instructions": count()}))


def main() -> None:
    torch.optim.Adam([torch.zeros(1)]).step()  # imports a second's worth of torch, once for all children
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                live(json.loads(line))
                code = 0
            finally:
                os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
