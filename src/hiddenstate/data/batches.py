"""Sequences of unequal length as arrays: buckets of like length, padding, and lanes for carried states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hiddenstate.errors import OptionError, ShapeError

POOL_BATCHES = 50
"""Sequences are sorted by length inside pools of this many batches: little padding, still a random order."""


@dataclass(frozen=True)
class Lanes:
    """Sequences laid end to end in parallel lanes, for training with carried states.

    Args:
        index: ``[T, B]`` int64, position of each step in the sequences joined end to end; -1 where a lane
            is empty.
        resets: ``[T, B]`` bool, True at the first step of each sequence.
    """

    index: np.ndarray
    resets: np.ndarray


def buckets(
    lengths: Sequence[int] | np.ndarray, *, batch_size: int, seed: int, epoch: int
) -> list[np.ndarray]:
    """Batches of sequences of like length, in an order that depends on ``seed`` and ``epoch`` alone.

    Args:
        lengths: ``[N]`` steps of each sequence.
        batch_size: sequences in a batch (the last batch of a pool may be smaller).
        seed: of the whole training.
        epoch: counted from 0; each has an order of its own.

    Returns:
        Arrays of positions; every sequence is in exactly one.

    Example:
        >>> sorted(np.concatenate(buckets([3, 1, 2, 9], batch_size=2, seed=0, epoch=0)).tolist())
        [0, 1, 2, 3]
    """
    if batch_size < 1:
        raise OptionError("a batch needs sequences", where="batch_size", expected="1 or more", got=batch_size)
    lengths = np.asarray(lengths)
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    batches = []
    for start in range(0, len(order), POOL_BATCHES * batch_size):
        pool = order[start : start + POOL_BATCHES * batch_size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[at : at + batch_size] for at in range(0, len(pool), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def pad(sequences: Sequence[np.ndarray], *, value: float = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sequences ``[T_b, ...]`` as one time-major array ``[T, B, ...]`` and their lengths ``[B]``.

    Steps after the end of a sequence hold ``value``.

    Raises:
        ShapeError: the sequences differ in more than their first axis, or there are none.

    Example:
        >>> x, lengths = pad([np.array([1, 2]), np.array([3])])
        >>> x.tolist(), lengths.tolist()
        ([[1, 3], [2, 0]], [2, 1])
    """
    arrays = [np.asarray(sequence) for sequence in sequences]
    if not arrays or any(array.ndim == 0 or array.shape[1:] != arrays[0].shape[1:] for array in arrays):
        shapes = sorted({array.shape[1:] for array in arrays})
        raise ShapeError(
            "sequences of different kinds in a batch", expected="one shape after the time axis", got=shapes
        )
    lengths = np.array([len(array) for array in arrays], dtype=np.int64)
    dtype = np.result_type(*arrays)
    batch = np.full((int(lengths.max()), len(arrays), *arrays[0].shape[1:]), value, dtype=dtype)
    for b, array in enumerate(arrays):
        batch[: len(array), b] = array
    return batch, lengths


def unpad(batch: np.ndarray, lengths: Sequence[int] | np.ndarray) -> list[np.ndarray]:
    """The sequences ``[T_b, ...]`` of a time-major array ``[T, B, ...]``: the inverse of `pad`."""
    return [batch[: int(length), b] for b, length in enumerate(lengths)]


def split_lanes(length: int, *, lanes: int) -> Lanes:
    """One long sequence cut into ``lanes`` equally long stretches that run side by side.

    Every lane starts once with a reset; up to ``lanes - 1`` steps at the end of the last lane are empty.

    Example:
        >>> split_lanes(5, lanes=2).index.tolist()
        [[0, 3], [1, 4], [2, -1]]
    """
    _check_lanes(lanes)
    steps = -(-length // lanes)
    index = np.arange(lanes * steps).reshape(lanes, steps).T
    index = np.where(index < length, index, -1)
    resets = np.zeros(index.shape, dtype=bool)
    resets[:1] = index[:1] >= 0
    return Lanes(index, resets)


def pack_lanes(lengths: Sequence[int] | np.ndarray, *, lanes: int, seed: int, epoch: int) -> Lanes:
    """Many sequences laid end to end in lanes of about equal length, in an order of ``seed`` and ``epoch``.

    Args:
        lengths: ``[N]`` steps of each sequence; those of length 0 are left out.
        lanes: how many run side by side.
        seed: of the whole training.
        epoch: counted from 0.

    Example:
        >>> packed = pack_lanes([2, 3, 1], lanes=2, seed=0, epoch=0)
        >>> packed.index.shape, int(packed.resets.sum())
        ((3, 2), 3)
    """
    _check_lanes(lanes)
    lengths = np.asarray(lengths, dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    order = order[np.argsort(-lengths[order], kind="stable")]  # longest first fills lanes evenly
    members: list[list[int]] = [[] for _ in range(lanes)]
    filled = np.zeros(lanes, dtype=np.int64)
    for one in order[lengths[order] > 0]:
        lane = int(np.argmin(filled))
        members[lane].append(int(one))
        filled[lane] += lengths[one]
    index = np.full((int(filled.max(initial=0)), lanes), -1, dtype=np.int64)
    resets = np.zeros(index.shape, dtype=bool)
    for lane, ones in enumerate(members):
        at = 0
        for one in rng.permutation(ones).astype(np.int64):
            end = at + int(lengths[one])
            index[at:end, lane] = starts[one] + np.arange(end - at)
            resets[at, lane] = True
            at = end
    return Lanes(index, resets)


def windows(steps: int, *, size: int) -> Iterator[slice]:
    """Stretches of ``size`` steps that follow one another; the last may be shorter.

    Example:
        >>> list(windows(5, size=2))
        [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    if size < 1:
        raise OptionError("a window needs steps", where="size", expected="1 or more", got=size)
    for start in range(0, steps, size):
        yield slice(start, min(start + size, steps))


def _check_lanes(lanes: int) -> None:
    if lanes < 1:
        raise OptionError("at least one lane is needed", where="lanes", expected="1 or more", got=lanes)
