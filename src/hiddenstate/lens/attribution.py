"""Which steps of a sequence an output rests on, always with a check of whether the answer can be believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hiddenstate.blocks import ModelState
from hiddenstate.errors import DataError, OptionError

from .probe import open_probe
from .progress import Report, parts
from .result import Interval, Measurement, bootstrap, check_count
from .scorer import ROW_STEPS, Baseline, Scorer

SHARE = 0.2
"""Share of the steps that the faithfulness check masks."""

DRAWS = 100
"""Random choices of steps that it compares with."""


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """A5: how far the score falls when the most important steps are masked, beside random ones.

    Attributes:
        masked: how many steps were masked.
        drop: fall of the score with the highest-ranked steps masked.
        random_drop: mean fall with as many of the other steps masked, drawn at random.
        random_low: 2.5 % of random choices make it fall less than this.
        random_high: 2.5 % make it fall more.
    """

    masked: int
    drop: float
    random_drop: float
    random_low: float
    random_high: float

    @property
    def passed(self) -> bool:
        """Whether the ranking beats (nearly) all random choices."""
        return self.drop > self.random_high

    def sentence(self) -> str:
        """The check in words."""
        verdict = "more than chance" if self.passed else "not more than chance: do not trust this ranking"
        return (
            f"Masking the top {self.masked} steps lowers the score by {self.drop:.3g}, random others by "
            f"{self.random_drop:.3g} (95 % of draws {self.random_low:.3g} to {self.random_high:.3g}): "
            f"{verdict}."
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Attribution(Measurement):
    """How much each step contributes to one output; see the function that ``method`` names.

    Attributes:
        method: name of the function.
        label: what a reader calls each step.
        value: contribution of each step, in units of the score; negative: it speaks against the output.
        error: standard error of each value (of sampling; 0 where nothing was sampled).
        target: what output was explained.
        score: F(x).
        base_score: F with every step masked.
        gap: ``score - base_score - sum of values``: what the values leave unexplained (occlusion does not
            promise 0).
        faithfulness: the check.
    """

    columns: ClassVar[tuple[str, ...]] = ("label", "value", "error")
    method: str
    label: tuple[str, ...]
    value: np.ndarray
    error: np.ndarray
    target: str
    score: float
    base_score: float
    gap: float
    faithfulness: Faithfulness

    def top(self, count: int = 3) -> list[int]:
        """The steps that contribute most to the output, best first."""
        return np.argsort(-self.value, kind="stable")[:count].tolist()

    def sentence(self) -> str:
        """The steps that carried the output, what is unexplained, and the check."""
        named = ", ".join(f"{self.label[step]!r} ({self.value[step]:+.3g})" for step in self.top())
        whole = self.score - self.base_score
        return (
            f"Output {self.target!r} is {self.score:.3g} ({whole:+.3g} against the baseline), carried most "
            f"by {named}; {self.gap:.2g} of it stays unexplained. {self.faithfulness.sentence()}"
        )


def integrated_gradients(
    model: Any,
    sequence: Any,
    *,
    target: int | str | None = None,
    step: int | None = None,
    baseline: Baseline = "zero",
    state: ModelState | None = None,
    points: int = 64,
    seed: int = 0,
) -> Attribution:
    """Integrated gradients of every step (A1): gradients along the straight way from the baseline.

    ``value_t = sum_i (x_ti - x'_ti) * integral over a in 0..1 of dF(x' + a (x - x'))/dx_ti``; over all steps
    the values add up to ``F(x) - F(x')``. The integral is a Gauss-Legendre sum; what it misses is the
    ``gap``.

    Args:
        model: what ``Probe`` takes.
        sequence: one sequence as ``Probe.encode`` takes it.
        target: output to explain: number or label; None: the largest.
        step: step whose output is explained; None: the last.
        baseline: see ``Scorer``; an all-zero step is a choice too, so say it with the result.
        state: initial state of every run; None: rest. It is held, so what it contributes is in the baseline.
        points: points of the integral.
        seed: of the draws of the faithfulness check.

    Raises:
        OptionError: an unknown target, step or baseline.
        DataError: a sequence that the model cannot take, or a single step.

    Source: Sundararajan, Taly and Yan, arXiv 1703.01365; that gradients of early steps vanish in recurrent
    networks, and saliency with them: Ismail et al., arXiv 1910.12370.

    Example:
        >>> from hiddenstate.lens.examples import decaying
        >>> made = integrated_gradients(decaying(0.5), np.array([1.0, 2.0, 4.0]))    # y = x3 + x2/2 + x1/4
        >>> made.value.round(6).tolist(), abs(made.gap) < 1e-9
        ([0.25, 1.0, 4.0], True)
    """
    check_count(points, 1, "points")
    scorer = Scorer(model, sequence, target=target, step=step, baseline=baseline, state=state)
    nodes, weights = np.polynomial.legendre.leggauss(points)
    alphas, weights = (nodes + 1) / 2, weights / 2
    value = np.zeros(len(scorer))
    piece = max(1, ROW_STEPS // len(scorer))
    for start in range(0, points, piece):
        rows = slice(start, start + piece)
        along = alphas[rows][None, :, None]
        mixed = {
            name: base[:, None] + along * (scorer.values[name] - base)[:, None]
            for name, base in scorer.base.items()
        }
        for name, slope in scorer.gradient(scorer.run(mixed)).items():
            value += np.einsum("tbf,tf,b->t", slope, scorer.values[name] - scorer.base[name], weights[rows])
    return attributed(scorer, "integrated_gradients", value, seed=seed)


def occlusion(
    model: Any,
    sequence: Any,
    *,
    target: int | str | None = None,
    step: int | None = None,
    baseline: Baseline = "zero",
    state: ModelState | None = None,
    seed: int = 0,
) -> Attribution:
    """Occlusion of every step (A2): ``F(x) - F(x with step t replaced by the baseline)``.

    Args:
        model: as in :func:`integrated_gradients`.
        sequence: as there.
        target: as there.
        step: as there.
        baseline: as there.
        state: as there.
        seed: as there.

    Raises:
        OptionError, DataError: as there.

    Source: Li, Monroe and Jurafsky, Understanding neural networks through representation erasure, arXiv
    1612.08220 (they erase; here a step is replaced, so that later steps keep their places).

    Example:
        >>> from hiddenstate.lens.examples import decaying
        >>> occlusion(decaying(0.5), np.array([1.0, 2.0, 4.0])).value.tolist()
        [0.25, 1.0, 4.0]
    """
    scorer = Scorer(model, sequence, target=target, step=step, baseline=baseline, state=state)
    present = ~np.eye(len(scorer), dtype=bool)
    return attributed(scorer, "occlusion", scorer.score - scorer.masked(present), seed=seed)


def attributed(
    scorer: Scorer, method: str, value: np.ndarray, *, error: np.ndarray | None = None, seed: int = 0
) -> Attribution:
    """The result of any method, with its gap and its check.

    Raises:
        DataError: a sequence of one step, where nothing can be ranked.
    """
    nothing = np.full(len(value), np.nan)
    return Attribution(
        method=method,
        label=tuple(scorer.sequence.labels),
        value=value,
        error=np.zeros(len(value)) if error is None else error,
        target=scorer.target_name,
        score=scorer.score,
        base_score=scorer.base_score,
        gap=float(scorer.score - scorer.base_score - value.sum()),
        faithfulness=check_ranking(scorer, value, seed=seed),
        interval=Interval(nothing, nothing, 1, "value"),
        convention=scorer.words,
    )


def check_ranking(scorer: Scorer, value: np.ndarray, *, seed: int = 0) -> Faithfulness:
    """Masks the highest-ranked steps, and as many random others of those that can matter (A5).

    Source: Ismail et al., Benchmarking deep learning interpretability in time series predictions, arXiv
    2010.13924 (masking by rank beside random masking).
    """
    count = scorer.reach
    if count < 2:
        raise DataError(
            "a single step cannot be ranked", where=scorer.sequence.name, expected="2 steps or more"
        )
    masked = max(1, round(SHARE * count))
    rng = np.random.default_rng(seed)
    present = np.ones((DRAWS + 1, len(scorer)), bool)
    ranked = np.argsort(-value[:count], kind="stable")
    present[0, ranked[:masked]] = False
    for row in present[1:]:
        row[rng.choice(ranked[masked:], masked, replace=False)] = False
    drops = scorer.score - scorer.masked(present)
    low, high = np.quantile(drops[1:], [0.025, 0.975])
    return Faithfulness(masked, float(drops[0]), float(drops[1:].mean()), float(low), float(high))


@dataclass(frozen=True, eq=False, kw_only=True)
class FaithfulnessOverData(Measurement):
    """A5 over many sequences; see :func:`faithfulness`.

    Attributes:
        method: the attribution that was checked.
        sequence: name of each sequence.
        drop: fall of the score with the top steps masked, by sequence.
        random_drop: mean fall with as many random others masked.
        advantage: mean of ``drop - random_drop``; the interval belongs to it.
        passed: share of sequences where the ranking beats 97.5 % of random choices.
    """

    columns: ClassVar[tuple[str, ...]] = ("sequence", "drop", "random_drop")
    method: str
    sequence: tuple[str, ...]
    drop: np.ndarray
    random_drop: np.ndarray
    advantage: float
    passed: float

    def sentence(self) -> str:
        """Whether the method finds what the model uses."""
        verdict = "is not shown to beat chance"
        if self.interval.low > 0:
            verdict = "finds steps that the model uses"
        return (
            f"Masking the top {SHARE:.0%} of steps by {self.method.replace('_', ' ')} lowers the score by "
            f"{self.advantage:.3g} more than masking random others ({self.interval}); it beats 97.5 % of "
            f"random choices in {self.passed:.0%} of sequences: it {verdict}."
        )


def faithfulness(
    model: Any,
    data: Any,
    *,
    method: Callable[..., Attribution] = integrated_gradients,
    sequences: int = 16,
    seed: int = 0,
    progress: Report | None = None,
    **options: Any,
) -> FaithfulnessOverData:
    """Checks an attribution over many sequences (A5): does masking its top steps hurt more than random ones?

    Args:
        model: what ``Probe`` takes.
        data: what ``Probe.read`` takes; sequences of one step are left out.
        method: ``integrated_gradients``, ``occlusion``, ``event_shapley``.
        sequences: most sequences to look at.
        seed: of all draws.
        progress: called after each sequence.
        **options: of the method.

    Raises:
        DataError: no sequence of two steps or more.
        OptionError: as the method.

    Source: as :func:`check_ranking`.
    """
    probe = open_probe(model)
    found = [one for one in probe.read(data, sequences=None) if len(one) > 1]
    if not found:
        raise DataError("a single step cannot be ranked", expected="a sequence of 2 steps or more")
    if len(found) > check_count(sequences, 1, "sequences"):
        chosen = np.sort(np.random.default_rng(seed).choice(len(found), sequences, replace=False))
        found = [found[place] for place in chosen]
    if "step" in options:
        raise OptionError("every sequence is scored at its last step", where="step", got=options["step"])
    each = [
        method(probe, one, seed=seed, **options) for one in parts(found, what="faithfulness", report=progress)
    ]
    drop = np.array([one.faithfulness.drop for one in each])
    random_drop = np.array([one.faithfulness.random_drop for one in each])
    return FaithfulnessOverData(
        method=each[0].method,
        sequence=tuple(one.name for one in found),
        drop=drop,
        random_drop=random_drop,
        advantage=float((drop - random_drop).mean()),
        passed=float(np.mean([one.faithfulness.passed for one in each])),
        interval=bootstrap(drop - random_drop, of="advantage", seed=seed),
        convention=f"{SHARE:.0%} of the steps masked, {DRAWS} random choices a sequence; the score is the "
        "explained output of the last step, before any softmax",
    )
