"""What each lag contributes to the gradient of the weights, and what clipping and truncation make of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from hiddenstate.errors import OptionError

from . import lags
from .encoding import Encoded
from .progress import Report, parts
from .recorded import Pass
from .result import Measurement, bootstrap, check_count
from .system import System

SEQUENCES = 16
"""Most sequences looked at: each lag of each is a pass of its own."""


@dataclass(frozen=True, eq=False, kw_only=True)
class WeightGradient(Measurement):
    """See :func:`weight_gradient_by_lag`.

    Attributes:
        lag: 0 to K - 1.
        part: norm of what the step at this lag contributes to the gradient of the recurrent weights; the
            interval belongs to it.
        clipped: the same after clipping.
        truncated: the same with the window: 0 from the window on.
        norm: norm of the whole gradient (over K steps), which clipping looks at.
        scale: what clipping multiplies everything with.
        clip_norm: longest gradient allowed; infinite: any.
        window: steps that gradients reach back.
        truncation_error: ``||g_window - g|| / ||g||``.
        gain_per_step: fitted factor of ``part`` per lag; clipping leaves it as it is.
    """

    columns: ClassVar[tuple[str, ...]] = ("lag", "part", "clipped", "truncated")
    lag: np.ndarray
    part: np.ndarray
    clipped: np.ndarray
    truncated: np.ndarray
    norm: float
    scale: float
    clip_norm: float
    window: int
    truncation_error: float
    gain_per_step: float

    def sentence(self) -> str:
        """What clipping changes, what it does not, and what the window loses."""
        clip = f"Clipping at {self.clip_norm:g} leaves the gradient as it is (norm {self.norm:.3g})"
        if self.scale < 1:
            clip = f"Clipping at {self.clip_norm:g} multiplies every lag's part by {self.scale:.3g}"
        return (
            f"{clip}; its change per lag stays {self.gain_per_step:.3g}, so what has vanished stays "
            f"vanished. A window of {self.window} steps changes the gradient by {self.truncation_error:.1%} "
            "of its length. The loss of one step of each sequence, at these weights."
        )


def weight_gradient_by_lag(
    model: Any,
    data: Any,
    *,
    clip_norm: float | None = 1.0,
    window: int = 35,
    max_lag: int | None = None,
    seed: int = 0,
    progress: Report | None = None,
) -> WeightGradient:
    """Splits the gradient of the recurrent weights by how many steps before the loss they were used.

    ``g = sum_k g_k``, where ``g_k`` takes the weights of step T - k alone: the gradient truncated to the last
    k + 1 steps (the state before them given) less the one truncated to k. The loss is that of the last step T
    of each sequence that has one. In float64.

    Args:
        model: what ``Probe`` takes; it must not read from both ends.
        data: what ``Probe.read`` takes.
        clip_norm: longest gradient that clipping lets through; None: any.
        window: steps of truncated backpropagation through time.
        max_lag: steps to look back, K; None: what half of the sequences allow, at most 100.
        seed: of the sample of sequences and of the bootstrap.
        progress: called after each lag.

    Raises:
        DataError: every sequence is shorter than the lag.
        OptionError: a bidirectional model, a pool of all steps, or numbers out of range.

    Source: Pascanu, Mikolov and Bengio, arXiv 1211.5063 (the sum over steps, and clipping by norm); Williams
    and Peng, Neural Computation 2 (1990), truncation.

    Example:
        >>> from hiddenstate.lens.examples import decaying
        >>> made = weight_gradient_by_lag(decaying(0.5), [np.ones(30)], max_lag=20)
        >>> round(made.gain_per_step, 2), bool(made.scale < 1)
        (0.5, True)
    """
    check_count(window, 1, "window")
    if clip_norm is not None and not clip_norm > 0:
        raise OptionError("out of range", where="clip_norm", expected="above 0, or None", got=clip_norm)
    system = System(model)
    if any(getattr(block, "how", "last") != "last" for block in system.probe.spec.blocks):
        fix = "Use a model with an answer at every step, or one from the last state"
        raise OptionError("the loss of this model belongs to no single step", where="model", fix=fix)
    found = system.probe.read(data, sequences=SEQUENCES, seed=seed)
    sequences, max_lag = lags.long_enough(found, max_lag)
    products, cut, whole = _split(system, sequences, max_lag, min(window, max_lag), progress)
    part = _norms(products, np.arange(len(sequences)))
    norm = float(np.linalg.norm(whole))
    limit = np.inf if clip_norm is None else float(clip_norm)
    scale = min(1.0, limit / norm) if norm > 0 else 1.0
    return WeightGradient(
        lag=np.arange(max_lag),
        part=part,
        clipped=part * scale,
        truncated=np.where(np.arange(max_lag) < window, part, 0.0),
        norm=norm,
        scale=scale,
        clip_norm=limit,
        window=window,
        truncation_error=float(np.linalg.norm(cut - whole) / norm) if norm > 0 else 0.0,
        gain_per_step=lags.fit_decay(part).gain,
        interval=bootstrap(
            np.arange(len(sequences)), of="part", statistic=partial(_norms, products), seed=seed
        ),
        convention=(
            f"Euclidean norms over all parameters of recurrent layers, of the mean gradient over "
            f"{len(sequences)} sequences, each from rest; {max_lag} steps back from the last step with a loss"
        ),
    )


def _norms(products: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Norm of the mean over the sequences ``rows`` of each lag's part, from inner products ``[K, N, N]``."""
    chosen = rows.astype(np.int64)
    return np.sqrt(np.maximum(products[:, chosen[:, None], chosen].mean(axis=(1, 2)), 0))


def _split(
    system: System, sequences: list[Encoded], most: int, window: int, progress: Report | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inner products of the parts at every lag ``[K, N, N]``; mean gradient of the window, and whole."""
    made, states = system.run(sequences)
    ends, seeds = _seeds(made)
    count = len(sequences)
    products = np.empty((most, count, count))
    before: Any = 0.0
    cut = None
    for lag in parts(range(most), what="weight gradient by lag", report=progress):
        found = np.stack(
            [
                _last_steps(system, one, ends[row], lag + 1, states[:, row], seeds[row])
                for row, one in enumerate(sequences)
            ]
        )
        piece = found - before
        products[lag] = piece @ piece.T
        cut = found.mean(axis=0) if lag == window - 1 else cut
        before = found
    assert cut is not None
    return products, cut, before.mean(axis=0)


def _seeds(made: Pass) -> tuple[np.ndarray, np.ndarray]:
    """The last step with a loss of every sequence ``[N]``, and gradients by its output ``[N, O]``."""
    loss = made.loss()
    if made.probe.spec.pooled:
        return made.lengths - 1, loss.d_output
    ends = np.array([np.flatnonzero(row)[-1] for row in loss.counted.T])
    return ends, loss.d_output[ends, np.arange(len(ends))]


def _last_steps(
    system: System, one: Encoded, end: int, count: int, states: np.ndarray, seed: np.ndarray
) -> np.ndarray:
    """The gradient over the last ``count`` steps up to ``end``, the state before them given."""
    start = max(0, end + 1 - count)
    made = system.probe.run([one.cut(start, end + 1)], state=system.model_state(states[[start]]))
    d_output = np.zeros_like(made.output)
    d_output[(-1, 0) if d_output.ndim == 3 else 0] = seed
    found = made.backward(d_output).d_params
    recurrent = {block.name for block in system.probe.spec.recurrent}
    return np.concatenate([value.ravel() for name, value in found.items() if name.split(".")[0] in recurrent])
