"""Forecasts step by step: the network is fed what it has just forecast, along one path or many drawn ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .codec import Encoder, ForecastCodec, Rows, quantile_names
from .heads import Reference
from .history import History
from .run import Network, rows_of


class Paths(NamedTuple):
    """How a forecast is followed: ``samples`` paths drawn with ``seed``; a point forecast is one path."""

    samples: int
    seed: Sequence[int]


class Origin(NamedTuple):
    """Where a forecast starts.

    Attributes:
        output: of the network at the last known row, ``[size]``.
        state: of the network there, one row.
        reference: what forecasts from there are relative to, fields ``[K]``.
        time: stamp of the last known row, or None.
        ahead: known-future values of the next rows, ``[horizon, F]``.
    """

    output: np.ndarray
    state: Any
    reference: Reference
    time: Any
    ahead: np.ndarray


def rollout(network: Network, encoder: Encoder, origin: Origin, horizon: int, paths: Paths) -> np.ndarray:
    """The next rows along every path, each forecast from the one before: ``[B, horizon, K]`` in raw values.

    Args:
        network: the trained network.
        encoder: at the origin; it is not moved.
        origin: where to start.
        horizon: rows ahead.
        paths: how many, and from which seed.
    """
    rng = np.random.default_rng(list(paths.seed)) if network.head.spread else None
    count = paths.samples if network.head.spread else 1
    grid = network.codec.layout.frequency
    walker = encoder.fork(count)
    state = {
        name: type(record)(*(np.repeat(value, count, axis=1) for value in record))
        for name, record in origin.state.items()
    }
    output = np.repeat(origin.output[None], count, axis=0)
    reference = Reference(*(np.repeat(value[None], count, axis=0) for value in origin.reference))
    values = [_next_values(network, output, reference, encoder.series, rng)]
    for step in range(1, horizon):
        stamp = None if grid is None else grid.advance(origin.time, 1, start=step)
        ahead = origin.ahead[None, step : step + 1]
        seen = walker.encode(Rows(stamp, values[-1][None], np.empty((1, 0)), ahead))
        y, state = network.model.forward(seen.inputs, state=state)
        reference = Reference(*(value[0] for value in seen.reference))
        values.append(_next_values(network, y[0], reference, encoder.series, rng))
    return np.stack(values, axis=1)


def follow(
    network: Network, history: History, origins: np.ndarray, horizon: int, paths: Paths
) -> Iterator[np.ndarray]:
    """Paths ``[B, horizon, K]`` from each origin of a series; the state is carried from origin to origin."""
    codec = network.codec
    encoder, state, start = codec.encoder(history.id, history.numbers, history.words), None, 0
    stamps = history.stamps()
    for row in origins.tolist():
        seen = encoder.encode(rows_of(codec, history, start, row + 1))
        output, state = network.model.forward(seen.inputs, state=state)
        reference = Reference(*(value[-1, 0] for value in seen.reference))
        time = None if stamps is None else stamps[row]
        ahead = history.ahead(horizon, row, row + 1)[0]
        yield rollout(network, encoder, Origin(output[-1, 0], state, reference, time, ahead), horizon, paths)
        start = row + 1


def summary(codec: ForecastCodec, paths: np.ndarray) -> dict[str, np.ndarray]:
    """Forecasts ``[horizon]`` by column name from paths ``[B, horizon, K]``: their mean and quantiles."""
    columns = {}
    for i, target in enumerate(codec.layout.target):
        columns[target] = paths[:, :, i].mean(axis=0)
        for level, name in zip(codec.layout.levels, quantile_names(target, codec.layout.levels), strict=True):
            columns[name] = np.quantile(paths[:, :, i], level, axis=0)
    return columns


def _next_values(
    network: Network, output: np.ndarray, reference: Reference, series: str | None, rng: Any
) -> np.ndarray:
    """The next value of every path, ``[B, K]``: drawn, or the point forecast where there is no generator."""
    codec, head = network.codec, network.head
    if rng is not None:
        return codec.sample(head, output, reference, series, rng)[:, 0]
    forecasts = codec.decode(head, output, reference, series)
    return np.stack([forecasts[name][:, 0] for name in codec.layout.target], axis=-1)
