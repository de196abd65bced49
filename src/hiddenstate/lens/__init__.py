"""What a trained network remembers, and how far back: measured on any model file, without torch.

report                       all of it in one call: a page to read, JSON, figures
trace                        everything of one pass over one sequence, step by step
gradient_through_time  (G1)  how strongly the loss of a step depends on the states before it
clip_statistics        (G2)  how often and how hard gradients were clipped
update_ratios          (G3)  how much updates change every gate
truncation_bias        (G4)  what truncated backpropagation leaves out
gate_saturation        (D1)  how often gates are shut or open
state_saturation       (D2)  how much of the state is at its ends
gate_time_constants    (M1)  how long the keep-gate keeps
input_reach            (M2)  how far back small changes of the input matter
effective_context      (M3)  how many of the last steps an answer needs
memory_capacity        (M5)  how many past inputs can be read out of the state
norm_drift             (S1)  whether the state grows beyond the length of training
dead_units             (S2)  units that hardly move
used_dimension         (S3)  in how many dimensions the state moves
Probe, Pass                  what they are made of: a model opened up, a recorded pass
"""

from __future__ import annotations

from .capacity import MemoryCapacity, memory_capacity
from .context import EffectiveContext, effective_context
from .encoding import Encoded
from .gates import (
    GateSaturation,
    GateTimeConstants,
    StateSaturation,
    gate_saturation,
    gate_time_constants,
    state_saturation,
)
from .gradients import GradientThroughTime, gradient_through_time
from .memory import InputReach, input_reach
from .probe import Probe, StackLayer
from .recorded import Backward, Pass
from .report import Report, report
from .result import Interval, Measurement
from .trace import LayerTrace, Trace, trace
from .truncation import TruncationBias, truncation_bias
from .units import DeadUnits, NormDrift, UsedDimension, dead_units, norm_drift, used_dimension
from .updates import ClipStatistics, UpdateRatios, clip_statistics, gate_update_ratios, update_ratios

__all__ = [
    "Backward",
    "ClipStatistics",
    "DeadUnits",
    "EffectiveContext",
    "Encoded",
    "GateSaturation",
    "GateTimeConstants",
    "GradientThroughTime",
    "InputReach",
    "Interval",
    "LayerTrace",
    "Measurement",
    "MemoryCapacity",
    "NormDrift",
    "Pass",
    "Probe",
    "Report",
    "StackLayer",
    "StateSaturation",
    "Trace",
    "TruncationBias",
    "UpdateRatios",
    "UsedDimension",
    "clip_statistics",
    "dead_units",
    "effective_context",
    "gate_saturation",
    "gate_time_constants",
    "gate_update_ratios",
    "gradient_through_time",
    "input_reach",
    "memory_capacity",
    "norm_drift",
    "report",
    "state_saturation",
    "trace",
    "truncation_bias",
    "update_ratios",
    "used_dimension",
]
