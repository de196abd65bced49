"""States where the network stands still, or nearly so, while its input is held: what it can settle in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hiddenstate.errors import OptionError
from hiddenstate.types import Array

from .encoding import Encoded
from .jacobian import STATE
from .progress import Report, parts
from .result import Interval, Measurement, check_count
from .system import System, inputs_at

MARGIN = 1e-2
"""An eigenvalue this close to 1 in size neither fades nor grows: a direction along which memory is kept."""


@dataclass(frozen=True, eq=False, kw_only=True)
class FixedPoints(Measurement):
    """J3; see :func:`fixed_points`.

    Attributes:
        state: the points found, ``[N, S]``, slowest first.
        speed: ``||F(s, x*) - s||`` at each.
        kind: "fixed" (speed below the tolerance) or "slow", by point.
        stability: "attractor" (every eigenvalue of the Jacobian below 1 in size), "saddle", "repeller" (every
            one above 1), or "marginal" (an attractor but for eigenvalues within 0.01 of 1), by point.
        unstable: number of eigenvalues above 1 in size (by more than 0.01).
        eigenvalue_real: real parts of the eigenvalues of the Jacobian at each point, ``[N, S]``, largest
            first.
        eigenvalue_imag: their imaginary parts.
        time_constant: steps in which the most lasting disturbance fades to 1/e, by point; infinite if it does
            not fade.
        visits: how many of the starting states ended there.
        started: number of starting states.
    """

    columns: ClassVar[tuple[str, ...]] = ("kind", "stability", "speed", "unstable", "time_constant", "visits")
    state: np.ndarray
    speed: np.ndarray
    kind: tuple[str, ...]
    stability: tuple[str, ...]
    unstable: np.ndarray
    eigenvalue_real: np.ndarray
    eigenvalue_imag: np.ndarray
    time_constant: np.ndarray
    visits: np.ndarray
    started: int

    def sentence(self) -> str:
        """What the network can settle in."""
        if not len(self.kind):
            return f"No state was found where the network stands still (from {self.started} visited states)."
        counts = {
            name: self.stability.count(name) for name in ("attractor", "marginal", "saddle", "repeller")
        }
        named = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        fixed = self.kind.count("fixed")
        return (
            f"With the input held, {fixed} fixed and {len(self.kind) - fixed} slow points were found "
            f"({named}), reached from {int(self.visits.sum())} of {self.started} visited states. There may "
            "be others that the data does not come near."
        )


def fixed_points(
    model: Any,
    data: Any,
    *,
    inputs: Mapping[str, Any] | None = None,
    starts: int = 64,
    fixed_speed: float = 1e-6,
    slow_speed: float = 1e-2,
    iterations: int = 100,
    apart: float = 1e-3,
    seed: int = 0,
    progress: Report | None = None,
) -> FixedPoints:
    """Fixed and slow points of the map under a constant input, and what happens near them.

    Minimises ``q(s) = 1/2 ||F(s, x*) - s||^2`` from states that the network visits on the data, by damped
    Gauss-Newton steps with the exact Jacobian; keeps what is slow enough, once each.

    Args:
        model: what ``Probe`` takes; it must not read from both ends.
        data: what ``Probe.read`` takes.
        inputs: the input x* that is held, by input name (``[size]``, or an id); None: the mean of the data,
            or the commonest id.
        starts: visited states to start from, drawn at random.
        fixed_speed: ``||F(s) - s||`` below which a point is fixed.
        slow_speed: below which it is slow; the rest is dropped.
        iterations: most steps of the minimisation.
        apart: points nearer than this (relative to the spread of the visited states) are one point.
        seed: of the draw.
        progress: called after each step; all starts move together.

    Raises:
        OptionError: a bidirectional model, or numbers out of range.
        DataError: data that the model cannot take.

    Source: Sussillo and Barak, Opening the black box, Neural Computation 25 (2013); Golub and Sussillo,
    FixedPointFinder, JOSS 3 (2018), who descend with first-order methods.

    Example:
        >>> from hiddenstate.lens.examples import decaying
        >>> made = fixed_points(decaying(0.5), [np.ones(20)])        # h = h / 2 + 1
        >>> made.state.round(6).tolist(), made.stability
        ([[2.0]], ('attractor',))
    """
    check_count(starts, 1, "starts")
    if not 0 < fixed_speed <= slow_speed:
        expected = "above 0, at most slow_speed"
        raise OptionError("out of range", where="fixed_speed", expected=expected, got=fixed_speed)
    system = System(model)
    sequences = system.probe.read(data, seed=seed)
    states = _visited(system, sequences, starts, seed)
    held = _held(sequences, inputs)
    spread = max(float(np.sqrt(states.var(axis=0).sum())), 1e-6)
    rows = {name: np.repeat(value, len(states), axis=0) for name, value in held.items()}
    found = _descend(system, states, rows, fixed_speed, iterations, progress)
    speed = np.linalg.norm(system.advance(found, rows)[1] - found, axis=-1)
    kept = np.flatnonzero(speed <= slow_speed)
    first, visits = _distinct(found[kept], speed[kept], apart * spread)
    points = kept[first]
    return _described(system, found[points], speed[points], visits, held, fixed_speed, len(states))


def _visited(system: System, sequences: list[Encoded], starts: int, seed: int) -> np.ndarray:
    made, states = system.run(sequences)
    visited = states[1:][made.valid]
    if len(visited) > starts:
        visited = visited[np.random.default_rng(seed).choice(len(visited), starts, replace=False)]
    return visited


def _held(sequences: list[Encoded], inputs: Mapping[str, Any] | None) -> dict[str, Array]:
    """The input that is held, by name, ``[1, size]`` (ids ``[1]``)."""
    if inputs is None:
        places = np.array([(row, step) for row, one in enumerate(sequences) for step in range(len(one))])
        return {name: _typical(value) for name, value in inputs_at(sequences, places).items()}
    wanted = sequences[0].inputs
    if set(inputs) != set(wanted):
        names, got = sorted(wanted), sorted(inputs)
        raise OptionError("not the inputs of the model", where="inputs", expected=names, got=got)
    found = {}
    for name, value in wanted.items():
        whole = value.dtype.kind == "i"
        given = np.asarray(inputs[name], np.int64 if whole else np.float64)
        if given.shape != value.shape[1:] or not np.isfinite(given).all():
            where, expected = f"inputs[{name!r}]", f"finite, shape {value.shape[1:]}"
            raise OptionError("not one step of the input", where=where, expected=expected, got=given)
        found[name] = given[None]
    return found


def _typical(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "i":
        return np.argmax(np.bincount(values), keepdims=True)
    return values.mean(axis=0)[None]


def _descend(
    system: System,
    states: np.ndarray,
    rows: dict[str, Array],
    enough: float,
    iterations: int,
    progress: Report | None,
) -> np.ndarray:
    """Levenberg and Marquardt's steps, every start with a damping of its own."""
    damping = np.full(len(states), 1e-3)
    moved = system.advance(states, rows)[1] - states
    for _ in parts(range(iterations), what="fixed points", report=progress):
        open_ = np.flatnonzero((np.linalg.norm(moved, axis=-1) > enough * 1e-3) & (damping < 1e8))
        if not len(open_):
            break
        own = {name: value[open_] for name, value in rows.items()}
        slope = system.jacobians(states[open_], own) - np.eye(system.size)
        back = slope.swapaxes(-1, -2)
        damped = back @ slope + damping[open_, None, None] * np.eye(system.size)
        step = np.linalg.solve(damped, back @ moved[open_, :, None])[..., 0]
        tried = states[open_] - step
        then = system.advance(tried, own)[1] - tried
        better = np.linalg.norm(then, axis=-1) < np.linalg.norm(moved[open_], axis=-1)
        states, moved = states.copy(), moved.copy()
        states[open_[better]], moved[open_[better]] = tried[better], then[better]
        damping[open_] = np.where(better, np.maximum(damping[open_] / 10, 1e-12), damping[open_] * 10)
    return states


