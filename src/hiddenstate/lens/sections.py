"""The parts of a report: what each measures, how long it takes, and the figures it is shown in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hiddenstate.errors import DataError
from hiddenstate.runtime import Model

from . import (
    attribution,
    capacity,
    dynamics,
    encoding,
    figures,
    gates,
    gradients,
    jacobian,
    memory,
    truncation,
    units,
)
from .encoding import Encoded
from .figures import Picture
from .probe import Probe
from .progress import Report as Advances
from .result import Measurement

EFFORTS = ("quick", "normal", "full")
"""How much of a report is made; each holds the ones before it."""


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


@dataclass(frozen=True)
class Section:
    """One part of a report.

    Attributes:
        name: short name, an anchor on the page and a key in JSON.
        title: the question it answers.
        intro: how to read its figures.
        measure: makes it.
        passes: how many forward and backward passes over the sample it takes, about.
        effort: from which effort on it is made.
        headline: whether its first sentence stands at the top of the page.
    """

    name: str
    title: str
    intro: str
    measure: Callable[[Setting], Found]
    passes: float
    effort: str = "quick"
    headline: bool = False


def _states(given: Setting) -> Found:
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


def _gates(given: Setting) -> Found:
    found = gates.gate_saturation(given.probe, given.sequences, **given.on_layer)
    made = given.probe.run([given.example])
    values = {name: value[:, 0] for name, value in made.gates(given.layer).items()}
    shown = figures.gates(given.layer, given.example.labels, values, found.sentence())
    return Found.of(found, pictures=(shown, figures.gate_saturation(found)))


def _gradient(given: Setting) -> Found:
    found = gradients.gradient_through_time(given.probe, given.sequences, **given.on_layer)
    return Found.of(found, pictures=(figures.gradient(found),))


def _input_reach(given: Setting) -> Found:
    found = memory.input_reach(given.probe, given.sequences, seed=given.seed)
    return Found.of(found, pictures=(figures.input_reach(found),))


def _context(given: Setting) -> Found:
    found = memory.effective_context(given.probe, given.sequences, seed=given.seed)
    return Found.of(found, pictures=(figures.effective_context(found),))


def _time_constants(given: Setting) -> Found:
    found = gates.gate_time_constants(given.probe, given.sequences, **given.on_layer)
    return Found.of(found, pictures=(figures.time_constants(found),))


def _units(given: Setting) -> Found:
    dead = units.dead_units(given.probe, given.sequences, **given.on_layer)
    used = units.used_dimension(given.probe, given.sequences, **given.on_layer)
    layer = given.probe.layer(given.layer)
    bounded = getattr(layer.scan.cell, "nonlinearity", "tanh") == "tanh" and not layer.block.proj_size
    flat = gates.state_saturation(given.probe, given.sequences, **given.on_layer) if bounded else None
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


def _drift(given: Setting) -> Found:
    found = units.norm_drift(given.probe, given.sequences, **given.on_layer)
    return Found.of(found, pictures=(figures.norm_drift(found),))


def _attribution(given: Setting) -> Found:
    """Integrated gradients of the example, with the check, and the check over the data."""
    options = {"target": _explained(given.probe), "seed": given.seed}
    found = attribution.integrated_gradients(given.probe, given.example, **options)
    over = attribution.faithfulness(
        given.probe, given.sequences, sequences=8, progress=given.progress, **options
    )
    what = f"the answer {found.target!r}" if options["target"] is None else "the forecast of the next step"
    shown = figures.per_step(
        "attribution",
        f"What each step adds to {what}",
        found.sentence(),
        found.label,
        found.value,
        "contribution",
    )
    return Found.of(found, over, pictures=(shown, figures.faithfulness(found, over)))


def _explained(probe: Probe) -> int | None:
    """The output to explain: of a forecaster the point forecast of the next step; None: the largest."""
    if isinstance(probe.model, Model) or probe.model.task != "forecast":
        return None
    return encoding.point_output(probe.model)


def _jacobians(given: Setting) -> Found:
    found = jacobian.step_jacobians(
        given.probe, given.sequences, points=32, seed=given.seed, progress=given.progress
    )
    return Found.of(found, pictures=(figures.jacobians(found),))


def _lag_gain(given: Setting) -> Found:
    found = jacobian.lag_gain(given.probe, given.sequences[:8], seed=given.seed, progress=given.progress)
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


def _capacity(given: Setting) -> Found:
    found = capacity.memory_capacity(given.probe, given.sequences, **given.on_layer)
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


def _truncation(given: Setting) -> Found:
    found = truncation.truncation_bias(given.probe, given.sequences, seed=given.seed)
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


def _lyapunov(given: Setting) -> Found:
    found = dynamics.lyapunov_spectrum(given.probe, given.sequences, seed=given.seed, progress=given.progress)
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


def _training(given: Setting) -> Found:
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


SECTIONS = (
    Section(
        "effective-context",
        "How much of the past does an answer need?",
        "The steps far back are cut off, shuffled, or taken from another sequence, and the answers compared "
        "with those from the full context. Where the curves meet zero, the network does not use what lies "
        "further back. Shuffled below cut off: the words count, not their order.",
        _context,
        passes=12,
        headline=True,
    ),
    Section(
        "memory-length",
        "How far back does a small change still matter?",
        "The gradient of the answer by each input before it: exact, and about small changes only.",
        _input_reach,
        passes=40,
        headline=True,
    ),
    Section(
        "gradient",
        "How far back can training feel?",
        "The gradient of the loss of one single step by the states before it. A straight line on this "
        "logarithmic axis is a fixed factor per step: below 1 gradients vanish, above 1 they explode.",
        _gradient,
        passes=10,
        headline=True,
    ),
    Section(
        "states",
        "What does the state do over your sequence?",
        "A column is a step, a row is a unit: blue is negative, orange positive. A long stretch of one "
        "colour is something kept; a change along one column is a step that the network took note of.",
        _states,
        passes=1,
    ),
    Section(
        "gates",
        "What do the gates let through?",
        "A column is a step, a row is a unit: dark is shut, bright is open. Bars say how "
        "often, over all data.",
        _gates,
        passes=2,
    ),
    Section(
        "time-constants",
        "How long do single units keep what they hold?",
        "After its time constant 37 % of a unit's content is left, if nothing else is written.",
        _time_constants,
        passes=2,
        headline=True,
    ),
    Section(
        "units",
        "Which units do nothing, which are stuck?",
        "A dead unit hardly moves. A saturated one stands at the flat end of its tanh, where it hardly "
        "learns.",
        _units,
        passes=3,
        headline=True,
    ),
    Section(
        "attribution",
        "Which steps carried the answer?",
        "Bars upwards speak for the answer at the end of your sequence, bars downwards against it. The check "
        "masks the steps that rank highest, and random ones: only if the first hurts more is the ranking "
        "worth reading.",
        _attribution,
        passes=16,
        headline=True,
    ),
    Section(
        "drift",
        "Does the state stay in bounds?",
        "A state that goes on growing meets values that training never showed.",
        _drift,
        passes=2,
    ),
    Section(
        "training",
        "How were gradients while it was trained?",
        "From the model file. A clipped update is one whose gradient was shortened.",
        _training,
        passes=0,
    ),
    Section(
        "jacobians",
        "What does one step do to the state?",
        "How much one step stretches a small difference between two states.",
        _jacobians,
        passes=20,
        effort="normal",
    ),
    Section(
        "capacity",
        "How many past inputs does the state hold?",
        "A linear readout tries to recover each past input from the state, with inputs drawn at random.",
        _capacity,
        passes=20,
        effort="full",
    ),
    Section(
        "lag-gain",
        "How long does a difference between two states last?",
        "The product of the one-step Jacobians: the gradient through time without any loss in it.",
        _lag_gain,
        passes=100,
        effort="full",
    ),
    Section(
        "lyapunov",
        "Does the network forget where it started?",
        "Negative: differences fade along that direction. Positive: they grow, which is chaos.",
        _lyapunov,
        passes=200,
        effort="full",
    ),
    Section(
        "truncation",
        "What would truncated backpropagation leave out?",
        "Relative error of the gradient when sequences are cut into windows for training.",
        _truncation,
        passes=60,
        effort="full",
    ),
)
