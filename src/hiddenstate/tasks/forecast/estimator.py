"""The estimator for forecasting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from ... import data
from ...data.times import parse_time
from ...errors import DataError, OptionError
from ...options import FLAG, InstanceOf, OneOf, Real, Whole, check, option
from ..base import Estimator
from ..scores import Scores
from . import scoring
from .baselines import BASELINES
from .codec import ForecastCodec
from .history import History, read
from .run import Network, Paths, direct, outputs, recursive, summary, whole
from .scoring import Scale, Tally

if TYPE_CHECKING:
    from .live import ForecastPool, Forecasts

_NAMES = (InstanceOf(list, tuple, what="a list of column names"),)
_BLOCK = 4096
"""Origins whose forecasts are in memory at once while scoring."""


@dataclass(kw_only=True, eq=False, repr=False)
class Forecaster(Estimator):
    """Forecasts the next rows of one or many time series.

    A recurrent network reads a series row by row and forecasts from every row, relative to the level of the series
    there. It trains on all rows of all series as origins in one pass, and streams: a row in, a forecast out.

    Args:
        target: column to forecast, or several; None: the only column of numbers.
        horizon: rows ahead.
        id: column that tells series apart; None: one series.
        time: column of time stamps; "auto": the only column of dates, if there is one; None: rows are in order.
        static: columns with one value per series, numbers or words.
        past: columns known up to now only.
        future: columns known ahead (prices, holidays). Their rows beyond the last target are given with the data.
        calendar: use hour, weekday, month ... of the time stamps.
        strategy: "direct": all steps ahead at once; "recursive": one step ahead, fed its own forecasts, any horizon.
        output: "point", "quantiles", or "distribution".
        loss: of point forecasts: "huber" (normal errors squared, large ones absolute), "mse" or "mae".
        distribution: "normal", "student-t", or "negative-binomial" for counts.
        quantiles: levels of the quantiles given with ``output`` "quantiles" or "distribution".
        samples: paths that a recursive distribution forecast is made of.
        level: what forecasts are relative to: the "last" value, the "mean" of the values shown, or "none". With "last"
            or "mean" a series may drift away from where it was in training.
        scaling: of the targets, for each series: "standard", "robust", "minmax", "log" (amounts from 0) or "none".
        lags: values before the current one that are shown at each step; None: about one season.
        season: cycle length in rows; None: from the time stamps, else from the values.
        context: rows in a training window; None: about two seasons or horizons.
        cell, cell_options, hidden_size, num_layers, dropout, epochs, batch_size, learning_rate, optimizer,
            weight_decay, clip_norm, schedule, warmup_updates, validation, patience, max_seconds, seed, checkpoint,
            progress: see :class:`~hiddenstate.tasks.base.Estimator`. ``validation`` is the last share of every series.

    Learned by ``fit``: ``target_names_``, ``season_``, ``frequency_`` (None without time stamps), and what every
    estimator has.

    Example:
        >>> import numpy as np, hiddenstate as hs
        >>> wave = {"x": np.sin(np.arange(300) / 3)}
        >>> model = hs.Forecaster(target="x", horizon=4, hidden_size=8, epochs=5, progress=False).fit(wave)
        >>> model.predict(wave).names
        ['step', 'x']
    """

    task: ClassVar[str] = "forecast"

    target: str | Sequence[str] | None = option(None, InstanceOf(str, list, tuple), OneOf(None))
    horizon: int = option(12, Whole(1, 1 << 16))
    id: str | None = option(None, InstanceOf(str), OneOf(None))
    time: str | None = option("auto", InstanceOf(str), OneOf(None))
    static: Sequence[str] = option((), *_NAMES)
    past: Sequence[str] = option((), *_NAMES)
    future: Sequence[str] = option((), *_NAMES)
    calendar: bool = option(True, FLAG)
    strategy: str = option("direct", OneOf("direct", "recursive"))
    output: str = option("point", OneOf("point", "quantiles", "distribution"))
    loss: str = option("huber", OneOf("huber", "mse", "mae"))
    distribution: str = option("normal", OneOf("normal", "student-t", "negative-binomial"))
    quantiles: Sequence[float] = option(
        (0.1, 0.5, 0.9), InstanceOf(list, tuple, what="a list of quantile levels")
    )
    samples: int = option(100, Whole(2))
    level: str = option("last", OneOf("last", "mean", "none"))
    scaling: str = option("standard", OneOf("standard", "robust", "minmax", "log", "none"))
    lags: int | None = option(None, Whole(0, 1 << 12), OneOf(None))
    season: int | None = option(None, Whole(1, 1 << 16), OneOf(None))
    context: int | None = option(None, Whole(2), OneOf(None))
    dropout: float = option(0.1, Real(0, 1, below=True))
    batch_size: int = option(16, Whole(1))
    learning_rate: float = option(2e-3, Real(0, above=True))
    validation: float | None = option(0.15, Real(0, 1, above=True, below=True), OneOf(None))

    # ---- training

    def fit(self, source: Any, y: None = None) -> Self:
        """Learn from one or many series.

        Args:
            source: a file, a frame, a dict of columns or an array: anything ``hs.data.read`` takes.
            y: ignored; scikit-learn's tools pass it.

        Raises:
            DataError: on data that cannot be used.
            OptionError: on a parameter out of range, or parameters that do not go together.
        """
        from .prepare import prepare

        check(self)
        self._check_together()
        prepared, histories, rows = prepare(self, source)
        if self.validation is not None:
            prepared.metrics = lambda: self._held_back_metrics(histories, rows)
        return self._train(prepared)

    def _check_together(self) -> None:
        levels = list(self.quantiles)
        if self.output != "point" and (
            not levels or not all(Real(0, 1, True, True).admits(v) for v in levels)
        ):
            raise OptionError(
                "not quantile levels", where="quantiles", expected="numbers inside (0, 1)", got=levels
            )
        if len(set(levels)) < len(levels):
            raise OptionError("a quantile level twice", where="quantiles", got=levels)
        if self.strategy == "recursive" and self.output == "quantiles":
            raise OptionError(
                "quantiles cannot be fed back",
                where="output",
                expected="'point' or 'distribution' with strategy='recursive'",
                got="'quantiles'",
                fix="Use output='distribution': the quantiles then come from sample paths",
            )
        if (
            self.scaling == "log"
            and self.output == "distribution"
            and self.distribution == "negative-binomial"
        ):
            raise OptionError(
                "counts are not forecast on a log scale", where="scaling", expected="'standard'", got="'log'"
            )

    def _held_back_metrics(self, histories: list[History], rows: list[int]) -> dict[str, Any]:
        """Figures of forecasts of the rows held back, for the card; empty where they are fewer than the horizon."""
        starts = [rows[i] if rows[i] < len(one) else len(one) for i, one in enumerate(histories)]
        tallies, count = self._tally(histories, starts, 1)
        if not count:
            return {}
        return {name: _finite(tally.figures()) for name, tally in tallies.items()}

    def _adopt(self) -> None:
        codec = ForecastCodec.from_json(self.bundle_.codec)
        self.codec_ = codec
        self.head_ = codec.layout.make_head()
        self.target_names_ = codec.layout.target
        self.season_, self.frequency_ = codec.layout.season, codec.layout.frequency
        self.scales_ = {id: Scale.from_json(scale) for id, scale in self.bundle_.task["scales"].items()}

    # ---- forecasts

    def predict(self, source: Any, horizon: int | None = None) -> data.Table:
        """Forecast the rows after the end of each series.

        Args:
            source: the recent past of the series, some seasons of it; with known-future columns also their next rows.
            horizon: rows ahead; None: as in training. A direct forecaster cannot see further than that.

        Returns:
            A row for each series and step: the id and time columns where there are any, "step", each target, and its
            quantiles as "<target>_q<level>".

        Raises:
            DataError: on data that cannot be used.
            OptionError: on a horizon beyond what was trained.
        """
        network, horizon = self._network(), self._checked_horizon(horizon)
        histories, parts = self._read(source), []
        self._check_ahead(histories, horizon)
        last = [np.array([len(one) - 1]) for one in histories]
        for history, columns, _ in self._forecasts(network, histories, last, horizon):
            parts.append(self._labels(history, last[0] * 0 + len(history) - 1, horizon) | columns)
        return _table(parts)

    def sample(self, source: Any, n: int = 100, *, horizon: int | None = None, seed: int = 0) -> data.Table:
        """Draw forecasts from the forecast distribution.

        A recursive forecaster gives joint paths; a direct one draws every step by itself.

        Args:
            source: as for ``predict``.
            n: draws for each series.
            horizon: rows ahead; None: as in training.
            seed: the same seed gives the same draws.

        Returns:
            As ``predict``, a row for each series, draw and step, with a column "sample" and the targets.

        Raises:
            OptionError: when the forecaster has no distribution.
        """
        network, horizon = self._network(), self._checked_horizon(horizon)
        if self.output != "distribution":
            raise OptionError(
                "there is no distribution to draw from",
                where="output",
                expected="'distribution'",
                got=repr(self.output),
            )
        if not Whole(1).admits(n):
            raise OptionError("not a number of draws", where="n", expected="1 or more", got=n)
        histories = self._read(source)
        self._check_ahead(histories, horizon)
        parts = []
        for number, history in enumerate(histories):
            draws = self._draws(network, history, horizon, Paths(n, [seed, number]))
            for index, path in enumerate(draws):
                labels = self._labels(history, np.array([len(history) - 1]), horizon)
                parts.append(
                    labels | {"sample": np.full((1, horizon), index)} | _by_target(self.target_names_, path)
                )
        return _table(parts)

    def backtest(
        self, source: Any, *, start: Any = None, stride: int = 1, horizon: int | None = None
    ) -> data.Table:
        """Forecast from many origins of the past, in one pass over each series with the state carried.

        Every forecast is what ``predict`` gives for the series cut off at its origin.

        Args:
            source: as for ``predict``.
            start: first row to be forecast: its number in each series (from 0; negative from the end), or its time
                stamp. None: after about one season.
            stride: rows from one origin to the next.
            horizon: rows ahead; None: as in training.

        Returns:
            As ``predict``, with columns "origin" (time stamp, or number, of the last row known) and
            "<target>_actual". Origins have a full horizon of rows after them.

        Raises:
            DataError: when no series is long enough.
        """
        network, horizon = self._network(), self._checked_horizon(horizon)
        histories = self._read(source)
        origins = self._origins(histories, self._starts(histories, start), stride, horizon)
        parts = []
        for history, columns, rows in self._forecasts(network, histories, origins, horizon):
            stamps = history.stamps()
            known = rows if stamps is None else stamps[rows]
            labels = self._labels(history, rows, horizon) | {
                "origin": np.repeat(known[:, None], horizon, axis=1)
            }
            actual = _actual(history, rows, horizon)
            parts.append(
                labels
                | columns
                | {f"{k}_actual": v for k, v in _by_target(self.target_names_, actual).items()}
            )
        return _table(parts)

    def score(
        self, source: Any, y: None = None, *, start: Any = None, stride: int = 1, horizon: int | None = None
    ) -> Scores:
        """Errors of backtest forecasts beside those of forecasts that need no training.

        Not a single number, as scikit-learn's ``score``; ``score(...)["mae"]`` is one. For a search:
        ``GridSearchCV(..., scoring=lambda model, x, y=None: -model.score(x)["mae"])``.

        Args:
            source: as for ``predict``.
            y: ignored; scikit-learn's tools pass it.
            start: first row to be forecast, as for ``backtest``.
            stride: rows from one origin to the next.
            horizon: rows ahead; None: as in training.

        Returns:
            mae, rmse, smape (0 to 200), mase, mae_scaled, mse_scaled, and with quantiles crps and coverage; the notes
            say what they mean.

        Raises:
            DataError: when no series is long enough.
        """
        horizon = self._checked_horizon(horizon)
        histories = self._read(source)
        tallies, count = self._tally(histories, self._starts(histories, start), stride, horizon)
        if not count:
            self._refuse_short(histories, horizon)
        rows = [{"model": name} | tally.figures() for name, tally in tallies.items()]
        return Scores(rows, notes=scoring.notes(self.codec_.layout.levels, count, horizon, self.season_))

    def stream(self, blob: bytes | None = None) -> Forecasts:
        """One live series: ``step(row)`` gives the forecast of the next ``horizon`` rows, by column.

        A row is a dict of columns, or a number where there is nothing but one target. See ``live.Live`` for missing
        values, gaps and columns known ahead.

        Args:
            blob: a snapshot to go on from.
        """
        from .live import Forecasts

        session = Forecasts(self.model_, self._adapter())
        if blob is not None:
            session.restore(blob)
        return session

    def streams(self) -> ForecastPool:
        """Many live series, advanced together: ``pool.step({"a": row, "b": row})``."""
        from .live import ForecastPool

        return ForecastPool(self.model_, self._adapter)

    def _adapter(self) -> Any:
        from .live import Live

        return Live(self._network(), self.codec_.layout.horizon, Paths(self.samples, [self.seed]))

    # ---- how

    def _network(self) -> Network:
        return Network(self.codec_, self.head_, self.model_)

    def _read(self, source: Any) -> list[History]:
        self._require_fitted()
        return read(source, self.codec_.layout)[0]

    def _checked_horizon(self, horizon: int | None) -> int:
        self._require_fitted()
        layout = self.codec_.layout
        if horizon is None:
            return layout.horizon
        if not Whole(1).admits(horizon):
            raise OptionError(
                "not a horizon", where="horizon", expected="a whole number from 1", got=repr(horizon)
            )
        if horizon > layout.steps and not layout.recursive:
            raise OptionError(
                "the horizon lies beyond what was trained",
                where="horizon",
                expected=f"1 to {layout.steps}",
                got=horizon,
                fix=f"Train with horizon={horizon}, or with strategy='recursive'",
            )
        return int(horizon)

    def _forecasts(
        self, network: Network, histories: Sequence[History], origins: Sequence[np.ndarray], horizon: int
    ) -> Iterator[tuple[History, dict[str, np.ndarray], np.ndarray]]:
        """Forecasts ``[O, horizon]`` by column of every series, in blocks of origins."""
        if network.codec.layout.recursive:
            paths = Paths(self.samples, [self.seed])
            for history, rows in zip(histories, origins, strict=True):
                for at, values in zip(rows, recursive(network, history, rows, horizon, paths), strict=True):
                    columns = summary(network.codec, values)
                    yield history, {name: value[None] for name, value in columns.items()}, np.array([at])
            return
        seen = [whole(network.codec, history)[1] for history in histories]
        found = outputs(network, [one.inputs for one in seen], origins)
        for history, rows, output, encoded in zip(histories, origins, found, seen, strict=True):
            for at in range(0, len(rows), _BLOCK):
                some = slice(at, at + _BLOCK)
                columns = direct(network, history, rows[some], output[some], encoded)
                yield history, {name: value[:, :horizon] for name, value in columns.items()}, rows[some]

    def _draws(self, network: Network, history: History, horizon: int, paths: Paths) -> np.ndarray:
        """Draws ``[n, horizon, K]`` after the end of a series."""
        last = np.array([len(history) - 1])
        if network.codec.layout.recursive:
            return next(iter(recursive(network, history, last, horizon, paths)))
        seen = whole(network.codec, history)[1]
        output = outputs(network, [seen.inputs], [last])[0]
        reference = type(seen.reference)(
            *(np.repeat(value[last, 0], paths.samples, axis=0) for value in seen.reference)
        )
        rng = np.random.default_rng(paths.seed)
        repeated = np.repeat(output, paths.samples, axis=0)
        return network.codec.sample(network.head, repeated, reference, history.id, rng)[:, :horizon]

    def _labels(self, history: History, rows: np.ndarray, horizon: int) -> dict[str, np.ndarray]:
        """Id, time and step of forecasts from some rows, ``[O, horizon]`` each."""
        layout, labels = self.codec_.layout, {}
        shape = (len(rows), horizon)
        if layout.id is not None:
            labels[layout.id] = np.full(shape, history.id, object)
        stamps = history.stamps()
        if layout.time is not None and layout.frequency is not None and stamps is not None:
            labels[layout.time] = np.stack([layout.frequency.advance(stamps[row], horizon) for row in rows])
        return labels | {"step": np.broadcast_to(np.arange(1, horizon + 1), shape)}

    def _check_ahead(self, histories: Sequence[History], horizon: int) -> None:
        for one in histories:
            if not len(one):
                raise DataError("a series without any target value", where=one.where)
            known = len(one.future) - len(one)
            if self.codec_.layout.future and known < max(horizon, self.codec_.layout.steps):
                raise DataError(
                    "columns known ahead end too early",
                    where=f"{one.where}, columns {', '.join(self.codec_.layout.future)}",
                    expected=f"{max(horizon, self.codec_.layout.steps)} rows after the last target",
                    got=known,
                    fix="Append them with empty targets",
                )

    def _starts(self, histories: Sequence[History], start: Any) -> list[int]:
        """The first row to be forecast in each series."""
        warm = max(self.season_, self.codec_.layout.lags) + 1
        if start is None:
            return [min(warm, max(len(one) // 2, 1)) for one in histories]
        if isinstance(start, (int, np.integer)) and not isinstance(start, bool):
            return [max(int(start) + len(one) if start < 0 else int(start), 1) for one in histories]
        if self.codec_.layout.time is None:
            raise OptionError("not a row number", where="start", expected="a whole number", got=repr(start))
        stamp = parse_time(start)
        return [
            max(int(np.searchsorted(one.time[: len(one)], stamp)), 1)
            for one in histories
            if one.time is not None
        ]

    def _origins(
        self,
        histories: Sequence[History],
        starts: Sequence[int],
        stride: int,
        horizon: int,
        *,
        strict: bool = True,
    ) -> list[np.ndarray]:
        if not Whole(1).admits(stride):
            raise OptionError(
                "not a stride", where="stride", expected="a whole number from 1", got=repr(stride)
            )
        origins = [
            np.arange(start - 1, len(one) - horizon, stride)
            for one, start in zip(histories, starts, strict=True)
        ]
        if strict and not any(map(len, origins)):
            self._refuse_short(histories, horizon)
        return origins

    def _refuse_short(self, histories: Sequence[History], horizon: int) -> None:
        raise DataError(
            "too few rows to forecast any that are known",
            where=histories[0].where if len(histories) == 1 else f"{len(histories)} series",
            expected=f"more than {horizon} rows from start on",
            got=max(map(len, histories)),
            fix="Give more rows, an earlier start or a shorter horizon",
        )

    def _tally(
        self, histories: Sequence[History], starts: Sequence[int], stride: int, horizon: int | None = None
    ) -> tuple[dict[str, Tally], int]:
        """Errors of the network and of the baselines, and the number of origins."""
        layout, horizon = self.codec_.layout, horizon or self.codec_.layout.horizon
        origins = self._origins(histories, starts, stride, horizon, strict=False)
        tallies = {name: Tally(layout.levels) for name in ("network", *BASELINES)}
        for history, columns, rows in self._forecasts(self._network(), histories, origins, horizon):
            scale = self.scales_.get(history.id or "") or Scale.of(history.target, self.season_)
            actual = _actual(history, rows, horizon)
            for k, name in enumerate(layout.target):
                quantiles = {level: columns[f"{name}_q{level:g}"] for level in layout.levels}
                tallies["network"].add(actual[..., k], columns[name], quantiles, scale, k)
                for baseline, forecast in BASELINES.items():
                    naive = forecast(history.target[:, k], rows, horizon, self.season_)
                    tallies[baseline].add(actual[..., k], naive, {}, scale, k)
        return tallies, sum(map(len, origins))


def _actual(history: History, rows: np.ndarray, horizon: int) -> np.ndarray:
    """What came after some rows, ``[O, horizon, K]``."""
    return history.target[rows[:, None] + np.arange(1, horizon + 1)]


def _by_target(names: Sequence[str], values: np.ndarray) -> dict[str, np.ndarray]:
    """``[..., horizon, K]`` as one array a target, at least ``[1, horizon]``."""
    return {name: np.atleast_2d(values[..., k]) for k, name in enumerate(names)}


def _table(parts: Sequence[dict[str, np.ndarray]]) -> data.Table:
    """Blocks of columns one below the other."""
    return data.read({name: np.concatenate([part[name].ravel() for part in parts]) for name in parts[0]})


def _finite(figures: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if np.isfinite(value)}
