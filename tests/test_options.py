"""Parameter ranges: what they admit, and that what they call outside is outside."""

from dataclasses import dataclass

import numpy as np
import pytest

from hiddenstate.errors import OptionError
from hiddenstate.options import FLAG, InstanceOf, OneOf, Real, Whole, check, option

RANGES = [
    Whole(0),
    Whole(1, 9),
    Real(0),
    Real(0, above=True),
    Real(0, 1),
    Real(0, 1, above=True, below=True),
    OneOf("a", None, 3),
    FLAG,
    InstanceOf(str),
    InstanceOf(int, list),
]


@pytest.mark.parametrize("allowed", RANGES, ids=str)
def test_outside_is_not_admitted(allowed):
    assert allowed.outside()
    assert not any(allowed.admits(value) for value in allowed.outside())


@pytest.mark.parametrize(
    ("allowed", "value", "inside"),
    [
        (Whole(1, 9), np.int64(9), True),
        (Whole(1, 9), 9.0, False),
        (Whole(0), True, False),
        (Real(0, 1), 1, True),
        (Real(0, 1), np.float32(0.5), True),
        (Real(0, 1, below=True), 1.0, False),
        (Real(0, 1, below=True), 0.0, True),
        (OneOf(1, None), True, False),
        (OneOf(1, None), None, True),
        (FLAG, 1, False),
        (InstanceOf(int), True, False),
        (InstanceOf(int, bool), True, True),
    ],
    ids=str,
)
def test_edges(allowed, value, inside):
    assert allowed.admits(value) is inside


def test_the_message_says_what_would_have_been_right():
    @dataclass(kw_only=True)
    class Settings:
        size: int = option(8, Whole(1, 64))
        share: float | None = option(None, Real(0, 1, above=True, below=True), OneOf(None))
        free: int = 3

    check(Settings(free="anything"))
    with pytest.raises(OptionError) as error:
        check(Settings(size=0))
    assert str(error.value) == (
        "parameter out of range (in Settings.size): expected a whole number from 1 to 64, got 0"
    )
    with pytest.raises(OptionError, match="expected a number above 0 and below 1 or None, got 'x'"):
        check(Settings(share="x"))
