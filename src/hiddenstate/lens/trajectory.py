"""The path of the state through its main directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from hiddenstate.errors import DataError, ShapeError

from .probe import open_probe
from .result import Measurement, bootstrap, check_count


@dataclass(frozen=True, eq=False, kw_only=True)
class Trajectory(Measurement):
    """T1; see :func:`trajectory`.

    Attributes:
        component: 1 to K.
        share: share of the variance of all states along each direction; the interval belongs to it.
        mean: what is subtracted from a state, ``[S]``.
        axes: directions as unit vectors, ``[K, S]``; the entry of largest size is positive.
        path: for every sequence, the state after each step along the directions, ``[T, K]``.
        label: for every sequence, what each step reads.
        sequence: names of the sequences.
        borrowed: whether mean and directions come from another trajectory.
    """

    columns: ClassVar[tuple[str, ...]] = ("component", "share")
    component: np.ndarray
    share: np.ndarray
    mean: np.ndarray
    axes: np.ndarray
    path: tuple[np.ndarray, ...]
    label: tuple[tuple[str, ...], ...]
    sequence: tuple[str, ...]
    borrowed: bool

    def project(self, states: np.ndarray) -> np.ndarray:
        """States ``[..., S]`` along the directions, ``[..., K]``.

        Raises:
            ShapeError: states of another width.
        """
        if states.shape[-1:] != self.mean.shape:
            raise ShapeError("states of another width", expected=len(self.mean), got=states.shape)
        return (states - self.mean) @ self.axes.T

    def sentence(self) -> str:
        """How much of the movement the picture shows."""
        bounds = "one sequence, so no interval"
        if self.interval.sequences > 1:
            low, high = self.interval.low[0], self.interval.high[0]
            bounds = f"{self.interval.level:.0%} interval of the first {low:.0%} to {high:.0%}"
        each = " + ".join(f"{value:.0%}" for value in self.share)
        whose = " Directions are those of another trajectory." if self.borrowed else ""
        return (
            f"The picture holds {self.share.sum():.0%} of the movement of the state ({each}; {bounds})."
            f"{whose} What lies outside it is not shown: near in the picture need not be near."
        )


def trajectory(
    model: Any,
    data: Any,
    *,
    components: int = 3,
    layer: str | None = None,
    like: Trajectory | None = None,
    seed: int = 0,
) -> Trajectory:
    """The path of the state of each sequence, along the directions in which states vary most (T1).

    Principal components of all states ``s_t`` (h, for an LSTM [h; c]) after every step of every sequence.

    Args:
        model: what ``Probe`` takes.
        data: what ``Probe.read`` takes.
        components: K; no more than the state has entries.
        layer: name of a layer; None: the last one that reads forwards.
        like: another trajectory, of this model before more training or on other data, whose mean and
            directions are used, so that the two pictures can be laid over one another.
        seed: of the sample of sequences and of the bootstrap.

    Raises:
        DataError: fewer than two steps in all.
        ShapeError: ``like`` belongs to a state of another width.
        OptionError: no such layer.

    Source: Pearson (1901); of recurrent networks: Maheswaranathan et al., arXiv 1906.10720.

    Example:
        >>> from hiddenstate.lens.examples import decaying
        >>> made = trajectory(decaying(0.5, size=2), [np.ones(20)], components=1)
        >>> made.axes.round(3).tolist(), made.share.round(6).tolist()      # both units move together
        ([[0.707, 0.707]], [1.0])
    """
    check_count(components, 1, "components")
    probe = open_probe(model)
    one = probe.layer(layer)
    sequences = probe.read(data, seed=seed)
    made = probe.run(sequences)
    joined = made.joined(one.name).astype(np.float64)
    states = [joined[: len(found), row] for row, found in enumerate(sequences)]
    every = np.concatenate(states)
    if len(every) < 2:
        raise DataError("a single state has no direction", expected="two steps or more")
    if like is None:
        mean, axes = every.mean(axis=0), _axes(every, components)
    else:
        mean, axes = like.mean, like.axes
        if axes.shape[1] != every.shape[1]:
            expected, got = f"width {every.shape[1]}", f"width {axes.shape[1]}"
            raise ShapeError("directions of another state", where="like", expected=expected, got=got)
    moments, shares = _moments(states, axes), partial(_shares, kept=len(axes))
    return Trajectory(
        component=np.arange(1, len(axes) + 1),
        share=shares(moments),
        mean=mean,
        axes=axes,
        path=tuple((state - mean) @ axes.T for state in states),
        label=tuple(tuple(found.labels) for found in sequences),
        sequence=tuple(found.name for found in sequences),
        borrowed=like is not None,
        interval=bootstrap(moments, of="share", statistic=shares, seed=seed),
        convention=(
            f"s_t of {one.name}, all {len(every)} steps of {len(sequences)} sequences alike, each from rest; "
            "interval with the directions held"
        ),
    )


def _axes(states: np.ndarray, components: int) -> np.ndarray:
    """Eigenvectors of the covariance with the largest eigenvalues."""
    centred = states - states.mean(axis=0)
    axes = np.linalg.eigh(centred.T @ centred)[1].T[::-1][:components]
    largest = np.abs(axes).argmax(axis=1)
    return axes * np.sign(axes[np.arange(len(axes)), largest])[:, None]


def _moments(states: Sequence[np.ndarray], axes: np.ndarray) -> np.ndarray:
    """Sums over the steps of every sequence: 1, ``|s|^2``, then a, ``a^2`` (K each, along the axes) and s."""
    found = []
    for state in states:
        along = state @ axes.T
        sums = [along.sum(axis=0), (along**2).sum(axis=0), state.sum(axis=0)]
        found.append(np.concatenate([[len(state), (state**2).sum()], *sums]))
    return np.stack(found)


def _shares(moments: np.ndarray, *, kept: int) -> np.ndarray:
    """Variance along each of ``kept`` directions over the whole variance."""
    total = moments.sum(axis=0)
    square, rest = total[1] / total[0], total[2:] / total[0]
    along, squares, mean = rest[:kept], rest[kept : 2 * kept], rest[2 * kept :]
    whole = square - mean @ mean
    return np.divide(squares - along**2, whole, out=np.zeros(kept), where=whole > 0)
