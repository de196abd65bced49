"""Command-line options from an estimator's parameters: same names, types, defaults and explanations."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from hiddenstate.errors import OptionError

Converter = Callable[[str], Any]


def parameters(estimator: type) -> list[inspect.Parameter]:
    """Keyword-only parameters of a command, one for each parameter of the estimator.

    A mapping is written ``key=value,key=value`` on the command line, a sequence ``a,b,c``; a parameter that
    may be None has a switch ``--no-NAME``.
    """
    from cyclopts import Parameter

    hints, texts = get_type_hints(estimator), explanations(estimator)
    found = []
    for f in fields(estimator):
        kind, optional = _kind(hints[f.name])
        switch = "no-" if optional and f.default is not None else ()
        extra = Parameter(help=texts.get(f.name, ""), negative_none=switch)
        annotation = Annotated[kind | None if optional else kind, extra]
        default = f.default if kind is not str or isinstance(f.default, str) else _written(f.default)
        found.append(
            inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        )
    return found


def values(estimator: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """The estimator's arguments from the command's."""
    hints = get_type_hints(estimator)
    return {name: _converted(name, value, hints[name]) for name, value in given.items() if name in hints}


def explanations(cls: type) -> dict[str, str]:
    """The text of each entry under ``Args:`` in the docstrings of a class and its bases."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", inspect.cleandoc(base.__doc__ or ""), re.M | re.S)
        if section:
            for name, text in re.findall(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", section[1], re.M | re.S):
                found[name] = " ".join(text.split()).replace("``", "")
    return found


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _kind(hint: Any) -> tuple[type, bool]:
    """The type that a command-line word is read as, and whether None is allowed."""
    members = _members(hint)
    plain = next((kind for kind in (bool, int, float) if kind in members), str)
    if float in members:
        plain = float
    return plain, NoneType in members


def _written(default: Any) -> str | None:
    """A default as it would be typed."""
    if isinstance(default, Mapping):
        return ",".join(f"{key}={value}" for key, value in default.items())
    return None if default is None else ",".join(map(str, default))


def _converted(name: str, value: Any, hint: Any) -> Any:
    """A typed word as what the estimator takes."""
    if not isinstance(value, str):
        return value
    origins = [get_origin(member) or member for member in _members(hint)]
    if Mapping in origins and ("=" in value or str not in origins):
        return pairs(name, value)
    for origin, member in zip(origins, _members(hint), strict=True):
        if origin in (tuple, list, Sequence) and (str not in origins or "," in value):
            inner = next((kind for kind in get_args(member) if isinstance(kind, type)), str)
            return _items(name, value, inner)
    return value


def _items(name: str, text: str, inner: type) -> tuple:
    try:
        return tuple(inner(item.strip()) for item in text.split(",") if item.strip())
    except ValueError as error:
        raise OptionError(
            "not a list", where=_flag(name), expected="values with commas between", got=text
        ) from error


def pairs(name: str, text: str) -> dict[str, Any]:
    """The mapping in ``key=value,key=value``; ``name`` is the parameter it is meant for.

    Raises:
        OptionError: when it is written in another way.
    """
    found = [item.partition("=") for item in text.split(",")]
    if any(not sign for _, sign, _ in found):
        raise OptionError("not a mapping", where=_flag(name), expected="key=value,key=value", got=repr(text))
    return {key.strip(): _number_or_text(value.strip()) for key, _, value in found}


def _number_or_text(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
