"""What the network's outputs mean: a point, quantiles, or the parameters of a distribution.

A head turns ``width`` raw outputs per forecast value into forecasts, relative to a reference ``offset + unit
* u``: the level of the series where the forecast is made, and its scale. The loss of each head, for
training, stands beside it.

=====================  =====  ========================================================================
head                   width  meaning of the raw outputs ``o``
=====================  =====  ========================================================================
``Point``              1      ``u = o``
``Quantiles``          Q      the quantiles of ``u``, sorted, so that they never cross
``Normal``             2      mean ``o_1``, deviation ``softplus(o_2)``
``StudentT``           3      location ``o_1``, scale ``softplus(o_2)``, freedom ``2 + softplus(o_3)``
``NegativeBinomial``   2      mean ``softplus(o_1 + level)`` units, dispersion ``softplus(o_2)``
=====================  =====  ========================================================================
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from hiddenstate.errors import BundleError

from .special import negative_binomial_quantile, student_t_quantile

if TYPE_CHECKING:
    from torch import Tensor

    from hiddenstate.train import Loss

SMALLEST_SCALE = 1e-3
"""Floor of scales and dispersions: a constant series must not have an infinite likelihood."""

_SHIFT = math.log(math.expm1(1.0))
"""Raw 0 means scale 1: ``softplus(0 + _SHIFT) = 1``."""


class Reference(NamedTuple):
    """What forecasts are relative to, in the values of the codec; arrays that broadcast with ``u``.

    Attributes:
        offset: value of ``u = 0``.
        unit: value of a step of 1 in ``u``.
        zero: where a raw count of 0 lies.
        count: raw counts in a step of 1.
    """

    offset: Any
    unit: Any
    zero: Any
    count: Any


class Head(ABC):
    """Raw outputs ``[..., width]`` to forecasts ``[...]``."""

    name: ClassVar[str]
    width: int  # outputs for each forecast value
    spread: ClassVar[bool] = True  # whether there is more than a point
    whole: ClassVar[bool] = False  # whether quantiles and draws are whole numbers

    @abstractmethod
    def point(self, raw: np.ndarray, ref: Reference) -> np.ndarray:
        """The forecast to give when one number is asked for."""

    def quantile(self, raw: np.ndarray, level: float, ref: Reference) -> np.ndarray:
        """The value that a share ``level`` of outcomes stays below."""
        raise NotImplementedError

    def sample(self, raw: np.ndarray, ref: Reference, rng: np.random.Generator) -> np.ndarray:
        """One draw per forecast."""
        raise NotImplementedError

    @abstractmethod
    def loss(self, raw: Tensor, target: Tensor, mask: Tensor, ref: Reference) -> Loss:
        """Mean loss of ``target`` (in units of the reference) where ``mask`` is True."""


class Point(Head):
    """One number, trained by mean squared ("mse"), mean absolute ("mae") or Huber error."""

    name = "point"
    width = 1
    spread = False

    def __init__(self, measure: str) -> None:
        self.measure = measure

    def point(self, raw: np.ndarray, ref: Reference) -> np.ndarray:
        """The number itself."""
        return ref.offset + ref.unit * raw[..., 0]

    def loss(self, raw: Tensor, target: Tensor, mask: Tensor, ref: Reference) -> Loss:
        """Error as chosen by ``measure``."""
        from hiddenstate.train import losses

        measure = {"mse": losses.squared, "mae": losses.absolute, "huber": losses.huber}[self.measure]
        return measure(raw[..., 0], target, mask)


class Quantiles(Head):
    """Quantiles at fixed levels, trained by the pinball loss; the one nearest the median is the point."""

    name = "quantiles"

    def __init__(self, levels: tuple[float, ...]) -> None:
        self.levels, self.width = levels, len(levels)

    def point(self, raw: np.ndarray, ref: Reference) -> np.ndarray:
        """The quantile nearest to the median."""
        nearest = min(self.levels, key=lambda level: abs(level - 0.5))
        return self.quantile(raw, nearest, ref)

    def quantile(self, raw: np.ndarray, level: float, ref: Reference) -> np.ndarray:
        """One of the trained quantiles."""
        return ref.offset + ref.unit * np.sort(raw, axis=-1)[..., self.levels.index(level)]

    def loss(self, raw: Tensor, target: Tensor, mask: Tensor, ref: Reference) -> Loss:
        """Mean pinball loss over the levels."""
        from hiddenstate.train import losses

        return losses.quantile(raw.sort(dim=-1).values, target, raw.new_tensor(self.levels), mask)


class Normal(Head):
    """Normal distribution, trained by its likelihood."""

    name = "normal"
    width = 2

    def point(self, raw: np.ndarray, ref: Reference) -> np.ndarray:
        """The mean."""
        return ref.offset + ref.unit * raw[..., 0]

    def quantile(self, raw: np.ndarray, level: float, ref: Reference) -> np.ndarray:
        """Mean plus a multiple of the deviation."""
        return ref.offset + ref.unit * (raw[..., 0] + positive(raw[..., 1]) * NormalDist().inv_cdf(level))

    def sample(self, raw: np.ndarray, ref: Reference, rng: np.random.Generator) -> np.ndarray:
        """A normal draw each."""
        draws = rng.standard_normal(raw.shape[:-1])
        return ref.offset + ref.unit * (raw[..., 0] + positive(raw[..., 1]) * draws)

    def loss(self, raw: Tensor, target: Tensor, mask: Tensor, ref: Reference) -> Loss:
        """Negative log likelihood."""
        from hiddenstate.train import losses

        return losses.normal(raw[..., 0], _positive_tensor(raw[..., 1]), target, mask)


class StudentT(Head):
    """Student's t distribution: as the normal, with tails as heavy as the data asks for."""

    name = "student-t"
    width = 3

    def point(self, raw: np.ndarray, ref: Reference) -> np.ndarray:
        """The mean."""
        return ref.offset + ref.unit * raw[..., 0]

    def quantile(self, raw: np.ndarray, level: float, ref: Reference) -> np.ndarray:
        """Location plus a multiple of the scale that depends on the degrees of freedom."""
        factor = student_t_quantile(level, 2 + positive(raw[..., 2]))
        return ref.offset + ref.unit * (raw[..., 0] + positive(raw[..., 1]) * factor)

    def sample(self, raw: np.ndarray, ref: Reference, rng: np.random.Generator) -> np.ndarray:
        """A t draw each."""
        draws = rng.standard_t(2 + positive(raw[..., 2]))
        return ref.offset + ref.unit * (raw[..., 0] + positive(raw[..., 1]) * draws)

    def loss(self, raw: Tensor, target: Tensor, mask: Tensor, ref: Reference) -> Loss:
        """Negative log likelihood."""
        from hiddenstate.train import losses

        scale, freedom = _positive_tensor(raw[..., 1]), 2 + _positive_tensor(raw[..., 2])
        return losses.student_t(raw[..., 0], scale, freedom, target, mask)


