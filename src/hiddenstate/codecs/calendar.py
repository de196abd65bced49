"""Calendar: what a clock and a calendar say about a time stamp, as points on circles."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from hiddenstate.data.frequency import DAY, MINUTE, Frequency, infer_frequency
from hiddenstate.data.times import parse_time
from hiddenstate.errors import DataError, OptionError, SpecError

from .base import Codec, Fields, not_fitted


class Circle(NamedTuple):
    """A calendar field: its number of values, and the days after which it has gone round once."""

    period: int
    days: float


FIELDS = {
    "second": Circle(60, 1 / 1440),
    "time_of_day": Circle(1440, 1),
    "weekday": Circle(7, 7),
    "day": Circle(31, 31),
    "day_of_year": Circle(366, 365),
    "month": Circle(12, 365),
}


class Calendar(Codec):
    """Time stamps as ``sin(2 pi k / n), cos(2 pi k / n)`` for each field with value k out of n.

    Fields: second (of the minute), time_of_day (in minutes), weekday, day (of the month), day_of_year,
    month. `fit` takes those that change between steps of the series and have gone round at least once in
    it: what was seen for part of a circle only cannot be carried over to the rest.

    Args:
        fields: the fields to use; None: chosen by `fit`.

    Attributes:
        fields_: the fields in use.

    Example:
        >>> days = np.arange("2024-01-01", "2026-01-01", dtype="datetime64[D]").astype("datetime64[us]")
        >>> codec = Calendar().fit(days)
        >>> codec.fields_, codec.size
        (('weekday', 'day', 'day_of_year'), 6)
    """

    kind = "calendar"

    def __init__(self, fields: tuple[str, ...] | None = None) -> None:
        for name in fields or ():
            if name not in FIELDS:
                raise OptionError(
                    "unknown calendar field", where="fields", expected=f"some of {[*FIELDS]}", got=name
                )
        self.fields = None if fields is None else tuple(fields)
        self.fields_: tuple[str, ...] | None = self.fields

    @property
    def size(self) -> int:
        """Two numbers for each field."""
        return 2 * len(self._fields())

    def fit(self, times: np.ndarray, *, frequency: Frequency | None = None) -> Calendar:
        """Choose the fields, unless they were given.

        Args:
            times: ``[N]`` ``datetime64[us]`` of one or many series; whole numbers have no calendar (no
                fields).
            frequency: step of the series; None: inferred from all time stamps.
        """
        times = np.unique(times)
        if self.fields is None:
            self.fields_ = (
                _fields_for(times, frequency or infer_frequency(times)) if times.dtype.kind == "M" else ()
            )
        return self

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Time stamps ``[N]`` as float64 ``[N, size]`` in [-1, 1]."""
        times = np.asarray(values)
        if self._fields() and times.dtype.kind != "M":
            raise DataError("calendar features need dates", expected="datetime64", got=str(times.dtype))
        points = [_TABLES[name][_value(name, times)] for name in self._fields()]
        return np.concatenate(points, axis=-1) if points else np.empty((*times.shape, 0))

    def decode(self, array: np.ndarray) -> dict[str, np.ndarray]:
        """The value of each field, int64 ``[N]``: the nearest to each point."""
        angles = np.arctan2(np.asarray(array)[..., 0::2], np.asarray(array)[..., 1::2]) / (2 * math.pi)
        periods = [FIELDS[name].period for name in self._fields()]
        return {
            name: np.rint(angles[..., i] * period).astype(np.int64) % period
            for i, (name, period) in enumerate(zip(self._fields(), periods, strict=True))
        }

    def encode_one(self, value: Any) -> np.ndarray:
        """One time stamp (``datetime64``, ``datetime`` or ISO text) as float64 ``[size]``."""
        return self.encode(np.array([parse_time(value)]))[0] if self._fields() else np.empty(0)

    def decode_one(self, item: np.ndarray) -> dict[str, int]:
        """The value of each field."""
        return {name: int(values[0]) for name, values in self.decode(np.asarray(item)[None]).items()}

    def to_json(self) -> dict[str, Any]:
        """The fields in use."""
        return {"kind": self.kind, "fields": list(self._fields())}

    @classmethod
    def read_json(cls, data: Fields) -> Calendar:
        """See `Codec`."""
        names = data.texts("fields")
        if not set(names) <= set(FIELDS):
            raise SpecError(
                "a codec that cannot be read", where=data.where, expected=f"some of {[*FIELDS]}", got=names
            )
        return cls(tuple(names))

    def _fields(self) -> tuple[str, ...]:
        if self.fields_ is None:
            raise not_fitted(self)
        return self.fields_


def _fields_for(times: np.ndarray, frequency: Frequency | None) -> tuple[str, ...]:
    """The fields that change from step to step and of which the data show a full round."""
    if len(times) < 2:
        return ()
    span_days = (times[-1] - times[0]) / np.timedelta64(1, "D")
    if frequency is not None and frequency.unit in ("months", "month ends"):
        names = ("month",) if frequency.count % 12 else ()
    else:
        step = float(np.median(np.diff(times).astype(np.int64)))
        if step < MINUTE:
            names = ("second", "time_of_day", "weekday")
        elif step < DAY:
            names = ("time_of_day", "weekday", "day_of_year")
        elif step < 7 * DAY:
            names = ("weekday", "day", "day_of_year")
        else:
            names = ("day_of_year",) if step < 180 * DAY else ()
    return tuple(name for name in names if span_days >= FIELDS[name].days)


def _value(name: str, times: np.ndarray) -> np.ndarray:
    """The value of a field from 0, int64."""
    days = times.astype("datetime64[D]")
    if name == "weekday":  # 1970-01-01 was a Thursday; Monday is 0
        return (days.astype(np.int64) + 3) % 7
    if name == "month":
        return times.astype("datetime64[M]").astype(np.int64) % 12
    start = {"day": "datetime64[M]", "day_of_year": "datetime64[Y]"}
    if name in start:
        return (days - times.astype(start[name]).astype("datetime64[D]")).astype(np.int64)
    micros = (times.astype("datetime64[us]") - days.astype("datetime64[us]")).astype(np.int64)
    return micros // MINUTE if name == "time_of_day" else micros // 1_000_000 % 60


def _circle(period: int) -> np.ndarray:
    angles = [2 * math.pi * k / period for k in range(period)]
    return np.array([[math.sin(angle), math.cos(angle)] for angle in angles])


_TABLES = {name: _circle(circle.period) for name, circle in FIELDS.items()}
"""Points looked up and not computed, so that a stream gives the bits of a batch on any machine."""
