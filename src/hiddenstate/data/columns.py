"""One column of a table as numbers, text or time stamps, or an error that names the row.

A column read from a text file holds strings; what it means is decided here, from all of its values: numbers
if every value is one, else time stamps if every value is one, else text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hiddenstate.errors import DataError

from .times import epoch_to_times, parse_times

if TYPE_CHECKING:
    import polars as pl

MISSING_WORDS = ("", "na", "n/a", "#n/a", "nan", "null", "none", "?", "-", ".")
"""What stands for "no value" among numbers and time stamps, in any case. Among texts only "" does."""

TRUTH = {"true": 1.0, "false": 0.0}


def kind_of(column: pl.Series, time_format: str | None = None) -> str:
    """What a column holds: "numbers", "time", "text" or "sequences" (a list in each row)."""
    import polars as pl

    if column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null):
        return "numbers"
    if column.dtype.is_temporal() and column.dtype not in (pl.Duration, pl.Time):
        return "time"
    if column.dtype in (pl.List, pl.Array):
        return "sequences"
    if column.dtype != pl.String:
        return "text"
    _, wrong = _parse_numbers(column)
    if wrong is None:
        return "numbers"
    words = _without_missing(column)
    forms = (None,) if time_format is None else (None, time_format)
    return "time" if any(parse_times(words, form)[1] is None for form in forms) else "text"


def to_numbers(column: pl.Series, *, where: str, first_row: int = 1) -> np.ndarray:
    """The column as float64, NaN where a value is missing.

    Raises:
        DataError: a value is no number, or is infinite; the message names its row.
    """
    import polars as pl

    place = f"{where}, column '{column.name}'"
    if column.dtype == pl.String:
        numbers, wrong = _parse_numbers(column)
        if wrong is not None:
            raise _not_a_number(column[wrong], f"{place}, row {first_row + wrong}")
    elif column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null):
        numbers = column.cast(pl.Float64)
    else:
        raise DataError(
            "a column of numbers was needed", where=place, expected="numbers", got=kind_of(column)
        )
    values = np.array(numbers.to_numpy(), dtype=np.float64)
    infinite = np.flatnonzero(np.isinf(values))
    if infinite.size:
        row = int(infinite[0])
        raise DataError(
            "infinite value",
            where=f"{place}, row {first_row + row}",
            expected="finite numbers",
            got=repr(column[row]),
            fix="Leave the field empty where no value is known",
        )
    return values


def to_text(column: pl.Series) -> np.ndarray:
    """The column as an object array of str, None where a value is missing.

    Whole numbers are written without a fraction, so that an id 7 is "7" whichever way it was stored.
    """
    import polars as pl

    if column.dtype == pl.String:
        texts = column.to_list()
    elif column.dtype.is_float():
        texts = [None if v is None or v != v else _short(v) for v in column.to_list()]
    elif column.dtype == pl.Boolean:
        texts = [None if v is None else str(v).lower() for v in column.to_list()]
    elif column.dtype in (pl.Categorical, pl.Enum) or column.dtype.is_integer():
        texts = column.cast(pl.String).to_list()
    else:
        texts = [None if v is None else str(v) for v in column.to_list()]
    out = np.empty(len(texts), dtype=object)
    out[:] = texts
    return out


def to_times(
    column: pl.Series, *, where: str, first_row: int = 1, time_format: str | None = None, gaps: bool = False
) -> np.ndarray:
    """The column as ``datetime64[us]`` (UTC where zones are given), or as int64 where it only counts steps.

    With ``gaps`` a missing value is NaT.

    Raises:
        DataError: a value is missing or no time stamp, or some values have a zone and others none.
    """
    import polars as pl

    place = f"{where}, column '{column.name}'"
    if column.dtype == pl.String:
        values = _times_in_text(column, place, first_row, time_format)
    elif column.dtype.is_temporal():
        values = _naive(column, place)
    elif kind_of(column) == "numbers":
        values = None
    else:
        raise DataError(
            "a column of time stamps was needed", where=place, expected="dates", got=kind_of(column)
        )
    if values is None:
        return _counted(to_numbers(column, where=where, first_row=first_row), place, first_row)
    if not gaps:
        _refuse_missing(values.is_null().to_numpy(), place, first_row)
    return values.to_numpy().astype("datetime64[us]")


def to_sequences(column: pl.Series, *, where: str, first_row: int = 1) -> list[np.ndarray]:
    """A column of lists as float64 arrays, ``[T]`` or ``[T, F]`` each, of any lengths.

    Raises:
        DataError: a row is missing, or its lists are ragged or hold something else than numbers.
    """
    place = f"{where}, column '{column.name}'"
    if kind_of(column) != "sequences":
        raise DataError(
            "a column of lists was needed", where=place, expected="a list a row", got=kind_of(column)
        )
    arrays = []
    for row, value in enumerate(column.to_list()):
        try:
            array = np.array(value, dtype=np.float64)
        except (TypeError, ValueError):
            array = None
        if value is None or array is None or array.ndim not in (1, 2) or np.isinf(array).any():
            raise DataError(
                "a row that is no sequence of numbers",
                where=f"{place}, row {first_row + row}",
                expected="a list of numbers, or of equally long lists of numbers",
                got=_shown(value),
            )
        arrays.append(array)
    return arrays


def _parse_numbers(column: pl.Series) -> tuple[pl.Series, int | None]:
    """Strings as Float64 and the first row that is neither a number nor missing (None when all are fine)."""
    import polars as pl

    words = column.str.strip_chars()
    low = words.str.to_lowercase()
    missing = words.is_null() | low.is_in(MISSING_WORDS)
    numbers = words.cast(pl.Float64, strict=False).set(missing, None)
    wrong = (numbers.is_null() & ~missing).arg_max()
    if wrong is None or numbers[wrong] is not None or missing[wrong]:
        return numbers, None
    truth = low.replace_strict(TRUTH, default=None, return_dtype=pl.Float64).set(missing, None)
    if (truth.is_null() == missing).all():
        return truth, None
    return numbers, wrong


def _without_missing(column: pl.Series) -> pl.Series:
    words = column.str.strip_chars()
    return words.set(words.str.to_lowercase().is_in(MISSING_WORDS), None)


def _counted(values: np.ndarray, place: str, first_row: int) -> np.ndarray:
    _refuse_missing(np.isnan(values), place, first_row)
    fractional = np.flatnonzero(values != np.floor(values))
    if fractional.size:
        row = int(fractional[0])
        raise DataError(
            "unreadable time stamp",
            where=f"{place}, row {first_row + row}",
            expected="whole numbers or ISO dates",
            got=_shown(float(values[row])),
        )
    return epoch_to_times(values.astype(np.int64))


def _refuse_missing(missing: np.ndarray, place: str, first_row: int) -> None:
    if missing.any():
        raise DataError(
            "missing time stamp",
            where=f"{place}, row {first_row + int(np.argmax(missing))}",
            expected="a time stamp in every row",
            fix="Fill it in or remove the row",
        )


def _not_a_number(value: Any, place: str) -> DataError:
    fix = "Correct the value, or leave the field empty where none is known"
    if str(value).replace(".", "").replace(",", "", 1).strip("+- ").isdigit():
        fix = (
            "If the comma is the decimal sign, read the file with decimal=','; remove signs between thousands"
        )
    return DataError(
        "not a number", where=place, expected="a number or an empty field", got=_shown(value), fix=fix
    )


def _times_in_text(
    column: pl.Series, place: str, first_row: int, time_format: str | None
) -> pl.Series | None:
    """Strings as time stamps in the form that was given, else in ISO 8601; None when they are numbers."""
    words = _without_missing(column)
    forms = (None,) if time_format is None else (time_format, None)
    readings = [parse_times(words, form) for form in forms]
    for times, wrong in readings:
        if wrong is None:
            return times
    if _parse_numbers(column)[1] is None:
        return None
    zoned = words.str.contains(r"(?i):.*(Z|[+-]\d{2}:?\d{2})$")
    halves = words.filter(zoned), words.filter(~zoned)
    if all(len(half) and parse_times(half)[1] is None for half in halves):
        naive = int((~zoned).fill_null(False).arg_max() or 0)
        raise DataError(
            "time stamps with and without a time zone in one column",
            where=f"{place}, row {first_row + naive}",
            expected="a zone on every value or on none",
            got=_shown(words[naive]),
        )
    wrong = readings[0][1] or 0
    raise DataError(
        "unreadable time stamp",
        where=f"{place}, row {first_row + wrong}",
        expected=time_format or "ISO 8601 such as 2024-01-31, 2024-01-31T12:00:00Z or 2024-01",
        got=_shown(words[wrong]),
        fix="Read the file with the form of its dates, such as time_format='%d/%m/%Y %H:%M'",
    )


def _naive(column: pl.Series, place: str) -> pl.Series:
    """Dates and date-times of any precision as microseconds, in UTC where they have a zone."""
    import polars as pl

    if column.dtype in (pl.Duration, pl.Time):
        raise DataError("durations are no time stamps", where=place, expected="dates", got=str(column.dtype))
    if column.dtype == pl.Datetime and getattr(column.dtype, "time_zone", None):
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return column.cast(pl.Datetime("us"))


def _short(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
