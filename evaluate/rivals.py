"""What recurrence is measured against: a bag of words, a window, a small transformer.

All are called like a ``Network``: ``module(inputs, state, lengths=...)`` gives ``[T, B, answers]`` and no
state; the answer at a step uses the elements up to it. None needs the lengths: padding comes after the last
question.
"""

import math

import torch
from torch import nn
from torch.nn import functional

WIDTH = 32
"""Of embeddings and hidden layers, as of the recurrent networks."""

WINDOW = 20
"""Elements that the window sees."""


class Rival(nn.Module):
    """Elements as vectors; what is made of them; answers."""

    def __init__(self, task) -> None:
        super().__init__()
        given = task.input
        self.ids = given.kind == "ids"
        self.table = nn.Embedding(given.size, WIDTH) if self.ids else nn.Linear(given.size, WIDTH)
        self.answers = task.classes or 1

    def forward(self, inputs, state=None, lengths=None):
        return self.read(self.table(inputs["x"])), None

    def read(self, x):
        """From vectors ``[T, B, WIDTH]`` to answers ``[T, B, answers]``."""
        raise NotImplementedError


class Bag(Rival):
    """The mean of all elements so far, through two layers: their order is gone."""

    def __init__(self, task) -> None:
        super().__init__(task)
        self.head = _layers(WIDTH, self.answers)

    def read(self, x):
        count = torch.arange(1, len(x) + 1).reshape(-1, 1, 1)
        return self.head(x.cumsum(0) / count)


class Window(Rival):
    """The last ``WINDOW`` elements side by side, through two layers; zeros before the first."""

    def __init__(self, task) -> None:
        super().__init__(task)
        self.head = _layers(WIDTH * WINDOW, self.answers)

    def read(self, x):
        padded = functional.pad(x, (0, 0, 0, 0, WINDOW - 1, 0))
        return self.head(padded.unfold(0, WINDOW, 1).flatten(2))


class Transformer(Rival):
    """Two layers of causal attention with four heads, norm before each part, sine positions.

    ``remember`` and ``step`` do the same one element at a time, keys and values of all earlier ones kept.
    """

    def __init__(self, task, heads: int = 4, layers: int = 2) -> None:
        super().__init__(task)
        self.heads = heads
        self.layers = nn.ModuleList(_Layer() for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, self.answers)

    def read(self, x):
        x = (x + _positions(0, len(x))).transpose(0, 1)  # [B, T, W]
        for layer in self.layers:
            q, k, v = self._split(layer.qkv(layer.before(x)))
            seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = layer.rest(x, self._join(seen))
        return self.head(self.norm(x)).transpose(0, 1)

    def remember(self):
        """An empty memory."""
        return [None] * len(self.layers)

    def step(self, element, memory):
        """The answer to one element ``[B]`` or ``[B, F]``; the memory grows by it."""
        place = 0 if memory[0] is None else memory[0][0].shape[2]
        x = self.table(element)[:, None] + _positions(place, place + 1)[0]
        for number, layer in enumerate(self.layers):
            q, k, v = self._split(layer.qkv(layer.before(x)))
            if memory[number] is not None:
                k, v = (torch.cat([old, new], dim=2) for old, new in zip(memory[number], (k, v), strict=True))
            memory[number] = k, v
            x = layer.rest(x, self._join(functional.scaled_dot_product_attention(q, k, v)))
        return self.head(self.norm(x))[:, 0]

    def _split(self, qkv):
        return (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in qkv.chunk(3, dim=2)
        )  # each [B, heads, T, W / heads]

    def _join(self, x):
        return x.transpose(1, 2).flatten(2)


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.wide, self.narrow = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def rest(self, x, seen):
        """What a layer does after attention."""
        x = x + self.out(seen)
        return x + self.narrow(functional.gelu(self.wide(self.between(x))))


def _layers(size: int, answers: int) -> nn.Module:
    return nn.Sequential(nn.Linear(size, WIDTH), nn.Tanh(), nn.Linear(WIDTH, answers))


def _positions(start: int, stop: int):
    """Sines and cosines of the places ``[T, 1, WIDTH]``: Vaswani et al., arXiv 1706.03762 (2017), 3.5."""
    place = torch.arange(start, stop, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, WIDTH, 2) * (-math.log(10000.0) / WIDTH))
    return torch.stack([(place * rate).sin(), (place * rate).cos()], dim=2).flatten(1)[:, None]
