"""The guide to training: its code prints what it says."""

from cells.test_pages import run_page


def test_training_guide():
    attempted, _ = run_page("guides/training.md")
    assert attempted > 15
