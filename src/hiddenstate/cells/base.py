"""What every cell is: one step ``h_t = f(h_{t-1}, x_t)``, written over a passed-in array namespace."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from hiddenstate.errors import OptionError, ShapeError
from hiddenstate.types import Array


class Sizes(NamedTuple):
    """Widths of one layer in one direction: input ``I``, hidden units ``H``, projection ``P`` (0: none)."""

    input_size: int
    hidden_size: int
    proj_size: int = 0

    @property
    def out_size(self) -> int:
        """Width ``R`` of the output and of the state's ``h``: ``P`` with a projection, else ``H``."""
        return self.proj_size or self.hidden_size


class Cell(ABC):
    """One recurrent step.

    A cell is an immutable description; weights and state are passed in. ``step`` uses only functions of the
    array namespace ``xp`` (numpy, ``array_api_compat.torch``, a recorder), so one text serves as float64
    oracle, as torch fallback with any order of derivative, and for export.

    Attributes:
        name: registry name, as a user types it (``cell="gru"``).
        gates: names of the stacked blocks of the weight matrices, in torch's order.
        State: the named record of the state; its first field is ``h``, the output.
        projects: whether the cell takes ``weight_hr``, a projection of its output to a smaller size.
    """

    name: ClassVar[str]
    gates: ClassVar[tuple[str, ...]]
    State: ClassVar[type]
    projects: ClassVar[bool] = False

    @property
    def native(self) -> str | None:
        """Name of the native kernel of this variant, or None (then scans run the Python step)."""
        return None

    @property
    def tape(self) -> tuple[str, ...]:
        """What a recording keeps of a step, each ``[H]`` wide: activations, then the state beyond ``h``."""
        return ()

    @abstractmethod
    def step(
        self, xp: Any, params: Mapping[str, Array], x: Array, state: Any
    ) -> tuple[Any, dict[str, Array]]:
        """One step of the recurrence for a batch of rows.

        Args:
            xp: array namespace of ``x``, the state and the parameters.
            params: ``weight_ih [G*H, I]``, ``weight_hh [G*H, R]`` (R = H, or P with a projection), optional
                ``bias_ih [G*H]``, ``bias_hh [G*H]`` and ``weight_hr [P, H]``.
            x: input ``[B, I]``.
            state: record of ``[B, H]`` arrays (``h`` is ``[B, P]`` with a projection).

        Returns:
            The next state (its ``h`` is the output), and the gate activations by name, each ``[B, H]``.
        """

    def param_shapes(
        self, input_size: int, hidden_size: int, *, bias: bool = True, proj_size: int = 0
    ) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters of one layer in one direction, in torch's order and with torch's names.

        Raises:
            OptionError: on a projection for a cell that has none.
        """
        if proj_size and not self.projects:
            raise OptionError(
                "this cell has no projection", where=self.name, expected="proj_size=0", got=proj_size
            )
        rows, out = len(self.gates) * hidden_size, proj_size or hidden_size
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, input_size), "weight_hh": (rows, out)}
        if bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if proj_size:
            shapes["weight_hr"] = (proj_size, hidden_size)
        return shapes

    def sizes(self, params: Mapping[str, Array]) -> Sizes:
        """The widths that ``params`` were made for: the inverse of ``param_shapes``.

        Raises:
            ShapeError: when a parameter is missing, unknown, or does not fit the others.
        """
        for name in ("weight_ih", "weight_hh"):
            if name not in params or len(params[name].shape) != 2:
                got = tuple(params[name].shape) if name in params else sorted(params)
                raise ShapeError("a cell needs two weight matrices", where=name, expected="a matrix", got=got)
        rows = params["weight_ih"].shape[0]
        proj = params["weight_hr"].shape[0] if "weight_hr" in params else 0
        found = Sizes(params["weight_ih"].shape[1], rows // len(self.gates), proj)
        self.check_params(params, found)
        return found

    def check_params(self, params: Mapping[str, Array], sizes: Sizes) -> None:
        """Check that ``params`` are exactly those of a layer of these sizes, with both biases or none.

        Raises:
            ShapeError: when they are not.
        """
        bias = "bias_ih" in params or "bias_hh" in params
        wanted = self.param_shapes(sizes.input_size, sizes.hidden_size, bias=bias, proj_size=sizes.proj_size)
        if set(wanted) != set(params):
            raise ShapeError("wrong parameters", where=self.name, expected=sorted(wanted), got=sorted(params))
        for name, shape in wanted.items():
            if tuple(params[name].shape) != shape:
                raise ShapeError("wrong shape", where=name, expected=shape, got=tuple(params[name].shape))

    def state_shapes(self, batch: int, hidden_size: int, *, proj_size: int = 0) -> Any:
        """Shapes of the state's fields as a record: ``h`` as wide as the output, others ``hidden_size``."""
        out = proj_size or hidden_size
        return self.State(*((batch, out if field == "h" else hidden_size) for field in self.State._fields))

    def count_parameters(
        self, input_size: int, hidden_size: int, *, bias: bool = True, proj_size: int = 0
    ) -> int:
        """Number of trained values of one layer in one direction.

        Example:
            >>> from hiddenstate import cells
            >>> {name: cells.get(name).count_parameters(10, 20) for name in ("rnn", "gru", "lstm")}
            {'rnn': 640, 'gru': 1920, 'lstm': 2560}
        """
        shapes = self.param_shapes(input_size, hidden_size, bias=bias, proj_size=proj_size)
        return sum(math.prod(shape) for shape in shapes.values())


def affine(params: Mapping[str, Array], kind: str, x: Array) -> Array:
    """``W x + b`` for every row of ``x``, with ``weight_<kind>`` and, where there is one, ``bias_<kind>``."""
    product = x @ params[f"weight_{kind}"].T
    return product + params[f"bias_{kind}"] if f"bias_{kind}" in params else product


def split(blocks: Array, count: int) -> list[Array]:
    """The ``count`` gate blocks ``[B, H]`` of ``[B, count*H]``."""
    width = blocks.shape[-1] // count
    return [blocks[:, gate * width : (gate + 1) * width] for gate in range(count)]


def sigmoid(xp: Any, x: Array) -> Array:
    """Logistic function through tanh, which neither overflows nor needs a branch: ``(1 + tanh(x/2)) / 2``."""
    return 0.5 * xp.tanh(0.5 * x) + 0.5
