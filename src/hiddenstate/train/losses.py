"""Loss functions: mean over what was predicted, and how much that was.

All take a ``mask`` (True where there is a target; None: everywhere), so that padding and missing targets
neither count nor send gradients back, whatever numbers stand there. Each returns a :class:`Loss` to which the
job adds its carried
state: ``losses.squared(output, target)._replace(carried=state)``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.functional import softplus

from .job import Loss


def mean_of(values: Tensor, mask: Tensor | None = None, weights: Tensor | None = None) -> Loss:
    """Weighted mean of ``values`` where ``mask`` is True; weight 0 where it never is. Both are broadcast."""
    if mask is None and weights is None:
        return Loss(values.mean() if values.numel() else values.sum(), float(values.numel()))
    weights = torch.ones_like(values) if weights is None else weights.expand_as(values).to(values.dtype)
    if mask is not None:
        mask = mask.expand_as(values)
        # where, not a product: a NaN under the mask must not reach the sum or the gradient
        values, weights = torch.where(mask, values, 0.0), torch.where(mask, weights, 0.0)
    total = float(weights.sum())
    return Loss((values * weights).sum() / (total or 1.0), total)


def squared(output: Tensor, target: Tensor, mask: Tensor | None = None) -> Loss:
    """Mean of ``(output - target)^2``."""
    return mean_of((output - _known(target, mask)) ** 2, mask)


def absolute(output: Tensor, target: Tensor, mask: Tensor | None = None) -> Loss:
    """Mean of ``|output - target|``."""
    return mean_of((output - _known(target, mask)).abs(), mask)


def huber(output: Tensor, target: Tensor, mask: Tensor | None = None) -> Loss:
    """Squared (halved) within 1 of the target, absolute beyond."""
    return mean_of(functional.huber_loss(output, _known(target, mask), reduction="none"), mask)


def quantile(output: Tensor, target: Tensor, levels: Tensor, mask: Tensor | None = None) -> Loss:
    """Pinball loss of quantiles ``output [..., Q]`` at ``levels [Q]`` against ``target [...]``.

    Source: Koenker & Bassett, "Regression quantiles", Econometrica 46 (1978).
    """
    error = _known(target, mask).unsqueeze(-1) - output
    return mean_of(torch.maximum(levels * error, (levels - 1) * error).mean(dim=-1), mask)


def normal(mean: Tensor, scale: Tensor, target: Tensor, mask: Tensor | None = None) -> Loss:
    """Negative log-likelihood of ``target`` under a normal distribution, in nats."""
    standard = (_known(target, mask) - mean) / scale
    return mean_of(0.5 * standard**2 + torch.log(scale) + 0.5 * math.log(2 * math.pi), mask)


def student_t(
    location: Tensor, scale: Tensor, freedom: Tensor, target: Tensor, mask: Tensor | None = None
) -> Loss:
    """Negative log-likelihood of ``target`` under Student's t distribution, in nats."""
    standard, half = (_known(target, mask) - location) / scale, (freedom + 1) / 2
    norm = torch.lgamma(half) - torch.lgamma(freedom / 2) - 0.5 * torch.log(freedom * math.pi)
    return mean_of(half * torch.log1p(standard**2 / freedom) - norm + torch.log(scale), mask)


def negative_binomial(mean: Tensor, dispersion: Tensor, counts: Tensor, mask: Tensor | None = None) -> Loss:
    """Negative log-likelihood of whole ``counts`` with variance ``mean + dispersion * mean^2``, in nats."""
    counts, size = _known(counts, mask), 1 / dispersion
    log_p = torch.lgamma(counts + size) - torch.lgamma(size) - torch.lgamma(counts + 1)
    log_p = log_p + size * torch.log(size / (size + mean)) + counts * torch.log(mean / (size + mean))
    return mean_of(-log_p, mask)


def cross_entropy(
    logits: Tensor, target: Tensor, mask: Tensor | None = None, class_weights: Tensor | None = None
) -> Loss:
    """Negative log-likelihood in nats of classes ``target [...]`` (whole numbers) under ``logits [..., C]``.

    ``class_weights [C]`` weigh each target by its class, in the mean as well as in its weight.
    """
    target = _known(target, mask)
    values = functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), target.reshape(-1), reduction="none"
    )
    weights = None if class_weights is None else class_weights[target]
    return mean_of(values.reshape(target.shape), mask, weights)


def _known(target: Tensor, mask: Tensor | None) -> Tensor:
    """Zero where there is no target: NaN or infinity there would reach the gradient as ``0 * inf``."""
    return target if mask is None else torch.where(mask, target, torch.zeros_like(target))


__all__ = [
    "absolute",
    "cross_entropy",
    "huber",
    "mean_of",
    "negative_binomial",
    "normal",
    "quantile",
    "softplus",
    "squared",
    "student_t",
]
