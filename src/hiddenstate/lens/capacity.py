"""How many past inputs can be read out of the state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hiddenstate.errors import DataError

from .encoding import Encoded
from .probe import open_probe
from .result import Interval, Measurement, bootstrap, check_count

ROWS = 16
"""Independent sequences of inputs; the readout is fitted on one half of them and tried on the other."""

STEPS = 512
"""Steps of each sequence after the warm-up."""

RIDGE = 1e-6
"""Pull of the readout towards zero, relative to the mean variance of a unit."""


@dataclass(frozen=True, eq=False, kw_only=True)
class MemoryCapacity(Measurement):
    """M5; see :func:`memory_capacity`.

    Attributes:
        layer: name of the layer.
        lag: 0 to K.
        recovered: ``r^2`` of the input of k steps ago read out of the state, baseline subtracted.
        recovered_low: lower bound of its interval.
        recovered_high: upper bound.
        baseline: ``r^2`` with the targets in random order: what chance gives.
        capacity: sum of ``recovered``; the interval is of this.
        units: width of the state that is read.
        censored: whether the greatest lag looked at is still recovered (above 0.1), so that the true capacity
            is larger.
    """

    columns: ClassVar[tuple[str, ...]] = ("lag", "recovered", "recovered_low", "recovered_high", "baseline")
    layer: str
    lag: np.ndarray
    recovered: np.ndarray
    recovered_low: np.ndarray
    recovered_high: np.ndarray
    baseline: np.ndarray
    capacity: float
    units: int
    censored: bool

    def sentence(self) -> str:
        """How much of the past the state holds."""
        half = np.flatnonzero(self.recovered >= 0.5)
        far = (
            f"at lag {half[-1]} half of the variance is still there" if len(half) else "no lag is half there"
        )
        more = "at least " if self.censored else ""
        return (
            f"A linear readout of {self.layer} ({self.units} units) recovers {more}{self.capacity:.3g} past "
            f"inputs' worth of variance ({self.interval}); {far}. Inputs are steps of the data in random "
            "order; structured data may be kept longer, or in ways that no linear readout sees."
        )


def memory_capacity(
    model: Any, data: Any, *, max_lag: int = 50, layer: str | None = None, seed: int = 0
) -> MemoryCapacity:
    """Linear memory capacity: how well past inputs can be read out of the state (M5).

    The model is driven by steps drawn from the data independently. For each lag k a linear readout of ``h_t``
    is fitted to ``x_(t-k)`` (ridge, on half of the sequences); ``recovered`` is the squared correlation on
    the other half, less the same with the targets in random order; the capacity is their sum. Inputs of
    several numbers (and symbols, as their vectors) count by the share of their variance, so that each step is
    worth at most 1.

    Args:
        model: an estimator, ``runtime.Model``, bundle, path or ``Probe``.
        data: what ``Probe.read`` takes; only its steps are used, not their order.
        max_lag: greatest lag K, at least 1.
        layer: name of a layer; None: the last one that reads forwards.
        seed: of the draws and of the bootstrap.

    Raises:
        OptionError: no such layer, or not a lag.
        DataError: data that cannot be used, or whose steps are all alike.

    Source: Jaeger, Short term memory in echo state networks, GMD report 152 (2001); estimates are biased
    upwards without a held-out set: arXiv 2305.01457 (2023).

    Example:
        >>> from hiddenstate.lens.examples import shift_register
        >>> x = [np.random.default_rng(0).random(100)]
        >>> round(memory_capacity(shift_register(3), x, max_lag=6).capacity, 1)
        3.0
    """
    check_count(max_lag, 1, "max_lag")
    probe = open_probe(model)
    one = probe.layer(layer)
    rng = np.random.default_rng(seed)
    made = probe.run(_shuffled(probe.read(data, seed=seed), max_lag, rng))
    h = made.states(one.name).h.astype(np.float64)
    x = np.concatenate([made.nodes[name] for name in probe.input_nodes], axis=-1).astype(np.float64)
    h, x = (h[::-1], x[::-1]) if one.reverse else (h, x)
    if not (x.std(axis=(0, 1)) > 0).any():
        raise DataError("all steps of the data are alike, so that nothing can be recovered")
    values, chance = _recovered(h, x, max_lag, rng)
    both = bootstrap(values - chance, of="capacity", statistic=_capacity_and_curve, seed=seed)
    figures = _capacity_and_curve(values - chance)
    return MemoryCapacity(
        interval=Interval(both.low[0], both.high[0], both.sequences, "capacity"),
        convention=(
            f"h_t of {one.name}; squared correlation on {len(values)} held-out sequences of {STEPS} "
            "independent steps after a warm-up, chance subtracted"
        ),
        layer=one.name,
        lag=np.arange(max_lag + 1),
        recovered=figures[1:],
        recovered_low=both.low[1:],
        recovered_high=both.high[1:],
        baseline=chance.mean(axis=0),
        capacity=float(figures[0]),
        units=h.shape[-1],
        censored=bool(figures[-1] > 0.1),
    )


def _shuffled(sequences: list[Encoded], max_lag: int, rng: np.random.Generator) -> list[Encoded]:
    """Sequences of steps drawn independently, long enough for the warm-up."""
    length = STEPS + max_lag
    steps = {name: np.concatenate([one.inputs[name] for one in sequences]) for name in sequences[0].inputs}
    total = sum(map(len, sequences))
    drawn = [rng.integers(0, total, length) for _ in range(ROWS)]
    return [
        Encoded({name: value[index] for name, value in steps.items()}, [""] * length, f"draw {number}")
        for number, index in enumerate(drawn)
    ]


def _recovered(
    h: np.ndarray, x: np.ndarray, max_lag: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Squared correlations by held-out sequence and lag ``[N, K + 1]``: of the inputs, and of chance."""
    rows = h.shape[1] // 2
    states = h[max_lag:]
    past = [x[max_lag - lag : len(x) - lag] for lag in range(max_lag + 1)]
    readout = _Readout(states[:, :rows])
    scores, chances = [], []
    order = rng.permutation(len(states))
    for target in past:
        scores.append(readout.score(target[:, :rows], states[:, rows:], target[:, rows:]))
        mixed = target[order]
        chances.append(readout.score(mixed[:, :rows], states[:, rows:], mixed[:, rows:]))
    return np.stack(scores, axis=1), np.stack(chances, axis=1)


