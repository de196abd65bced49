"""Passes give the model's own answers, and their gradients are torch's."""

import numpy as np
import pytest
import torch
from array_api_compat import torch as xp
from hypothesis import given, settings
from hypothesis import strategies as st

from hiddenstate import bundle as bundles
from hiddenstate import nn
from hiddenstate.bundle import Bundle
from hiddenstate.errors import DataError, OptionError
from hiddenstate.lens import Probe
from hiddenstate.runtime import Model
from hiddenstate.scan import stack
from hiddenstate.spec import Input, Linear, ModelSpec, Recurrent, suffix
from random_models import CHARACTERS, CLASSIFIER, SMALL, TWO_WAYS, bundle_of, inputs_of, specs, weights


def test_a_pass_gives_the_bits_of_the_model():
    for spec in (SMALL, CHARACTERS, CLASSIFIER, TWO_WAYS):
        bundle, inputs = bundle_of(spec), inputs_of(spec, 6, 3)
        lengths = np.array([6, 2, 4])
        made = Probe(bundle).forward(inputs, lengths=lengths)
        output, state = Model(bundle).forward(inputs, lengths=lengths)
        shown = slice(None) if spec.pooled else made.valid
        assert np.array_equal(made.output[shown], output[shown])
        for block, record in state.items():
            assert all(np.array_equal(a, b) for a, b in zip(record, made.state[block], strict=True))


def test_the_state_of_a_pass_continues_in_the_next():
    probe, inputs = Probe(bundle_of(SMALL)), inputs_of(SMALL, 6, 2)
    whole = probe.forward(inputs)
    first = probe.forward({"x": inputs["x"][:4]})
    second = probe.forward({"x": inputs["x"][4:]}, state=first.state)
    assert np.array_equal(second.output, whole.output[4:])


@settings(max_examples=40, deadline=None)
@given(specs(bidirectional=True), st.integers(1, 6), st.integers(1, 3), st.data())
def test_gradients_of_inputs_and_parameters_are_those_of_torch(spec, steps, rows, data):
    if not spec.recurrent:
        return
    lengths = np.array(data.draw(st.lists(st.integers(0, steps), min_size=rows, max_size=rows)))
    bundle, inputs = bundle_of(spec), inputs_of(spec, steps, rows)
    made = Probe(bundle, dtype="float64").forward(
        {name: _double(value) for name, value in inputs.items()}, lengths=lengths
    )
    d_output = np.random.default_rng(1).normal(size=made.output.shape)
    found = made.backward(d_output)

    module = nn.build(spec).double().eval()
    module.load_state_dict({name: torch.tensor(value).double() for name, value in bundle.params.items()})
    given_ = {name: torch.tensor(_double(value)) for name, value in inputs.items()}
    leaves = {name: value.requires_grad_() for name, value in given_.items() if value.is_floating_point()}
    output, _ = module(given_, lengths=torch.tensor(lengths))
    seed = d_output if spec.pooled else np.where(made.valid[:, :, None], d_output, 0)
    (output * torch.tensor(seed)).sum().backward()
    for name, parameter in module.named_parameters():
        wanted = np.zeros(parameter.shape) if parameter.grad is None else parameter.grad.numpy()
        np.testing.assert_allclose(found.d_params[name], wanted, rtol=1e-9, atol=1e-10, err_msg=name)
    for name, leaf in leaves.items():
        wanted = np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy()
        got = found.d_nodes.get(name, np.zeros(leaf.shape))
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_gradients_of_every_state_are_those_of_torch(cell, bidirectional):
    block = Recurrent("rnn", "x", cell, 5, num_layers=2, bidirectional=bidirectional)
    spec = ModelSpec((Input("x", size=3),), (block, Linear("head", "rnn", 2)))
    bundle, x = bundle_of(spec), inputs_of(spec, 7, 2)["x"].astype(np.float64)
    probe = Probe(bundle, dtype="float64")
    made = probe.forward({"x": x})
    d_output = np.random.default_rng(1).normal(size=made.output.shape)
    found = made.backward(d_output)

    kept = {}

    def run(layer, direction, x, state, reverse):
        name = "rnn" + suffix(layer, direction)
        one = probe.layer(name).scan
        params = {key: torch.tensor(value) for key, value in one.params.items()}
        state = one.cell.State(*(torch.zeros(x.shape[1], 5, dtype=x.dtype) for _ in one.cell.State._fields))
        steps = []
        for t in reversed(range(len(x))) if reverse else range(len(x)):
            state, _ = one.cell.step(xp, params, x[t], state)
            for part in state:
                part.requires_grad_().retain_grad()
            steps.append(state)
        kept[name] = steps[::-1] if reverse else steps
        return torch.stack([step.h for step in kept[name]]), state

    y, _ = stack(run, torch.tensor(x, requires_grad=True), num_layers=2, directions=block.directions)
    output = y @ torch.tensor(probe.params["head.weight"]).T
    (output * torch.tensor(d_output)).sum().backward()
    for layer in probe.layers:
        for field, got in found.d_steps[layer.name]._asdict().items():
            grads = [getattr(step, field).grad for step in kept[layer.name]]
            wanted = np.stack([np.zeros((2, 5)) if grad is None else grad.numpy() for grad in grads])
            np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12, err_msg=layer.name)


@settings(max_examples=25, deadline=None)
@given(specs(bidirectional=True), st.lists(st.integers(1, 6), min_size=1, max_size=4))
def test_final_answers_are_those_of_the_model(spec, lengths):
    if not spec.recurrent:
        return
    probe = Probe(bundle_of(spec))
    inputs = inputs_of(spec, max(lengths), len(lengths))
    rows = [{name: value[:size, b] for name, value in inputs.items()} for b, size in enumerate(lengths)]
    wanted = [y if spec.pooled else y[-1] for y in Model(bundle_of(spec)).predict(rows)]
    np.testing.assert_array_equal(probe.final(probe.read(rows)), np.array(wanted))


