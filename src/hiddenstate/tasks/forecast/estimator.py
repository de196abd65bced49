"""The estimator for forecasting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from hiddenstate import cells, data
from hiddenstate.errors import DataError, OptionError
from hiddenstate.options import FLAG, InstanceOf, OneOf, Real, Whole, option
from hiddenstate.tasks.base import Estimator
from hiddenstate.tasks.scores import Scores

from . import backtest, large, scoring, tables
from .codec import ForecastCodec
from .history import History, history_of, read
from .layout import Layout
from .recursion import Paths, follow, summary
from .run import Forecasts, Network, direct, draw
from .scoring import Scale

if TYPE_CHECKING:
    from .live import ForecastPool, ForecastSession

_NAMES = (InstanceOf(list, tuple, what="a list of column names"),)


@dataclass(kw_only=True, eq=False, repr=False)
class Forecaster(Estimator):
    """Forecasts the next rows of one or many time series.

    A recurrent network reads a series row by row and forecasts from every row, relative to the level of the
    series there. It trains on all rows of all series as origins in one pass, and streams: a row in, a
    forecast out.

    Args:
        target: column to forecast, or several; None: the only column of numbers.
        horizon: rows ahead.
        id: column that tells series apart; None: one series.
        time: column of time stamps; "auto": the only column of dates, if there is one; None: rows are in
            order.
        duplicates: what becomes of rows of one series with the same time stamp: "error", or their "first",
            "last" or "mean" is taken.
        static: columns with one value per series, numbers or words.
        past: columns known up to now only.
        future: columns known ahead (prices, holidays). Their rows beyond the last target are given with the
            data.
        calendar: use hour, weekday, month ... of the time stamps.
        strategy: "direct": all steps ahead at once; "recursive": one step ahead, fed its own forecasts, any
            horizon.
        output: "point", "quantiles", or "distribution".
        loss: of point forecasts: "huber" (normal errors squared, large ones absolute), "mse" or "mae".
        distribution: "normal", "student-t", or "negative-binomial" for counts.
        quantiles: levels of the quantiles given with ``output`` "quantiles" or "distribution".
        samples: paths that a recursive distribution forecast is made of.
        level: what forecasts are relative to: the "last" value, the "mean" of the values shown, or "none".
            With "last" or "mean" a series may drift away from where it was in training.
        scaling: of the targets, for each series: "standard", "robust", "minmax", "log" (amounts from 0) or
            "none".
        lags: values before the current one that are shown at each step; None: some seasons or horizons.
        cycle: a cycle in rows longer than ``lags`` (the week of hourly rows, say): the values of the steps
            ahead, one cycle before, are shown too. None: seen from the values; 0: none.
        season: cycle length in rows of ``mase`` and the seasonal naive forecast; None: from the time stamps,
            else from the values.
        context: rows in a training window; None: about two seasons or horizons.
        cell, cell_options, hidden_size, num_layers, dropout, epochs, batch_size, learning_rate, optimizer,
            weight_decay, clip_norm, schedule, warmup_updates, validation, patience, max_seconds, seed,
            checkpoint, progress: see :class:`~hiddenstate.tasks.base.Estimator`. ``validation`` is the last
            share of every series.

    Learned by ``fit``: ``target_names_``, ``season_``, ``frequency_`` (None without time stamps), and what
    every estimator has.

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
    duplicates: str = option("error", OneOf("error", "first", "last", "mean"))
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
    cycle: int | None = option(None, Whole(0, 1 << 12), OneOf(None))
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

        self._check()
        self._check_together()
        prepared, histories, rows = prepare(self, source)
        if self.validation is not None:
            prepared.metrics = lambda: self._held_back_metrics(histories, rows)
        return self._train(prepared)

    def _check_together(self) -> None:
        """Checks that no single range says: the cell, quantile levels, and what excludes what."""
        cells.get(self.cell, **dict(self.cell_options or {}))
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
        """Errors on the rows held back, for the card; empty where they are fewer than the horizon."""
        horizon = self.horizon
        found = backtest.origins(histories, rows, 1, horizon)
        if not any(map(len, found)):
            return {}
        tallies = backtest.tally(
            self._forecasts(histories, found, horizon), self.codec_.layout, horizon, self.scales_
        )
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
            source: the recent past of the series, some seasons of it; with known-future columns also their
                next rows, with empty targets.
            horizon: rows ahead; None: as in training. A direct forecaster cannot see further than that.

        Returns:
            A row for each series and step: the id and time columns where there are any, "step", each target,
            and its quantiles as "<target>_q<level>".

        Raises:
            DataError: on data that cannot be used.
            OptionError: on a horizon beyond what was trained.

        A large file (from 256 MB) is read in pieces; the rows of each series must then be in time order.
        """
        layout, horizon = self._layout(), self._checked_horizon(horizon)
        if large.is_large(source):
            found = large.tracks(self._network(), source)
            self._check_ahead([history_of(track.waiting, layout) for track in found], horizon)
            forecasts = large.forecasts(self._network(), found, horizon, self._paths())
        else:
            histories = self._read(source)
            self._check_ahead(histories, horizon)
            last = [np.array([len(one) - 1]) for one in histories]
            forecasts = self._forecasts(histories, last, horizon)
        return tables.table(
            [tables.labels(layout, history, rows, horizon) | columns for history, rows, columns in forecasts]
        )

    def sample(self, source: Any, n: int = 100, *, horizon: int | None = None, seed: int = 0) -> data.Table:
        """Draw from the forecast distribution.

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
        layout, horizon = self._layout(), self._checked_horizon(horizon)
        if self.output != "distribution":
            raise OptionError(
                "there is no distribution to draw from",
                where="output",
                expected="'distribution'",
                got=repr(self.output),
            )
        if not Whole(1).admits(n):
            raise OptionError(
                "not a number of draws", where="n", expected="a whole number from 1", got=repr(n)
            )
        histories = self._read(source)
        self._check_ahead(histories, horizon)
        parts = []
        for number, history in enumerate(histories):
            last = np.array([len(history) - 1])
            if layout.recursive:
                draws = next(follow(self._network(), history, last, horizon, Paths(n, [seed, number])))
            else:
                draws = draw(self._network(), history, horizon, n, [seed, number])
            labels = tables.labels(layout, history, np.repeat(last, n), horizon)
            labels["sample"] = np.repeat(np.arange(n)[:, None], horizon, axis=1)
            parts.append(labels | tables.by_target(layout.target, draws))
        return tables.table(parts)

    def backtest(
        self, source: Any, *, start: Any = None, stride: int = 1, horizon: int | None = None
    ) -> data.Table:
        """Forecast from many origins of the past, in one pass over each series with the state carried.

        Every forecast has the bits that ``predict`` gives for the series cut off at its origin.

        Args:
            source: as for ``predict``.
            start: first row to be forecast: its number in each series (from 0; negative from the end), or its
                time stamp. None: after about one season.
            stride: rows from one origin to the next.
            horizon: rows ahead; None: as in training.

        Returns:
            As ``predict``, with columns "origin" (time stamp, or number, of the last row known) and
            "<target>_actual". Origins have a full horizon of rows after them.

        Raises:
            DataError: when no series is long enough.
        """
        layout, horizon = self._layout(), self._checked_horizon(horizon)
        histories = self._read(source)
        found = backtest.origins(histories, backtest.first_rows(histories, layout, start), stride, horizon)
        backtest.refuse_none(found, histories, horizon)
        parts = []
        for history, rows, columns in self._forecasts(histories, found, horizon):
            stamps = history.stamps()
            known = rows if stamps is None else stamps[rows]
            labels = tables.labels(layout, history, rows, horizon)
            labels["origin"] = np.repeat(known[:, None], horizon, axis=1)
            names = [f"{name}_actual" for name in layout.target]
            parts.append(labels | columns | tables.by_target(names, backtest.actual(history, rows, horizon)))
        return tables.table(parts)

    def score(self, source: Any, y: None = None) -> float:
        """Minus the mean absolute error of backtest forecasts: one number, more is better, for searches.

        Args:
            source: as for ``predict``.
            y: ignored; scikit-learn's tools pass it.

        Raises:
            DataError: when no series is long enough.
        """
        return -self.evaluate(source)["mae"]

    def evaluate(
        self, source: Any, *, start: Any = None, stride: int = 1, horizon: int | None = None
    ) -> Scores:
        """Errors of backtest forecasts beside those of forecasts that need no training.

        Args:
            source: as for ``predict``.
            start: first row to be forecast, as for ``backtest``.
            stride: rows from one origin to the next.
            horizon: rows ahead; None: as in training.

        Returns:
            mae, rmse, smape (0 to 200), mase, mae_scaled, mse_scaled, and with quantiles crps and coverage;
            the notes say what they mean.

        Raises:
            DataError: when no series is long enough.
        """
        layout, horizon = self._layout(), self._checked_horizon(horizon)
        histories = self._read(source)
        found = backtest.origins(histories, backtest.first_rows(histories, layout, start), stride, horizon)
        backtest.refuse_none(found, histories, horizon)
        tallies = backtest.tally(self._forecasts(histories, found, horizon), layout, horizon, self.scales_)
        rows = [{"model": name} | tally.figures() for name, tally in tallies.items()]
        count = sum(map(len, found))
        return Scores(rows, notes=scoring.notes(layout.levels, count, horizon, layout.season))

    def stream(self, blob: bytes | None = None) -> ForecastSession:
        """One live series: ``step(row)`` gives the forecast of the next ``horizon`` rows, by column.

        A row is a dict of columns, or a number where there is nothing but one target. See
        :class:`~hiddenstate.tasks.forecast.live.Live` for missing values, gaps and columns known ahead.

        Args:
            blob: a snapshot to go on from.
        """
        from .live import ForecastSession

        session = ForecastSession(self.model_, self._adapter())
        if blob is not None:
            session.restore(blob)
        return session

    def streams(self) -> ForecastPool:
        """Many live series, advanced together: ``pool.step({"a": row, "b": row})``."""
        from .live import ForecastPool

        return ForecastPool(self.model_, self._adapter)

    def _adapter(self) -> Any:
        from .live import Live

        return Live(self._network(), self._layout().horizon, self._paths())

    # ---- how

    def _layout(self) -> Layout:
        self._require_fitted()
        return self.codec_.layout

    def _network(self) -> Network:
        return Network(self.codec_, self.head_, self.model_)

    def _paths(self) -> Paths:
        """Every forecast follows paths of the same random numbers: it depends on its own past alone."""
        return Paths(self.samples, [self.seed])

    def _read(self, source: Any) -> list[History]:
        return read(source, self._layout())[0]

    def _forecasts(
        self, histories: Sequence[History], origins: Sequence[np.ndarray], horizon: int
    ) -> Iterator[Forecasts]:
        """Forecasts of every series from its origins."""
        network = self._network()
        if not network.codec.layout.recursive:
            yield from direct(network, histories, origins, horizon)
            return
        for history, rows in zip(histories, origins, strict=True):
            walks = follow(network, history, rows, horizon, self._paths())
            for row, values in zip(rows, walks, strict=True):
                columns = summary(network.codec, values)
                yield Forecasts(history, np.array([row]), {k: v[None] for k, v in columns.items()})

    def _checked_horizon(self, horizon: int | None) -> int:
        layout = self._layout()
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

    def _check_ahead(self, histories: Sequence[History], horizon: int) -> None:
        layout = self._layout()
        needed = max(horizon, layout.steps)
        for one in histories:
            if not len(one):
                raise DataError("a series without any target value", where=one.where)
            known = len(one.future) - len(one)
            if layout.future and known < needed:
                raise DataError(
                    "columns known ahead end too early",
                    where=f"{one.where}, columns {', '.join(layout.future)}",
                    expected=f"{needed} rows after the last target",
                    got=known,
                    fix="Append them with empty targets",
                )


def _finite(figures: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if np.isfinite(value)}
