"""The state as a point that moves: paths in the plane of its largest variance."""

from __future__ import annotations

from typing import Any

import numpy as np

from hiddenstate.lens.trajectory import Trajectory

from .picture import Picture, rounded
from .style import MAGNITUDE, MARKS


def trajectory(found: Trajectory) -> Picture:
    """Paths over the first two directions: the first sequence with its steps, the others faintly."""
    paths = [_plane(path) for path in found.path]
    own, labels = paths[0], found.label[0]
    shares = [*found.share, 0.0][:2]

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for path in paths[1:]:
            axes.plot(path[:, 0], path[:, 1], color="#999999", linewidth=0.6, alpha=0.4)
        axes.plot(own[:, 0], own[:, 1], color=MARKS[0].color, linewidth=0.8, alpha=0.6)
        dots = axes.scatter(own[:, 0], own[:, 1], c=range(len(own)), cmap=MAGNITUDE, s=14, zorder=3)
        for place, mark, label in ((0, "o", "first step"), (-1, "s", "last step")):
            ring = {"facecolors": "none", "edgecolors": MARKS[1].color, "linewidths": 1.5, "zorder": 4}
            axes.scatter(*own[place], marker=mark, s=70, label=label, **ring)
        figure.colorbar(dots, ax=axes, pad=0.01, label="step")
        axes.set_xlabel(f"first direction ({shares[0]:.0%} of the variance)")
        axes.set_ylabel(f"second direction ({shares[1]:.0%})")
        axes.legend()

    table = {
        "step": list(range(len(labels))),
        "label": list(labels),
        "first direction": rounded(own[:, 0]),
        "second direction": rounded(own[:, 1]),
    }
    alt = f"Path of the state over {len(labels)} steps, beside {len(paths) - 1} others. {found.sentence()}"
    return Picture("trajectory", "The path of the state", alt, table, 4.2, draw)


def _plane(path: np.ndarray) -> np.ndarray:
    """Two coordinates, the second 0 where a state has only one."""
    return np.pad(path, ((0, 0), (0, max(0, 2 - path.shape[1]))))[:, :2]
