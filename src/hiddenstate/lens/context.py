"""How much of the past an answer needs: by taking the rest away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hiddenstate.errors import DataError, OptionError

from . import lags
from .encoding import NO_TARGET, Encoded
from .loss import compare, has_target
from .probe import Probe, open_probe
from .result import Interval, Measurement, bootstrap, check_count

ANCHORS = 4
"""Steps of each sequence that an answer is asked for at."""

EVERY = 8
"""Contexts up to this many steps are all tried; beyond, each is a share longer than the one before."""

TRIED = 16
"""Contexts in that rising series, up to the full one."""

WITHIN = 0.01
"""Relative difference to the answer from the full context that is called none."""


@dataclass(frozen=True, eq=False, kw_only=True)
class EffectiveContext(Measurement):
    """M3; see :func:`effective_context`.

    Attributes:
        context: numbers K of last steps, rising; the last one is the full context.
        cut: excess when the steps before the last K are missing (relative; see ``effective_context``).
        shuffled: excess when they are there in random order.
        replaced: excess when they are those of another sequence; NaN where there is only one.
        excess_low: lower bound of the interval of ``cut``.
        excess_high: upper bound.
        length: least K from which on ``cut`` stays within 1 %; the interval is of this.
        order_length: least K from which on ``shuffled`` does: within it the order of steps matters.
        censored: whether only the full context is enough, so that the true length may be longer.
        loss: what ``excess`` is an excess of, in words.
    """

    columns: ClassVar[tuple[str, ...]] = (
        "context",
        "cut",
        "shuffled",
        "replaced",
        "excess_low",
        "excess_high",
    )
    context: np.ndarray
    cut: np.ndarray
    shuffled: np.ndarray
    replaced: np.ndarray
    excess_low: np.ndarray
    excess_high: np.ndarray
    length: int
    order_length: int
    censored: bool
    loss: str

    def sentence(self) -> str:
        """How much of the past an answer needs."""
        more = "at least " if self.censored else ""
        return (
            f"The last {more}{self.length} steps answer within 1 % of what {self.context[-1]} steps do "
            f"({self.loss}; {self.interval}). Beyond the last {self.order_length} the order of steps does "
            "not matter. Shortened sequences start from rest, which training may never have shown."
        )


def effective_context(
    model: Any,
    data: Any,
    *,
    max_context: int | None = None,
    contexts: Sequence[int] | None = None,
    seed: int = 0,
) -> EffectiveContext:
    """How many of the last steps an answer needs: by cutting, shuffling or replacing the others (M3).

    With targets, the excess is ``mean loss / mean loss from full context - 1``; without, it is the mean
    squared change of the output over the variance of outputs. The effective context is the least K from which
    on the excess stays within 1 %.

    Args:
        model: an estimator, ``runtime.Model``, bundle, path or ``Probe``.
        data: what ``Probe.read`` takes. Answers are asked for at the ends of sequences and, where every step
            has one, in between.
        max_context: full context in steps; None: what half of the sequences allow, at most 100.
        contexts: numbers K to try, rising; None: 1 to 8, then each a share longer than the one
            before, up to the full context.
        seed: of the sample of sequences, the shuffling, the replacements and the bootstrap.

    Raises:
        DataError: every sequence is shorter than the context, or the data cannot be used.
        OptionError: contexts out of range.

    Source: Khandelwal et al., Sharp nearby, fuzzy far away, arXiv 1805.04623 (2018); least K within a
    tolerance: relative effective context length of Dai et al., Transformer-XL, arXiv 1901.02860 (2019).

    Example:
        >>> from hiddenstate.lens.examples import shift_register
        >>> x = [np.random.default_rng(0).random(40)]
        >>> effective_context(shift_register(4), x, max_context=16, contexts=[1, 2, 3, 4, 5]).length
        4
    """
    probe = open_probe(model)
    wanted = None if max_context is None else check_count(max_context, 2, "max_context") - 1
    sequences, lag = lags.long_enough(probe.read(data, seed=seed), wanted, what="context")
    full = lag + 1
    tried = _contexts(contexts, full)
    ends, owner = _ends(probe, sequences, full)
    judge = _Judge(probe, ends, owner)
    harm = _harm(judge, ends, owner, tried, np.random.default_rng(seed))

    def figures(rows: np.ndarray) -> np.ndarray:
        excess = judge.excess(harm["cut"], rows)
        return np.concatenate([[_least(excess, tried)], excess])

    both = bootstrap(np.arange(len(sequences)), of="length", statistic=figures, seed=seed)
    excess = {kind: judge.excess(costs) for kind, costs in harm.items()}
    length = _least(excess["cut"], tried)
    return EffectiveContext(
        interval=Interval(both.low[0], both.high[0], both.sequences, "length"),
        convention=(
            f"mean over {len(ends)} steps of {len(sequences)} sequences; the full context is the last {full} "
            "steps, read from rest"
        ),
        context=np.array(tried),
        **excess,
        excess_low=both.low[1:],
        excess_high=both.high[1:],
        length=length,
        order_length=_least(excess["shuffled"], tried),
        censored=length == full,
        loss=judge.words,
    )


def _harm(
    judge: _Judge, ends: list[Encoded], owner: np.ndarray, tried: list[int], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """What every change costs every stretch, by kind: ``[N, C]``."""
    costs: dict[str, list[np.ndarray]] = {"cut": [], "shuffled": [], "replaced": []}
    for last in tried:
        for kind, changed in _changes(ends, owner, last, rng).items():
            costs[kind].append(judge.harm(changed))
    found = {kind: np.stack(parts, axis=1) for kind, parts in costs.items()}
    if len(set(owner.tolist())) == 1:
        found["replaced"] = np.full_like(found["replaced"], np.nan)
    return found


def _contexts(contexts: Sequence[int] | None, full: int) -> list[int]:
    """Rising numbers of steps, ending with the full context."""
    if contexts is None:
        rising = np.geomspace(1, full, TRIED).round().astype(int)
        return np.unique(np.concatenate([np.arange(1, min(full, EVERY) + 1), rising])).tolist()
    found = sorted({check_count(context, 1, "contexts") for context in contexts})
    if not found or found[-1] > full:
        raise OptionError("contexts out of range", where="contexts", expected=f"1 to {full}", got=found)
    return [*(k for k in found if k < full), full]


def _ends(probe: Probe, sequences: Sequence[Encoded], full: int) -> tuple[list[Encoded], np.ndarray]:
    """Stretches of ``full`` steps to ask for an answer at the end of, and the sequence each comes from."""
    ends, owner = [], []
    for number, one in enumerate(sequences):
        stops = [len(one)]
        if not probe.spec.pooled:
            usable = np.arange(full, len(one) + 1)
            if one.targets is not None:
                usable = usable[has_target(one.targets)[usable - 1]]
            picked = np.linspace(0, len(usable) - 1, min(ANCHORS, len(usable))).round().astype(int)
            stops = usable[picked].tolist()
        ends += [one.cut(stop - full, stop) for stop in stops]
        owner += [number] * len(stops)
    if not ends:
        raise DataError("no step with a target after a full context", expected=f"more than {full} steps")
    return ends, np.array(owner)


def _changes(
    ends: list[Encoded], owner: np.ndarray, last: int, rng: np.random.Generator
) -> dict[str, list[Encoded]]:
    """Each stretch with everything before its ``last`` steps cut off, shuffled, or from another sequence."""
    full = len(ends[0])
    cut, shuffled, replaced = [], [], []
    for index, one in enumerate(ends):
        cut.append(one.cut(full - last, full))
        order = np.concatenate([rng.permutation(full - last), np.arange(full - last, full)])
        shuffled.append(_rebuilt(one, {name: value[order] for name, value in one.inputs.items()}))
        others = np.flatnonzero(owner != owner[index])
        other = ends[int(rng.choice(others))] if len(others) else one
        mixed = {
            name: np.concatenate([other.inputs[name][: full - last], value[full - last :]])
            for name, value in one.inputs.items()
        }
        replaced.append(_rebuilt(one, mixed))
    return {"cut": cut, "shuffled": shuffled, "replaced": replaced}


def _rebuilt(one: Encoded, inputs: dict[str, np.ndarray]) -> Encoded:
    return Encoded(inputs, one.labels, one.name, one.targets)


class _Judge:
    """How much worse answers are than those from full context.

    Args:
        probe: the model.
        ends: stretches with the full context.
        owner: the sequence that each comes from.
    """

    def __init__(self, probe: Probe, ends: list[Encoded], owner: np.ndarray) -> None:
        self._probe, self._owner = probe, owner
        self._reference = probe.final(ends).astype(np.float64)
        self._targets = _last_targets(ends)
        if self._targets is None:
            self.words = "squared change of the output over its variance"
            spread = self._reference - self._reference.mean(axis=0)
            self._whole = (spread**2).sum(axis=-1)
        else:
            loss = compare(self._reference, self._targets)
            self.words, self._whole = loss.words, loss.value

    def harm(self, changed: list[Encoded]) -> np.ndarray:
        """What each changed stretch costs, ``[N]``."""
        output = self._probe.final(changed).astype(np.float64)
        if self._targets is None:
            return ((output - self._reference) ** 2).sum(axis=-1)
        return compare(output, self._targets).value - self._whole

    def excess(self, harm: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Relative to full context, over some sequences (None: all): ``harm [N, C] -> [C]``."""
        times = np.ones(len(harm)) if rows is None else np.bincount(rows, minlength=len(harm))[self._owner]
        whole = max(float(times @ self._whole), np.finfo(np.float64).tiny)
        return times @ harm / whole


def _last_targets(ends: list[Encoded]) -> np.ndarray | None:
    """Targets of the last steps, ``[N]`` ids or ``[N, O]`` numbers; None where nothing is known."""
    if any(one.targets is None for one in ends):
        return None
    last = np.stack(
        [one.targets[-1] if one.targets.ndim else one.targets for one in ends if one.targets is not None]
    )
    unknown = last.dtype.kind == "i" and (last == NO_TARGET).all()
    return None if unknown else last


def _least(excess: np.ndarray, tried: list[int]) -> int:
    """The least number of steps from which on the excess stays within 1 %."""
    beyond = np.flatnonzero(excess > WITHIN)
    return tried[min(int(beyond[-1]) + 1, len(tried) - 1)] if len(beyond) else tried[0]
