"""How far back a loss reaches through one recurrent module: its last training step run again, backwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from hiddenstate.scan import Layer, Recording, stack
from hiddenstate.spec import suffix

from .listen import Call

ROWS = 8
"""Rows of a batch that are looked at."""

LEFT = 0.01
"""A loss reaches a state when at least this share of its largest gradient arrives there."""

SATURATED = 0.05
"""A state value is saturated where ``1 - h^2`` is smaller than this."""

DEAD = 0.025
"""A unit is dead when it moves less than this share of what the units of its layer move on average."""


@dataclass(frozen=True)
class Look:
    """One recurrent layer in one training step.

    Attributes:
        gradient_norm: by lag k: mean over rows of ``|dL/ds_{t-k}|``, where L is the part of the loss that
            enters at the row's last step t alone and ``s`` is h, or [h; c] of an LSTM; None for a cell
            without a native kernel.
        window: steps the gradient can go back at most.
        truncated: whether the state at the first step was carried from earlier steps.
        saturated: share of the values of h with ``1 - h^2 < 0.05``; None where h has none
            of the bounds of tanh (relu, projection).
        dead: share of dead units.
    """

    gradient_norm: np.ndarray | None
    window: int
    truncated: bool
    saturated: float | None
    dead: float

    @property
    def reach(self) -> int | None:
        """The greatest lag at which the norm is at least 1 % of its largest value; None without gradients."""
        norm = self.gradient_norm
        if norm is None or not norm[0] > 0:
            return None
        return int(np.flatnonzero(norm >= LEFT * norm.max())[-1])

    @property
    def gain(self) -> float | None:
        """Factor per step of lag: ten to the slope of log10 of the norm from lag 1 on (least squares)."""
        norm = self.gradient_norm
        if norm is None or np.count_nonzero(norm[1:] > 0) < 2:
            return None
        lags = np.flatnonzero(norm[1:] > 0) + 1
        return float(10 ** np.polyfit(lags, np.log10(norm[lags]), 1)[0])


def look(module: Any, call: Call) -> dict[str, Look]:
    """Every layer that reads forwards, by its suffix (``_l0``, ``_l1``).

    The module's present weights are used: call it before they change. Dropout between its layers is left out.

    Source: Pascanu, Mikolov and Bengio, arXiv 1211.5063 (gradients through time); Cashman et al., arXiv
    1907.12545 (of one step's loss alone); Glorot and Bengio, AISTATS 2010 (saturation); Sokar et al., arXiv
    2302.12902 (dead units; here by their movement, so that a unit stuck at a constant counts).
    """
    if call.dy is None:
        return {}
    last = _last_steps(_array(call.dy), call.lengths)
    rows = np.flatnonzero(last >= 0)[:ROWS]
    if not len(rows):
        return {}
    replay = _Replay(module, call, rows)
    d_steps = replay.backward(_array(call.dy)[:, rows], last[rows])
    starts = _starts(call.resets, rows, last[rows])
    truncated = call.state is not None
    found = {}
    for name, made in replay.recordings.items():
        norm = None if d_steps is None else _by_lag(d_steps[name], starts, last[rows])
        window = int((last[rows] - starts).max())
        valid = np.arange(len(made.y))[:, None] <= last[rows]
        found[name] = Look(norm, window, truncated, _saturated(module, made.y, valid), _dead(made.y, valid))
    return found


class _Replay:
    """Some rows of a call, run again by the torch-free kernels with everything recorded."""

    def __init__(self, module: Any, call: Call, rows: np.ndarray) -> None:
        self._module, self._directions = module, 2 if module.bidirectional else 1
        self._all: dict[tuple[int, int], Recording] = {}
        lengths = None if call.lengths is None else _array(call.lengths)[rows]
        resets = None if call.resets is None else np.ascontiguousarray(_array(call.resets)[:, rows])

        def run(layer: int, direction: int, x: np.ndarray, state: Any, reverse: bool) -> tuple[Any, Any]:
            index = layer * self._directions + direction
            params = {name: _array(value) for name, value in module._params(index).items()}
            made = Layer(module.cell, params).record(
                np.ascontiguousarray(x), state,
                lengths=lengths, resets=resets, rest=_mapped(module._rest(index), _array), reverse=reverse,
            )  # fmt: skip
            self._all[layer, direction] = made
            return made.y, made.state

        state = _mapped(call.state, lambda field: np.ascontiguousarray(_array(field)[:, rows]))
        x = np.ascontiguousarray(_array(call.x)[:, rows])
        stack(run, x, num_layers=module.num_layers, directions=self._directions, state=state)

    @property
    def recordings(self) -> dict[str, Recording]:
        """The layers that read forwards."""
        return {suffix(layer, 0): self._all[layer, 0] for layer in range(self._module.num_layers)}

    def backward(self, dy: np.ndarray, last: np.ndarray) -> dict[str, np.ndarray] | None:
        """Gradients by the joined states ``[T, B, S]`` of what enters at each row's last step alone."""
        if self._module.cell.native is None:
            return None
        rows = np.arange(len(last))
        d_out = np.zeros_like(dy)
        d_out[last, rows] = dy[last, rows]
        found = {}
        for layer in reversed(range(self._module.num_layers)):
            parts, d_out = np.split(d_out, self._directions, axis=-1), 0
            for direction, part in enumerate(parts):
                made = self._all[layer, direction].backward(np.ascontiguousarray(part))
                d_out = d_out + made.dx
                if not direction:
                    found[suffix(layer, 0)] = np.concatenate(made.d_steps, axis=-1)
        return found


def _last_steps(dy: np.ndarray, lengths: Tensor | None) -> np.ndarray:
    """The last step of each row at which the loss enters; -1 for a row without."""
    enters = (dy != 0).any(axis=-1)
    if lengths is not None:
        enters &= np.arange(len(dy))[:, None] < _array(lengths)
    return np.where(enters.any(axis=0), len(dy) - 1 - np.argmax(enters[::-1], axis=0), -1)


def _starts(resets: Tensor | None, rows: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The first step of the segment that each row's last step belongs to."""
    if resets is None:
        return np.zeros(len(rows), np.int64)
    flags, steps = _array(resets)[:, rows], np.arange(len(resets))[:, None]
    return np.where(flags & (steps <= last), steps, 0).max(axis=0)


def _by_lag(d_steps: np.ndarray, starts: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Mean norm over the rows that are long enough, by lag."""
    norms = np.linalg.norm(d_steps.astype(np.float64), axis=-1)
    found = []
    for lag in range(int((last - starts).max()) + 1):
        rows = np.flatnonzero(last - lag >= starts)
        found.append(norms[last[rows] - lag, rows].mean())
    return np.array(found)


def _saturated(module: Any, h: np.ndarray, valid: np.ndarray) -> float | None:
    """Share of output values at the flat ends of tanh; None where they have no bounds."""
    if getattr(module.cell, "nonlinearity", "tanh") == "relu" or module.proj_size:
        return None
    return float((1 - h[valid] ** 2 < SATURATED).mean())


def _dead(h: np.ndarray, valid: np.ndarray) -> float:
    values = h[valid].astype(np.float64)
    moves = np.abs(values - values.mean(axis=0)).mean(axis=0)
    return float((moves <= DEAD * moves.mean()).mean())


def _array(value: Tensor) -> np.ndarray:
    """As numpy; half precision as float32."""
    value = value.detach().cpu()
    return (value.float() if value.is_floating_point() and value.itemsize < 4 else value).numpy()


def _mapped(record: Any, change: Any) -> Any:
    return None if record is None else type(record)(*(change(field) for field in record))
