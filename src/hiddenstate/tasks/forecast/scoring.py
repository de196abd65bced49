"""Figures of forecasts from many origins, summed up series by series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hiddenstate.tasks import metrics

FIGURES = ("mae", "rmse", "smape", "mase", "mae_scaled", "mse_scaled")


@dataclass
class Scale:
    """What errors of one series are divided by, for each target ``[K]``.

    Attributes:
        season: mean absolute difference to one season before, in training (for ``mase``).
        deviation: standard deviation in training (for ``mae_scaled`` and ``mse_scaled``).
    """

    season: list[float]
    deviation: list[float]

    @classmethod
    def of(cls, target: np.ndarray, season: int) -> Scale:
        """The scales of targets ``[N, K]``."""
        spread = [
            float(np.std(column[~np.isnan(column)])) if (~np.isnan(column)).any() else 0.0
            for column in target.T
        ]
        return cls([metrics.seasonal_scale(column, season) for column in target.T], spread)

    def to_json(self) -> list[list[float | None]]:
        """Plain lists; None where a scale is not known."""
        return [[None if np.isnan(v) else v for v in values] for values in (self.season, self.deviation)]

    @classmethod
    def from_json(cls, data: Sequence[Sequence[float | None]]) -> Scale:
        """The scale that ``to_json`` wrote."""
        return cls(*([np.nan if v is None else float(v) for v in values] for values in data))


@dataclass
class Tally:
    """Sums of the errors of one forecaster.

    Attributes:
        sums: by name of the figure, total and number of terms.
        levels: quantile levels of the forecasts, if any.
    """

    levels: tuple[float, ...] = ()
    sums: dict[str, list[float]] = field(default_factory=dict)

    def add(
        self,
        actual: np.ndarray,
        point: np.ndarray,
        quantiles: Mapping[float, np.ndarray],
        scale: Scale,
        k: int,
    ) -> None:
        """Forecasts ``[O, H]`` of target ``k`` of one series; missing actual values do not count.

        Without quantiles the point stands for all of them.
        """
        error = actual - point
        self._add("mae", np.abs(error))
        self._add("rmse", error**2)
        self._add("smape", metrics.absolute_percentage(actual, point))
        if scale.season[k] > 0:
            self._add("mase", np.abs(error) / scale.season[k])
        if scale.deviation[k] > 0:
            self._add("mae_scaled", np.abs(error) / scale.deviation[k])
            self._add("mse_scaled", (error / scale.deviation[k]) ** 2)
        if self.levels:
            for level in self.levels:
                off = actual - quantiles.get(level, point)
                self._add("crps", 2 * np.maximum(level * off, (level - 1) * off))
        if len(self.levels) > 1 and quantiles:
            low, high = quantiles[min(self.levels)], quantiles[max(self.levels)]
            inside = (actual >= low) & (actual <= high)
            self._add("coverage", np.where(np.isnan(actual), np.nan, inside))

    def figures(self) -> dict[str, float]:
        """Means by name, NaN where nothing could be counted."""
        names = [
            *FIGURES,
            *(["crps"] if self.levels else []),
            *(["coverage"] if len(self.levels) > 1 else []),
        ]
        found = {name: self._mean(name) for name in names}
        return found | {"rmse": found["rmse"] ** 0.5}

    def _add(self, name: str, terms: np.ndarray) -> None:
        known = terms[~np.isnan(terms)]
        total = self.sums.setdefault(name, [0.0, 0.0])
        total[0] += float(known.sum())
        total[1] += known.size

    def _mean(self, name: str) -> float:
        total, count = self.sums.get(name, (0.0, 0.0))
        return total / count if count else float("nan")


def notes(levels: tuple[float, ...], origins: int, horizon: int, season: int) -> tuple[str, ...]:
    """How the figures were made, in sentences."""
    text = [
        f"{origins} origins, {horizon} steps ahead, season {season}.",
        "mase: error over that of the seasonal naive forecast in training, one step ahead; below 1 is better."
        " _scaled: in standard deviations of the training data.",
    ]
    if levels:
        text.append(
            "crps: twice the mean quantile loss over " + ", ".join(f"{level:g}" for level in levels) + "."
        )
    if len(levels) > 1:
        text.append(
            f"coverage: share of values between the quantiles {min(levels):g} and {max(levels):g}; "
            f"{max(levels) - min(levels):.2g} is right."
        )
    return tuple(text)
