"""Units of the state: growing without bound, dead, or saying the same as others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hiddenstate.errors import DataError

from .probe import open_probe
from .recorded import Pass
from .result import Measurement, StepMeans, bootstrap, check_count, mean_over_sequences

DEAD = 0.025
"""A unit whose score is at most this counts as dead."""

RESAMPLES = 200
"""Bootstrap samples of a covariance matrix."""

ENOUGH = 0.95
"""Share of the variance that the counted components hold."""


@dataclass(frozen=True, eq=False, kw_only=True)
class NormDrift(Measurement):
    """S1; see :func:`norm_drift`.

    Attributes:
        layer: name of the layer.
        step: 0 to T - 1.
        h: mean ``||h_t||`` at each step, ``[T]``.
        c: mean ``||c_t||`` of an LSTM, ``[T]``; NaN for other cells.
        beyond: first step that the slopes are fitted to.
        slope_h: change of ``||h_t||`` per step from there on; the interval is of this, or of ``slope_c``
            for an LSTM, whose c has no bounds.
        slope_c: change of ``||c_t||`` per step; NaN for other cells.
        jumps: mean ``(||h_t|| - ||h_(t-1)||)^2``.
    """

    columns: ClassVar[tuple[str, ...]] = ("step", "h", "c")
    layer: str
    step: np.ndarray
    h: np.ndarray
    c: np.ndarray
    beyond: int
    slope_h: float
    slope_c: float
    jumps: float

    def sentence(self) -> str:
        """Whether the state settles."""
        name, slope, level = "h", self.slope_h, float(np.nanmean(self.h[self.beyond :]))
        if self.interval.of == "slope_c":
            name, slope, level = "c", self.slope_c, float(np.nanmean(self.c[self.beyond :]))
        settled = abs(100 * slope) <= 0.05 * level  # less than 5 % in 100 steps
        moves = "keeps its size" if settled else "grows" if slope > 0 else "shrinks"
        return (
            f"The norm of {name} in {self.layer} {moves} after step {self.beyond}: {slope:+.3g} per step at "
            f"a level of {level:.3g} ({self.interval}). A state that drifts beyond the lengths seen in "
            "training meets its readers with values they never saw."
        )


def norm_drift(
    model: Any, data: Any, *, beyond: int = 0, layer: str | None = None, seed: int = 0
) -> NormDrift:
    """Whether the size of the state drifts as a sequence goes on, beyond the length of training (S1).

    Args:
        model: an estimator, ``runtime.Model``, bundle, path or ``Probe``.
        data: what ``Probe.read`` takes; sequences are not cut.
        beyond: first step that counts for the slopes, at least 0: the length of training sequences.
        layer: name of a layer; None: the last one that reads forwards.
        seed: of the sample of sequences and of the bootstrap.

    Raises:
        DataError: no sequence goes two steps beyond.
        OptionError: no such layer.

    Source: Krueger and Memisevic, Regularizing RNNs by stabilizing activations, arXiv 1511.08400 (2015),
    whose penalty ``jumps`` is.

    Example:
        >>> from hiddenstate.lens.examples import counter
        >>> round(norm_drift(counter(), [np.ones((50, 1))], beyond=10).slope_c, 4)    # tanh(0.01) per step
        0.01
    """
    check_count(beyond, 0, "beyond")
    probe = open_probe(model)
    one = probe.layer(layer)
    sequences = [found for found in probe.read(data, steps=None, seed=seed) if len(found) >= beyond + 2]
    if not sequences:
        expected, fix = f"at least {beyond + 2} steps", "Give longer sequences"
        raise DataError("no sequence goes beyond", where=f"beyond={beyond}", expected=expected, fix=fix)
    made = probe.run(sequences)
    state = made.states(one.name)
    h = _norms(state.h, made)
    c = _norms(state.c, made) if hasattr(state, "c") else np.full_like(h, np.nan)
    slopes_h, slopes_c = (np.array([_slope(row, beyond) for row in norms.T]) for norms in (h, c))
    of, slopes = ("slope_c", slopes_c) if hasattr(state, "c") else ("slope_h", slopes_h)
    return NormDrift(
        interval=bootstrap(slopes, of=of, seed=seed),
        convention=(
            f"Euclidean norms; least-squares slope from step {beyond} on, mean over {len(sequences)} whole "
            "sequences, each from rest"
        ),
        layer=one.name,
        step=np.arange(len(h)),
        h=mean_over_sequences(h.T),
        c=mean_over_sequences(c.T),
        beyond=beyond,
        slope_h=float(slopes_h.mean()),
        slope_c=float(slopes_c.mean()),
        jumps=float(np.nanmean(np.diff(h, axis=0) ** 2)),
    )


def _norms(state: np.ndarray, made: Pass) -> np.ndarray:
    """``[T, B]``, NaN at padded steps."""
    return np.where(made.valid, np.linalg.norm(state.astype(np.float64), axis=-1), np.nan)


def _slope(norms: np.ndarray, beyond: int) -> float:
    """Of one sequence, NaN at its padded steps."""
    known = norms[beyond:][~np.isnan(norms[beyond:])]
    return float(np.polyfit(np.arange(len(known)), known, 1)[0]) if len(known) else float("nan")


@dataclass(frozen=True, eq=False, kw_only=True)
class DeadUnits(Measurement):
    """S2; see :func:`dead_units`.

    Attributes:
        layer: name of the layer.
        unit: 0 to R - 1.
        score: ``E|h_i - E h_i|`` of each unit over the mean of all units, ``[R]``.
        threshold: scores up to this are dead.
        dead: numbers of the dead units.
        share: of all units; the interval is of this.
    """

    columns: ClassVar[tuple[str, ...]] = ("unit", "score")
    layer: str
    unit: np.ndarray
    score: np.ndarray
    threshold: float
    dead: np.ndarray
    share: float

    def sentence(self) -> str:
        """How many units do nothing."""
        return (
            f"Of {len(self.unit)} units of {self.layer} {len(self.dead)} are dead: they move less than "
            f"{self.threshold:g} of what the average unit does ({self.share:.0%}; {self.interval:.0%}). On "
            "other data they may wake up."
        )


def dead_units(
    model: Any, data: Any, *, threshold: float = DEAD, layer: str | None = None, seed: int = 0
) -> DeadUnits:
    """Units that hardly move: ``E|h_i - E h_i|`` at most ``threshold`` of the mean over units (S2).

    The mean is taken out first, so that a unit stuck at 1 counts as dead (the original scores ``E|h_i|``).

    Args:
        model: an estimator, ``runtime.Model``, bundle, path or ``Probe``.
        data: what ``Probe.read`` takes.
        threshold: greatest score of a dead unit.
        layer: name of a layer; None: the last one that reads forwards.
        seed: of the sample of sequences and of the bootstrap.

    Raises:
        OptionError: no such layer.
        DataError: data that cannot be used.

    Source: Sokar et al., The dormant neuron phenomenon, arXiv 2302.12902 (2023), adapted as said above.

    Example:
        >>> from hiddenstate.lens.examples import linear
        >>> model = linear(np.zeros((2, 2)), np.array([[1.0], [0.0]]), np.ones((1, 2)))
        >>> dead_units(model, [np.arange(9.0)]).dead.tolist()
        [1]
    """
    probe = open_probe(model)
    one = probe.layer(layer)
    made = probe.run(probe.read(data, seed=seed))
    h = made.states(one.name).h.astype(np.float64)
    moves = StepMeans.of(np.abs(h - StepMeans.of(h, made.valid).mean()), made.valid)
    score = _score(moves.mean())
    return DeadUnits(
        interval=moves.interval(
            of="share", figure=lambda mean: np.mean(_score(mean) <= threshold), seed=seed
        ),
        convention=f"h_t of {one.name}; E over all steps of {len(made.lengths)} sequences, each from rest",
        layer=one.name,
        unit=np.arange(h.shape[-1]),
        score=score,
        threshold=threshold,
        dead=np.flatnonzero(score <= threshold),
        share=float(np.mean(score <= threshold)),
    )


def _score(moves: np.ndarray) -> np.ndarray:
    """Relative to the average unit; zeros where none moves."""
    average = moves.mean()
    return moves / average if average else np.zeros_like(moves)


@dataclass(frozen=True, eq=False, kw_only=True)
class UsedDimension(Measurement):
    """S3; see :func:`used_dimension`.

    Attributes:
        layer: name of the layer.
        component: 1 to R.
        variance: share of the variance along each principal axis, falling, ``[R]``.
        dimension: participation ratio; the interval is of this.
        components: axes that hold 95 % of the variance.
        units: R.
    """

    columns: ClassVar[tuple[str, ...]] = ("component", "variance")
    layer: str
    component: np.ndarray
    variance: np.ndarray
    dimension: float
    components: int
    units: int

    def sentence(self) -> str:
        """How much room the state takes."""
        return (
            f"The state of {self.layer} moves in about {self.dimension:.3g} of {self.units} dimensions "
            f"({self.interval}); {self.components} hold {ENOUGH:.0%} of its variance. Small movements may "
            "matter all the same."
        )


def used_dimension(model: Any, data: Any, *, layer: str | None = None, seed: int = 0) -> UsedDimension:
    """Dimensions that the state uses: participation ratio of its covariance (S3).

    ``(sum of eigenvalues)^2 / (sum of their squares)``: n when n directions vary alike and the rest not.

    Args:
        model: an estimator, ``runtime.Model``, bundle, path or ``Probe``.
        data: what ``Probe.read`` takes.
        layer: name of a layer; None: the last one that reads forwards.
        seed: of the sample of sequences and of the bootstrap.

    Raises:
        OptionError: no such layer.
        DataError: the state does not move at all, or data that cannot be used.

    Source: Gao et al., A theory of multineuronal dimensionality, dynamics and measurement, bioRxiv 214262
    (2017).

    Example:
        >>> from hiddenstate.lens.examples import shift_register
        >>> x = [np.random.default_rng(0).random(2000)]
        >>> round(used_dimension(shift_register(4), x).dimension, 1)   # four independent numbers
        4.0
    """
    probe = open_probe(model)
    one = probe.layer(layer)
    made = probe.run(probe.read(data, seed=seed))
    h = made.states(one.name).h.astype(np.float64)
    moments = _Moments(h, made.valid)
    covariance = moments.covariance()
    if not np.trace(covariance) > 0:
        raise DataError("the state does not move", where=one.name, fix="Give more steps, or other data")
    shares = np.clip(np.linalg.eigvalsh(covariance)[::-1], 0, None)
    shares = shares / shares.sum()
    rows = np.arange(len(made.lengths))
    return UsedDimension(
        interval=bootstrap(
            rows,
            of="dimension",
            statistic=lambda some: _ratio(moments.covariance(some)),
            seed=seed,
            resamples=RESAMPLES,
        ),
        convention=f"covariance of h_t over all steps of {len(rows)} sequences, each from rest",
        layer=one.name,
        component=np.arange(1, len(shares) + 1),
        variance=shares,
        dimension=_ratio(covariance),
        components=int(np.searchsorted(np.cumsum(shares), ENOUGH - 1e-12) + 1),
        units=len(shares),
    )


class _Moments:
    """First and second moments of each sequence, from which the covariance of any selection follows."""

    def __init__(self, h: np.ndarray, valid: np.ndarray) -> None:
        # The mean of all is taken out first: differences of large numbers would lose digits.
        centred = np.where(valid[:, :, None], h - StepMeans.of(h, valid).mean(), 0)
        self._counts, self._sums = valid.sum(axis=0), centred.sum(axis=0)
        self._squares = np.einsum("tbi,tbj->bij", centred, centred, optimize=True)

    def covariance(self, rows: np.ndarray | None = None) -> np.ndarray:
        """``[R, R]``, over the steps of some sequences (None: all)."""
        times = np.ones(len(self._counts)) if rows is None else np.bincount(rows, minlength=len(self._counts))
        count = max(float(times @ self._counts), 1.0)
        mean = times @ self._sums / count
        return np.tensordot(times, self._squares, axes=1) / count - np.outer(mean, mean)


def _ratio(covariance: np.ndarray) -> float:
    """The participation ratio, without eigenvalues: traces of C and of C squared."""
    return float(np.trace(covariance) ** 2 / max((covariance**2).sum(), np.finfo(float).tiny))