class _Readout:
    """Ridge regression on the states of some sequences, its normal equations solved once.

    Args:
        states: ``[T, N, H]``.
    """

    def __init__(self, states: np.ndarray) -> None:
        flat = states.reshape(-1, states.shape[-1])
        self._mean = flat.mean(axis=0)
        self._flat = flat - self._mean
        square = self._flat.T @ self._flat
        pull = RIDGE * max(np.trace(square) / len(square), np.finfo(np.float64).tiny)
        self._inverse = np.linalg.inv(square + pull * np.eye(len(square)))

    def score(self, target: np.ndarray, states: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Squared correlation with the truth of what the readout says of other states, by sequence, ``[N]``.

        Args:
            target: what to fit, ``[T, N', F]``.
            states: held out, ``[T, N, H]``.
            truth: ``[T, N, F]``.
        """
        flat = target.reshape(-1, target.shape[-1])
        weights = self._inverse @ (self._flat.T @ (flat - flat.mean(axis=0)))
        said = (states - self._mean) @ weights
        said, truth = said - said.mean(axis=0), truth - truth.mean(axis=0)
        common, own, size = (said * truth).sum(axis=0), (said**2).sum(axis=0), (truth**2).sum(axis=0)
        square = np.divide(common**2, own * size, out=np.zeros_like(common), where=own * size > 1e-300)
        return (square * size).sum(axis=-1) / np.maximum(size.sum(axis=-1), np.finfo(np.float64).tiny)


def _capacity_and_curve(values: np.ndarray) -> np.ndarray:
    curve = np.maximum(values.mean(axis=0), 0.0)
    return np.concatenate([[curve.sum()], curve])
