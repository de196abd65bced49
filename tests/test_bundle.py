import json
import os
import pickle
import stat
import struct
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load as from_safetensors
from safetensors.numpy import save as to_safetensors

from hiddenstate import bundle
from hiddenstate.bundle import Bundle
from hiddenstate.errors import BundleError
from random_models import CHARACTERS, SMALL, bundle_of, specs, weights

PARTS = {
    "codec": {"x": {"kind": "numbers", "mean": [0.1, -1e-300, 3.0]}, "words": ["é", "\u2028", "a\x00b"]},
    "task": {"name": "forecast", "horizon": 12, "quantiles": [0.1, 0.5]},
    "card": {"seed": 0, "metrics": {"rmse": 1.25}},
}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    bundle.save(path, bundle_of(SMALL, **PARTS))
    return path


def assert_equal(ours, theirs):
    assert ours.spec == theirs.spec
    assert {name: (a.shape, a.tobytes()) for name, a in ours.params.items()} == {
        name: (a.shape, a.tobytes()) for name, a in theirs.params.items()
    }
    assert (ours.codec, ours.task, ours.card, ours.id) == (theirs.codec, theirs.task, theirs.card, theirs.id)


@given(specs(bidirectional=True), st.integers(0, 99))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_round_trip(tmp_path, spec, seed):
    model = bundle_of(spec, seed, **PARTS)
    bundle.save(tmp_path / "m", model)
    assert_equal(bundle.load(tmp_path / "m"), model)


def test_two_saves_are_the_same_file(saved, tmp_path):
    code = "import sys; from hiddenstate import bundle; bundle.save(sys.argv[2], bundle.load(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, saved, tmp_path / "again"], check=True)
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()


def test_other_tools_can_read_the_weights(saved):
    found = from_safetensors(saved.read_bytes())
    assert {name: a.tobytes() for name, a in found.items()} == {
        name: a.tobytes() for name, a in weights(SMALL).items()
    }


def test_id_follows_what_decides_an_answer():
    base = bundle_of(SMALL, **PARTS)
    assert bundle_of(SMALL, **PARTS).id == base.id
    assert bundle_of(SMALL, **PARTS | {"card": {"note": "renamed"}}).id == base.id
    assert bundle_of(SMALL, 1, **PARTS).id != base.id
    assert bundle_of(SMALL, **PARTS | {"codec": {}}).id != base.id
    assert len(base.id) == 64


def test_id_is_the_same_before_and_after_the_file(tmp_path):
    model = bundle_of(SMALL, codec={2: (1, 2), 10: np.float32(0.1)})
    bundle.save(tmp_path / "m", model)
    assert bundle.load(tmp_path / "m").id == model.id


def test_numpy_numbers_are_written(tmp_path):
    card = {"rows": np.int64(3), "rmse": np.float32(0.5)}
    bundle.save(tmp_path / "m", bundle_of(SMALL, card=card))
    assert bundle.load(tmp_path / "m").card == {"rows": 3, "rmse": 0.5}


# Saving


REFUSED_PARTS = {
    "NaN": {"a": float("nan")},
    "infinity": {"a": [float("inf")]},
    "numpy NaN": {"a": np.float32("nan")},
    "array": {"a": np.zeros(2)},
    "object": {"a": object()},
    "loop": {},
    "date": {"a": np.datetime64("2020-01-01")},
}
REFUSED_PARTS["loop"]["a"] = REFUSED_PARTS["loop"]


@pytest.mark.parametrize("case", REFUSED_PARTS)
def test_a_part_that_is_not_json_is_refused_before_writing(case, saved):
    before = saved.read_bytes()
    with pytest.raises(BundleError, match="JSON"):
        bundle.save(saved, bundle_of(SMALL, card=REFUSED_PARTS[case]))
    assert saved.read_bytes() == before


def changed(name, value):
    return Bundle(SMALL, weights(SMALL) | {name: value})


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (changed("head.bias", np.zeros(3, np.float32)), r"head.bias.*\[2\].*\[3\]"),
        (changed("head.bias", np.zeros(2)), "float32.*float64"),
        (changed("head.bias", np.array([1, np.nan], np.float32)), "head.bias.*NaN.*diverged"),
        (changed("head.extra", np.zeros(3, np.float32)), r"unknown \['head.extra'\]"),
        (Bundle(SMALL, {}), "missing"),
    ],
)
def test_weights_that_do_not_fit_are_refused(saved, model, message):
    before = saved.read_bytes()
    with pytest.raises(BundleError, match=message):
        bundle.save(saved, model)
    assert saved.read_bytes() == before


def test_unwritable_places(tmp_path, saved):
    model = bundle_of(SMALL)
    places = [tmp_path, tmp_path / "no" / "m", saved / "m", tmp_path / ("x" * 300), "a\0b", "/dev/full"]
    for place in places:
        with pytest.raises(BundleError, match="cannot write"):
            bundle.save(place, model)
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)
    assert os.listdir(tmp_path) == [saved.name]


FULL_DISK = """
import resource, signal, sys
from hiddenstate import bundle
from hiddenstate.errors import BundleError
model = bundle.load(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))
try:
    bundle.save(sys.argv[1], model)
except BundleError as error:
    print(error)
"""


def test_full_disk_keeps_the_old_file(saved):
    before = saved.read_bytes()
    assert len(before) > 512
    ran = subprocess.run([sys.executable, "-c", FULL_DISK, saved], check=True, capture_output=True, text=True)
    assert "cannot write the file" in ran.stdout
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]


# Loading


def refused(path, data, match):
    path.write_bytes(data)
    with pytest.raises(BundleError, match=match) as caught:
        bundle.load(path)
    assert str(path) in str(caught.value)


