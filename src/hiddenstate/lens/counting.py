"""Whether a unit counts, and whether it goes on counting in sequences longer than those of training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hiddenstate.errors import DataError

from .probe import open_probe
from .result import Interval, Measurement, bootstrap, check_count
from .tracks import Labels, Tracks, collect


@dataclass(frozen=True, eq=False, kw_only=True)
class CounterTest(Measurement):
    """F2; see :func:`counter_test`. One row for every unit, best counter first.

    Attributes:
        unit: name of the unit.
        correlation: of the unit with the count, within the length of training; the interval belongs to it.
        slope: change of the unit per count, within the length of training.
        slope_beyond: the same in later steps; NaN when there are none.
        trained_length: steps that count as within.
    """

    columns: ClassVar[tuple[str, ...]] = ("unit", "correlation", "slope", "slope_beyond")
    unit: tuple[str, ...]
    correlation: np.ndarray
    slope: np.ndarray
    slope_beyond: np.ndarray
    trained_length: int

    def sentence(self) -> str:
        """The best counter, and whether it holds beyond the length of training."""
        bounds = "one sequence, so no interval"
        if self.interval.sequences > 1:
            low, high = self.interval.low[0], self.interval.high[0]
            bounds = f"{self.interval.level:.0%} interval {low:.3f} to {high:.3f}"
        kept = self.slope_beyond[0] / self.slope[0] if self.slope[0] else np.nan
        beyond = f"no sequence goes beyond the {self.trained_length} steps of training"
        if np.isfinite(kept):
            beyond = f"beyond {self.trained_length} steps its slope is {kept:.0%} of that"
        return (
            f"{self.unit[0]} follows the count with correlation {self.correlation[0]:.3f} ({bounds}), "
            f"{self.slope[0]:+.3g} per count; {beyond}. The best of {len(self.unit)} units is high by choice "
            "too."
        )


def counter_test(
    model: Any,
    data: Any,
    counts: Labels,
    *,
    trained_length: int,
    layer: str | None = None,
    of: str | None = None,
    seed: int = 0,
) -> CounterTest:
    """Correlation of every unit with a count, and its slope within and beyond the length of training (F2).

    Args:
        model: what ``Probe`` takes.
        data: what ``Probe.read`` takes; not cut when ``counts`` are lists.
        counts: the count after every step: a list for each sequence, or a function from an ``Encoded``
            sequence to one; None or NaN where there is none.
        trained_length: steps that training sequences had.
        layer: name of a layer; None: the last one that reads forwards.
        of: "h" or "c"; None: "c" where there is one.
        seed: of the sample of sequences and of the bootstrap.

    Raises:
        DataError: counts are missing, not numbers, or do not vary within the length of training.
        ShapeError: their number is not that of the steps.
        OptionError: no such layer or part.

    Source: Weiss, Goldberg and Yahav, On the practical computational power of finite precision RNNs for
    language recognition, arXiv 1805.04908.

    Example:
        >>> from hiddenstate.lens.examples import counter
        >>> made = counter_test(counter(), [np.ones(40)], [np.arange(1, 41)], trained_length=20)
        >>> made.unit[0], made.correlation.round(6).tolist(), round(float(made.slope_beyond[0]), 4)
        ('rnn_l0.c[0]', [1.0], 0.01)
    """
    check_count(trained_length, 2, "trained_length")
    probe = open_probe(model)
    if of is None:
        of = "c" if "c" in probe.layer(layer).scan.cell.State._fields else "h"
    tracks = collect(probe, data, counts, layer=layer, of=of, seed=seed)
    wanted = _numbers(tracks)
    within = tracks.step < trained_length
    if not within.any() or np.ptp(wanted[within]) == 0:
        expected = f"counts that vary in the first {trained_length} steps"
        raise DataError("nothing to count", where="counts", expected=expected)
    inner = _moments(tracks, wanted, within)
    slope, correlation = _line(inner.sum(axis=0))
    beyond, _ = _line(_moments(tracks, wanted, ~within).sum(axis=0))
    order = np.argsort(-np.abs(np.nan_to_num(correlation)), kind="stable")
    both = bootstrap(inner, of="correlation", statistic=lambda rows: _line(rows.sum(axis=0))[1], seed=seed)
    return CounterTest(
        unit=tuple(tracks.units[unit] for unit in order),
        correlation=correlation[order],
        slope=slope[order],
        slope_beyond=beyond[order],
        trained_length=trained_length,
        interval=Interval(both.low[order], both.high[order], both.sequences, "correlation"),
        convention=(
            f"{of} of {tracks.layer.name}, Pearson's correlation and least squares over all steps of "
            f"{len(inner)} sequences, each from rest"
        ),
    )


def _numbers(tracks: Tracks) -> np.ndarray:
    try:
        return tracks.labels.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError("counts are not numbers", where="counts", got=str(error)) from error


def _moments(tracks: Tracks, counts: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Sums by sequence and unit, ``[N, 6, H]``: 1, x, y, x^2, y^2, xy with x the count and y the unit."""
    names = np.unique(tracks.sequence)
    found = np.zeros((len(names), 6, tracks.values.shape[1]))
    # Centred, which changes no slope, so that differences of large sums stay exact.
    x, y = counts - counts.mean(), tracks.values - tracks.values.mean(axis=0)
    for row, name in enumerate(names):
        own = kept & (tracks.sequence == name)
        xs, ys = x[own][:, None], y[own]
        terms = (np.ones_like(ys), xs + 0 * ys, ys, xs**2 + 0 * ys, ys**2, xs * ys)
        found[row] = [term.sum(axis=0) for term in terms]
    return found


def _line(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope of y on x, and their correlation, ``[H]``; NaN where x, or for the correlation y, is constant."""
    count, x, y, xx, yy, xy = sums
    together, of_x, of_y = count * xy - x * y, count * xx - x * x, count * yy - y * y
    unknown = np.full(x.shape, np.nan)
    slope = np.divide(together, of_x, out=unknown.copy(), where=of_x > 0)
    both = of_x * of_y
    correlation = np.divide(together, np.sqrt(np.maximum(both, 0)), out=unknown.copy(), where=both > 0)
    return slope, correlation
