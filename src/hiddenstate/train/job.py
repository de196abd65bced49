"""What a task gives the training loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn


class Loss(NamedTuple):
    """The loss of one batch.

    Attributes:
        mean: scalar tensor, mean over what was predicted in the batch; the loop calls ``backward`` on it.
        weight: how much was predicted (say, the number of valid targets), so that epoch means are exact. A
            batch of weight 0 moves the carried state on and updates nothing.
        carried: state to hand to the next batch of the epoch: any nesting of dicts, lists, tuples and named
            tuples of tensors, or None. The loop detaches it, which is what truncates backpropagation.
    """

    mean: Tensor
    weight: float
    carried: Any = None


class Job(Protocol):
    """Batches, loss and validation of one training.

    Everything must follow from the arguments alone, never from how much was asked before: this is what lets a
    resumed run go on in the middle of an epoch. Draw random numbers for the order from ``(seed, epoch)``, say
    with ``numpy.random.default_rng([seed, epoch])``. Inside ``loss`` torch's global generator may be used
    (dropout); the loop seeds, saves and restores it.

    Example:
        >>> import numpy as np
        >>> from hiddenstate.train import losses, tensors
        >>> class Line:
        ...     identity = {"data": "y = 2x"}
        ...     def batches(self, epoch, seed):
        ...         return [np.full((4, 1), 1.0 + i, dtype="float32") for i in range(8)]
        ...     def loss(self, module, batch, carried):
        ...         x = tensors(batch)
        ...         return losses.squared(module(x), 2 * x)
        ...     def validate(self, module):
        ...         return None
    """

    @property
    def identity(self) -> Mapping[str, Any]:
        """JSON-able facts that make this job this job (a hash of the data, batch size, loss ...).

        A plain attribute will do. A checkpoint of a job with another identity is refused.
        """
        ...

    def batches(self, epoch: int, seed: int) -> Sequence[Any]:
        """The batches of an epoch, in order; a lazy sequence may make each one when it is indexed."""
        ...

    def loss(self, module: nn.Module, batch: Any, carried: Any) -> Loss:
        """The loss of one batch.

        ``carried`` is None at the start of an epoch, then what the last batch returned. Rows that begin a new
        sequence inside carried batches are the job's to mark (``resets=``).
        """
        ...

    def validate(self, module: nn.Module) -> float | None:
        """Score on held-back data, lower is better; None when nothing is held back.

        Called after every epoch with the module in evaluation mode and gradients off. ``mean_loss`` does the
        common case. Where it returns None, early stopping and best weights go by the epoch's mean training
        loss.
        """
        ...
