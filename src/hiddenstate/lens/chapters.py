"""What the sections of a report measure, and the figures they show it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hiddenstate.errors import DataError, OptionError
from hiddenstate.runtime import Model

from . import encoding, figures
from .attribution import faithfulness, integrated_gradients
from .capacity import memory_capacity
from .context import effective_context
from .dynamics import lyapunov_spectrum
from .encoding import Encoded
from .figures import Picture
from .gates import gate_saturation, gate_time_constants, state_saturation
from .gradients import gradient_through_time
from .jacobian import lag_gain, step_jacobians
from .memory import input_reach
from .probe import Probe
from .progress import Report as Advances
from .result import Measurement
from .trace import trace
from .trajectory import trajectory
from .truncation import truncation_bias
from .units import dead_units, norm_drift, used_dimension


@dataclass(frozen=True, eq=False)
class Setting:
    """What the measurements of a report are made on.

    Attributes:
        probe: the model.
        sequences: sample of the data.
        example: the sequence that is shown step by step.
        layer: name of the layer that is looked at.
        seed: of everything drawn at random.
        progress: to be called by long measurements.
    """

    probe: Probe
    sequences: list[Encoded]
    example: Encoded
    layer: str
    seed: int = 0
    progress: Advances | None = None

    @property
    def on_layer(self) -> dict[str, Any]:
        """Arguments of measurements that look at one layer."""
        return {"layer": self.layer, "seed": self.seed}


@dataclass(frozen=True, eq=False)
class Found:
    """What a section found: sentences for the reader, measurements, figures."""

    sentences: tuple[str, ...]
    measurements: tuple[Measurement, ...] = ()
    pictures: tuple[Picture, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, *measurements: Measurement, pictures: tuple[Picture, ...]) -> Found:
        """With the sentences of the measurements themselves."""
        return cls(tuple(one.sentence() for one in measurements), measurements, pictures)


def states(given: Setting) -> Found:
    """The state of the example, step by step."""
    made = given.probe.run([given.example])
    values = {name: v[:, 0] for name, v in made.states(given.layer)._asdict().items()}
    change = np.linalg.norm(np.diff(values["h"], axis=0), axis=-1)
    labels = given.example.labels
    text = f"Shown: {given.example.name}, {len(labels)} steps, from rest. "
    if len(change):
        most = int(np.argmax(change)) + 1
        text += (
            f"The state of {given.layer} changes most at step {most} ({labels[most]!r}): by "
            f"{change.max():.3g}, where {np.median(change):.3g} is usual. One sequence; others may differ."
        )
    return Found((text,), pictures=(figures.states(given.layer, labels, values, text),))


def gates(given: Setting) -> Found:
    """The gates of the example, and how often they are shut or open over all data."""
    found = gate_saturation(given.probe, given.sequences, **given.on_layer)
    made = given.probe.run([given.example])
    values = {name: value[:, 0] for name, value in made.gates(given.layer).items()}
    shown = figures.gates(given.layer, given.example.labels, values, found.sentence())
    return Found.of(found, pictures=(shown, figures.gate_saturation(found)))


def gradient(given: Setting) -> Found:
    """Gradient norm against lag."""
    found = gradient_through_time(given.probe, given.sequences, **given.on_layer)
    return Found.of(found, pictures=(figures.gradient(found),))


def memory_length(given: Setting) -> Found:
    """Sensitivity to inputs against lag."""
    found = input_reach(given.probe, given.sequences, seed=given.seed)
    return Found.of(found, pictures=(figures.input_reach(found),))


def context(given: Setting) -> Found:
    """Excess when far inputs are taken away."""
    found = effective_context(given.probe, given.sequences, seed=given.seed)
    return Found.of(found, pictures=(figures.effective_context(found),))


def time_constants(given: Setting) -> Found:
    """Time constants of the keep-gate."""
    found = gate_time_constants(given.probe, given.sequences, **given.on_layer)
    return Found.of(found, pictures=(figures.time_constants(found),))


def units(given: Setting) -> Found:
    """Dead and saturated units, and the dimensions used."""
    dead = dead_units(given.probe, given.sequences, **given.on_layer)
    used = used_dimension(given.probe, given.sequences, **given.on_layer)
    layer = given.probe.layer(given.layer)
    bounded = getattr(layer.scan.cell, "nonlinearity", "tanh") == "tanh" and not layer.block.proj_size
    flat = state_saturation(given.probe, given.sequences, **given.on_layer) if bounded else None
    variance = figures.lines(
        "used-dimension",
        "How many dimensions the state moves in",
        used,
        x="component",
        ys={"variance": "share of the variance"},
        x_label="principal axis",
        y_label="share of the variance",
    )
    found = [one for one in (dead, flat, used) if one is not None]
    return Found.of(*found, pictures=(figures.units(dead, flat), variance))


def path(given: Setting) -> Found:
    """The path of the example beside those of some other sequences."""
    others = [one for one in given.sequences if one.name != given.example.name][:15]
    found = trajectory(given.probe, [given.example, *others], components=2, **given.on_layer)
    return Found.of(found, pictures=(figures.trajectory(found),))


def answer(given: Setting) -> Found:
    """What a classifier or a language model thinks at every step of the example."""
    seen = trace(given.probe, given.example)
    if seen.probability is None or seen.probabilities is None:
        raise OptionError("this model gives no probabilities", expected="a classifier or a language model")
    if seen.carried is None:
        values = np.nan_to_num(seen.probability)
        title, unit, signs = "How well each symbol was foreseen", "probability", None
        text = (
            f"On average the symbol that came had a probability of {np.nanmean(seen.probability):.0%}. "
            f"One sequence, {len(values)} steps."
        )
    else:
        values, said = seen.carried, seen.answers[int(np.argmax(seen.probabilities[-1]))]
        title, unit = f"How each step moved the answer towards {said!r}", "change of the log odds"
        signs = ("towards it", "away from it")
        text = (
            f"After {len(values)} steps the answer is {said!r} ({seen.probability[-1]:.0%}), moved there "
            f"most by {', '.join(map(repr, seen.strongest()))}. A step is judged when it is read; what comes "
            "later may change what it was worth."
        )
    shown = figures.per_step("answer", title, text, seen.steps, values, unit, signs=signs)
    return Found((text,), pictures=(shown,))


def drift(given: Setting) -> Found:
    """Size of the state over the steps."""
    found = norm_drift(given.probe, given.sequences, **given.on_layer)
    return Found.of(found, pictures=(figures.norm_drift(found),))


def attribution(given: Setting) -> Found:
    """Integrated gradients of the example, with the check, and the check over the data."""
    options = {"target": _explained(given.probe), "seed": given.seed}
    found = integrated_gradients(given.probe, given.example, **options)
    over = faithfulness(given.probe, given.sequences, sequences=8, progress=given.progress, **options)
    what = f"the answer {found.target!r}" if options["target"] is None else "the forecast of the next step"
    shown = figures.per_step(
        "attribution",
        f"What each step adds to {what}",
        found.sentence(),
        found.label,
        found.value,
        "contribution",
        signs=("speaks for it", "speaks against it"),
    )
    return Found.of(found, over, pictures=(shown, figures.faithfulness(found, over)))


def _explained(probe: Probe) -> int | None:
    """The output to explain: of a forecaster the point forecast of the next step; None: the largest."""
    if isinstance(probe.model, Model) or probe.model.task != "forecast":
        return None
    return encoding.point_output(probe.model)


def jacobians(given: Setting) -> Found:
    """One-step Jacobians along the data."""
    found = step_jacobians(given.probe, given.sequences, points=32, seed=given.seed, progress=given.progress)
    return Found.of(found, pictures=(figures.jacobians(found),))


def lasting(given: Setting) -> Found:
    """Products of Jacobians against lag."""
    found = lag_gain(given.probe, given.sequences[:8], seed=given.seed, progress=given.progress)
    shown = figures.lines(
        "lag-gain",
        "How long a difference between two states lasts",
        found,
        x="lag",
        ys={"sigma_max": "in its most lasting direction"},
        band=("sigma_low", "sigma_high"),
        x_label="lag k in steps",
        y_label="what is left of a difference",
        log=True,
    )
    return Found.of(found, pictures=(shown,))


def capacity(given: Setting) -> Found:
    """Linear memory capacity."""
    found = memory_capacity(given.probe, given.sequences, **given.on_layer)
    shown = figures.lines(
        "memory-capacity",
        "How much of each past input can be read out of the state",
        found,
        x="lag",
        ys={"recovered": "recovered, above chance", "baseline": "by chance"},
        band=("recovered_low", "recovered_high"),
        x_label="lag k: steps ago",
        y_label="share of the variance",
    )
    return Found.of(found, pictures=(shown,))


def truncation(given: Setting) -> Found:
    """Bias of truncated gradients."""
    found = truncation_bias(given.probe, given.sequences, seed=given.seed)
    shown = figures.lines(
        "truncation",
        "What truncated backpropagation would leave out",
        found,
        x="window",
        ys={"error": "relative error of the gradient", "cosine": "cosine with the full gradient"},
        x_label="window in steps",
        y_label="error, cosine",
    )
    return Found.of(found, pictures=(shown,))


def lyapunov(given: Setting) -> Found:
    """Lyapunov exponents."""
    found = lyapunov_spectrum(given.probe, given.sequences, seed=given.seed, progress=given.progress)
    shown = figures.lines(
        "lyapunov",
        "Growth of differences, direction by direction",
        found,
        x="index",
        ys={"exponent": "mean over sequences"},
        x_label="direction, fastest growing first",
        y_label="Lyapunov exponent per step",
    )
    return Found.of(found, pictures=(shown,))


def training(given: Setting) -> Found:
    """From the card: clipping, epoch by epoch (the report that counts each update is ``clip_statistics``)."""
    model = given.probe.model
    history = [] if isinstance(model, Model) else model.card.get("training", {}).get("history", [])
    if not history:
        raise DataError("the model file says nothing about its training", fix="Save an estimator after fit")
    clipped = float(np.mean([record["clipped"] for record in history]))
    norm = float(np.mean([record["gradient_norm"] for record in history]))
    text = (
        f"Over {len(history)} epochs {clipped:.0%} of the updates were clipped; the gradient was {norm:.3g} "
        "long on average. Means over epochs: single updates may differ a lot."
    )
    return Found((text,), pictures=(figures.training(history, text),), extra={"history": history})
