"""Forecasts of whole series: one pass with the state carried, answers at the origins that are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .codec import Encoded, Encoder, ForecastCodec, Rows
from .heads import Head, Reference
from .history import History

if TYPE_CHECKING:
    from ...runtime import Model

_GROUP = 32
_VALUES = 1 << 22
"""Most output values in memory at once in a pass."""


class Network(NamedTuple):
    """A trained network with what surrounds it."""

    codec: ForecastCodec
    head: Head
    model: Model


def whole(codec: ForecastCodec, history: History) -> tuple[Encoder, Encoded]:
    """An encoder that has gone through all rows of a series, and what it saw."""
    encoder = codec.encoder(history.id, history.numbers, history.words)
    return encoder, encoder.encode(rows_of(codec, history, 0, len(history)))


def rows_of(codec: ForecastCodec, history: History, start: int, stop: int) -> Rows:
    """Rows of a series as an encoder takes them."""
    stamps = history.stamps()
    return Rows(
        None if stamps is None else stamps[start:stop],
        history.target[start:stop, None],
        history.past[start:stop],
        history.ahead(codec.layout.steps)[start:stop],
    )


def outputs(
    network: Network, inputs: Sequence[dict[str, np.ndarray]], origins: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Network outputs at some rows of each series, ``[O, size]`` each; series of like length run together.

    Args:
        network: the trained network.
        inputs: of each series, ``[N, 1, ...]`` by name.
        origins: increasing row numbers of each.
    """
    lengths = [int(rows[-1]) + 1 if len(rows) else 0 for rows in origins]
    order = sorted(range(len(inputs)), key=lengths.__getitem__)
    answers: list[Any] = [None] * len(inputs)
    for at in range(0, len(order), _GROUP):
        group = order[at : at + _GROUP]
        found = _group_outputs(network, [inputs[i] for i in group], [origins[i] for i in group])
        for i, answer in zip(group, found, strict=True):
            answers[i] = answer
    return answers


def _group_outputs(
    network: Network, inputs: list[dict[str, np.ndarray]], origins: list[np.ndarray]
) -> list[np.ndarray]:
    size, width = network.model.output_size, len(inputs)
    lengths = np.array([int(rows[-1]) + 1 if len(rows) else 0 for rows in origins])
    piece = max(1, _VALUES // (size * width))
    state, parts = None, [[np.empty((0, size), np.float32)] for _ in inputs]
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


def direct(
    network: Network, history: History, origins: np.ndarray, output: np.ndarray, seen: Encoded
) -> dict:
    """Forecasts ``[O, steps]`` by column name, from outputs at the origins of one series."""
    reference = Reference(*(value[origins, 0] for value in seen.reference))
    return network.codec.decode(network.head, output, reference, history.id)


class Paths(NamedTuple):
    """How a recursive forecast is followed: ``samples`` paths drawn with ``seed``, or one path of point forecasts."""

    samples: int
    seed: Sequence[int]


def rollout(
    network: Network,
    encoder: Encoder,
    state: Any,
    output: np.ndarray,
    reference: Reference,
    time: Any,
    ahead: np.ndarray,
    horizon: int,
    paths: Paths,
) -> np.ndarray:
    """Steps ahead, each from the one before, ``[B, horizon, K]`` in raw values.

    Args:
        network: the trained network.
        encoder: at the origin; it is not moved.
        state: of the network at the origin, one row.
        output: of the network at the origin, ``[size]``.
        reference: of the origin, fields ``[K]``.
        time: stamp of the origin, or None.
        ahead: known-future values of the next rows, ``[horizon, F]``.
        horizon: steps ahead.
        paths: how many, and from which seed.
    """
    rng = np.random.default_rng(paths.seed) if network.head.spread else None
    count = paths.samples if network.head.spread else 1
    walker = encoder.fork(count)
    state = {name: type(one)(*(np.repeat(v, count, axis=1) for v in one)) for name, one in state.items()}
    output = np.repeat(output[None], count, axis=0)
    reference = Reference(*(np.repeat(value[None], count, axis=0) for value in reference))
    values = []
    for step in range(horizon):
        values.append(_draw(network, output, reference, encoder.series, rng))
        if step + 1 < horizon:
            stamp = None if time is None else network.codec.layout.frequency.advance(time, 1, start=step + 1)
            rows = Rows(stamp, values[-1][None], np.empty((1, 0)), ahead[None, step + 1 : step + 2])
            seen = walker.encode(rows)
            y, state = network.model.forward(seen.inputs, state=state)
            output, reference = y[0], Reference(*(value[0] for value in seen.reference))
    return np.stack(values, axis=1)


def _draw(
    network: Network,
    output: np.ndarray,
    reference: Reference,
    series: str | None,
    rng: np.random.Generator | None,
) -> np.ndarray:
    """The next value of every path, ``[B, K]``."""
    codec, head = network.codec, network.head
    if rng is not None:
        return codec.sample(head, output, reference, series, rng)[:, 0]
    forecasts = codec.decode(head, output, reference, series)
    return np.stack([forecasts[name][:, 0] for name in codec.layout.target], axis=-1)


def summary(codec: ForecastCodec, paths: np.ndarray) -> dict[str, np.ndarray]:
    """Forecasts ``[horizon]`` by column name from sample paths ``[B, horizon, K]``: their mean and quantiles."""
    columns = {}
    for i, target in enumerate(codec.layout.target):
        values = paths[:, :, i]
        columns[target] = values.mean(axis=0)
        for level in codec.layout.levels:
            columns[f"{target}_q{level:g}"] = np.quantile(values, level, axis=0)
    return columns


def recursive(
    network: Network, history: History, origins: np.ndarray, horizon: int, paths: Paths
) -> Iterator[np.ndarray]:
    """Paths ``[B, horizon, K]`` from each origin of a series; the state is carried from origin to origin."""
    codec = network.codec
    encoder, state, start = codec.encoder(history.id, history.numbers, history.words), None, 0
    future = history.ahead(horizon)
    stamps = history.stamps()
    for origin in origins.tolist():
        seen = encoder.encode(rows_of(codec, history, start, origin + 1))
        output, state = network.model.forward(seen.inputs, state=state)
        reference = Reference(*(value[-1, 0] for value in seen.reference))
        time = None if stamps is None else stamps[origin]
        yield rollout(network, encoder, state, output[-1, 0], reference, time, future[origin], horizon, paths)
        start = origin + 1
