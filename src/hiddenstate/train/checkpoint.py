"""A training on disk, from which it goes on as if it had never stopped."""

from __future__ import annotations

import os

from .callbacks import Callback


class Checkpoint(Callback):
    """Saves the training to a folder as it goes, and resumes it from there.

    Args:
        path: folder; made when it does not exist.
        every_s: seconds between two saves.
        every_updates: also save after this many updates; None: by the clock only.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, every_s: float = 60.0, every_updates: int | None = None
    ) -> None:
        self.path = path
        self.every_s = every_s
        self.every_updates = every_updates
