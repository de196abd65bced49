"""Small public-domain data that comes with the package (see README.md beside this file)."""

from __future__ import annotations

from pathlib import Path

from hiddenstate.errors import OptionError

_HERE = Path(__file__).parent


def names() -> list[str]:
    """Names of the samples."""
    return sorted(file.name for file in _HERE.iterdir() if file.suffix in (".csv", ".txt"))


def path(name: str) -> Path:
    """Path of the sample ``name``.

    Raises:
        OptionError: when there is no such sample.

    Example:
        >>> path("sunspots.csv").name
        'sunspots.csv'
    """
    if name not in names():
        raise OptionError("no such sample", expected=names(), got=repr(name))
    return _HERE / name
