"""Lines over lags, contexts, steps and epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hiddenstate.lens.context import EffectiveContext
from hiddenstate.lens.gradients import GradientThroughTime
from hiddenstate.lens.memory import InputReach
from hiddenstate.lens.result import Measurement
from hiddenstate.lens.units import NormDrift

from .picture import Picture, rounded
from .style import MARKS


def gradient(found: GradientThroughTime) -> Picture:
    """Gradient norm against lag, with the fitted decay."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        _band(axes, found.lag, found.norm, found.norm_low, found.norm_high, "measured")
        if np.isfinite(found.gain_per_step):
            known = np.flatnonzero(found.norm[1:] > 0) + 1
            middle = np.log10(found.norm[known]).mean() - np.log10(found.gain_per_step) * known.mean()
            line = 10 ** (middle + np.log10(found.gain_per_step) * found.lag)
            label = f"fitted decay: factor {found.gain_per_step:.3g} per step, explains {found.fit:.0%}"
            axes.plot(found.lag, line, color=MARKS[1].color, linestyle="--", linewidth=1.2, label=label)
        if found.norm.max() > 0:
            axes.axhline(
                found.norm.max() / 100, color=MARKS[2].color, linestyle=":", label="1 % of the largest"
            )
            axes.set_yscale("log")
            low = max(found.norm[found.norm > 0].min(), found.norm.max() * 1e-12)
            axes.set_ylim(low / 2, found.norm.max() * 3)
        axes.set_xlabel("lag k: steps before the loss")
        axes.set_ylabel("mean gradient norm $|dL_t/ds_{t-k}|$")
        axes.legend()

    return Picture(
        "gradient-through-time",
        "How much of a loss arrives at earlier states",
        f"Gradient norm by lag 0 to {found.lag[-1]}, on a logarithmic axis. {found.sentence()}",
        _table(found.table()),
        3.0,
        draw,
    )


def input_reach(found: InputReach) -> Picture:
    """Sensitivity to the input against lag, with the memory length."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        low, high = found.sensitivity_low, found.sensitivity_high
        _band(axes, found.lag, found.sensitivity, low, high, "measured")
        label = f"95 % lies within {found.length} steps"
        axes.axvline(found.length, color=MARKS[1].color, linestyle="--", label=label)
        axes.set_ylim(bottom=0)
        axes.set_xlim(-0.5, min(found.lag[-1], max(20, 4 * found.length)) + 0.5)
        axes.set_xlabel("lag k: steps before the answer")
        axes.set_ylabel("sensitivity $|dy_t/dx_{t-k}|$")
        axes.legend()

    return Picture(
        "memory-length",
        "How strongly an answer reacts to earlier inputs",
        f"Sensitivity of the answer by lag 0 to {found.lag[-1]}. {found.sentence()}",
        _table(found.table()),
        2.8,
        draw,
    )


def effective_context(found: EffectiveContext) -> Picture:
    """Excess against the number of last steps that were left as they are."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        kinds = {"cut off": found.cut, "shuffled": found.shuffled, "replaced": found.replaced}
        for mark, (kind, excess) in zip(MARKS, kinds.items(), strict=False):
            if np.isfinite(excess).any():
                style = {"color": mark.color, "linestyle": mark.dash, "marker": mark.marker, "markersize": 4}
                axes.plot(found.context, 100 * excess, label=f"earlier steps {kind}", **style)
        _shade(axes, found.context, 100 * found.excess_low, 100 * found.excess_high, MARKS[0].color)
        axes.axhline(1, color=MARKS[3].color, linestyle=":", label="1 %")
        axes.set_xscale("log", base=2)
        axes.set_xticks(found.context, [str(count) for count in found.context])
        axes.minorticks_off()
        axes.set_xlabel("last steps left as they are")
        axes.set_ylabel("excess in %")
        axes.legend()

    return Picture(
        "effective-context",
        "What happens when the far past is taken away",
        f"Excess of the {found.loss} by number of last steps kept. {found.sentence()}",
        _table(found.table()),
        2.8,
        draw,
    )


