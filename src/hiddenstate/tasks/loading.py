"""From a bundle on disk to the object that was saved."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hiddenstate import bundle as bundles
from hiddenstate.errors import BundleError

if TYPE_CHECKING:
    from hiddenstate.runtime import Model

    from .base import Estimator

TASKS = {
    "classify": ("classify", "SequenceClassifier"),
    "forecast": ("forecast", "Forecaster"),
    "language": ("language", "LanguageModel"),
}
"""Task name in the bundle -> module and class of its estimator."""


def load(path: str | os.PathLike[str]) -> Estimator | Model | Any:
    """What was trained and saved: an estimator, or a ``runtime.Model`` where the file names no task.

    Needs no torch.

    Raises:
        BundleError: when the file is missing, damaged, from a newer version, or of a task unknown here.
    """
    bundle = bundles.load(path)
    name = bundle.task.get("name")
    if name is None:
        from hiddenstate.runtime import Model

        return Model(bundle)
    if name not in TASKS:
        raise BundleError(
            "unknown task",
            where=path,
            expected=sorted(TASKS),
            got=repr(name),
            fix="The file may come from a newer version of hiddenstate",
        )
    module, cls = TASKS[name]
    return getattr(import_module(f".{module}", __package__), cls).from_bundle(bundle)