class NegativeBinomial(Head):
    """Counts 0, 1, 2 ... with variance ``mean + dispersion * mean^2``."""

    name = "negative-binomial"
    width = 2
    whole = True

    def point(self, raw: np.ndarray, ref: Reference) -> np.ndarray:
        """The mean count."""
        return ref.zero + self._mean(raw, ref) / ref.count

    def quantile(self, raw: np.ndarray, level: float, ref: Reference) -> np.ndarray:
        """A whole count."""
        counts = negative_binomial_quantile(level, self._mean(raw, ref), positive(raw[..., 1]))
        return ref.zero + counts / ref.count

    def sample(self, raw: np.ndarray, ref: Reference, rng: np.random.Generator) -> np.ndarray:
        """A whole count each."""
        size = 1 / positive(raw[..., 1])
        return ref.zero + rng.negative_binomial(size, size / (size + self._mean(raw, ref))) / ref.count

    def loss(self, raw: Tensor, target: Tensor, mask: Tensor, ref: Reference) -> Loss:
        """Negative log likelihood of the raw counts."""
        from hiddenstate.train import losses

        counts = ((target * ref.unit + ref.offset - ref.zero) * ref.count).round()
        level = (ref.offset - ref.zero) / ref.unit
        mean = ref.unit * ref.count * losses.softplus(raw[..., 0] + level) + SMALLEST_SCALE
        return losses.negative_binomial(mean, _positive_tensor(raw[..., 1]), counts, mask)

    def _mean(self, raw: np.ndarray, ref: Reference) -> np.ndarray:
        level = (ref.offset - ref.zero) / ref.unit
        return ref.unit * ref.count * np.logaddexp(0.0, raw[..., 0] + level) + SMALLEST_SCALE


DISTRIBUTIONS = {cls.name: cls for cls in (Normal, StudentT, NegativeBinomial)}


def positive(raw: np.ndarray) -> np.ndarray:
    """``softplus`` with 1 at 0 and a small floor."""
    return np.logaddexp(0.0, raw + _SHIFT) + SMALLEST_SCALE


def _positive_tensor(raw: Tensor) -> Tensor:
    from hiddenstate.train import losses

    return losses.softplus(raw + _SHIFT) + SMALLEST_SCALE


def make(name: str, *, measure: str = "mse", levels: tuple[float, ...] = ()) -> Head:
    """The head of that name.

    Raises:
        BundleError: on a name that this version does not know.
    """
    if name == Point.name:
        return Point(measure)
    if name == Quantiles.name:
        return Quantiles(levels)
    if name not in DISTRIBUTIONS:
        raise BundleError(
            "unknown kind of forecast", expected=["point", "quantiles", *DISTRIBUTIONS], got=name
        )
    return DISTRIBUTIONS[name]()
