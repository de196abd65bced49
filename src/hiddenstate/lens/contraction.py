"""Whether a network provably forgets: a bound on its Jacobian over all states and inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hiddenstate.cells import GRU, LSTM, RNN
from hiddenstate.cells.base import sigmoid
from hiddenstate.errors import OptionError
from hiddenstate.spec import suffix
from hiddenstate.types import Array

from .jacobian import STATE, StepJacobians, step_jacobians
from .probe import Probe, StackLayer
from .progress import Report
from .recorded import Pass
from .result import Interval, Measurement

USELESS = 1e-6
"""A forget gate may come so near to 1 that c is as good as unbounded; then there is no bound."""

QUARTER = 0.25
"""Steepest slope of the logistic function."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Contraction(Measurement):
    """J4; see :func:`contraction`.

    Attributes:
        layer: names of the layers.
        bound: for each layer a rate that no step can exceed, in a norm of its own, whatever the state and for
            inputs no larger than those of the data; below 1 the layer contracts.
        largest_seen: largest singular value of a one-step Jacobian along the data.
        verdict: "contracting" (proved), "expanding" (a step along the data stretches some difference, in the
            2-norm) or "undecided".
    """

    columns: ClassVar[tuple[str, ...]] = ("layer", "bound")
    layer: tuple[str, ...]
    bound: np.ndarray
    largest_seen: float
    verdict: str

    def sentence(self) -> str:
        """What is proved, and what is only seen."""
        worst = float(self.bound.max())
        if self.verdict == "contracting":
            return (
                "Proved to forget: two copies that read the same input come closer by a factor of "
                f"{worst:.3g} a step or better, from any states that can be reached, while inputs are no "
                "larger than here. A window that is long enough can replace the recurrence."
            )
        if self.verdict == "expanding":
            return (
                f"Not proved to forget (bound {_shown(worst)}), and some step of the data stretches a "
                f"difference by {self.largest_seen:.3g}. It may still forget over many steps: see lag_gain."
            )
        return (
            f"Undecided: no step of the data stretches a difference (at most {self.largest_seen:.3g}), but "
            f"the bound over all states is {_shown(worst)}, which proves nothing."
        )


def contraction(model: Any, data: Any, *, seed: int = 0, progress: Report | None = None) -> Contraction:
    """Contraction certificate: does ``||dF/ds|| < 1`` hold everywhere, in some norm?

    For each layer a matrix ``M >= |dF/ds|`` is built, entry by entry, from the largest values that gates and
    slopes can take for any state that can be reached and any input no larger than those of the data. If its
    spectral radius is below 1, Perron's vector gives a weighted maximum norm in which the layer contracts.
    For a plain RNN ``sigma_max(W_hh)`` does the same in the 2-norm, and the smaller one counts. A stack of
    contracting layers forgets too.

    Args:
        model: what ``Probe`` takes; it must not read from both ends.
        data: what ``Probe.read`` takes, for what is seen along real data.
        seed: of the draw of steps.
        progress: called as the Jacobians along the data are computed.

    Raises:
        OptionError: a bidirectional model, or a cell of whose gates nothing is known.

    Source: Miller and Hardt, arXiv 1805.10369 (stable recurrent models can be truncated); they ask for
    ``||dF/ds|| < 1`` in one norm, or after several steps; the comparison matrix here does so in a weighted
    norm.

    Example:
        >>> from hiddenstate.lens.examples import decaying
        >>> made = contraction(decaying(0.5), [np.ones(9)])
        >>> made.verdict, made.bound.tolist()
        ('contracting', [0.5])
    """
    probe = Probe(model, dtype="float64")
    seen: StepJacobians = step_jacobians(probe, data, seed=seed, progress=progress)
    made = probe.run(probe.read(data, seed=seed))
    bound = np.array([bound_of(layer, largest_input(made, layer)) for layer in probe.layers])
    largest = float(seen.sigma_max.max())
    verdict = "contracting" if bound.max() < 1 else "expanding" if largest > 1 else "undecided"
    nothing = np.full(len(bound), np.nan)
    return Contraction(
        layer=tuple(layer.name for layer in probe.layers),
        bound=bound,
        largest_seen=largest,
        verdict=verdict,
        interval=Interval(nothing, nothing, 0, "bound"),
        convention=(
            f"{STATE}; the bound is a worst case over all states and over inputs no larger than those of the "
            f"data, so it has no interval; what is seen is the 2-norm at {len(seen.step)} steps"
        ),
    )


def largest_input(made: Pass, layer: StackLayer) -> np.ndarray:
    """The largest size of each input of a layer in a pass, ``[I]``."""
    if layer.index == 0:
        x = made.nodes[layer.block.source]
    else:
        x = made.recordings[layer.block.name + suffix(layer.index - 1, 0)].y
    return np.abs(x[made.valid]).max(axis=0)


