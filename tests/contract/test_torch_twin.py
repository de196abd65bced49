"""Contract 4: ``hs.nn`` layers are torch's twins, in numbers, gradients, forms of arguments and state
dicts."""

from __future__ import annotations

import copy
import io
import itertools
import pickle

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence

import hiddenstate.nn as hs_nn
from where import BEST_PATHS

# Torch says once that its own projected LSTM runs without oneDNN.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")

LAYERS = ("RNN", "LSTM", "GRU")
VARIANTS = [("RNN", {"nonlinearity": "relu"}), ("LSTM", {"proj_size": 3}), *((name, {}) for name in LAYERS)]


def twins(name, *args, **kwargs):
    """A layer and torch's, with the same weights from the same seed."""
    made = []
    for home in (hs_nn, torch.nn):
        torch.manual_seed(7)
        made.append(getattr(home, name)(*args, **kwargs))
    return made


def leaves(result):
    """All tensors of a layer's result."""
    return torch.utils._pytree.tree_leaves(
        result, is_leaf=lambda node: isinstance(node, torch.nn.utils.rnn.PackedSequence)
    )


def tensors(result):
    return [leaf if isinstance(leaf, torch.Tensor) else leaf.data for leaf in leaves(result)]


def state_for(layer, batch, *, unbatched=False):
    """A random initial state with gradients; for an LSTM a pair."""
    count = layer.num_layers * (2 if layer.bidirectional else 1)
    rows = () if unbatched else (batch,)
    dtype = layer.weight_ih_l0.dtype
    h = torch.randn(count, *rows, layer.proj_size or layer.hidden_size, dtype=dtype, requires_grad=True)
    if layer.mode != "LSTM":
        return h
    return h, torch.randn(count, *rows, layer.hidden_size, dtype=dtype, requires_grad=True)


def check_same(ours, theirs, inputs, call):
    """Values and all gradients agree; every output has a gradient of its own."""
    mine, other = call(ours), call(theirs)
    assert ours.last_path in BEST_PATHS
    weights = [torch.randn_like(value) for value in tensors(other)]
    close = (
        {"rtol": 1e-6, "atol": 1e-6} if weights[0].dtype == torch.float32 else {"rtol": 1e-10, "atol": 1e-12}
    )
    for a, b in zip(tensors(mine), tensors(other), strict=True):
        torch.testing.assert_close(a, b, **close)
    grads = []
    for layer, result in ((ours, mine), (theirs, other)):
        loss = sum((value * weight).sum() for value, weight in zip(tensors(result), weights, strict=True))
        grads.append(torch.autograd.grad(loss, [*inputs, *layer.parameters()], retain_graph=True))
    for a, b in zip(*grads, strict=True):
        scale = max(1.0, b.abs().max().item()) if b.numel() else 1.0
        torch.testing.assert_close(a, b, rtol=close["rtol"] * 10, atol=close["atol"] * 10 * scale)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_argument_crossed(name, options, dtype):
    for layers, bias, batch_first, both, with_state in itertools.product((1, 2), *[(True, False)] * 4):
        ours, theirs = twins(
            name, 4, 5, layers, bias=bias, batch_first=batch_first, bidirectional=both, dtype=dtype, **options
        )
        shape = (3, 6, 4) if batch_first else (6, 3, 4)
        x = torch.randn(shape, dtype=dtype, requires_grad=True)
        hx = state_for(ours, 3) if with_state else None
        inputs = [x, *(() if hx is None else tensors(hx))]
        check_same(ours, theirs, inputs, lambda layer: layer(x, hx))  # noqa: B023 - called at once


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("both", [True, False])
def test_unbatched(name, options, both):
    ours, theirs = twins(name, 4, 5, 2, bidirectional=both, **options)
    x = torch.randn(6, 4, requires_grad=True)
    hx = state_for(ours, 1, unbatched=True)
    check_same(ours, theirs, [x], lambda layer: layer(x))
    check_same(ours, theirs, [x, *tensors(hx)], lambda layer: layer(x, hx))


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("with_state", [True, False])
def test_packed_sequence(name, options, in_order, with_state):
    ours, theirs = twins(name, 4, 5, 2, bidirectional=True, **options)
    lengths = [6, 4, 4, 1] if in_order else [4, 1, 6, 4]
    x = torch.randn(6, 4, 4, requires_grad=True)
    packed = pack_padded_sequence(x, lengths, enforce_sorted=in_order)
    hx = state_for(ours, 4) if with_state else None
    inputs = [x, *(() if hx is None else tensors(hx))]
    check_same(ours, theirs, inputs, lambda layer: layer(packed, hx))
    y, _ = ours(packed, hx)
    _, found = pad_packed_sequence(y)
    assert found.tolist() == lengths


