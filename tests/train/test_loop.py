"""The loop against the same training written out by hand, and each of its promises."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from hiddenstate.errors import DataError, DivergedError, OptionError
from hiddenstate.train import Callback, Config, Loss, fit, mean_loss
from train.toys import Regression, Scripted, line, same_weights


def run(module, job, callbacks=(), **settings):
    return fit(module, job, Config(**settings), progress=False, callbacks=callbacks)


BY_HAND = {
    "adam": lambda p: torch.optim.Adam(p, lr=0.05, weight_decay=0.01, fused=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.01, fused=True),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05, weight_decay=0.01, momentum=0.5, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.05, weight_decay=0.01, momentum=0.5),
}


@pytest.mark.parametrize("optimizer", BY_HAND)
def test_equals_a_loop_written_by_hand(optimizer):
    job, ours, theirs = Regression(), line(), line()
    momentum = 0.5 if optimizer in ("sgd", "rmsprop") else 0.0
    report = run(
        ours, job, epochs=3, optimizer=optimizer, learning_rate=0.05, weight_decay=0.01, momentum=momentum,
        clip_norm=0.7, clip_value=0.4, restore_best=False, seed=4,
    )  # fmt: skip
    step = BY_HAND[optimizer](theirs.parameters())
    for epoch in range(3):
        for batch in job.batches(epoch, 4):
            step.zero_grad()
            ((theirs(job.x[batch]) - job.y[batch]) ** 2).mean().backward()
            nn.utils.clip_grad_norm_(theirs.parameters(), 0.7)
            nn.utils.clip_grad_value_(theirs.parameters(), 0.4)
            step.step()
    assert same_weights(ours, theirs.state_dict())
    assert (report.updates, report.epochs, report.stopped) == (15, 3, "epochs")


def test_history_is_what_happened():
    job, module = Regression(rows=44, held_back=True), line()
    norms, losses = [], []

    class Spy(Callback):
        def gradients(self, run):
            norms.append(math.sqrt(sum(float((p.grad**2).sum()) for p in module.parameters())))

        def update(self, run):
            losses.append(run.loss)

    report = run(module, job, [Spy()], epochs=1, clip_norm=4, learning_rate=0.1, warmup_updates=4)
    (record,) = report.history
    assert record["epoch"] == 1
    assert record["updates"] == 6
    assert record["loss"] == pytest.approx(np.average(losses, weights=[8, 8, 8, 8, 8, 4]), rel=1e-12)
    with torch.no_grad():
        assert record["validation"] == pytest.approx(job.validate(module), rel=1e-6)
    assert record["gradient_norm"] == pytest.approx(np.mean(norms), rel=1e-6)
    assert record["gradient_norm_max"] == pytest.approx(max(norms), rel=1e-6)
    assert record["clipped"] == np.mean([norm > 4 for norm in norms])
    assert 0 < record["clipped"] < 1
    assert record["learning_rate"] == 0.1
    assert report.to_jsonl().count("\n") == 1


def test_the_same_seed_gives_the_same_bits_whatever_ran_before():
    def train(noise):
        torch.manual_seed(noise)
        module = nn.Sequential(line(), nn.Dropout(0.5), nn.Linear(1, 1, bias=False))
        nn.init.ones_(module[2].weight)
        run(module, Regression(), epochs=2, seed=3)
        return module.state_dict()

    first, second = train(1), train(2)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_callers_random_state_and_torch_settings_are_left_alone():
    torch.manual_seed(11)
    np.random.seed(11)
    expected = torch.rand(3), np.random.rand(3)
    torch.manual_seed(11)
    np.random.seed(11)
    run(line(), Regression(), epochs=1)
    assert torch.equal(torch.rand(3), expected[0])
    assert (np.random.rand(3) == expected[1]).all()
    assert not torch.are_deterministic_algorithms_enabled()


def test_deterministic_mode_is_on_inside_when_asked():
    modes = []

    class Spy(Callback):
        def update(self, run):
            modes.append(torch.are_deterministic_algorithms_enabled())

    run(line(), Regression(), [Spy()], epochs=1)
    run(line(), Regression(), [Spy()], epochs=1, deterministic=False)
    assert modes == [True] * 5 + [False] * 5


def test_training_mode_while_learning_evaluation_mode_while_validating_and_after():
    modes = []

    class Watching(Regression):
        def loss(self, module, batch, carried):
            modes.append(module.training)
            return super().loss(module, batch, carried)

        def validate(self, module):
            modes.append((module.training, torch.is_grad_enabled()))
            return 0.0

    module = line()
    run(module, Watching(rows=8), epochs=2)
    assert modes == [True, (False, False), True, (False, False)]
    assert not module.training


def test_early_stopping_and_best_weights():
    job = Scripted([5.0, 3.0, 4.0, 2.95, 3.5, 1.0])
    module = line()
    report = run(module, job, epochs=50, patience=3, min_delta=0.1)
    assert (report.stopped, report.epochs) == ("patience", 5)
    assert (report.best_epoch, report.best_score) == (
        4,
        2.95,
    )  # better, though by less than counts for patience
    assert same_weights(module, job.seen[3])


def test_the_last_weights_stay_without_restore_best():
    job, module = Scripted([1.0, 2.0]), line()
    report = run(module, job, epochs=2, restore_best=False)
    assert report.best_epoch == 1
    assert same_weights(module, job.seen[1])


def test_without_validation_the_training_loss_decides():
    report = run(line(), Regression(), epochs=4, learning_rate=0.05)
    losses = [record["loss"] for record in report.history]
    assert report.best_score == min(losses)
    assert all(record["validation"] is None for record in report.history)


def test_no_epochs_changes_nothing():
    module = line()
    report = run(module, Regression(), epochs=0)
    assert (report.updates, report.best_epoch, report.best_score) == (0, None, None)
    assert same_weights(module, line().state_dict())


def test_time_limit():
    report = run(line(), Regression(), epochs=10**9, max_seconds=0.05)
    assert report.stopped == "time"
    assert report.seconds >= 0.05


class Memory:
    """An echo state carried through windows of one long sequence: gradients must stop at the cuts."""

    identity = Regression().identity

    def __init__(self):
        draw = np.random.default_rng(3)
        self.x = torch.from_numpy(draw.normal(size=(4, 6, 2, 3)).astype(np.float32))
        self.y = torch.from_numpy(draw.normal(size=(4, 6, 2, 5)).astype(np.float32))

    def batches(self, epoch, seed):
        return range(4)

    def loss(self, module, index, carried):
        y, h = module(self.x[index], None if carried is None else carried["h"])
        return Loss(((y - self.y[index]) ** 2).mean(), self.y[index].numel(), {"h": h})

    def validate(self, module):
        return None


def test_states_are_carried_between_windows_and_cut_from_the_graph():
    torch.manual_seed(0)
    ours = nn.GRU(3, 5)
    theirs = nn.GRU(3, 5)
    theirs.load_state_dict(ours.state_dict())
    job = Memory()
    run(ours, job, epochs=2, optimizer="sgd", learning_rate=0.1, clip_norm=None, restore_best=False)
    step = torch.optim.SGD(theirs.parameters(), lr=0.1, fused=True)
    for _ in range(2):
        h = None
        for index in range(4):
            step.zero_grad()
            y, h = theirs(job.x[index], h)
            ((y - job.y[index]) ** 2).mean().backward()
            step.step()
            h = h.detach()
    assert same_weights(ours, theirs.state_dict())


def test_mean_loss_carries_too():
    torch.manual_seed(0)
    module, job = nn.GRU(3, 5), Memory()
    whole, _ = module(job.x.reshape(24, 2, 3))
    expected = float(((whole - job.y.reshape(24, 2, 5)) ** 2).mean().detach())
    assert mean_loss(job, module, range(4)) == pytest.approx(expected, rel=1e-6)


def test_a_batch_of_weight_zero_updates_nothing_but_moves_the_state_on():
    class Gap(Memory):
        def loss(self, module, index, carried):
            loss = super().loss(module, index, carried)
            return loss._replace(mean=loss.mean * math.nan, weight=0) if index == 1 else loss

    module, updates = nn.GRU(3, 5), []

    class Spy(Callback):
        def update(self, run):
            updates.append((run.index, run.updates))

    run(module, Gap(), [Spy()], epochs=1)
    assert updates == [(1, 1), (3, 2), (4, 3)]


def test_nothing_to_predict_is_an_error():
    class Empty(Regression):
        def loss(self, module, batch, carried):
            return super().loss(module, batch, carried)._replace(weight=0)

    with pytest.raises(DataError, match="nothing to learn from"):
        run(line(), Empty(), epochs=1)
    with pytest.raises(DataError, match="nothing to learn from"):
        run(line(), Regression(rows=0), epochs=1)


def test_a_module_without_parameters_is_an_error():
    with pytest.raises(OptionError, match="no parameters"):
        run(nn.Identity(), Regression(), epochs=1)


def test_frozen_parameters_stay():
    module = line()
    module.bias.requires_grad_(False)
    run(module, Regression(), epochs=1)
    assert torch.equal(module.bias, line().bias)
    assert not torch.equal(module.weight, line().weight)


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_divergence_stops_with_the_best_weights_kept(what):
    calls = []

    def spoil(module):
        calls.append(0)
        if len(calls) != 13:
            return 1.0
        zero = (module.weight * 0).sum()
        return (
            math.nan if what == "loss" else 1 + torch.sqrt(zero) - torch.sqrt(zero)
        )  # 0 forward, inf backward

    job = Regression(spoil=spoil)
    module, at_end = line(), []

    class Spy(Callback):
        def epoch(self, run):
            at_end.append({name: value.clone() for name, value in module.state_dict().items()})

    with pytest.raises(DivergedError, match=rf"the {what} is nan.*epoch 3, batch 3.*epoch 2") as error:
        run(module, job, [Spy()], epochs=9, restore_best=False)
    assert same_weights(module, at_end[1])
    assert not module.training
    assert (error.value.report.updates, error.value.report.best_epoch) == (12, 2)


def test_divergence_in_validation():
    with pytest.raises(DivergedError, match="the validation score is inf"):
        run(line(), Scripted([math.inf]), epochs=1)


def test_callbacks_are_called_in_order_and_closed_on_errors():
    moments = []

    class Spy(Callback):
        def start(self, run):
            moments.append("start")

        def gradients(self, run):
            moments.append("gradients")

        def update(self, run):
            moments.append("update")

        def epoch(self, run):
            moments.append(f"epoch {run.history[-1]['epoch']}")

        def stop(self, run):
            moments.append(f"stop {run.stopped}")

    run(line(), Regression(rows=8), [Spy()], epochs=2)
    assert moments == [
        "start",
        *["gradients", "update", "epoch 1"],
        *["gradients", "update", "epoch 2"],
        "stop epochs",
    ]
    moments.clear()
    with pytest.raises(DivergedError):
        run(line(), Scripted([math.nan], rows=8), [Spy()], epochs=2)
    assert moments == ["start", "gradients", "update", "stop None"]
