"""Functional transforms and higher derivatives: vmap, per-sample gradients, ensembles, gradgradcheck."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call, grad, jacfwd, jacrev, jvp, stack_module_state, vmap

import hiddenstate.nn as hs_nn
from where import BEST_PATHS

# Torch's forward mode calls torch's own deprecated functions.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.torch.jit.script", "ignore:LSTM with projections is not supported with oneDNN"
)

VARIANTS = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu"}),
    ("LSTM", {}),
    ("LSTM", {"proj_size": 2}),
    ("GRU", {}),
    ("GRU", {"reset": "before"}),
]
CLOSE = {"rtol": 1e-9, "atol": 1e-11}


def make(name, options, *sizes, **kwargs):
    torch.manual_seed(0)
    return getattr(hs_nn, name)(*(sizes or (3, 4)), dtype=torch.float64, **options, **kwargs)


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def flat(result):
    return torch.cat([leaf.flatten() for leaf in torch.utils._pytree.tree_leaves(result)])


def close_trees(a, b):
    for x, y in zip(torch.utils._pytree.tree_leaves(a), torch.utils._pytree.tree_leaves(b), strict=True):
        torch.testing.assert_close(x, y, **CLOSE)


def loss_of(layer, params, x, **extra):
    return flat(functional_call(layer, params, (x,), extra)).pow(2).sum()


def params_of(layer):
    return {name: value.detach() for name, value in layer.named_parameters()}


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("both", [False, True])
def test_vmap_over_batches(name, options, both):
    layer = make(name, options, bidirectional=both)
    x = randn(5, 6, 2, 3)  # five batches [T, B, I]
    expected = [layer(one) for one in x]
    close_trees(vmap(layer)(x), stacked(expected))
    close_trees(vmap(layer, in_dims=2)(x.movedim(0, 2)), stacked(expected))
    resets = torch.rand(5, 6, 2) < 0.3
    lengths = torch.tensor([[6, 2], [0, 1], [3, 3], [6, 6], [5, 0]])
    close_trees(
        vmap(lambda x, r: layer(x, resets=r))(x, resets),
        stacked([layer(a, resets=r) for a, r in zip(x, resets, strict=True)]),
    )
    close_trees(
        vmap(lambda x, n: layer(x, lengths=n))(x, lengths),
        stacked([layer(a, lengths=n) for a, n in zip(x, lengths, strict=True)]),
    )


def stacked(results):
    leaves = zip(*(torch.utils._pytree.tree_leaves(result) for result in results), strict=True)
    return [torch.stack(values) for values in leaves]


def test_vmap_over_states_and_over_vmap():
    layer = make("LSTM", {})
    x, h, c = randn(6, 2, 3), randn(5, 1, 2, 4), randn(5, 1, 2, 4)
    expected = [layer(x, pair) for pair in zip(h, c, strict=True)]
    close_trees(vmap(lambda h, c: layer(x, (h, c)))(h, c), stacked(expected))
    many = randn(2, 5, 6, 2, 3)
    close_trees(vmap(vmap(layer))(many)[0], layer(many.flatten(0, 1).transpose(0, 1).flatten(1, 2))[0]
                .unflatten(1, (2, 5, 2)).movedim(0, 2))  # fmt: skip


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_ensemble_of_stacked_weights(name, options):
    layers = [getattr(hs_nn, name)(3, 4, 2, dtype=torch.float64, **options) for _ in range(3)]
    params, buffers = stack_module_state(layers)
    x = randn(6, 2, 3)
    run = vmap(lambda p, b: functional_call(layers[0], (p, b), (x,)))
    close_trees(run(params, buffers), stacked([layer(x) for layer in layers]))
    gradients = vmap(grad(lambda p: loss_of(layers[0], p, x)))(params)
    for index, layer in enumerate(layers):
        alone = torch.autograd.grad(flat(layer(x)).pow(2).sum(), list(layer.parameters()))
        for (key, _), value in zip(layer.named_parameters(), alone, strict=True):
            torch.testing.assert_close(gradients[key][index], value, **CLOSE)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("both", [False, True])
def test_per_sample_gradients(name, options, both):
    layer = make(name, options, bidirectional=both, learn_initial_state=True)
    params, x = params_of(layer), randn(6, 4, 3)
    together = vmap(grad(lambda p, one: loss_of(layer, p, one)), in_dims=(None, 1))(params, x)
    for row in range(4):
        alone = torch.autograd.grad(flat(layer(x[:, row])).pow(2).sum(), list(layer.parameters()))
        for (key, _), value in zip(layer.named_parameters(), alone, strict=True):
            torch.testing.assert_close(together[key][row], value, **CLOSE)


def test_per_sample_gradients_with_lengths_and_resets():
    layer = make("GRU", {})
    params, x = params_of(layer), randn(6, 4, 3)
    lengths, resets = torch.tensor([6, 0, 3, 1]), torch.rand(6, 4) < 0.3

    def loss(p, one, n, r):
        return loss_of(layer, p, one, lengths=n, resets=r)

    together = vmap(grad(loss), in_dims=(None, 1, 0, 1))(params, x, lengths, resets)
    for row in range(4):
        alone = grad(loss)(params, x[:, row], lengths[row], resets[:, row])
        for key, value in alone.items():
            torch.testing.assert_close(together[key][row], value, **CLOSE)


def test_gradient_of_vmap():
    layer = make("LSTM", {})
    params, x = params_of(layer), randn(5, 6, 2, 3)
    one = grad(lambda p: flat(vmap(lambda x: functional_call(layer, p, (x,)))(x)).pow(2).sum())(params)
    other = grad(lambda p: sum(loss_of(layer, p, x) for x in x))(params)
    close_trees(one, other)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("case", ["plain", "reverse", "lengths", "resets"])
def test_gradients_of_gradients(name, options, case):
    """First and second derivatives against finite differences, by everything that has one."""
    layer = make(name, options, 2, 3, bidirectional=case == "reverse", learn_initial_state=case == "resets")
    x, keys = randn(3, 2, 2).requires_grad_(), [key for key, _ in layer.named_parameters()]
    extra = {
        "lengths": {"lengths": torch.tensor([1, 3])},
        "resets": {"resets": torch.tensor([[False, False], [False, True], [True, False]])},
    }.get(case, {})
    rows = 2 if case == "reverse" else 1
    start = [randn(rows, 2, options.get("proj_size", 3)), *([randn(rows, 2, 3)] if name == "LSTM" else [])]
    start = [] if case == "resets" else [value.requires_grad_() for value in start]

    def run(x, *values):
        hx = values[: len(start)]
        hx = None if not hx else hx[0] if len(hx) == 1 else hx
        params = dict(zip(keys, values[len(start) :], strict=True))
        return tuple(torch.utils._pytree.tree_leaves(functional_call(layer, params, (x, hx), extra)))

    values = (x, *start, *(value.detach().requires_grad_() for value in layer.parameters()))
    assert gradcheck(run, values)
    assert gradgradcheck(run, values, fast_mode=True)
    assert layer.last_path in BEST_PATHS


def test_third_derivative():
    layer = make("GRU", {}, 1, 2)
    x = randn(2, 1, 1).requires_grad_()

    def slope(x):
        return torch.autograd.grad(flat(layer(x)).sum(), x, create_graph=True)[0]

    assert gradgradcheck(slope, x)


def test_hessian_by_transforms_and_by_autograd():
    layer = make("LSTM", {}, 2, 3)
    x = randn(3, 1, 2)

    def loss(x):
        return flat(layer(x)).pow(2).sum()

    expected = torch.autograd.functional.hessian(loss, x)
    torch.testing.assert_close(jacrev(jacrev(loss))(x), expected, **CLOSE)
    torch.testing.assert_close(jacfwd(jacrev(loss))(x), expected, **CLOSE)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_forward_mode_is_exact_and_not_native(name, options):
    layer = make(name, options)
    x, direction = randn(5, 2, 3), randn(5, 2, 3)
    _, tangent = jvp(lambda x: flat(layer(x)), (x,), (direction,))
    assert layer.last_path == ("python" if "reset" in options else "torch")
    jacobian = torch.autograd.functional.jacobian(lambda x: flat(layer(x)), x)
    torch.testing.assert_close(tangent, torch.einsum("otbi,tbi->o", jacobian, direction), **CLOSE)


def test_second_backward_of_the_last_state_alone():
    layer = make("LSTM", {}, 2, 3)
    x = randn(3, 2, 2).requires_grad_()
    assert gradgradcheck(lambda x: layer(x)[1][1], x)
    assert gradgradcheck(lambda w: functional_call(layer, {"weight_hh_l0": w}, (x,))[0], layer.weight_hh_l0)
