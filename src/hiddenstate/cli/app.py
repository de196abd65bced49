"""The commands as cyclopts knows them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

from hiddenstate import __version__, tasks

from . import options, verbs

if TYPE_CHECKING:
    from cyclopts import App

TASKS = {"forecast": "Forecaster", "classify": "SequenceClassifier", "language": "LanguageModel"}

HELP = """Train recurrent networks on ordered data and run them one step at a time.

Files may be CSV, JSONL, Parquet or plain text. Add --debug to any command to see where an error came from.
"""


def build() -> App:
    """The whole command line."""
    from cyclopts import App

    app = App(name="hiddenstate", version=__version__, help=HELP)
    fit = App(name="fit", help="Train a model on a file and save it.")
    for name, estimator in TASKS.items():
        fit.command(_fit_command(getattr(tasks, estimator)), name=name)
    app.command(fit)
    for verb in (verbs.predict, verbs.stream, verbs.generate, verbs.score, verbs.show):
        app.command(verb)
    return app


def _fit_command(estimator: type) -> Any:
    """``fit`` of one task: the file, where to save, and the estimator's parameters as options."""
    from cyclopts import Parameter

    def command(file: str, *, output: str, **given: Any) -> int:
        return verbs.fit(estimator(**options.values(estimator, given)), file, output)

    file_help = Parameter(help="the data")
    output_help = Parameter(name=["--output", "-o"], help="the file to save the model in (.safetensors)")
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                "file", inspect.Parameter.POSITIONAL_ONLY, annotation=Annotated[str, file_help]
            ),
            inspect.Parameter(
                "output", inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[str, output_help]
            ),
            *options.parameters(estimator),
        ]
    )
    command.__doc__ = (estimator.__doc__ or "").split("\n")[0]
    return command
