"""Recurrent cells: the equation of one step each, and the registry that finds them by name.

A cell is written once here, over an array namespace, and (for speed) once in ``native/``. To add one: a file
beside these and a line in ``_REGISTRY``; users register their own with ``register``.

Example:
    >>> get("gru", reset="before")
    GRU(reset='before')
    >>> names()
    ('gru', 'lstm', 'rnn')
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from hiddenstate.errors import OptionError

from .base import Cell, Sizes
from .gru import GRU
from .lstm import LSTM
from .rnn import RNN

_REGISTRY: dict[str, type[Cell]] = {cls.name: cls for cls in (RNN, LSTM, GRU)}

AnyCell = TypeVar("AnyCell", bound=type[Cell])


def names() -> tuple[str, ...]:
    """Names of all registered cells, in alphabetical order."""
    return tuple(sorted(_REGISTRY))


def get(cell: str | Cell, **options: Any) -> Cell:
    """The cell of that name with these options.

    Args:
        cell: a registered name (``"rnn"``, ``"lstm"``, ``"gru"``), or a cell, which is returned as it is.
        **options: fields of the cell, e.g. ``reset="before"`` for the GRU.

    Raises:
        OptionError: on an unknown name or option, or a value that the option does not take.

    Example:
        >>> get("rnn", nonlinearity="relu").native
        'rnn_relu'
    """
    if isinstance(cell, Cell):
        if options:
            raise OptionError("options go with the name of a cell", where=repr(cell), got=sorted(options))
        return cell
    if not isinstance(cell, str) or cell not in _REGISTRY:
        raise OptionError("unknown cell", where="cell", expected=list(names()), got=repr(cell))
    cls = _REGISTRY[cell]
    choices = _options(cls)
    for name, value in options.items():
        if name not in choices:
            raise OptionError("unknown option of the cell", where=cell, expected=sorted(choices), got=name)
        if choices[name] and value not in choices[name]:
            raise OptionError(
                "unknown choice", where=f"{cell}.{name}", expected=list(choices[name]), got=repr(value)
            )
    return cls(**options)


def variants(name: str) -> tuple[Cell, ...]:
    """The cell called ``name`` once for every value of every option that is a choice between literals.

    Example:
        >>> variants("rnn")
        (RNN(nonlinearity='tanh'), RNN(nonlinearity='relu'))
    """
    found = [get(name)]
    for option, values in _options(_REGISTRY[name]).items():
        found += [get(name, **{option: value}) for value in values]
    return tuple(dict.fromkeys(found))


def register(cls: AnyCell) -> AnyCell:
    """Class decorator: makes a cell known by its ``name``, to scans, specs and the command line.

    The class is a frozen dataclass (its fields are the options) that derives from ``Cell``.

    Raises:
        OptionError: when the class is not such a cell, or its name is taken by another class.
    """
    if not (isinstance(cls, type) and issubclass(cls, Cell) and is_dataclass(cls)):
        raise OptionError("not a cell", expected="a frozen dataclass deriving from Cell", got=repr(cls))
    if _REGISTRY.setdefault(cls.name, cls) is not cls:
        raise OptionError(
            "a cell of that name exists", where=repr(cls), got=cls.name, fix="Choose another name"
        )
    return cls


@cache
def _options(cls: type[Cell]) -> dict[str, tuple]:
    """Option names of a cell class, each with its literal choices (none: any value)."""
    hints = get_type_hints(cls)
    return {
        field.name: get_args(hints[field.name]) if get_origin(hints[field.name]) is Literal else ()
        for field in fields(cls)  # pyright: ignore[reportArgumentType] - every registered cell is a dataclass
    }


__all__ = ["GRU", "LSTM", "RNN", "Cell", "Sizes", "get", "names", "register", "variants"]
