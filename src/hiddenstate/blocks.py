"""The forward pass of every block of a spec, written once over an array namespace.

``nn`` runs it with torch tensors (autograd sees plain operations), ``runtime`` with numpy arrays and native
kernels. What differs between the two is handed in as ``ops``; everything else uses the namespace ``ops.xp``.

Every operation here treats rows independently. With an ``ops`` that does so too, and sums over time in
order, one step after the other, a whole sequence, chunks of it and single steps give the same bits.
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

    def total(self, before: Array | None, steps: Array) -> Array:
        """``before [B, F]`` (None: 0) plus all of ``steps [T, B, F]``, in a dtype that holds long sums."""
        ...

    def dropout(self, block: Dropout, x: Array) -> Array:
        """Drops elements while training."""


class PoolState(NamedTuple):
    """What a pool has seen of each row since its start or last reset.

    Attributes:
        value: ``[B, F]``: last step, maximum, or sum (``Ops.total``) of the steps; zeros where there was
            none.
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
                ops, block, sources[0], before.get(block.name), lengths, resets
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
    ops: Ops,
    block: Pool,
    x: Float[Array, "T B F"],
    state: PoolState | None,
    lengths: Int[Array, " B"] | None,
    resets: Bool[Array, "T B"] | None,
) -> tuple[Float[Array, "B F"], PoolState]:
    """One vector per row from its steps since the start or the last reset, continuing from ``state``.

    A row without any step gives zeros.
    """
    xp = ops.xp
    keep, restarted = _kept_steps(xp, x, lengths, resets)
    fresh = xp.sum(xp.astype(keep, xp.int64), axis=0)
    carried = before = None
    if state is not None:
        carried = xp.where(restarted, xp.zeros_like(state.count), state.count)
        before = xp.where((carried > 0)[:, None], state.value, xp.zeros_like(state.value))
    count = fresh if carried is None else fresh + carried
    if block.how == "mean":
        value = ops.total(before, xp.where(keep[:, :, None], x, xp.zeros_like(x)))
        divisor = xp.astype(xp.where(count > 0, count, xp.ones_like(count)), value.dtype)
        return xp.astype(value / divisor[:, None], x.dtype), PoolState(value, count)
    before = xp.zeros(x.shape[1:], dtype=x.dtype, device=x.device) if before is None else before
    if x.shape[0]:
        newest = _last(xp, x, lengths) if block.how == "last" else _highest(xp, x, keep, before, carried)
        before = xp.where((fresh > 0)[:, None], newest, before)
    return before, PoolState(before, count)


def _highest(xp: Any, x: Array, keep: Array, before: Array, carried: Array | None) -> Array:
    """Maximum of each row's kept steps, and of ``before`` where it carries any."""
    lowest = xp.full((1, 1), -xp.inf, dtype=x.dtype, device=x.device)
    best = xp.max(xp.where(keep[:, :, None], x, lowest[None]), axis=0)
    if carried is not None:
        best = xp.maximum(best, xp.where((carried > 0)[:, None], before, lowest))
    return best + 0.0  # of 0 and -0 either may come first: always 0


def _kept_steps(xp: Any, x: Array, lengths: Array | None, resets: Array | None) -> tuple[Array, Array]:
    """Which steps count, ``[T, B]``, and which rows were restarted, ``[B]``: only the last segment counts."""
    time, batch = x.shape[0], x.shape[1]
    if lengths is None:
        valid = xp.ones((time, batch), dtype=xp.bool, device=x.device)
    else:
        valid = xp.arange(time, device=x.device)[:, None] < lengths[None, :]
    if resets is None or not time:
        return valid, xp.zeros((batch,), dtype=xp.bool, device=x.device)
    flags = xp.astype(resets & valid, xp.int64)
    from_here = xp.flip(xp.cumulative_sum(xp.flip(flags, axis=0), axis=0), axis=0)
    return valid & (from_here == flags), from_here[0] > 0


def _last(xp: Any, x: Array, lengths: Array | None) -> Array:
    """The last valid step of each row, ``[B, F]`` (any step for a row without one)."""
    if lengths is None:
        return x[-1]
    rows = xp.arange(x.shape[1], device=x.device)
    return x[xp.where(lengths > 0, lengths - 1, xp.zeros_like(lengths)), rows]