def bound_of(layer: StackLayer, largest: np.ndarray) -> float:
    """A rate that no step of the layer can exceed in some norm: the spectral radius of a comparison matrix.

    Args:
        layer: the layer.
        largest: no input is larger in size than this, ``[I]``.

    Raises:
        OptionError: the cell is none of those whose gates are known here.
    """
    found = _radius(comparison_matrix(layer, largest))
    if isinstance(layer.scan.cell, RNN):
        return min(found, float(np.linalg.norm(layer.scan.params["weight_hh"], 2)))
    return found


def comparison_matrix(layer: StackLayer, largest: np.ndarray) -> np.ndarray:
    """``M >= |ds_t/ds_{t-1}|``, entry by entry, ``[S, S]`` of one layer.

    Args:
        layer: the layer.
        largest: no input is larger in size than this, ``[I]``.

    Returns:
        The matrix; infinite entries where nothing bounds c of an LSTM.

    Raises:
        OptionError: the cell is none of those whose gates are known here.
    """
    cell = layer.scan.cell
    if isinstance(cell, RNN):
        return np.abs(layer.scan.params["weight_hh"])
    if isinstance(cell, GRU):
        return _gru(cell, layer, largest)
    if isinstance(cell, LSTM):
        return _lstm(layer, largest)
    fix = "Look at the Jacobians along the data instead"
    raise OptionError("no bound is known for this cell", where=layer.name, got=cell.name, fix=fix)


def _shown(bound: float) -> str:
    return f"{bound:.3g}" if np.isfinite(bound) else "none"


def _radius(matrix: np.ndarray) -> float:
    return float(np.abs(np.linalg.eigvals(matrix)).max()) if np.isfinite(matrix).all() else float("inf")


def _at_rest(layer: StackLayer, field: str) -> Any:
    """Size of the learned initial state; 0 without one."""
    return 0.0 if layer.rest is None else np.abs(getattr(layer.rest, field))


def _open(
    params: Mapping[str, Array], gate: int, count: int, largest_h: np.ndarray, largest_x: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The most closed and the most open that a gate can be, ``[H]`` each."""
    reach = np.abs(np.split(params["weight_hh"], count)[gate]) @ largest_h
    reach = reach + np.abs(np.split(params["weight_ih"], count)[gate]) @ largest_x
    biases = (params[name] for name in ("bias_ih", "bias_hh") if name in params)
    centre = sum((np.split(bias, count)[gate] for bias in biases), np.zeros_like(reach))
    return sigmoid(np, centre - reach), sigmoid(np, centre + reach)


def _gru(cell: GRU, layer: StackLayer, largest_x: np.ndarray) -> np.ndarray:
    """``M >= |dh'/dh|``.

    ``dh'/dh = z I + (h - n) z(1-z) W_z + (1-z)(1-n^2) da_n/dh``; ``|n| <= 1``, and h lies between n and the h
    before, so it never leaves -1 to 1 either.
    """
    params = layer.scan.params
    w_r, w_z, w_n = (np.abs(block) for block in np.split(params["weight_hh"], 3))
    largest_h = np.maximum(1.0, _at_rest(layer, "h")) * np.ones(len(w_z))
    (_, r), (z_low, z) = (_open(params, gate, 3, largest_h, largest_x) for gate in range(2))
    if cell.reset == "after":
        bias = np.abs(np.split(params["bias_hh"], 3)[2]) if "bias_hh" in params else 0.0
        shown = w_n @ largest_h + bias
        candidate = r[:, None] * w_n + QUARTER * shown[:, None] * w_r
    else:
        candidate = w_n @ (np.diag(r) + QUARTER * largest_h[:, None] * w_r)
    moved = QUARTER * (1 + largest_h)[:, None] * w_z
    return np.diag(z) + moved + (1 - z_low)[:, None] * candidate


def _lstm(layer: StackLayer, largest_x: np.ndarray) -> np.ndarray:
    """``M >= |d[h', c']/d[h, c]|`` for h below 1 in size and c below what the gates can pile up."""
    params = layer.scan.params
    w_i, w_f, w_g, w_o = (np.abs(block) for block in np.split(params["weight_hh"], 4))
    projection = np.abs(params["weight_hr"]) if "weight_hr" in params else np.eye(len(w_i))
    largest_h = np.maximum(projection.sum(axis=1), _at_rest(layer, "h"))
    i, f, _, o = (_open(params, gate, 4, largest_h, largest_x)[1] for gate in range(4))
    piled = np.divide(i, 1 - f, out=np.full_like(f, np.inf), where=1 - f > USELESS)
    largest_c = np.maximum(piled, _at_rest(layer, "c"))
    by_forgetting = np.multiply(largest_c[:, None], w_f, out=np.zeros_like(w_f), where=w_f > 0)
    c_by_h = QUARTER * w_i + i[:, None] * w_g + QUARTER * by_forgetting
    if not np.isfinite(c_by_h).all():
        size = len(projection) + len(f)
        return np.full((size, size), np.inf)
    shown_by_h = o[:, None] * c_by_h + QUARTER * np.tanh(largest_c)[:, None] * w_o
    return np.block([[projection @ shown_by_h, projection * (o * f)], [c_by_h, np.diag(f)]])
