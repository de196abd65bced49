"""``torch.compile(fullgraph=True)`` and ``torch.export``."""

from __future__ import annotations

import jaxtyping
import pytest
import torch
import torch.utils.checkpoint

import hiddenstate.nn as hs_nn
from hiddenstate.spec import Input, Linear, ModelSpec, Recurrent
from where import BEST_PATHS

# Torch's compiler calls torch's own deprecated functions.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script")

VARIANTS = [("RNN", {}), ("LSTM", {"proj_size": 3}), ("GRU", {"reset": "before"})]
CLOSE = {"rtol": 1e-6, "atol": 1e-6}


class SequenceModel(torch.nn.Module):
    """A layer inside a model, with everything around it that a user has."""

    def __init__(self, name, options, **kwargs):
        super().__init__()
        self.rnn = getattr(hs_nn, name)(4, 5, 2, batch_first=True, **options, **kwargs)
        self.head = torch.nn.LazyLinear(1)

    def forward(self, x, lengths=None):
        y, _ = self.rnn(x, lengths=lengths)
        return self.head(y.relu().mean(1))


@pytest.fixture(autouse=True)
def _fresh_compiler():
    """No graph of another test, and no checks of annotations, which are nothing to compile."""
    torch.compiler.reset()
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
    torch.compiler.reset()


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_compiled_in_one_graph_with_gradients(name, options):
    torch.manual_seed(0)
    model = SequenceModel(name, options, bidirectional=True)
    x, lengths = torch.randn(3, 6, 4), torch.tensor([2, 6, 0])
    model(x)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    for extra in ((), (lengths,)):
        expected = torch.autograd.grad(model(x, *extra).pow(2).sum(), list(model.parameters()))
        model.rnn.last_path = None
        y = compiled(x, *extra)
        assert model.rnn.last_path in BEST_PATHS
        torch.testing.assert_close(y, model(x, *extra), **CLOSE)
        found = torch.autograd.grad(y.pow(2).sum(), list(model.parameters()))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_compiled_without_gradients_and_with_other_sizes():
    model = SequenceModel("LSTM", {}, learn_initial_state=True).eval()
    model(torch.zeros(1, 1, 4))
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        for shape in ((3, 6, 4), (2, 9, 4), (5, 3, 4)):
            x = torch.randn(shape)
            torch.testing.assert_close(compiled(x), model(x), **CLOSE)


def test_compiled_by_inductor():
    layer = hs_nn.GRU(4, 5)
    x = torch.randn(6, 3, 4)
    compiled = torch.compile(layer, fullgraph=True)
    y = compiled(x)[0]
    torch.testing.assert_close(y, layer(x)[0], **CLOSE)
    found = torch.autograd.grad(y, list(layer.parameters()), torch.ones_like(y))
    expected = torch.autograd.grad(layer(x)[0], list(layer.parameters()), torch.ones_like(y))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_compiled_cell():
    cell = hs_nn.LSTMCell(4, 5)
    compiled = torch.compile(cell, fullgraph=True, backend="aot_eager")
    x, state = torch.randn(3, 4), (torch.randn(3, 5), torch.randn(3, 5))
    torch.testing.assert_close(compiled(x, state), cell(x, state), **CLOSE)


def test_compiled_network():
    blocks = (
        Recurrent("rnn", "x", "lstm", hidden_size=5, learn_initial_state=True),
        Linear("head", "rnn", 2),
    )
    network = hs_nn.build(ModelSpec((Input("x", size=4),), blocks))
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    inputs = {"x": torch.randn(6, 3, 4)}
    y, state = compiled(inputs)
    expected, last = network(inputs)
    torch.testing.assert_close(y, expected, **CLOSE)
    torch.testing.assert_close(state["rnn"], last["rnn"], **CLOSE)
    y.sum().backward()
    assert all(value.grad is not None for value in network.parameters())


