import copy
import threading

import numpy as np
import pytest

from hiddenstate.blocks import PoolState
from hiddenstate.errors import DataError, StateError
from hiddenstate.runtime import Adapter, Model
from hiddenstate.spec import Concat, Embed, Input, Linear, ModelSpec, Recurrent
from random_models import CHARACTERS, CLASSIFIER, SMALL, TWO_WAYS, at, bundle_of, inputs_of
from text_adapter import Texts

TWO_INPUTS = ModelSpec(
    (Input("x", size=2), Input("day", "ids", 7)),
    (
        Embed("table", "day", 2),
        Concat("both", ("x", "table")),
        Recurrent("rnn", "both", "gru", 4, learn_initial_state=True),
        Linear("head", "rnn", 2),
    ),
)


@pytest.fixture(scope="module")
def small():
    return Model(bundle_of(SMALL))


def test_an_answer_belongs_to_the_caller(small):
    session = small.stream()
    first = session.step([1.0, 2.0, 3.0])
    kept = first.copy()
    session.step([0.0, 0.0, 0.0])
    np.testing.assert_array_equal(first, kept)
    assert first.shape == (2,)
    assert first.dtype == np.float32


def test_elements_of_every_kind_of_array(small):
    rows = [0.5, -1.0, 2.0]
    kinds = [
        rows,
        tuple(rows),
        np.array(rows),
        np.array(rows, np.float32),
        np.array(rows * 2, np.float32)[:3],
        {"x": rows},
    ]
    kinds += [np.array([rows, rows], np.float32).T[:, 0], np.array(rows, np.float16), np.array(rows, ">f4")]
    answers = [small.stream().step(kind) for kind in kinds]
    assert len({answer.tobytes() for answer in answers}) == 1
    assert (
        small.stream().step(np.array([1, 0, 2])).tobytes() == small.stream().step([1.0, 0.0, 2.0]).tobytes()
    )


def test_one_number_may_come_bare():
    model = Model(bundle_of(ModelSpec((Input("x"),), (Recurrent("rnn", "x", "gru", 4),))))
    assert model.stream().step(1.5).tobytes() == model.stream().step([1.5]).tobytes()
    assert model.stream().steps([1.5, 2.0]).tobytes() == model.stream().steps([[1.5], [2.0]]).tobytes()


def test_ids_and_several_inputs():
    assert Model(bundle_of(CHARACTERS)).stream().step(3).shape == (7,)
    session = Model(bundle_of(TWO_INPUTS)).stream()
    assert session.step({"x": [1.0, 2.0], "day": 6}).shape == (2,)
    assert session.steps({"x": np.ones((4, 2)), "day": [0, 1, 2, 3]}).shape == (4, 2)
    assert session.position == 5


