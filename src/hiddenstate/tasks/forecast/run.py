"""Forecasts of whole series: one pass with the state carried, answers at the origins that are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .codec import Encoded, ForecastCodec, Rows
from .heads import Head, Reference
from .history import History

if TYPE_CHECKING:
    from hiddenstate.runtime import Model

GROUP = 32
"""Series that run side by side."""

VALUES = 1 << 22
"""Most output values of a pass in memory at once."""

BLOCK = 1 << 14
"""Rows that are encoded at once."""

ORIGINS = 4096
"""Origins whose forecasts are in memory at once."""


class Network(NamedTuple):
    """A trained network with what surrounds it."""

    codec: ForecastCodec
    head: Head
    model: Model


class Forecasts(NamedTuple):
    """Forecasts from some rows of one series.

    Attributes:
        history: the series.
        rows: numbers of the last known rows, ``[O]``.
        columns: ``[O, horizon]`` by column name.
    """

    history: History
    rows: np.ndarray
    columns: dict[str, np.ndarray]


def encode_whole(codec: ForecastCodec, history: History) -> Encoded:
    """What the network sees of all rows of a series; in blocks, to save memory."""
    encoder = codec.encoder(history.id, history.numbers, history.words)
    starts = range(0, max(len(history), 1), BLOCK)
    parts = [encoder.encode(rows_of(codec, history, at, min(at + BLOCK, len(history)))) for at in starts]
    inputs = {name: np.concatenate([part.inputs[name] for part in parts]) for name in parts[0].inputs}
    reference = Reference(*map(np.concatenate, zip(*(part.reference for part in parts), strict=True)))
    return Encoded(inputs, np.concatenate([part.scaled for part in parts]), reference)


def rows_of(codec: ForecastCodec, history: History, start: int, stop: int) -> Rows:
    """Rows of a series as an encoder takes them."""
    stamps = history.stamps()
    return Rows(
        None if stamps is None else stamps[start:stop],
        history.target[start:stop, None],
        history.past[start:stop],
        history.ahead(codec.layout.steps, start, stop),
    )


def direct(
    network: Network, histories: Sequence[History], origins: Sequence[np.ndarray], horizon: int
) -> Iterator[Forecasts]:
    """Forecasts of a network that gives all steps at once, series by series in blocks of origins.

    Args:
        network: the trained network.
        histories: the series.
        origins: increasing row numbers of each.
        horizon: steps to keep, at most what the network gives.
    """
    for at in range(0, len(histories), GROUP):
        some = slice(at, at + GROUP)
        seen = [encode_whole(network.codec, history) for history in histories[some]]
        found = outputs(network, [one.inputs for one in seen], origins[some])
        for history, rows, output, encoded in zip(histories[some], origins[some], found, seen, strict=True):
            for start in range(0, len(rows), ORIGINS):
                part = slice(start, start + ORIGINS)
                reference = Reference(*(value[rows[part], 0] for value in encoded.reference))
                columns = network.codec.decode(network.head, output[part], reference, history.id)
                yield Forecasts(history, rows[part], {k: v[:, :horizon] for k, v in columns.items()})


def draw(network: Network, history: History, horizon: int, samples: int, seed: Sequence[int]) -> np.ndarray:
    """Draws ``[samples, horizon, K]`` after the end of a series, every step by itself."""
    last = np.array([len(history) - 1])
    seen = encode_whole(network.codec, history)
    output = np.repeat(outputs(network, [seen.inputs], [last])[0], samples, axis=0)
    reference = Reference(*(np.repeat(value[last, 0], samples, axis=0) for value in seen.reference))
    rng = np.random.default_rng(list(seed))
    return network.codec.sample(network.head, output, reference, history.id, rng)[:, :horizon]


def outputs(
    network: Network, inputs: Sequence[dict[str, np.ndarray]], origins: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Network outputs at some rows of each series, ``[O, size]`` each.

    Args:
        network: the trained network.
        inputs: of each series, ``[N, 1, ...]`` by name.
        origins: increasing row numbers of each.
    """
    size, width = network.model.output_size, len(inputs)
    lengths = np.array([int(rows[-1]) + 1 if len(rows) else 0 for rows in origins])
    piece = max(1, VALUES // (size * width))
    state: Any = None
    parts = [[np.empty((0, size), np.float32)] for _ in inputs]
    for start in range(0, int(lengths.max()), piece):
        length = min(piece, int(lengths.max()) - start)
        block = {
            name: np.concatenate(
                [_padded(one[name][start : start + length], length) for one in inputs], axis=1
            )
            for name in inputs[0]
        }
        output, state = network.model.forward(block, lengths=np.clip(lengths - start, 0, length), state=state)
        for column, rows in enumerate(origins):
            here = rows[(rows >= start) & (rows < start + length)] - start
            parts[column].append(output[here, column])
    return [np.concatenate(part) for part in parts]


def _padded(values: np.ndarray, length: int) -> np.ndarray:
    missing = np.zeros((length - len(values), *values.shape[1:]), values.dtype)
    return np.concatenate([values, missing])
