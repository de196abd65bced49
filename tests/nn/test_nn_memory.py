"""``max_memory``: exact gradients from segments that are computed again, and a peak that is predicted."""

import json
import os
import subprocess
import sys

import jaxtyping
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import hiddenstate as hs
from hiddenstate.errors import OptionError
from hiddenstate.nn import kernel, memory, ops
from where import BEST_PATHS

LAYERS = {
    "rnn": (hs.nn.RNN, {}),
    "relu": (hs.nn.RNN, {"nonlinearity": "relu"}),
    "lstm": (hs.nn.LSTM, {}),
    "projected": (hs.nn.LSTM, {"proj_size": 3}),
    "gru": (hs.nn.GRU, {}),
    "before": (hs.nn.GRU, {"reset": "before"}),
}


def pair(name, **options):
    """The same layer without a budget, and with one that only the tests keep it from refusing."""
    kind, own = LAYERS[name]
    torch.manual_seed(0)
    whole = kind(4, 5, dtype=torch.float64, **own, **options)
    for key, value in whole.named_parameters():
        if key.startswith("initial_"):
            torch.nn.init.uniform_(value, -0.5, 0.5)
    cut = kind(4, 5, dtype=torch.float64, **own, **options, max_memory=1)
    cut.load_state_dict(whole.state_dict())
    return whole, cut


def results(layer, x, hx, lengths, resets):
    """Outputs, then gradients of everything that has one; the same again from a graph that is used twice."""
    x = x.clone().requires_grad_()
    state = hx and tuple(h.clone().requires_grad_() for h in hx)
    given_state = state[0] if state and len(state) == 1 else state
    y, last = layer(x, given_state, lengths=lengths, resets=resets)
    outputs = [y, *((last,) if isinstance(last, torch.Tensor) else last)]
    seeds = [torch.randn(o.shape, generator=torch.Generator().manual_seed(1), dtype=o.dtype) for o in outputs]
    wanted = [x, *(state or ()), *layer.parameters()]
    first, second = (
        torch.autograd.grad(outputs, wanted, seeds, allow_unused=True, retain_graph=True) for _ in range(2)
    )
    assert all(g is again or torch.equal(g, again) for g, again in zip(first, second, strict=True))
    return outputs, [torch.zeros_like(w) if g is None else g for w, g in zip(wanted, first, strict=True)]


@settings(max_examples=40, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(LAYERS)))
def test_gradients_are_those_of_the_whole_sequence(data, name):
    draw = data.draw
    time, batch, size = draw(st.integers(1, 9)), draw(st.integers(1, 4)), draw(st.integers(1, 9))
    options = {
        "num_layers": draw(st.integers(1, 2)),
        "bidirectional": draw(st.booleans()),
        "bias": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
        "learn_initial_state": draw(st.booleans()),
    }
    whole, cut = pair(name, **options)
    x = torch.randn(batch, time, 4, dtype=torch.float64)
    lengths = draw(st.none() | st.lists(st.integers(0, time), min_size=batch, max_size=batch))
    flags = draw(st.none() | st.lists(st.booleans(), min_size=batch * time, max_size=batch * time))
    resets = None if flags is None else torch.tensor(flags).reshape(batch, time)
    if not options["batch_first"]:
        x, resets = x.transpose(0, 1), None if resets is None else resets.T
    hx = None
    if draw(st.booleans()):
        rows = options["num_layers"] * (1 + options["bidirectional"])
        widths = [whole.proj_size or 5, *([5] if "c" in whole.cell.State._fields else [])]
        hx = [torch.randn(rows, batch, width, dtype=torch.float64) for width in widths]
    outputs, gradients = results(whole, x, hx, lengths, resets)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "segment", lambda stack, budget: size)
        cut_outputs, cut_gradients = results(cut, x, hx, lengths, resets)
    assert cut.last_path in BEST_PATHS
    for mine, other in zip(cut_outputs, outputs, strict=True):
        assert torch.equal(mine, other)
    for mine, other in zip(cut_gradients, gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-11, atol=1e-12)


