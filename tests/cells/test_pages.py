"""The pages about cells: their code prints what they say, and their cells keep the contracts."""

import doctest
from pathlib import Path

import numpy as np
import pytest

from contract.battery import hold
from contract.test_lengths_resets import segments_stand_alone
from contract.test_one_answer import rows_do_not_matter, time_does_not_matter
from hiddenstate import cells

DOCS = Path(__file__).parents[2] / "docs"


def run_page(name):
    """Runs every Python block of a page in one namespace; how many examples there were."""
    blocks = (DOCS / name).read_text().split("```python\n")[1:]
    code = "\n".join(block.split("```")[0] for block in blocks)
    test = doctest.DocTestParser().get_doctest(code, {}, name, name, 0)
    said = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    result = runner.run(test, out=said.append, clear_globs=False)
    assert not result.failed, "".join(said)
    return result.attempted, test.globs


@pytest.fixture
def registry():
    """Forgets the cells that a page registers."""
    before = dict(cells._REGISTRY)
    yield
    cells._REGISTRY.clear()
    cells._REGISTRY.update(before)


def test_concepts():
    attempted, _ = run_page("concepts.md")
    assert attempted > 20


@pytest.mark.usefixtures("registry")
def test_adding_a_cell():
    attempted, made = run_page("adding-a-cell.md")
    assert attempted > 20
    for cell in (made["Janet"](), made["IndRNN"]()):
        for check in (time_does_not_matter, rows_do_not_matter, segments_stand_alone):
            hold(check, cell, np.float64, examples=10)
