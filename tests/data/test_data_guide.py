"""The examples of the data guide run, and show what they say."""

import doctest
import re
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "data.md"


def test_examples_of_the_guide():
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "data.md", str(GUIDE), 0)
    assert len(test.examples) > 30
    report = []
    found = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=report.append)
    assert found.failed == 0, "".join(report)
