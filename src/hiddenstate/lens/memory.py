"""How far back answers depend on small changes of the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from . import lags
from .probe import open_probe
from .recorded import Backward, Pass
from .result import Interval, Measurement, bootstrap, mean_over_sequences

ANCHORS = 2
"""Steps of each sequence that are looked back from, each at the cost of a backward per draw."""

EXACT = 8
"""Outputs up to which the Jacobian is computed whole; beyond, its norm is estimated from as many draws."""

MOST = 0.95
"""Share of the sensitivity that the memory length holds."""


@dataclass(frozen=True, eq=False, kw_only=True)
class InputReach(Measurement):
    """M2; see :func:`input_reach`.

    Attributes:
        lag: 0 to K.
        sensitivity: mean ``||dy_t / dx_(t-k)||_F`` at each lag.
        sensitivity_low: lower bound of its interval.
        sensitivity_high: upper bound.
        length: least K that holds 95 % of the sum; the interval is of this.
        half_life: steps in which the sensitivity halves (fitted); infinite where it does not shrink.
        censored: whether the sensitivity at the greatest lag looked at is still 1 % of the largest, so that
            the true length is longer.
    """

    columns: ClassVar[tuple[str, ...]] = ("lag", "sensitivity", "sensitivity_low", "sensitivity_high")
    lag: np.ndarray
    sensitivity: np.ndarray
    sensitivity_low: np.ndarray
    sensitivity_high: np.ndarray
    length: int
    half_life: float
    censored: bool

    def sentence(self) -> str:
        """How far back small changes of the input matter."""
        more = "at least " if self.censored else ""
        if not self.sensitivity.any():
            return "The output does not depend on the input at all."
        halves = f"halves every {self.half_life:.3g} steps"
        fades = halves if np.isfinite(self.half_life) else "does not fade"
        return (
            f"Of the sensitivity of an answer 95 % lies within {more}{self.length} steps before it "
            f"({self.interval}); it {fades}. This is about small changes of the input; a network may be "
            "moved by large ones from further back."
        )


def input_reach(model: Any, data: Any, *, max_lag: int | None = None, seed: int = 0) -> InputReach:
    """Gradient memory length: how far back the output still reacts to small changes of the input (M2).

    ``S(k) = E ||dy_t / dx_(t-k)||_F``; the length is the least K with ``S(0) + .. + S(K)`` at least 95 % of
    the whole sum. y are raw outputs (logits), x numbers, or the vectors that stand for symbols. With more
    than 8 outputs the norm is the root of the mean of ``||J^T v||^2`` over 8 random sign vectors v.

    Args:
        model: an estimator, ``runtime.Model``, bundle, path or ``Probe``.
        data: what ``Probe.read`` takes.
        max_lag: greatest lag K; None: what half of the sequences allow, at most 100.
        seed: of the sample of sequences, the sign vectors and the bootstrap.

    Raises:
        DataError: every sequence is shorter than the lag, or the data cannot be used.

    Source: connectivity of Madsen, Visualizing memorization in RNNs, Distill (2019), extended from the
    chosen class to all outputs; norm estimate: Hutchinson, Commun. Stat. Simul. 18 (1989).

    Example:
        >>> from hiddenstate.lens.examples import shift_register
        >>> made = input_reach(shift_register(4), [np.ones(30)], max_lag=10)
        >>> made.sensitivity[:5].tolist(), made.length
        ([0.0, 0.0, 0.0, 1.0, 0.0], 3)
    """
    probe = open_probe(model)
    sequences, max_lag = lags.long_enough(probe.read(data, seed=seed), max_lag)
    made = probe.run(sequences)
    top = probe.layer()
    steps = lags.anchors(made, top, made.valid, max_lag, ANCHORS)
    values = np.zeros((len(sequences), max_lag + 1))
    rng = np.random.default_rng(seed)
    for anchor in steps:
        values += _jacobian_norms(made, anchor, max_lag, rng) / len(steps)
    both = bootstrap(values, of="length", statistic=_length_and_curve, seed=seed)
    length, curve = int(_length_and_curve(values)[0]), values.mean(axis=0)
    return InputReach(
        interval=Interval(both.low[0], both.high[0], both.sequences, "length"),
        convention=(
            f"Frobenius norm of the Jacobian of the outputs, mean over {len(steps)} steps t of each of "
            f"{len(sequences)} sequences, each from rest, lags 0 to {max_lag}"
        ),
        lag=np.arange(max_lag + 1),
        sensitivity=curve,
        sensitivity_low=both.low[1:],
        sensitivity_high=both.high[1:],
        length=length,
        half_life=lags.half_life(lags.fit_decay(curve).gain),
        censored=bool(curve[-1] > lags.SHARE_LEFT * curve.max()),
    )


def _jacobian_norms(made: Pass, anchor: np.ndarray, max_lag: int, rng: np.random.Generator) -> np.ndarray:
    """``||dy_t / dx_(t-k)||_F`` from one step t of each row, ``[B, K + 1]``."""
    outputs = made.probe.output_size
    whole = outputs <= EXACT
    seeds = np.eye(outputs) if whole else rng.choice([-1.0, 1.0], (EXACT, outputs))
    squares: Any = 0.0
    for seed in seeds:
        spread = np.broadcast_to(seed, made.output.shape)
        picked = spread if spread.ndim == 2 else made.only_step(anchor, spread)
        by_input = _by_inputs(made, made.backward(picked))
        squares = squares + (lags.looking_back(by_input, anchor, max_lag).astype(np.float64) ** 2).sum(
            axis=-1
        )
    return np.sqrt(squares / (1 if whole else len(seeds))).T


def _by_inputs(made: Pass, found: Backward) -> np.ndarray:
    """Gradients by all that is read at a step, side by side: numbers, and the vectors of symbols."""
    probe = made.probe
    widths = probe.spec.sizes()
    parts = [
        found.d_nodes.get(name, np.zeros((*made.valid.shape, widths[name]), probe.dtype))
        for name in probe.input_nodes
    ]
    return np.concatenate(parts, axis=-1)


def _length_and_curve(values: np.ndarray) -> np.ndarray:
    curve = mean_over_sequences(values)
    total = np.cumsum(curve)
    return np.concatenate([[np.argmax(total >= MOST * total[-1] - 1e-12)], curve])
