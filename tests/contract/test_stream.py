"""Contract 1 on whole models: batch, chunks, steps, and pools with sessions coming and going, bit for bit."""

import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hiddenstate import bundle, native
from hiddenstate.blocks import PoolState
from hiddenstate.runtime import Model
from hiddenstate.spec import Input, Linear, ModelSpec, Recurrent
from random_models import CELLS, CHARACTERS, CLASSIFIER, SMALL, at, bundle_of, inputs_of, specs

FEW = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
SEEDS = st.integers(0, 10_000)


def bits(array):
    return np.ascontiguousarray(array).tobytes()


def state_bits(state):
    return {name: [bits(value) for value in record] for name, record in state.items()}


def of_row(state, row):
    """The state of one row: fields of a recurrent block are ``[L, B, *]``, those of a pool ``[B, ...]``."""
    only = slice(row, row + 1)
    return {
        name: type(record)(*(v[only] if isinstance(record, PoolState) else v[:, only] for v in record))
        for name, record in state.items()
    }


def streamed(model, batch, row):
    """Answers of one row, one step at a time, and the session."""
    session = model.stream()
    steps = len(next(iter(batch.values())))
    return [session.step(at(batch, t, row)) for t in range(steps)], session


@FEW
@given(specs(), SEEDS, st.integers(1, 6), st.integers(1, 4))
def test_batch_is_the_steps(spec, seed, steps, rows):
    model, batch = Model(bundle_of(spec, seed)), inputs_of(spec, steps, rows, seed)
    whole, state = model.forward(batch)
    for row in range(rows):
        answers, session = streamed(model, batch, row)
        expected = whole[row : row + 1] if spec.pooled else whole[:, row]
        assert bits(answers[-len(expected) :]) == bits(expected)
        alone, last = model.forward({name: array[:, row : row + 1] for name, array in batch.items()})
        assert bits(alone) == bits(whole[row] if spec.pooled else whole[:, row])
        assert state_bits(session.state) == state_bits(last)
    assert state_bits(model.forward(batch)[1]) == state_bits(state)


@FEW
@given(specs(), SEEDS, st.integers(2, 7), st.data())
def test_batch_is_its_chunks(spec, seed, steps, data):
    model, batch = Model(bundle_of(spec, seed)), inputs_of(spec, steps, 3, seed)
    whole, last = model.forward(batch)
    cuts = sorted(data.draw(st.sets(st.integers(0, steps))) | {0, steps})
    outputs, state, session = [], None, model.stream()
    for start, end in itertools.pairwise(cuts):
        output, state = model.forward({name: a[start:end] for name, a in batch.items()}, state=state)
        outputs.append(output)
        session.steps({name: a[start:end, 0] for name, a in batch.items()})
    assert bits(outputs[-1] if spec.pooled else np.concatenate(outputs)) == bits(whole)
    assert state_bits(state) == state_bits(last)
    assert state_bits(session.state) == state_bits(streamed(model, batch, 0)[1].state)


@FEW
@given(specs(bidirectional=True), SEEDS, st.integers(1, 6), st.data())
def test_padding_and_neighbours_leave_no_trace(spec, seed, steps, data):
    model, batch = Model(bundle_of(spec, seed)), inputs_of(spec, steps, 3, seed)
    lengths = np.array(data.draw(st.lists(st.integers(0, steps), min_size=3, max_size=3)))
    dirty = {name: array.copy() for name, array in batch.items()}
    for row, length in enumerate(lengths):
        for array in dirty.values():
            array[length:, row] = -1 if array.dtype.kind == "i" else np.nan
    output, _ = model.forward(dirty, lengths=lengths)
    rows = [
        {name: array[:length, row] for name, array in batch.items()} for row, length in enumerate(lengths)
    ]
    for budget in (1, 1000):
        predicted = model.predict(rows, batch_steps=budget)
        for row, length in enumerate(lengths):
            assert bits(predicted[row]) == bits(output[row] if spec.pooled else output[:length, row])


@FEW
@given(specs(), SEEDS, st.integers(1, 6), st.data())
def test_a_reset_is_a_new_start(spec, seed, steps, data):
    model, batch = Model(bundle_of(spec, seed)), inputs_of(spec, steps, 2, seed)
    flags = data.draw(st.lists(st.booleans(), min_size=steps * 2, max_size=steps * 2))
    resets = np.array(flags).reshape(steps, 2)
    whole, state = model.forward(batch, resets=resets)
    for row in range(2):
        session, answers = model.stream(), []
        for t in range(steps):
            if resets[t, row]:
                session.reset()
            answers.append(session.step(at(batch, t, row)))
        assert bits(answers[-1]) == bits(whole[row] if spec.pooled else whole[-1, row])
        assert state_bits(session.state) == state_bits(of_row(state, row))


@FEW
@given(specs(), SEEDS, st.data())
def test_pool_is_its_sessions(spec, seed, data):
    """Sessions join, pause, leave, reset, and move between pool and session by snapshot."""
    model, batch = Model(bundle_of(spec, seed)), inputs_of(spec, 30, 1, seed)
    pool, alone, step = model.streams(), {}, 0
    names = st.sampled_from("abcdef")
    for _ in range(data.draw(st.integers(1, 12))):
        chosen = data.draw(st.sets(names, max_size=6))
        elements = {name: at(batch, (step + ord(name)) % 30, 0) for name in sorted(chosen)}
        step += 1
        answers = pool.step(elements)
        assert list(answers) == list(elements)
        for name, element in elements.items():
            session = alone.setdefault(name, model.stream())
            assert bits(answers[name]) == bits(session.step(element))
        event = data.draw(st.sampled_from(["none", "remove", "reset", "swap"]))
        live = sorted(alone)
        assert sorted(pool.ids) == live
        if event != "none" and live:
            name = data.draw(st.sampled_from(live))
            assert pool.snapshot(name) == alone[name].snapshot()
            if event == "remove":
                pool.remove(name)
                del alone[name]
            elif event == "reset":
                pool.reset(name)
                alone[name].reset()
            else:
                blob = pool.snapshot(name)
                pool.remove(name)
                pool.add(name, blob)
                alone[name] = model.stream(blob)