def test_packed_from_a_list_of_sequences():
    ours, theirs = twins("GRU", 4, 5)
    packed = pack_sequence([torch.randn(n, 4) for n in (2, 5, 1)], enforce_sorted=False)
    check_same(ours, theirs, [], lambda layer: layer(packed))


@pytest.mark.parametrize("name", LAYERS)
def test_positional_arguments(name):
    nonlinearity = ("relu",) if name == "RNN" else ()
    ours, theirs = twins(name, 4, 5, 2, *nonlinearity, False, True, 0.0, True)
    assert str(ours) == str(theirs)
    x = torch.randn(3, 6, 4, requires_grad=True)
    check_same(ours, theirs, [x], lambda layer: layer(x))


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_state_dicts_go_both_ways(name, options):
    ours, theirs = twins(name, 4, 5, 2, bidirectional=True, **options)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    for first, second in ((ours, theirs), (theirs, ours)):
        first.reset_parameters()
        second.load_state_dict(first.state_dict())
        x = torch.randn(6, 3, 4, requires_grad=True)
        check_same(ours, theirs, [x], lambda layer: layer(x))  # noqa: B023 - called at once


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_a_seed_gives_torchs_weights_and_repr(name, options):
    ours, theirs = twins(name, 4, 5, 2, bias=True, bidirectional=True, **options)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert repr(ours) == repr(theirs)
    for a, b in zip(ours.all_weights, theirs.all_weights, strict=True):
        assert all(torch.equal(p, q) for p, q in zip(a, b, strict=True))
    assert len(ours._flat_weights) == len(theirs._flat_weights)
    ours.flatten_parameters()


def test_dropout_has_torchs_masks():
    ours, theirs = twins("GRU", 4, 5, 3, dropout=0.5)
    x, results = torch.randn(6, 3, 4), []
    for layer in (ours, theirs):
        torch.manual_seed(3)
        results.append(layer(x)[0])
    torch.testing.assert_close(*results, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), rtol=1e-6, atol=1e-6)
    assert not torch.equal(results[0], ours(x)[0])


def test_dropout_may_change_later():
    layer = hs_nn.RNN(4, 5, 2)
    x = torch.randn(6, 3, 4)
    before = layer(x)[0]
    layer.dropout = 0.9
    assert not torch.equal(layer(x)[0], before)
    layer.dropout = 0.0
    assert torch.equal(layer(x)[0], before)


def test_dropout_on_one_layer_warns_as_torch_does():
    with pytest.warns(UserWarning, match="dropout option adds dropout after all but last"):
        hs_nn.GRU(4, 5, dropout=0.5)


@pytest.mark.parametrize("name", LAYERS)
def test_non_contiguous_tensors(name):
    ours, theirs = twins(name, 4, 5, 2, dtype=torch.float64)
    x = torch.randn(6, 3, 8, dtype=torch.float64, requires_grad=True)
    hx = state_for(ours, 3)
    strided = [torch.stack([value, value], -1)[..., 0] for value in tensors(hx)]
    start = strided[0] if len(strided) == 1 else tuple(strided)
    check_same(ours, theirs, [x, *tensors(hx)], lambda layer: layer(x[..., ::2], start))


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_of_a_subset(name):
    ours, theirs = twins(name, 4, 5, 2)
    for layer in (ours, theirs):
        for key, parameter in layer.named_parameters():
            parameter.requires_grad_(key in ("weight_hh_l0", "bias_ih_l1"))
    x = torch.randn(6, 3, 4)
    for layer in (ours, theirs):
        layer(x)[0].pow(2).sum().backward()
    for (key, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None), key
        if b.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-5)


def test_gradient_by_the_input_alone():
    ours, theirs = twins("LSTM", 4, 5, 2)
    x = torch.randn(6, 3, 4, requires_grad=True)
    grads = [torch.autograd.grad(layer.requires_grad_(False)(x)[0].sum(), x)[0] for layer in (ours, theirs)]
    torch.testing.assert_close(*grads, rtol=1e-5, atol=1e-6)


