"""Numbers: shifted and scaled so that a network sees values of about one."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from hiddenstate.errors import DataError, OptionError, SpecError

from .base import MAX_ENTRIES, Codec, Fields, not_fitted, number_of

HOWS = ("standard", "robust", "minmax", "log", "none")

Affine = tuple[float, float]


class Numbers(Codec):
    """Real numbers, encoded as ``y = (g(x) - shift) / scale``; a missing value (NaN) stays NaN.

    ========  ============  ================  =====================================================
    how       g(x)          shift             scale
    ========  ============  ================  =====================================================
    standard  x             mean              standard deviation
    robust    x             median            interquartile range (standard deviation where it is 0)
    minmax    x             minimum           maximum - minimum
    log       ln(1 + x)     mean of g         standard deviation of g
    none      x             0                 1
    ========  ============  ================  =====================================================

    The scale of a constant column is 1. "log" is for counts and amounts from 0 upwards; a negative value is
    an error.

    Args:
        how: one of the rows above.
        per_series: learn shift and scale for each series (``ids`` in `fit`); a series that was not seen, or
            whose values were all missing, takes those of all series together. `learn` adds a series later.

    Attributes:
        affine_: shift and scale over all series.
        series_: those of each series, by id.

    Example:
        >>> codec = Numbers().fit([1.0, 2.0, 3.0])
        >>> codec.encode([2.0, None]).tolist(), codec.decode_one(0.0)
        ([0.0, nan], 2.0)
    """

    kind = "numbers"

    def __init__(self, how: str = "standard", *, per_series: bool = False) -> None:
        if how not in HOWS:
            raise OptionError("unknown scaling", where="how", expected=f"one of {HOWS}", got=how)
        self.how = how
        self.per_series = per_series
        self.affine_: Affine | None = None
        self.series_: dict[str, Affine] = {}

    @property
    def size(self) -> int:
        """One number for each value."""
        return 1

    @property
    def link(self) -> str:
        """What comes before the affine part: "log1p" or "identity"."""
        return "log1p" if self.how == "log" else "identity"

    def fit(self, values: Any, ids: Any = None) -> Numbers:
        """Learn shift and scale.

        Args:
            values: numbers of any shape, NaN or None where missing.
            ids: the series of each value, same shape; needed with ``per_series``.

        Raises:
            DataError: no value is present, one is infinite, or (log) one is negative.
        """
        numbers = self._linked(values)
        if self.per_series and (ids is None or np.shape(ids) != numbers.shape):
            raise DataError(
                "the series of each value is needed", where="ids", expected=f"shape {numbers.shape}"
            )
        if np.isnan(numbers).all():
            raise DataError(
                "a column without any value", expected="at least one number", got="only missing values"
            )
        self.affine_ = self._statistics(numbers)
        self.series_ = {}
        if self.per_series:
            known: dict[str, int] = {}
            member = np.array([known.setdefault(str(id), len(known)) for id in np.ravel(ids).tolist()])
            order = np.argsort(member, kind="stable")
            parts = np.split(numbers.ravel()[order], np.cumsum(np.bincount(member))[:-1])
            seen = {id: part for id, part in zip(known, parts, strict=True) if not np.isnan(part).all()}
            self.series_ = {id: self._statistics(part) for id, part in seen.items()}
        return self

    def learn(self, id: str, values: Any) -> Numbers:
        """A codec that also knows the series ``id``, from its first values, say; none present: as unknown."""
        numbers = self._linked(values)
        grown = copy.copy(self)
        if not np.isnan(numbers).all():
            grown.series_ = {**self.series_, id: self._statistics(numbers)}
        return grown

    def affine(self, id: str | None = None) -> Affine:
        """Shift and scale of a series: ``g(x) = shift + scale * y``.

        A location decodes with both, a width (standard deviation of a Gaussian, say) with the scale alone;
        after that ``log`` still has to be undone (`unlink`), which quantiles survive and moments do not.
        """
        if self.affine_ is None:
            raise not_fitted(self)
        return self.series_.get(id, self.affine_) if id is not None else self.affine_

    def encode(self, values: Any, ids: Any = None) -> np.ndarray:
        """Values of any shape as float64 of that shape; infinite where one is too many scales away.

        Args:
            values: numbers, NaN or None where missing.
            ids: one id for all, or one for each value; None: the statistics of all series.
        """
        shift, scale = self._affines(ids)
        with np.errstate(over="ignore"):  # as `encode_one`
            return (self._linked(values) - shift) / scale

    def decode(self, array: Any, ids: Any = None) -> np.ndarray:
        """The inverse of `encode`."""
        shift, scale = self._affines(ids)
        return self.unlink(np.asarray(array, dtype=np.float64) * scale + shift)

    def encode_one(self, value: Any, id: str | None = None) -> float:
        """One value (None, "" and NaN are missing), the bits of `encode`."""
        shift, scale = self.affine(id)
        number = number_of(value)
        return ((float(self._linked([number])[0]) if self.how == "log" else number) - shift) / scale

    def decode_one(self, item: float, id: str | None = None) -> float:
        """One number back, the bits of `decode`."""
        return float(self.decode([item], id)[0])

    def unlink(self, values: Any) -> np.ndarray:
        """``g`` undone: ``exp(v) - 1``, not below 0, for "log"; else the values as they are."""
        values = np.ascontiguousarray(values, dtype=np.float64)
        return np.maximum(np.expm1(values), 0.0) if self.how == "log" else values

    def to_json(self) -> dict[str, Any]:
        """How, shift and scale over all and for each series."""
        return {
            "kind": self.kind,
            "how": self.how,
            "per_series": self.per_series,
            "affine": list(self.affine()),
            "series": {name: list(pair) for name, pair in self.series_.items()},
        }

    @classmethod
    def read_json(cls, data: Fields) -> Numbers:
        """See `Codec`."""
        codec = cls(data.one_of("how", HOWS), per_series=data.take("per_series", bool))
        codec.affine_ = _pair(data, data.take("affine", list))
        series = data.take("series", dict)
        if len(series) > MAX_ENTRIES:
            raise SpecError("a codec that cannot be read", where=data.where, got=f"{len(series)} series")
        codec.series_ = {name: _pair(data, pair) for name, pair in series.items()}
        return codec

    def _affines(self, ids: Any) -> tuple[Any, Any]:
        if ids is None or isinstance(ids, str):
            return self.affine(ids)
        pairs = np.array([self.affine(str(id)) for id in np.ravel(ids).tolist()]).reshape(*np.shape(ids), 2)
        return pairs[..., 0], pairs[..., 1]

    def _linked(self, values: Any) -> np.ndarray:
        """``g(values)``, after a check that they are finite numbers (and not negative for "log")."""
        try:
            numbers = np.ascontiguousarray(values, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError("values that are no numbers", expected="numbers", got=str(error)) from error
        bad = np.isinf(numbers)
        if bad.any():
            raise DataError(
                "infinite value", where=f"value {int(np.argmax(bad)) + 1}", expected="finite numbers"
            )
        if self.how != "log":
            return numbers
        if (numbers < 0).any():
            raise DataError(
                "a negative value where logarithms are taken",
                where=f"value {int(np.argmax(numbers < 0)) + 1}",
                expected="0 or more",
                got=float(numbers[numbers < 0][0]),
                fix="Use how='standard' or 'robust'",
            )
        return np.log1p(numbers)

    def _statistics(self, values: np.ndarray) -> Affine:
        present = values[~np.isnan(values)]
        if self.how == "none":
            return 0.0, 1.0
        low, high = float(present.min()), float(present.max())
        with np.errstate(over="ignore"):
            spread = float(present.std())
            if self.how == "minmax":
                shift, spread = low, high - low
            elif self.how == "robust":
                shift = float(np.median(present))
                quarter, three_quarters = np.percentile(present, [25, 75])
                spread = float(three_quarters - quarter) or spread
            else:
                shift = float(present.mean())
        if not (np.isfinite(shift) and np.isfinite(spread)):
            raise DataError(
                "numbers too large to scale", expected="magnitudes below 1e150", got=f"{low:g} to {high:g}"
            )
        if low == high:
            return low if self.how != "minmax" else shift, 1.0
        return shift, spread or 1.0


def _pair(data: Fields, pair: Any) -> Affine:
    if not isinstance(pair, list) or len(pair) != 2:
        raise SpecError(
            "a codec that cannot be read", where=data.where, expected="[shift, scale]", got=repr(pair)[:60]
        )
    shift, scale = data.number("shift", pair[0]), data.number("scale", pair[1])
    if scale <= 0:
        raise SpecError(
            "a codec that cannot be read", where=data.where, expected="a scale above 0", got=scale
        )
    return shift, scale
