"""The guide to streaming: its code prints what it says."""

from cells.test_pages import run_page


def test_streaming_guide():
    attempted, _ = run_page("guides/streaming.md")
    assert attempted > 30
