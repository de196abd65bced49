"""What truncated backpropagation leaves out of the gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hiddenstate.errors import DataError, OptionError

from .encoding import Encoded
from .probe import Probe, open_probe
from .result import Measurement, bootstrap, check_count

SEQUENCES = 16
"""Sequences whose gradients are compared."""

SMALL_ERROR = 0.1
"""Relative error below which a window is called long enough."""


@dataclass(frozen=True, eq=False, kw_only=True)
class TruncationBias(Measurement):
    """G4; see :func:`truncation_bias`.

    Attributes:
        window: lengths K of the windows.
        error: ``||g_K - g|| / ||g||`` of each; the interval is of this.
        cosine: cosine of the angle between ``g_K`` and ``g``.
        steps: length of the longest sequence.
    """

    columns: ClassVar[tuple[str, ...]] = ("window", "error", "cosine")
    window: np.ndarray
    error: np.ndarray
    cosine: np.ndarray
    steps: int

    def sentence(self) -> str:
        """The shortest window that loses little."""
        enough = np.flatnonzero(self.error <= SMALL_ERROR)
        if not np.isfinite(self.error).any():
            return "The full gradient is zero, so there is nothing that truncation could change."
        worst = f"windows of {self.window[0]} steps change the gradient by {self.error[0]:.0%}"
        if not len(enough):
            return f"Truncation matters: {worst}, and no window looked at brings that to {SMALL_ERROR:.0%}."
        place = enough[0]
        return (
            f"Windows of {self.window[place]} steps keep the gradient within {self.error[place]:.0%} of the "
            f"full one over {self.steps} steps (cosine {self.cosine[place]:.3f}); {worst}. Truncation is "
            "measured at these weights: what was never learned for lack of gradient does not show."
        )


def truncation_bias(
    model: Any, data: Any, *, windows: Sequence[int] | None = None, seed: int = 0
) -> TruncationBias:
    """How far the gradient of truncated backpropagation is from the full one (G4).

    Sequences are cut into windows of K steps as training cuts them: the state is carried over, gradients are
    not. ``error(K) = ||g_K - g|| / ||g||`` over the parameters of all recurrent layers, g the full gradient.

    Args:
        model: an estimator, ``runtime.Model``, bundle, path or ``Probe``.
        data: what ``Probe.read`` takes.
        windows: lengths K, increasing; None: 4, 8, 16 ... below the longest sequence.
        seed: of the sample of sequences and of the bootstrap.

    Raises:
        OptionError: a model with one answer per sequence, or that reads backwards; windows out of range.
        DataError: every sequence is shorter than the longest window.

    Source: Aicher, Foti and Fox, Adaptively truncating backpropagation through time, arXiv 1905.07473 (2019),
    who bound this bias; here it is computed.

    Example:
        >>> from hiddenstate.lens.examples import decaying
        >>> truncation_bias(decaying(0.5), [np.ones(16)], windows=[1, 16]).error.round(3).tolist()
        [0.468, 0.0]
    """
    probe = open_probe(model)
    if probe.spec.pooled or not probe.spec.streamable:
        fix = "Such models are trained on whole sequences"
        raise OptionError("truncation needs an answer at every step, in order of time", fix=fix)
    sequences = probe.read(data, sequences=SEQUENCES, seed=seed)
    longest = max(map(len, sequences))
    windows = _checked(windows, longest)
    full = np.stack([_gradient(probe, one, len(one)) for one in sequences])
    found = [_compare(full, np.stack([_gradient(probe, one, k) for one in sequences])) for k in windows]
    index = np.arange(len(sequences))
    return TruncationBias(
        interval=bootstrap(
            index, of="error", statistic=lambda rows: [_errors(one, rows)[0] for one in found], seed=seed
        ),
        convention=(
            f"gradient of the mean loss over {len(sequences)} sequences, each from rest, by all parameters "
            "of recurrent layers; Euclidean norms"
        ),
        window=np.array(windows),
        error=np.array([_errors(one, index)[0] for one in found]),
        cosine=np.array([_errors(one, index)[1] for one in found]),
        steps=longest,
    )


def _checked(windows: Sequence[int] | None, longest: int) -> list[int]:
    if windows is None:
        return [4 * 2**power for power in range(64) if 4 * 2**power < longest] or [1]
    found = sorted({check_count(window, 1, "windows") for window in windows})
    if not found:
        raise OptionError("no windows", where="windows", expected="at least one length")
    if found[-1] > longest:
        fix = "Ask for shorter windows, or give longer sequences"
        raise DataError(
            "every sequence is shorter than the window", expected=f"{found[-1]} steps", got=longest, fix=fix
        )
    return found


def _gradient(probe: Probe, one: Encoded, window: int) -> np.ndarray:
    """Gradient of the mean loss of a sequence by the recurrent parameters, in windows."""
    state, total, counted = None, 0.0, 0
    names = [name for name in probe.params if name.split(".")[0] in {b.name for b in probe.spec.recurrent}]
    for start in range(0, len(one), window):
        made = probe.run([one.cut(start, min(start + window, len(one)))], state=state)
        loss, state = made.loss(), made.state
        found = made.backward(loss.d_output).d_params
        total = total + np.concatenate([found[name].ravel() for name in names]).astype(np.float64)
        counted += int(loss.counted.sum())
    return np.asarray(total) / max(counted, 1)


def _compare(full: np.ndarray, cut: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inner products between the sequences' gradients: all that error and cosine need, for any resampling."""
    missing = cut - full
    return missing @ missing.T, full @ full.T, cut @ cut.T


def _errors(products: tuple[np.ndarray, np.ndarray, np.ndarray], rows: np.ndarray) -> tuple[float, float]:
    """Error and cosine of the gradient summed over these sequences."""
    picked = np.ix_(rows, rows)
    missing, full, cut = (float(max(one[picked].sum(), 0.0)) for one in products)
    if not full:
        return float("nan"), float("nan")
    cosine = (full + cut - missing) / (2 * np.sqrt(full * cut)) if cut else float("nan")
    return float(np.sqrt(missing / full)), float(np.clip(cosine, -1, 1))