@pytest.fixture
def cut(monkeypatch):
    monkeypatch.setattr(memory, "segment", lambda stack, budget: 3)
    return pair("lstm")


def test_no_tape_is_kept(cut):
    _, layer = cut
    y, _ = layer(torch.randn(8, 2, 4, dtype=torch.float64))
    kept = [value for value in y.grad_fn.saved_tensors if value is not None]
    assert (3, 2 * (5 + 5)) in [tuple(value.shape) for value in kept]
    assert max(value.numel() for value in kept) == max(4 * 5 * 5, 8 * 2 * 4)


@pytest.fixture
def steps_run(monkeypatch):
    """The lengths of all runs of the forward kernel."""
    found, run = [], kernel.forward
    monkeypatch.setattr(
        kernel, "forward", lambda given, *rest: (found.append(len(given.x)), run(given, *rest))
    )
    return found


@pytest.mark.parametrize(("reverse", "spans"), [(False, [3, 3, 2]), (True, [2, 3, 3])])
def test_the_last_segment_runs_once(cut, steps_run, reverse, spans):
    _, layer = cut
    x = torch.randn(8, 2, 4, dtype=torch.float64, requires_grad=True)
    y, _ = ops.scan(layer.cell, layer._params(0), x, None, reverse=reverse, keep=3, keep_last=True)
    assert steps_run == spans
    torch.autograd.grad(y.sum(), x, retain_graph=True)
    assert steps_run == [*spans, *spans[1::-1]]
    torch.autograd.grad(y.sum(), x, retain_graph=True)  # its tape has been overwritten
    assert steps_run == [*spans, *spans[1::-1], *spans[::-1]]


def test_of_a_stack_one_tape_is_kept(monkeypatch, steps_run):
    # The one that backward begins with: more would add to the peak.
    monkeypatch.setattr(memory, "segment", lambda stack, budget: 3)
    _, layer = pair("gru", num_layers=2, bidirectional=True)
    layer(torch.randn(6, 2, 4, dtype=torch.float64))[0].sum().backward()
    assert steps_run == [3, 3] * 4 + [3] + [3, 3] * 3


def test_what_is_kept_is_no_view_of_the_output(cut):
    whole, layer = cut
    x = torch.randn(8, 2, 4, dtype=torch.float64, requires_grad=True)
    y, _ = layer(x)
    y.data.zero_()
    mine, other = (torch.autograd.grad(out.sum(), x)[0] for out in (y, whole(x)[0]))
    torch.testing.assert_close(mine, other)


