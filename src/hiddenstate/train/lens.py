"""The lens while a network learns: how far back its loss reaches, and a word of warning when it does not."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from hiddenstate.errors import OptionError

from .callbacks import Callback
from .findings import findings
from .listen import Listener
from .reach import Look, look

if TYPE_CHECKING:
    from .run import Run

SHARE = 0.02
"""Share of the training time that looking may take when nobody says how often."""

PERSISTENT = 3
"""A finding is said aloud when this many looks in a row agree."""


def _timed(method: Callable) -> Callable:
    """Adds the time of a call to what the lens has spent."""

    @wraps(method)
    def measured(self: Lens, run: Run) -> None:
        began, looking = time.perf_counter(), self._listener.armed
        method(self, run)
        took_s = time.perf_counter() - began
        self._spent_s += took_s
        if looking:  # a look has two parts, after the backward pass and after the step
            self._last_s = took_s + (0.0 if method.__name__ == "gradients" else self._last_s)

    return measured


class Lens(Callback):
    """Watches the memory of the recurrent layers during training; changes no bit of it.

    Every now and then it looks at one update: how much of the loss's gradient arrives k steps back, how much
    of it is clipped, how far each gate's weights move, which units are dead or saturated. It warns (once for
    each kind) when memory is vanishing, exploding, saturated or truncated.

    Args:
        every: updates between two looks; None: as often as takes at most 2 % of the time, measured as it
            goes, but once in the first epoch. (A number makes the records reproducible; the weights are the
            same in any case.)

    Attributes:
        records: one per look, JSON-able: ``update``, ``epoch``, ``loss``; ``layers``: by layer name
            ``gradient_norm`` (list by lag), ``reach``, ``gain``, ``window``, ``truncated``, ``saturated``,
            ``dead`` (see ``reach.Look``); ``update_ratio``: by weight and gate ``|change| / |weight|``;
            ``clip_share`` and ``clip_scale``: share of updates since the last look that were clipped, and the
            mean factor ``min(1, clip_norm / |gradient|)``. The last record of each epoch is in the history of
            the training report too, as ``"lens"``.
        warnings: what it warned of, by kind.

    Raises:
        OptionError: when training starts: no layer of ``hiddenstate.nn`` in the module.

    Source: gradients through time and clipping: arXiv 1211.5063; update ratios: arXiv 1708.03888.

    Example:
        >>> lens = Lens()
        >>> report = fit(module, job, config, callbacks=[lens])  # doctest: +SKIP
        >>> lens.records[-1]["layers"]["rnn_l0"]["reach"]  # doctest: +SKIP
        14
    """

    def __init__(self, every: int | None = None) -> None:
        if every is not None and (isinstance(every, bool) or not isinstance(every, int) or every < 1):
            raise OptionError(
                "out of range", where="every", expected="a whole number from 1, or None", got=every
            )
        self.every = every
        self._reset()

    def _reset(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.warnings: dict[str, str] = {}
        self._found: list[dict[str, str]] = []
        self._looks: dict[str, Look] = {}
        self._before: dict[str, Tensor] = {}
        self._norms: list[float] = []
        self._updates = 0
        self._spent_s = self._last_s = 0.0
        self._began = self._ended = time.perf_counter()

    @property
    def time_share(self) -> float:
        """Share of the training time that was spent looking."""
        return self._spent_s / max(self._ended - self._began, 1e-9)

    def start(self, run: Run) -> None:
        """Attach to the recurrent layers."""
        self._listener = Listener(run.module)
        if not self._listener.modules:
            raise OptionError(
                "nothing for the lens to look at",
                where=type(run.module).__name__,
                expected="a layer of hiddenstate.nn",
                got="none",
                fix="Train without the lens, or build the network with hiddenstate.nn",
            )
        self._listener.attach()
        self._reset()
        if self.every is not None:
            self._arm_if_due(run)

    @_timed
    def gradients(self, run: Run) -> None:
        """Of an armed update: everything that needs the weights it was made with."""
        if self._listener.armed:
            for name, call in self._listener.calls.items():
                for tail, seen in look(self._listener.modules[name], call).items():
                    self._looks[name + tail] = seen
            self._before = {name: value.detach().clone() for name, value in self._weights()}

    @_timed
    def update(self, run: Run) -> None:
        """Count clipping; finish the record of an armed update; see when the next look is due."""
        self._norms.append(run.gradient_norm)
        self._updates += 1
        if self._listener.armed:
            if self._looks:
                self._record(run)
            self._listener.disarm()
            self._looks, self._before = {}, {}
        self._ended = time.perf_counter()
        self._arm_if_due(run)

    def epoch(self, run: Run) -> None:
        """Put the last look of the epoch into its record."""
        if self.records and self.records[-1]["epoch"] == run.epoch:
            run.history[-1]["lens"] = self.records[-1]

    def stop(self, run: Run) -> None:
        """Let go of the layers; say what the last look found, if nobody has yet."""
        self._listener.detach()
        if run.stopped is not None and self._found:
            self._warn(self._found[-1])

    def to_jsonl(self) -> str:
        """The records as JSON lines."""
        return "".join(json.dumps(record, allow_nan=False) + "\n" for record in self.records)

    def _arm_if_due(self, run: Run) -> None:
        """Whether to look at the next update."""
        if self.every is not None:
            due = run.updates % self.every == 0
        else:
            due = self._affordable() or (not self.records and run.index >= run.num_batches - 1)
        if due:
            self._listener.arm()

    def _affordable(self) -> bool:
        """Whether one more look stays within its share of the time; the first is taken to cost an update."""
        elapsed_s = self._ended - self._began
        cost_s = self._last_s if self.records else elapsed_s / self._updates
        return self._spent_s + cost_s <= SHARE * elapsed_s

    def _weights(self) -> list[tuple[str, Tensor]]:
        """The input and recurrent matrices of all recurrent layers."""
        return [
            (f"{name}.{key}", value)
            for name, module in self._listener.modules.items()
            for key, value in module.named_parameters(recurse=False)
            if key.startswith(("weight_ih", "weight_hh"))
        ]

    def _record(self, run: Run) -> None:
        limit = run.config.clip_norm
        scales = [1.0 if limit is None else min(1.0, limit / max(norm, 1e-30)) for norm in self._norms]
        self._norms = []
        record = {
            "update": run.updates,
            "epoch": run.epoch + 1,
            "loss": run.loss,
            "layers": {name: _plain(seen) for name, seen in self._looks.items()},
            "update_ratio": self._ratios(),
            "clip_share": float(np.mean([scale < 1 for scale in scales])),
            "clip_scale": float(np.mean(scales)),
        }
        self.records.append(record)
        self._found.append(findings(record))
        recent = self._found[-PERSISTENT:]
        self._warn(
            {k: text for k, text in recent[-1].items() if sum(k in one for one in recent) == PERSISTENT}
        )

    def _ratios(self) -> dict[str, dict[str, float | None]]:
        found = {}
        for name, value in self._weights():
            module = self._listener.modules[name.rpartition(".")[0]]
            gates = module.cell.gates
            before = self._before[name].chunk(len(gates))
            after = value.detach().chunk(len(gates))
            sizes = [float(old.norm()) for old in before]
            moves = [float((new - old).norm()) for new, old in zip(after, before, strict=True)]
            found[name] = {
                gate: move / size if size else None
                for gate, move, size in zip(gates, moves, sizes, strict=True)
            }
        return found

    def _warn(self, found: dict[str, str]) -> None:
        for kind, text in found.items():
            if kind not in self.warnings:
                self.warnings[kind] = text
                warnings.warn(text, stacklevel=2)


def _plain(seen: Look) -> dict[str, Any]:
    norm = seen.gradient_norm
    return {
        "gradient_norm": None if norm is None else norm.tolist(),
        "reach": seen.reach,
        "gain": seen.gain,
        "window": seen.window,
        "truncated": seen.truncated,
        "saturated": seen.saturated,
        "dead": seen.dead,
    }