def test_places_without_a_bundle(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place, message in [
        (tmp_path, "a folder"),
        (tmp_path / "pipe", "a folder or a device"),
        (tmp_path / "none", "No such file"),
        ("a\0b", "null"),
    ]:
        with pytest.raises(BundleError, match=message):
            bundle.load(place)


def test_files_that_are_no_bundles(tmp_path):
    path = tmp_path / "m"
    refused(path, b"", "empty")
    refused(path, b"time,value\n1,2\n", "not a whole safetensors file")
    refused(path, struct.pack("<Q", 1 << 60) + b"{}", "not a whole safetensors file")
    refused(path, to_safetensors(weights(SMALL)), "without a model description")
    refused(path, to_safetensors(weights(SMALL), metadata={"format": "pt"}), "without a model description")


def rewritten(path, change, tensors=None):
    """The bytes of a bundle whose description went through ``change``, with a right or a stale checksum."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    head = json.loads(data[8 : 8 + size])
    text = change(json.loads(head["__metadata__"]["hiddenstate"]))
    text = text if isinstance(text, str) else json.dumps(text)
    tensors = from_safetensors(data) if tensors is None else tensors
    return to_safetensors(tensors, metadata={"hiddenstate": text})


def test_newer_version_says_which_one_to_install(saved):
    newer = rewritten(saved, lambda head: {"format": 2, "written_by": "0.9.1", "content": "unknown to us"})
    refused(saved, newer, r"newer version.*format 1.*format 2.*pip install --upgrade 'hiddenstate>=0.9.1'")


def test_a_hostile_version_is_not_repeated(saved):
    newer = rewritten(saved, lambda head: {"format": 2, "written_by": "0'; rm -rf /; '"})
    refused(saved, newer, r"pip install --upgrade 'hiddenstate'")


DESCRIPTIONS = {
    "not JSON": "{",
    "a list": "[]",
    "a number": "3",
    "nothing": "{}",
    "deep": "[" * 100_000,
    "version 0": {"format": 0},
    "version true": {"format": True},
    "version text": {"format": "1"},
    "no parts": {"format": 1, "sha256": ""},
}


@pytest.mark.parametrize("case", DESCRIPTIONS)
def test_damaged_descriptions(case, saved):
    refused(saved, rewritten(saved, lambda head: DESCRIPTIONS[case]), "description is damaged")


@pytest.mark.parametrize("part", ["spec", "codec", "task", "card"])
def test_damaged_parts(part, saved):
    original = saved.read_bytes()
    for junk in (None, [], "x", 1, {"a": 1}, {"inputs": [], "blocks": []}):
        data = rewritten(saved, lambda head, junk=junk: head | {part: junk})
        saved.write_bytes(data)
        with pytest.raises(BundleError):
            bundle.load(saved)
        saved.write_bytes(original)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_json(number, saved):
    change = rewritten(saved, lambda head: json.dumps(head).replace("1.25", number))
    refused(saved, change, "description is damaged")


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"head.bias": np.zeros(2)}, r"head.bias.*float32 \[2\].*F64 \[2\]"),
        ({"head.bias": np.zeros((2, 1), np.float32)}, r"\[2, 1\]"),
        ({"more": np.zeros(1, np.float32)}, r"unknown \['more'\]"),
        ({"head.bias": np.array([0, np.inf], np.float32)}, "NaN or infinity.*damaged"),
        ({"head.bias": np.ones(2, np.float32)}, "checksum"),
    ],
)
def test_other_weights(saved, tensors, message):
    refused(saved, rewritten(saved, lambda head: head, weights(SMALL) | tensors), message)


def test_a_huge_spec_takes_no_memory(saved):
    def grow(head):
        head["spec"]["blocks"][0]["hidden_size"] = 1 << 24
        return head

    data = rewritten(saved, grow)
    tracemalloc.start()
    try:
        refused(saved, data, r"does not fit the spec .*(50331648|16777216)")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_every_truncation_is_refused(saved):
    data = saved.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    ends = {*range(0, 40), *range(8 + size - 20, 8 + size + 20), *range(0, len(data), 37), len(data) - 1}
    for end in sorted(ends):
        saved.write_bytes(data[:end])
        with pytest.raises(BundleError):
            bundle.load(saved)
    saved.write_bytes(data + b"\0")
    with pytest.raises(BundleError):
        bundle.load(saved)


def test_every_flipped_byte_of_the_head_is_refused_or_harmless(tmp_path):
    path, model = tmp_path / "flipped", bundle_of(CHARACTERS, **PARTS)
    bundle.save(path, model)
    whole = path.read_bytes()
    for position in range(8 + int.from_bytes(whole[:8], "little")):
        flipped = bytearray(whole)
        flipped[position] ^= 1
        path.write_bytes(flipped)
        try:
            found = bundle.load(path)
        except BundleError:
            continue
        assert_equal(found, model)


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
def test_a_flipped_byte_is_refused_or_harmless(tmp_path, data):
    path = tmp_path / "flipped"
    model = bundle_of(CHARACTERS, **PARTS)
    bundle.save(path, model)
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)
    try:
        found = bundle.load(path)
    except BundleError:
        return
    assert_equal(found, model)


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_refused(tmp_path, data):
    path = tmp_path / "m"
    path.write_bytes(data)
    with pytest.raises(BundleError):
        bundle.load(path)


def test_no_pickle_is_opened(tmp_path):
    class Evil:
        def __reduce__(self):
            return print, ("opened",)

    path = tmp_path / "m.safetensors"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(BundleError):
        bundle.load(path)
