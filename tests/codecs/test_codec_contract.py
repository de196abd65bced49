"""What every codec promises: fitted codecs are plain data, and a stream gives the bits of a batch."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hiddenstate import codecs
from hiddenstate.errors import HiddenStateError, NotFittedError, SpecError

AMOUNTS = st.floats(0, 1e12) | st.just(np.nan)
NUMBERS = st.floats(-1e100, 1e100, allow_subnormal=False) | st.just(np.nan)
WORDS = st.text(st.characters(codec="utf-8"), max_size=5)
STAMPS = st.datetimes().map(lambda stamp: np.datetime64(stamp, "us"))


def some(values, least=1):
    return st.lists(values, min_size=least, max_size=20)


def present(values):
    return [value for value in values if value == value]


def column(kind, how):
    """Strategies for what a codec learns from and what it then meets, and the codec itself."""
    values = AMOUNTS if how == "log" else NUMBERS
    return {
        "numbers": (some(values).filter(present), values, lambda: codecs.Numbers(how)),
        "categories": (some(WORDS).filter(any), WORDS | st.integers() | st.none(), codecs.Categories),
        "calendar": (some(STAMPS), STAMPS, lambda: codecs.Calendar(tuple(codecs.calendar.FIELDS))),
        "characters": (some(WORDS).filter(any), st.characters(codec="utf-8"), codecs.Characters),
        "forward_fill": (
            some(NUMBERS).filter(present).map(lambda x: np.array(x)[:, None]),
            NUMBERS,
            codecs.ForwardFill,
        ),
    }[kind]


CASES = [
    *(("numbers", how) for how in ("standard", "robust", "minmax", "log", "none")),
    *((kind, None) for kind in ("categories", "calendar", "characters", "forward_fill")),
]


@pytest.mark.parametrize(("kind", "how"), CASES)
@settings(deadline=None, max_examples=60)
@given(draws=st.data())
def test_a_stream_gives_the_bits_of_a_batch_and_json_keeps_them(kind, how, draws):
    training, value, make = column(kind, how)
    codec = make().fit(draws.draw(training))
    values = draws.draw(some(value))
    if kind == "forward_fill":
        values = [[one] for one in values]
    if kind in ("calendar", "forward_fill"):
        values = np.array(values)
    batch = np.asarray(codec.encode("".join(values) if kind == "characters" else values))
    again = codecs.from_json(json.loads(json.dumps(codec.to_json(), allow_nan=False)))
    assert again.to_json() == codec.to_json()
    assert again.size == codec.size
    last = None
    for i, one in enumerate(values):
        streamed = again.encode_one(one, last) if kind == "forward_fill" else again.encode_one(one)
        last = streamed
        assert np.asarray(streamed, batch.dtype).tobytes() == batch[i].tobytes()
    decoded = codec.decode(batch)
    for i, one in enumerate(batch):
        found = again.decode_one(one)
        if kind == "calendar":
            assert found == {name: field[i] for name, field in decoded.items()}
        else:
            np.testing.assert_array_equal(found, decoded[i])


@pytest.mark.parametrize("codec", [kind() for kind in codecs.KINDS.values()], ids=list(codecs.KINDS))
def test_nothing_works_before_fit(codec):
    uses = [codec.to_json, lambda: codec.encode_one("1"), lambda: codec.decode_one(0), lambda: codec.size]
    for use in uses[:3] if codec.kind == "numbers" else uses:  # the size of numbers is always one
        with pytest.raises(NotFittedError, match=r"Call fit first"):
            use()


def fitted():
    yield codecs.Numbers(per_series=True).fit([1.0, 2.0], ids=["a", "b"])
    yield codecs.Categories().fit(["a", "b"])
    yield codecs.Calendar(("month",)).fit(np.array(["2024-01-01"], "datetime64[us]"))
    yield codecs.Characters().fit("ab")
    yield codecs.Words().fit("a b")
    yield codecs.ForwardFill().fit(np.ones((1, 2)))


JUNK = [
    *(None, True, -1, 1.5, float("nan"), float("inf"), 10**400, "x"),
    *(
        [],
        {},
        [1],
        ["a", "a"],
        [None],
        {"a": 1},
        {"a": [1, 0]},
        {"a": [1, -1]},
        {"a": [10**400, 1]},
        [10**400, 1],
    ),
    *([float("nan"), 1.0], [0, float("inf")], [True, 1]),
]


@pytest.mark.parametrize("codec", list(fitted()), ids=lambda codec: codec.kind)
def test_hostile_json_is_refused_with_a_reason(codec):
    good = codec.to_json()
    for name in good:
        for junk in [*JUNK, "missing"]:
            bad = dict(good) | {name: junk}
            if junk == "missing":
                del bad[name]
            found = read(bad)
            if isinstance(found, SpecError):
                assert "codec" in str(found)
            else:  # junk that is as good as what stood there
                assert type(junk) is type(good[name]) or junk in ([], [1])
                assert codecs.from_json(found.to_json()).to_json() == found.to_json()
                json.dumps(found.to_json(), allow_nan=False)


def read(plain):
    try:
        return codecs.from_json(plain)
    except SpecError as error:
        return error


@pytest.mark.parametrize(
    "junk", [None, 3, "numbers", [], {}, {"kind": None}, {"kind": "pickle"}, {"kind": ["numbers"]}]
)
def test_unknown_kinds_are_refused(junk):
    with pytest.raises(SpecError, match="a codec of unknown kind"):
        codecs.from_json(junk)


def test_errors_are_those_of_the_project():
    for use in (
        lambda: codecs.Numbers("cubic"),
        lambda: codecs.Categories(unknown="guess"),
        lambda: codecs.Calendar(("moon",)),
        lambda: codecs.Words(split="syllables"),
        lambda: codecs.Words(max_size=0),
        lambda: codecs.Numbers().fit([np.nan]),
        lambda: codecs.Numbers().fit([]),
        lambda: codecs.Numbers().fit(["a"]),
        lambda: codecs.Numbers().fit([1e308, -1e308]),
        lambda: codecs.Numbers().fit([1, np.inf]),
        lambda: codecs.Numbers("log").fit([-1.0]),
        lambda: codecs.Numbers(per_series=True).fit([1.0]),
        lambda: codecs.Numbers().fit([1.0]).encode_one("x"),
        lambda: codecs.Numbers().fit([1.0]).encode_one(np.inf),
        lambda: codecs.Numbers("log").fit([1.0]).encode_one(-1),
        lambda: codecs.Categories().fit([None, ""]),
        lambda: codecs.Categories().fit(["a"]).decode_one(2),
        lambda: codecs.Categories(unknown="error").fit(["a"]).encode_one("b"),
        lambda: codecs.Calendar(("month",)).encode(np.array([1, 2])),
        lambda: codecs.Calendar(("month",)).encode_one("soon"),
        lambda: codecs.Characters().fit(""),
        lambda: codecs.Characters().fit("a").decode([2]),
        lambda: codecs.Characters().fit("a").decode([-1]),
        lambda: codecs.Words().fit(["  ", ""]),
        lambda: codecs.ForwardFill().fit(np.full((2, 1), np.nan)),
        lambda: codecs.ForwardFill().fit(np.ones(2)),
        lambda: codecs.ForwardFill().fit(np.ones((2, 1))).encode(np.ones((2, 2))),
    ):
        with pytest.raises(HiddenStateError):
            use()
