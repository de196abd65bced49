"""Labels as given, and as class indices."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from hiddenstate.errors import DataError, OptionError, ShapeError


def as_labels(values: Any, where: str) -> np.ndarray:
    """Labels ``[n]`` as whole numbers, booleans or strings.

    Raises:
        DataError: when a label is missing, or labels are fractions, which are no classes.
        ShapeError: when there is more than one label per sequence.
    """
    labels = np.asarray(values)
    if labels.ndim == 2 and labels.shape[1] == 1:
        warnings.warn(
            "A column-vector y was passed when a 1d array was expected: its only column is used",
            _conversion_warning(),
            stacklevel=4,
        )
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise ShapeError(
            "y should be a 1d array", where=where, expected="one label per sequence", got=labels.shape
        )
    if labels.dtype.kind == "O":
        labels = _unboxed(labels, where)
    if labels.dtype.kind == "c":
        raise DataError("Complex data not supported", where=where)
    return _whole(labels, where) if labels.dtype.kind == "f" else labels


def _conversion_warning() -> type[Warning]:
    """scikit-learn's own category when scikit-learn is in use."""
    module = sys.modules.get("sklearn.exceptions")
    return module.DataConversionWarning if module else UserWarning


def _unboxed(labels: np.ndarray, where: str) -> np.ndarray:
    items = labels.tolist()
    for row, item in enumerate(items):
        if item is None or item != item:
            raise DataError(
                "missing label", where=f"{where}, row {row + 1}", expected="a label for every sequence"
            )
    if any(isinstance(item, str) for item in items):
        return np.array([str(item) for item in items])
    try:
        plain = np.array(items)
    except ValueError as error:
        raise DataError("Unknown label type", where=where, got=str(error)) from error
    if plain.ndim != 1 or plain.dtype.kind == "O":
        raise DataError(
            "Unknown label type", where=where, expected="strings or whole numbers", got=repr(items[0])
        )
    return plain


def _whole(labels: np.ndarray, where: str) -> np.ndarray:
    """Numbers without a fraction, as integers: a column of a file gives 1.0 for 1."""
    bad = ~np.isfinite(labels)
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError("missing label", where=f"{where}, row {row + 1}", got=labels[row], expected="a label")
    fraction = labels != np.floor(labels)
    if fraction.any():
        raise DataError(
            "Unknown label type: continuous",
            where=where,
            expected="classes: strings or whole numbers",
            got=labels[int(np.argmax(fraction))],
        )
    return labels.astype(np.int64)


def like(labels: Any, classes: np.ndarray) -> np.ndarray:
    """Labels in the type of ``classes``: a file may give 1 where training saw "1".

    Raises:
        DataError: when that cannot be.
    """
    labels = np.asarray(labels)
    if (labels.dtype.kind in "US") == (classes.dtype.kind in "US"):
        return labels
    by_text = {str(label): label for label in classes.tolist()}
    found = [by_text.get(text) for text in labels.astype(str).tolist()]
    if None in found:
        unknown = labels[found.index(None)]
        raise DataError("a label unknown to the model", expected=classes.tolist()[:10], got=unknown.item())
    return np.array(found)


def class_weights(
    setting: str | Mapping[Any, float] | None, y: np.ndarray, classes: np.ndarray
) -> np.ndarray | None:
    """The weight of every class in the loss, ``[K]``, or None when all are alike.

    Args:
        setting: None, "balanced" (inverse to how often a class occurs, ``n / (K * count)``), or weights by
            label; a class that is not named has weight 1.
        y: class indices ``[n]``.
        classes: labels ``[K]``.

    Raises:
        OptionError: on a weight for a label that does not occur, or that is not positive.
    """
    if setting is None:
        return None
    if setting == "balanced":
        count = np.bincount(y, minlength=len(classes))
        return len(y) / (len(classes) * count)
    weights = dict(setting)  # type: ignore[arg-type]
    column = {str(label): k for k, label in enumerate(classes.tolist())}
    if unknown := [label for label in weights if str(label) not in column]:
        raise OptionError(
            "weight of an unknown class", where="class_weight", expected=classes.tolist(), got=unknown
        )
    values = np.ones(len(classes))
    for label, weight in weights.items():
        values[column[str(label)]] = weight
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise OptionError("class weights are positive numbers", where="class_weight", got=weights)
    return values
