"""One figure per unit, gate or step, as bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hiddenstate.lens.attribution import Attribution, FaithfulnessOverData
from hiddenstate.lens.gates import GateSaturation, GateTimeConstants, StateSaturation
from hiddenstate.lens.jacobian import StepJacobians
from hiddenstate.lens.units import DeadUnits

from .picture import Picture, rounded, step_ticks
from .style import MARKS


def gate_saturation(found: GateSaturation) -> Picture:
    """How much of the time each gate is shut, between and open."""
    between = 1 - found.mean_shut - found.mean_open

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        left = np.zeros(len(found.gate))
        parts = {"shut (below 0.1)": found.mean_shut, "between": between, "open (above 0.9)": found.mean_open}
        looks = ((MARKS[0].color, "//"), ("#bbbbbb", ""), (MARKS[1].color, "\\\\"))
        for (label, share), (color, hatch) in zip(parts.items(), looks, strict=True):
            bars = axes.barh(
                found.gate, 100 * share, left=left, label=label, color=color, hatch=hatch, height=0.6
            )
            for bar, value in zip(bars, share, strict=True):
                if value > 0.06:
                    x, y = bar.get_x() + bar.get_width() / 2, bar.get_y() + bar.get_height() / 2
                    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.85}
                    axes.text(
                        x, y, f"{value:.0%}", ha="center", va="center", color="black", bbox=box, fontsize=8
                    )
            left += 100 * share
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.grid(False)
        axes.set_xlabel("% of all units and steps")
        axes.set_ylabel("gate")
        axes.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1.0))

    table = {
        "gate": list(found.gate),
        "shut": rounded(found.mean_shut),
        "between": rounded(between),
        "open": rounded(found.mean_open),
        "mean": rounded(found.mean_openness),
        "low": rounded(found.interval.low),
        "high": rounded(found.interval.high),
    }
    alt = f"Share of time that each gate of {found.layer} is shut, between and open. {found.sentence()}"
    height = 1.1 + 0.4 * len(found.gate)
    return Picture("gate-saturation", "How often gates are shut or open", alt, table, height, draw)


def time_constants(found: GateTimeConstants) -> Picture:
    """How long each unit keeps its content by its keep-gate, longest first."""
    order = np.argsort(-found.steps, kind="stable")
    finite = found.steps[np.isfinite(found.steps)]
    top = 10 * finite.max() if len(finite) else 1.0

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        ranks = np.arange(1, len(order) + 1)
        for mark, values, label in (
            (MARKS[0], found.steps, "measured on the data"),
            (MARKS[1], found.from_bias, "by the bias alone"),
        ):
            style = {"color": mark.color, "marker": mark.marker, "markersize": 3, "linestyle": ""}
            axes.plot(ranks, np.minimum(values[order], top), label=label, **style)
        axes.axhline(found.median, color=MARKS[2].color, linestyle="-.", label=f"median {found.median:.3g}")
        axes.set_yscale("log")
        axes.set_xlabel("units, longest first")
        axes.set_ylabel("time constant in steps")
        axes.legend()

    table = {
        "unit": [int(unit) for unit in found.unit[order]],
        "steps": rounded(found.steps[order]),
        "from bias": rounded(found.from_bias[order]),
    }
    alt = f"Time constant of the {found.gate} gate of every unit of {found.layer}. {found.sentence()}"
    return Picture("gate-time-constants", "How long units keep what they hold", alt, table, 2.6, draw)


def units(dead: DeadUnits, saturated: StateSaturation | None) -> Picture:
    """How much each unit moves, with the dead ones, and how often it is saturated."""
    order = np.argsort(-dead.score, kind="stable")

    def draw(figure: Any) -> None:
        panels = figure.subplots(1 if saturated is None else 2, 1, sharex=True, squeeze=False)[:, 0]
        ranks = np.arange(1, len(order) + 1)
        panels[0].bar(ranks, dead.score[order], color=MARKS[0].color, width=0.9)
        label = f"dead at or below {dead.threshold:g}"
        panels[0].axhline(dead.threshold, color=MARKS[1].color, linestyle="--", label=label)
        gone = np.flatnonzero(dead.score[order] <= dead.threshold)
        panels[0].plot(ranks[gone], np.full(len(gone), dead.threshold), "x", color=MARKS[1].color)
        panels[0].set_ylabel("movement\n(average unit: 1)")
        panels[0].legend()
        if saturated is not None:
            panels[1].bar(
                ranks, 100 * saturated.saturated[order], color=MARKS[2].color, width=0.9, hatch="//"
            )
            panels[1].set_ylim(0, 100)
            panels[1].set_ylabel("saturated,\n% of steps")
        panels[-1].set_xlabel("units, most moving first")

    table: dict[str, list[Any]] = {
        "unit": [int(one) for one in order],
        "movement": rounded(dead.score[order]),
    }
    table["dead"] = ["dead" if score <= dead.threshold else "" for score in dead.score[order]]
    said = dead.sentence()
    if saturated is not None:
        table["saturated"] = rounded(saturated.saturated[order])
        said += " " + saturated.sentence()
    height = 2.0 if saturated is None else 3.4
    alt = f"Movement of every unit of {dead.layer}, and how often it is saturated. {said}"
    return Picture("units", "Dead and saturated units", alt, table, height, draw)


def per_step(
    name: str,
    title: str,
    sentence: str,
    labels: Sequence[str],
    values: np.ndarray,
    unit: str,
    *,
    signs: tuple[str, str] | None,
) -> Picture:
    """A value for every step.

    Args:
        name: of the picture.
        title: of the picture.
        sentence: what was found.
        labels: what each step is called.
        values: one for each.
        unit: what they are.
        signs: what values above and below zero mean; None: none is below.
    """
    looks = ((1, MARKS[1], ""), (-1, MARKS[0], "//"))

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for (sign, mark, hatch), label in zip(looks, signs or (unit,), strict=False):
            part = np.where(np.sign(values) == sign, values, 0.0)
            axes.bar(range(len(values)), part, color=mark.color, hatch=hatch, width=0.9, label=label)
        axes.axhline(0, color="#888888", linewidth=0.8)
        axes.set_xlim(-0.6, len(values) - 0.4)
        axes.grid(False, axis="x")
        step_ticks(axes, labels)
        axes.set_xlabel("step")
        axes.set_ylabel(unit)
        if signs:
            axes.legend(ncols=2, loc="lower left", bbox_to_anchor=(0, 1.0))

    table = {"step": list(range(len(labels))), "label": list(labels), unit: rounded(values)}
    height = 2.4 + 0.05 * min(max(map(len, labels)), 14)
    return Picture(name, title, f"Bars over {len(labels)} steps. {sentence}", table, height, draw)


def faithfulness(own: Attribution, over: FaithfulnessOverData) -> Picture:
    """How far the score falls when top steps are masked, beside random ones, sequence by sequence."""
    names = ("the one above", *over.sequence)
    drop = np.concatenate([[own.faithfulness.drop], over.drop])
    random_drop = np.concatenate([[own.faithfulness.random_drop], over.random_drop])

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        places = np.arange(len(names))
        for shift, mark, values, label, hatch in (
            (-0.2, MARKS[1], drop, "top steps masked", ""),
            (0.2, MARKS[0], random_drop, "random steps masked (mean)", "//"),
        ):
            axes.bar(places + shift, values, width=0.4, color=mark.color, hatch=hatch, label=label)
        axes.axhline(0, color="#888888", linewidth=0.8)
        axes.set_xticks(places, ["above", *map(str, places[1:])])
        axes.grid(False, axis="x")
        axes.set_xlabel("sequence (above: the one shown above)")
        axes.set_ylabel("fall of the score")
        axes.legend(ncols=2, loc="lower left", bbox_to_anchor=(0, 1.0))

    table = {"sequence": list(names), "top masked": rounded(drop), "random masked": rounded(random_drop)}
    alt = f"Fall of the score when steps are masked, {len(over.drop)} sequences. {over.sentence()}"
    return Picture("faithfulness", "Can this ranking be believed?", alt, table, 2.8, draw)


def jacobians(found: StepJacobians) -> Picture:
    """Largest singular value and spectral radius of the Jacobian at every looked-at step, sorted."""
    order = np.argsort(-found.sigma_max, kind="stable")

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        ranks = np.arange(1, len(order) + 1)
        for mark, values, label in (
            (MARKS[0], found.sigma_max, "largest singular value"),
            (MARKS[1], found.spectral_radius, "largest eigenvalue"),
        ):
            style = {"color": mark.color, "marker": mark.marker, "markersize": 4, "linestyle": ""}
            axes.plot(ranks, values[order], label=label, **style)
        axes.axhline(1, color=MARKS[2].color, linestyle="-.", label="1: kept as it is")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("steps looked at, most stretching first")
        axes.set_ylabel("size")
        axes.legend()

    table = {
        "sequence": found.sequence[order].tolist(),
        "step": found.step[order].tolist(),
        "largest singular value": rounded(found.sigma_max[order]),
        "largest eigenvalue": rounded(found.spectral_radius[order]),
        "condition": rounded(found.condition[order]),
    }
    alt = f"Singular value and eigenvalue of one step at {len(order)} steps. {found.sentence()}"
    return Picture("jacobians", "How much single steps stretch differences", alt, table, 2.6, draw)