def test_one_output_alone():
    """Only the last state, or only one of the pair, carries a gradient."""
    ours, theirs = twins("LSTM", 4, 5)
    x = torch.randn(6, 3, 4)
    for pick in (0, 1):
        grads = [
            torch.autograd.grad(layer(x)[1][pick].sum(), list(layer.parameters())) for layer in (ours, theirs)
        ]
        for a, b in zip(*grads, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_backward_twice_and_a_layer_used_twice(name):
    ours, theirs = twins(name, 5, 5, dtype=torch.float64)
    x = torch.randn(6, 3, 5, dtype=torch.float64)
    for layer in (ours, theirs):
        y, _ = layer(layer(x)[0])
        y.sum().backward(retain_graph=True)
        y.pow(2).sum().backward()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_a_weight_changed_in_place_between_forward_and_backward_is_noticed():
    layer = hs_nn.GRU(4, 5)
    y, _ = layer(torch.randn(6, 3, 4))
    with torch.no_grad():
        layer.weight_hh_l0.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("no_autograd", [torch.no_grad, torch.inference_mode])
def test_weights_changed_behind_autograds_back_are_seen(no_autograd):
    layer, x = hs_nn.GRU(4, 5), torch.randn(6, 3, 4)
    with no_autograd():
        before = layer(x)[0]
        layer.weight_hh_l0.data.mul_(2)
        after = layer(x)[0]
    assert not torch.equal(before, after)
    assert not after.requires_grad
    assert layer.last_path in BEST_PATHS
    torch.testing.assert_close(after, layer(x)[0], rtol=1e-6, atol=1e-7)


def test_tied_and_replaced_parameters():
    ours, theirs = twins("LSTM", 4, 5, bidirectional=True)
    for layer in (ours, theirs):
        layer.weight_ih_l0_reverse = layer.weight_ih_l0
        layer.bias_hh_l0 = torch.nn.Parameter(torch.ones(20))
    x = torch.randn(6, 3, 4)
    for layer in (ours, theirs):
        layer(x)[0].sum().backward()
    assert len(list(ours.parameters())) == len(list(theirs.parameters()))
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-5)


def test_weight_norm():
    ours, theirs = (
        torch.nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0") for layer in twins("GRU", 4, 5)
    )
    x = torch.randn(6, 3, 4, requires_grad=True)
    check_same(ours, theirs, [x], lambda layer: layer(x))


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_copies_and_pickles(name, options):
    layer = getattr(hs_nn, name)(4, 5, 2, learn_initial_state=True, **options)
    x = torch.randn(6, 3, 4)
    expected = layer(x)[0]
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    for other in (
        copy.deepcopy(layer),
        pickle.loads(pickle.dumps(layer)),
        torch.load(file, weights_only=False),
    ):
        assert torch.equal(other(x)[0], expected)
        assert repr(other) == repr(layer)
        other.reset_parameters()
        assert not torch.equal(other(x)[0], expected)
    assert torch.equal(layer(x)[0], expected)


def test_dtype_moves():
    layer = hs_nn.LSTM(4, 5, 2)
    x = torch.randn(6, 3, 4)
    single = layer(x)[0]
    double = layer.double()(x.double())[0]
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single, rtol=1e-5, atol=1e-6)
    assert torch.equal(layer.float()(x)[0], single)


def test_hooks_run():
    layer, seen = hs_nn.GRU(4, 5), []
    layer.register_forward_hook(lambda module, args, output: seen.append(type(module)))
    layer.weight_hh_l0.register_hook(lambda grad: seen.append(tuple(grad.shape)))
    layer(torch.randn(6, 3, 4))[0].sum().backward()
    assert seen == [hs_nn.GRU, (15, 5)]


def test_empty_batch_and_gradient():
    for name, options in VARIANTS:
        ours, theirs = twins(name, 4, 5, 2, bidirectional=True, **options)
        x = torch.zeros(6, 0, 4, requires_grad=True)
        check_same(ours, theirs, [x], lambda layer: layer(x))  # noqa: B023 - called at once


def test_many_sizes():
    for hidden, batch in itertools.product((1, 2, 7, 16, 17, 33, 64), (1, 3, 17)):
        for name in LAYERS:
            ours, theirs = twins(name, 3, hidden, dtype=torch.float64)
            x = torch.randn(4, batch, 3, dtype=torch.float64, requires_grad=True)
            check_same(ours, theirs, [x], lambda layer: layer(x))  # noqa: B023 - called at once
