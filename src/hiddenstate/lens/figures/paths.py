"""The state as a point that moves: paths in the plane of its largest variance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .picture import Picture, rounded
from .style import MAGNITUDE, MARKS


def trajectory(
    sentence: str, paths: Sequence[np.ndarray], labels: Sequence[str], variance: np.ndarray
) -> Picture:
    """Paths over two principal axes; the first is the reader's own sequence, drawn with its steps.

    Args:
        sentence: what was found.
        paths: ``[T, 2]`` each; the first is drawn in full, the others faintly.
        labels: what the steps of the first are called.
        variance: share of the variance along each axis.
    """
    own = paths[0]

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for path in paths[1:]:
            axes.plot(path[:, 0], path[:, 1], color="#999999", linewidth=0.6, alpha=0.4)
        axes.plot(own[:, 0], own[:, 1], color=MARKS[0].color, linewidth=0.8, alpha=0.6)
        steps = range(len(own))
        dots = axes.scatter(own[:, 0], own[:, 1], c=list(steps), cmap=MAGNITUDE, s=14, zorder=3)
        for place, mark, label in ((0, "o", "first step"), (-1, "s", "last step")):
            ring = {"facecolors": "none", "edgecolors": MARKS[1].color, "linewidths": 1.5, "zorder": 4}
            axes.scatter(*own[place], marker=mark, s=70, label=label, **ring)
        figure.colorbar(dots, ax=axes, pad=0.01, label="step")
        axes.set_xlabel(f"first axis ({variance[0]:.0%} of the variance)")
        axes.set_ylabel(f"second axis ({variance[1]:.0%})")
        axes.legend()

    table = {
        "step": list(range(len(labels))),
        "label": list(labels),
        "first axis": rounded(own[:, 0]),
        "second axis": rounded(own[:, 1]),
    }
    alt = f"Path of the state over {len(labels)} steps in a plane, beside {len(paths) - 1} others. {sentence}"
    return Picture("trajectory", "The path of the state", alt, table, 4.2, draw)
