"""Figures of measurements, each with its table and words (``Picture``). Drawing needs the extra ``plot``."""

from .bars import faithfulness, gate_saturation, jacobians, per_step, time_constants, units
from .curves import effective_context, gradient, input_reach, lines, norm_drift, training
from .maps import gates, states
from .paths import trajectory
from .picture import Picture
from .style import require

__all__ = [
    "Picture",
    "effective_context",
    "faithfulness",
    "gate_saturation",
    "gates",
    "gradient",
    "input_reach",
    "jacobians",
    "lines",
    "norm_drift",
    "per_step",
    "require",
    "states",
    "time_constants",
    "training",
    "trajectory",
    "units",
]
