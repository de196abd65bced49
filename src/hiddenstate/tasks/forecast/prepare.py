"""From the user's data to everything training needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hiddenstate import data
from hiddenstate.errors import DataError, OptionError
from hiddenstate.tasks.base import Prepared
from hiddenstate.tasks.cards import digest

from .codec import ForecastCodec
from .heads import Reference
from .history import History, assign_roles, cut, read
from .layout import Layout, network
from .run import encode_whole
from .scoring import Scale
from .season import detect_season

if TYPE_CHECKING:
    from .estimator import Forecaster

LONGEST_LAGS = 96
"""Values of a target shown at each step unless the user asks for more; beyond is the memory's work."""

MOST_SHOWN = 512
"""Values of all targets together shown at each step unless the user asks for more."""


def prepare(forecaster: Forecaster, source: Any) -> tuple[Prepared, list[History], list[int]]:
    """Everything training needs.

    Returns:
        What ``Estimator._train`` takes, the series, and the number of training rows of each.

    Raises:
        DataError: when the data cannot be used.
        OptionError: when parameters do not go together.
    """
    table = data.read(source)
    layout = assign_roles(
        table,
        target=forecaster.target,
        id=forecaster.id,
        time=forecaster.time,
        static=forecaster.static,
        past=forecaster.past,
        future=forecaster.future,
    )
    layout = replace(layout, duplicates=forecaster.duplicates)
    histories, frequency = read(table, layout)
    rows = _training_rows(histories, forecaster)
    training = [cut(one, count) for one, count in zip(histories, rows, strict=True)]
    layout = _complete(replace(layout, frequency=frequency), forecaster, training)
    codec = ForecastCodec.fit(training, layout, scaling=forecaster.scaling, calendar=forecaster.calendar)
    prepared = Prepared(
        spec=_spec(codec, forecaster),
        job=_job(codec, forecaster, histories, rows),
        codec=codec.to_json(),
        settings={"scales": _scales(training, layout.season)},
        data=_facts(histories, layout),
        initial=_initial(codec, forecaster),
    )
    return prepared, histories, rows


def _training_rows(histories: Sequence[History], forecaster: Forecaster) -> list[int]:
    """How many rows of each series are trained on; the rest is held back.

    Raises:
        DataError: when no series shows the whole horizon.
    """
    parts = data.cut_in_time([len(one) for one in histories], validation=forecaster.validation or 0)
    rows = [part.train.stop for part in parts]
    steps = forecaster.horizon if forecaster.strategy == "direct" else 1
    if max(rows) <= steps:
        held = "" if forecaster.validation is None else f" before the last {forecaster.validation:.0%}"
        raise DataError(
            "too few rows to learn from",
            where=histories[0].where if len(histories) == 1 else f"the longest of {len(histories)} series",
            expected=f"more rows than the horizon of {steps}{held}",
            got=max(rows),
            fix="Give more rows, a shorter horizon, or validation=None",
        )
    return rows


def _complete(layout: Layout, forecaster: Forecaster, training: Sequence[History]) -> Layout:
    """The layout with everything that follows from parameters and data."""
    _check_values(layout, forecaster, training)
    season = forecaster.season or _season(layout, training)
    lags = forecaster.lags if forecaster.lags is not None else _lags(season, forecaster.horizon, layout)
    cycle = forecaster.cycle if forecaster.cycle is not None else _seen_season(training)
    missing = {name for one in training for name, values in _columns(layout, one) if np.isnan(values).any()}
    head, levels = {
        "point": ("point", ()),
        "quantiles": ("quantiles", tuple(sorted(forecaster.quantiles))),
        "distribution": (forecaster.distribution, tuple(sorted(forecaster.quantiles))),
    }[forecaster.output]
    return replace(
        layout,
        season=season,
        horizon=forecaster.horizon,
        steps=forecaster.horizon if forecaster.strategy == "direct" else 1,
        recursive=forecaster.strategy == "recursive",
        level=forecaster.level,
        lags=max(lags, 1) if forecaster.level == "last" else lags,
        cycle=cycle if cycle > lags + 1 else 0,
        masked=tuple(name for name in (*layout.target, *layout.past) if name in missing),
        head=head,
        levels=levels,
    )


