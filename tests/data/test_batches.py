"""Buckets, padding and lanes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hiddenstate import data
from hiddenstate.errors import OptionError, ShapeError

LENGTHS = st.lists(st.integers(0, 30), max_size=40)


@settings(deadline=None)
@given(LENGTHS, st.integers(1, 9), st.integers(0, 3), st.integers(0, 3))
def test_every_sequence_is_in_one_bucket(lengths, batch_size, seed, epoch):
    found = data.buckets(lengths, batch_size=batch_size, seed=seed, epoch=epoch)
    assert sorted(i for batch in found for i in batch.tolist()) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= batch_size for batch in found)
    again = data.buckets(lengths, batch_size=batch_size, seed=seed, epoch=epoch)
    assert [batch.tolist() for batch in again] == [batch.tolist() for batch in found]


def test_buckets_save_padding_and_change_with_the_epoch():
    lengths = np.random.default_rng(0).integers(1, 200, 3000)
    first, second = (data.buckets(lengths, batch_size=16, seed=0, epoch=epoch) for epoch in (0, 1))
    assert [batch.tolist() for batch in first] != [batch.tolist() for batch in second]
    padded = sum(len(batch) * lengths[batch].max() for batch in first)
    plain = sum(len(batch) * lengths[batch].max() for batch in np.array_split(np.arange(3000), 188))
    assert padded < 1.05 * lengths.sum() < 0.6 * plain


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=9), st.sampled_from([(), (3,), (2, 2)]))
def test_padding_is_that_of_torch_and_undone(lengths, shape):
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(length, *shape)) for length in lengths]
    batch, found = data.pad(sequences)
    expected = torch.nn.utils.rnn.pad_sequence([torch.tensor(one) for one in sequences])
    np.testing.assert_array_equal(batch, expected.numpy())
    assert found.tolist() == lengths
    for one, back in zip(sequences, data.unpad(batch, found), strict=True):
        np.testing.assert_array_equal(one, back)


def test_wrong_batches():
    for sequences in (
        [],
        [np.zeros((2, 3)), np.zeros((2, 4))],
        [np.zeros(2), np.zeros((2, 1))],
        [np.float64(1)],
    ):
        with pytest.raises(ShapeError):
            data.pad(sequences)
    with pytest.raises(OptionError, match="batch_size"):
        data.buckets([1], batch_size=0, seed=0, epoch=0)
    with pytest.raises(OptionError, match="size"):
        list(data.windows(3, size=0))
    with pytest.raises(OptionError, match="lanes"):
        data.split_lanes(3, lanes=0)
    assert data.pad([np.array([1, 2]), np.array([3])], value=-1)[0].dtype == np.int64


@settings(deadline=None)
@given(st.integers(0, 99), st.integers(1, 9))
def test_lanes_of_one_sequence(length, lanes):
    found = data.split_lanes(length, lanes=lanes)
    assert found.index.T[found.index.T >= 0].tolist() == list(range(length))
    assert found.index.shape == found.resets.shape == (-(-length // lanes), lanes)
    assert not found.resets[1:].any()


@settings(deadline=None)
@given(LENGTHS, st.integers(1, 6), st.integers(0, 3))
def test_packed_lanes_hold_every_sequence_whole(lengths, lanes, epoch):
    found = data.pack_lanes(lengths, lanes=lanes, seed=0, epoch=epoch)
    ends = np.cumsum(lengths)
    starts = {int(end - length): int(end) for end, length in zip(ends, lengths, strict=True) if length}
    seen = []
    for lane, resets in zip(found.index.T, found.resets.T, strict=True):
        steps = lane[lane >= 0]
        assert (lane[: len(steps)] >= 0).all()
        for first in np.flatnonzero(resets):
            start = int(lane[first])
            stop = starts[start]
            assert lane[first : first + stop - start].tolist() == list(range(start, stop))
            seen.append(start)
    assert sorted(seen) == sorted(starts)
    assert (found.index >= 0).sum() == sum(lengths)
    assert len(found.index) <= sum(lengths) / lanes + max(lengths, default=0)


@given(st.integers(0, 50), st.integers(1, 9))
def test_windows_follow_one_another(steps, size):
    found = list(data.windows(steps, size=size))
    assert [i for window in found for i in range(steps)[window]] == list(range(steps))
    assert all(window.stop - window.start == size for window in found[:-1])
