"""The guide to the lens: its code prints what it says, and its pictures are small."""

import re

from cells.test_pages import DOCS, run_page


def test_lens_guide():
    attempted, _ = run_page("guides/lens.md")
    assert attempted > 20


def test_pictures_of_the_guide():
    page = DOCS / "guides" / "lens.md"
    found = re.findall(r"!\[(.+)\]\((.+)\)", page.read_text())
    assert len(found) == 2
    for words, file in found:
        assert len(words) > 40
        assert (page.parent / file).stat().st_size < 200_000
