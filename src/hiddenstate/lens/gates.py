"""Gates and saturation: which units are stuck, and how long the keep-gate keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hiddenstate.errors import OptionError

from .probe import StackLayer, open_probe
from .result import Measurement, StepMeans, bootstrap

SHUT = 0.1
"""A gate below this counts as shut (saturated to the left)."""

OPEN = 0.9
"""A gate above this counts as open (saturated to the right)."""

FLAT = 0.05
"""A tanh whose slope ``1 - h^2`` is below this counts as saturated."""


@dataclass(frozen=True, eq=False, kw_only=True)
class GateSaturation(Measurement):
    """D1; see :func:`gate_saturation`.

    Attributes:
        layer: name of the layer.
        gate: names of the gates, G of them.
        shut: share of steps with the gate below 0.1, ``[G, H]`` by gate and unit.
        open: share of steps with the gate above 0.9, ``[G, H]``.
        openness: mean of the gate, ``[G, H]``.
        mean_openness: mean over units as well, ``[G]``; the interval is of this.
        mean_shut: ``[G]``.
        mean_open: ``[G]``.
    """

    columns: ClassVar[tuple[str, ...]] = ("gate", "mean_shut", "mean_open", "mean_openness")
    layer: str
    gate: tuple[str, ...]
    shut: np.ndarray
    open: np.ndarray
    openness: np.ndarray
    mean_openness: np.ndarray
    mean_shut: np.ndarray
    mean_open: np.ndarray

    def sentence(self) -> str:
        """How often each gate stands at its ends."""
        parts = [
            f"{gate} is shut {shut:.0%} and open {wide:.0%} of the time (mean {mean:.2f})"
            for gate, shut, wide, mean in zip(
                self.gate, self.mean_shut, self.mean_open, self.mean_openness, strict=True
            )
        ]
        return (
            f"Gates of {self.layer}: " + "; ".join(parts) + ". A gate at its end passes hardly any gradient "
            "to its own weights; 1 keeps the old state for f and z."
        )


def gate_saturation(model: Any, data: Any, *, layer: str | None = None, seed: int = 0) -> GateSaturation:
    """Share of steps at which each gate of each unit is shut (< 0.1) or open (> 0.9), and its mean (D1).

    Args:
        model: an estimator, ``runtime.Model``, bundle, path or ``Probe``.
        data: what ``Probe.read`` takes.
        layer: name of a layer; None: the last one that reads forwards.
        seed: of the sample of sequences and of the bootstrap.

    Raises:
        OptionError: a layer without gates, or no such layer.
        DataError: data that cannot be used.

    Source: Karpathy, Johnson and Fei-Fei, Visualizing and understanding recurrent networks, arXiv 1506.02078
    (2015), section 4.1 (left and right saturated).

    Example:
        >>> from hiddenstate.lens.examples import counter
        >>> made = gate_saturation(counter(), [np.ones((5, 1))])
        >>> made.gate, made.mean_open.tolist()
        (('i', 'f', 'o'), [1.0, 1.0, 1.0])
    """
    probe = open_probe(model)
    one = probe.layer(layer)
    one.require_gates()
    made = probe.run(probe.read(data, seed=seed))
    values = np.stack([made.gates(one.name)[gate] for gate in one.gates], axis=2)
    shut, wide, means = (StepMeans.of(part, made.valid) for part in (values < SHUT, values > OPEN, values))
    return GateSaturation(
        interval=means.interval(of="mean_openness", figure=lambda mean: mean.mean(axis=-1), seed=seed),
        convention=f"shares and means over all steps of {len(made.lengths)} sequences, each from rest",
        layer=one.name,
        gate=one.gates,
        shut=shut.mean(),
        open=wide.mean(),
        openness=means.mean(),
        mean_openness=means.mean().mean(axis=-1),
        mean_shut=shut.mean().mean(axis=-1),
        mean_open=wide.mean().mean(axis=-1),
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class StateSaturation(Measurement):
    """D2; see :func:`state_saturation`.

    Attributes:
        layer: name of the layer.
        unit: 0 to R - 1.
        saturated: share of steps at which each unit is saturated, ``[R]``.
        share: share of all units and steps; the interval is of this.
    """

    columns: ClassVar[tuple[str, ...]] = ("unit", "saturated")
    layer: str
    unit: np.ndarray
    saturated: np.ndarray
    share: float

    def sentence(self) -> str:
        """How much of the state stands at its ends."""
        always = int((self.saturated > 0.99).sum())
        return (
            f"Of the state of {self.layer} {self.share:.1%} is saturated (1 - h^2 < {FLAT}; "
            f"{self.interval:.1%}); {always} of {len(self.unit)} units nearly always. Where a unit is "
            "saturated hardly any gradient passes."
        )


def state_saturation(model: Any, data: Any, *, layer: str | None = None, seed: int = 0) -> StateSaturation:
    """Share of units and steps whose output is at the flat ends of tanh, ``1 - h^2 < 0.05`` (D2).

    Args:
        model: an estimator, ``runtime.Model``, bundle, path or ``Probe``.
        data: what ``Probe.read`` takes.
        layer: name of a layer; None: the last one that reads forwards.
        seed: of the sample of sequences and of the bootstrap.

    Raises:
        OptionError: a layer whose state is not bounded by 1 (relu, or a projection), or no such layer.
        DataError: data that cannot be used.

    Source: Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks,
    AISTATS (2010), section 3; for recurrent states here.

    Example:
        >>> from hiddenstate.lens.examples import counter
        >>> state_saturation(counter(), [np.ones((500, 1))]).share > 0.1    # tanh(c) once c > 2.2
        True
    """
    probe = open_probe(model)
    one = probe.layer(layer)
    if getattr(one.scan.cell, "nonlinearity", "tanh") == "relu" or one.block.proj_size:
        fix = "Saturation is about states between -1 and 1; look at norm_drift instead"
        raise OptionError("this state has no bounds", where=one.name, got=one.scan.cell, fix=fix)
    made = probe.run(probe.read(data, seed=seed))
    h = made.states(one.name).h
    flat = StepMeans.of(1 - h * h < FLAT, made.valid)
    return StateSaturation(
        interval=flat.interval(of="share", figure=np.mean, seed=seed),
        convention=(
            f"h_t of {one.name}; share over all steps of {len(made.lengths)} sequences, each from rest"
        ),
        layer=one.name,
        unit=np.arange(h.shape[-1]),
        saturated=flat.mean(),
        share=float(flat.mean().mean()),
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class GateTimeConstants(Measurement):
    """M1; see :func:`gate_time_constants`.

    Attributes:
        layer: name of the layer.
        gate: the keep-gate: f (LSTM) or z (GRU).
        unit: 0 to H - 1.
        steps: time constant of each unit in steps, ``[H]``; infinite where the gate never left 1.
        from_bias: what the bias alone would give, ``1 / ln(1 + exp(-b))``, ``[H]``.
        median: of ``steps``; the interval is of this.
    """

    columns: ClassVar[tuple[str, ...]] = ("unit", "steps", "from_bias")
    layer: str
    gate: str
    unit: np.ndarray
    steps: np.ndarray
    from_bias: np.ndarray
    median: float

    def sentence(self) -> str:
        """How long the units keep what they hold."""
        low, high = np.quantile(self.steps, [0.1, 0.9], method="nearest")
        return (
            f"Left to its {self.gate} gate, the median unit of {self.layer} keeps 37 % of its content for "
            f"{self.median:.3g} steps ({self.interval}; one unit in ten under {low:.3g}, one in ten over "
            f"{high:.3g}). What flows through the other paths is not counted: this is memory only where "
            "gradients decay exponentially."
        )


def gate_time_constants(
    model: Any, data: Any, *, layer: str | None = None, seed: int = 0
) -> GateTimeConstants:
    """Time constant of the keep-gate of each unit, in steps (M1).

    ``tau_i = -1 / E ln f_(t,i)``: in that many steps a product of gates falls to 1/e (geometric mean; for a
    GRU f is z, where 1 keeps).

    Args:
        model: an estimator, ``runtime.Model``, bundle, path or ``Probe``.
        data: what ``Probe.read`` takes.
        layer: name of a layer; None: the last one that reads forwards.
        seed: of the sample of sequences and of the bootstrap.

    Raises:
        OptionError: a layer without gates, or no such layer.
        DataError: data that cannot be used.

    Source: Tallec and Ollivier, Can recurrent neural networks warp time?, arXiv 1804.11188 (2018); Mahto et
    al., arXiv 2009.12727 (2020); the caveat: arXiv 2111.03282 (2021).

    Example:
        >>> from hiddenstate.lens.examples import counter
        >>> made = gate_time_constants(counter(keep=0.9), [np.ones((5, 1))])
        >>> round(made.median, 3), round(float(-1 / np.log(0.9)), 3)
        (9.491, 9.491)
    """
    probe = open_probe(model)
    one = probe.layer(layer)
    one.require_gates()
    gate = str(one.keep_gate)
    made = probe.run(probe.read(data, seed=seed))
    kept = made.gates(one.name)[gate].astype(np.float64)
    smallest = np.finfo(np.float32).tiny
    logs = StepMeans.of(np.log(np.maximum(kept, smallest)), made.valid)
    rows = np.arange(len(made.lengths))
    return GateTimeConstants(
        interval=bootstrap(
            rows, of="median", statistic=lambda some: np.median(_constants(logs.mean(some))), seed=seed
        ),
        convention=(
            f"geometric mean of {gate} over all steps of {len(rows)} sequences, each from rest; "
            "median over units"
        ),
        layer=one.name,
        gate=gate,
        unit=np.arange(kept.shape[-1]),
        steps=_constants(logs.mean()),
        from_bias=_from_bias(one, gate),
        median=float(np.median(_constants(logs.mean()))),
    )


def _constants(logs: np.ndarray) -> np.ndarray:
    """``-1 / E ln f``; infinite where f was always 1."""
    return np.divide(-1.0, logs, out=np.full(logs.shape, np.inf), where=logs < 0)


def _from_bias(one: StackLayer, gate: str) -> np.ndarray:
    """Time constants with the gate at its bias: ``ln sigmoid(b) = -ln(1 + exp(-b))``."""
    cell, params = one.scan.cell, one.scan.params
    place, hidden = cell.gates.index(gate), one.scan.sizes.hidden_size
    bias = np.zeros(hidden)
    for name in ("bias_ih", "bias_hh"):
        if name in params:
            bias = bias + params[name].astype(np.float64)[place * hidden : (place + 1) * hidden]
    return _constants(-np.logaddexp(0.0, -bias))
