"""Train, validation and test parts: by time inside series, or by whole sequences, groups and classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hiddenstate.errors import DataError, OptionError


class Cut(NamedTuple):
    """The three stretches of one series, in time order."""

    train: slice
    validation: slice
    test: slice


class Split(NamedTuple):
    """Positions of the sequences in each part, sorted."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def cut_in_time(
    lengths: Sequence[int] | np.ndarray, *, validation: float | int = 0.2, test: float | int = 0
) -> list[Cut]:
    """Cut every series by time: first the training stretch, then validation, then test.

    Args:
        lengths: steps of each series.
        validation: a share of each series (float below 1) or a number of steps (int), and so for ``test``.
        test: the last stretch.

    Returns:
        For each series its cut. A series too short to leave one training step goes to training whole.

    Example:
        >>> cut_in_time([10], validation=0.2, test=1)[0]
        Cut(train=slice(0, 7, None), validation=slice(7, 9, None), test=slice(9, 10, None))
    """
    cuts = []
    for length in lengths:
        last, middle = _steps(length, test, "test"), _steps(length, validation, "validation")
        if last + middle >= length:
            last = middle = 0
        first = int(length) - middle - last
        cuts.append(Cut(slice(0, first), slice(first, first + middle), slice(first + middle, int(length))))
    return cuts


def split(
    count: int,
    *,
    validation: float = 0.2,
    test: float = 0.0,
    seed: int = 0,
    labels: Sequence | np.ndarray | None = None,
    groups: Sequence | np.ndarray | None = None,
) -> Split:
    """Split independent sequences at random.

    Args:
        count: how many sequences there are.
        validation: share of the sequences, and so for ``test``.
        test: share of the sequences.
        seed: the same seed gives the same split.
        labels: ``[count]``; every class has its share in every part. A class of one stays in training.
        groups: ``[count]``; sequences of one group (a speaker, a patient) are all in the same part.

    Raises:
        OptionError: shares outside [0, 1) or that leave nothing for training; labels and groups together.
        DataError: fewer groups than parts, or labels or groups of another length.

    Example:
        >>> parts = split(6, validation=0.5, groups=["a", "a", "b", "b", "c", "c"])
        >>> sorted(parts.train.tolist() + parts.validation.tolist())
        [0, 1, 2, 3, 4, 5]
    """
    if labels is not None and groups is not None:
        raise OptionError("either classes are balanced or groups stay whole", where="labels, groups")
    for name, share in (("validation", validation), ("test", test)):
        if not 0 <= share < 1:
            raise OptionError("not a share", where=name, expected="from 0 to below 1", got=share)
    if validation + test >= 1:
        raise OptionError("nothing left for training", where="validation + test", got=validation + test)
    for name, values in (("labels", labels), ("groups", groups)):
        if values is not None and len(values) != count:
            raise DataError(f"{name} of another length", where=name, expected=count, got=len(values))
    rng = np.random.default_rng(seed)
    if groups is not None:
        parts = _split_groups(_codes(groups), validation, test, rng)
    else:
        classes = np.zeros(count, dtype=np.int64) if labels is None else _codes(labels)
        parts = _split_classes(classes, validation, test, rng)
    return Split(*(np.sort(np.flatnonzero(parts == part)) for part in range(3)))


def _steps(length: int, size: float | int, where: str) -> int:
    if isinstance(size, (bool, str)) or not 0 <= size or (isinstance(size, float) and size >= 1):
        raise OptionError("not a share or number of steps", where=where, expected="0.2 or 24, say", got=size)
    return int(size) if isinstance(size, (int, np.integer)) else round(size * length)


def _codes(values: Sequence | np.ndarray) -> np.ndarray:
    """Values of any kind as numbers from 0, in order of first appearance."""
    known: dict = {}
    return np.array([known.setdefault(value, len(known)) for value in values], dtype=np.int64)


def _split_classes(
    classes: np.ndarray, validation: float, test: float, rng: np.random.Generator
) -> np.ndarray:
    """The part of each sequence: 0 training, 1 validation, 2 test.

    Sequences are laid out class by class, each class shuffled, and dealt out at even distances along that
    line: every class gets its share up to one, and the parts have the right size as a whole.
    """
    order = rng.permutation(len(classes))
    order = order[np.argsort(classes[order], kind="stable")]
    parts = np.zeros(len(classes), dtype=np.int64)
    rank = np.arange(len(classes)) + 0.5
    for part, share in ((1, validation), (2, test)):
        size = round(share * len(classes))
        free = np.flatnonzero(parts[order] == 0)
        chosen = free[(rank[:size] * len(free) / max(size, 1)).astype(np.int64)]
        parts[order[chosen]] = part
    for label in np.flatnonzero(np.bincount(classes, minlength=1)):
        members = np.flatnonzero(classes == label)
        if (parts[members] != 0).all():  # a class that cannot be seen in training cannot be learned
            parts[members[0]] = 0
    return parts


def _split_groups(groups: np.ndarray, validation: float, test: float, rng: np.random.Generator) -> np.ndarray:
    """The part of each sequence when groups stay whole: largest first, each to the part that lacks most."""
    sizes = np.bincount(groups)
    wanted = np.array([1 - validation - test, validation, test]) * len(groups)
    if len(sizes) < (wanted > 0).sum():
        raise DataError(
            "fewer groups than parts", where="groups", expected=int((wanted > 0).sum()), got=len(sizes)
        )
    filled = np.zeros(3)
    part_of = np.zeros(len(sizes), dtype=np.int64)
    order = rng.permutation(len(sizes))
    for done, one in enumerate(order[np.argsort(-sizes[order], kind="stable")]):
        empty = (filled == 0) & (wanted > 0)
        must_fill = len(sizes) - done <= empty.sum()  # as many groups left as parts without any
        lack = np.where(empty | ~must_fill, wanted - filled, -np.inf)
        lack[wanted == 0] = -np.inf
        part_of[one] = int(np.argmax(lack))
        filled[part_of[one]] += sizes[one]
    return part_of[groups]
