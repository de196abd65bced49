"""A scan that can be looked into and differentiated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hiddenstate.errors import BackendError
from hiddenstate.types import Array, Float

from . import check


class Gradients(NamedTuple):
    """Gradients of a loss through one scan, by backpropagation through time.

    Attributes:
        dx: by the input, ``[T, B, I]``; zero at padded steps.
        d_state: by the state that the rows started from, given or not; a record of ``[B, *]``.
        d_params: by each parameter, by name and in its shape.
        d_rest: by the rest state, over everything that started from it; a record of vectors.
        d_steps: ``dL/ds_t``, the effect of the state after step ``t`` on the loss along every path, its own
            output included; a record of ``[T, B, *]``, zero at padded steps.
    """

    dx: Array
    d_state: Any
    d_params: dict[str, Array]
    d_rest: Any
    d_steps: Any


@dataclass(frozen=True)
class Recording:
    """One scan with the activations of every step; ``record`` makes it.

    Attributes:
        y: output ``[T, B, R]``.
        state: the last state.
        steps: the activations that ``cell.tape`` names, each ``[T, B, H]``, zero at padded steps.
    """

    y: Float[Array, "T B R"]
    state: Any
    steps: dict[str, Array]
    _differentiate: Callable[[Array | None, Any], Gradients] | None = field(repr=False)

    def backward(self, dy: Array | None = None, d_state: Any = None) -> Gradients:
        """Gradients of a loss, from its gradients by this scan's results.

        Args:
            dy: by ``y``, in its shape and dtype; what stands at padded steps is ignored. None: zeros.
            d_state: by ``state``, a record like it. None: zeros.

        Raises:
            ShapeError: ``dy`` does not have the shape and dtype of ``y``.
            StateError: ``d_state`` is not a record like ``state``.
            BackendError: the scan did not run on a native kernel.
        """
        if self._differentiate is None:
            fix = "Call scan_python with torch tensors and let torch differentiate it"
            raise BackendError("only native kernels carry their own gradient", where="backward", fix=fix)
        if dy is not None:
            check.array(dy, self.y.shape, "dy", self.y.dtype)
        if d_state is not None:
            shapes = type(self.state)(*(value.shape for value in self.state))
            check.record(d_state, shapes, "d_state", self.y.dtype)
        return self._differentiate(dy, d_state)
