import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hiddenstate.errors import StateError
from hiddenstate.runtime import Model
from random_models import CHARACTERS, CLASSIFIER, SMALL, bundle_of
from text_adapter import Texts

MODEL = Model(bundle_of(SMALL))


def taken(model=MODEL, adapter=None):
    session = model.stream(adapter=adapter)
    session.steps(["1 2 3", "4 5 6"] if adapter else np.ones((5, 3)))
    return session.snapshot()


def sealed(blob):
    """The blob with a right checksum, as somebody who knows the format could make it."""
    return blob[:-16] + hashlib.blake2b(blob[:-16], digest_size=16).digest()


def test_small_and_as_documented():
    blob = taken()
    assert len(blob) == 34 + 4 * 4 + 16
    magic, version, owner, position, extra = struct.unpack_from("<4sH16sQI", blob)
    assert (magic, version, owner, position, extra) == (b"HSLS", 1, bytes.fromhex(MODEL.id)[:16], 5, 0)
    session = MODEL.stream(blob)
    assert np.frombuffer(blob, "<f4", 4, 34).tobytes() == session.state["rnn"].h.tobytes()


def test_a_snapshot_of_a_pooled_model_counts_exactly():
    model = Model(bundle_of(CLASSIFIER))
    blob = taken(model)
    assert len(blob) == 34 + 4 * 4 + (4 * 8 + 8) + 16
    assert model.stream(blob).state["pooled"].count.tolist() == [5]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_kind_of_bytes(kind):
    assert MODEL.stream(kind(taken())).snapshot() == taken()


def test_another_model_is_refused():
    for spec, seed in ((SMALL, 1), (CHARACTERS, 0)):
        with pytest.raises(StateError, match="snapshot of another model"):
            Model(bundle_of(spec, seed)).stream(taken())


def test_a_newer_version_is_named():
    blob = bytearray(taken())
    blob[4] = 2
    with pytest.raises(StateError, match=r"newer version.*expected 1, got 2"):
        MODEL.stream(sealed(bytes(blob)))


@pytest.mark.parametrize("blob", [None, "text", 3, b"", b"HSLS", b"HSLS" * 20, bytes(range(66))])
def test_what_is_no_snapshot(blob):
    session = MODEL.stream()
    before = session.snapshot()
    with pytest.raises(StateError):
        session.restore(blob)
    assert session.snapshot() == before


@pytest.mark.parametrize("adapter", [None, Texts()])
def test_every_truncation_and_every_flipped_bit(adapter):
    blob = taken(adapter=adapter)
    session = MODEL.stream(adapter=None if adapter is None else Texts())
    before = session.snapshot()
    damaged = [blob[:end] for end in range(len(blob))] + [blob + b"\0"]
    for place in range(len(blob)):
        for bit in (0, 3, 7):
            flipped = bytearray(blob)
            flipped[place] ^= 1 << bit
            damaged.append(bytes(flipped))
    for bad in damaged:
        with pytest.raises(StateError):
            session.restore(bad)
    assert session.snapshot() == before
    session.restore(blob)
    assert session.snapshot() == blob


@given(st.binary(max_size=150))
def test_any_content_with_a_right_checksum(tail):
    """Whoever forges the checksum gets an error or a state, never another exception."""
    head = struct.pack("<4sH16sQI", b"HSLS", 1, bytes.fromhex(MODEL.id)[:16], 1, max(0, len(tail) - 16))
    session = MODEL.stream(adapter=Texts())
    before = session.snapshot()
    with pytest.raises(StateError):
        session.restore(sealed(head + tail + bytes(16)))
    assert session.snapshot() == before


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["last", "seen", "x"]), inner),
    max_leaves=8,
)


@given(JSON)
def test_any_adapter_state(state):
    class Strange(Texts):
        def state(self):
            return {"strange": state}

    blob = MODEL.stream(adapter=Strange()).snapshot()
    with pytest.raises(StateError, match="adapter cannot use"):
        MODEL.stream(adapter=Texts()).restore(blob)


def test_an_adapter_state_that_is_not_json():
    class Strange(Texts):
        def state(self):
            return {"now": object()}

    with pytest.raises(StateError, match="not JSON"):
        MODEL.stream(adapter=Strange()).snapshot()
