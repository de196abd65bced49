"""Splits that respect time, groups and classes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hiddenstate import data
from hiddenstate.errors import DataError, OptionError

SHARES = st.sampled_from([0.0, 0.1, 0.2, 0.4])


@settings(deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1), SHARES | st.integers(0, 9), SHARES | st.integers(0, 9))
def test_cuts_cover_each_series_in_time_order(lengths, validation, test):
    for length, cut in zip(lengths, data.cut_in_time(lengths, validation=validation, test=test), strict=True):
        whole = np.arange(length)
        assert np.concatenate([whole[part] for part in cut]).tolist() == whole.tolist()
        assert len(whole[cut.train]) > 0 or length == 0
        if isinstance(validation, int) and isinstance(test, int) and length > validation + test:
            assert (len(whole[cut.validation]), len(whole[cut.test])) == (validation, test)


def test_shares_are_of_each_series():
    [short, long] = data.cut_in_time([10, 100], validation=0.2, test=0.1)
    assert (short.validation, short.test) == (slice(7, 9), slice(9, 10))
    assert (long.validation, long.test) == (slice(70, 90), slice(90, 100))


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from("abcde"), min_size=1, max_size=60), SHARES, SHARES, st.integers(0, 5))
def test_classes_have_their_share_everywhere(labels, validation, test, seed):
    parts = data.split(len(labels), validation=validation, test=test, seed=seed, labels=labels)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    labels = np.array(labels)
    assert set(labels[parts.train]) == set(labels)
    for part, share in ((parts.validation, validation), (parts.test, test)):
        for label in set(labels):
            wanted = share * (labels == label).sum()
            assert abs((labels[part] == label).sum() - wanted) < 2


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=60), SHARES, SHARES, st.integers(0, 5))
def test_groups_stay_whole(groups, validation, test, seed):
    wanted = 1 + (validation > 0) + (test > 0)
    if len(set(groups)) < wanted:
        with pytest.raises(DataError, match="fewer groups than parts"):
            data.split(len(groups), validation=validation, test=test, seed=seed, groups=groups)
        return
    parts = data.split(len(groups), validation=validation, test=test, seed=seed, groups=groups)
    members = [set(np.array(groups)[part].tolist()) for part in parts]
    assert sum(map(len, members)) == len(set(groups))
    assert [bool(one) for one in members] == [True, validation > 0, test > 0]


def test_group_sizes_come_close_to_the_shares():
    groups = np.repeat(np.arange(50), 4)
    parts = data.split(200, validation=0.2, test=0.1, groups=groups)
    assert [len(part) for part in parts] == [140, 40, 20]


def test_random_splits_depend_on_the_seed_alone():
    first, again, other = (data.split(1000, validation=0.2, test=0.1, seed=seed) for seed in (1, 1, 2))
    assert [len(part) for part in first] == [700, 200, 100]
    for a, b, c in zip(first, again, other, strict=True):
        assert a.tolist() == b.tolist() != c.tolist()
    assert np.corrcoef(np.isin(np.arange(1000), first.validation), np.arange(1000))[0, 1] == pytest.approx(
        0, abs=0.1
    )


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"validation": 1.0}, OptionError),
        ({"validation": -0.1}, OptionError),
        ({"validation": 0.5, "test": 0.5}, OptionError),
        ({"labels": [1], "groups": [1]}, OptionError),
        ({"labels": [1, 2]}, DataError),
        ({"groups": [1, 2]}, DataError),
    ],
)
def test_wrong_splits(options, error):
    with pytest.raises(error):
        data.split(3, **options)


@pytest.mark.parametrize("size", [-1, 1.0, "a", True, float("nan")])
def test_wrong_cuts(size):
    with pytest.raises(OptionError, match="validation"):
        data.cut_in_time([10], validation=size)
