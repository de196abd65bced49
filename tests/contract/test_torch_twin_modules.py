"""Contract 4: torch's own sample inputs and error inputs for its recurrent modules, run against ``hs.nn``.

``torch.testing`` ships the table that torch's module tests walk through; the checks here are those of that
suite.
"""

from __future__ import annotations

import copy
import inspect
import itertools
import pickle
import sys
import types
import unittest
import warnings

import pytest
import torch
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

import hiddenstate.nn as hs_nn
from where import BEST_PATHS

# Torch's helpers build their test case on a package of which nothing is needed here.
sys.modules.setdefault("expecttest", types.SimpleNamespace(TestCase=unittest.TestCase))
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal import common_modules

# What torch itself says about its own projected LSTM, and in its own gradcheck.
pytestmark = pytest.mark.filterwarnings(
    "ignore:LSTM with projections is not supported with oneDNN",
    "ignore:Backwards compatibility. New undefined gradient support",
)

NAMES = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")
INFOS = {
    info.module_cls.__name__: info for info in common_modules.module_db if info.module_cls.__name__ in NAMES
}


def samples(name, dtype=torch.float64, *, requires_grad=False, packed=False):
    """Sample inputs, each with our module and torch's on the same weights."""
    info = INFOS[name]
    extra = {"with_packed_sequence": True} if packed and name in ("RNN", "GRU") else {}
    found = info.module_inputs_func(
        info, device="cpu", dtype=dtype, requires_grad=requires_grad, training=True, **extra
    )
    for sample in found:
        made = sample.constructor_input
        ours, theirs = (
            getattr(home, name)(*made.args, **made.kwargs).to(dtype) for home in (hs_nn, torch.nn)
        )
        theirs.load_state_dict(ours.state_dict())
        yield sample, ours, theirs


def call(sample, module):
    return module(*sample.forward_input.args, **sample.forward_input.kwargs)


def assert_same(a, b, **tolerance):
    left, right = tree_leaves(a), tree_leaves(b)
    assert len(left) == len(right) > 0
    for x, y in zip(left, right, strict=True):
        x, y = (value.data if hasattr(value, "batch_sizes") else value for value in (x, y))
        torch.testing.assert_close(x, y, **tolerance)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_forward(name, dtype):
    for sample, ours, theirs in samples(name, dtype, packed=True):
        found = call(sample, ours)
        assert ours.last_path in BEST_PATHS
        assert_same(found, call(sample, theirs), rtol=1e-6, atol=1e-6)
        packed = hasattr(sample.forward_input.args[0], "batch_sizes")
        if sample.reference_fn is not None and not packed:
            expected = sample.reference_fn(ours, *sample.forward_input.args, **sample.forward_input.kwargs)
            assert_same(found, expected, rtol=0, atol=0)
        ours.float()
        ours.double()
        assert {parameter.dtype for parameter in ours.parameters()} == {torch.float64}


def differentiated(check, sample, module):
    """``gradcheck`` or ``gradgradcheck`` by the inputs and all parameters.

    In fast mode, with random projections of the Jacobians: the full ones take minutes (and agree).
    """
    args = sample.forward_input.args
    flat, form = tree_flatten((args, tuple(module.parameters())))

    def run(*values):
        inputs, _ = tree_unflatten(values, form)
        return tree_leaves(module(*inputs, **sample.forward_input.kwargs))

    return check(run, flat, nondet_tol=0.0, fast_mode=True)


@pytest.mark.parametrize("name", NAMES)
def test_grad(name):
    for sample, ours, _ in samples(name, requires_grad=True):
        assert differentiated(torch.autograd.gradcheck, sample, ours)
        for parameter in ours.parameters():
            parameter.requires_grad_(False)
        for parameter in list(ours.parameters())[::3]:
            parameter.requires_grad_(True)
            assert differentiated(torch.autograd.gradcheck, sample, ours)
            parameter.requires_grad_(False)


@pytest.mark.parametrize("name", NAMES)
def test_gradgrad(name):
    step = 1 if name.endswith("Cell") else 5  # of the crossed arguments; each call costs a Python loop
    for sample, ours, _ in itertools.islice(samples(name, requires_grad=True), 0, None, step):
        assert differentiated(torch.autograd.gradgradcheck, sample, ours)


@pytest.mark.parametrize("name", NAMES)
def test_non_contiguous_tensors(name):
    def strided(value):
        out = torch.repeat_interleave(value, 2, dim=-1)[..., ::2].detach()
        return out.requires_grad_(value.requires_grad)

    for sample, ours, _ in samples(name, requires_grad=True):
        args = sample.forward_input.args
        expected = ours(*args)
        seeds = [torch.randn_like(value) for value in tree_leaves(expected)]
        wanted = torch.autograd.grad(tree_leaves(expected), tree_leaves(args), seeds)
        other = tree_map(strided, args)
        found = ours(*other)
        assert_same(found, expected)
        assert_same(
            torch.autograd.grad(tree_leaves(found), tree_leaves(other), list(map(strided, seeds))), wanted
        )


@pytest.mark.parametrize("name", NAMES)
def test_pickle_copy_and_repr(name):
    for sample, ours, theirs in samples(name):
        expected = call(sample, ours)
        for other in (pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours)):
            assert_same(call(sample, other), expected, rtol=0, atol=0)
        assert repr(ours) == str(ours) == repr(theirs)


@pytest.mark.parametrize("name", NAMES)
def test_factory_arguments_and_devices(name):
    for sample, _, _ in samples(name):
        made = sample.constructor_input
        module = getattr(hs_nn, name)(*made.args, **made.kwargs, device="meta", dtype=torch.float16)
        assert all(p.is_meta and p.dtype == torch.float16 for p in module.parameters())
        with torch.device("meta"):
            module = getattr(hs_nn, name)(*made.args, **made.kwargs)
        assert all(parameter.is_meta for parameter in module.parameters())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_errors(name, dtype):
    info = INFOS[name]
    found = info.module_error_inputs_func(info, device="cpu", dtype=dtype, requires_grad=False, training=True)
    assert found
    for error in found:
        made, given = error.module_error_input.constructor_input, error.module_error_input.forward_input

        def run(made=made, given=given):
            module = getattr(hs_nn, name)(*made.args, **made.kwargs)
            if given is not None:
                module(*given.args, **given.kwargs)

        with pytest.raises(error.error_type, match=error.error_regex):
            run()


@pytest.mark.parametrize("name", NAMES)
def test_signatures_begin_as_torchs(name):
    """Positional arguments mean the same; what is new is keyword-only."""
    ours = inspect.signature(getattr(hs_nn, name).__init__).parameters
    new = [p for p in ours.values() if p.kind is inspect.Parameter.KEYWORD_ONLY]
    assert {p.name for p in new} >= {"init"}
    theirs = typing_signature(name)
    assert [p for p in ours if p not in {p.name for p in new}] == theirs


def typing_signature(name):
    """Torch's documented signature: it stands in the docstring of the layers, in the code of the cells."""
    cls = getattr(torch.nn, name)
    if name.endswith("Cell"):
        return list(inspect.signature(cls.__init__).parameters)
    text = cls.__doc__.split("\n")[0].removeprefix("__init__(").rstrip(")")
    return ["self", *(part.split("=")[0].strip() for part in text.split(","))]
