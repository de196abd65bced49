"""The lens during training: right numbers, plain words, and not a bit of the training changed."""

import json
from types import MappingProxyType

import numpy as np
import pytest
import torch
from array_api_compat import torch as xp
from torch import nn as torch_nn

from hiddenstate import nn
from hiddenstate.errors import OptionError
from hiddenstate.train import Config, Lens, fit, losses, seeded
from hiddenstate.train import lens as lens_module
from hiddenstate.train.findings import findings
from hiddenstate.train.listen import Listener
from hiddenstate.train.reach import look
from train.toys import Regression, line


class Windows:
    """Windows of one random stream with the state carried from one to the next: truncated backpropagation."""

    identity = MappingProxyType({"data": "random"})

    def __init__(self, *, steps=12, windows=4, carry=True, scale=1.0):
        draw = torch.Generator().manual_seed(3)
        self.x = scale * torch.randn(windows, steps, 3, 2, generator=draw)
        self.y = torch.randn(windows, steps, 3, 1, generator=draw)
        self.carry = carry

    def batches(self, epoch, seed):
        return range(len(self.x))

    def loss(self, module, batch, carried):
        y, state = module(self.x[batch], carried)
        return losses.squared(y, self.y[batch])._replace(carried=state if self.carry else None)

    def validate(self, module):
        return float((module(self.x[0], None)[0] - self.y[0]).pow(2).mean())


class Net(torch_nn.Module):
    """A recurrent layer and a linear one."""

    def __init__(self, layer):
        super().__init__()
        self.rnn, self.head = layer, torch_nn.Linear(layer.hidden_size * (1 + layer.bidirectional), 1)

    def forward(self, x, state):
        y, state = self.rnn(x, state)
        return self.head(y), state


def net(kind=nn.LSTM, hidden_size=5, **options):
    with seeded(1):
        return Net(kind(2, hidden_size, **options))


def linear_rnn(factor, hidden_size=1):
    """``h_t = factor h_{t-1} + |input|``: gradients shrink by exactly ``factor`` a step."""
    layer = nn.RNN(2, hidden_size, nonlinearity="relu")
    for value in layer.parameters():
        torch_nn.init.zeros_(value)
    torch_nn.init.constant_(layer.bias_ih_l0, 1.0)
    layer.weight_hh_l0.data.copy_(factor * torch.eye(hidden_size))
    with seeded(0):
        return Net(layer)


def train(module, job, *, lens=None, **config):
    config = Config(**{"epochs": 2, "learning_rate": 0.01, **config})
    return fit(module, job, config, progress=False, callbacks=[] if lens is None else [lens])


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.filterwarnings("ignore:(memory is|gradients are)")
def test_the_lens_changes_no_bit(kind):
    weights, histories = [], []
    for lens in (None, Lens(every=1)):
        module = net(kind, num_layers=2, dropout=0.3, bidirectional=True)
        histories.append(train(module, Windows(), lens=lens).history)
        weights.append(module.state_dict())
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    assert lens is not None
    assert len(lens.records) == 8
    for plain, watched in zip(*histories, strict=True):
        assert watched["lens"]["epoch"] == plain["epoch"]
        assert {k: v for k, v in plain.items() if k != "seconds"} == {
            k: v for k, v in watched.items() if k not in ("seconds", "lens")
        }


@pytest.mark.filterwarnings("ignore:(memory is|gradients are)")
def test_a_training_can_be_resumed_with_the_lens(tmp_path):
    whole, lens = net(), Lens(every=1)
    train(whole, Windows(), lens=lens)
    first, again = net(), net()
    for module, epochs in ((first, 1), (again, 2)):
        config = Config(epochs=epochs, learning_rate=0.01)
        report = fit(module, Windows(), config, checkpoint=tmp_path, progress=False, callbacks=[lens])
    assert report.resumed
    assert [record["update"] for record in lens.records] == [5, 6, 7, 8]  # of the last part
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in whole.state_dict().items())
    assert [record["lens"]["update"] for record in report.history] == [4, 8]


def looked_at(module, x, state, *, lengths=None, resets=None, weight=None):
    """What ``look`` says of one backward pass of a module's scan."""
    listener = Listener(module)
    listener.attach()
    listener.arm()
    y, _ = module.scan(x, state, lengths=lengths, resets=resets)
    (y * (1 if weight is None else weight)).sum().backward()
    listener.detach()
    return look(module, listener.calls["rnn"])


