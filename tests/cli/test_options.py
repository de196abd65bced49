"""Options follow from an estimator's parameters."""

import inspect
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cyclopts
import pytest

from hiddenstate.cli import options
from hiddenstate.errors import OptionError


@dataclass(kw_only=True)
class Base:
    """Something.

    Args:
        size: how wide
            it is.
        rate: ``x`` per step.
    """

    size: int = 3
    rate: float | None = 0.5


@dataclass(kw_only=True)
class Example(Base):
    """More.

    Args:
        levels: some numbers.
        weights: "balanced" or a mapping.

    Raises:
        Nothing: ever.
    """

    levels: tuple[float, ...] | None = None
    weights: str | Mapping[str, float] | None = None
    names: str | Sequence[str] | None = None
    fixed: tuple[float, ...] = (0.1, 0.9)
    path: str | os.PathLike[str] | None = None
    loud: bool = True


def given(line: str) -> dict[str, Any]:
    """The arguments that a command with the options of Example would hand to it."""
    seen = {}

    def command(**values):
        seen.update(options.values(Example, values))

    command.__signature__ = inspect.Signature(options.parameters(Example))
    app = cyclopts.App()
    app.default(command)
    run, bound, *_ = app.parse_args(line.split(), exit_on_error=False, print_error=False)
    run(*bound.args, **bound.kwargs)
    return seen


def test_explanations_come_from_all_docstrings():
    assert options.explanations(Example) == {
        "size": "how wide it is.",
        "rate": "x per step.",
        "levels": "some numbers.",
        "weights": '"balanced" or a mapping.',
    }


def test_nothing_given_means_the_defaults():
    assert Example(**given("")) == Example()


def test_types():
    assert given("--size 7 --rate 2 --no-loud --path x/y") == {
        "size": 7,
        "rate": 2.0,
        "loud": False,
        "path": "x/y",
    }
    assert given("--no-rate") == {"rate": None}


def test_sequences_and_mappings():
    assert given("--levels 0.1,0.5") == {"levels": (0.1, 0.5)}
    assert given("--weights balanced") == {"weights": "balanced"}
    assert given("--weights ham=1,spam=2.5") == {"weights": {"ham": 1, "spam": 2.5}}
    assert given("--names price") == {"names": "price"}
    assert given("--names price,load") == {"names": ("price", "load")}
    assert given("--fixed 0.2") == {"fixed": (0.2,)}


@pytest.mark.parametrize("line", ["--levels 0.1,x", "--weights ham=1,spam"])
def test_a_wrong_list_names_its_option(line):
    with pytest.raises(OptionError, match=line.split()[0]):
        given(line)
