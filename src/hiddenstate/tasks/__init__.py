"""Estimators: one per task, each with ``fit``, ``predict``, ``score``, ``save`` and ``stream``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .base import Estimator
from .loading import load

if TYPE_CHECKING:
    from .classify import SequenceClassifier
    from .forecast import Forecaster
    from .language import LanguageModel

_HOME = {"Forecaster": "forecast", "LanguageModel": "language", "SequenceClassifier": "classify"}

__all__ = ["Estimator", "Forecaster", "LanguageModel", "SequenceClassifier", "load"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
