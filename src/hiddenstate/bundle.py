"""A trained model on disk: one ``.safetensors`` file that carries everything needed to use it.

The tensors are the weights, named as in ``spec.param_shapes()``. The header's metadata holds one JSON object
under the key ``hiddenstate``: format version, spec, codec, task settings, card and a checksum of all of it.
Nothing is ever unpickled or executed. Any safetensors reader can look at the weights.

Example:
    >>> import numpy as np, tempfile, pathlib
    >>> from hiddenstate.spec import Input, Linear, ModelSpec
    >>> spec = ModelSpec((Input("x", size=2),), (Linear("head", source="x", size=1, bias=False),))
    >>> model = Bundle(spec, {"head.weight": np.ones((1, 2), np.float32)}, card={"rmse": 0.5})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(pathlib.Path(folder) / "m.safetensors", model)
    ...     load(pathlib.Path(folder) / "m.safetensors").card
    {'rmse': 0.5}
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_safetensors

from .errors import BundleError, HiddenStateError
from .files import write_atomic
from .spec import ModelSpec
from .version import __version__

FORMAT = 1
"""Version of the file format that this version of hiddenstate writes, and the newest that it reads."""

_KEY = "hiddenstate"
_PARTS = ("spec", "codec", "task", "card")
_NOT_OURS = "Bundles are written by 'hiddenstate fit' and by the save method of an estimator"
_DAMAGED = "The file is damaged: copy or train it again"


@dataclass(frozen=True, eq=False)
class Bundle:
    """A trained model: what is computed, the weights, and how raw data is turned into its inputs and back.

    Args:
        spec: the model.
        params: weights by full name, float32, shapes as in ``spec.param_shapes()``.
        codec: JSON-able description of the codecs (empty when the model is fed arrays).
        task: JSON-able ``{"name": "forecast", ...settings}``; empty for a bare model.
        card: JSON-able facts for the reader: data, seed, metrics, training time, versions.
    """

    spec: ModelSpec
    params: Mapping[str, np.ndarray]
    codec: Mapping[str, Any] = field(default_factory=dict)
    task: Mapping[str, Any] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def id(self) -> str:
        """Hash of what decides an answer (spec, codec, weights): snapshots of sessions are bound to it."""
        return _checksum(_canonical({"spec": self.spec.to_json(), "codec": self.codec}), self.params)


def save(path: str | os.PathLike, bundle: Bundle) -> None:
    """Writes a bundle; whatever goes wrong, a file that was there before stays whole.

    Raises:
        BundleError: when the weights do not fit the spec or are not finite, a part cannot be written as JSON,
            or the file cannot be written (no such folder, no permission, disk full).
    """
    where = os.fspath(path)
    _check_params(bundle.spec, {name: (a.dtype.name, a.shape) for name, a in bundle.params.items()}, where)
    _check_finite(bundle.params, where, fix="Training diverged: lower the learning rate or clip gradients")
    parts = {"spec": bundle.spec.to_json(), "codec": bundle.codec, "task": bundle.task, "card": bundle.card}
    try:
        checksum = _checksum(_canonical(parts), bundle.params)
        text = _canonical({"format": FORMAT, "written_by": __version__, "sha256": checksum} | parts).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BundleError(
            "part of the model cannot be written as JSON", where=where, got=str(error)
        ) from error
    tensors = {name: np.ascontiguousarray(value, dtype="<f4") for name, value in bundle.params.items()}
    write_atomic(where, to_safetensors(tensors, metadata={_KEY: text}))


def load(path: str | os.PathLike) -> Bundle:
    """Reads a bundle. Names, sizes and types are checked before any weight is read into memory.

    Raises:
        BundleError: when the file is missing, unreadable, damaged, not a bundle, or of a newer version.
    """
    where = os.fspath(path)
    _check_file(where)
    try:
        with safe_open(where, framework="numpy") as file:
            head = _parse_head((file.metadata() or {}).get(_KEY), where)
            spec = _parse_spec(head["spec"], where)
            slices = {name: file.get_slice(name) for name in file.keys()}
            found = {name: (_dtype(part), tuple(part.get_shape())) for name, part in slices.items()}
            _check_params(spec, found, where)
            params = {name: file.get_tensor(name) for name in spec.param_shapes()}
    except SafetensorError as error:
        raise BundleError(
            "not a whole safetensors file", where=where, got=str(error), fix=_DAMAGED
        ) from error
    except OSError as error:
        raise BundleError("cannot read the file", where=where, got=_reason(error)) from error
    _check_finite(params, where, fix=_DAMAGED)
    if head.get("sha256") != _checksum(_canonical({part: head[part] for part in _PARTS}), params):
        raise BundleError("content does not match its checksum", where=where, fix=_DAMAGED)
    return Bundle(spec, params, codec=head["codec"], task=head["task"], card=head["card"])


def _check_file(where: str) -> None:
    """Refuses what could not be opened, with a better reason than the reader's."""
    try:
        info = os.stat(where)
        with open(where, "rb") if stat.S_ISREG(info.st_mode) else contextlib.nullcontext():
            pass
    except (OSError, ValueError) as error:
        raise BundleError("cannot read the file", where=where, got=_reason(error)) from error
    if not stat.S_ISREG(info.st_mode):
        raise BundleError("not a model file", where=where, expected="a file", got="a folder or a device")
    if info.st_size == 0:
        raise BundleError("the file is empty", where=where, fix=_DAMAGED)


