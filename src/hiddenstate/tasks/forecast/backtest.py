"""Which rows of the past are forecast from, and how far off the forecasts were."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from hiddenstate.data.times import parse_time
from hiddenstate.errors import DataError, OptionError
from hiddenstate.options import Whole

from .baselines import BASELINES
from .codec import quantile_names
from .history import History
from .layout import Layout
from .run import Forecasts
from .scoring import Scale, Tally


def first_rows(histories: Sequence[History], layout: Layout, start: Any) -> list[int]:
    """The first row to be forecast in each series.

    Args:
        histories: the series.
        layout: says what about one season is.
        start: a row number (negative: from the end), a time stamp, or None: after about one season.

    Raises:
        OptionError: when it is none of these.
        DataError: when it is no readable time stamp.
    """
    if start is None:
        warm = max(layout.season, layout.lags) + 1
        return [min(warm, max(len(one) // 2, 1)) for one in histories]
    if isinstance(start, (int, np.integer)) and not isinstance(start, bool):
        return [max(int(start) + (len(one) if start < 0 else 0), 1) for one in histories]
    stamps = [one.stamps() for one in histories]
    if layout.frequency is None or layout.frequency.unit == "steps":
        raise OptionError("not a row number", where="start", expected="a whole number", got=repr(start))
    stamp = parse_time(start)
    return [max(int(np.searchsorted(one, stamp)), 1) for one in stamps if one is not None]


def origins(
    histories: Sequence[History], starts: Sequence[int], stride: int, horizon: int
) -> list[np.ndarray]:
    """Numbers of the last known rows of each series that have a full horizon of rows after them."""
    if not Whole(1).admits(stride):
        raise OptionError("not a stride", where="stride", expected="a whole number from 1", got=repr(stride))
    pairs = zip(histories, starts, strict=True)
    return [np.arange(start - 1, len(one) - horizon, stride) for one, start in pairs]


def refuse_none(found: Sequence[np.ndarray], histories: Sequence[History], horizon: int) -> None:
    """An error when there is no origin.

    Raises:
        DataError: saying how many rows it takes.
    """
    if not any(map(len, found)):
        raise DataError(
            "too few rows to forecast any that are known",
            where=histories[0].where if len(histories) == 1 else f"{len(histories)} series",
            expected=f"more than {horizon} rows, {horizon} of them from start on",
            got=max(map(len, histories)),
            fix="Give more rows, an earlier start or a shorter horizon",
        )


def tally(
    forecasts: Iterable[Forecasts], layout: Layout, horizon: int, scales: Mapping[str, Scale]
) -> dict[str, Tally]:
    """Errors of the network and of the baselines, by name.

    Args:
        forecasts: of the network.
        layout: names of the targets, levels of the quantiles, season.
        horizon: rows ahead.
        scales: of the series known from training, by id.
    """
    tallies = {name: Tally(layout.levels) for name in ("network", *BASELINES)}
    for history, rows, columns in forecasts:
        scale = scales.get(history.id or "") or Scale.of(history.target, layout.season)
        known = actual(history, rows, horizon)
        for k, name in enumerate(layout.target):
            named = zip(layout.levels, quantile_names(name, layout.levels), strict=True)
            quantiles = {level: columns[column] for level, column in named}
            tallies["network"].add(known[..., k], columns[name], quantiles, scale, k)
            for baseline, forecast in BASELINES.items():
                naive = forecast(history.target[:, k], rows, horizon, layout.season)
                tallies[baseline].add(known[..., k], naive, {}, scale, k)
    return tallies


def actual(history: History, rows: np.ndarray, horizon: int) -> np.ndarray:
    """What came after some rows, ``[O, horizon, K]``."""
    return history.target[rows[:, None] + np.arange(1, horizon + 1)]