@pytest.mark.parametrize("strict", [False, True])
def test_exported_with_free_sizes_and_saved(tmp_path, strict):
    model = SequenceModel("GRU", {"reset": "before"}, bidirectional=True).eval()
    x, lengths = torch.randn(3, 6, 4), torch.tensor([2, 6, 1])
    expected = model(x, lengths)
    batch, time = torch.export.Dim("batch", min=2), torch.export.Dim("time", min=2)
    program = torch.export.export(
        model, (x, lengths), dynamic_shapes=({0: batch, 1: time}, {0: batch}), strict=strict
    )
    torch.export.save(program, tmp_path / "model.pt2")
    loaded = torch.export.load(tmp_path / "model.pt2").module()
    torch.testing.assert_close(loaded(x, lengths), expected, **CLOSE)
    x, lengths = torch.randn(5, 9, 4), torch.tensor([9, 1, 0, 4, 4])
    torch.testing.assert_close(loaded(x, lengths), model(x, lengths), **CLOSE)


@pytest.mark.filterwarnings("ignore:.torch.jit.trace", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad])
def test_traced(mode):
    """A trace holds the operator, not the numbers of the example."""
    layer = hs_nn.GRU(4, 5, 2, bidirectional=True)
    with mode():
        traced = torch.jit.trace(layer, (torch.randn(6, 3, 4),))
        x = torch.randn(6, 3, 4)
        torch.testing.assert_close(traced(x), layer(x), **CLOSE)


def test_vmap_inside_a_compiled_function():
    layer = hs_nn.LSTM(4, 5)
    many = torch.randn(2, 6, 3, 4)
    compiled = torch.compile(torch.func.vmap(lambda x: layer(x)[0]), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(many), torch.stack([layer(x)[0] for x in many]), **CLOSE)


def test_checkpointed_and_offloaded():
    layer, x = hs_nn.LSTM(4, 5, 2), torch.randn(6, 3, 4)
    expected = torch.autograd.grad(layer(x)[0].sum(), list(layer.parameters()))
    again = torch.utils.checkpoint.checkpoint(lambda x: layer(x)[0], x, use_reentrant=False)
    with torch.autograd.graph.save_on_cpu():
        moved = layer(x)[0]
    for y in (again, moved):
        found = torch.autograd.grad(y.sum(), list(layer.parameters()))
        torch.testing.assert_close(found, expected, **CLOSE)


def test_the_operators_pass_torchs_own_check():
    """Schema, fake tensors, autograd registration and tracing, by torch.library.opcheck."""
    for cell, gates, fields in (("lstm", 4, 2), ("gru", 3, 1), ("rnn_tanh", 1, 1)):
        weights = [torch.randn(gates * 5, n, requires_grad=True) for n in (4, 5)]
        biases = [torch.randn(gates * 5, requires_grad=True) for _ in range(2)]
        state = [torch.randn(3, 5, requires_grad=True) if index < fields else None for index in range(2)]
        x, lengths = torch.randn(6, 3, 4, requires_grad=True), torch.tensor([2, 6, 0])
        inputs = (x, *state, *weights, *biases, None, None, None, lengths, None, cell, False, True)
        torch.library.opcheck(torch.ops.hiddenstate.scan.default, inputs)


def test_the_operators_know_shapes_without_data():
    x, weight_ih, weight_hh = (torch.zeros(*shape, device="meta") for shape in ((6, 3, 4), (20, 4), (20, 5)))
    given = (x, None, None, weight_ih, weight_hh, *(None,) * 7)
    y, h_n, c_n, tape = torch.ops.hiddenstate.scan(*given, "lstm", False, -1)
    assert (y.shape, h_n.shape, c_n.shape, tape.shape) == ((6, 3, 5), (3, 5), (3, 5), (18, 25))
    assert y.is_meta
    needs = [True, False, False, True, True, *(False,) * 5]
    found = torch.ops.hiddenstate.scan_backward(y, None, None, *given, y, tape, "lstm", False, -1, needs)
    assert [value.shape for value in found] == [x.shape, weight_ih.shape, weight_hh.shape]