def norm_drift(found: NormDrift) -> Picture:
    """Size of the state over the steps of a sequence."""
    names = {"|h|": found.h} | ({"|c|": found.c} if np.isfinite(found.c).any() else {})

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for mark, (name, norm) in zip(MARKS, names.items(), strict=False):
            axes.plot(found.step, norm, color=mark.color, linestyle=mark.dash, label=f"mean {name}")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("step")
        axes.set_ylabel("length of the state")
        axes.legend()

    return Picture(
        "norm-drift",
        "The size of the state as a sequence goes on",
        f"Mean length of the state at steps 0 to {found.step[-1]}. {found.sentence()}",
        _table({"step": found.step, **names}),
        2.4,
        draw,
    )


def training(history: Sequence[Mapping[str, Any]], sentence: str) -> Picture:
    """Gradient norm before clipping and share of clipped updates, by epoch of the training."""
    columns = {
        "epoch": [record["epoch"] for record in history],
        "mean norm": [record["gradient_norm"] for record in history],
        "largest norm": [record["gradient_norm_max"] for record in history],
        "clipped": [record["clipped"] for record in history],
    }

    def draw(figure: Any) -> None:
        norms, shares = figure.subplots(1, 2)
        for mark, name in zip(MARKS, ("mean norm", "largest norm"), strict=False):
            style = {"color": mark.color, "linestyle": mark.dash, "marker": mark.marker, "markersize": 3}
            norms.plot(columns["epoch"], columns[name], label=name, **style)
        if max(columns["largest norm"]) > 20 * min(columns["mean norm"]) > 0:
            norms.set_yscale("log")
        else:
            norms.set_ylim(bottom=0)
        norms.set_ylabel("gradient norm before clipping")
        norms.legend()
        shares.bar(columns["epoch"], 100 * np.array(columns["clipped"]), color=MARKS[0].color)
        shares.set_ylim(0, 100)
        if not any(columns["clipped"]):
            shares.text(0.5, 0.5, "none was clipped", transform=shares.transAxes, ha="center")
        shares.set_ylabel("clipped updates in %")
        for axes in (norms, shares):
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)

    alt = (
        f"Mean and largest gradient norm and share of clipped updates over {len(history)} epochs. {sentence}"
    )
    return Picture("training", "Gradients while it was trained", alt, _table(columns), 2.6, draw)


def lines(
    name: str,
    title: str,
    found: Measurement,
    *,
    x: str,
    ys: Mapping[str, str],
    band: tuple[str, str] | None = None,
    x_label: str,
    y_label: str,
    log: bool = False,
) -> Picture:
    """Fields of a measurement over another of its fields.

    Args:
        name: of the picture.
        title: of the picture.
        found: the measurement.
        x: field along the x axis.
        ys: fields to draw, and what each is called in the legend.
        band: fields with the bounds of the first one's interval.
        x_label: what x is, with its unit.
        y_label: what the fields are, with their unit.
        log: whether the y axis is logarithmic.
    """
    along = np.asarray(getattr(found, x))

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for mark, (field, label) in zip(MARKS, ys.items(), strict=False):
            style = {"color": mark.color, "linestyle": mark.dash, "marker": mark.marker, "markersize": 3}
            axes.plot(along, getattr(found, field), label=label, linewidth=1.2, **style)
        if band is not None:
            _shade(axes, along, getattr(found, band[0]), getattr(found, band[1]), MARKS[0].color)
        if log:
            axes.set_yscale("log")
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.legend()

    columns = {x: along} | {field: getattr(found, field) for field in (*ys, *(band or ()))}
    return Picture(name, title, f"{y_label} over {x_label}. {found.sentence()}", _table(columns), 2.6, draw)


def _band(axes: Any, x: np.ndarray, y: np.ndarray, low: np.ndarray, high: np.ndarray, label: str) -> None:
    mark = MARKS[0]
    axes.plot(x, y, color=mark.color, marker=mark.marker, markersize=2.5, linewidth=1.2, label=label)
    _shade(axes, x, low, high, mark.color)


def _shade(axes: Any, x: np.ndarray, low: np.ndarray, high: np.ndarray, color: str) -> None:
    if np.isfinite(low).any():
        axes.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0, label="95 % interval")


def _table(columns: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {name.replace("_", " "): rounded(values) for name, values in columns.items()}
