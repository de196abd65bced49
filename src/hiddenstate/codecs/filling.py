"""Missing numbers: the last value seen before, never one from the future."""

from __future__ import annotations

from typing import Any

import numpy as np

from hiddenstate.errors import DataError, ShapeError

from .base import Codec, Fields, not_fitted, number_of


class ForwardFill(Codec):
    """Columns of numbers with each missing value replaced by the last one before it in its column.

    Before the first value of a column stands its training mean. What was missing is ``np.isnan`` of the
    input: give that mask to the network beside the filled values, and it can tell them apart.

    Attributes:
        means_: ``[F]``, what stands before the first value of each column.

    Example:
        >>> codec = ForwardFill().fit(np.array([[1.0], [3.0]]))
        >>> codec.encode(np.array([[np.nan], [5.0], [np.nan]])).tolist()
        [[2.0], [5.0], [5.0]]
    """

    kind = "forward_fill"

    def __init__(self) -> None:
        self.means_: np.ndarray | None = None

    @property
    def size(self) -> int:
        """Number of columns."""
        return len(self._means())

    def fit(self, values: np.ndarray) -> ForwardFill:
        """Learn the mean of each column of ``values [N, F]``.

        Raises:
            DataError: a column has no value at all.
        """
        values = _matrix(values)
        empty = np.flatnonzero(np.isnan(values).all(axis=0))
        if empty.size:
            raise DataError(
                "a column without any value", where=f"column {int(empty[0]) + 1}", got="only missing values"
            )
        self.means_ = np.nanmean(values, axis=0) if values.shape[1] else np.empty(0)
        return self

    def encode(self, values: np.ndarray, last: np.ndarray | None = None) -> np.ndarray:
        """``[T, F]`` filled; ``last [F]`` is the filled row before the first (None: the training means)."""
        values = _matrix(values, self.size)
        start = self._means() if last is None else np.asarray(last, dtype=np.float64)
        whole = np.concatenate([start[None], values])
        row = np.where(np.isnan(whole), 0, np.arange(len(whole))[:, None])
        return np.take_along_axis(whole, np.maximum.accumulate(row, axis=0), axis=0)[1:]

    def decode(self, array: np.ndarray) -> np.ndarray:
        """The values as they are: filling is not undone."""
        return _matrix(array, self.size)

    def encode_one(self, value: Any, last: np.ndarray | None = None) -> np.ndarray:
        """One row ``[F]`` filled from ``last [F]``, the filled row before it (None: the training means)."""
        start = self._means() if last is None else last
        return np.array([b if a != a else a for a, b in zip(map(number_of, value), start, strict=True)])

    def decode_one(self, item: np.ndarray) -> np.ndarray:
        """The row as it is."""
        return self.decode(np.asarray(item)[None])[0]

    def to_json(self) -> dict[str, Any]:
        """The means."""
        return {"kind": self.kind, "means": self._means().tolist()}

    @classmethod
    def read_json(cls, data: Fields) -> ForwardFill:
        """See `Codec`."""
        codec = cls()
        codec.means_ = np.array([data.number("mean", mean) for mean in data.take("means", list)])
        return codec

    def _means(self) -> np.ndarray:
        if self.means_ is None:
            raise not_fitted(self)
        return self.means_


def _matrix(values: Any, size: int | None = None) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or (size is not None and array.shape[1] != size):
        raise ShapeError(
            "rows of another width", expected=f"[T, {'F' if size is None else size}]", got=list(array.shape)
        )
    return array
