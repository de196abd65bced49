"""The guide to forecasting: its code prints what it says."""

from cells.test_pages import run_page


def test_guide():
    attempted, _ = run_page("guides/forecasting.md")
    assert attempted > 30
