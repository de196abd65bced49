from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hiddenstate import cells
from hiddenstate.blocks import PoolState, forward
from hiddenstate.errors import DataError, OptionError, ShapeError, StateError
from hiddenstate.runtime import Model
from hiddenstate.scan import scan_python, stack
from hiddenstate.spec import Input, ModelSpec, Recurrent, suffix
from hiddenstate.types import GRUState, LSTMState
from random_models import CHARACTERS, CLASSIFIER, SMALL, TWO_WAYS, bundle_of, inputs_of, specs


@pytest.fixture(scope="module")
def small():
    return Model(bundle_of(SMALL))


def test_what_a_model_shows():
    made = bundle_of(SMALL, card={"seed": 1})
    model = Model(made)
    assert (model.spec, model.card, model.id, model.output_size) == (SMALL, {"seed": 1}, made.id, 2)
    assert model.params is made.params


@pytest.mark.parametrize(
    "options",
    [
        {"cell": "rnn"},
        {"cell": "rnn", "options": {"nonlinearity": "relu"}},
        {"cell": "gru", "bias": False},
        {"cell": "lstm"},
        {"cell": "lstm", "proj_size": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_numbers_of_torch(options, bidirectional):
    spec = ModelSpec(
        (Input("x", size=4),),
        (Recurrent("rnn", "x", hidden_size=6, num_layers=2, bidirectional=bidirectional, **options),),
    )
    made = bundle_of(spec)
    extra = {key: value for key, value in options.items() if key in ("bias", "proj_size")} | options.get(
        "options", {}
    )
    layer = getattr(torch.nn, options["cell"].upper())(4, 6, 2, bidirectional=bidirectional, **extra).double()
    layer.load_state_dict({name[4:]: torch.from_numpy(value) for name, value in made.params.items()})
    x = inputs_of(spec, 9, 3)["x"]
    wanted, last = layer(torch.from_numpy(x).double())
    ours, state = Model(made).forward(x)
    np.testing.assert_allclose(ours, wanted.detach(), rtol=1e-5, atol=1e-6)
    for got, wanted in zip(state["rnn"], last if isinstance(last, tuple) else (last,), strict=True):
        np.testing.assert_allclose(got, wanted.detach(), rtol=1e-5, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(specs(bidirectional=True), st.integers(0, 99), st.integers(1, 5))
def test_numbers_of_the_oracle(spec, seed, steps):
    """The whole graph against itself in float64, by the cells' Python steps."""

    class Oracle:
        xp = np

        def embed(self, block, weight, ids):
            return weight[ids]

        def linear(self, block, weight, bias, x):
            return x @ weight.T + (0 if bias is None else bias)

        def total(self, before, steps):
            return steps.sum(axis=0) + (0 if before is None else before)

        def dropout(self, block, x):
            return x

        def recurrent(self, block, params, x, state, lengths, resets):
            cell = cells.get(block.cell, **block.options)

            def run(layer, direction, x, state, reverse):
                tail = suffix(layer, direction)
                own = {k.removesuffix(tail): v for k, v in params.items() if k.endswith(tail)}
                rest = [params[f"initial_{f}"] for f in cell.State._fields if f"initial_{f}" in params]
                index = layer * block.directions + direction
                rest = cell.State(*(value[index] for value in rest)) if rest else None
                return scan_python(
                    cell, own, x, state, lengths=lengths, resets=resets, rest=rest, reverse=reverse
                )

            return stack(run, x, num_layers=block.num_layers, directions=block.directions, state=state)

    made, batch = bundle_of(spec, seed), inputs_of(spec, steps, 3, seed)
    rng = np.random.default_rng(seed)
    lengths, resets = rng.integers(0, steps + 1, 3), rng.random((steps, 3)) < 0.3
    doubled = {name: value.astype(np.float64) for name, value in made.params.items()}
    wide = {
        name: value.astype(np.float64) if value.dtype == np.float32 else value
        for name, value in batch.items()
    }
    exact, _ = forward(spec, doubled, wide, ops=Oracle(), lengths=lengths, resets=resets)
    ours, _ = Model(made).forward(batch, lengths=lengths, resets=resets)
    if not spec.pooled:
        valid = np.arange(steps)[:, None] < lengths
        ours, exact = ours[valid], exact[valid]
    np.testing.assert_allclose(ours, exact, rtol=2e-3, atol=2e-3)  # a norm of nearly equal values magnifies


def test_a_cell_without_a_kernel_runs():
    model = Model(bundle_of(ModelSpec((Input("x", size=2),), (Recurrent("rnn", "x", "leaky", 3),))))
    x = inputs_of(model.spec, 5, 2)["x"]
    whole, _ = model.forward(x)
    np.testing.assert_allclose(model.stream().steps(x[:, 1]), whole[:, 1], rtol=1e-5, atol=1e-6)
    session = model.stream()
    np.testing.assert_allclose([session.step(row) for row in x[:, 1]], whole[:, 1], rtol=1e-5, atol=1e-6)


@pytest.fixture(autouse=True, scope="module")
def leaky_cell():
    """A cell that a user might register: the state leaks away by half, no kernel."""

    @dataclass(frozen=True)
    class Leaky(cells.Cell):
        name = "leaky"
        gates = ("h",)
        State = GRUState

        def step(self, xp, params, x, state):
            pushed = xp.tanh(x @ params["weight_ih"].T + state.h @ params["weight_hh"].T)
            h = 0.5 * state.h + 0.5 * pushed
            return GRUState(h), {"h": h}

    cells.register(Leaky)
    yield
    del cells._REGISTRY["leaky"]


# Predict


@pytest.mark.parametrize(
    "spec", [SMALL, CHARACTERS, CLASSIFIER, TWO_WAYS], ids=["small", "ids", "pooled", "both ways"]
)
@pytest.mark.parametrize("batch_steps", [1, 7, 64, 16384])
def test_predict_is_each_alone(spec, batch_steps):
    model = Model(bundle_of(spec))
    lengths = [5, 0, 1, 30, 5, 2, *range(1, 70)]
    rows = [
        next(iter(inputs_of(spec, length, 1, seed).values()))[:, 0] for seed, length in enumerate(lengths)
    ]
    found = model.predict(rows, batch_steps=batch_steps)
    assert len(found) == len(rows)
    for row, answer in zip(rows, found, strict=True):
        alone, _ = model.forward(row[:, None])
        assert answer.tobytes() == (alone[0] if spec.pooled else alone[:, 0]).tobytes()
        assert answer.shape == ((2,) if spec.pooled else (len(row), model.output_size))


def test_predict_of_nothing(small):
    assert small.predict([]) == []
    assert small.predict([np.empty((0, 3))])[0].shape == (0, 2)


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([np.ones((2, 3)), np.ones((2, 2))], "sequence 1"),
        ([np.ones((2, 3)), np.array([[1, 2, 3], [1, np.nan, 3]])], "sequence 1, step 1.*feature 1"),
        ([np.ones((2, 3)), None], "sequence 1"),
        ([{"y": np.ones((2, 3))}], "wrong inputs"),
    ],
)
def test_predict_names_the_sequence(small, sequences, message):
    with pytest.raises(DataError, match=message):
        small.predict(sequences)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, None])
