"""The sections of a report: the question each answers, how to read it, and when it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import chapters
from .chapters import Found, Setting

EFFORTS = ("quick", "normal", "full")
"""How much of a report is made; each holds the ones before it."""


@dataclass(frozen=True)
class Section:
    """One part of a report.

    Attributes:
        name: short name, an anchor on the page and a key in JSON.
        title: the question it answers.
        intro: how to read its figures.
        measure: makes it.
        passes: how many forward and backward passes over the sample it takes, about.
        effort: from which effort on it is made.
        headline: whether its first sentence stands at the top of the page.
    """

    name: str
    title: str
    intro: str
    measure: Callable[[Setting], Found]
    passes: float
    effort: str = "quick"
    headline: bool = False


SECTIONS = (
    Section(
        "effective-context",
        "How much of the past does an answer need?",
        "The steps far back are cut off, shuffled, or taken from another sequence, and the answers compared "
        "with those from the full context. Where the curves meet zero, the network does not use what lies "
        "further back. Shuffled below cut off: the words count, not their order.",
        chapters.context,
        passes=12,
        headline=True,
    ),
    Section(
        "memory-length",
        "How far back does a small change still matter?",
        "The gradient of the answer by each input before it: exact, and about small changes only.",
        chapters.memory_length,
        passes=40,
        headline=True,
    ),
    Section(
        "gradient",
        "How far back can training feel?",
        "The gradient of the loss of one single step by the states before it. A straight line on this "
        "logarithmic axis is a fixed factor per step: below 1 gradients vanish, above 1 they explode.",
        chapters.gradient,
        passes=10,
        headline=True,
    ),
    Section(
        "states",
        "What does the state do over your sequence?",
        "A column is a step, a row is a unit: blue is negative, orange positive. A long stretch of one "
        "colour is something kept; a change along one column is a step that the network took note of.",
        chapters.states,
        passes=1,
    ),
    Section(
        "gates",
        "What do the gates let through?",
        "A column is a step, a row is a unit: dark is shut, bright is open. Bars say how "
        "often, over all data.",
        chapters.gates,
        passes=2,
    ),
    Section(
        "time-constants",
        "How long do single units keep what they hold?",
        "After its time constant 37 % of a unit's content is left, if nothing else is written.",
        chapters.time_constants,
        passes=2,
        headline=True,
    ),
    Section(
        "units",
        "Which units do nothing, which are stuck?",
        "A dead unit hardly moves. A saturated one stands at the flat end of its tanh, where it hardly "
        "learns.",
        chapters.units,
        passes=3,
        headline=True,
    ),
    Section(
        "attribution",
        "Which steps carried the answer?",
        "Bars upwards speak for the answer at the end of your sequence, bars downwards against it. The check "
        "masks the steps that rank highest, and random ones: only if the first hurts more is the ranking "
        "worth reading.",
        chapters.attribution,
        passes=16,
        headline=True,
    ),
    Section(
        "answer",
        "How did the answer come about?",
        "Of a classifier: how much each word or value moved the log odds of the final answer, at the moment "
        "it was read. Of a language model: how probable it found what came.",
        chapters.answer,
        passes=2,
    ),
    Section(
        "trajectory",
        "Which way does the state go?",
        "The state after each step, seen from where its paths spread most; in grey, other sequences.",
        chapters.path,
        passes=2,
    ),
    Section(
        "drift",
        "Does the state stay in bounds?",
        "A state that goes on growing meets values that training never showed.",
        chapters.drift,
        passes=2,
    ),
    Section(
        "training",
        "How were gradients while it was trained?",
        "From the model file. A clipped update is one whose gradient was shortened.",
        chapters.training,
        passes=0,
    ),
    Section(
        "jacobians",
        "What does one step do to the state?",
        "How much one step stretches a small difference between two states.",
        chapters.jacobians,
        passes=20,
        effort="normal",
    ),
    Section(
        "capacity",
        "How many past inputs does the state hold?",
        "A linear readout tries to recover each past input from the state, with inputs drawn at random.",
        chapters.capacity,
        passes=20,
        effort="full",
    ),
    Section(
        "lag-gain",
        "How long does a difference between two states last?",
        "The product of the one-step Jacobians: the gradient through time without any loss in it.",
        chapters.lasting,
        passes=100,
        effort="full",
    ),
    Section(
        "lyapunov",
        "Does the network forget where it started?",
        "Negative: differences fade along that direction. Positive: they grow, which is chaos.",
        chapters.lyapunov,
        passes=200,
        effort="full",
    ),
    Section(
        "truncation",
        "What would truncated backpropagation leave out?",
        "Relative error of the gradient when sequences are cut into windows for training.",
        chapters.truncation,
        passes=60,
        effort="full",
    ),
)