def _distinct(points: np.ndarray, speed: np.ndarray, apart: float) -> tuple[np.ndarray, np.ndarray]:
    """Which points to keep, slowest first, and how many lie near each."""
    kept: list[int] = []
    visits: list[int] = []
    for index in np.argsort(speed, kind="stable").tolist():
        near = [n for n, other in enumerate(kept) if np.linalg.norm(points[index] - points[other]) <= apart]
        if near:
            visits[near[0]] += 1
        else:
            kept.append(index)
            visits.append(1)
    return np.array(kept, np.int64), np.array(visits, np.int64)


def _described(
    system: System,
    points: np.ndarray,
    speed: np.ndarray,
    visits: np.ndarray,
    held: dict[str, Array],
    fixed_speed: float,
    started: int,
) -> FixedPoints:
    rows = {name: np.repeat(value, len(points), axis=0) for name, value in held.items()}
    values = np.zeros((0, system.size), complex)
    if len(points):
        values = np.linalg.eigvals(system.jacobians(points, rows)).astype(complex)
    values = np.take_along_axis(values, np.argsort(-np.abs(values), axis=-1, kind="stable"), axis=-1)
    sizes = np.abs(values)
    with np.errstate(divide="ignore"):
        fading = -1 / np.log(np.where(sizes[:, 0] < 1, sizes[:, 0], 1.0))
    nothing = np.full(len(points), np.nan)
    return FixedPoints(
        state=points,
        speed=speed,
        kind=tuple("fixed" if value <= fixed_speed else "slow" for value in speed),
        stability=tuple(_stability(value) for value in sizes),
        unstable=(sizes > 1 + MARGIN).sum(axis=-1),
        eigenvalue_real=np.real(values),
        eigenvalue_imag=np.imag(values),
        time_constant=np.abs(fading),
        visits=visits,
        started=started,
        interval=Interval(nothing, nothing, 0, "speed"),
        convention=(
            f"{STATE}; the input is held; points are those that some visited state leads to by minimisation, "
            "so there is no interval over sequences"
        ),
    )


def _stability(sizes: np.ndarray) -> str:
    if (sizes > 1 + MARGIN).all():
        return "repeller"
    if (sizes > 1 + MARGIN).any():
        return "saddle"
    return "marginal" if (sizes > 1 - MARGIN).any() else "attractor"
