"""The commands as cyclopts knows them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any

from hiddenstate import tasks
from hiddenstate.version import __version__

from . import horizon, options, verbs
from .lens import lens as lens_verb

if TYPE_CHECKING:
    from cyclopts import App

TASKS = {"forecast": "Forecaster", "classify": "SequenceClassifier", "language": "LanguageModel"}

HELP = """Train recurrent networks on ordered data and run them one step at a time.

Files may be CSV, JSONL, Parquet or plain text. Add --debug to any command to see where an error came from.
"""

FIT_HELP = """

Args:
    file: the data.
    out: where to save the model (.safetensors).
"""


def build() -> App:
    """The whole command line."""
    from cyclopts import App

    app = App(name="hiddenstate", version=__version__, help=HELP)
    fit = App(name="fit", help="Train a model on a file and save it.")
    for name, estimator in TASKS.items():
        fit.command(_fit_command(getattr(tasks, estimator)), name=name)
    app.command(fit)
    lens = App(name="lens", help="See what networks remember, and for how long.")
    lens.default(_with_short_out(lens_verb))
    lens.command(_with_short_out(horizon.command()))
    app.command(lens)
    predict, score = _with_reading(verbs.predict), _with_reading(verbs.score)
    for verb in (predict, verbs.stream, verbs.generate, score, verbs.show):
        app.command(_with_short_out(verb))
    return app


def _fit_command(estimator: type[tasks.Estimator]) -> Callable:
    """``fit`` of one task: the file, where to save, and the estimator's parameters as options."""

    def command(file: str, *, out: str, **given: Any) -> int:
        made = estimator(**options.values(estimator, given))
        return verbs.fit(made, file, out=out, reading=_reading(given))

    documented = inspect.signature(verbs.fit, eval_str=True).parameters
    own = [*options.parameters(verbs.Reading), *options.parameters(estimator)]
    plain = [documented["file"], documented["out"]]
    command.__signature__ = inspect.Signature([*plain, *own])  # pyright: ignore[reportFunctionMemberAccess]
    command.__doc__ = (estimator.__doc__ or "").split("\n")[0] + FIT_HELP
    return _with_short_out(command)


def _reading(given: dict[str, Any]) -> verbs.Reading:
    return verbs.Reading(**{f.name: given[f.name] for f in fields(verbs.Reading) if f.name in given})


def _with_reading(verb: Callable) -> Callable:
    """The same command, with the parts of ``reading`` as options."""

    def command(*args: Any, **kwargs: Any) -> Any:
        own = {name: value for name, value in kwargs.items() if name in signature.parameters}
        return verb(*args, **own, reading=_reading(kwargs))

    signature = inspect.signature(verb, eval_str=True)
    plain = [parameter for name, parameter in signature.parameters.items() if name != "reading"]
    command.__signature__ = signature.replace(parameters=[*plain, *options.parameters(verbs.Reading)])  # type: ignore[attr-defined]
    command.__name__, command.__doc__ = verb.__name__, re.sub(r"\n +reading: .*", "", verb.__doc__ or "")
    return command


def _with_short_out(verb: Callable) -> Callable:
    """The same command, with ``-o`` for ``--out``."""
    from cyclopts import Parameter

    def command(*args: Any, **kwargs: Any) -> Any:
        return verb(*args, **kwargs)

    signature, short = inspect.signature(verb, eval_str=True), Parameter(name=["--out", "-o"])
    found = dict(signature.parameters)
    if out := found.get("out"):
        found["out"] = out.replace(annotation=Annotated[out.annotation, short])
    command.__signature__ = signature.replace(parameters=list(found.values()))  # type: ignore[attr-defined]
    command.__name__, command.__doc__ = verb.__name__, verb.__doc__
    return command
