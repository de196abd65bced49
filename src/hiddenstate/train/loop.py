"""The loop itself."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from hiddenstate.errors import DataError, DivergedError

from .callbacks import Callback
from .checkpoint import Checkpoint
from .config import Config
from .interrupts import Interrupts
from .job import Job
from .progress import Progress
from .randomness import deterministic, seeded
from .report import Report
from .run import Run, Totals
from .schedule import learning_rate, make_optimizer
from .trees import detached


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

    When it returns, the module is in evaluation mode and holds the weights of the best epoch
    (``restore_best``). The caller's own random state (Python, numpy, torch) is left as it was.

    Ctrl-C or SIGTERM ends training after the running update or validation: the module holds the best weights
    so far and the report says ``interrupted``. A second signal stops at once.

    Args:
        module: any torch module; its present weights are the starting point, unless a checkpoint is resumed.
        job: batches, loss and validation.
        config: how to train.
        checkpoint: a folder to save to and to resume from (see :class:`Checkpoint`). If it holds an
            unfinished run of the same job, module and config, training goes on from there; if it holds a
            finished one, its result is returned.
        progress: show progress on standard error: a live display on a terminal, otherwise a line per epoch at
            most.
        callbacks: called during training.

    Returns:
        What happened, with one record per epoch.

    Raises:
        DivergedError: the loss, gradient or validation score is no longer a finite number. The module holds
            the best weights so far.
        DataError: the job has no batches, or nothing in them to predict.
        BundleError: the checkpoint is of another job, module or config, damaged, in use, or cannot be
            written.

    Example:
        >>> from hiddenstate.train import Config, losses
        >>> class Line:
        ...     identity = {"data": "y = 2x"}
        ...     def batches(self, epoch, seed):
        ...         return [torch.full((4, 1), 1.0 + i) for i in range(8)]
        ...     def loss(self, module, batch, carried):
        ...         return losses.squared(module(batch), 2 * batch)
        ...     def validate(self, module):
        ...         return None
        >>> report = fit(nn.Linear(1, 1), Line(), Config(epochs=2), progress=False)
        >>> report.updates, report.stopped
        (16, 'epochs')
    """
    run = Run(module, job, config, make_optimizer(module, config))
    if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
        checkpoint = Checkpoint(checkpoint)
    own = [callback for callback in (checkpoint, Progress() if progress else None) if callback is not None]
    loop = _Loop(run, [*own, *callbacks])
    with seeded(config.seed), deterministic(config.deterministic), Interrupts() as interrupts:
        loop.go(interrupts)
    return report_of(run)


def report_of(run: Run) -> Report:
    """The report of a training that ended (``stopped`` is "error" where an error ended it)."""
    watch = run.watch
    return Report(
        stopped=run.stopped or "error",
        epochs=run.epoch,
        updates=run.updates,
        seconds=run.seconds,
        best_epoch=watch.best_epoch,
        best_score=None if watch.best_epoch is None else watch.best,
        history=run.history,
        resumed=run.resumed,
    )


