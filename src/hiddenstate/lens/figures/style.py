"""How figures look, and how they become SVG and PNG: colours that everyone can tell apart, on light and dark.

Categories take Okabe and Ito's colours, those of them that stand out from white and from black by 3:1, and
differ in dash and marker too; magnitudes take cividis; values with a sign go from blue over grey to orange.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from hiddenstate.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 7.2
"""Of a figure in inches; text is 9 points high in it."""

DPI = 144
"""Of a PNG."""

_INK = "#0d1117"
"""Text and axes. In an SVG it is replaced by the colour of the text around the figure."""

MAGNITUDE = "cividis"


class Mark(NamedTuple):
    """How one of several lines is told from the others."""

    color: str
    dash: str
    marker: str


MARKS = (
    Mark("#0072b2", "-", "o"),
    Mark("#d55e00", "--", "s"),
    Mark("#009e73", "-.", "^"),
    Mark("#cc79a7", ":", "D"),
)
"""In the order they are used."""


def sign_colours() -> Any:
    """Blue for negative, light grey for zero, orange for positive."""
    from matplotlib.colors import LinearSegmentedColormap

    stops = ["#08306b", "#0072b2", "#8fbcdb", "#f2f2f2", "#f5b97f", "#d55e00", "#7a3500"]
    return LinearSegmentedColormap.from_list("blue-orange", stops)


def require() -> Any:
    """The package that draws.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise MissingExtraError.of("matplotlib", extra="plot") from None
    return matplotlib


@contextmanager
def drawing() -> Iterator[None]:
    """Settings of matplotlib for our figures; others are left as they were.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    matplotlib = require()
    sizes = {"font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 8}
    inked = "text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "hatch.color"
    ink = dict.fromkeys(inked, _INK)
    rest = {
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.alpha": 0.25,
        "grid.color": _INK,
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "figure.constrained_layout.use": True,
        "svg.fonttype": "none",
        "svg.hashsalt": "hiddenstate",
        "font.family": ["DejaVu Sans", "sans-serif"],
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
    }
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **sizes, **ink, **rest, "backend": "agg"}):
        yield


def to_svg(figure: Figure, *, prefix: str) -> str:
    """The figure as an ``<svg>`` element for a page; text is text, in the colour of the page.

    Args:
        figure: to draw.
        prefix: put before all its ids, which must be unique on a page (those that nothing refers to go).
    """
    target = io.StringIO()
    figure.savefig(target, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = target.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'(href="|url\()#', rf"\1#{prefix}-", svg)
    svg = re.sub(r'(<svg[^>]*?) (?:width|height)="[^"]*"', r"\1", svg)
    svg = re.sub(r'(<svg[^>]*?) (?:width|height)="[^"]*"', r"\1", svg)
    return svg.replace(_INK, "currentColor").replace("<svg", '<svg aria-hidden="true"', 1)


def to_png(figure: Figure) -> bytes:
    """The figure as a PNG on white."""
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return target.getvalue()
