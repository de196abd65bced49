"""A training on disk, from which it goes on as if it had never stopped."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from hiddenstate.errors import BundleError, HiddenStateError
from hiddenstate.files import write_atomic
from hiddenstate.native import isa
from hiddenstate.version import __version__

from .callbacks import Callback

if TYPE_CHECKING:
    from .run import Run

FORMAT = 1
SLOTS = ("a.safetensors", "b.safetensors")
"""Two files, written in turn: while one is written the other is whole, whatever happens to the first."""

_KEY = "hiddenstate-checkpoint"
_FREE = ("patience", "max_seconds", "restore_best")
"""Settings that only say when to stop and what to return: they may change between two parts of a run."""


class Checkpoint(Callback):
    """Saves the training to a folder as it goes, and resumes it from there.

    Killed at any moment and started again with the same arguments, a training on a CPU ends with the same
    bits as one left alone: weights, optimiser, schedule, data order, random state, carried states, early
    stopping and history (but for the seconds in it). This holds for one machine, torch version and number of
    torch threads; where one of them changed, there is a warning and the rest of the run is as good, but may
    differ in last bits.

    ``epochs`` (unless the schedule is "cosine"), ``patience``, ``max_seconds`` and ``restore_best`` may
    change on resuming, so a finished training can be prolonged. Anything else that changed is refused.

    A save also happens when training ends or is interrupted. Files: safetensors with JSON, never pickle.

    Args:
        path: folder, used by one training at a time; made when it does not exist.
        every_s: seconds between two saves.
        every_updates: also save after this many updates; None: by the clock only.
        settings: JSON-able facts that must be the same on resuming, beside job, module and config.

    Example:
        >>> fit(module, job, config, checkpoint=Checkpoint("run", every_s=300))  # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        every_s: float = 60.0,
        every_updates: int | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = Path(path)
        self.every_s = every_s
        self.every_updates = every_updates
        self.settings = dict(settings or {})
        self._lock: IO | None = None
        self._saves = 0
        self._slot = SLOTS[0]
        self._last_s = 0.0
        self._last_updates = 0

    def start(self, run: Run) -> None:
        """Take the folder, and go on from the newest save in it.

        Raises:
            BundleError: when it is in use, damaged, or of another training.
        """
        self._lock = _take(self.path)
        for left in self.path.glob(".*.partial"):
            left.unlink(missing_ok=True)
        self._saves, self._slot = 0, SLOTS[0]
        if (newest := _newest(self.path)) is not None:
            self._resume(run, *newest)
        self._mark(run)

    def _resume(self, run: Run, file: Path, facts: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        try:
            _require_same(facts["identity"], self._identity(run), file)
            _warn_if_moved(facts["environment"], _environment())
            run.load(facts["run"], tensors)
            self._saves = facts["saves"]
        except BundleError:
            raise
        except (HiddenStateError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise BundleError("the checkpoint does not hold together", where=file, got=repr(error)) from error
        self._slot = SLOTS[1 - SLOTS.index(file.name)]

    def update(self, run: Run) -> None:
        """Save when it is time."""
        often = self.every_updates is not None and run.updates - self._last_updates >= self.every_updates
        if often or time.monotonic() - self._last_s >= self.every_s:
            self.save(run)

    def stop(self, run: Run) -> None:
        """Save the end of the training, unless an error ended it, and let go of the folder."""
        if self._lock is None:
            return
        try:
            if run.stopped is not None:
                self.save(run)
        finally:
            self._lock.close()
            self._lock = None

    def save(self, run: Run) -> None:
        """Write the training to the older of the two files."""
        facts, tensors = run.dump()
        self._saves += 1
        head = {
            "format": FORMAT,
            "saves": self._saves,
            "identity": self._identity(run),
            "environment": _environment(),
            "run": facts,
        }
        # clones: weights that share memory (tied ones) cannot be stored as they are
        plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        text = json.dumps(head)
        write_atomic(
            self.path / self._slot, to_safetensors(plain, {_KEY: text, "sha256": _digest(text, plain)})
        )
        self._slot = SLOTS[1 - SLOTS.index(self._slot)]
        self._mark(run)

    def _identity(self, run: Run) -> dict[str, Any]:
        """What must be the same when the training goes on."""
        free = _FREE if run.config.schedule == "cosine" else (*_FREE, "epochs")
        spec: Any = getattr(run.module, "spec", None)
        facts = {
            "module": {
                "weights": {name: str(tuple(value.shape)) for name, value in run.module.state_dict().items()},
                "spec": spec.to_json() if spec is not None else None,
            },
            "job": dict(run.job.identity),
            "settings": self.settings,
            "config": {key: value for key, value in run.config.to_json().items() if key not in free},
        }
        return json.loads(json.dumps(facts))

    def _mark(self, run: Run) -> None:
        self._last_s, self._last_updates = time.monotonic(), run.updates


def _take(folder: Path) -> IO:
    """An open lock file; the system lets go of it when the process ends, however it ends."""
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(open(folder / "lock", "w"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BundleError(
                "the checkpoint is in use by another training",
                where=folder,
                fix="Wait for it, or give each training a folder of its own",
            ) from None
        except OSError as error:
            raise BundleError(
                "cannot use the checkpoint folder",
                where=folder,
                got=error.strerror,
                fix="Give a folder to write to",
            ) from error
        stack.pop_all()
    return lock


def _newest(folder: Path) -> tuple[Path, dict[str, Any], dict[str, Tensor]] | None:
    """The newest whole save; None in a folder without any.

    Raises:
        BundleError: when there are saves, but none is whole.
    """
    whole, damaged = [], []
    for file in (folder / slot for slot in SLOTS):
        if file.exists():
            try:
                whole.append((file, *_read(file)))
            except BundleError as error:
                damaged.append(error)
    if not whole and damaged:
        damaged[0].fix = "Delete the folder to train from the beginning"
        raise damaged[0]
    for error in damaged:
        warnings.warn(f"{error}. Going on from the save before it", stacklevel=2)
    return max(whole, key=lambda save: save[1]["saves"], default=None)


def _read(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Facts and tensors of one save.

    Raises:
        BundleError: when it is not whole, or of another format.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name).clone() for name in opened.keys()}
    except (SafetensorError, OSError) as error:
        raise BundleError("the checkpoint is damaged", where=file, got=str(error)) from error
    text = metadata.get(_KEY)
    if text is None or metadata.get("sha256") != _digest(text, tensors):
        raise BundleError(
            "the checkpoint is damaged", where=file, got="content that does not match its checksum"
        )
    facts = json.loads(text)
    if facts.get("format") != FORMAT:
        raise BundleError(
            "the checkpoint has another format", where=file, expected=FORMAT, got=facts.get("format")
        )
    return facts, tensors


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    total = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        value = tensors[name]
        total.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        total.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def _require_same(saved: dict[str, Any], present: dict[str, Any], file: Path) -> None:
    for part in present:
        for key in sorted({*saved[part], *present[part]}):
            before, now = saved[part].get(key), present[part].get(key)
            if before != now:
                raise BundleError(
                    f"the checkpoint is of a training with another {part}",
                    where=f"{file.parent}, {part}.{key}",
                    expected=_short(before),
                    got=_short(now),
                    fix="Train with the same settings and data, give another folder, or delete this one",
                )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else text[:97] + "..."


def _environment() -> dict[str, Any]:

    return {
        "hiddenstate": __version__,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "isa": isa(),
    }


def _warn_if_moved(saved: dict[str, Any], present: dict[str, Any]) -> None:
    changed = [f"{key} {saved.get(key)} -> {now}" for key, now in present.items() if saved.get(key) != now]
    if changed:
        warnings.warn(
            f"training goes on under other conditions ({', '.join(changed)}): its last bits may differ from "
            "those of an undisturbed run",
            stacklevel=2,
        )
