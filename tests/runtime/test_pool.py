import numpy as np
import pytest

from hiddenstate.errors import DataError, StateError
from hiddenstate.runtime import Model
from random_models import CHARACTERS, SMALL, bundle_of
from text_adapter import Texts


@pytest.fixture(scope="module")
def model():
    return Model(bundle_of(SMALL))


def rows(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)


def test_join_pause_leave(model):
    pool, alone = model.streams(), model.stream()
    assert len(pool) == 0
    assert pool.step({}) == {}
    x = rows(4)
    first = pool.step({"a": x[0], 2: x[1]})
    assert list(first) == ["a", 2]
    assert first["a"].tobytes() == alone.step(x[0]).tobytes()
    pool.step({2: x[2], ("c", 3): x[3]})
    assert pool.step({"a": x[2]})["a"].tobytes() == alone.step(x[2]).tobytes()
    assert set(pool.ids) == {"a", 2, ("c", 3)}
    pool.remove("a")
    assert "a" not in pool
    assert len(pool) == 2
    fresh = model.stream().step(x[0])
    assert pool.step({"a": x[0]})["a"].tobytes() == fresh.tobytes()


def test_answers_come_in_the_order_asked_for(model):
    pool, x = model.streams(), rows(3)
    pool.step({"a": x[0], "b": x[1], "c": x[2]})
    answers = pool.step({"c": x[0], "a": x[1], "b": x[2]})
    assert list(answers) == ["c", "a", "b"]
    assert pool.ids == ["a", "b", "c"]


def test_thousands_join(model):
    """The arrays grow; nobody's state is lost."""
    pool, x = model.streams(), rows(1200)
    alone = {id: model.stream() for id in (0, 15, 16, 17, 500, 1199)}
    for start in range(0, 1200, 100):
        pool.step({id: x[id] for id in range(start, start + 100)})
        for id, session in alone.items():
            if start <= id < start + 100:
                session.step(x[id])
    answers = pool.step(dict(enumerate(x)))
    for id, session in alone.items():
        assert answers[id].tobytes() == session.step(x[id]).tobytes()
        assert pool.snapshot(id) == session.snapshot()


def test_a_refused_element_refuses_the_step(model):
    pool, x = model.streams(), rows(3)
    pool.step({"a": x[0], "b": x[1]})
    before = {id: pool.snapshot(id) for id in pool.ids}
    bad = np.array([1, np.nan, 1], np.float32)
    for elements, message in [
        ({"a": x[0], "b": bad}, "sequence 'b', step 1.*nan in feature 1"),
        ({"b": x[0][:2]}, "sequence 'b', step 1"),
        ({"a": x[0], "new": bad}, "sequence 'new', step 0"),
        ({"a": x[0], "new": None}, "sequence 'new', step 0"),
        ({"a": x[0], "b": x[1], "new": "x"}, "sequence 'new', step 0"),
    ]:
        with pytest.raises(DataError, match=message):
            pool.step(elements)
        assert {id: pool.snapshot(id) for id in pool.ids} == before


def test_array_form(model):
    pool, x = model.streams(), rows(5)
    for id in "abcde":
        pool.add(id)
    assert pool.step_array(x).shape == (5, 2)
    pool.remove("b")
    assert pool.ids == ["a", "e", "c", "d"]
    output = pool.step_array(x[:4].astype(np.float64))
    alone = model.stream()
    alone.step(x[4])
    assert output[1].tobytes() == alone.step(x[1]).tobytes()
    assert output.base is None


def test_array_form_checks_its_input(model):
    pool, x = model.streams(), rows(3)
    for id in "abc":
        pool.add(id)
    pool.step_array(x)
    before = [pool.snapshot(id) for id in "abc"]
    bad = x.copy()
    bad[1, 2] = np.inf
    for values, message in [
        (bad, "sequence 'b', step 1.*inf in feature 2"),
        (x[:2], "number of rows.*3.*2"),
        (x[:, :2], r"\[any, 3\]|'any', 3"),
        (x[0], "shape"),
        (None, "not numbers"),
    ]:
        with pytest.raises(DataError, match=message):
            pool.step_array(values)
    assert [pool.snapshot(id) for id in "abc"] == before
    empty = model.streams()
    assert empty.step_array(np.empty((0, 3))).shape == (0, 2)