def test_predict_refuses_a_bound_that_is_none(small, value):
    with pytest.raises(OptionError, match="batch_steps"):
        small.predict([np.ones((2, 3))], batch_steps=value)


# Forward


def test_forward_of_no_steps_and_no_rows(small):
    assert small.forward(np.empty((0, 2, 3)))[0].shape == (0, 2, 2)
    assert small.forward(np.empty((4, 0, 3)))[0].shape == (4, 0, 2)
    pooled = Model(bundle_of(CLASSIFIER))
    assert pooled.forward(np.empty((0, 2, 3)))[0].shape == (2, 2)


GOOD = np.ones((4, 2, 3), np.float32)
THREE_ROWS = GRUState(np.zeros((1, 3, 4), np.float32))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"inputs": GOOD[0]}, DataError, "shape"),
        ({"inputs": GOOD[:, :, :2]}, DataError, "wrong number of values"),
        ({"inputs": {"x": GOOD, "z": GOOD}}, DataError, "wrong inputs"),
        ({"inputs": np.full((4, 2, 3), np.nan)}, DataError, "step 0, row 0"),
        ({"inputs": GOOD, "lengths": [1]}, ShapeError, "lengths"),
        ({"inputs": GOOD, "lengths": [1, 5]}, ShapeError, "0 to 4"),
        ({"inputs": GOOD, "lengths": [-1, 2]}, ShapeError, "0 to 4"),
        ({"inputs": GOOD, "lengths": [1.0, 2.0]}, ShapeError, "whole"),
        ({"inputs": GOOD, "resets": np.zeros((4, 2))}, ShapeError, "bool"),
        ({"inputs": GOOD, "resets": np.zeros((2, 4), bool)}, ShapeError, "resets"),
        ({"inputs": GOOD, "state": {}}, StateError, "another model"),
        ({"inputs": GOOD, "state": {"rnn": np.zeros((1, 2, 4))}}, StateError, "GRUState"),
        ({"inputs": GOOD, "state": {"rnn": LSTMState(GOOD, GOOD)}}, StateError, "GRUState.*LSTMState"),
        (
            {"inputs": GOOD, "state": {"rnn": THREE_ROWS}},
            StateError,
            r"rnn\.h.*\[1, 2, 4\]",
        ),
        ({"inputs": GOOD, "state": {"rnn": GRUState(np.zeros((1, 2, 4)))}}, StateError, "float32.*float64"),
        ({"inputs": GOOD, "state": {"rnn": GRUState(None)}}, StateError, "rnn"),
    ],
)
def test_forward_checks_its_arguments(small, arguments, error, message):
    with pytest.raises(error, match=message):
        small.forward(arguments.pop("inputs"), **arguments)


