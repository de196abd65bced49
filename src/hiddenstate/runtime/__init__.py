"""Running trained models without torch: whole sequences, live ones, and drawing from their answers."""

from __future__ import annotations

from .adapter import Adapter
from .decoding import distribution, sample
from .model import Model
from .pool import Pool
from .session import Session

__all__ = ["Adapter", "Model", "Pool", "Session", "distribution", "sample"]