def _parse_head(text: str | None, where: str) -> dict[str, Any]:
    """The JSON object of the header, with its version and the types of its parts checked."""
    if text is None:
        raise BundleError("weights without a model description", where=where, fix=_NOT_OURS)
    try:
        head = json.loads(text)
        version = head["format"]
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise ValueError(f"format {version!r}")
        if version > FORMAT:
            raise _newer(head, where)
        if not all(isinstance(head[part], dict) for part in _PARTS):
            raise ValueError("a part is not an object")
        _canonical(head)  # refuses NaN and infinity
    except BundleError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(
            "the model description is damaged", where=where, got=repr(error), fix=_DAMAGED
        ) from error
    return head


def _newer(head: dict[str, Any], where: str) -> BundleError:
    writer = str(head.get("written_by"))
    need = f">={writer}" if re.fullmatch(r"\d+(\.\d+){1,3}", writer) else ""
    return BundleError(
        "written by a newer version of hiddenstate",
        where=where,
        expected=f"format {FORMAT} or older",
        got=f"format {head['format']}",
        fix=f"Install a version that reads it: pip install --upgrade 'hiddenstate{need}'",
    )


def _dtype(part: Any) -> str:
    return "float32" if part.get_dtype() == "F32" else str(part.get_dtype())


def _parse_spec(data: dict[str, Any], where: str) -> ModelSpec:
    try:
        return ModelSpec.from_json(data)
    except HiddenStateError as error:
        raise BundleError(f"the model description does not hold together: {error}", where=where) from error


def _check_params(spec: ModelSpec, found: Mapping[str, tuple[str, tuple[int, ...]]], where: str) -> None:
    """Compares names, dtypes and shapes with what the spec asks for."""
    wanted = spec.param_shapes()
    if set(wanted) != set(found):
        missing, extra = sorted(set(wanted) - set(found))[:5], sorted(set(found) - set(wanted))[:5]
        raise BundleError(
            "weights do not belong to the spec", where=where, got=f"missing {missing}, unknown {extra}"
        )
    for name, (dtype, shape) in found.items():
        if dtype != "float32" or shape != wanted[name]:
            raise BundleError(
                f"weight {name!r} does not fit the spec",
                where=where,
                expected=f"float32 {list(wanted[name])}",
                got=f"{dtype} {list(shape)}",
            )


def _check_finite(params: Mapping[str, np.ndarray], where: str, *, fix: str) -> None:
    for name, value in params.items():
        if not np.isfinite(value).all():
            raise BundleError(f"weight {name!r} holds NaN or infinity", where=where, fix=fix)


def _canonical(value: Any) -> bytes:
    """One text for equal data, before and after a file. NaN and infinity are not JSON and are refused."""
    plain = json.loads(json.dumps(value, allow_nan=False, default=_plain))
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    """Numpy numbers (a metric, a size) as Python numbers."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not JSON: {value!r}")


def _weights_digest(params: Mapping[str, np.ndarray]) -> bytes:
    digest = hashlib.sha256()
    for name in sorted(params):
        digest.update(f"{name} {params[name].shape}".encode())
        digest.update(np.ascontiguousarray(params[name], dtype="<f4").data)
    return digest.digest()


def _checksum(description: bytes, params: Mapping[str, np.ndarray]) -> str:
    return hashlib.sha256(description + _weights_digest(params)).hexdigest()


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
