"""What recurrence is measured against does what it says."""

import sys
from pathlib import Path

import pytest
import torch

from hiddenstate import train
from hiddenstate.tasks import probes


@pytest.fixture(autouse=True)
def from_the_root(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2]), *sys.path])


def made(name, task):
    from evaluate.recurrence import make

    with train.seeded(0):
        return make(name, task).eval()


@torch.no_grad()
@pytest.mark.parametrize("name", ["gru", "transformer", "window", "bag of words"])
def test_an_answer_does_not_look_ahead(name):
    task = probes.Brackets(delay=39)
    module, x = made(name, task), torch.from_numpy(task.draw(3, seed=0).inputs["x"])
    other = x.clone()
    other[25:] = (other[25:] + 1) % task.input.size
    (whole, _), (changed, _) = module({"x": x}), module({"x": other})
    assert torch.equal(whole[:25], changed[:25])
    assert not torch.allclose(whole[25:], changed[25:])


@torch.no_grad()
@pytest.mark.parametrize("name", ["recall", "adding"])
def test_the_transformer_is_the_same_one_element_at_a_time(name):
    task = probes.get(name, delay=30)
    module, x = made("transformer", task), torch.from_numpy(task.draw(3, seed=0).inputs["x"])
    memory = module.remember()
    steps = torch.stack([module.step(element, memory) for element in x])
    assert torch.allclose(steps, module({"x": x})[0], atol=1e-5)
    assert memory[0][0].shape[2] == task.steps


@torch.no_grad()
def test_a_bag_knows_no_order_and_a_window_no_further_than_its_width():
    from evaluate.rivals import WINDOW

    task = probes.Reflexive(delay=WINDOW + 4)
    x = torch.from_numpy(task.draw(5, seed=0).inputs["x"])
    bag, window, gru = (made(name, task) for name in ("bag of words", "window", "gru"))

    def same(module, other):
        return torch.allclose(module({"x": x})[0][-1], module({"x": other})[0][-1], atol=1e-5)

    backwards = torch.cat([x[:-1].flip(0), x[-1:]])
    assert same(bag, backwards)
    assert not same(window, backwards)
    far = x.clone()
    far[: len(x) - WINDOW] = (far[: len(x) - WINDOW] + 1) % task.input.size
    assert same(window, far)
    assert not same(gru, far)
    far[len(x) - WINDOW] = (far[len(x) - WINDOW] + 1) % task.input.size
    assert not same(window, far)


def test_who_acts_needs_both_places():
    from evaluate.recurrence import WhoActs

    task = WhoActs()
    rows = task.draw(4000, seed=0)
    first, _, last = rows.inputs["x"]
    assert (rows.targets[-1] == first).all()
    assert (first != last).all()
    assert abs((first < last).mean() - 0.5) < 0.03
