"""Trees of tensors and random state."""

import json
import random
from collections import namedtuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hiddenstate.errors import StateError
from hiddenstate.train import arrays, randomness, seeded, tensors, trees
from hiddenstate.types import LSTMState

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
leaves = plain | st.integers(0, 5).map(lambda n: torch.arange(float(n)))


def branches(inner):
    lists = st.lists(inner, max_size=3)
    records = st.builds(LSTMState, inner, inner)
    return lists | lists.map(tuple) | st.dictionaries(st.text() | st.integers(), inner, max_size=3) | records


def same(left, right):
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return type(left) is type(right) and len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and left == right


@settings(deadline=None)
@given(st.recursive(leaves, branches, max_leaves=8))
def test_any_tree_comes_back_through_json(tree):
    outline, found = trees.flatten(tree)
    assert same(trees.unflatten(json.loads(json.dumps(outline)), found), tree)


def test_a_tree_with_something_else_in_it_is_refused():
    with pytest.raises(StateError, match=r"cannot be saved.*got set"):
        trees.flatten({"h": {1, 2}})


@pytest.mark.parametrize("name", [["os", "system"], ["no.such", "Record"], ["builtins", "tuple"]])
def test_a_file_cannot_name_anything_but_a_record(name):
    with pytest.raises(StateError, match="unknown type"):
        trees.unflatten({"record": name, "items": [{"value": "echo"}]}, [])


def test_arrays_and_tensors_keep_the_nesting():
    Pair = namedtuple("Pair", "a b")
    tree = Pair({"x": np.ones((2, 3), np.float32)}, [None, np.arange(3)])
    there = tensors(tree)
    assert isinstance(there, Pair)
    assert torch.equal(there.a["x"], torch.ones(2, 3))
    back = arrays(there)
    assert back.a["x"].dtype == np.float32
    assert back.b[0] is None
    assert (back.b[1] == np.arange(3)).all()


def draw():
    return random.random(), random.gauss(0, 1), np.random.rand(), np.random.normal(), float(torch.rand(()))


def test_random_state_is_captured_whole():
    with seeded(1):
        draw()  # gauss and normal keep a second number for the next call
        state = randomness.capture()
        first = draw()
        draw()
        randomness.restore(state)
        assert draw() == first


def test_seeded_is_repeatable_and_leaves_the_outside_alone():
    with seeded(5):
        first = draw()
        with seeded(5):
            assert draw() == first
            with pytest.raises(KeyError), seeded(6):
                raise KeyError
        second = draw()
    with seeded(5):
        assert (draw(), draw()) == (first, second)
