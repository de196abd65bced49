"""Figures: colours that can be told apart, drawings that stand on any page, tables with the drawn numbers."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from hiddenstate import lens
from hiddenstate.lens import figures
from hiddenstate.lens.examples import counter, decaying
from hiddenstate.lens.figures import style
from hiddenstate.lens.figures.picture import _visible, rounded, step_ticks

PAPERS = "#ffffff", "#14171b"


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize("mark", style.MARKS)
@pytest.mark.parametrize("paper", PAPERS)
def test_lines_stand_out_from_light_and_dark_pages(mark, paper):
    low, high = sorted((luminance(mark.color), luminance(paper)))
    assert (high + 0.05) / (low + 0.05) >= 3  # WCAG 2.2, 1.4.11


def test_lines_differ_in_more_than_colour():
    assert len({mark.dash for mark in style.MARKS}) == len({mark.marker for mark in style.MARKS}) == 4


@pytest.fixture(scope="module")
def picture():
    return figures.gradient(lens.gradient_through_time(decaying(0.5), [np.ones(30)] * 3, max_lag=10))


def test_an_svg_is_part_of_a_page(picture):
    text = picture.svg()
    root = ElementTree.fromstring(text)
    assert root.tag.endswith("svg")
    assert root.get("width") is None
    assert root.get("viewBox")
    ids = [node.get("id") for node in root.iter() if node.get("id")]
    assert ids
    assert all(one.startswith(picture.name) for one in ids)
    assert "currentColor" in text
    assert style._INK not in text
    words = " ".join("".join(node.itertext()) for node in root.iter() if node.tag.endswith("text"))
    assert "lag k: steps before the loss" in words
    assert "factor 0.5 per step" in words


def test_a_drawing_is_the_same_each_time(picture):
    assert picture.svg() == picture.svg()
    assert picture.png().startswith(b"\x89PNG")


def test_drawing_leaves_matplotlib_as_it_was(picture):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    picture.svg()
    assert dict(mpl.rcParams) == before


def test_tables_hold_what_is_drawn(picture):
    assert picture.table["lag"] == list(range(11))
    assert picture.table["norm"][1:] == pytest.approx(0.5 * np.array(picture.table["norm"][:-1]), rel=1e-3)


def test_numbers_of_tables_are_finite():
    assert rounded([1.23456, np.nan, np.inf]) == [1.235, None, None]


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        (" ", "␣"),
        ("\n", "↵"),
        ("\t", "→"),
        ("word", "word"),
        ("a $x$", r"a \$x\$"),
        ("x" * 20, "x" * 13 + "…"),
    ],
)
def test_labels_of_steps(label, shown):
    assert _visible(label) == shown


@pytest.mark.parametrize(
    ("labels", "count"),
    [(["a"] * 100, 100), (["a"] * 200, None), (["word"] * 40, 40), (["word"] * 96, 48)],
)
def test_steps_are_named_where_there_is_room(labels, count):
    with style.drawing():
        from matplotlib.figure import Figure

        axes = Figure().subplots()
        before = len(axes.get_xticks())
        step_ticks(axes, labels)
        assert len(axes.get_xticks()) == (before if count is None else count)


def test_wide_states_are_shown_by_their_liveliest_units():
    values = np.zeros((5, 200))
    values[:, 150] = np.arange(5)
    picture = figures.states("rnn_l0", list("abcde"), {"h": values}, "found")
    assert len(picture.table) == 2 + 64
    assert picture.table["h 150"] == [0, 1, 2, 3, 4]


def test_constant_states_and_zero_gradients_can_be_drawn():
    assert figures.states("rnn_l0", ["a", "b"], {"h": np.zeros((2, 1))}, "still").svg()
    nothing = lens.gradient_through_time(decaying(0.0), [np.ones(30)] * 2, max_lag=5)
    assert figures.gradient(nothing).svg()
    forever = lens.gate_time_constants(counter(), [np.ones((9, 1))] * 2)
    assert not np.isfinite(forever.steps).any()
    picture = figures.time_constants(forever)
    assert picture.svg()
    assert picture.table["steps"] == [None]