def test_array_form_of_ids():
    model = Model(bundle_of(CHARACTERS))
    pool = model.streams()
    for id in range(3):
        pool.add(id)
    output = pool.step_array([3, 0, 6])
    for row, symbol in enumerate([3, 0, 6]):
        assert output[row].tobytes() == model.stream().step(symbol).tobytes()
    with pytest.raises(DataError, match=r"sequence 2, step 1.*7"):
        pool.step_array([0, 0, 7])


def test_add_restore_reset(model):
    session, x = model.stream(), rows(4)
    session.steps(x)
    pool = model.streams()
    pool.add("a", session.snapshot())
    pool.add("b")
    pool.restore("b", session.snapshot())
    assert pool.snapshot("a") == pool.snapshot("b") == session.snapshot()
    assert model.stream(pool.snapshot("a")).position == 4
    pool.reset("a")
    assert pool.snapshot("a") == model.stream().snapshot()
    with pytest.raises(StateError, match="is live"):
        pool.add("a")
    with pytest.raises(StateError):
        pool.add("c", b"junk")
    assert pool.ids == ["a", "b"]
    with pytest.raises(StateError):
        pool.restore("b", b"junk")
    assert pool.snapshot("b") == session.snapshot()


def test_state_of_one(model):
    pool, session, x = model.streams(), model.stream(), rows(3)
    pool.step({"a": x[0], "b": x[1]})
    session.step(x[1])
    state = pool.state("b")
    assert state["rnn"].h.tobytes() == session.state["rnn"].h.tobytes()
    state["rnn"].h[...] = 9
    assert pool.snapshot("b") == session.snapshot()


@pytest.mark.parametrize("verb", ["remove", "reset", "snapshot", "state"])
def test_unknown_ids(model, verb):
    with pytest.raises(StateError, match=r"no live sequence.*'ghost'"):
        getattr(model.streams(), verb)("ghost")
    with pytest.raises(StateError, match="no live sequence"):
        model.streams().restore("ghost", model.stream().snapshot())


def test_adapters_one_each(model):
    pool, alone = model.streams(adapter=Texts), {id: model.stream(adapter=Texts()) for id in "ab"}
    for elements in (
        {"a": "1 2 3"},
        {"a": "wait", "b": "4 5 6"},
        {"b": "1 1 1", "a": "0 0 0"},
        {"a": "wait"},
    ):
        answers = pool.step(elements)
        assert answers == {id: alone[id].step(element) for id, element in elements.items()}
    assert {id: pool.snapshot(id) for id in "ab"} == {id: alone[id].snapshot() for id in "ab"}
    pool.remove("a")
    assert pool.step({"b": "2 2 2"}) == {"b": alone["b"].step("2 2 2")}
    pool.reset("b")
    assert pool.snapshot("b") == model.stream(adapter=Texts()).snapshot()


def test_a_refused_element_leaves_no_trace_in_any_adapter(model):
    pool = model.streams(adapter=Texts)
    pool.step({"a": "1 2 3", "b": "4 5 6"})
    before = {id: pool.snapshot(id) for id in pool.ids}
    for elements in ({"a": "1 1 1", "b": "x"}, {"a": "1 1 1", "b": "nan 0 0"}, {"a": "2 2 2", "c": "1 2"}):
        with pytest.raises(DataError):
            pool.step(elements)
        assert {id: pool.snapshot(id) for id in pool.ids} == before


def test_a_pool_with_adapters_takes_no_arrays(model):
    with pytest.raises(StateError, match="Use step"):
        model.streams(adapter=Texts).step_array(rows(1))


def test_elements_come_by_id(model):
    with pytest.raises(DataError, match="by id"):
        model.streams().step([rows(1)[0]])


def test_an_adapter_that_cannot_be_made(model):
    calls = []

    def make():
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("no more")
        return Texts()

    pool = model.streams(adapter=make)
    with pytest.raises(RuntimeError):
        pool.step({"a": "1 2 3", "b": "1 2 3"})
    assert len(pool) == 0
    assert pool.step({"a": "1 2 3"}) == {"a": model.stream(adapter=Texts()).step("1 2 3")}


def test_parts_of_every_size(model):
    """More sizes of partial steps than are kept ready."""
    pool, x = model.streams(), rows(200)
    pool.step(dict(enumerate(x)))
    alone = model.stream()
    alone.step(x[0])
    for count in range(1, 200, 2):
        answers = pool.step({id: x[(id + count) % 200] for id in range(count)})
        assert answers[0].tobytes() == alone.step(x[count % 200]).tobytes()
