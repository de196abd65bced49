"""The training loop: a torch module, a job and a config in, trained weights and a report out.

``fit(module, job, config)`` is the whole of it. A job (see :class:`Job`) says what the batches of an epoch
are, what the loss of one is, and how well the module does on held-back data; the loop does the rest:
optimiser, learning-rate schedule, gradient clipping, truncated backpropagation with carried states, early
stopping, best weights, progress, interruption, checkpoints. A run that was killed at any moment and resumed
ends with the same bits as one left alone.

A job needs no torch import of its own: ``tensors`` turns its numpy arrays into torch tensors, and ``losses``
holds the loss functions.
"""

from . import losses
from .callbacks import Callback
from .checkpoint import Checkpoint
from .config import Config
from .evaluate import mean_loss
from .job import Job, Loss
from .lens import Lens
from .loop import fit
from .randomness import seeded
from .report import Report
from .run import Run
from .trees import arrays, tensors

__all__ = [
    "Callback",
    "Checkpoint",
    "Config",
    "Job",
    "Lens",
    "Loss",
    "Report",
    "Run",
    "arrays",
    "fit",
    "losses",
    "mean_loss",
    "seeded",
    "tensors",
]