def stepped(module, x, state, weight):
    """Gradients of the last step's output by the state of every layer and step, cell by cell in torch."""
    cell, layers = module.cell, range(module.num_layers)
    state = state or cell.State(*torch.zeros(len(cell.State._fields), len(layers), x.shape[1], 4).double())
    now, taken = [cell.State(*(field[layer] for field in state)) for layer in layers], []
    for value in x:
        for layer in layers:
            now[layer], _ = cell.step(xp, module._params(layer), value, now[layer])
            value = now[layer].h
        taken.append(list(now))
    flat = [field for step in taken for one in step for field in one]
    gradients = torch.autograd.grad((value * weight).sum(), flat, allow_unused=True)
    found = iter(torch.zeros_like(f) if g is None else g for f, g in zip(flat, gradients, strict=True))
    by_step = [[[next(found) for _ in one] for one in step] for step in taken]
    return [[step[layer] for step in by_step] for layer in layers]


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("with_state", [False, True])
def test_gradients_by_lag_are_those_of_torch_step_by_step(kind, with_state):
    torch.manual_seed(0)
    steps, rows = 9, 3
    module = kind(2, 4, num_layers=2, dtype=torch.float64)
    x, weight = torch.randn(steps, rows, 2, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    state = None
    if with_state:
        fields = len(module.cell.State._fields)
        state = module.cell.State(*torch.randn(fields, 2, rows, 4, dtype=torch.float64))
    found = looked_at(module, x, state, weight=weight)
    for layer, states in enumerate(stepped(module, x, state, weight)):
        norms = [torch.cat(one, dim=-1).norm(dim=-1).mean().item() for one in reversed(states)]
        np.testing.assert_allclose(found[f"_l{layer}"].gradient_norm, norms, rtol=1e-9)
    assert found["_l0"].window == steps - 1
    assert found["_l0"].truncated == with_state


def test_a_linear_rnn_decays_by_its_factor():
    module = linear_rnn(0.5).rnn
    seen = looked_at(module, torch.zeros(12, 2, 2), None)["_l0"]
    np.testing.assert_allclose(seen.gradient_norm, 0.5 ** np.arange(12), rtol=1e-6)
    assert seen.reach == 6  # 0.5^6 = 1.6 %, 0.5^7 = 0.8 %
    assert seen.gain == pytest.approx(0.5)
    assert seen.saturated is None


def test_rows_end_at_their_lengths_and_segments_at_their_resets():
    module = linear_rnn(0.5).rnn
    lengths, resets = torch.tensor([6, 3, 0]), torch.zeros(6, 3, dtype=torch.bool)
    resets[2, 0] = True
    seen = looked_at(module, torch.zeros(6, 3, 2), None, lengths=lengths, resets=resets)["_l0"]
    assert seen.window == 3  # steps 2 to 5 of row 0
    np.testing.assert_allclose(seen.gradient_norm, 0.5 ** np.arange(4), rtol=1e-6)


def test_units_that_stand_still_are_dead_and_flat_ones_saturated():
    layer = nn.RNN(2, 4)
    with torch.no_grad():
        for value in layer.parameters():
            value.zero_()
        layer.weight_ih_l0[:2] = 0.1  # two units follow the input, two are stuck, one of them at tanh(9)
        layer.bias_ih_l0[3] = 9.0
    seen = looked_at(layer, torch.randn(20, 3, 2, generator=torch.Generator().manual_seed(0)), None)["_l0"]
    assert seen.dead == 0.5
    assert seen.saturated == 0.25


def test_a_cell_without_a_kernel_has_states_but_no_gradients():
    from hiddenstate.cells import RNN
    from hiddenstate.nn.stacked import CustomRecurrent

    class Plain(RNN):
        name = "plain"
        native = None

    shared = {"num_layers": 1, "bias": True, "dropout": 0.0, "bidirectional": False}
    layer = CustomRecurrent(
        Plain(), 2, 3, **shared, proj_size=0, init="orthogonal", learn_initial_state=False
    )
    seen = looked_at(layer, torch.randn(5, 2, 2), None)["_l0"]
    assert seen.gradient_norm is None
    assert seen.reach is None
    assert 0 <= seen.dead <= 1


@pytest.mark.filterwarnings("ignore:(memory is|gradients are)")
def test_update_ratios_are_those_of_the_step_taken():
    module, lens = net(nn.GRU), Lens(every=1)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    job = Windows(windows=1)
    train(module, job, lens=lens, epochs=1, optimizer="sgd", restore_best=False)
    ratios = lens.records[0]["update_ratio"]
    assert set(ratios) == {"rnn.weight_ih_l0", "rnn.weight_hh_l0"}
    for name, by_gate in ratios.items():
        assert list(by_gate) == ["r", "z", "n"]
        old, new = before[name].chunk(3), module.state_dict()[name].chunk(3)
        for a, b, ratio in zip(old, new, by_gate.values(), strict=True):
            assert ratio == pytest.approx(float((b - a).norm() / a.norm()), rel=1e-5)


@pytest.mark.filterwarnings("ignore:(memory is|gradients are)")
def test_clipping_is_counted_over_all_updates_since_the_last_look():
    lens = Lens(every=3)
    report = train(net(), Windows(windows=6), lens=lens, epochs=1, clip_norm=1e-3)
    assert [record["update"] for record in lens.records] == [1, 4]
    assert lens.records[-1]["clip_share"] == 1.0
    assert 0 < lens.records[-1]["clip_scale"] < 1
    free = Lens(every=3)
    train(net(), Windows(windows=6), lens=free, epochs=1, clip_norm=None)
    assert free.records[-1]["clip_share"] == 0.0
    assert free.records[-1]["clip_scale"] == 1.0
    assert report.history[0]["lens"] == lens.records[-1]


@pytest.mark.filterwarnings("ignore:(memory is|gradients are)")
def test_records_are_json():
    lens = Lens(every=2)
    train(net(), Windows(), lens=lens)
    lines = [json.loads(line) for line in lens.to_jsonl().splitlines()]
    assert lines == lens.records


def test_vanishing_memory_is_said_once():
    lens = Lens(every=1)
    with pytest.warns(UserWarning, match="memory is vanishing") as told:
        train(linear_rnn(0.3), Windows(), lens=lens, learning_rate=1e-6)
    assert len([one for one in told if "vanishing" in str(one.message)]) == 1
    text = lens.warnings["vanishing"]
    assert "does not reach back more than 3 steps; your truncation window is 12" in text


def test_without_carried_state_there_is_no_truncation_window():
    lens = Lens(every=1)
    with pytest.warns(UserWarning, match="longest sequence looked at has 12 steps"):
        train(linear_rnn(0.3), Windows(carry=False), lens=lens, learning_rate=1e-6)


def test_exploding_and_truncated_memory_are_told_apart():
    for factor, kind in ((1.5, "exploding"), (1.0, "truncated")):
        lens = Lens(every=1)
        with pytest.warns(UserWarning, match=f"memory is {kind}"):
            train(linear_rnn(factor), Windows(), lens=lens, learning_rate=1e-6)
        assert set(lens.warnings) == {kind}


@pytest.mark.filterwarnings("ignore:memory is")
def test_saturated_memory_is_said():
    lens = Lens(every=1)
    train(net(nn.RNN), Windows(scale=1000.0, carry=False), lens=lens, learning_rate=1e-6)
    assert "lie at the flat ends of tanh" in lens.warnings["saturated"]


def test_hard_clipping_is_exploding_too():
    record = {"update": 7, "layers": {}, "clip_share": 0.95, "clip_scale": 0.02}
    assert "95% of the updates were clipped, to 2.0%" in findings(record)["exploding"]
    assert not findings(record | {"clip_scale": 0.5})


class Ticking(Windows):
    """An update takes 0.1 s by the clock of the test."""

    clock = 0.0

    def loss(self, module, batch, carried):
        Ticking.clock += 0.1
        return super().loss(module, batch, carried)


@pytest.fixture
def clock(monkeypatch):
    """Time as the test counts it; a look costs 0.1 s, as an update."""

    def slow(*arguments):
        Ticking.clock += 0.1
        return look(*arguments)

    Ticking.clock = 0.0
    monkeypatch.setattr(lens_module.time, "perf_counter", lambda: Ticking.clock)
    monkeypatch.setattr(lens_module, "look", slow)


@pytest.mark.usefixtures("clock")
@pytest.mark.filterwarnings("ignore:(memory is|gradients are)")
def test_the_clock_decides_how_often():
    lens = Lens()
    train(net(hidden_size=1), Ticking(windows=160, steps=2), lens=lens, epochs=1)
    # one look is 2 % of 50 updates, two of 100 (looks included), three of 150
    assert [record["update"] for record in lens.records] == pytest.approx([51, 100, 149], abs=1)
    assert lens.time_share <= 0.02


@pytest.mark.usefixtures("clock")
@pytest.mark.filterwarnings("ignore:(memory is|gradients are)")
def test_a_short_training_is_looked_at_once():
    for windows, update in ((4, 4), (1, 2)):
        lens = Lens()
        train(net(hidden_size=1), Ticking(windows=windows, steps=2), lens=lens, epochs=3)
        assert [record["update"] for record in lens.records] == [update]


def test_layers_are_left_alone_afterwards_whatever_happened():
    module = net()
    with pytest.raises(ArithmeticError):
        train(module, Windows(scale=float("nan")), lens=Lens(every=1))
    assert "scan" not in vars(module.rnn)


def test_a_network_without_memory_is_refused():
    with pytest.raises(OptionError, match="nothing for the lens to look at"):
        train(line(), Regression(), lens=Lens())


@pytest.mark.parametrize("every", [0, -1, 1.5, True])
def test_every_is_a_count(every):
    with pytest.raises(OptionError, match="every"):
        Lens(every=every)


@pytest.mark.filterwarnings("ignore:(memory is|gradients are)")
def test_every_estimator_takes_it():
    import hiddenstate as hs

    options = {"hidden_size": 4, "epochs": 2, "progress": False, "seed": 1}
    text = ["one two buckle my shoe\n" * 40]
    plain = hs.LanguageModel(**options).fit(text)
    watched = hs.LanguageModel(lens=True, **options).fit(text)
    for name, value in plain.bundle_.params.items():
        assert np.array_equal(value, watched.bundle_.params[name])
    assert plain.bundle_.task == watched.bundle_.task
    seen = watched.card["training"]["history"][0]["lens"]
    assert seen["layers"]["rnn_l0"]["window"] > 0
    assert json.dumps(seen, allow_nan=False)
