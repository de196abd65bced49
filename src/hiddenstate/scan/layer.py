"""A cell over a sequence: one layer in one direction, on the native kernel where there is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from hiddenstate import cells
from hiddenstate.cells import Cell, Sizes
from hiddenstate.errors import BackendError, OptionError
from hiddenstate.types import Array, Float

from . import check
from .loop import resting, unroll
from .recording import Recording

Backend = Literal["auto", "native", "python"]


def scan(
    cell: str | Cell,
    params: Mapping[str, Array],
    x: Array,
    state: Any = None,
    *,
    lengths: Any = None,
    resets: Array | None = None,
    rest: Any = None,
    reverse: bool = False,
    backend: Backend = "auto",
) -> tuple[Float[Array, "T B R"], Any]:
    """Runs a cell over a sequence: ``state_t = f(state_{t-1}, x_t)`` for every ``t``.

    Numpy arrays of float32 or float64 run on the native kernels when the cell has one; then a whole scan, any
    cutting of it into chunks with the state carried, and repeated single steps agree bit for bit, and a row's
    result does not depend on the other rows. ``Layer`` keeps the weights prepared for many calls.

    Args:
        cell: a cell, or the name of one with its default options.
        params: ``weight_ih [G*H, I]``, ``weight_hh [G*H, R]``, optional ``bias_ih [G*H]`` with
            ``bias_hh [G*H]``, optional ``weight_hr [P, H]``; R is P with a projection, else H. The other
            arrays have the dtype of these.
        x: input ``[T, B, I]``; what stands at padded steps is ignored.
        state: where the rows start, a record of ``[B, *]`` arrays; None: from ``rest``.
        lengths: number of steps of each row ``[B]``, integers in ``0..T`` in any order; None: all ``T``.
        resets: ``[T, B]`` bool, true at the first step of a new segment of a row: segments do not see each
            other, and start from ``rest``. A flag at a row's first step replaces ``state``.
        rest: the state that a segment starts from, a record of vectors ``[R]`` or ``[H]``; None: zeros.
        reverse: whether to run each row from its last step to its first. ``state`` then enters at the last
            step, and a segment is left, not entered, at its flag.
        backend: "native", "python", or "auto" for native where it can.

    Returns:
        ``y [T, B, R]``, the state's ``h`` after every step in its place in time (0 at padded steps), and the
        state after the last step taken (the given one for a row without steps).

    Raises:
        ShapeError: an array's shape or dtype does not fit, or a length lies outside ``0..T``.
        StateError: ``state`` or ``rest`` is not the record of this cell, or does not fit.
        OptionError: an unknown cell or backend.
        BackendError: ``backend="native"`` where there is no kernel.

    Example:
        >>> import numpy as np
        >>> params = {"weight_ih": np.ones((1, 1)), "weight_hh": np.ones((1, 1))}
        >>> y, state = scan(cells.RNN(nonlinearity="relu"), params, np.ones((3, 2, 1)), lengths=[3, 1])
        >>> y[:, :, 0], state.h
        (array([[1., 1.],
               [2., 0.],
               [3., 0.]]), array([[3.],
               [1.]]))
    """
    layer = Layer(cell, params, backend=backend)
    return layer.scan(x, state, lengths=lengths, resets=resets, rest=rest, reverse=reverse)


def record(
    cell: str | Cell,
    params: Mapping[str, Array],
    x: Array,
    state: Any = None,
    *,
    lengths: Any = None,
    resets: Array | None = None,
    rest: Any = None,
    reverse: bool = False,
    backend: Backend = "auto",
) -> Recording:
    """As ``scan``, keeping the activations of every step and the way back for gradients.

    Args:
        cell: as in ``scan``.
        params: as in ``scan``.
        x: as in ``scan``.
        state: as in ``scan``.
        lengths: as in ``scan``.
        resets: as in ``scan``.
        rest: as in ``scan``.
        reverse: as in ``scan``.
        backend: as in ``scan``.

    Returns:
        The recording: ``y``, ``state``, ``steps``, and ``backward``.

    Example:
        >>> import numpy as np
        >>> params = {"weight_ih": np.ones((1, 1)), "weight_hh": np.full((1, 1), 0.5)}
        >>> made = record(cells.RNN(nonlinearity="relu"), params, np.ones((3, 1, 1)))
        >>> made.backward(np.array([0.0, 0.0, 1.0]).reshape(3, 1, 1)).d_steps.h.ravel()  # dy_3/dh_t
        array([0.25, 0.5 , 1.  ])
    """
    layer = Layer(cell, params, backend=backend)
    return layer.record(x, state, lengths=lengths, resets=resets, rest=rest, reverse=reverse)


class Layer:
    """A cell with its weights, prepared once for many scans and steps. Immutable.

    Args:
        cell: as in ``scan``.
        params: as in ``scan``. Do not change them afterwards: the kernels work on a packed copy.
        backend: as in ``scan``.

    Attributes:
        cell: the cell.
        params: the parameters by name.
        sizes: widths of input, hidden units and projection.
        dtype: dtype of the parameters, and of everything the layer takes and gives.
        backend: "native" or "python": which path runs.

    Raises:
        ShapeError, OptionError, BackendError: as ``scan``.

    Example:
        >>> import numpy as np
        >>> layer = Layer("gru", {"weight_ih": np.ones((6, 3)), "weight_hh": np.ones((6, 2))})
        >>> y, state = layer.scan(np.ones((4, 1, 3)))
        >>> state = layer.step(np.ones((1, 3)), state)      # goes on, one step at a time
        >>> layer.backend, state.h.shape
        ('native', (1, 2))
    """

    def __init__(self, cell: str | Cell, params: Mapping[str, Array], *, backend: Backend = "auto") -> None:
        self.cell = cells.get(cell)
        self.params = dict(params)
        self.sizes, self.dtype = check.layer(self.cell, self.params)
        self._kernel = _kernel_of(self.cell, self.params, self.sizes, backend)
        self.backend = "python" if self._kernel is None else "native"

    def scan(
        self,
        x: Array,
        state: Any = None,
        *,
        lengths: Any = None,
        resets: Array | None = None,
        rest: Any = None,
        reverse: bool = False,
    ) -> tuple[Float[Array, "T B R"], Any]:
        """``scan`` with this layer's weights."""
        call = check.call(self.cell, self.sizes, self.dtype, x, state, lengths, resets, rest, reverse)
        if self._kernel is not None:
            return self._kernel.forward(call)
        y, last, _ = unroll(self.cell, self.params, self.sizes, call, check.namespace(x))
        return y, last

    def record(
        self,
        x: Array,
        state: Any = None,
        *,
        lengths: Any = None,
        resets: Array | None = None,
        rest: Any = None,
        reverse: bool = False,
    ) -> Recording:
        """``record`` with this layer's weights."""
        call = check.call(self.cell, self.sizes, self.dtype, x, state, lengths, resets, rest, reverse)
        if self._kernel is not None:
            return self._kernel.record(call)
        return Recording(*unroll(self.cell, self.params, self.sizes, call, check.namespace(x)), None)

    def initial_state(self, rows: int, *, rest: Any = None) -> Any:
        """The state ``[rows, *]`` that a scan starts from when it is given none: ``rest``, or zeros."""
        first = next(iter(self.params.values()))
        return resting(self.cell, self.sizes, rows, rest, like=first, xp=check.namespace(first))

    def step(self, x: Array, state: Any) -> Any:
        """One step of every row, with the bits of a scan over one step; the leanest way to run.

        Args:
            x: input ``[B, I]``.
            state: record of ``[B, *]`` arrays; ``initial_state`` makes the first.

        Returns:
            The next state; its ``h`` is the output.

        Raises:
            ShapeError: an array's shape or dtype does not fit.
            StateError: ``state`` is not the record of this cell.
        """
        if type(state) is not self.cell.State:
            raise check.other_state(state, self.cell.State, "state")
        if self._kernel is not None:
            return self._kernel.step(x, state)
        check.step(self.cell, self.sizes, self.dtype, x, state)
        return self.cell.step(check.namespace(x), self.params, x, state)[0]

    def operation(self, x: Array, state: Any, out: Any) -> tuple[Any, ...] | None:
        """``bind`` as a part of a ``native.Program``; None where there is no kernel."""
        return None if self._kernel is None else self._kernel.operation(x, state, out)

    def bind(self, x: Array, state: Any, out: Any) -> Callable[[], Any]:
        """``step`` on fixed numpy arrays: each call of it reads ``x`` and ``state`` and fills ``out``.

        Args:
            x: input ``[B, I]``.
            state: record of ``[B, *]`` arrays.
            out: record like ``state``, sharing no memory with it.

        Returns:
            What to call, as often as wanted; errors of shape or dtype come with the first call.
        """
        if self._kernel is not None:
            return self._kernel.bind(x, state, out)

        def run() -> None:
            for target, value in zip(out, self.step(x, state), strict=True):
                target[...] = value

        return run


def _kernel_of(cell: Cell, params: Mapping[str, Array], sizes: Sizes, backend: Backend) -> Any:
    """The native kernel that the call asked for, or None for the Python step."""
    if backend not in ("auto", "native", "python"):
        raise OptionError("unknown backend", expected=["auto", "native", "python"], got=repr(backend))
    if backend == "python":
        return None
    # Imported late: the Python step needs no compiled code.
    from . import kernel

    if kernel.takes(cell, params):
        return kernel.Kernel(cell, params, sizes)
    if backend == "auto":
        return None
    dtypes = sorted({f"{type(value).__name__} of {value.dtype}" for value in params.values()})
    raise BackendError(
        "no native kernel",
        where=repr(cell),
        expected="a cell with a kernel, numpy float32 or float64",
        got=dtypes,
    )
