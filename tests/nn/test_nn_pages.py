"""The pages about conventions and layers: their code prints what they say."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("name", "least"), [("conventions.md", 20), ("guides/layers.md", 30)])
def test_page(name, least):
    blocks = (DOCS / name).read_text().split("```python\n")[1:]
    code = "\n".join(block.split("```")[0] for block in blocks)
    test = doctest.DocTestParser().get_doctest(code, {}, name, name, 0)
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=said.append)
    assert not result.failed, "".join(said)
    assert result.attempted >= least