class _Loop:
    """One run on its way through epochs and batches."""

    def __init__(self, run: Run, callbacks: list[Callback]) -> None:
        self.run = run
        self.callbacks = callbacks
        self.parameters = [p for group in run.optimizer.param_groups for p in group["params"]]

    def go(self, interrupts: Interrupts) -> None:
        """Train until there is a reason to stop; leave the module with the weights to use."""
        run = self.run
        with ExitStack() as stack:
            stack.callback(self._keep_best)
            for callback in self.callbacks:
                stack.callback(callback.stop, run)
                callback.start(run)
            run.module.train()
            while (reason := self._reason(interrupts)) is None:
                self._epoch(interrupts)
            run.stopped = reason

    def _reason(self, interrupts: Interrupts) -> str | None:
        """Why to stop now: from the state of the run alone (and signals), so that a resumed run agrees."""
        run, config = self.run, self.run.config
        if interrupts.asked:
            return "interrupt"
        if run.epoch >= config.epochs:
            return "epochs"
        if config.patience is not None and run.watch.waited >= config.patience:
            return "patience"
        if config.max_seconds is not None and run.seconds >= config.max_seconds:
            return "time"
        return None

    def _epoch(self, interrupts: Interrupts) -> None:
        """The rest of the running epoch, unless there is a reason to stop inside it."""
        run = self.run
        batches = run.job.batches(run.epoch, run.config.seed)
        run.num_batches = len(batches)
        while run.index < run.num_batches:
            self._batch(batches[run.index])
            if self._reason(interrupts) is not None:
                return
        self._close_epoch()

    def _batch(self, batch: Any) -> None:
        run = self.run
        mean, weight, carried = run.job.loss(run.module, batch, run.carried)
        weight = float(weight)
        if weight:
            run.loss = float(mean.detach())
            self._require_finite(run.loss, "loss")
            self._update(mean, weight)
        run.carried = detached(carried)
        run.index += 1
        if weight:
            self._call("update")

    def _update(self, mean: torch.Tensor, weight: float) -> None:
        run, totals = self.run, self.run.totals
        run.optimizer.zero_grad()
        mean.backward()
        self._call("gradients")
        run.gradient_norm = self._clip()
        run.learning_rate = learning_rate(
            run.config, updates=run.updates, epochs=run.progress, drops=run.watch.drops
        )
        for group in run.optimizer.param_groups:
            group["lr"] = run.learning_rate
        run.optimizer.step()
        run.updates += 1
        totals.loss += run.loss * weight
        totals.weight += weight
        totals.norm += run.gradient_norm
        totals.norm_max = max(totals.norm_max, run.gradient_norm)
        totals.updates += 1

    def _clip(self) -> float:
        """Clip by norm, then by value; the norm before both."""
        config = self.run.config
        limit = math.inf if config.clip_norm is None else config.clip_norm
        norm = float(nn.utils.clip_grad_norm_(self.parameters, limit))
        self._require_finite(norm, "gradient")
        clipped = norm > limit
        if config.clip_value is not None:
            cut = config.clip_value
            clipped |= any(bool((p.grad.abs() > cut).any()) for p in self.parameters if p.grad is not None)
            nn.utils.clip_grad_value_(self.parameters, cut)
        self.run.totals.clipped += clipped
        return norm

    def _close_epoch(self) -> None:
        """Validate, write the record, remember the best weights, and turn to the next epoch."""
        run, totals = self.run, self.run.totals
        if not totals.weight:
            raise DataError(
                "nothing to learn from: no batch has anything to predict", where=type(run.job).__name__
            )
        run.module.eval()
        with torch.no_grad():
            validation = run.job.validate(run.module)
        run.module.train()
        loss = totals.loss / totals.weight
        score = loss if validation is None else float(validation)
        self._require_finite(score, "validation score")
        run.epoch, run.index, run.totals, run.carried = run.epoch + 1, 0, Totals(), None
        run.history.append(_record(run, totals, loss, None if validation is None else score))
        if run.watch.see(score, run.epoch, run.config):
            run.best = run.weights()
        self._call("epoch")

    def _keep_best(self) -> None:
        run = self.run
        if run.best is not None and (run.config.restore_best or run.stopped is None):
            run.module.load_state_dict(run.best)
        run.module.eval()

    def _call(self, moment: str) -> None:
        for callback in self.callbacks:
            getattr(callback, moment)(self.run)

    def _require_finite(self, value: float, what: str) -> None:
        if math.isfinite(value):
            return
        run = self.run
        kept = "no epoch was finished" if run.watch.best_epoch is None else f"of epoch {run.watch.best_epoch}"
        error = DivergedError(
            f"training diverged: the {what} is {value}",
            where=f"epoch {run.epoch + 1}, batch {run.index + 1}, learning rate {run.learning_rate:g}",
            fix="Lower learning_rate, or clip gradients harder (clip_norm). "
            f"If it happens at the first update, look for NaN or infinity in the data. Weights kept: {kept}",
        )
        error.report = report_of(run)
        raise error


def _record(run: Run, totals: Totals, loss: float, validation: float | None) -> dict[str, Any]:
    return {
        "epoch": run.epoch,
        "updates": run.updates,
        "loss": loss,
        "validation": validation,
        "learning_rate": run.learning_rate,
        "gradient_norm": totals.norm / totals.updates,
        "gradient_norm_max": totals.norm_max,
        "clipped": totals.clipped / totals.updates,
        "seconds": run.seconds,
    }