def test_any_layout_and_precision_of_the_same_numbers(small):
    x = inputs_of(SMALL, 5, 4)["x"]
    whole, state = small.forward(x)
    for same in (np.asfortranarray(x), x[::-1][::-1], x.astype(np.float64), x.astype(">f4"), x.tolist()):
        assert small.forward(same)[0].tobytes() == whole.tobytes()
    fortran = {"rnn": GRUState(np.asfortranarray(state["rnn"].h))}
    assert small.forward(x, state=fortran)[0].tobytes() == small.forward(x, state=state)[0].tobytes()


def test_inputs_must_agree():
    spec = ModelSpec((Input("x"), Input("y")), (Recurrent("rnn", "x", "gru", 2),))
    with pytest.raises(ShapeError, match="differ in steps or rows"):
        Model(bundle_of(spec)).forward({"x": np.ones((2, 3, 1)), "y": np.ones((3, 3, 1))})


def test_ids_are_checked_where_they_count():
    model = Model(bundle_of(CHARACTERS))
    ids = np.array([[0, 6], [3, -1]])
    with pytest.raises(DataError, match=r"step 1, row 1.*0 to 6.*-1"):
        model.forward(ids)
    assert model.forward(ids, lengths=[2, 1])[0].shape == (2, 2, 7)


def test_a_state_of_a_pool_is_checked():
    model = Model(bundle_of(CLASSIFIER))
    _, state = model.forward(GOOD)
    state["pooled"] = PoolState(state["pooled"].value.astype(np.float32), state["pooled"].count)
    with pytest.raises(StateError, match=r"pooled\.value.*float64"):
        model.forward(GOOD, state=state)
