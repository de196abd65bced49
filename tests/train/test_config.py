"""Settings, learning-rate schedules, and the memory of early stopping."""

import json
import math

import numpy as np
import pytest
import torch

from hiddenstate.errors import OptionError
from hiddenstate.options import ranges_of
from hiddenstate.train import Config
from hiddenstate.train.schedule import learning_rate
from hiddenstate.train.watch import Watch

WRONG = [
    (name, value)
    for name, ranges in ranges_of(Config).items()
    for allowed in ranges
    for value in allowed.outside()
    if not any(other.admits(value) for other in ranges)
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_every_setting_says_what_it_may_be(name, value):
    with pytest.raises(OptionError, match=rf"Config\.{name}.*expected .*got"):
        Config(**{name: value})


def test_every_setting_has_a_range():
    assert set(ranges_of(Config)) == set(vars(Config()))


def test_a_floor_above_the_rate_is_refused():
    with pytest.raises(OptionError, match="min_learning_rate"):
        Config(learning_rate=0.1, min_learning_rate=0.2)


def test_json():
    config = Config(epochs=np.int64(3), learning_rate=np.float32(0.5), clip_norm=None)
    assert Config(**json.loads(json.dumps(config.to_json()))) == config


def torch_rates(make, epochs=6, per_epoch=4):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.8)
    scheduler, rates = make(optimizer), []
    for _ in range(epochs * per_epoch):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def our_rates(epochs=6, per_epoch=4, **settings):
    config = Config(learning_rate=0.8, epochs=epochs, **settings)
    return [
        learning_rate(config, updates=i, epochs=i / per_epoch, drops=0) for i in range(epochs * per_epoch)
    ]


def test_cosine():
    expected = torch_rates(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 24, eta_min=0.1))
    assert our_rates(schedule="cosine", min_learning_rate=0.1) == pytest.approx(expected, rel=1e-9)


def test_step():
    expected = torch_rates(lambda o: torch.optim.lr_scheduler.StepLR(o, 2 * 4, gamma=0.3))
    assert our_rates(schedule="step", decay=0.3, decay_epochs=2) == pytest.approx(expected, rel=1e-12)


def test_warmup_rises_to_the_schedule():
    rates = our_rates(warmup_updates=8)
    assert rates[:8] == pytest.approx([0.1 * i for i in range(1, 9)])
    assert set(rates[8:]) == {0.8}


def test_floor():
    assert min(our_rates(schedule="step", decay=0.1, decay_epochs=1, min_learning_rate=0.05)) == 0.05


def test_plateau_is_torchs_plateau():
    scores = [5, 4, 4.2, 4.1, 3.95, 3.99, 4, 4, 4, 2, 3, 3, 3]
    config = Config(learning_rate=0.8, schedule="plateau", decay=0.5, decay_epochs=2)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.8)
    torchs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, threshold=0)
    watch = Watch()
    for epoch, score in enumerate(scores, 1):
        watch.see(score, epoch, config)
        torchs.step(score)
        ours = learning_rate(config, updates=0, epochs=epoch, drops=watch.drops)
        assert ours == optimizer.param_groups[0]["lr"]
    assert watch.drops >= 2


def test_watch_keeps_the_best_and_counts_from_real_improvements():
    watch, config = Watch(), Config(min_delta=1.0)
    assert [watch.see(score, i, config) for i, score in enumerate([9, 8.5, 8.4, 8.6, 7.9])] == [
        True, True, True, False, True,
    ]  # fmt: skip
    assert (watch.best, watch.best_epoch, watch.waited) == (7.9, 4, 0)
    assert Watch().best == math.inf
