"""How one step, and many steps in a row, stretch or shrink a difference between two states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from . import lags
from .progress import Report, parts
from .result import Interval, Measurement, bootstrap, check_count
from .system import System, inputs_at

STATE = "s_t is h_t, for an LSTM [h_t; c_t], of all layers joined"
"""The convention of everything that looks at the whole stack."""

POINTS = 64
"""Steps looked at unless asked otherwise: singular values of an S x S matrix cost S^3 each."""


SEQUENCES = 16
"""Most sequences that products of Jacobians are made along."""


@dataclass(frozen=True, eq=False, kw_only=True)
class StepJacobians(Measurement):
    """The Jacobian ``J_t = ds_t/ds_{t-1}`` along real data.

    Attributes:
        sequence: which sequence each looked-at step belongs to, ``[N]``.
        step: its number in the sequence.
        spectral_radius: largest absolute eigenvalue of ``J_t``.
        sigma_max: largest singular value: the most that a small difference between states grows in the step.
        condition: largest over smallest singular value; infinite when a direction is lost altogether.
        mean_sigma_max: mean of ``sigma_max`` over steps, then sequences; the interval belongs to it.
        mean_spectral_radius: mean of ``spectral_radius`` alike.
        recurrent_radius: spectral radius of each block of ``weight_hh``, by layer and gate, for reference.
        size: S, values in the state.
    """

    columns: ClassVar[tuple[str, ...]] = ("sequence", "step", "spectral_radius", "sigma_max", "condition")
    sequence: np.ndarray
    step: np.ndarray
    spectral_radius: np.ndarray
    sigma_max: np.ndarray
    condition: np.ndarray
    mean_sigma_max: float
    mean_spectral_radius: float
    recurrent_radius: dict[str, float]
    size: int

    def sentence(self) -> str:
        """What one step does to a small difference."""
        return (
            f"One step multiplies a small difference between two states by up to {self.mean_sigma_max:.3g} "
            f"({self.interval}); its largest eigenvalue is {self.mean_spectral_radius:.3g} in size. Means "
            f"over {len(self.step)} steps of this data; other inputs may meet other Jacobians."
        )


def step_jacobians(
    model: Any, data: Any, *, points: int = POINTS, seed: int = 0, progress: Report | None = None
) -> StepJacobians:
    """Spectral radius, largest singular value and condition of the one-step Jacobian along real data.

    ``J_t = ds_t/ds_{t-1}`` of the whole stack (``s`` is h, for an LSTM [h; c], of all layers joined), exact,
    in float64, from the native backward pass over unit vectors.

    Args:
        model: what ``Probe`` takes; it must not read from both ends.
        data: what ``Probe.read`` takes.
        points: steps to look at, drawn at random from all steps.
        seed: of the draws and of the bootstrap.
        progress: called after each batch of steps.

    Raises:
        OptionError: a bidirectional model, or no points.
        DataError: data that the model cannot take.

    Source: Pascanu, Mikolov and Bengio, arXiv 1211.5063; Chen, Pennington and Schoenholz, arXiv 1806.05394.

    Example:
        >>> from hiddenstate.lens.examples import decaying
        >>> step_jacobians(decaying(0.5), [np.ones(9)]).mean_sigma_max
        0.5
    """
    check_count(points, 1, "points")
    system = System(model)
    sequences = system.probe.read(data, seed=seed)
    places = _places(sequences, points, seed)
    _, states = system.run(sequences)
    radius, sigma, condition = (np.empty(len(places)) for _ in range(3))
    starts = range(0, len(places), 8)
    for start in parts(starts, what="one-step Jacobians", report=progress):
        rows = slice(start, start + 8)
        chosen = places[rows]
        found = system.jacobians(states[chosen[:, 1], chosen[:, 0]], inputs_at(sequences, chosen))
        radius[rows] = np.abs(np.linalg.eigvals(found)).max(axis=-1)
        values = np.linalg.svd(found, compute_uv=False)
        sigma[rows] = values[:, 0]
        condition[rows] = _ratio(values[:, 0], values[:, -1])
    by_sequence = np.array(
        [[v[places[:, 0] == n].mean() for v in (sigma, radius)] for n in np.unique(places[:, 0])]
    )
    return StepJacobians(
        sequence=places[:, 0],
        step=places[:, 1],
        spectral_radius=radius,
        sigma_max=sigma,
        condition=condition,
        mean_sigma_max=float(by_sequence[:, 0].mean()),
        mean_spectral_radius=float(by_sequence[:, 1].mean()),
        recurrent_radius=_recurrent_radius(system),
        size=system.size,
        interval=bootstrap(by_sequence[:, 0], of="mean_sigma_max", seed=seed),
        convention=(
            f"{STATE}; J_t = ds_t/ds_{{t-1}} with the input held; 2-norm; mean over the drawn steps of each "
            "sequence, then over sequences"
        ),
    )


def _places(sequences: Sequence[Any], points: int, seed: int) -> np.ndarray:
    """Which steps to look at: ``[N, 2]`` of sequence and step, in order."""
    every = np.array([(row, step) for row, one in enumerate(sequences) for step in range(len(one))])
    if len(every) > points:
        every = every[np.sort(np.random.default_rng(seed).choice(len(every), points, replace=False))]
    return every


def _ratio(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    return np.divide(high, low, out=np.full(high.shape, np.inf), where=low > 0)


def _recurrent_radius(system: System) -> dict[str, float]:
    """Spectral radius of every square block of ``weight_hh``."""
    found = {}
    for layer in system.probe.layers:
        weight, gates = layer.scan.params["weight_hh"], layer.scan.cell.gates
        if weight.shape[0] == len(gates) * weight.shape[1]:
            for gate, block in zip(gates, np.split(weight, len(gates)), strict=True):
                found[f"{layer.name}.{gate}"] = float(np.abs(np.linalg.eigvals(block)).max())
    return found


@dataclass(frozen=True, eq=False, kw_only=True)
class LagGain(Measurement):
    """How much of a small difference between states is left after k steps, without any loss in it.

    Attributes:
        lag: k, 0 to K.
        sigma_max: largest singular value of ``ds_T/ds_{T-k}``, geometric mean over sequences.
        sigma_low: lower bound of its interval.
        sigma_high: upper bound.
        gain_per_step: ``10^slope`` of ``log10 sigma_max`` per lag from lag 1 on; the interval is of this.
    """

    columns: ClassVar[tuple[str, ...]] = ("lag", "sigma_max", "sigma_low", "sigma_high")
    lag: np.ndarray
    sigma_max: np.ndarray
    sigma_low: np.ndarray
    sigma_high: np.ndarray
    gain_per_step: float

    def sentence(self) -> str:
        """How fast a difference fades or grows."""
        gain = self.gain_per_step
        if not np.isfinite(gain):
            return "A difference between two states is gone within one step."
        fate = "neither fades nor grows"
        if abs(gain - 1) > 1e-3:
            fate = f"{'halves' if gain < 1 else 'doubles'} every {np.log(2) / abs(np.log(gain)):.3g} steps"
        return (
            f"Carried along the data, a small difference between two states is multiplied by {gain:.3g} a "
            f"step ({self.interval}) in its most lasting direction: it {fate}. A line through lags 1 to "
            f"{self.lag[-1]}; the curve itself need not be straight."
        )


def lag_gain(
    model: Any, data: Any, *, max_lag: int | None = None, seed: int = 0, progress: Report | None = None
) -> LagGain:
    """Largest singular value of the product of Jacobians by lag: gradient norm through time without a loss.

    ``ds_T/ds_{T-k} = J_T J_{T-1} ... J_{T-k+1}``, T the last step of each sequence; in float64, rescaled on
    the way, so that no lag underflows.

    Args:
        model: what ``Probe`` takes; it must not read from both ends.
        data: what ``Probe.read`` takes; sequences of no more than ``max_lag`` steps are left out.
        max_lag: largest k; None: what half of the sequences allow, at most 100.
        seed: of the sample of sequences and of the bootstrap.
        progress: called after each sequence.

    Raises:
        DataError: every sequence is shorter than the lag.
        OptionError: a bidirectional model, or not a lag.

    Source: Pascanu, Mikolov and Bengio, arXiv 1211.5063 (the product); Bengio, Simard and Frasconi,
    IEEE Transactions on Neural Networks 5 (1994).

    Example:
        >>> from hiddenstate.lens.examples import decaying
        >>> lag_gain(decaying(0.5), [np.ones(9)], max_lag=3).sigma_max.round(9).tolist()
        [1.0, 0.5, 0.25, 0.125]
    """
    system = System(model)
    found = system.probe.read(data, sequences=SEQUENCES, seed=seed)
    sequences, max_lag = lags.long_enough(found, max_lag)
    logs = np.empty((len(sequences), max_lag + 1))
    for row, one in enumerate(parts(sequences, what="gain by lag", report=progress)):
        for lag, (product, log_scale) in enumerate(system.products(one, max_lag)):
            # The largest entry is 1, so squaring loses nothing of the largest singular value.
            squared = np.linalg.eigvalsh(product @ product.T)[-1]
            logs[row, lag] = 0.5 * np.log(squared) + log_scale if squared > 0 else -np.inf
    both = bootstrap(logs, of="gain_per_step", statistic=gain_and_curve, seed=seed)
    curve = gain_and_curve(logs)
    return LagGain(
        lag=np.arange(max_lag + 1),
        sigma_max=curve[1:],
        sigma_low=both.low[1:],
        sigma_high=both.high[1:],
        gain_per_step=float(curve[0]),
        interval=Interval(both.low[0], both.high[0], both.sequences, "gain_per_step"),
        convention=(
            f"{STATE}; 2-norm of ds_T/ds_{{T-k}} at the last step T of each sequence, each from rest; "
            f"geometric mean over {len(sequences)} sequences"
        ),
    )


def gain_and_curve(logs: np.ndarray) -> np.ndarray:
    """The fitted gain per step, and the geometric mean of every lag."""
    curve = np.exp(logs.mean(axis=0))
    return np.concatenate([[lags.fit_decay(curve).gain], curve])
