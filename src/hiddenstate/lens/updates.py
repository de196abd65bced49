"""What an update does to the weights: clipping, and the size of the step for every gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from hiddenstate import cells
from hiddenstate.errors import DataError, OptionError, ShapeError
from hiddenstate.spec import ModelSpec, suffix

from .result import Measurement, bootstrap, mean_over_sequences


@dataclass(frozen=True, eq=False, kw_only=True)
class ClipStatistics(Measurement):
    """G2; see :func:`clip_statistics`.

    Attributes:
        threshold: longest gradient that passes unchanged.
        norms: gradient norm of every update, before clipping.
        share: share of updates that were clipped; the interval is of this.
        mean_scale: mean factor that gradients were multiplied by.
        median_norm: of ``norms``.
        largest_norm: of ``norms``.
    """

    columns: ClassVar[tuple[str, ...]] = ("norms",)
    threshold: float
    norms: np.ndarray
    share: float
    mean_scale: float
    median_norm: float
    largest_norm: float

    def sentence(self) -> str:
        """How often, and how hard."""
        return (
            f"Clipping at {self.threshold:g} touched {self.share:.0%} of {len(self.norms)} updates "
            f"({self.interval.level:.0%} interval {float(self.interval.low):.0%} to "
            f"{float(self.interval.high):.0%}) and scaled gradients by {self.mean_scale:.2g} on average; the "
            f"median gradient is {self.median_norm:.3g} long. Neighbouring updates are alike, so the "
            "interval is too narrow."
        )


def clip_statistics(norms: Any, threshold: float, *, seed: int = 0) -> ClipStatistics:
    """How often and how hard gradients were clipped (G2).

    An update is clipped when ``||g|| > threshold``; its gradient is multiplied by
    ``min(1, threshold / ||g||)``.

    Args:
        norms: ``||g||_2`` over all parameters before clipping, one for each update, ``[N]``.
        threshold: the clipping norm, above 0.
        seed: of the bootstrap over updates.

    Raises:
        DataError: no updates, or norms that are no finite numbers.
        OptionError: a threshold that is not above 0.

    Source: Pascanu, Mikolov and Bengio, arXiv 1211.5063 (2013).

    Example:
        >>> made = clip_statistics([0.5, 1.0, 2.0, 4.0], 1.0)
        >>> made.share, made.mean_scale
        (0.5, 0.6875)
    """
    lengths = np.asarray(norms, np.float64).ravel()
    if not len(lengths) or not np.isfinite(lengths).all() or (lengths < 0).any():
        bad = "nothing" if not len(lengths) else str(lengths[~(np.isfinite(lengths) & (lengths >= 0))][:1])
        raise DataError("not gradient norms", where="norms", expected="finite numbers from 0", got=bad)
    if not threshold > 0:
        raise OptionError("not a clipping norm", where="threshold", expected="above 0", got=threshold)
    clipped = (lengths > threshold).astype(np.float64)
    return ClipStatistics(
        interval=bootstrap(clipped, of="share", seed=seed),
        convention="Euclidean norm over all parameters before clipping; mean and interval over updates",
        threshold=float(threshold),
        norms=lengths,
        share=float(clipped.mean()),
        mean_scale=float(np.minimum(1, threshold / np.maximum(lengths, threshold)).mean()),
        median_norm=float(np.median(lengths)),
        largest_norm=float(lengths.max()),
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class UpdateRatios(Measurement):
    """G3; see :func:`update_ratios`.

    Attributes:
        block: name of each block of weights: layer, gate, and "input" or "recurrent".
        ratio: mean ``||change|| / ||weights||`` of each; the interval is of this.
        updates: number of updates behind the mean.
    """

    columns: ClassVar[tuple[str, ...]] = ("block", "ratio")
    block: tuple[str, ...]
    ratio: np.ndarray
    updates: int

    def sentence(self) -> str:
        """The slowest and the fastest block."""
        known = np.flatnonzero(np.isfinite(self.ratio))
        if not len(known):
            return "All weights are zero, so their change has no ratio."
        low, high = known[np.argmin(self.ratio[known])], known[np.argmax(self.ratio[known])]
        return (
            f"An update changes weights by {self.ratio[low]:.2g} ({self.block[low]}) to "
            f"{self.ratio[high]:.2g} ({self.block[high]}) of their size; about 0.001 is common, and a block "
            "far below the others hardly learns."
        )


def gate_update_ratios(
    spec: ModelSpec, before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """``||change|| / ||weights before||`` of every gate's block, input and recurrent weights apart.

    Args:
        spec: the model.
        before: parameters by full name.
        after: the same one update later.

    Returns:
        By name, ``"rnn_l0 f recurrent"``; NaN where the weights were all zero.

    Raises:
        ShapeError: a recurrent weight is missing or has another shape.
    """
    found = {}
    for block in spec.recurrent:
        gates = cells.get(block.cell, **block.options).gates
        for layer in range(block.num_layers):
            for direction in range(block.directions):
                tail = suffix(layer, direction)
                for kind, what in (("ih", "input"), ("hh", "recurrent")):
                    name = f"{block.name}.weight_{kind}{tail}"
                    old, new = _pair(spec, name, before, after, len(gates))
                    for gate, was, now in zip(gates, old, new, strict=True):
                        size = np.linalg.norm(was)
                        ratio = np.linalg.norm(now - was) / size if size else np.nan
                        found[f"{block.name}{tail} {gate} {what}"] = float(ratio)
    return found


def _pair(
    spec: ModelSpec, name: str, before: Mapping[str, Any], after: Mapping[str, Any], gates: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    wanted = spec.param_shapes()[name]
    blocks = []
    for params in (before, after):
        if name not in params or tuple(np.shape(params[name])) != wanted:
            got = tuple(np.shape(params[name])) if name in params else "no such parameter"
            raise ShapeError("not the parameters of this model", where=name, expected=wanted, got=got)
        blocks.append(np.split(np.asarray(params[name], np.float64), gates))
    return blocks[0], blocks[1]


def update_ratios(
    spec: ModelSpec, parameters: Sequence[Mapping[str, np.ndarray]], *, seed: int = 0
) -> UpdateRatios:
    """How much updates change the weights of every gate, relative to their size (G3).

    Args:
        spec: the model.
        parameters: the parameters before the first update and after each one, by full name; two or more.
        seed: of the bootstrap over updates.

    Raises:
        DataError: fewer than two sets of parameters.
        ShapeError: parameters of another model.

    Source: You, Gitman and Ginsburg, Large batch training of convolutional networks, arXiv 1708.03888 (2017),
    whose ratio this is, inverted, for gates in place of layers.

    Example:
        >>> from hiddenstate.spec import Input, Recurrent
        >>> spec = ModelSpec((Input("x"),), (Recurrent("rnn", "x", "gru", 2),))
        >>> old = {name: np.ones(shape) for name, shape in spec.param_shapes().items()}
        >>> new = old | {"rnn.weight_hh_l0": np.repeat([1.1, 1.0, 1.0], 2)[:, None] * np.ones(2)}
        >>> made = update_ratios(spec, [old, new])
        >>> {name: round(value, 3) for name, value in zip(made.block, made.ratio.tolist()) if value}
        {'rnn_l0 r recurrent': 0.1}
    """
    if len(parameters) < 2:
        raise DataError("no update to look at", where="parameters", expected="two sets", got=len(parameters))
    each = [gate_update_ratios(spec, before, after) for before, after in pairwise(parameters)]
    values = np.array([list(one.values()) for one in each])
    return UpdateRatios(
        interval=bootstrap(values, of="ratio", seed=seed),
        convention="Frobenius norms of each gate's block of a weight matrix; mean and interval over updates",
        block=tuple(each[0]),
        ratio=mean_over_sequences(values),
        updates=len(each),
    )