def test_a_graph_is_used_twice(cut):
    whole, layer = cut
    x = torch.randn(8, 2, 4, dtype=torch.float64, requires_grad=True)
    y, _ = layer(x)
    first, second = (torch.autograd.grad(y.sum(), x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
    torch.testing.assert_close(first, torch.autograd.grad(whole(x)[0].sum(), x)[0])


def test_second_derivatives(cut):
    _, layer = cut
    x = torch.randn(4, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: layer(x)[0], x)


@pytest.fixture
def _unchecked():
    """No checks of annotations, which a compiler cannot trace."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize("transform", ["compile", "vmap", "export"])
def test_other_doors(cut, transform):
    whole, layer = cut
    x = torch.randn(8, 2, 4, dtype=torch.float64, requires_grad=True)
    if transform == "compile":
        call = torch.compile(layer, backend="aot_eager", fullgraph=True)
    elif transform == "export":
        call = torch.export.export(layer, (x,)).module()
    else:
        call = torch.func.vmap(layer)
    mine, other = (call(x[None])[0][0], whole(x)[0]) if transform == "vmap" else (call(x)[0], whole(x)[0])
    torch.testing.assert_close(mine, other)
    mine, other = (torch.autograd.grad((y * y).sum(), x)[0] for y in (mine, other))
    torch.testing.assert_close(mine, other)


def test_a_budget_that_suffices_keeps_the_tape():
    layer = hs.nn.GRU(4, 5)
    need = layer.predict_memory(800, 4)
    for budget, rows in ((need, 800 * 4), (need - 1, 2)):
        layer.max_memory = budget
        y, _ = layer(torch.randn(800, 4, 4, requires_grad=True))
        assert y.grad_fn.saved_tensors[-1].shape[0] == rows


def test_a_budget_is_met_or_refused():
    whole = hs.nn.LSTM(16, 32, num_layers=2).predict_memory(500, 8)
    least = None
    for part in range(20, 0, -1):
        layer = hs.nn.LSTM(16, 32, num_layers=2, max_memory=whole * part // 20)
        try:
            assert layer.predict_memory(500, 8) <= layer.max_memory
        except OptionError as error:
            least = int(str(error.expected).split()[2])
            break
    assert least is not None
    assert whole / 20 < least < whole / 2
    hs.nn.LSTM(16, 32, num_layers=2, max_memory=least).predict_memory(500, 8)
    with pytest.raises(OptionError, match=f"at least {least} bytes for 500 steps of 8 rows"):
        layer(torch.zeros(500, 8, 16, requires_grad=True))
    with torch.no_grad():
        layer(torch.zeros(500, 8, 16))


@pytest.mark.parametrize("value", [0, -1, 1.5, "1G"])
def test_what_is_no_budget(value):
    with pytest.raises(OptionError, match="max_memory"):
        hs.nn.LSTM(2, 3, max_memory=value)


MEASURED = """
import json, sys, torch
import hiddenstate as hs

def resident(field):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))

def peaks(name, options, part):
    layer = getattr(hs.nn, name)(32, 64, **options)
    x = torch.randn(2000, 32, 32)
    whole = layer.predict_memory(2000, 32)
    layer.max_memory = None if part == 1 else whole // part
    for given in (x[:2], x):  # the first also loads what a library loads at its first use
        y = dy = None
        layer.zero_grad(set_to_none=True)
        hs.native.free_kept()
        before = resident("VmRSS")
        open("/proc/self/clear_refs", "w").write("5")
        y, _ = layer(given)
        dy = torch.ones_like(y)
        y.backward(dy)
        measured = resident("VmHWM") - before - 4 * 2 * y.numel()
    return measured, layer.predict_memory(2000, 32)

torch.set_num_threads(1)
print(json.dumps([peaks(*case) for case in json.loads(sys.argv[1])]))
"""
TWO_WAYS = {"bidirectional": True, "num_layers": 2}
DROPPED = {"num_layers": 2, "dropout": 0.1, "batch_first": True}
CASES = [
    ("LSTM", {}, 1), ("LSTM", {}, 4), ("GRU", {}, 1), ("GRU", {}, 4), ("RNN", {"num_layers": 3}, 1),
    ("GRU", {"num_layers": 2}, 1), ("GRU", {"num_layers": 2}, 2), ("LSTM", TWO_WAYS, 1),
    ("LSTM", TWO_WAYS, 2), ("LSTM", DROPPED, 1), ("LSTM", DROPPED, 2),
]  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_predicted_and_measured_peak():
    # Large blocks come from the system and go back at once: what is resident is in use.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", MEASURED, json.dumps(CASES)],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    for case, (measured, predicted) in zip(CASES, json.loads(ran.stdout), strict=True):
        assert measured == pytest.approx(predicted, rel=0.15), case


def test_memory_of_a_training_step_serves_the_next_one():
    layer, x = hs.nn.RNN(64, 64), torch.randn(60, 32, 64, requires_grad=True)

    def step():
        layer.zero_grad()
        x.grad = None
        y, _ = layer(x)
        y.sum().backward()
        return {y.data_ptr(), x.grad.data_ptr()}

    hs.native.free_kept()
    assert step() == step()


def test_an_output_without_gradient_can_be_resized():
    with torch.no_grad():
        y, _ = hs.nn.RNN(64, 64)(torch.randn(60, 32, 64))
    assert y.resize_(3, 4).shape == (3, 4)
