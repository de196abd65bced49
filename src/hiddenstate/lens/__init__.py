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
step_jacobians         (J1)  what one step does to small differences; lag_gain: what many do
lyapunov_spectrum      (J2)  how fast small differences grow or die along the data
fixed_points           (J3)  where the state stays or moves slowly
contraction            (J4)  whether forgetting is certain, whatever comes in
integrated_gradients   (A1)  what every step is worth to an answer
occlusion              (A2)  the same, by taking steps out
event_shapley          (A3)  the same, by taking groups of steps out
faithfulness           (A5)  whether those steps are the ones that matter
unit_selectivity       (U1)  what units tell apart
find_pattern           (U2)  where else the units of a span are active
unit_effects           (U3)  what the loss does when a unit is held still
expected_response      (U4)  how units move on every symbol
trajectory             (T1)  the path of the state in a few dimensions
extract_automaton      (F1)  the machine that a network has become
counter_test           (F2)  whether a unit counts
recall_horizon         (M4)  how far back cells can learn to recall
Probe, Pass                  what they are made of: a model opened up, a recorded pass
"""

from __future__ import annotations

from .attribution import Attribution, faithfulness, integrated_gradients, occlusion
from .automata import extract_automaton
from .capacity import MemoryCapacity, memory_capacity
from .context import EffectiveContext, effective_context
from .contraction import contraction
from .counting import counter_test
from .dynamics import lyapunov_spectrum
from .effects import unit_effects
from .encoding import Encoded
from .fixed_points import fixed_points
from .gates import (
    GateSaturation,
    GateTimeConstants,
    StateSaturation,
    gate_saturation,
    gate_time_constants,
    state_saturation,
)
from .gradients import GradientThroughTime, gradient_through_time
from .horizon import RecallHorizon, recall_horizon
from .jacobian import lag_gain, step_jacobians
from .memory import InputReach, input_reach
from .patterns import find_pattern
from .probe import Probe, StackLayer
from .recorded import Backward, Pass
from .report import Report, report
from .responses import expected_response
from .result import Interval, Measurement
from .selectivity import unit_selectivity
from .shapley import event_shapley
from .trace import LayerTrace, Trace, trace
from .trajectory import trajectory
from .truncation import TruncationBias, truncation_bias
from .units import DeadUnits, NormDrift, UsedDimension, dead_units, norm_drift, used_dimension
from .updates import ClipStatistics, UpdateRatios, clip_statistics, gate_update_ratios, update_ratios

__all__ = [
    "Attribution",
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
    "RecallHorizon",
    "Report",
    "StackLayer",
    "StateSaturation",
    "Trace",
    "TruncationBias",
    "UpdateRatios",
    "UsedDimension",
    "clip_statistics",
    "contraction",
    "counter_test",
    "dead_units",
    "effective_context",
    "event_shapley",
    "expected_response",
    "extract_automaton",
    "faithfulness",
    "find_pattern",
    "fixed_points",
    "gate_saturation",
    "gate_time_constants",
    "gate_update_ratios",
    "gradient_through_time",
    "input_reach",
    "integrated_gradients",
    "lag_gain",
    "lyapunov_spectrum",
    "memory_capacity",
    "norm_drift",
    "occlusion",
    "recall_horizon",
    "report",
    "state_saturation",
    "step_jacobians",
    "trace",
    "trajectory",
    "truncation_bias",
    "unit_effects",
    "unit_selectivity",
    "update_ratios",
    "used_dimension",
]
