"""A figure with everything that stands beside it: its table, and what it shows in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Picture:
    """One figure.

    Attributes:
        name: file name without suffix.
        title: one line above it.
        alt: what it shows, for a reader who does not see it.
        table: the numbers in it, columns of one length by name.
        height: in inches; the width is ``style.WIDTH``.
        draw: draws it into an empty figure.
    """

    name: str
    title: str
    alt: str
    table: Mapping[str, Sequence[Any]]
    height: float
    draw: Callable[[Figure], None]

    def svg(self) -> str:
        """As an ``<svg>`` element that takes the text colour of the page around it.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        with self._drawn() as figure:
            return style.to_svg(figure, prefix=self.name)

    def png(self) -> bytes:
        """As a PNG on white, with its title.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        with self._drawn() as figure:
            figure.suptitle(self.title, fontsize=10, x=0.01, ha="left")
            return style.to_png(figure)

    @contextmanager
    def _drawn(self) -> Iterator[Figure]:
        with style.drawing():
            from matplotlib.figure import Figure

            figure = Figure(figsize=(style.WIDTH, self.height))
            self.draw(figure)
            yield figure


def rounded(values: Any) -> list[Any]:
    """Numbers with four digits for a table; None where there is none."""
    return [float(f"{value:.4g}") if math.isfinite(value) else None for value in map(float, values)]


def step_ticks(axes: Any, labels: Sequence[str]) -> None:
    """Writes what each step is called under the x axis, upright where it is long.

    Invisible characters are shown by signs. Where there is no room for all, only some steps are named, and
    of single characters none: they would read as another text.
    """
    shown = [_visible(label) for label in labels]
    longest = max(map(len, shown))
    if longest == 1 and len(labels) > 110:
        return
    room = 110 if longest == 1 else 48
    every = 1 if longest == 1 else -(-len(labels) // room)
    places = range(0, len(labels), every)
    turned = 90 if longest > 1 and len(places) * longest > 70 else 0
    size = 7 if len(places) < 70 else 6
    axes.set_xticks(list(places), [shown[place] for place in places], rotation=turned, fontsize=size)
    axes.tick_params(axis="x", length=2, pad=2)


def _visible(label: str) -> str:
    """A label of at most 14 characters, with signs for what cannot be seen.

    Example:
        >>> _visible(" "), _visible("a b")
        ('␣', 'a b')
    """
    signs = {" ": "␣", "\n": "↵", "\t": "→", "\r": "↵"}
    text = signs.get(label, label.replace("\n", "↵").replace("$", r"\$"))
    return text if len(text) <= 14 else text[:13] + "…"
