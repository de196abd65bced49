"""A live sequence as bytes: the format of ``Session.snapshot`` and ``Pool.snapshot``.

::

    offset  size
    0       4     "HSLS"
    4       2     format version, little endian as all numbers here
    6       16    first half of the model's id (``Bundle.id``)
    22      8     position: elements taken so far
    30      4     size of the adapter's part
    34      n     state of the model: every block's record in the order of the spec, float32
                  (a mean pool: float64 sum; any pool: int64 count)
    34+n    m     state of the adapter, JSON (nothing when there is no adapter)
    34+n+m  16    BLAKE2b of everything before
"""

from __future__ import annotations

import hashlib
import json
import struct
from typing import Any, NamedTuple

from hiddenstate.errors import StateError

from .adapter import Adapter

VERSION = 1
_MAGIC = b"HSLS"
_HEAD = struct.Struct("<4sH16sQI")
_DIGEST_BYTES = 16
_DAMAGED = "Take the last whole snapshot, or start a new session"


class Snapshot(NamedTuple):
    """What a snapshot holds."""

    position: int
    state: bytes
    adapter: Any


def write(model_id: str, snapshot: Snapshot) -> bytes:
    """The bytes of a snapshot.

    Raises:
        StateError: when the adapter's state cannot be written as JSON.
    """
    try:
        extra = b"" if snapshot.adapter is None else json.dumps(snapshot.adapter).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise StateError("the adapter's state is not JSON", got=str(error)) from error
    head = _HEAD.pack(_MAGIC, VERSION, _short(model_id), snapshot.position, len(extra))
    body = head + snapshot.state + extra
    return body + _digest(body)


def read(model_id: str, state_bytes: int, blob: bytes) -> Snapshot:
    """The content of a snapshot, once it is known to be whole and of this model.

    Args:
        model_id: ``Bundle.id`` of the model that is to continue.
        state_bytes: size of that model's state.
        blob: what ``write`` gave.

    Raises:
        StateError: when it is damaged, of a newer version, or of another model.
    """
    if not isinstance(blob, (bytes, bytearray, memoryview)):
        raise StateError("not a snapshot", expected="bytes", got=type(blob).__name__)
    blob = bytes(blob)
    if len(blob) < _HEAD.size + _DIGEST_BYTES or not blob.startswith(_MAGIC):
        raise StateError("not a snapshot", got=f"{len(blob)} bytes", fix=_DAMAGED)
    _, version, owner, position, extra = _HEAD.unpack_from(blob)
    if version > VERSION:
        fix = "Restore it with the version that took it"
        raise StateError("snapshot of a newer version", expected=VERSION, got=version, fix=fix)
    if blob[-_DIGEST_BYTES:] != _digest(blob[:-_DIGEST_BYTES]):
        raise StateError("snapshot is damaged", got="a wrong checksum", fix=_DAMAGED)
    if owner != _short(model_id):
        fix = "Restore it with the model that took it: a state means nothing to another model"
        raise StateError("snapshot of another model", expected=model_id[:32], got=owner.hex(), fix=fix)
    if len(blob) != _HEAD.size + state_bytes + extra + _DIGEST_BYTES:
        raise StateError("snapshot has the wrong size", got=f"{len(blob)} bytes", fix=_DAMAGED)
    end = _HEAD.size + state_bytes
    return Snapshot(position, blob[_HEAD.size : end], _adapter(blob[end:-_DIGEST_BYTES]))


def restore_adapter(adapter: Adapter | None, state: Any) -> None:
    """Puts the adapter's part of a snapshot back, or leaves the adapter as it was.

    Raises:
        StateError: when only one of both is there, or the adapter cannot use it.
    """
    if adapter is None or state is None:
        if adapter is not None or state is not None:
            taken, now = ("without" if part is None else "with" for part in (state, adapter))
            fix = "Open the session in the same way (hs.load(path).stream, or runtime.Model for bare arrays)"
            raise StateError(f"snapshot taken {taken} an adapter, session {now} one", fix=fix)
        return
    before = adapter.state()
    try:
        adapter.restore(state)
    except Exception as error:
        adapter.restore(before)
        if isinstance(error, StateError):
            raise
        raise StateError("the adapter cannot use this snapshot", got=repr(error), fix=_DAMAGED) from error


def _adapter(text: bytes) -> Any:
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError) as error:
        raise StateError(
            "the adapter's part of the snapshot is damaged", got=str(error), fix=_DAMAGED
        ) from error


def _short(model_id: str) -> bytes:
    return bytes.fromhex(model_id)[:16]


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()
