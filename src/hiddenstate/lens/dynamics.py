"""Lyapunov exponents: how fast differences between states grow or fade along real data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hiddenstate.errors import DataError

from .encoding import Encoded
from .jacobian import STATE
from .progress import Report, parts
from .result import Measurement, bootstrap, check_count
from .system import System

CHAOTIC = 1e-3
"""Exponents above this count as positive: the average is over finitely many steps."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LyapunovSpectrum(Measurement):
    """J2; see :func:`lyapunov_spectrum`.

    Attributes:
        index: 1 for the largest exponent, then downwards.
        exponent: natural logarithm of the growth per step, mean over sequences; minus infinity for a
            direction that is lost at once; the interval belongs to it.
        steps: steps averaged over, all sequences together.
        burn_in: first steps of each sequence that were left out.
        sum: of all exponents found: growth of volume per step.
    """

    columns: ClassVar[tuple[str, ...]] = ("index", "exponent")
    index: np.ndarray
    exponent: np.ndarray
    steps: int
    burn_in: int
    sum: float

    @property
    def chaotic(self) -> bool:
        """Whether the largest exponent is above zero."""
        return bool(self.exponent[0] > CHAOTIC)

    @property
    def forgetting_steps(self) -> float:
        """Steps in which a difference shrinks to 1/e; infinite when it does not shrink."""
        return float(-1 / self.exponent[0]) if self.exponent[0] < 0 else float("inf")

    def sentence(self) -> str:
        """Whether the network forgets where it started, and how fast."""
        first = float(self.exponent[0])
        bounds = "one sequence, so no interval"
        if self.interval.sequences > 1:
            low, high = self.interval.low[0], self.interval.high[0]
            bounds = f"{self.interval.level:.0%} interval {low:.3g} to {high:.3g}"
        fate = f"differences between states fade to 1/e in {self.forgetting_steps:.3g} steps"
        if self.chaotic:
            fate = f"differences between states grow e-fold in {1 / first:.3g} steps: it is chaotic here"
        elif first >= -CHAOTIC:
            fate = "some difference between states is kept for as long as was looked"
        return (
            f"The largest Lyapunov exponent is {first:.3g} a step ({bounds}): {fate}. An average over "
            f"{self.steps} steps of this data; differences are infinitely small ones."
        )


def lyapunov_spectrum(
    model: Any,
    data: Any,
    *,
    count: int | None = None,
    burn_in: int = 20,
    sequences: int = 8,
    seed: int = 0,
    progress: Report | None = None,
) -> LyapunovSpectrum:
    """Lyapunov exponents of the network driven by the data.

    ``J_t Q_{t-1} = Q_t R_t`` (QR decomposition), ``lambda_i = mean ln |R_t,ii|`` over the steps after the
    burn-in; ``lambda_1 > 0``: chaotic; else ``-1 / lambda_1`` steps until a difference has faded to 1/e.

    Args:
        model: what ``Probe`` takes; it must not read from both ends.
        data: what ``Probe.read`` takes (uncut); sequences of no more than ``burn_in`` steps are left out.
        count: how many exponents, from the largest; None: all S.
        burn_in: first steps of each sequence, in which directions and states settle.
        sequences: most sequences to look at.
        seed: of the draw, of the starting directions and of the bootstrap.
        progress: called after each sequence.

    Raises:
        DataError: every sequence is shorter than the burn-in.
        OptionError: a bidirectional model, or a count out of range.

    Source: Engelken, Wolf and Abbott, arXiv 2006.02427; Vogt et al., arXiv 2006.14123; arXiv 2312.17306.

    Example:
        >>> from hiddenstate.lens.examples import decaying
        >>> lyapunov_spectrum(decaying(0.5), [np.ones(60)]).exponent.round(4).tolist()   # ln 0.5
        [-0.6931]
    """
    check_count(burn_in, 0, "burn_in")
    system = System(model)
    count = system.size if count is None else min(check_count(count, 1, "count"), system.size)
    chosen = system.probe.read(data, steps=None, sequences=None)
    chosen = _longer_than(chosen, burn_in)
    if len(chosen) > check_count(sequences, 1, "sequences"):
        places = np.sort(np.random.default_rng(seed).choice(len(chosen), sequences, replace=False))
        chosen = [chosen[place] for place in places]
    found = np.stack(
        [
            _exponents(system, one, count, burn_in, seed)
            for one in parts(chosen, what="Lyapunov exponents", report=progress)
        ]
    )
    exponent = found.mean(axis=0)
    steps = sum(len(one) - burn_in for one in chosen)
    return LyapunovSpectrum(
        index=np.arange(1, count + 1),
        exponent=exponent,
        steps=steps,
        burn_in=burn_in,
        sum=float(exponent.sum()),
        interval=bootstrap(found, of="exponent", statistic=_mean, seed=seed),
        convention=(
            f"{STATE}; mean of ln |R_ii| per step over {steps} steps of {len(chosen)} sequences, the first "
            f"{burn_in} steps of each left out; the same input for both of two neighbouring states"
        ),
    )


def _mean(values: np.ndarray) -> np.ndarray:
    return values.mean(axis=0)


def _longer_than(sequences: list[Encoded], burn_in: int) -> list[Encoded]:
    kept = [one for one in sequences if len(one) > burn_in]
    if not kept:
        longest = max(len(one) for one in sequences)
        fix = "Ask for a smaller burn_in, or give longer sequences"
        expected = f"over {burn_in} steps"
        raise DataError("every sequence is shorter than the burn-in", expected=expected, got=longest, fix=fix)
    return kept


def _exponents(system: System, one: Encoded, count: int, burn_in: int, seed: int) -> np.ndarray:
    """Mean ``ln |R_ii|`` along one sequence, largest first."""
    basis = np.linalg.qr(np.random.default_rng(seed).normal(size=(system.size, count)))[0]
    total = np.zeros(count)
    for step, jacobian in enumerate(system.along(one, range(len(one)))):
        basis, stretch = np.linalg.qr(jacobian @ basis)
        if step >= burn_in:
            with np.errstate(divide="ignore"):
                total += np.log(np.abs(np.diag(stretch)))
    return -np.sort(-total / (len(one) - burn_in))