def _check_values(layout: Layout, forecaster: Forecaster, training: Sequence[History]) -> None:
    """What a column must hold, beyond being numbers.

    Raises:
        DataError: a target without any value, or not counts where counts are forecast.
        OptionError: past columns of a recursive forecast.
    """
    if layout.past and forecaster.strategy == "recursive":
        raise OptionError(
            "a recursive forecast would need past columns of the future",
            where="past",
            expected="no past= with strategy='recursive'",
            got=layout.past,
            fix="Use strategy='direct', or give columns that are known ahead as future=",
        )
    for k, name in enumerate(layout.target):
        values = np.concatenate([one.target[:, k] for one in training])
        values = values[~np.isnan(values)]
        counts = forecaster.output == "distribution" and forecaster.distribution == "negative-binomial"
        if counts and ((values < 0) | (values != np.round(values))).any():
            raise DataError(
                "not counts",
                where=f"column '{name}'",
                expected="whole numbers from 0",
                got=float(values.min()),
            )


def _columns(layout: Layout, history: History) -> list[tuple[str, np.ndarray]]:
    return [
        *zip(layout.target, history.target.T, strict=True),
        *zip(layout.past, history.past.T, strict=True),
    ]


def _lags(season: int, horizon: int, layout: Layout) -> int:
    """Some seasons or horizons, as far as the bounds allow."""
    longest = min(LONGEST_LAGS, max(MOST_SHOWN // len(layout.target), 12))
    return min(max(4 * season, 4 * horizon, 24), longest)


def _season(layout: Layout, training: Sequence[History]) -> int:
    """What the calendar says, else what the longest series shows."""
    if layout.frequency is not None and layout.frequency.season > 1:
        return layout.frequency.season
    return _seen_season(training)


def _seen_season(training: Sequence[History]) -> int:
    return detect_season(max(training, key=len).target[:, 0])


def _spec(codec: ForecastCodec, forecaster: Forecaster) -> Any:
    return network(
        codec.layout,
        calendar=codec.calendar.size,
        vocabularies=[words.size for words in codec.words],
        recurrent={
            "cell": forecaster.cell,
            "hidden_size": forecaster.hidden_size,
            "num_layers": forecaster.num_layers,
            "dropout": forecaster.dropout if forecaster.num_layers > 1 else 0.0,
            "options": dict(forecaster.cell_options or {}),
        },
        dropout=forecaster.dropout,
    )


def _initial(codec: ForecastCodec, forecaster: Forecaster) -> Mapping[str, np.ndarray]:
    """The head starts at zero: training starts from the level itself, the naive forecast."""
    shapes = _spec(codec, forecaster).param_shapes()
    return {name: np.zeros(shapes[name], np.float32) for name in ("head.weight", "head.bias")}


def _job(
    codec: ForecastCodec, forecaster: Forecaster, histories: Sequence[History], rows: Sequence[int]
) -> Any:
    from .job import Example, ForecastJob

    examples = []
    for history, count in zip(histories, rows, strict=True):
        seen = encode_whole(codec, history)
        inputs = {name: value[:, 0] for name, value in seen.inputs.items()}
        reference = Reference(*(value[:, 0] for value in seen.reference))
        examples.append(Example(inputs, seen.scaled[:, 0], reference, count))
    layout = codec.layout
    context = forecaster.context or int(np.clip(2 * max(layout.season, layout.horizon), 192, 384))
    loss = forecaster.loss
    identity = {
        "data": _digest(histories),
        "batch_size": forecaster.batch_size,
        "context": context,
        "loss": loss,
        "codec": codec.to_json(),
    }
    return ForecastJob(
        examples,
        layout.make_head(loss),
        steps=layout.steps,
        context=context,
        batch_size=forecaster.batch_size,
        identity=identity,
    )


def _digest(histories: Sequence[History]) -> str:
    parts = [[one.target, one.past, one.future, one.numbers, [*one.words], one.id] for one in histories]
    stamps = [one.time for one in histories if one.time is not None]
    return digest([value for part in parts for value in part] + stamps)


def _scales(training: Sequence[History], season: int) -> dict[str, Any]:
    return {one.id or "": Scale.of(one.target, season).to_json() for one in training}


def _facts(histories: Sequence[History], layout: Layout) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "rows": sum(len(one) for one in histories),
        "series": len(histories),
        "target": list(layout.target),
        "sha256": _digest(histories),
    }
    if layout.frequency is not None:
        stamps = [one.stamps() for one in histories]
        known = [one for one in stamps if one is not None and len(one)]
        facts |= {
            "frequency": layout.frequency.name,
            "from": str(min(s[0] for s in known)),
            "to": str(max(s[-1] for s in known)),
        }
    return facts
