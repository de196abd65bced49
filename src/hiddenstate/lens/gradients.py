"""Gradients through time: how far back the loss of one step reaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from . import lags
from .probe import open_probe
from .result import Interval, Measurement, bootstrap, mean_over_sequences

ANCHORS = 4
"""Steps of each sequence whose loss is followed back."""


@dataclass(frozen=True, eq=False, kw_only=True)
class GradientThroughTime(Measurement):
    """G1; see :func:`gradient_through_time`.

    Attributes:
        layer: name of the layer.
        lag: 0 to K.
        norm: mean ``||dL_t / ds_(t-k)||`` at each lag.
        norm_low: lower bound of its interval.
        norm_high: upper bound.
        gain_per_step: factor by which the norm changes per step (fitted); the interval is of this.
        fit: share of the variance of log norm that the fitted line explains.
        reach: greatest lag at which the norm is at least 1 % of its largest value.
        censored: whether that is the greatest lag looked at, so that the true reach may be longer.
    """

    columns: ClassVar[tuple[str, ...]] = ("lag", "norm", "norm_low", "norm_high")
    layer: str
    lag: np.ndarray
    norm: np.ndarray
    norm_low: np.ndarray
    norm_high: np.ndarray
    gain_per_step: float
    fit: float
    reach: int
    censored: bool

    @property
    def half_life(self) -> float:
        """Steps in which the gradient halves; infinite when it does not shrink."""
        return lags.half_life(self.gain_per_step)

    def sentence(self) -> str:
        """What a loss can still change, and how far back."""
        if not np.isfinite(self.gain_per_step):
            return "No gradient reaches back: the loss of a step does not depend on earlier states."
        grows = "shrinks to" if self.gain_per_step < 0.995 else "keeps"
        grows = "grows to" if self.gain_per_step > 1.005 else grows
        more = "at least " if self.censored else ""
        return (
            f"The gradient of one step's loss {grows} {self.gain_per_step:.3g} of its size per step back "
            f"({self.interval}) and falls below 1 % after {more}{self.reach} steps. "
            "This is what training can feel, not what the network uses."
        )


def gradient_through_time(
    model: Any, data: Any, *, max_lag: int | None = None, layer: str | None = None, seed: int = 0
) -> GradientThroughTime:
    """Itemised gradient norm over lag: how strongly the loss of one step depends on states before it (G1).

    ``norm(k) = E ||dL_t / ds_(t-k)||_2`` with the loss ``L_t`` of step t alone; ``log10 norm(k)`` is fitted
    by a line over k >= 1, whose slope gives the gain per step ``10^slope``: below 1 gradients vanish, above 1
    they explode.

    Args:
        model: an estimator, ``runtime.Model``, bundle, path or ``Probe``.
        data: what ``Probe.read`` takes.
        max_lag: greatest lag K; None: what half of the sequences allow, at most 100.
        layer: name of a layer (``Probe.layers``); None: the last one that reads forwards.
        seed: of the sample of sequences and of the bootstrap.

    Raises:
        DataError: every sequence is shorter than the lag, or the data cannot be used.
        OptionError: no such layer.

    Source: Bengio, Simard and Frasconi, IEEE Trans. Neural Networks 5 (1994); Pascanu, Mikolov and Bengio,
    arXiv 1211.5063 (2013); itemised by the step of the loss: Cashman et al., RNNbow, arXiv 1907.12545 (2017).

    Example:
        >>> from hiddenstate.lens.examples import decaying
        >>> made = gradient_through_time(decaying(0.5), [np.ones(30)], max_lag=10)
        >>> made.gain_per_step, made.reach
        (0.5, 6)
    """
    probe = open_probe(model)
    one = probe.layer(layer)
    sequences, max_lag = lags.long_enough(probe.read(data, seed=seed), max_lag)
    made = probe.run(sequences)
    loss = made.loss()
    steps = lags.anchors(made, one, loss.counted, max_lag, ANCHORS)
    values = np.zeros((len(sequences), max_lag + 1))
    for anchor in steps:
        seeds = loss.d_output if probe.spec.pooled else made.only_step(anchor, loss.d_output)
        d_state = np.concatenate(made.backward(seeds).d_steps[one.name], axis=-1)
        back = lags.looking_back(d_state, anchor, max_lag, reverse=one.reverse)
        values += np.linalg.norm(back.astype(np.float64), axis=-1).T / len(steps)
    both = bootstrap(values, of="gain_per_step", statistic=_gain_and_curve, seed=seed)
    gain, norm = _gain_and_curve(values)[0], values.mean(axis=0)
    reach = lags.reach_of(norm)
    return GradientThroughTime(
        interval=Interval(both.low[0], both.high[0], both.sequences, "gain_per_step"),
        convention=(
            f"s_t is the whole state of {one.name}; Euclidean norm of dL_t/ds_(t-k), mean over {len(steps)} "
            f"steps t of each of {len(sequences)} sequences, each from rest; L_t is {loss.words}"
        ),
        layer=one.name,
        lag=np.arange(max_lag + 1),
        norm=norm,
        norm_low=both.low[1:],
        norm_high=both.high[1:],
        gain_per_step=float(gain),
        fit=lags.fit_decay(norm).fit,
        reach=reach,
        censored=reach == max_lag,
    )


def _gain_and_curve(values: np.ndarray) -> np.ndarray:
    curve = mean_over_sequences(values)
    return np.concatenate([[lags.fit_decay(curve).gain], curve])
