"""Raw rows of a series to network inputs, and outputs back to forecasts in raw values.

``ForecastCodec`` is what was learned about the data; an ``Encoder`` runs along one series with it. Batches
and streams use the same encoder, a batch in one block and a stream row by row, to the same bits.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from hiddenstate import codecs
from hiddenstate.codecs import Calendar, Categories, Numbers
from hiddenstate.errors import DataError

from .features import Features
from .heads import Head, Reference
from .history import History
from .layout import Layout


class Rows(NamedTuple):
    """Consecutive rows of one series on its grid, raw.

    Attributes:
        time: stamps ``[N]``, or None.
        target: ``[N, B, K]`` for B paths, NaN where missing.
        past: ``[N, P]``.
        ahead: known-future columns of the next rows, ``[N, steps, F]``.
    """

    time: np.ndarray | None
    target: np.ndarray
    past: np.ndarray
    ahead: np.ndarray


class Encoded(NamedTuple):
    """What the network sees of some rows, and what its forecasts from them are relative to.

    Attributes:
        inputs: by input name: ``[N, B, size]`` float32, or ids ``[N, B]``.
        scaled: targets ``[N, B, K]`` as the codec scales them.
        reference: fields ``[N, B, K]``.
    """

    inputs: dict[str, np.ndarray]
    scaled: np.ndarray
    reference: Reference


@dataclass(frozen=True)
class ForecastCodec:
    """What was learned about the data before training.

    Args:
        layout: roles of the columns and form of the network's inputs.
        target: scaling of each target.
        past: scaling of each past column.
        future: scaling of each known-future column.
        numbers: scaling of each static number.
        words: categories of each static word.
        calendar: features of the time stamp; without fields where there are no dates.
    """

    layout: Layout
    target: tuple[Numbers, ...]
    past: tuple[Numbers, ...]
    future: tuple[Numbers, ...]
    numbers: tuple[Numbers, ...]
    words: tuple[Categories, ...]
    calendar: Calendar

    @classmethod
    def fit(
        cls, histories: Sequence[History], layout: Layout, *, scaling: str, calendar: bool
    ) -> ForecastCodec:
        """Learn scales, categories and calendar fields.

        Args:
            histories: the series, cut to their training rows.
            layout: roles of the columns.
            scaling: of the targets (``Numbers(how=...)``), for each series by itself.
            calendar: whether time stamps become features.

        Raises:
            DataError: a column has no value, or one that its scaling cannot take.
        """
        each = layout.id is not None
        ids = np.concatenate([np.full(len(one), one.id or "") for one in histories])
        where = histories[0].where if len(histories) == 1 else f"{len(histories)} series"

        def scales(names: Sequence[str], values: np.ndarray, how: str = "standard") -> tuple[Numbers, ...]:
            columns = zip(names, values.T, strict=True)
            return tuple(_fitted(Numbers(how), name, column, where) for name, column in columns)

        target = np.concatenate([one.target for one in histories])
        if each:
            fitted = zip(layout.target, target.T, strict=True)
            targets = tuple(
                _fitted(Numbers(scaling, per_series=True), name, column, where, ids)
                for name, column in fitted
            )
        else:
            targets = scales(layout.target, target, scaling)
        stamps = [one.time for one in histories if one.time is not None]
        fields = Calendar(None if calendar and stamps else ())
        if stamps:
            fields = fields.fit(np.concatenate(stamps), frequency=layout.frequency)
        return cls(
            layout,
            targets,
            scales(layout.past, np.concatenate([one.past for one in histories])),
            scales(layout.future, np.concatenate([one.future for one in histories])),
            scales(layout.static_numbers, np.stack([one.numbers for one in histories])),
            tuple(_known_words(name, i, histories) for i, name in enumerate(layout.static_words)),
            fields,
        )

    def encoder(self, series: str | None, numbers: np.ndarray, words: Sequence[str | None]) -> Encoder:
        """An encoder at the start of a series.

        Args:
            series: its id.
            numbers: its static numbers ``[S]``.
            words: its static words.
        """
        return Encoder(self, series, numbers, words)

    def columns(self) -> list[str]:
        """Names of the columns of a forecast: each target, and its quantiles."""
        layout = self.layout
        return [name for target in layout.target for name in (target, *quantile_names(target, layout.levels))]

    def decode(
        self, head: Head, output: np.ndarray, reference: Reference, series: str | None
    ) -> dict[str, np.ndarray]:
        """Network outputs as forecasts.

        Args:
            head: what the outputs mean.
            output: ``[..., size]``.
            reference: fields ``[..., K]``.
            series: the id whose scale holds.

        Returns:
            By column name, ``[..., steps]``.
        """
        raw, ahead = self._split(head, output, reference)
        forecasts = {}
        for i, (name, scale) in enumerate(zip(self.layout.target, self.target, strict=True)):
            ref = Reference(*(value[..., i] for value in ahead))
            forecasts[name] = scale.decode(head.point(raw[..., i, :], ref), series)
            for level, column in zip(
                self.layout.levels, quantile_names(name, self.layout.levels), strict=True
            ):
                values = scale.decode(head.quantile(raw[..., i, :], level, ref), series)
                forecasts[column] = np.rint(values) if head.whole else values
        return forecasts

    def sample(
        self,
        head: Head,
        output: np.ndarray,
        reference: Reference,
        series: str | None,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """One draw per forecast, ``[..., steps, K]``, in raw values."""
        raw, ahead = self._split(head, output, reference)
        draws = head.sample(raw, ahead, rng)
        columns = [scale.decode(draws[..., i], series) for i, scale in enumerate(self.target)]
        return np.rint(np.stack(columns, axis=-1)) if head.whole else np.stack(columns, axis=-1)

    def _split(self, head: Head, output: np.ndarray, reference: Reference) -> tuple[np.ndarray, Reference]:
        shape = (*output.shape[:-1], self.layout.steps, len(self.target), head.width)
        raw = output.astype(np.float64).reshape(shape)
        return raw, Reference(*(value[..., None, :] for value in reference))

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        parts = {name: [codec.to_json() for codec in getattr(self, name)] for name in _PARTS}
        return {"layout": self.layout.to_json(), "calendar": self.calendar.to_json()} | parts

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ForecastCodec:
        """The codec that ``to_json`` wrote.

        Raises:
            SpecError: when a part cannot be read.
        """
        parts = {name: tuple(codecs.from_json(one) for one in data[name]) for name in _PARTS}
        return cls(
            layout=Layout.from_json(data["layout"]), calendar=codecs.from_json(data["calendar"]), **parts
        )


_PARTS = ("target", "past", "future", "numbers", "words")


class Encoder:
    """Runs along one series; what the next rows need is in ``features``."""

    def __init__(
        self, codec: ForecastCodec, series: str | None, numbers: np.ndarray, words: Sequence[str | None]
    ) -> None:
        self.codec, self.series = codec, series
        scaled = [scale.encode(value) for scale, value in zip(codec.numbers, numbers, strict=True)]
        self._numbers = np.nan_to_num(np.array(scaled, np.float64).reshape(1, 1, -1))
        self._words = [known.encode_one(word) for known, word in zip(codec.words, words, strict=True)]
        affine = np.array([scale.affine(series) for scale in codec.target])
        self._zero, self._count = -affine[:, 0] / affine[:, 1], affine[:, 1]
        self.features = Features(codec.layout, known=all(_knows(scale, series) for scale in codec.target))

    def encode(self, rows: Rows) -> Encoded:
        """The next rows, as the network sees them."""
        codec, layout, shape = self.codec, self.codec.layout, rows.target.shape[:2]
        scaled = _scale(codec.target, rows.target, self.series)
        past = _scale(codec.past, rows.past)
        seen = self.features.encode(scaled, past)
        parts = [
            seen.values,
            seen.missing,
            seen.past,
            np.broadcast_to(self._numbers, (*shape, self._numbers.shape[2])),
        ]
        if codec.calendar.size:
            assert rows.time is not None
            assert layout.frequency is not None
            parts.append(_over_paths(codec.calendar.encode(_next(layout, rows.time)), shape[1]))
        inputs = {}
        if layout.future:
            ahead = np.nan_to_num(_scale(codec.future, rows.ahead))
            parts.append(_over_paths(ahead[:, 0], shape[1]))
            window = ahead.reshape(shape[0], layout.steps * len(layout.future))
            inputs["future"] = _narrow(_over_paths(window, shape[1]))
        inputs["x"] = _narrow(np.concatenate(parts, axis=2))
        inputs |= {f"word{i}": np.full(shape, id, np.int64) for i, id in enumerate(self._words)}
        return Encoded(inputs, scaled, self._reference(seen.level, seen.unit))

    def fork(self, paths: int) -> Encoder:
        """A copy at the same row, with its single path ``paths`` times side by side."""
        copied = copy.copy(self)
        copied.features = self.features.fork(paths)
        return copied

    def _reference(self, level: np.ndarray, unit: np.ndarray) -> Reference:
        zero, count = (np.broadcast_to(value, level.shape) for value in (self._zero, self._count))
        return Reference(level, unit, zero, count)


def quantile_names(target: str, levels: Sequence[float]) -> list[str]:
    """Column names of the quantiles of a target: "sales_q0.1", "sales_q0.9" ..."""
    return [f"{target}_q{level:g}" for level in levels]


def _fitted(
    codec: Numbers, name: str, values: np.ndarray, where: str, ids: np.ndarray | None = None
) -> Numbers:
    try:
        return codec.fit(values, ids)
    except DataError as error:
        error.where = f"{where}, column '{name}'" + (f", {error.where}" if error.where else "")
        raise


def _known_words(name: str, index: int, histories: Sequence[History]) -> Categories:
    try:
        return Categories().fit([one.words[index] for one in histories])
    except DataError as error:
        error.where = f"column '{name}'"
        raise


def _knows(scale: Numbers, series: str | None) -> bool:
    """Whether values of this series are scaled by its own statistics, or all series have one scale."""
    return not scale.per_series or series in scale.series_


def _scale(scales: Sequence[Numbers], values: np.ndarray, series: str | None = None) -> np.ndarray:
    """Every column of ``values [..., F]`` by its own codec."""
    columns = [scale.encode(values[..., i], series) for i, scale in enumerate(scales)]
    return np.stack(columns, axis=-1) if columns else np.empty(values.shape)


def _narrow(values: np.ndarray) -> np.ndarray:
    """As float32; what is too large becomes infinite, which the network's edge refuses by name."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _over_paths(values: np.ndarray, paths: int) -> np.ndarray:
    """``[N, F]`` repeated to ``[N, B, F]``."""
    return np.repeat(values[:, None], paths, axis=1)


def _next(layout: Layout, stamps: np.ndarray) -> np.ndarray:
    """The stamp of the row after each row of a grid."""
    assert layout.frequency is not None
    return np.concatenate([stamps[1:], layout.frequency.advance(stamps[-1], 1)]) if len(stamps) else stamps