BAD = {
    "too few": ([1.0, 2.0], r"wrong number of values.*step 3.*\[3\].*\[2\]"),
    "too many": ([1.0] * 4, r"step 3.*\[3\].*\[4\]"),
    "one number": (1.0, r"step 3.*shape \[\]"),
    "a row too deep": ([[1.0, 2.0, 3.0]], r"step 3.*\[1, 3\]"),
    "NaN": ([1.0, float("nan"), 3.0], "step 3.*nan in feature 1.*missing"),
    "infinity": (np.array([1, 2, -np.inf], np.float32), "step 3.*-inf in feature 2"),
    "too large for float32": ([1e39, 0.0, 0.0], "step 3.*inf in feature 0"),
    "None": (None, "not numbers.*step 3"),
    "None inside": ([1.0, None, 2.0], "not numbers.*step 3"),
    "text": ("1 2 3", "not numbers.*step 3"),
    "numbers as text": (["1", "2", "3"], "not numbers.*step 3"),
    "complex": ([1j, 2, 3], "not numbers.*step 3"),
    "ragged": ([[1.0], [2.0, 3.0]], "not numbers.*step 3"),
    "wrong name": ({"y": [1.0, 2.0, 3.0]}, "wrong inputs.*x.*y"),
    "nothing": ({}, "wrong inputs"),
    "datetime": (np.array(["2020-01-01"] * 3, "M8[D]"), "not numbers.*step 3"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_refused_element_leaves_no_trace(small, case):
    element, message = BAD[case]
    session = small.stream()
    session.steps(np.ones((3, 3)))
    before = session.snapshot()
    with pytest.raises(DataError, match=message):
        session.step(element)
    assert session.snapshot() == before
    assert session.position == 3


@pytest.mark.parametrize(
    ("element", "message"),
    [
        (7, "out of range.*step 0.*0 to 6.*7"),
        (-1, "out of range.*-1"),
        (1.0, "not whole numbers"),
        ("a", "not whole numbers"),
        ([1], "shape"),
        (True, "not whole numbers"),
        (2**70, "not whole numbers"),
    ],
)
def test_refused_ids(element, message):
    session = Model(bundle_of(CHARACTERS)).stream()
    with pytest.raises(DataError, match=message):
        session.step(element)
    assert session.position == 0


def test_several_inputs_are_taken_together_or_not_at_all():
    session = Model(bundle_of(TWO_INPUTS)).stream()
    before = session.snapshot()
    for element in (
        [1.0, 2.0],
        {"x": [1.0, 2.0]},
        {"x": [1.0, 2.0], "day": 7},
        {"x": [1.0, np.nan], "day": 1},
    ):
        with pytest.raises(DataError):
            session.step(element)
    with pytest.raises(DataError, match="differ in length"):
        session.steps({"x": np.ones((4, 2)), "day": [0, 1]})
    assert session.snapshot() == before


@pytest.mark.parametrize("spec", [SMALL, CLASSIFIER], ids=["steps", "pooled"])
def test_a_refused_chunk_leaves_no_trace_and_names_the_step(spec):
    session = Model(bundle_of(spec)).stream()
    session.steps(np.ones((3, 3)))
    before, chunk = session.snapshot(), np.ones((5, 3))
    chunk[2, 1] = np.nan
    with pytest.raises(DataError, match=r"step 5.*feature 1"):
        session.steps(chunk)
    assert session.snapshot() == before


def test_chunks_of_nothing():
    for spec in (SMALL, CLASSIFIER):
        session = Model(bundle_of(spec)).stream()
        before = session.snapshot()
        assert session.steps(np.empty((0, 3))).shape == (0, 2)
        assert session.snapshot() == before


def test_pooled_answers_are_about_everything_so_far():
    model, batch = Model(bundle_of(CLASSIFIER)), inputs_of(CLASSIFIER, 6, 1)
    answers = model.stream().steps(batch["x"][:, 0])
    for count in range(1, 7):
        assert answers[count - 1].tobytes() == model.predict([batch["x"][:count, 0]])[0].tobytes()


def test_reset_is_a_new_session():
    model = Model(bundle_of(TWO_INPUTS))
    session, fresh = model.stream(), model.stream()
    batch = inputs_of(TWO_INPUTS, 5, 1)
    for t in range(5):
        session.step(at(batch, t, 0))
    assert session.snapshot() != fresh.snapshot()
    session.reset()
    assert session.snapshot() == fresh.snapshot()
    assert session.position == 0


def test_learned_start():
    """The state at rest is what was learned, not zero."""
    made = bundle_of(TWO_INPUTS)
    state = Model(made).stream().state
    np.testing.assert_array_equal(state["rnn"].h[:, 0], made.params["rnn.initial_h"])


def test_state_is_a_copy_of_what_forward_takes(small):
    session = small.stream()
    session.steps(np.ones((3, 3)))
    state = session.state
    before = session.snapshot()
    follow, _ = small.forward(np.full((1, 1, 3), 0.5), state=state)
    for record in state.values():
        for value in record:
            value[...] = 9
    assert session.snapshot() == before
    assert session.step([0.5] * 3).tobytes() == follow[0, 0].tobytes()
    assert isinstance(Model(bundle_of(CLASSIFIER)).stream().state["pooled"], PoolState)


def test_both_ways_cannot_stream():
    model = Model(bundle_of(TWO_WAYS))
    for open_one in (model.stream, model.streams):
        with pytest.raises(StateError, match=r"both ends.*rnn.*predict.*bidirectional=False"):
            open_one()


def test_sessions_of_one_model_run_in_threads(small):
    elements = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    expected = small.stream().steps(elements)
    answers = {}

    def run(name):
        session = small.stream()
        answers[name] = np.array([session.step(element) for element in elements])

    threads = [threading.Thread(target=run, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answers[name].tobytes() for name in range(4)] == [expected.tobytes()] * 4


# Adapters


def test_an_adapter_translates_both_ways(small):
    adapter = Texts()
    assert isinstance(adapter, Adapter)
    session, bare = small.stream(adapter=adapter), small.stream()
    answer = bare.step([1.0, 2.0, 3.0])
    assert session.step("1 2 3") == f"1: {answer[0]:.2f} {answer[1]:.2f}"
    assert session.step("wait") is None
    answer = bare.step([1.0, 2.0, 4.0])
    assert session.step("0 0 1") == f"3: {answer[0]:.2f} {answer[1]:.2f}"
    assert session.position == 3
    assert bare.position == 2


@pytest.mark.parametrize("element", ["1 2", "1 x 3", "nan 0 0", None, 7])
def test_a_refused_element_leaves_no_trace_in_the_adapter(small, element):
    session = small.stream(adapter=Texts())
    session.step("1 2 3")
    before = session.snapshot()
    with pytest.raises(DataError):
        session.step(element)
    assert session.snapshot() == before


def test_steps_through_an_adapter(small):
    one, many = small.stream(adapter=Texts()), small.stream(adapter=Texts())
    elements = ["1 2 3", "wait", "0 0 1"]
    assert many.steps(iter(elements)) == [one.step(element) for element in elements]
    with pytest.raises(DataError):
        many.steps(["1 1 1", "bad", "2 2 2"])
    assert many.position == 4
    with pytest.raises(DataError, match="sequence of elements"):
        many.steps(7)


def test_snapshot_with_an_adapter(small):
    session = small.stream(adapter=Texts())
    session.step("1 2 3")
    other = small.stream(session.snapshot(), Texts())
    assert other.step("4 5 6") == session.step("4 5 6")
    session.reset()
    assert session.snapshot() == small.stream(adapter=Texts()).snapshot()


def test_snapshot_and_adapter_go_together(small):
    with_one, without = small.stream(adapter=Texts()).snapshot(), small.stream().snapshot()
    with pytest.raises(StateError, match="taken with an adapter"):
        small.stream(with_one)
    with pytest.raises(StateError, match="taken without an adapter"):
        small.stream(without, Texts())


def test_an_adapter_that_cannot_use_a_snapshot_changes_nothing(small):
    class Picky(Texts):
        def restore(self, state):
            self.memory = copy.deepcopy(state)
            self.memory["last"] = [float(value) for value in state["last"]]
            if state["seen"] == 1:
                raise KeyError("seen")

    session = small.stream(adapter=Texts())
    session.step("1 2 3")
    picky = small.stream(adapter=Picky())
    before = picky.snapshot()
    with pytest.raises(StateError, match="adapter cannot use"):
        picky.restore(session.snapshot())
    assert picky.snapshot() == before
