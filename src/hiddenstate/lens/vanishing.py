"""Vanishing and exploding gradients made exact: gain per step, what bounds it, and the cells side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hiddenstate import cells
from hiddenstate.bundle import Bundle
from hiddenstate.cells import RNN
from hiddenstate.errors import OptionError
from hiddenstate.spec import Input, ModelSpec, Recurrent

from . import lags
from .contraction import comparison_matrix, largest_input
from .jacobian import STATE, StepJacobians, gain_and_curve, lag_gain, step_jacobians
from .probe import Probe
from .progress import Report, parts
from .result import Interval, Measurement, bootstrap, check_count

STARTS = ("uniform", "orthogonal")
"""How the weights of an untrained network are drawn."""


@dataclass(frozen=True, eq=False, kw_only=True)
class GainBound(Measurement):
    """See :func:`gain_bound`. One row for every layer.

    Attributes:
        layer: names of the layers.
        recurrent_sigma: largest singular value of ``weight_hh``, the largest of its gate blocks.
        steepest: steepest slope of tanh that any unit of a plain RNN has along the data, ``max 1 - h^2``; NaN
            for gated cells.
        bound: no step can stretch a difference by more: ``recurrent_sigma * steepest`` along this data for a
            plain RNN, the worst case over all states for a gated cell.
        gain_seen: mean over the data of the largest singular value of the Jacobian of the whole stack; the
            interval belongs to it.
        gain_per_step: factor per step over many steps, from the products of Jacobians; what decides.
        after_steps: steps of ``left``.
        left: share of a difference that is left after so many steps at that gain.
    """

    columns: ClassVar[tuple[str, ...]] = ("layer", "recurrent_sigma", "steepest", "bound")
    layer: tuple[str, ...]
    recurrent_sigma: np.ndarray
    steepest: np.ndarray
    bound: np.ndarray
    gain_seen: float
    gain_per_step: float
    after_steps: int
    left: float

    def sentence(self) -> str:
        """Whether gradients vanish or explode, and whether the weights alone had to make them."""
        fate = "vanish" if self.gain_per_step < 0.995 else "explode" if self.gain_per_step > 1.005 else "last"
        worst = float(self.bound.max())
        bound = f"the bound from the weights is {worst:.3g}" if np.isfinite(worst) else "nothing bounds it"
        forced = " The bound is below 1: with these weights they cannot do otherwise."
        return (
            f"Gradients {fate}: a factor of {self.gain_per_step:.3g} a step, so {self.left:.2g} of them "
            f"after {self.after_steps} steps. A single step stretches by at most {self.gain_seen:.3g} on "
            f"average ({self.interval}); {bound}.{forced if worst < 1 else ''}"
        )


def gain_bound(
    model: Any,
    data: Any,
    *,
    max_lag: int | None = None,
    after_steps: int = 8,
    seed: int = 0,
    progress: Report | None = None,
) -> GainBound:
    """The gain per step of a network, beside its bound from the recurrent matrix.

    For a plain RNN ``||J_t|| = ||diag(phi') W_hh|| <= max phi' * sigma_max(W_hh)``. For gated cells the bound
    is the 2-norm of the comparison matrix of ``contraction``. If every bound is below 1 gradients must
    vanish; above 1 they may do either, and ``gain_per_step`` says what they do.

    Args:
        model: what ``Probe`` takes, trained or not; it must not read from both ends.
        data: what ``Probe.read`` takes.
        max_lag: as in ``lag_gain``.
        after_steps: steps after which ``left`` is given. (0.25 per step, the steepest slope of a logistic
            unit, leaves 0.25^8 = 1.5e-5 after 8.)
        seed: of all draws.
        progress: called on the way.

    Raises:
        DataError: every sequence is shorter than the lag.
        OptionError: a bidirectional model, or a cell that nothing is known about.

    Source: Hochreiter (1991); Bengio, Simard and Frasconi (1994); Pascanu, Mikolov and Bengio, arXiv
    1211.5063.

    Example:
        >>> from hiddenstate.lens.examples import decaying
        >>> made = gain_bound(decaying(0.25), [np.ones(20)])
        >>> made.gain_per_step, made.bound.tolist(), made.left == 0.25**8
        (0.25, [0.25], True)
    """
    check_count(after_steps, 1, "after_steps")
    probe = Probe(model, dtype="float64")
    seen: StepJacobians = step_jacobians(probe, data, seed=seed, progress=progress)
    gain = lag_gain(probe, data, max_lag=max_lag, seed=seed, progress=progress).gain_per_step
    made = probe.run(probe.read(data, seed=seed))
    sigma, steepest, bound = (np.full(len(probe.layers), np.nan) for _ in range(3))
    for row, layer in enumerate(probe.layers):
        blocks = np.split(layer.scan.params["weight_hh"], len(layer.scan.cell.gates))
        sigma[row] = max(np.linalg.norm(block, 2) for block in blocks)
        if isinstance(layer.scan.cell, RNN):
            h = made.states(layer.name).h[made.valid]
            steep = 1 - h**2 if layer.scan.cell.nonlinearity == "tanh" else (h > 0).astype(float)
            steepest[row] = steep.max()
            bound[row] = sigma[row] * steepest[row]
        else:
            bound[row] = _norm(comparison_matrix(layer, largest_input(made, layer)))
    return GainBound(
        layer=tuple(layer.name for layer in probe.layers),
        recurrent_sigma=sigma,
        steepest=steepest,
        bound=bound,
        gain_seen=seen.mean_sigma_max,
        gain_per_step=gain,
        after_steps=after_steps,
        left=gain**after_steps,
        interval=Interval(seen.interval.low, seen.interval.high, seen.interval.sequences, "gain_seen"),
        convention=f"{STATE}; 2-norms; the bound holds for inputs no larger than those of the data",
    )


def _norm(matrix: np.ndarray) -> float:
    return float(np.linalg.norm(matrix, 2)) if np.isfinite(matrix).all() else float("inf")


def untrained(
    cell: str,
    *,
    hidden_size: int,
    input_size: int = 1,
    start: str = "uniform",
    radius: float | None = None,
    forget_bias: float | None = None,
    seed: int = 0,
    **options: Any,
) -> Bundle:
    """A network with first weights, as a bundle without a head.

    Args:
        cell: name of a cell.
        hidden_size: H.
        input_size: I.
        start: "uniform" in ``+-1/sqrt(H)``, torch's default, or "orthogonal" recurrent blocks, zero biases.
        radius: spectral radius that every recurrent block is scaled to; None: as drawn.
        forget_bias: what the two forget biases of an LSTM add up to; None: as drawn.
        seed: of the draw.
        **options: of the cell.

    Raises:
        OptionError: an unknown cell, option or start, or a forget bias for another cell than the LSTM.

    Example:
        >>> bundle = untrained("rnn", hidden_size=8, radius=0.9)
        >>> round(float(np.abs(np.linalg.eigvals(bundle.params["rnn.weight_hh_l0"])).max()), 4)
        0.9
    """
    if start not in STARTS:
        raise OptionError("unknown start", where="start", expected=STARTS, got=repr(start))
    made = cells.get(cell, **options)
    if forget_bias is not None and "f" not in made.gates:
        raise OptionError("this cell has no forget gate", where="forget_bias", got=cell)
    block = Recurrent("rnn", "x", cell, hidden_size, options=options)
    spec = ModelSpec((Input("x", size=input_size),), (block,))
    rng = np.random.default_rng(seed)
    shapes = spec.param_shapes()
    params = {name: _drawn(name, shape, hidden_size, start, rng) for name, shape in shapes.items()}
    if radius is not None:
        blocks = np.split(params["rnn.weight_hh_l0"], len(made.gates))
        scaled = [block * (radius / np.abs(np.linalg.eigvals(block)).max()) for block in blocks]
        params["rnn.weight_hh_l0"] = np.concatenate(scaled)
    if forget_bias is not None:
        own = slice(made.gates.index("f") * hidden_size, (made.gates.index("f") + 1) * hidden_size)
        params["rnn.bias_ih_l0"][own], params["rnn.bias_hh_l0"][own] = forget_bias, 0
    return Bundle(spec, {name: value.astype(np.float32) for name, value in params.items()})


def _drawn(
    name: str, shape: tuple[int, ...], hidden: int, start: str, rng: np.random.Generator
) -> np.ndarray:
    bound = 1 / np.sqrt(hidden)
    if start == "uniform" or "weight_ih" in name:
        return rng.uniform(-bound, bound, shape)
    if "bias" in name:
        return np.zeros(shape)
    blocks = rng.normal(size=(shape[0] // hidden, hidden, hidden))
    turned, upper = np.linalg.qr(blocks)
    signs = np.sign(np.diagonal(upper, axis1=-2, axis2=-1))[:, None, :]
    return (turned * signs).reshape(shape)


@dataclass(frozen=True, eq=False, kw_only=True)
class GainComparison(Measurement):
    """See :func:`compare_gains`.

    Attributes:
        name: what is compared, N of them.
        lag: 0 to K.
        sigma_max: largest singular value of ``ds_T/ds_{T-k}``, geometric mean over networks and sequences,
            ``[N, K + 1]``.
        sigma_low: lower bound of its interval.
        sigma_high: upper bound.
        gain_per_step: fitted factor per step, ``[N]``; the interval is of this.
        half_life: steps in which a difference halves; infinite where it does not fade.
        networks: number of networks of each name (seeds).
        reference: ``0.25^k``, a chain of logistic units at their steepest, ``[K + 1]``.
    """

    columns: ClassVar[tuple[str, ...]] = ("name", "gain_per_step", "half_life", "networks")
    name: tuple[str, ...]
    lag: np.ndarray
    sigma_max: np.ndarray
    sigma_low: np.ndarray
    sigma_high: np.ndarray
    gain_per_step: np.ndarray
    half_life: np.ndarray
    networks: np.ndarray
    reference: np.ndarray

    def sentence(self) -> str:
        """The gains side by side."""
        each = []
        for row, name in enumerate(self.name):
            low, high = self.interval.low[row], self.interval.high[row]
            spread = f" ({low:.3g} to {high:.3g})" if np.isfinite(low) else ""
            each.append(f"{name} {self.gain_per_step[row]:.3g}{spread}")
        return (
            f"Per step a difference between states is multiplied by: {', '.join(each)}. Fitted over lags 1 "
            f"to {self.lag[-1]}; networks and data like these, nothing more."
        )


def compare_gains(
    models: Mapping[str, Sequence[Any]],
    data: Any,
    *,
    max_lag: int | None = None,
    seed: int = 0,
    progress: Report | None = None,
) -> GainComparison:
    """The loss-free gain by lag of several kinds of networks on the same data, for one plot.

    Args:
        models: by name, one or more networks (trained, or ``untrained`` with several seeds).
        data: what ``Probe.read`` of all of them takes.
        max_lag: as in ``lag_gain``.
        seed: of all draws.
        progress: called after each network.

    Raises:
        OptionError: no models, or a bidirectional one.
        DataError: every sequence is shorter than the lag.

    Source: as ``lag_gain``.

    Example:
        >>> kinds = {cell: [untrained(cell, hidden_size=8)] for cell in ("rnn", "lstm")}
        >>> made = compare_gains(kinds, [np.random.default_rng(0).normal(size=40)], max_lag=30)
        >>> bool((made.gain_per_step < 1).all())
        True
    """
    if not models or not all(models.values()):
        raise OptionError("nothing to compare", where="models", expected="one or more networks for each name")
    every = [(name, one) for name, several in models.items() for one in several]
    curves: dict[str, list[np.ndarray]] = {name: [] for name in models}
    for name, one in parts(every, what="gain of networks", report=progress):
        with np.errstate(divide="ignore"):
            curves[name].append(np.log(lag_gain(one, data, max_lag=max_lag, seed=seed).sigma_max))
    stacked = [np.stack(several) for several in curves.values()]
    found = [gain_and_curve(logs) for logs in stacked]
    both = [bootstrap(logs, of="gain_per_step", statistic=gain_and_curve, seed=seed) for logs in stacked]
    gain = np.array([one[0] for one in found])
    steps = np.arange(len(found[0]) - 1)
    return GainComparison(
        name=tuple(models),
        lag=steps,
        sigma_max=np.stack([one[1:] for one in found]),
        sigma_low=np.stack([one.low[1:] for one in both]),
        sigma_high=np.stack([one.high[1:] for one in both]),
        gain_per_step=gain,
        half_life=np.array([lags.half_life(value) for value in gain]),
        networks=np.array([len(several) for several in models.values()]),
        reference=0.25 ** steps.astype(float),
        interval=Interval(
            np.array([one.low[0] for one in both]),
            np.array([one.high[0] for one in both]),
            min(len(several) for several in models.values()),
            "gain_per_step",
        ),
        convention=(
            f"{STATE}; 2-norm of ds_T/ds_{{T-k}} at the end of each sequence, each from rest; geometric "
            "means; intervals over networks (seeds), not sequences"
        ),
    )
