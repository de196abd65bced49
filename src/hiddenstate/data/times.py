"""Time stamps from text and whole numbers.

Read without being told the form: ``2024-01-31`` (also with ``/`` or ``.``), ``2024-01``, ``2024-Q1``,
``2024-01-31 12:00``, ``2024-01-31T12:00:00.5``, each with or without a zone (``Z``, ``+01:00``). Dates that
begin with the day or the month are ambiguous and need their form.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from hiddenstate.errors import DataError

if TYPE_CHECKING:
    import polars as pl

ISO = (
    r"^(?P<year>\d{4})(?:[-/.](?P<month>\d{1,2})(?:[-/.](?P<day>\d{1,2})"
    r"(?:[T ](?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"\s?(?P<zone>Z|z|[+-]\d{2}:?\d{2})?)?)?|-?Q(?P<quarter>[1-4]))$"
)

_ISO = re.compile(ISO)

EPOCH_UNITS = (
    (10**9, 10**11, "s"),
    (10**12, 10**14, "ms"),
    (10**15, 10**17, "us"),
    (10**18, 2**63 - 1, "ns"),
)
"""Whole numbers in these ranges count from 1970 (2001 to 5138 in seconds; 2001 to 2262 in nanoseconds)."""


def parse_times(words: pl.Series, form: str | None = None) -> tuple[pl.Series, int | None]:
    """Strings as microsecond time stamps, and the first row that is none (missing rows stay missing).

    With zones the result is in UTC; a column where some values have a zone and others none is refused as a
    whole.
    """
    import polars as pl

    if form is not None:
        times = words.str.strptime(pl.Datetime("us"), form, strict=False)
        if getattr(times.dtype, "time_zone", None):
            times = times.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return times, _first(words.is_not_null() & times.is_null())
    parts = words.to_frame("words").select(pl.col("words").str.extract_groups(ISO)).unnest("words")
    times = _assemble(parts)
    zones = parts["zone"].is_not_null()
    if zones.any() and not (zones | words.is_null()).all():
        return times, _first(~zones & words.is_not_null())
    return times, _first(words.is_not_null() & times.is_null())


def parse_time(value: Any) -> np.datetime64:
    """One time stamp (text, ``datetime``, ``date``, ``datetime64``) in microseconds, as by `parse_times`.

    Raises:
        DataError: it is none.
    """
    if isinstance(value, np.datetime64) and not np.isnat(value):
        return value.astype("datetime64[us]")
    match = _ISO.match(value.strip()) if isinstance(value, str) else None
    try:
        if match:
            value = _datetime(match)
        if isinstance(value, datetime):
            value = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        if isinstance(value, date):
            return np.datetime64(value, "us")
    except (ValueError, OverflowError):
        pass
    raise DataError(
        "unreadable time stamp", expected="ISO 8601 such as 2024-01-31T12:00", got=repr(value)[:60]
    )


def _datetime(match: re.Match[str]) -> datetime:
    part = match.groupdict()
    month = part["month"] or (1 if not part["quarter"] else 3 * int(part["quarter"]) - 2)
    hour, minute, second = (int(part[name] or 0) for name in ("hour", "minute", "second"))
    micros = int((part["fraction"] or "0").ljust(6, "0")[:6])
    zone = (part["zone"] or "+0000").replace(":", "").upper().replace("Z", "+0000")
    offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5])) * (-1 if zone[0] == "-" else 1)
    return (
        datetime(int(part["year"]), int(month), int(part["day"] or 1), hour, minute, second, micros) - offset
    )


def spelled(time: Any) -> str:
    """A time stamp for a message, without digits that are all zero."""
    return str(time).removesuffix(".000000").removesuffix("T00:00:00")


def epoch_to_times(values: np.ndarray) -> np.ndarray:
    """Whole numbers as time stamps where they plainly are: seconds (ms ...) since 1970, or ``20240131``.

    Anything else counts steps and is given back as int64.
    """
    if values.size and values.min() >= 10_000_101 and values.max() <= 99_991_231:
        dates = _compact_dates(values)
        if dates is not None:
            return dates
    for low, high, unit in EPOCH_UNITS:
        if values.size and values.min() >= low and values.max() < high:
            return values.astype(f"datetime64[{unit}]").astype("datetime64[us]")
    return values


def _compact_dates(values: np.ndarray) -> np.ndarray | None:
    year, month, day = values // 10_000, values // 100 % 100, values % 100
    if not ((month >= 1) & (month <= 12) & (day >= 1)).all():
        return None
    months = (year - 1970) * 12 + month - 1
    dates = months.astype("datetime64[M]").astype("datetime64[D]") + (day - 1)
    if (dates.astype("datetime64[M]").astype(np.int64) != months).any():
        return None
    return dates.astype("datetime64[us]")


def _assemble(parts: pl.DataFrame) -> pl.Series:
    """The matched groups as one naive time stamp in UTC; null where they are no date."""
    import polars as pl

    first_month = (pl.col("quarter").cast(pl.Int8) * 3 - 2).cast(pl.String)
    two = {
        name: pl.col(name).fill_null(default).str.zfill(2)
        for name, default in {"day": "01", "hour": "00", "minute": "00", "second": "00"}.items()
    }
    month = pl.coalesce("month", first_month, pl.lit("01")).str.zfill(2)
    fraction = pl.col("fraction").fill_null("0").str.pad_end(6, "0").str.slice(0, 6)
    text = pl.concat_str(
        [pl.col("year"), month, two["day"], two["hour"], two["minute"], two["second"], fraction],
        separator="-",
    )
    zone = pl.col("zone").str.replace_all(":", "").str.replace("(?i)z", "+0000").fill_null("+0000")
    offset = zone.str.slice(1, 2).cast(pl.Int64) * 60 + zone.str.slice(3, 2).cast(pl.Int64)
    sign = pl.when(zone.str.starts_with("-")).then(-1).otherwise(1)
    local = text.str.strptime(pl.Datetime("us"), "%Y-%m-%d-%H-%M-%S-%6f", strict=False)
    return parts.select(times=local - pl.duration(minutes=sign * offset))["times"]


def _first(mask: pl.Series) -> int | None:
    return int(mask.arg_max() or 0) if mask.any() else None
