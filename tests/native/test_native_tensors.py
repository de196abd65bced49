"""Torch tensors in memory of the kernels."""

import numpy as np
import pytest
import torch

from hiddenstate import native
from hiddenstate.errors import ShapeError


def new_tensor(shape, dtype=torch.float32):
    return native.new_tensors(torch.zeros((), dtype=dtype), [shape])[0]


def test_memory_of_new_tensors_comes_back_when_nothing_shows_it():
    shape = (3000, 400)
    first, second = new_tensor(shape), new_tensor(shape, torch.float64)
    assert (first.shape, first.dtype) == (shape, torch.float32)
    assert (second.shape, second.dtype) == (shape, torch.float64)
    first[:], second[:] = 1, 2
    assert (first == 1).all()  # it is not the memory of the second
    place = first.data_ptr()
    assert place % 64 == 0
    view = first[1:]
    del first
    third = new_tensor(shape)
    third[:] = 3
    assert (view == 1).all()  # in use as long as anything shows it
    del view
    assert new_tensor(shape).data_ptr() == place
    native.free_kept()
    assert (second == 2).all()
    assert (third == 3).all()


def test_new_tensors_have_the_shapes_that_are_asked_for():
    like = torch.zeros(2, 3)
    shapes = [(4, 5), None, torch.zeros(6, 7, dtype=torch.int64), torch.nn.Parameter(like.T), (), (0, 3)]
    made = native.new_tensors(like, shapes)
    assert made[1] is None
    assert [tuple(value.shape) for value in made if value is not None] == [(4, 5), (6, 7), (3, 2), (), (0, 3)]
    for value in made:
        if value is not None:
            assert value.is_contiguous()
            assert value.dtype == torch.float32
            assert not value.requires_grad


@pytest.mark.parametrize(
    ("like", "shape"),
    [
        (torch.zeros(2, dtype=torch.int64), (3,)),
        (np.zeros(2), (3,)),
        (torch.zeros(2), (1, 2, 3, 4, 5)),
        (torch.zeros(2), (-1,)),
        (torch.zeros(2), 3),
    ],
)
def test_new_tensors_refuse_what_they_cannot_make(like, shape):
    with pytest.raises(ShapeError):
        native.new_tensors(like, [shape])
