"""Train recurrent networks on ordered data, see what they remember, and run them one step at a time.

Names are loaded on first use, so that importing the package stays fast and needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import HiddenStateError
from .scan import scan  # early: later the submodule of the same name would shadow the function
from .version import __version__

if TYPE_CHECKING:
    from . import bundle, cells, codecs, data, lens, nn, runtime, spec, tasks
    from .native import get_num_threads, isa, set_num_threads
    from .tasks import Forecaster, LanguageModel, SequenceClassifier, load

__all__ = [
    "Forecaster",
    "HiddenStateError",
    "LanguageModel",
    "SequenceClassifier",
    "__version__",
    "bundle",
    "cells",
    "codecs",
    "data",
    "get_num_threads",
    "isa",
    "lens",
    "load",
    "nn",
    "runtime",
    "scan",
    "set_num_threads",
    "spec",
    "tasks",
]

_HOME = {"get_num_threads": "native", "isa": "native", "set_num_threads": "native"}
_HOME |= dict.fromkeys(("Forecaster", "LanguageModel", "SequenceClassifier", "load"), "tasks")


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    if name in __all__:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
