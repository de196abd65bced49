"""Learning rate and optimiser."""

from __future__ import annotations

import math

from torch import nn, optim

from hiddenstate.errors import OptionError

from .config import Config


def learning_rate(config: Config, *, updates: int, epochs: float, drops: int) -> float:
    """The rate of the next update: a function of how far training is, with no memory of its own.

    Args:
        config: names the schedule.
        updates: optimiser steps so far.
        epochs: passes over the data so far, with the part of the running one.
        drops: times that the watched score stood still for ``decay_epochs`` ("plateau").
    """
    peak, floor = config.learning_rate, config.min_learning_rate
    if config.schedule == "cosine":
        rate = floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, epochs / config.epochs)))
    elif config.schedule == "step":
        rate = max(floor, peak * config.decay ** (int(epochs) // config.decay_epochs))
    elif config.schedule == "plateau":
        rate = max(floor, peak * config.decay**drops)
    else:
        rate = peak
    return rate * min(1.0, (updates + 1) / config.warmup_updates) if config.warmup_updates else rate


def make_optimizer(module: nn.Module, config: Config) -> optim.Optimizer:
    """Torch's optimiser of the parameters that ask for gradients.

    Raises:
        OptionError: when there are none.
    """
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if not parameters:
        raise OptionError("the module has no parameters to train", where=type(module).__name__)
    rate, decay, momentum = config.learning_rate, config.weight_decay, config.momentum
    # one kernel over all parameters: 5 (small networks) to 20 times (large ones) faster than the default
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in parameters)
    if config.optimizer == "rmsprop":
        return optim.RMSprop(parameters, lr=rate, weight_decay=decay, momentum=momentum)
    if config.optimizer == "sgd":
        return optim.SGD(parameters, lr=rate, weight_decay=decay, momentum=momentum, fused=fused)
    cls = optim.Adam if config.optimizer == "adam" else optim.AdamW
    return cls(parameters, lr=rate, weight_decay=decay, fused=fused)