def test_a_learned_initial_state_is_where_rows_start_and_has_a_gradient():
    block = Recurrent("rnn", "x", "gru", 4, num_layers=2, learn_initial_state=True)
    spec = ModelSpec((Input("x", size=3),), (block, Linear("head", "rnn", 2)))
    probe = Probe(bundle_of(spec), dtype="float64")
    np.testing.assert_array_equal(probe.layer("rnn_l1").rest.h, probe.params["rnn.initial_h"][1])
    made = probe.forward({"x": inputs_of(spec, 4, 3)["x"].astype(np.float64)})
    found = made.backward(np.ones_like(made.output))
    by_row = [found.d_state[name].h.sum(axis=0) for name in ("rnn_l0", "rnn_l1")]
    np.testing.assert_allclose(found.d_params["rnn.initial_h"], by_row, rtol=1e-12)


def test_seeds_at_any_block_and_outputs_put_in_from_outside():
    probe, ids = Probe(bundle_of(CHARACTERS), dtype="float64"), inputs_of(CHARACTERS, 5, 2)
    made = probe.forward(ids)
    seed = np.random.default_rng(0).normal(size=made.nodes["rnn"].shape)
    d_head = np.linalg.lstsq(probe.params["head.weight"].T, seed.reshape(-1, 4).T, rcond=None)[0].T
    by_block = made.backward(d_nodes={"rnn": seed}).d_nodes["table"]
    by_output = made.backward(d_head.reshape(*seed.shape[:2], 7)).d_nodes["table"]
    np.testing.assert_allclose(by_block, by_output, rtol=1e-7)

    vectors = made.nodes["table"]
    again = probe.forward(ids, given={"table": vectors})
    assert np.array_equal(again.output, made.output)
    np.testing.assert_array_equal(again.backward(d_nodes={"rnn": seed}).d_nodes["table"], by_block)
    assert not again.backward(d_nodes={"rnn": seed}).d_params["table.weight"].any()


def test_layers_and_states_by_name():
    block = Recurrent("rnn", "x", "lstm", 5, num_layers=2, bidirectional=True, proj_size=2)
    probe = Probe(bundle_of(ModelSpec((Input("x", size=3),), (block,))))
    names = ["rnn_l0", "rnn_l0_reverse", "rnn_l1", "rnn_l1_reverse"]
    assert [layer.name for layer in probe.layers] == names
    assert probe.layer().name == "rnn_l1"
    made = probe.run(probe.read([np.ones((4, 3)), np.ones((2, 3))]))
    assert made.states("rnn_l0").h.shape == (4, 2, 2)
    assert made.states("rnn_l0").c.shape == (4, 2, 5)
    assert made.joined("rnn_l0").shape == (4, 2, 7)
    assert set(made.gates("rnn_l0")) == {"i", "f", "o"}
    with pytest.raises(OptionError, match="no such layer"):
        probe.layer("rnn_l7")


def test_a_model_without_gates_or_without_memory():
    with pytest.raises(OptionError, match="no gates"):
        Probe(bundle_of(CLASSIFIER)).layer().require_gates()
    spec = ModelSpec((Input("x", size=3),), (Linear("head", "x", 2),))
    with pytest.raises(OptionError, match="without recurrent layers"):
        Probe(Bundle(spec, weights(spec)))
    with pytest.raises(OptionError, match="not a model"):
        Probe(42)


def test_every_form_of_a_model_opens(tmp_path):
    bundle = bundle_of(SMALL)
    bundles.save(tmp_path / "m.safetensors", bundle)
    x = [np.ones((3, 3))]
    forms = [
        bundle,
        Model(bundle),
        tmp_path / "m.safetensors",
        str(tmp_path / "m.safetensors"),
        Probe(bundle),
    ]
    outputs = []
    for form in forms:
        probe = Probe(form)
        outputs.append(probe.run(probe.read(x)).output)
    assert all(np.array_equal(outputs[0], other) for other in outputs[1:])


def test_bare_arrays_are_checked():
    probe = Probe(bundle_of(SMALL))
    with pytest.raises(DataError, match="sequence 0, step 1"):
        probe.read([np.array([[1, 2, 3], [1, np.nan, 3]])])
    with pytest.raises(DataError, match="not a list"):
        probe.read(7)
    with pytest.raises(DataError, match="no sequences"):
        probe.read([np.ones((0, 3))])
    with pytest.raises(DataError):
        probe.encode(np.ones((0, 3)))
    with pytest.raises(DataError, match="id out of range"):
        Probe(bundle_of(CHARACTERS)).read([np.array([3, 9])])


def test_long_data_is_cut_and_sampled():
    probe = Probe(bundle_of(SMALL))
    x = np.arange(3 * 25, dtype=np.float32).reshape(25, 3)
    pieces = probe.read([x], steps=10, sequences=None)
    assert [len(piece) for piece in pieces] == [10, 10]
    assert np.array_equal(pieces[1].inputs["x"], x[10:20])
    some = [piece.name for piece in probe.read([x], steps=2, sequences=5, seed=3)]
    assert len(some) == 5
    assert some == [piece.name for piece in probe.read([x], steps=2, sequences=5, seed=3)]
    assert len(probe.read([x], steps=None)[0]) == 25


def _double(value):
    return value.astype(np.float64) if value.dtype.kind == "f" else value
