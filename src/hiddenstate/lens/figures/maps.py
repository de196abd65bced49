"""Heat maps over the steps of one sequence: states and gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .picture import Picture, rounded, step_ticks
from .style import MAGNITUDE, sign_colours

GATES = {
    "i": "input gate i: how much is written",
    "f": "forget gate f: how much is kept (1 keeps)",
    "o": "output gate o: how much is shown",
    "r": "reset gate r: how much of the state the candidate sees",
    "z": "update gate z: how much is kept (1 keeps)",
}


def states(layer: str, labels: Sequence[str], values: Mapping[str, np.ndarray], sentence: str) -> Picture:
    """Every unit of the state at every step.

    Args:
        layer: name of the layer.
        labels: what each step is called, T of them.
        values: h and, for an LSTM, c: ``[T, H]``.
        sentence: what was found.
    """
    chosen = {name: _liveliest(value, 64 // len(values)) for name, value in values.items()}
    panels = {
        f"{name}: {'output' if name == 'h' else 'cell state'}": (values[name][:, units], units)
        for name, units in chosen.items()
    }
    size = max(float(np.abs(value).max()) for value, _ in panels.values()) or 1.0

    def draw(figure: Any) -> None:
        for axes, (title, (value, units)) in _panels(figure, panels, labels):
            limit = 1.0 if title.startswith("h") and size <= 1 else float(np.abs(value).max()) or 1.0
            shown = _image(axes, value, units, cmap=sign_colours(), vmin=-limit, vmax=limit)
            axes.set_title(title)
            figure.colorbar(shown, ax=axes, pad=0.01, aspect=12, label="value")

    rows = sum(len(units) for units in chosen.values())
    return Picture(
        "states",
        f"The state of {layer}, step by step",
        f"Heat map of {rows} state values of {layer} over {len(labels)} steps. {sentence}",
        _table(labels, {name: (values[name], units) for name, units in chosen.items()}),
        _height(rows, labels, len(panels)),
        draw,
    )


def gates(layer: str, labels: Sequence[str], values: Mapping[str, np.ndarray], sentence: str) -> Picture:
    """Every gate at every step, ``[T, H]`` by name, 0 shut to 1 open."""
    most = 96 // len(values) if len(labels) < 100 else 24
    chosen = {name: _liveliest(value, min(most, 32)) for name, value in values.items()}
    panels = {GATES[name]: (values[name][:, units], units) for name, units in chosen.items()}

    def draw(figure: Any) -> None:
        for axes, (title, (value, units)) in _panels(figure, panels, labels):
            shown = _image(axes, value, units, cmap=MAGNITUDE, vmin=0, vmax=1)
            axes.set_title(title)
            figure.colorbar(shown, ax=axes, pad=0.01, aspect=12, label="0 shut, 1 open")

    rows = sum(len(units) for units in chosen.values())
    return Picture(
        "gates",
        f"The gates of {layer}, step by step",
        f"Heat maps of the gates {', '.join(values)} of {layer} over {len(labels)} steps. {sentence}",
        _table(labels, {name: (values[name], units) for name, units in chosen.items()}),
        _height(rows, labels, len(panels)),
        draw,
    )


def _liveliest(values: np.ndarray, most: int) -> np.ndarray:
    """Numbers of the units that move most, in their own order."""
    return np.sort(np.argsort(-values.std(axis=0), kind="stable")[:most])


def _panels(figure: Any, panels: Mapping[str, Any], labels: Sequence[str]) -> Any:
    """One above the other, the steps named under the lowest."""
    heights = [max(len(units), 4) for _, units in panels.values()]
    found = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    step_ticks(found[-1], labels)
    found[-1].set_xlabel("step")
    return zip(found, panels.items(), strict=True)


def _image(axes: Any, values: np.ndarray, units: np.ndarray, **colours: Any) -> Any:
    axes.grid(False)
    every = -(-len(units) // 8)
    places = range(0, len(units), every)
    axes.set_yticks(list(places), [str(units[place]) for place in places])
    axes.set_ylabel("unit")
    return axes.imshow(values.T, aspect="auto", interpolation="none", **colours)


def _height(rows: int, labels: Sequence[str], panels: int) -> float:
    return (
        min(max(0.07 * rows, 1.0 * panels), 5.0) + 0.35 * panels + 0.05 * min(max(map(len, labels)), 14) + 0.4
    )


def _table(
    labels: Sequence[str], values: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {"step": list(range(len(labels))), "label": list(labels)}
    for name, (value, units) in values.items():
        columns |= {f"{name} {unit}": rounded(value[:, unit]) for unit in units}
    return columns
