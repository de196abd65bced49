"""Recall against distance, one line per cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .picture import Picture, rounded
from .style import MARKS

if TYPE_CHECKING:
    from hiddenstate.lens.horizon import RecallHorizon


def recall(found: RecallHorizon) -> Picture:
    """Mean score over seeds by delay, with every single training as a small mark."""
    from hiddenstate.lens.horizon import RECALLED

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for place, (cell, scores) in enumerate(zip(found.cell, found.score, strict=True)):
            mark = MARKS[place % len(MARKS)]
            style = {"color": mark.color, "linestyle": mark.dash, "marker": mark.marker, "markersize": 5}
            axes.plot(found.delay, scores.mean(axis=1), label=f"{cell.upper()}, mean", linewidth=1.5, **style)
            axes.fill_between(
                found.delay, scores.min(axis=1), scores.max(axis=1), color=mark.color, alpha=0.15, linewidth=0
            )
            for delay, ones in zip(found.delay, scores, strict=True):
                axes.plot(
                    [delay] * len(ones),
                    ones,
                    linestyle="",
                    marker=mark.marker,
                    markersize=2.5,
                    color=mark.color,
                )
        axes.axhline(RECALLED, color="#888888", linestyle=":", label=f"recalled: {RECALLED:g} or more")
        axes.set_xscale("log")
        axes.set_xticks(found.delay, [str(delay) for delay in found.delay])
        axes.minorticks_off()
        axes.set_ylim(min(-0.05, found.score.min() - 0.02), 1.05)
        axes.set_xlabel("delay in steps")
        axes.set_ylabel("chance-corrected score")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))

    table = {
        name: rounded(column) if name in ("score", "low", "high") else column
        for name, column in found.table().items()
    }
    alt = (
        f"Score by delay for {', '.join(found.cell)}; the band reaches from the lowest to the highest seed. "
        f"{found.sentence()}"
    )
    return Picture("recall-horizon", f"Recall against distance, task '{found.task}'", alt, table, 3.0, draw)
