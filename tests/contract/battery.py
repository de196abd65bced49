"""What the contract batteries share: random cases over every registered cell, and how to compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from hiddenstate import cells

VARIANTS = [cell for name in cells.names() for cell in cells.variants(name)]
DTYPES = (np.float32, np.float64)


@dataclass(frozen=True)
class Case:
    """One scan with all its arguments, and gradients to send back through it."""

    cell: cells.Cell
    params: dict[str, np.ndarray]
    x: np.ndarray
    state: Any
    lengths: np.ndarray | None
    resets: np.ndarray | None
    rest: Any
    reverse: bool
    dy: np.ndarray
    d_last: Any

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of the scan."""
        return {"lengths": self.lengths, "resets": self.resets, "rest": self.rest, "reverse": self.reverse}

    @property
    def ends(self) -> np.ndarray:
        """Length of every row."""
        steps, rows, _ = self.x.shape
        return np.full(rows, steps) if self.lengths is None else self.lengths

    def start(self) -> Any:
        """The state of every row before anything: the given one, else rest, else zeros."""
        rows = self.x.shape[1]
        if self.state is not None:
            return self.state
        rest = self.resting()
        return type(rest)(*(np.tile(value, (rows, 1)) for value in rest))

    def resting(self) -> Any:
        """The rest state as vectors."""
        if self.rest is not None:
            return self.rest
        sizes = self.cell.sizes(self.params)
        shapes = self.cell.state_shapes(0, sizes.hidden_size, proj_size=sizes.proj_size)
        return type(shapes)(*(np.zeros(width, self.x.dtype) for _, width in shapes))

    def astype(self, dtype: Any) -> Case:
        """The same case in another precision."""

        def cast(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: array.astype(dtype) for name, array in value.items()}
            if isinstance(value, tuple):
                return type(value)(*(array.astype(dtype) for array in value))
            return None if value is None else value.astype(dtype)

        names = ("params", "x", "state", "rest", "dy", "d_last")
        return replace(self, **{name: cast(getattr(self, name)) for name in names})


def build(
    cell: cells.Cell,
    dtype: Any,
    steps: int,
    rows: int,
    inputs: int,
    hidden: int,
    proj: int,
    bias: bool,
    given: set[str],
    reverse: bool,
    seed: int,
) -> Case:
    """A case of these sizes; ``given`` names the optional arguments that it has."""
    rng = np.random.default_rng(seed)
    proj = min(proj, hidden - 1) if cell.projects else 0

    def normal(shape: tuple[int, ...]) -> np.ndarray:
        return rng.normal(size=shape).astype(dtype)

    def record(leading: tuple[int, ...]) -> Any:
        shapes = cell.state_shapes(0, hidden, proj_size=proj)
        return type(shapes)(*(normal((*leading, width)) for _, width in shapes))

    shapes = cell.param_shapes(inputs, hidden, bias=bias, proj_size=proj)
    params = {
        name: normal(shape) * dtype(1.2 / np.sqrt(shape[-1]) if len(shape) == 2 else 0.5)
        for name, shape in shapes.items()
    }
    return Case(
        cell=cell,
        params=params,
        x=normal((steps, rows, inputs)),
        state=record((rows,)) if "state" in given else None,
        lengths=rng.integers(0, steps + 1, rows) if "lengths" in given else None,
        resets=rng.random((steps, rows)) < 0.3 if "resets" in given else None,
        rest=record(()) if "rest" in given else None,
        reverse=reverse,
        dy=normal((steps, rows, proj or hidden)),
        d_last=record((rows,)),
    )


ARGUMENTS = st.fixed_dictionaries(
    {
        "steps": st.integers(0, 12),
        "rows": st.integers(0, 9),
        "inputs": st.integers(1, 9),
        # The larger ones fill several panels of vectors, the last one wholly, partly, or all but a lane.
        "hidden": st.integers(1, 40) | st.sampled_from([63, 64, 65, 121, 127, 128]),
        "proj": st.sampled_from([0, 1, 5, 17]),
        "bias": st.booleans(),
        "given": st.sets(st.sampled_from(["state", "lengths", "resets", "rest"])),
        "reverse": st.booleans(),
        "seed": st.integers(0, 2**32 - 1),
    }
)
"""Arguments of ``build`` of every size, from nothing at all to several vectors of hidden units."""


def hold(check: Callable[[Case], None], cell: cells.Cell, dtype: Any, *, examples: int = 30) -> None:
    """Runs a check on many cases; the same ones in every run, so that a failure stays found."""

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        report_multiple_bugs=False,
        phases=[Phase.generate],
    )
    @given(ARGUMENTS)
    def run(arguments: dict[str, Any]) -> None:
        check(build(cell, dtype, **arguments))

    run()


def same_bits(got: Any, wanted: Any, what: str) -> None:
    """Asserts that two arrays, or two records of arrays, are the same to the last bit."""
    for name, a, b in _pairs(got, wanted, what):
        assert a.dtype == b.dtype, f"{name}: {a.dtype} is not {b.dtype}"
        assert a.shape == b.shape, f"{name}: {a.shape} is not {b.shape}"
        if a.tobytes() != b.tobytes():
            with np.errstate(all="ignore"):
                worst = np.nanmax(np.abs(a - b), initial=0)
            raise AssertionError(f"{name}: bits differ, by up to {worst}")


def close(got: Any, wanted: Any, what: str, *, tolerance: float) -> None:
    """Asserts that arrays agree to ``tolerance`` times the largest value of the wanted one (at least 1)."""
    for name, a, b in _pairs(got, wanted, what):
        assert a.shape == b.shape, f"{name}: {a.shape} is not {b.shape}"
        worst = np.max(np.abs(a.astype(np.float64) - b), initial=0)
        bound = tolerance * max(1.0, float(np.max(np.abs(b), initial=0)))
        assert worst <= bound, f"{name}: off by {worst:.3g}, more than {bound:.3g}"


def _pairs(got: Any, wanted: Any, what: str) -> list[tuple[str, np.ndarray, np.ndarray]]:
    if not isinstance(wanted, tuple):
        return [(what, np.asarray(got), np.asarray(wanted))]
    fields = wanted._fields
    return [(f"{what}.{f}", getattr(got, f), getattr(wanted, f)) for f in fields]
