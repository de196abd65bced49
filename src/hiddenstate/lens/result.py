"""What every measurement returns: named arrays with a confidence interval, a convention and a sentence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from hiddenstate.errors import OptionError

LEVEL = 0.95
"""Level of all confidence intervals."""

RESAMPLES = 1000
"""Bootstrap samples behind an interval."""


@dataclass(frozen=True, eq=False)
class Interval:
    """A confidence interval over sequences, by the percentile bootstrap with a fixed seed.

    Attributes:
        low: lower bound, in the shape of the figure; NaN when there was only one sequence.
        high: upper bound.
        sequences: number of sequences it was made from.
        level: share of such intervals that hold the true figure.
        of: name of the field it belongs to.
    """

    low: np.ndarray
    high: np.ndarray
    sequences: int
    of: str
    level: float = LEVEL

    def __str__(self) -> str:
        """Of a single number: ``95% interval 3.1 to 4.2 over 64 sequences``."""
        return format(self, ".3g")

    def __format__(self, spec: str) -> str:
        """As ``str``, with the format of its bounds: ``f"{interval:.1%}"``."""
        if self.sequences < 2:
            return "one sequence, so no interval"
        low, high = (format(float(np.asarray(value)), spec or ".3g") for value in (self.low, self.high))
        return f"{self.level:.0%} interval {low} to {high} over {self.sequences} sequences"


def mean_over_sequences(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis, NaN left out (NaN where there is nothing else)."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.divide(total, known.sum(axis=0), out=np.full(total.shape, np.nan), where=known.any(axis=0))


def bootstrap(
    values: np.ndarray,
    *,
    of: str,
    statistic: Callable[[np.ndarray], Any] = mean_over_sequences,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """Interval of a figure that is made from per-sequence values, drawing whole sequences with replacement.

    Args:
        values: one entry per sequence, ``[N, ...]``.
        of: name of the result's field that the interval belongs to.
        statistic: from ``[N, ...]`` to the figure (a number or an array).
        seed: of the draws.
        resamples: number of draws; fewer for a figure that takes long.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), percentile intervals.

    Example:
        >>> made = bootstrap(np.arange(100.0), of="mean")
        >>> bool(made.low < 49.5 < made.high), made.sequences
        (True, 100)
    """
    values = np.asarray(values)
    count = len(values)
    if count < 2:
        nothing = np.full_like(np.asarray(statistic(values), np.float64), np.nan)
        return Interval(nothing, nothing, count, of)
    rng = np.random.default_rng(seed)
    found = np.stack(
        [np.asarray(statistic(values[rng.integers(0, count, count)]), np.float64) for _ in range(resamples)]
    )
    tail = (1 - LEVEL) / 2
    known = np.isfinite(found).any(axis=0)
    found = np.where(known, found, 0.0)
    low, high = np.nanquantile(np.where(np.isfinite(found), found, np.nan), [tail, 1 - tail], axis=0)
    return Interval(np.where(known, low, np.nan), np.where(known, high, np.nan), count, of)


class StepMeans(NamedTuple):
    """Means over sequences and steps, and what a bootstrap over sequences needs of them.

    Attributes:
        sums: over the valid steps of each sequence, ``[B, ...]`` float64.
        counts: number of valid steps, ``[B]``.
    """

    sums: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, valid: np.ndarray) -> StepMeans:
        """From ``values [T, B, ...]`` and ``valid [T, B]``."""
        mask = valid.reshape(*valid.shape, *[1] * (values.ndim - 2))
        return cls(np.where(mask, values, 0).sum(axis=0, dtype=np.float64), valid.sum(axis=0))

    def mean(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """``E``: the mean over all steps of all (or some) sequences, ``[...]``."""
        return self.sums[rows].sum(axis=0) / max(self.counts[rows].sum(), 1)

    def interval(
        self, *, of: str, figure: Callable[[np.ndarray], Any] = np.asarray, seed: int = 0
    ) -> Interval:
        """Of a figure made from the mean."""
        rows = np.arange(len(self.counts))
        return bootstrap(rows, of=of, statistic=lambda some: figure(self.mean(some)), seed=seed)


@dataclass(frozen=True, eq=False, kw_only=True)
class Measurement(ABC):
    """Base of all results: frozen, JSON-able, said in a sentence.

    A measurement is ``@dataclass(frozen=True, eq=False, kw_only=True)`` on top of this one; its fields are
    numbers, strings, numpy arrays, tuples and nested dataclasses of those.

    Attributes:
        interval: confidence interval over sequences of the field that ``interval.of`` names.
        convention: one sentence: what s_t is, which norm, a mean over what.
        columns: names of the array fields of one length that stand side by side in ``table``.
    """

    interval: Interval
    convention: str
    columns: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def sentence(self) -> str:
        """The finding in plain words, with its number and its caveat."""

    def table(self) -> dict[str, np.ndarray]:
        """The arrays of ``columns`` by name, with ``low`` and ``high`` where the interval belongs to one."""
        found = {name: np.asarray(getattr(self, name)) for name in self.columns}
        if self.interval.of in self.columns:
            found |= {"low": self.interval.low, "high": self.interval.high}
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps(..., allow_nan=False)``; NaN and infinity become None."""
        return {"measurement": type(self).__name__, "sentence": self.sentence()} | _fields(self)


def check_count(value: Any, low: int, where: str) -> int:
    """A whole number of at least ``low``.

    Raises:
        OptionError: when it is not.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
        raise OptionError(
            "out of range", where=where, expected=f"a whole number, {low} or more", got=repr(value)
        )
    return int(value)


def plain(value: Any) -> Any:
    """Arrays, records and numbers of numpy as lists, dicts and numbers; what is not finite as None."""
    if is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _fields(value: Any) -> dict[str, Any]:
    return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
