"""The page about memory: its code prints what it says."""

from cells.test_pages import run_page


def test_memory_page():
    attempted, _ = run_page("memory.md")
    assert attempted > 10
