"""The loop itself."""

from __future__ import annotations

import os
from collections.abc import Sequence

from torch import nn

from .callbacks import Callback
from .checkpoint import Checkpoint
from .config import Config
from .job import Job
from .report import Report


def fit(
    module: nn.Module,
    job: Job,
    config: Config,
    *,
    checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
) -> Report:
    """Train ``module`` in place.

    When it returns, the module is in evaluation mode and holds the weights of the best epoch (``restore_best``).
    The caller's own random state (Python, numpy, torch) is left as it was.

    Ctrl-C or SIGTERM ends training after the running update: the module holds the best weights so far and the report
    says ``interrupted``. A second signal stops at once.

    Args:
        module: any torch module; its present weights are the starting point, unless a checkpoint is resumed.
        job: batches, loss and validation.
        config: how to train.
        checkpoint: a folder to save to and to resume from (see :class:`Checkpoint`). If it holds an unfinished run of
            the same job, module and config, training goes on from there; if it holds a finished one, its result is
            returned.
        progress: show progress on standard error: a live display on a terminal, otherwise at most a line per epoch.
        callbacks: called during training.

    Returns:
        What happened, with one record per epoch.

    Raises:
        DivergedError: the loss, gradient or validation score is no longer a finite number. The module holds the best
            weights so far.
        BundleError: the checkpoint is of another job, module or config, damaged, in use, or cannot be written.

    Example:
        >>> report = fit(torch.nn.Linear(1, 1), Line(), Config(epochs=2), progress=False)
        >>> report.updates, report.stopped
        (16, 'epochs')
    """
    raise NotImplementedError
