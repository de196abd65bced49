"""What a trained network remembers, and how far back: measured on any model file, without torch."""

from __future__ import annotations

from .encoding import Encoded
from .probe import Probe, StackLayer
from .recorded import Backward, Pass
from .result import Interval, Measurement

__all__ = ["Backward", "Encoded", "Interval", "Measurement", "Pass", "Probe", "StackLayer"]
