"""The regular grid that time stamps lie on: months, business days, a fixed duration, or counted steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hiddenstate.errors import SpecError

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND

UNITS = ("months", "month ends", "business days", "microseconds", "steps")

NAMES = {
    ("months", 1): "monthly",
    ("months", 3): "quarterly",
    ("months", 12): "yearly",
    ("month ends", 1): "monthly",
    ("month ends", 3): "quarterly",
    ("month ends", 12): "yearly",
    ("business days", 1): "business-daily",
    ("microseconds", 7 * DAY): "weekly",
    ("microseconds", DAY): "daily",
    ("microseconds", HOUR): "hourly",
    ("microseconds", MINUTE): "minutely",
    ("microseconds", SECOND): "secondly",
}

SEASONS = {"monthly": 12, "quarterly": 4, "business-daily": 5, "weekly": 52, "daily": 7}

OFF_GRID = -(2**62)
"""Marks a time stamp between two steps of a grid."""

FILLED_SHARE = 4
"""A grid at most this many times as long as the series is still taken for the series' own."""


@dataclass(frozen=True)
class Frequency:
    """A step between time stamps: ``count`` of ``unit``.

    Args:
        unit: "months" (same day and time of every month), "month ends", "business days" (Monday to Friday),
            "microseconds", or "steps" for whole numbers that only count.
        count: how many of them, 1 or more.

    Example:
        >>> months = infer_frequency(np.array(["2024-01", "2024-02", "2024-04"], "datetime64[us]"))
        >>> months.name, months.advance(np.datetime64("2024-04-01", "us"), 1).tolist()[0].isoformat()
        ('monthly', '2024-05-01T00:00:00')
    """

    unit: str
    count: int

    @property
    def name(self) -> str:
        """A word for it: "monthly", "hourly", "every 30 minutes", "every 2 steps" ..."""
        if (self.unit, self.count) in NAMES:
            return NAMES[self.unit, self.count]
        if self.unit != "microseconds":
            return f"every {self.count} {self.unit}" if self.count > 1 else "every step"
        for size, word in ((DAY, "days"), (HOUR, "hours"), (MINUTE, "minutes"), (SECOND, "seconds")):
            if self.count % size == 0:
                return f"every {self.count // size} {word}"
        return f"every {self.count} microseconds"

    @property
    def season(self) -> int:
        """Steps after which things often repeat: a year of months, a week of days, a day of hours; else 1."""
        if self.name in SEASONS:
            return SEASONS[self.name]
        if self.unit == "microseconds" and self.count < DAY and DAY % self.count == 0:
            return DAY // self.count
        return 1

    def positions(self, times: np.ndarray, origin: Any) -> np.ndarray:
        """Whole steps from ``origin`` to each time, int64 ``[N]``; `OFF_GRID` for times between two steps."""
        units, exact = self._units(np.asarray(times), np.asarray(origin)[None])
        steps, rest = np.divmod(units, self.count)
        return np.where(exact & (rest == 0), steps, OFF_GRID)

    def advance(self, origin: Any, steps: int, start: int = 1) -> np.ndarray:
        """The time stamps ``start`` to ``start + steps - 1`` steps after ``origin``."""
        counts = np.arange(start, start + steps, dtype=np.int64) * self.count
        origin = np.asarray(origin)
        if self.unit == "steps":
            return origin.astype(np.int64) + counts
        if self.unit == "microseconds":
            return origin + counts.astype("timedelta64[us]")
        day = origin.astype("datetime64[D]")
        clock = origin - day.astype("datetime64[us]")
        if self.unit == "business days":
            days = np.busday_offset(day, counts, roll="forward")
        else:
            months = origin.astype("datetime64[M]") + counts.astype("timedelta64[M]")
            days = (months + 1).astype("datetime64[D]") - 1
            if self.unit == "months":  # the 31st is the last day where a month is shorter
                days = np.minimum(months.astype("datetime64[D]") + _day_of_month(day), days)
        return days.astype("datetime64[us]") + clock

    def to_json(self) -> dict[str, Any]:
        """The frequency as plain data."""
        return {"unit": self.unit, "count": self.count}

    @classmethod
    def from_json(cls, data: Any) -> Frequency:
        """The frequency that `to_json` described.

        Raises:
            SpecError: ``data`` does not describe a frequency.
        """
        unit, count = (data.get("unit"), data.get("count")) if isinstance(data, dict) else (None, None)
        if unit not in UNITS or type(count) is not int or not 1 <= count < 2**53:
            raise SpecError("not a frequency", expected='{"unit": ..., "count": ...}', got=repr(data)[:80])
        return cls(unit, count)

    def _units(self, times: np.ndarray, origin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Units (not steps) from ``origin`` to each time, and whether each lies on a unit."""
        if self.unit == "steps" or self.unit == "microseconds":
            return times.astype(np.int64) - origin.astype(np.int64), np.ones(len(times), dtype=bool)
        day, clock = _day_and_clock(times)
        first_day, first_clock = _day_and_clock(origin)
        exact = clock == first_clock
        if self.unit == "business days":
            return np.busday_count(first_day, day).astype(np.int64), exact & np.is_busday(day)
        months = day.astype("datetime64[M]").astype(np.int64)
        first_month = first_day.astype("datetime64[M]").astype(np.int64)
        at = _from_month_end(day) if self.unit == "month ends" else _day_of_month(day)
        first_at = _from_month_end(first_day) if self.unit == "month ends" else _day_of_month(first_day)
        return months - first_month, exact & (at == first_at)


def infer_frequency(times: np.ndarray) -> Frequency | None:
    """The grid that all time stamps lie on, gaps allowed; None when they are irregular or fewer than two.

    Tried in this order: the same day and time of every month (or its last day), Monday to Friday, a fixed
    duration. The step is the median one between neighbours, or, where that does not reach every stamp, the
    largest that does, as long as a quarter of its grid is filled.

    Args:
        times: ``[N]`` sorted and without repeats, ``datetime64[us]`` or int64.
    """
    if len(times) < 2:
        return None
    if times.dtype.kind != "M":
        return _fitting(times, "steps")
    day, clock = _day_and_clock(times)
    units = ["month ends", "months"] if (_day_of_month(day) >= 27).all() else ["months"]
    weekend_passed = day[-1] - day[0] > np.timedelta64(int(np.busday_count(day[0], day[-1])), "D")
    if weekend_passed and (clock == clock[0]).all() and np.is_busday(day).all():
        units.append("business days")
    for unit in units:
        found = _fitting(times, unit)
        if found and (unit != "business days" or found.count == 1):
            return found
    return _fitting(times, "microseconds")


def _fitting(times: np.ndarray, unit: str) -> Frequency | None:
    """The step of this unit that reaches all times, if there is one."""
    offsets, exact = Frequency(unit, 1)._units(times, times[:1])
    if not exact.all():
        return None
    median, largest = int(np.median(np.diff(offsets))), int(np.gcd.reduce(offsets))
    if median >= 1 and (offsets % median == 0).all():
        return Frequency(unit, median)
    return Frequency(unit, largest) if offsets[-1] // largest < FILLED_SHARE * len(times) else None


def _day_and_clock(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    day = times.astype("datetime64[D]")
    return day, times - day.astype("datetime64[us]")


def _day_of_month(day: np.ndarray) -> np.ndarray:
    return (day - day.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64)


def _from_month_end(day: np.ndarray) -> np.ndarray:
    month_end = (day.astype("datetime64[M]") + 1).astype("datetime64[D]") - 1
    return (month_end - day).astype(np.int64)
