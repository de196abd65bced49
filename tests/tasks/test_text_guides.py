"""The guides to classification and to language models: their code prints what they say."""

import pytest

from cells.test_pages import run_page


@pytest.mark.parametrize("name", ["classification", "language"])
def test_guide(name):
    attempted, _ = run_page(f"guides/{name}.md")
    assert attempted > 8
