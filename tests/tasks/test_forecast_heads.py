"""Heads: losses against torch's distributions, forecasts against scipy's, and what holds for all of them."""

import numpy as np
import pytest
import torch
from scipy import stats

from hiddenstate.errors import BundleError
from hiddenstate.tasks.forecast import heads
from hiddenstate.tasks.forecast.heads import Reference

RNG = np.random.default_rng(3)
RAW = RNG.normal(size=(50, 3))
PLAIN = Reference(0.0, 1.0, 0.0, 1.0)
LEVELS = (0.1, 0.5, 0.9)


def tensors(reference):
    return Reference(*(torch.as_tensor(value, dtype=torch.float64) for value in reference))


def loss(head, raw, target, reference=PLAIN):
    target = torch.as_tensor(target)
    return head.loss(torch.as_tensor(raw), target, ~target.isnan(), tensors(reference))


def softplus(x):
    return heads.positive(x)


def test_raw_zero_is_a_scale_of_one():
    assert float(softplus(np.array(0.0))) == pytest.approx(1.0, abs=2e-3)
    assert float(softplus(np.array(-1e4))) > 0


def test_normal_loss_and_forecasts():
    target, raw = RNG.normal(size=50), RAW[:, :2]
    mean, scale = raw[:, 0], softplus(raw[:, 1])
    wanted = -torch.distributions.Normal(*map(torch.as_tensor, (mean, scale))).log_prob(
        torch.as_tensor(target)
    )
    assert float(loss(heads.Normal(), raw, target).mean) == pytest.approx(float(wanted.mean()), rel=1e-9)
    for level in LEVELS:
        np.testing.assert_allclose(
            heads.Normal().quantile(raw, level, PLAIN), stats.norm.ppf(level, mean, scale), rtol=1e-9
        )


def test_student_loss_and_forecasts():
    target, head = RNG.normal(size=50) * 3, heads.StudentT()
    location, scale, freedom = RAW[:, 0], softplus(RAW[:, 1]), 2 + softplus(RAW[:, 2])
    wanted = -stats.t.logpdf(target, freedom, location, scale)
    assert float(loss(head, RAW, target).mean) == pytest.approx(wanted.mean(), rel=1e-6)
    for level in LEVELS:
        np.testing.assert_allclose(
            head.quantile(RAW, level, PLAIN), stats.t.ppf(level, freedom, location, scale), atol=1e-6
        )


def test_count_loss_and_forecasts():
    """Values scaled as (count - 4) / 2.5, forecast from a level of 0.8 in units of 0.5."""
    head, reference = heads.NegativeBinomial(), Reference(0.8, 0.5, -4 / 2.5, 2.5)
    counts, raw = RNG.poisson(4, 50).astype(float), RAW[:, :2]
    target = ((counts - 4) / 2.5 - 0.8) / 0.5
    level = (0.8 + 4 / 2.5) / 0.5
    mean = 0.5 * 2.5 * np.logaddexp(0, raw[:, 0] + level) + heads.SMALLEST_SCALE
    size = 1 / softplus(raw[:, 1])
    wanted = -stats.nbinom.logpmf(counts, size, size / (size + mean))
    assert float(loss(head, raw, target, reference).mean) == pytest.approx(wanted.mean(), rel=1e-6)
    np.testing.assert_allclose(head.point(raw, reference) * 2.5 + 4, mean)
    for q in LEVELS:
        found = head.quantile(raw, q, reference) * 2.5 + 4
        np.testing.assert_allclose(found, stats.nbinom.ppf(q, size, size / (size + mean)), atol=1e-9)


def test_quantiles_never_cross_and_learn_by_pinball_loss():
    head, target = heads.Quantiles(LEVELS), RNG.normal(size=50)
    found = [head.quantile(RAW, level, PLAIN) for level in LEVELS]
    assert (np.diff(found, axis=0) >= 0).all()
    np.testing.assert_array_equal(head.point(RAW, PLAIN), found[1])
    errors = [
        np.maximum(q * (target - f), (q - 1) * (target - f)) for q, f in zip(LEVELS, found, strict=True)
    ]
    assert float(loss(head, RAW, target).mean) == pytest.approx(np.mean(errors), rel=1e-9)


@pytest.mark.parametrize(
    ("measure", "wanted"),
    [("mse", np.square), ("mae", np.abs), ("huber", lambda e: np.where(abs(e) < 1, e**2 / 2, abs(e) - 0.5))],
)
def test_point_losses(measure, wanted):
    target = np.where(RNG.random(50) < 0.3, np.nan, RNG.normal(size=50) * 3)
    found = loss(heads.Point(measure), RAW[:, :1], target)
    known = ~np.isnan(target)
    assert float(found.mean) == pytest.approx(wanted(target - RAW[:, 0])[known].mean(), rel=1e-9)
    assert found.weight == known.sum()


@pytest.mark.parametrize("head", [heads.Normal(), heads.StudentT(), heads.NegativeBinomial()])
def test_draws_have_the_quantiles_and_missing_targets_send_no_gradient(head):
    raw = np.array([[1.0, 0.3, 1.5]])[:, : head.width]
    reference = Reference(2.0, 3.0, 0.0, 1.0)
    draws = head.sample(np.repeat(raw, 20_000, axis=0), reference, np.random.default_rng(0))
    for level in LEVELS:
        quantile = head.quantile(raw, level, reference)
        assert np.mean(draws < quantile) - 0.015 < level < np.mean(draws <= quantile) + 0.015
    rows = torch.zeros(2, head.width, dtype=torch.float64, requires_grad=True)
    found = head.loss(rows, torch.tensor([1.0, np.nan]), torch.tensor([True, False]), tensors(reference))
    found.mean.backward()
    assert rows.grad is not None
    assert torch.isfinite(rows.grad).all()
    assert rows.grad[0].abs().sum() > 0
    assert (rows.grad[1] == 0).all()


@pytest.mark.parametrize("head", [heads.Point("mse"), heads.Normal(), heads.StudentT()])
def test_forecasts_move_with_the_level_and_grow_with_the_unit(head):
    raw = RAW[:, : head.width]
    one, moved = head.point(raw, PLAIN), head.point(raw, Reference(5.0, 2.0, 0.0, 1.0))
    np.testing.assert_allclose(moved, 5 + 2 * one)


def test_an_unknown_head_is_named():
    with pytest.raises(BundleError, match="unknown kind of forecast"):
        heads.make("crystal-ball")
