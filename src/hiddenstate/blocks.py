"""The forward pass of every block of a spec, written once over an array namespace.

``nn`` runs it with torch tensors (autograd sees plain operations), ``runtime`` with numpy arrays and native
kernels. What differs between the two is handed in as ``ops``; everything else uses the namespace ``ops.xp``.

Every operation here treats rows independently and sums over time in order, one step after the other. With
such kernels behind ``ops`` a whole sequence, chunks of it and single steps therefore give the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from .spec import Add, Block, Concat, Dropout, Embed, Linear, ModelSpec, Norm, Pool, Recurrent, sources_of
from .types import Array, Bool, Float, Int, State


@runtime_checkable
class Ops(Protocol):
    """What a backend supplies. ``params`` are those of the block alone, without its name in front."""

    @property
    def xp(self) -> Any:
        """Array namespace (array API standard) of all arrays."""

    def embed(self, block: Embed, weight: Array, ids: Array) -> Array:
        """Rows of ``weight [V, size]`` at ``ids [...]``: ``[..., size]``."""

    def linear(self, block: Linear, weight: Array, bias: Array | None, x: Array) -> Array:
        """``x [..., in] -> x W^T + b [..., size]``, without the activation."""

    def recurrent(
        self,
        block: Recurrent,
        params: Mapping[str, Array],
        x: Array,
        state: State | None,
        lengths: Array | None,
        resets: Array | None,
    ) -> tuple[Array, State]:
        """All layers and directions: ``x [T, B, I] -> [T, B, D*R]`` and the state, fields ``[L*D, B, *]``."""
        ...

    def dropout(self, block: Dropout, x: Array) -> Array:
        """Drops elements while training."""


class PoolState(NamedTuple):
    """What a pool has seen of each row since its start or last reset.

    Attributes:
        value: ``[B, F]``: last step, maximum, or (float64) sum of the steps; zeros where there was none.
        count: ``[B]`` int64: number of steps.
    """

    value: Array
    count: Array


ModelState = dict[str, Any]
"""State of a model: block name -> record (``RNNState``, ``GRUState``, ``LSTMState`` or ``PoolState``)."""


def forward(
    spec: ModelSpec,
    params: Mapping[str, Array],
    inputs: Mapping[str, Array],
    *,
    ops: Ops,
    state: ModelState | None = None,
    lengths: Array | None = None,
    resets: Array | None = None,
) -> tuple[Array, ModelState]:
    """Runs a model over a batch of sequences.

    Args:
        spec: the model.
        params: arrays named and shaped as ``spec.param_shapes()``.
        inputs: by input name: ``[T, B, size]`` numbers, or ``[T, B]`` integer ids.
        ops: the backend.
        state: where to continue from, as returned; None starts at rest.
        lengths: ``[B]`` valid steps of each row; None means T. Outputs at later steps have no meaning.
        resets: ``[T, B]`` bool; True at a step restarts that row's state before the step.

    Returns:
        Output of the last block (``[T, B, size]``, or ``[B, size]`` after a pool), and the state after the
        last valid step of each row.
    """
    nodes: dict[str, Array] = dict(inputs)
    before, after = state or {}, {}
    for block in spec.blocks:
        sources = [nodes[source] for source in sources_of(block)]
        if isinstance(block, Recurrent):
            nodes[block.name], after[block.name] = ops.recurrent(
                block, own_params(block, params), sources[0], before.get(block.name), lengths, resets
            )
        elif isinstance(block, Pool):
            nodes[block.name], after[block.name] = pool(
                ops.xp, block, sources[0], before.get(block.name), lengths, resets
            )
        else:
            nodes[block.name] = stateless(block, params, sources, ops)
    return nodes[spec.blocks[-1].name], after


def own_params(block: Block, params: Mapping[str, Array]) -> dict[str, Array]:
    """The parameters of one block, without its name in front."""
    prefix = block.name + "."
    return {name.removeprefix(prefix): value for name, value in params.items() if name.startswith(prefix)}


def stateless(block: Block, params: Mapping[str, Array], sources: list[Array], ops: Ops) -> Array:
    """Forward of a block that keeps nothing between steps."""
    if isinstance(block, Embed):
        return ops.embed(block, params[f"{block.name}.weight"], sources[0])
    if isinstance(block, Linear):
        weight = params[f"{block.tied or block.name}.weight"]
        y = ops.linear(block, weight, params.get(f"{block.name}.bias"), sources[0])
        return activate(ops.xp, block.activation, y)
    if isinstance(block, Norm):
        return norm(
            ops.xp, params[f"{block.name}.weight"], params[f"{block.name}.bias"], sources[0], eps=block.eps
        )
    if isinstance(block, Dropout):
        return ops.dropout(block, sources[0])
    if isinstance(block, Concat):
        return ops.xp.concat(sources, axis=-1)
    if isinstance(block, Add):
        total = sources[0]
        for source in sources[1:]:
            total = total + source
        return total
    raise TypeError(f"no forward for {type(block).__name__}")


def activate(xp: Any, activation: str | None, x: Array) -> Array:
    """None, ``tanh``, or ``relu`` (NaN stays NaN, and the slope at 0 is 0, as in torch)."""
    if activation == "relu":
        return xp.where(x <= 0, xp.zeros_like(x), x)
    return xp.tanh(x) if activation == "tanh" else x


def norm(
    xp: Any, weight: Float[Array, " F"], bias: Float[Array, " F"], x: Float[Array, "*rows F"], *, eps: float
) -> Float[Array, "*rows F"]:
    """Layer normalisation: ``(x - mean) / sqrt(var + eps) * weight + bias`` over the last axis."""
    centred = x - xp.mean(x, axis=-1, keepdims=True)
    variance = xp.mean(centred * centred, axis=-1, keepdims=True)
    return centred / xp.sqrt(variance + eps) * weight + bias


def pool(
    xp: Any,
    block: Pool,
    x: Float[Array, "T B F"],
    state: PoolState | None,
    lengths: Int[Array, " B"] | None,
    resets: Bool[Array, "T B"] | None,
) -> tuple[Float[Array, "B F"], PoolState]:
    """One vector per row from its steps since the start or the last reset, continuing from ``state``.

    A row without any step gives zeros. Sums run in float64: a stream may have millions of steps.
    """
    time, batch, size = x.shape
    dtype = xp.float64 if block.how == "mean" else x.dtype
    if state is None:
        state = PoolState(_zeros(xp, (batch, size), dtype, x), _zeros(xp, (batch,), xp.int64, x))
    keep, restarted = _kept_steps(xp, x, lengths, resets)
    carried = xp.where(restarted, xp.zeros_like(state.count), state.count)
    value = xp.where((carried > 0)[:, None], state.value, xp.zeros_like(state.value))
    fresh = xp.sum(xp.astype(keep, xp.int64), axis=0)
    count = carried + fresh
    mask = keep[:, :, None]
    if block.how == "mean":
        steps = xp.where(mask, xp.astype(x, dtype), _zeros(xp, (1, 1, 1), dtype, x))
        value = xp.cumulative_sum(xp.concat([value[None], steps], axis=0), axis=0)[-1]
        divisor = xp.astype(xp.where(count > 0, count, xp.ones_like(count)), dtype)[:, None]
        return xp.astype(value / divisor, x.dtype), PoolState(value, count)
    if block.how == "max":
        lowest = xp.full((1, 1), -xp.inf, dtype=dtype, device=x.device)
        before = xp.where((carried > 0)[:, None], value, lowest)
        best = (
            xp.max(xp.concat([before[None], xp.where(mask, x, lowest[None])], axis=0), axis=0) + 0.0
        )  # no -0
        value = xp.where((count > 0)[:, None], best, xp.zeros_like(value))
    elif time:
        value = xp.where((fresh > 0)[:, None], _last(xp, x, lengths), value)
    return value, PoolState(value, count)


def _zeros(xp: Any, shape: tuple[int, ...], dtype: Any, like: Array) -> Array:
    return xp.zeros(shape, dtype=dtype, device=like.device)


def _kept_steps(xp: Any, x: Array, lengths: Array | None, resets: Array | None) -> tuple[Array, Array]:
    """Which steps count, ``[T, B]``, and which rows were restarted, ``[B]``: only the last segment counts."""
    time, batch = x.shape[0], x.shape[1]
    steps = xp.arange(time, device=x.device)[:, None]
    valid = steps < (xp.full((batch,), time, device=x.device) if lengths is None else lengths)[None, :]
    if resets is None or not time:
        return valid, _zeros(xp, (batch,), xp.bool, x)
    flagged = resets & valid
    later = xp.flip(xp.cumulative_sum(xp.flip(xp.astype(flagged, xp.int64), axis=0), axis=0), axis=0)
    remaining = later - xp.astype(flagged, xp.int64)
    return valid & (remaining == 0), later[0] > 0


def _last(xp: Any, x: Array, lengths: Array | None) -> Array:
    """The last valid step of each row, ``[B, F]`` (any step for a row without one)."""
    if lengths is None:
        return x[-1]
    rows = xp.arange(x.shape[1], device=x.device)
    return x[xp.where(lengths > 0, lengths - 1, xp.zeros_like(lengths)), rows]
