"""Small jobs for the tests of the loop."""

from types import MappingProxyType

import numpy as np
import torch
from torch import nn

from hiddenstate.train import losses, seeded


class Regression:
    """Noisy lines; batches shuffled anew each epoch; optionally a held-back part."""

    def __init__(self, *, rows=40, batch_size=8, held_back=False, spoil=None):
        draw = np.random.default_rng(7)
        x = draw.normal(size=(rows, 3)).astype(np.float32)
        self.x, self.y = (
            torch.from_numpy(x),
            torch.from_numpy(x @ np.array([[1.0], [-2.0], [0.5]], np.float32)),
        )
        self.y = self.y + torch.from_numpy(draw.normal(size=(rows, 1)).astype(np.float32)) * 0.1
        self.batch_size = batch_size
        self.held_back = held_back
        self.spoil = spoil
        self.identity = MappingProxyType({"rows": rows, "batch_size": batch_size})

    def batches(self, epoch, seed):
        order = np.random.default_rng([seed, epoch]).permutation(len(self.x))
        return [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]

    def loss(self, module, batch, carried):
        loss = losses.squared(module(self.x[batch]), self.y[batch])
        return loss if self.spoil is None else loss._replace(mean=loss.mean * self.spoil(module))

    def validate(self, module):
        return float(((module(self.x) - self.y) ** 2).mean()) if self.held_back else None


class Scripted(Regression):
    """A job whose validation scores are given in advance."""

    def __init__(self, scores, **options):
        super().__init__(**options)
        self.scores = iter(scores)
        self.seen = []

    def validate(self, module):
        self.seen.append({name: value.clone() for name, value in module.state_dict().items()})
        return next(self.scores)


def line(seed=0):
    with seeded(seed):
        return nn.Linear(3, 1)


def same_weights(module, weights):
    return all(torch.equal(value, weights[name]) for name, value in module.state_dict().items())
