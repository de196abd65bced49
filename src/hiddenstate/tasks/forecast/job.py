"""What the training loop needs to learn forecasts: windows, losses at every row, a validation pass.

Every row of a series is an origin: the network forecasts from all of them in one pass. Long series are cut
into windows of ``context`` rows; each window is read from half as many rows before its start, where nothing
is counted yet, so that the state the first counted row sees is a warm one, as it will be in use. A window at
the start of a series starts cold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hiddenstate.data.batches import buckets

from .heads import Head, Reference

if TYPE_CHECKING:
    from torch import nn

    from hiddenstate.train import Loss

UPDATES = 16
"""Fewest updates in an epoch."""

CHUNK = 512
"""Rows of the validation pass that are in memory at once."""


@dataclass(frozen=True)
class Example:
    """One encoded series.

    Args:
        inputs: network inputs by name, ``[N, size]`` float32 or ``[N]`` ids.
        target: scaled targets ``[N, K]``, NaN where missing.
        reference: what forecasts of each row are relative to, fields ``[N, K]``.
        train_rows: rows that belong to training; the rest is held back.
    """

    inputs: Mapping[str, np.ndarray]
    target: np.ndarray
    reference: Reference
    train_rows: int

    def __len__(self) -> int:
        return len(self.target)


class Window(NamedTuple):
    """Rows of an example: read from ``begin``, counted from ``start`` to ``stop``, targets up to ``end``."""

    example: int
    begin: int
    start: int
    stop: int
    end: int


class Batch(NamedTuple):
    """Windows side by side, time-major; ``fresh``: they start at rest, not where the last batch ended."""

    inputs: dict[str, np.ndarray]
    target: np.ndarray
    reference: Reference
    lengths: np.ndarray
    fresh: bool


class ForecastJob:
    """Training on windows, validation on the held-back rows in one pass with the state carried.

    Args:
        examples: the encoded series.
        head: what outputs mean, and their loss.
        steps: steps ahead that the network gives.
        context: counted rows of a window.
        batch_size: windows per update.
        identity: what makes this training this training (see ``train.Job``).
    """

    def __init__(
        self,
        examples: Sequence[Example],
        head: Head,
        *,
        steps: int,
        context: int,
        batch_size: int,
        identity: Mapping[str, Any],
    ) -> None:
        self._examples, self._head, self._steps = examples, head, steps
        self._context, self._warmup, self._batch_size = context, context // 2, batch_size
        self.identity = identity
        held_back = [
            Window(
                i, max(one.train_rows - 4 * context, 0), max(one.train_rows - 1, 0), len(one) - 1, len(one)
            )
            for i, one in enumerate(examples)
            if one.train_rows < len(one)
        ]
        self._held_back = sorted(held_back, key=lambda window: window.stop - window.begin)

    def batches(self, epoch: int, seed: int) -> Sequence[Batch]:
        """Windows over all training rows, in random order.

        An epoch goes over the rows as many times, each time cut at other places, as makes ``UPDATES``
        batches.
        """
        rng = np.random.default_rng([seed, epoch])
        windows: list[Window] = []
        while len(windows) <= (UPDATES - 1) * self._batch_size:
            windows += [w for i, one in enumerate(self._examples) for w in self._cut(i, one.train_rows, rng)]
        lengths = np.array([w.stop - w.begin for w in windows])
        order = buckets(lengths, batch_size=self._batch_size, seed=seed, epoch=epoch)
        return _Batches(self, [[windows[i] for i in part] for part in order])

    def loss(self, module: nn.Module, batch: Batch, carried: Any) -> Loss:
        """The head's loss over all counted rows and all steps ahead."""
        from hiddenstate.train import tensors

        state = None if batch.fresh else carried
        output, state = module(tensors(batch.inputs), state, lengths=tensors(batch.lengths))
        target = tensors(batch.target)
        raw = output.reshape(*target.shape, self._head.width)
        return self._head.loss(raw, target, ~target.isnan(), _tensors(batch.reference))._replace(
            carried=state
        )

    def validate(self, module: nn.Module) -> float | None:
        """Mean loss of forecasts of the held-back rows."""
        from hiddenstate.train import mean_loss

        return mean_loss(self, module, self._validation_batches()) if self._held_back else None

    def gather(self, windows: Sequence[Window], *, fresh: bool = True) -> Batch:
        """Windows as one batch; rows that are not counted have no targets."""
        lengths = np.array([w.stop - w.begin for w in windows])
        rows, width = int(lengths.max()), len(windows)
        first = self._examples[windows[0].example]
        inputs = {k: np.zeros((rows, width, *v.shape[1:]), v.dtype) for k, v in first.inputs.items()}
        targets = first.target.shape[1]
        target = np.full((rows, width, self._steps, targets), np.nan, np.float32)
        reference = [np.ones((rows, width, 1, targets), np.float32) for _ in Reference._fields]
        for column, window in enumerate(windows):
            one = self._examples[window.example]
            taken, counted = slice(window.begin, window.stop), slice(window.start, window.stop)
            for name, values in one.inputs.items():
                inputs[name][: lengths[column], column] = values[taken]
            for full, part in zip(reference, one.reference, strict=True):
                full[: lengths[column], column, 0] = part[taken]
            ahead = self._ahead(one.target, window) - one.reference.offset[counted, None]
            target[window.start - window.begin : lengths[column], column] = (
                ahead / one.reference.unit[counted, None]
            )
        return Batch(inputs, target, Reference(*reference), lengths, fresh)

    def _ahead(self, target: np.ndarray, window: Window) -> np.ndarray:
        """The next values after each counted row, ``[n, steps, K]``, NaN beyond the window's end."""
        if window.start == window.stop:
            return np.empty((0, self._steps, target.shape[1]))
        known = target[window.start + 1 : min(window.stop + self._steps, window.end)]
        missing = window.stop - window.start + self._steps - 1 - len(known)
        padded = np.concatenate([known, np.full((missing, target.shape[1]), np.nan)])
        return np.lib.stride_tricks.sliding_window_view(padded, self._steps, axis=0).transpose(0, 2, 1)

    def _cut(self, example: int, rows: int, rng: np.random.Generator) -> Iterator[Window]:
        origins = rows - 1  # the last training row has nothing to forecast
        offset = int(rng.integers(self._context)) if origins > self._context else 0
        for start in range(-offset, origins, self._context):
            start, stop = max(start, 0), min(start + self._context, origins)
            if stop > start:
                yield Window(example, max(start - self._warmup, 0), start, stop, rows)

    def _validation_batches(self) -> Iterator[Batch]:
        """Held-back windows in groups of like length, each group cut in time with its state carried on."""
        for at in range(0, len(self._held_back), self._batch_size):
            group = self._held_back[at : at + self._batch_size]
            for offset in range(0, max(w.stop - w.begin for w in group), CHUNK):
                yield self.gather([_part(w, offset) for w in group], fresh=offset == 0)


def _part(window: Window, offset: int) -> Window:
    """The rows ``offset`` to ``offset + CHUNK`` of a window; none where it is shorter."""
    begin = min(window.begin + offset, window.stop)
    stop = min(begin + CHUNK, window.stop)
    return window._replace(begin=begin, start=min(max(window.start, begin), stop), stop=stop)


class _Batches(Sequence[Batch]):
    """Batches that are made when they are asked for."""

    def __init__(self, job: ForecastJob, windows: list[list[Window]]) -> None:
        self._job, self._windows = job, windows

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: Any) -> Any:
        return self._job.gather(self._windows[index])


def _tensors(reference: Reference) -> Reference:
    from hiddenstate.train import tensors

    return Reference(*(tensors(value) for value in reference))
