"""C++ kernels: one layer in one direction over a whole sequence, and row-wise linear maps.

The compiled half is ``native._core`` (sources in ``native/`` of the repository, the kernels' contract in
``native/README.md``). This module is its only door. Arrays enter as C-contiguous numpy arrays or torch CPU
tensors (taken as if detached: no graph is recorded here; what is read of them may be strided, and is copied
then), all of one dtype (float32 or float64); outputs are allocated by the caller, so that numpy and torch
share one path. ``h_n`` may be ``h0`` and ``c_n`` may be ``c0``; no other output may share memory with another
array. States ``[B, *]`` may also be ``[1, B, *]``, as torch has them. Whatever does not fit raises
``ShapeError`` with argument, expected, got.

Letters: T steps, B rows, I inputs, H hidden units, P projected size, R = P or H (width of ``h``), N = sum of
lengths.

- ``Plan(cell, weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, backward=False)`` packs the weights once.
- ``forward(plan, x, h0, c0, lengths, resets, rest_h, rest_c, reverse, y, h_n, c_n, tape)`` runs a sequence:
  ``x [T, B, I]`` to ``y [T, B, R]``. Row b has ``lengths[b]`` steps (int64; None: all T); ``y`` is 0 after
  them. ``resets[t, b]`` (bool) starts a new segment at step t from the rest state (zeros when None); a flag
  at t = 0 replaces ``h0``. ``reverse`` reads each row from its last step to its first, and enters every
  segment but the last one from rest. ``tape [N or more, fields * H]`` keeps what backward needs
  (``unpack_tape``).
- ``backward(plan, ..., y, tape, dy, dh_n, dc_n, dx, ..., dh_steps, dc_steps)`` overwrites every gradient
  that is not None. ``dh_steps[t, b]`` is the total dL/dh of that step, ``dy`` included.
- ``step(plan, x [B, I], h, c, h_out, c_out)`` is one step at the lowest latency; ``c_out`` may be ``c``.
- ``linear(plan, x [N, I], y [N, O])`` with ``plan = Linear(weight, bias)``.
- ``Program(operations).run()`` does several things on fixed float32 arrays in one call: a list of
  ``("step", plan, x, h, c, h_out, c_out)``, ``("linear", plan, x, y)``, ``("relu", x)`` in place,
  ``("embed", table, ids, out)``, ``("add", out, sources)`` and ``("concat", out, sources)``.
- ``new_tensors(like, shapes)`` makes uninitialised torch tensors of the dtype of the tensor ``like``: one for
  every tuple of sizes, or tensor of that shape, in the list ``shapes``, and None for None.
- ``fill(target, values)`` and ``fill_rows(target, rows)`` copy float32 arrays of fitting shape, and say
  whether that is what they were given and all of it is finite.

Memory: packed weights, and what ``new_tensors`` makes, are kept when they are deleted, up to 256 MB, because
fresh pages cost more than what is done with them; ``free_kept()`` gives that memory back to the system.

One answer: every output element is one chain of fused multiply-adds (bias, then x, then h), so chunks,
single steps, other rows, padding and threads never change a bit. Gradients do not depend on threads either.

Cells: ``"rnn_tanh"``, ``"rnn_relu"``, ``"lstm"``, ``"gru"`` (reset after the product), ``"gru_before"``.

Environment, read once at import:

- ``HIDDENSTATE_ISA`` forces an instruction set (``baseline``, ``avx2``, ``avx512``; ``neon`` on ARM);
- ``HIDDENSTATE_NUM_THREADS``, else ``OMP_NUM_THREADS``, limits the threads of a call; without either it is
  the number of processors this process may use. Small calls use fewer. Once ``hiddenstate.nn`` is imported,
  calls run on torch's threads, and ``torch.set_num_threads`` is a limit as well.

Example:
    >>> import numpy as np
    >>> plan = Plan("gru", np.ones((6, 3), "f4"), np.ones((6, 2), "f4"))
    >>> y, h_n = np.empty((5, 4, 2), "f4"), np.empty((4, 2), "f4")
    >>> x = np.zeros((5, 4, 3), "f4")
    >>> forward(plan, x, None, None, None, None, None, None, False, y, h_n, None, None)
    >>> bool((y[-1] == h_n).all())
    True
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from hiddenstate.errors import BackendError, OptionError

try:
    from . import _core
except ImportError as error:
    raise BackendError(
        "the compiled kernels are missing",
        got=error,
        fix="Install the package (pip install .), or run make build",
    ) from error

from ._core import (
    Linear,
    Plan,
    Program,
    backward,
    fill,
    fill_rows,
    forward,
    free_kept,
    get_num_threads,
    isa,
    isas,
    linear,
    new_tensors,
    step,
    tape_fields,
    use_openmp,
)

__all__ = [
    "Linear",
    "Plan",
    "Program",
    "backward",
    "fill",
    "fill_rows",
    "forward",
    "free_kept",
    "get_num_threads",
    "isa",
    "isas",
    "linear",
    "new_tensors",
    "row_order",
    "set_num_threads",
    "step",
    "tape_fields",
    "unpack_tape",
    "use_openmp",
]


def set_num_threads(count: int) -> None:
    """Limit the threads that one call may use.

    Args:
        count: 1 to 128. Results do not depend on it.

    Raises:
        OptionError: ``count`` lies outside that range.
    """
    if not 1 <= count <= 128:
        raise OptionError("number of threads out of range", where="count", expected="1 to 128", got=count)
    _core.set_num_threads(count)


def row_order(lengths: Sequence[int] | np.ndarray | None, batch: int) -> np.ndarray:
    """Order in which the kernels visit the rows of a batch: longest first, equal lengths in their order.

    Args:
        lengths: ``[B]`` steps of each row, or None when all are equal.
        batch: B.

    Returns:
        ``[B]`` row indices.
    """
    if lengths is None:
        return np.arange(batch)
    return np.argsort(-np.asarray(lengths), kind="stable")


def unpack_tape(
    cell: str,
    tape: np.ndarray,
    *,
    steps: int,
    batch: int,
    lengths: Sequence[int] | np.ndarray | None = None,
    reverse: bool = False,
) -> dict[str, np.ndarray]:
    """What ``forward`` kept of every step, by name and laid out by time.

    Args:
        cell: name of the native cell.
        tape: ``[N or more, fields * H]`` as written by ``forward``.
        steps: T.
        batch: B.
        lengths: ``[B]`` as given to ``forward``.
        reverse: as given to ``forward``.

    Returns:
        For every name in ``tape_fields(cell)`` an array ``[T, B, H]``, zero at padded steps.
    """
    fields = tape_fields(cell)
    if not fields:
        return {}
    hidden = tape.shape[1] // len(fields)
    out = np.zeros((len(fields), steps, batch, hidden), tape.dtype)
    sizes = np.full(batch, steps) if lengths is None else np.asarray(lengths)
    order = row_order(lengths, batch)
    first = 0
    for s in range(int(sizes.max(initial=0))):
        rows = order[sizes[order] > s]
        times = sizes[rows] - 1 - s if reverse else np.full(len(rows), s)
        values = tape[first : first + len(rows)].reshape(len(rows), len(fields), hidden)
        out[:, times, rows] = values.swapaxes(0, 1)
        first += len(rows)
    return dict(zip(fields, out, strict=True))


def _choose_isa() -> None:
    wanted = os.environ.get("HIDDENSTATE_ISA", "")
    if not _core.choose_isa(wanted):
        raise BackendError(
            "unknown or unsupported instruction set",
            where="HIDDENSTATE_ISA",
            expected=", ".join(isas()),
            got=wanted,
        )


def _choose_threads() -> None:
    for name in ("HIDDENSTATE_NUM_THREADS", "OMP_NUM_THREADS"):
        text = (
            os.environ.get(name, "").split(",")[0].strip()
        )  # OpenMP allows a list, one number per nesting level
        if text.isdecimal() and int(text) > 0:
            return _core.set_num_threads(int(text))
    available = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return _core.set_num_threads(len(available))


_choose_isa()
_choose_threads()