@FEW
@given(specs(), SEEDS, st.integers(1, 40))
def test_array_form_of_the_pool(spec, seed, rows):
    model, batch = Model(bundle_of(spec, seed)), inputs_of(spec, 3, rows, seed)
    pool, array_pool = model.streams(), model.streams()
    for row in range(rows):
        array_pool.add(row)
    for t in range(3):
        answers = pool.step({row: at(batch, t, row) for row in range(rows)})
        output = array_pool.step_array({name: array[t] for name, array in batch.items()})
        assert bits(output) == bits([answers[row] for row in array_pool.ids])
    assert [pool.snapshot(row) for row in range(rows)] == [array_pool.snapshot(row) for row in range(rows)]


@FEW
@given(specs(), SEEDS, st.integers(1, 6), st.data())
def test_snapshot_at_any_element(spec, seed, steps, data):
    model, batch = Model(bundle_of(spec, seed)), inputs_of(spec, steps, 1, seed)
    cut = data.draw(st.integers(0, steps))
    expected, whole = streamed(model, batch, 0)
    session = model.stream()
    answers = [session.step(at(batch, t, 0)) for t in range(cut)]
    resumed = Model(bundle_of(spec, seed)).stream(session.snapshot())
    answers += [resumed.step(at(batch, t, 0)) for t in range(cut, steps)]
    assert bits(answers) == bits(expected)
    assert resumed.snapshot() == whole.snapshot()


# Every cell in its own right, deep and wide enough to reach all kernel tiles


@pytest.mark.parametrize("cell", CELLS, ids=repr)
@pytest.mark.parametrize("hidden", [64, 130])
def test_every_cell_at_real_sizes(cell, hidden):
    spec = ModelSpec(
        (Input("x", size=10),),
        (Recurrent("rnn", "x", cell.name, hidden, 2, options=dict(vars(cell))), Linear("head", "rnn", 7)),
    )
    model, batch = Model(bundle_of(spec)), inputs_of(spec, 20, 70)
    whole, _ = model.forward(batch)
    pool = model.streams()
    for row in range(70):
        pool.add(row)
    assert bits([pool.step_array(batch["x"][t]) for t in range(20)]) == bits(whole)
    for row in (0, 69):
        assert bits(streamed(model, batch, row)[0]) == bits(whole[:, row])


# Other processes


OTHER = """
import json, sys
sys.modules["torch"] = None
import numpy as np
from hiddenstate import bundle, native
from hiddenstate.runtime import Model
folder = sys.argv[1]
model = Model(bundle.load(folder + "/model"))
session = model.stream(open(folder + "/blob", "rb").read())
batch = dict(np.load(folder + "/rest.npz"))
answers = session.steps(batch)
pool = model.streams()
pool.add("a", open(folder + "/blob", "rb").read())
for t in range(len(answers)):
    last = pool.step({"a": {name: array[t] for name, array in batch.items()}})["a"]
assert last.tobytes() == answers[-1].tobytes()
assert pool.snapshot("a") == session.snapshot()
predicted = model.predict([batch])[0]
np.savez(folder + "/answers.npz", answers=answers, predicted=predicted)
open(folder + "/after", "wb").write(session.snapshot())
print(json.dumps({"isa": native.isa(), "torch": sys.modules["torch"] is not None}))
"""


def elsewhere(folder, model, spec, isa=None):
    """Continues a stream after 4 of 12 elements in a process that cannot import torch."""
    batch = inputs_of(spec, 12, 1, 3)
    expected, whole = streamed(model, batch, 0)
    half = model.stream()
    half.steps({name: array[:4, 0] for name, array in batch.items()})
    (folder / "blob").write_bytes(half.snapshot())
    np.savez(folder / "rest.npz", **{name: array[4:, 0] for name, array in batch.items()})
    environment = os.environ | ({} if isa is None else {"HIDDENSTATE_ISA": isa})
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", OTHER, str(folder)],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    found = np.load(folder / "answers.npz")
    after = (folder / "after").read_bytes()
    return json.loads(ran.stdout), found, np.array(expected[4:]), after == whole.snapshot()


@pytest.mark.parametrize("spec", [SMALL, CHARACTERS, CLASSIFIER], ids=["small", "characters", "classifier"])
def test_snapshot_in_another_process_without_torch(tmp_path, spec):
    made = bundle_of(spec)
    bundle.save(tmp_path / "model", made)
    report, found, expected, same_snapshot = elsewhere(tmp_path, Model(made), spec)
    assert report == {"isa": native.isa(), "torch": False}
    assert bits(found["answers"]) == bits(expected)
    assert same_snapshot
    rest = {name: array[4:, 0] for name, array in inputs_of(spec, 12, 1, 3).items()}
    assert bits(found["predicted"]) == bits(Model(made).predict([rest])[0])


@pytest.mark.parametrize("isa", [name for name in native.isas() if name != native.isa()])
def test_snapshot_on_another_isa(tmp_path, isa):
    made = bundle_of(CHARACTERS)
    bundle.save(tmp_path / "model", made)
    report, found, expected, _ = elsewhere(tmp_path, Model(made), CHARACTERS, isa)
    assert report["isa"] == isa
    np.testing.assert_allclose(found["answers"], expected, rtol=1e-5, atol=1e-5)
