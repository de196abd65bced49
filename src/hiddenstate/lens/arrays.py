"""Files of bare numbers, for models that were saved without a task."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from hiddenstate import data
from hiddenstate.errors import DataError
from hiddenstate.runtime import Model


def read(model: Model, path: str | os.PathLike[str]) -> list[Any]:
    """Sequences for a bare model from a file.

    ``.npy``: one sequence ``[T, size]`` (ids ``[T]``), or many ``[N, T, size]`` (ids ``[N, T]``). Anything
    else is a table: its rows are the steps of one sequence, its columns the input in their order.

    Args:
        model: with one input.
        path: of the file.

    Raises:
        DataError: a file that cannot be read or does not fit, or a model with several inputs.
    """
    node, *others = model.spec.inputs
    if others:
        fix = "Call hs.lens.report from Python with arrays by input name"
        raise DataError("this model reads several inputs at once", where=path, expected="one input", fix=fix)
    if Path(path).suffix == ".npy":
        values = _array(path)
    else:
        table = data.read(path)
        values = table.matrix(table.names)
        values = values[:, 0] if node.kind == "ids" else values
    if node.kind == "ids" and values.dtype.kind == "f" and (values == np.floor(values)).all():
        values = values.astype(np.int64)
    many = values.ndim > (1 if node.kind == "ids" else 2)
    return list(values) if many else [values]


def _array(path: str | os.PathLike[str]) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        got = getattr(error, "strerror", None) or str(error)
        raise DataError(
            "not a file of numbers", where=path, expected="what numpy.save writes", got=got
        ) from error
