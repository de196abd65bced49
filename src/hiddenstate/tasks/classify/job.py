"""What the training loop needs to learn a classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hiddenstate import data

if TYPE_CHECKING:
    from hiddenstate.train import Loss

UNKNOWN_SHARE = 0.01
"""Share of the symbols of a text hidden while learning: it gives the id of unknown symbols a meaning."""


class Batch(NamedTuple):
    """Rows of a batch, and the seed that says which symbols are hidden (None: none)."""

    rows: np.ndarray
    seed: int | None


class ClassifyJob:
    """Batches of sequences of similar length, and the cross-entropy of their labels.

    Args:
        items: encoded sequences: float32 ``[T, F]``, or int64 ids ``[T]``.
        y: class indices ``[n]``.
        held: bool ``[n]``, the sequences held back.
        batch_size: sequences per update.
        class_weights: ``[K]``, or None.
        identity: facts that make this training this training.
    """

    def __init__(
        self,
        items: Sequence[np.ndarray],
        y: np.ndarray,
        held: np.ndarray,
        *,
        batch_size: int,
        class_weights: np.ndarray | None,
        identity: Mapping[str, Any],
    ) -> None:
        self.identity = identity
        self._items, self._y, self._size = items, y, batch_size
        self._lengths = np.array([len(item) for item in items], np.int64)
        self._train, self._held = np.flatnonzero(~held), np.flatnonzero(held)
        self._weights = None if class_weights is None else class_weights.astype(np.float32)

    def batches(self, epoch: int, seed: int) -> list[Batch]:
        """Sequences of similar length side by side."""
        cuts = data.buckets(self._lengths[self._train], batch_size=self._size, seed=seed, epoch=epoch)
        hide = np.random.default_rng([seed, epoch]).integers(2**32, size=len(cuts))
        return [Batch(self._train[cut], int(one)) for cut, one in zip(cuts, hide, strict=True)]

    def loss(self, module: Any, batch: Batch, carried: Any) -> Loss:
        """Cross-entropy of the labels of the rows in ``batch``."""
        from hiddenstate.train import losses, tensors

        x, lengths = data.pad([self._items[i] for i in batch.rows])
        if batch.seed is not None and x.dtype == np.int64:
            x[np.random.default_rng(batch.seed).random(x.shape) < UNKNOWN_SHARE] = 0
        given = tensors({"x": x, "lengths": lengths, "y": self._y[batch.rows]})
        logits, _ = module({"x": given["x"]}, lengths=given["lengths"])
        return losses.cross_entropy(logits, given["y"], class_weights=tensors(self._weights))

    def validate(self, module: Any) -> float | None:
        """Mean loss of the sequences held back."""
        from hiddenstate.train import mean_loss

        if not len(self._held):
            return None
        by_length = self._held[np.argsort(self._lengths[self._held], kind="stable")]
        cuts = np.split(by_length, range(self._size, len(by_length), self._size))
        return mean_loss(self, module, [Batch(cut, None) for cut in cuts])
