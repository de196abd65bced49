"""What the training loop needs to learn a language: one long stream of symbols, read in lanes.

The documents are shuffled and laid end to end in a circle, which is cut at a random place into equal lanes. A
batch is a window of all lanes; the next batch goes on where it ended, with the state carried over (truncated
backpropagation). Where a document starts the state starts anew; the target of its last symbol is the end of
the document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hiddenstate import data

if TYPE_CHECKING:
    from hiddenstate.train import Loss

UNKNOWN_SHARE = 0.002
"""Share of the symbols hidden while learning: it gives the id of unknown symbols a meaning."""


class Stream(NamedTuple):
    """Documents end to end.

    Attributes:
        ids: ``[N]`` int64 symbols.
        targets: ``[N]`` the symbol after each, ``end`` after the last of a document.
        starts: ``[N]`` bool, True at the first symbol of a document.
    """

    ids: np.ndarray
    targets: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, documents: Sequence[np.ndarray], *, end: int) -> Stream:
        """Lays documents, each ids ``[T]``, end to end."""
        targets = [np.append(document[1:], end) for document in documents]
        starts = [np.arange(len(document)) == 0 for document in documents]
        return cls(np.concatenate(documents), np.concatenate(targets), np.concatenate(starts))

    def take(self, index: np.ndarray) -> Stream:
        """The same fields at the positions ``index``."""
        return Stream(*(field[index] for field in self))


class LanguageJob:
    """Windows of symbols in parallel lanes, and the cross-entropy of the symbol after each.

    Args:
        learned: documents to learn from, ids ``[T]`` each.
        held: documents held back, perhaps none.
        end: id of the end of a document.
        lanes: how many stretches of the stream are read side by side.
        window: steps between two updates, over which gradients reach back.
        identity: facts that make this training this training.
    """

    def __init__(
        self,
        learned: Sequence[np.ndarray],
        held: Sequence[np.ndarray],
        *,
        end: int,
        lanes: int,
        window: int,
        identity: Mapping[str, Any],
    ) -> None:
        self.identity = identity
        self._learned, self._end, self._lanes, self._window = learned, end, lanes, window
        self._held = Stream.of(held, end=end) if held else None

    def batches(self, epoch: int, seed: int) -> list[Stream]:
        """The windows ``[T, B]`` of an epoch, in order."""
        draw = np.random.default_rng([seed, epoch])
        stream = Stream.of([self._learned[i] for i in draw.permutation(len(self._learned))], end=self._end)
        hidden = draw.random(len(stream.ids)) < UNKNOWN_SHARE
        stream = stream._replace(ids=np.where(hidden, 0, stream.ids))
        return self._windows(stream, int(draw.integers(len(stream.ids))))

    def loss(self, module: Any, batch: Stream, carried: Any) -> Loss:
        """Cross-entropy of the next symbol; the state at the end is carried into the next window."""
        from hiddenstate.train import losses, tensors

        ids, targets, starts = tensors(batch)
        logits, state = module({"x": ids}, state=carried, resets=starts)
        return losses.cross_entropy(logits, targets)._replace(carried=state)

    def validate(self, module: Any) -> float | None:
        """Mean loss over the documents held back, in nats per symbol."""
        from hiddenstate.train import mean_loss

        if self._held is None:
            return None
        return mean_loss(self, module, self._windows(self._held, 0))

    def _windows(self, stream: Stream, first: int) -> list[Stream]:
        """Windows of lanes of equal length; the few symbols left over have their turn in another epoch."""
        count = len(stream.ids)
        lanes = max(1, min(self._lanes, count // self._window))
        steps = count // lanes
        index = (first + np.arange(steps)[:, None] + steps * np.arange(lanes)) % count
        return [stream.take(index[window]) for window in data.windows(steps, size=self._window)]
