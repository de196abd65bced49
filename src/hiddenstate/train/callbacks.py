"""Calls from the loop while a network learns; progress and checkpoints are written with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .run import Run


class Callback:
    """Called by the loop at five moments; override those you need. ``run`` shows the state of the training.

    A callback that changes nothing in ``run`` leaves the result unchanged, to the bit.
    """

    def start(self, run: Run) -> None:
        """Before the first update, after a checkpoint was read back."""

    def gradients(self, run: Run) -> None:
        """After every backward pass: ``parameter.grad`` holds the gradients, not yet clipped."""

    def update(self, run: Run) -> None:
        """After every optimiser step."""

    def epoch(self, run: Run) -> None:
        """After every epoch: ``run.history[-1]`` is its record."""

    def stop(self, run: Run) -> None:
        """After the last update, also when training ends by an error."""
