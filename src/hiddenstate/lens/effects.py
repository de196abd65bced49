"""What the loss would be without a unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hiddenstate.errors import OptionError
from hiddenstate.spec import suffix
from hiddenstate.types import Array

from .loss import StepLoss, require_targets
from .probe import Probe, StackLayer, open_probe
from .progress import Report, parts
from .recorded import Pass
from .result import Measurement, bootstrap, mean_over_sequences
from .tracks import unit_values

ROWS = 512
"""Rows that run side by side."""


@dataclass(frozen=True, eq=False, kw_only=True)
class UnitEffects(Measurement):
    """U3; see :func:`unit_effects`. One row for every unit, largest effect first.

    Attributes:
        unit: name of the unit.
        effect: rise of the mean loss when the unit is held at its mean; the interval belongs to it.
        held_at: its mean.
        loss: mean loss of the untouched network.
    """

    columns: ClassVar[tuple[str, ...]] = ("unit", "effect", "held_at")
    unit: tuple[str, ...]
    effect: np.ndarray
    held_at: np.ndarray
    loss: float

    def sentence(self) -> str:
        """The unit that the network needs most, and how many it needs at all."""
        bounds, needed = "one sequence, so no interval", ""
        if self.interval.sequences > 1:
            low, high = self.interval.low[0], self.interval.high[0]
            bounds = f"{self.interval.level:.0%} interval {low:.3g} to {high:.3g}"
            needed = (
                f" {(self.interval.low > 0).sum()} of {len(self.unit)} units have an effect surely above 0."
            )
        return (
            f"Holding {self.unit[0]} at its mean raises the loss by {self.effect[0]:.3g} from {self.loss:.3g}"
            f" ({bounds}), more than any other unit.{needed} Units that share a job hardly show one by one."
        )


def unit_effects(
    model: Any,
    data: Any,
    *,
    layer: str | None = None,
    units: list[int] | None = None,
    seed: int = 0,
    progress: Report | None = None,
) -> UnitEffects:
    """How much the loss rises when a unit is held at its mean in every step (U3).

    Both h and c of the unit are held (with a projection, h alone), so that neither the outputs nor the next
    step see it; everything else runs on as it would.

    Args:
        model: what ``Probe`` takes.
        data: what ``Probe.read`` takes, with labels where the task needs them.
        layer: name of a layer; None: the last one that reads forwards.
        units: which ones; None: all.
        seed: of the sample of sequences and of the bootstrap.
        progress: called after each batch of units.

    Raises:
        DataError: the loss needs labels that the data does not have.
        OptionError: no such layer or unit.

    Source: Lakretz et al., The emergence of number and syntax units, arXiv 1903.07435 (they ablate to zero).
    """
    probe = open_probe(model)
    one = probe.layer(layer)
    sequences = probe.read(data, seed=seed)
    require_targets(sequences, what="the effect of a unit on the loss")
    made = probe.run(sequences)
    base = _by_sequence(made.loss())
    width = one.scan.sizes.out_size
    chosen = list(range(width)) if units is None else units
    if not chosen or not all(unit in range(width) for unit in chosen):
        raise OptionError("no such unit", where="units", expected=f"0 to {width - 1}", got=chosen)
    means = _means(made, one)
    effect = np.empty((len(sequences), len(chosen)))
    piece = max(1, ROWS // len(sequences))
    for start in parts(range(0, len(chosen), piece), what="effects of units", report=progress):
        together = chosen[start : start + piece]
        loss = _by_sequence(_held(probe, made, one, together, means).loss())
        effect[:, start : start + piece] = loss.reshape(len(together), -1).T - base[:, None]
    mean = mean_over_sequences(effect)
    order = np.argsort(-mean, kind="stable")
    names, _ = unit_values(made, one, "h")
    return UnitEffects(
        unit=tuple(names[chosen[place]] for place in order),
        effect=mean[order],
        held_at=means.h[np.array(chosen)[order]],
        loss=float(mean_over_sequences(base)),
        interval=bootstrap(effect[:, order], of="effect", seed=seed),
        convention=(
            f"mean over the counted steps of each of {len(sequences)} sequences, then over sequences; the "
            f"loss is {made.loss().words}"
        ),
    )


def _by_sequence(loss: StepLoss) -> np.ndarray:
    """Mean loss of every row; NaN for one without any."""
    value, counted = np.atleast_2d(loss.value), np.atleast_2d(loss.counted)
    count = counted.sum(axis=0)
    unknown = np.full(count.shape, np.nan)
    return np.divide(value.sum(axis=0), count, out=unknown, where=count > 0)


def _means(made: Pass, layer: StackLayer) -> Any:
    """Mean of every entry of the layer's state over all steps, as a record of vectors."""
    states = made.states(layer.name)
    return type(states)(*(value[made.valid].mean(axis=0, dtype=np.float64) for value in states))


def _held(probe: Probe, made: Pass, layer: StackLayer, units: list[int], means: Any) -> Pass:
    """The pass again, once for every unit that is held: rows are the sequences, unit after unit."""
    block, copies = layer.block, len(units)

    def tiled(value: Array) -> Array:
        return np.tile(value, (1, copies, *[1] * (value.ndim - 2)))

    lengths = np.tile(made.lengths, copies)
    rows = np.repeat(units, len(made.lengths))
    y = tiled(_input(made, layer))
    outputs = []
    for direction in range(block.directions):
        name = block.name + suffix(layer.index, direction)
        if direction == layer.direction:
            outputs.append(_scan_held(layer, y, lengths, rows, means))
        else:
            outputs.append(tiled(made.recordings[name].y))
    y = np.concatenate(outputs, axis=-1)
    for index in range(layer.index + 1, block.num_layers):
        above = [probe.layer(block.name + suffix(index, direction)) for direction in range(block.directions)]
        scanned = [one.scan.scan(y, lengths=lengths, rest=one.rest, reverse=one.reverse)[0] for one in above]
        y = np.concatenate(scanned, axis=-1)
    inputs = {node.name: tiled(made.nodes[node.name]) for node in probe.spec.inputs}
    return probe.forward(
        inputs, lengths=lengths, given={block.name: y}, sequences=list(made.sequences) * copies
    )


def _input(made: Pass, layer: StackLayer) -> Array:
    """What the layer read."""
    block = layer.block
    if layer.index == 0:
        return made.nodes[block.source]
    below = [block.name + suffix(layer.index - 1, direction) for direction in range(block.directions)]
    return np.concatenate([made.recordings[name].y for name in below], axis=-1)


def _scan_held(layer: StackLayer, x: Array, lengths: np.ndarray, units: np.ndarray, means: Any) -> Array:
    """A scan, step by step, in which row b holds unit ``units[b]`` at its mean; zero at padded steps."""
    steps, count, _ = x.shape
    rows = np.arange(count)
    state = layer.scan.initial_state(count, rest=layer.rest)
    fields = [name for name in state._fields if name == "h" or not layer.scan.sizes.proj_size]
    y = np.zeros((steps, count, layer.scan.sizes.out_size), x.dtype)
    for step in range(steps - 1, -1, -1) if layer.reverse else range(steps):
        new = layer.scan.step(np.ascontiguousarray(x[step]), state)
        for name in fields:
            getattr(new, name)[rows, units] = getattr(means, name)[units]
        live = (step < lengths)[:, None]
        y[step] = np.where(live, new.h, 0)
        state = type(new)(*(np.where(live, a, b) for a, b in zip(new, state, strict=True)))
    return y
