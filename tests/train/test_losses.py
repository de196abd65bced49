"""Loss functions against torch's and scipy-free closed forms; masks that let nothing through."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from hiddenstate.train import losses

ELEMENTWISE = {
    losses.squared: functional.mse_loss,
    losses.absolute: functional.l1_loss,
    losses.huber: functional.huber_loss,
}


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 2


@pytest.mark.parametrize("ours", ELEMENTWISE, ids=lambda f: f.__name__)
@settings(deadline=None, max_examples=20)
@given(time=st.integers(1, 5), batch=st.integers(1, 4), seed=st.integers(0, 99))
def test_masked_mean_is_the_mean_over_what_is_known(ours, time, batch, seed):
    output, target = draw(time, batch, seed=seed), draw(time, batch, seed=seed + 1)
    mask = draw(time, batch, seed=seed + 2) > 0
    expected = ELEMENTWISE[ours](output[mask], target[mask]) if mask.any() else torch.tensor(0.0)
    mean, weight, carried = ours(output, target, mask)
    assert float(mean) == pytest.approx(float(expected), rel=1e-12)
    assert weight == int(mask.sum())
    assert carried is None
    assert float(ours(output, target).mean) == pytest.approx(
        float(ELEMENTWISE[ours](output, target)), rel=1e-12
    )


@pytest.mark.parametrize("unknown", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["squared", "absolute", "huber", "quantile", "normal"])
def test_what_stands_under_the_mask_does_not_matter(name, unknown):
    output = draw(4, 3).requires_grad_()
    target, mask = draw(4, 3, seed=1), torch.ones(4, 3, dtype=torch.bool)
    mask[2:, 1] = False
    target[~mask] = unknown
    if name == "quantile":
        mean, weight, _ = losses.quantile(output.unsqueeze(-1), target, torch.tensor([0.3]), mask)
    elif name == "normal":
        mean, weight, _ = losses.normal(output, functional.softplus(output), target, mask)
    else:
        mean, weight, _ = getattr(losses, name)(output, target, mask)
    mean.backward()
    assert weight == 10
    assert math.isfinite(float(mean.detach()))
    assert torch.isfinite(output.grad).all()
    assert (output.grad[~mask] == 0).all()
    assert (output.grad[mask] != 0).all()


def test_quantile_is_lowest_at_the_quantile():
    target = torch.arange(100, dtype=torch.float64)
    levels = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)

    def loss(guess):
        return float(losses.quantile(guess.expand(100, 3), target, levels).mean)

    best = torch.tensor([9.5, 49.5, 89.5], dtype=torch.float64)
    for move in (-3.0, 3.0):
        for position in range(3):
            moved = best.clone()
            moved[position] += move
            assert loss(moved) > loss(best)


def test_normal_is_torchs_distribution():
    mean, scale, target = draw(5, 2), draw(5, 2, seed=1).exp(), draw(5, 2, seed=2)
    expected = -torch.distributions.Normal(mean, scale).log_prob(target).mean()
    assert float(losses.normal(mean, scale, target).mean) == pytest.approx(float(expected), rel=1e-12)


def test_cross_entropy_with_class_weights_is_torchs():
    logits, classes = draw(7, 4, 3), torch.randint(0, 3, (7, 4), generator=torch.Generator().manual_seed(3))
    weights, mask = torch.tensor([1.0, 5.0, 0.5], dtype=torch.float64), draw(7, 4, seed=5) > 0
    expected = functional.cross_entropy(logits[mask], classes[mask], weight=weights)
    mean, weight, _ = losses.cross_entropy(logits, classes, mask, weights)
    assert float(mean) == pytest.approx(float(expected), rel=1e-12)
    assert weight == pytest.approx(float(weights[classes[mask]].sum()), rel=1e-12)


def test_a_class_under_the_mask_may_be_out_of_range():
    classes, mask = torch.tensor([1, -1]), torch.tensor([True, False])
    mean, weight, _ = losses.cross_entropy(torch.zeros(2, 4), classes, mask)
    assert (float(mean), weight) == (pytest.approx(math.log(4)), 1)


def test_nothing_known():
    for mask in (torch.zeros(3, dtype=torch.bool), None):
        output = torch.zeros(3 if mask is not None else 0, requires_grad=True)
        mean, weight, _ = losses.squared(output, torch.zeros_like(output), mask)
        assert (float(mean.detach()), weight) == (0.0, 0)
