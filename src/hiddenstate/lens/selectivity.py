"""Which units tell something apart, beyond what the input of the step alone would let them tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hiddenstate.errors import DataError

from .probe import open_probe
from .result import Interval, Measurement
from .shares import Z, discoveries, two_sided
from .tracks import Labels, Tracks, collect

BINS = 8
"""Intervals, equally full, that the values of a unit are cut into for mutual information."""

CONTROLS = 5
"""Control tasks that the score of a unit is compared with."""

NULLS = 100
"""Displaced label tracks that chance is estimated from."""

RATE = 0.05
"""Share of false findings among those believed."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Selectivity(Measurement):
    """U1; see :func:`unit_selectivity`. One row for every unit and label, best first.

    Attributes:
        unit: name of the unit.
        label: what it is tested on: this label against all others.
        auroc: chance that the unit is higher at a random step with the label than at one without; below 0.5
            it is lower. The interval belongs to it.
        mutual_information: in bits, between unit (in 8 equally full intervals) and label, chance subtracted.
        control: mean AUROC distance from 0.5 on control tasks: random labels that depend on the input of the
            step alone.
        selectivity: distance of ``auroc`` from 0.5, less ``control``.
        p: probability of so large a distance by chance.
        found: whether it is to be believed, at 5 % false findings among all rows.
        units: number of units tested.
    """

    columns: ClassVar[tuple[str, ...]] = (
        "unit", "label", "auroc", "mutual_information", "control", "selectivity", "p", "found",
    )  # fmt: skip
    unit: tuple[str, ...]
    label: tuple[str, ...]
    auroc: np.ndarray
    mutual_information: np.ndarray
    control: np.ndarray
    selectivity: np.ndarray
    p: np.ndarray
    found: np.ndarray
    units: int

    def sentence(self) -> str:
        """The unit that tells the labels apart best, if any does."""
        if not self.found.any():
            return f"None of {self.units} units tells the labels apart better than chance would let some do."
        best = int(np.flatnonzero(self.found)[0])
        bounds = "one sequence, so no interval"
        if self.interval.sequences > 1:
            low, high = self.interval.low[best], self.interval.high[best]
            bounds = f"{self.interval.level:.0%} interval {low:.2f} to {high:.2f}"
        count = len({name for name, found in zip(self.unit, self.found, strict=True) if found})
        return (
            f"{self.unit[best]} tells {self.label[best]!r} from the rest with AUROC {self.auroc[best]:.2f} "
            f"({bounds}), {self.selectivity[best]:+.2f} against random labels of the same inputs; {count} of "
            f"{self.units} units stand out (5 % of such findings are false). That a unit tells something "
            "does not mean that the network uses it: see unit_effects."
        )


def unit_selectivity(
    model: Any, data: Any, labels: Labels, *, layer: str | None = None, of: str = "h", seed: int = 0
) -> Selectivity:
    """How well each unit alone tells each label of the steps from all others (U1).

    AUROC ``P(h_i at a step with the label > h_i at one without)`` and mutual information, beside the same for
    control tasks (every distinct input gets a random label, so a score there needs no memory), with a test
    against displaced label tracks (shuffled over sequences and rotated, which keeps the runs of both).

    Args:
        model: what ``Probe`` takes.
        data: what ``Probe.read`` takes.
        labels: of every step: a list for each sequence, or a function from an ``Encoded`` sequence to one.
        layer: name of a layer; None: the last one that reads forwards.
        of: "h", or "c" of an LSTM.
        seed: of all draws.

    Raises:
        DataError: labels are missing, or all alike.
        ShapeError: their number is not that of the steps.
        OptionError: no such layer or part.

    Source: Radford, Jozefowicz and Sutskever, arXiv 1704.01444 (a unit for sentiment); control tasks: Hewitt
    and Liang, arXiv 1909.03368; interval of AUROC with sequences as clusters: Obuchowski, Biometrics 53
    (1997); false findings: Benjamini and Hochberg (1995).

    Example:
        >>> from hiddenstate.lens.examples import shift_register
        >>> x = [np.random.default_rng(n).integers(1, 3, 60) for n in range(4)]
        >>> made = unit_selectivity(shift_register(3), x, lambda one: [None, *one.labels[:-1]])
        >>> made.unit[0], float(made.auroc[0])                             # unit 1 holds the input before
        ('rnn_l0.h[1]', 1.0)
    """
    tracks = collect(open_probe(model), data, labels, layer=layer, of=of, seed=seed)
    names, classes = np.unique(tracks.labels.astype(str), return_inverse=True)
    if len(names) < 2:
        raise DataError("all labels are alike", where="labels", expected="two or more", got=names.tolist())
    rng = np.random.default_rng(seed)
    tested = np.arange(1, 2) if len(names) == 2 else np.arange(len(names))
    ranks = _ranks(tracks.values)
    auroc = _auroc(ranks, _members(classes, tested))
    control = _control(tracks, classes, tested, ranks, rng)
    nulls = np.stack([_displaced(tracks.sequence, classes, rng) for _ in range(NULLS)])
    chance = np.stack([_auroc(ranks, _members(null, tested)) for null in nulls])
    spread = chance.std(axis=0)
    z = np.divide(auroc - chance.mean(axis=0), spread, out=np.full(auroc.shape, np.nan), where=spread > 0)
    p = two_sided(z)
    low, high = _bounds(tracks, classes, tested, auroc)
    bits = _information(tracks.values, classes, nulls, len(names))
    order = np.argsort(-np.abs(auroc - 0.5), axis=None, kind="stable")
    rows, units = np.divmod(order, auroc.shape[1])
    count = len(np.unique(tracks.sequence))
    return Selectivity(
        unit=tuple(tracks.units[unit] for unit in units),
        label=tuple(str(names[tested[row]]) for row in rows),
        auroc=auroc.ravel()[order],
        mutual_information=bits[units],
        control=control.ravel()[order],
        selectivity=(np.abs(auroc - 0.5) - control).ravel()[order],
        p=p.ravel()[order],
        found=discoveries(p, rate=RATE).ravel()[order],
        units=len(tracks.units),
        interval=Interval(low.ravel()[order], high.ravel()[order], count, "auroc"),
        convention=(
            f"{of} of {tracks.layer.name} after each of {len(tracks.labels)} labelled steps of {count} "
            f"sequences, each from rest; intervals with sequences as clusters; chance from {NULLS} displaced "
            "tracks"
        ),
    )


def _members(classes: np.ndarray, tested: np.ndarray) -> np.ndarray:
    """Which steps have each tested label, ``[C, N]`` of 0 and 1."""
    return (classes == tested[:, None]).astype(np.float64)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Rank of every value among those of its unit, from 1; equal values share their mean rank."""
    found = np.empty(values.shape)
    for unit, column in enumerate(values.T):
        _, places, counts = np.unique(column, return_inverse=True, return_counts=True)
        ends = np.cumsum(counts)
        found[:, unit] = (ends - (counts - 1) / 2)[places]
    return found


def _auroc(ranks: np.ndarray, members: np.ndarray) -> np.ndarray:
    """``(sum of ranks with the label - n1 (n1 + 1) / 2) / (n1 n0)``, ``[C, H]``; NaN without both kinds."""
    inside = members.sum(axis=1, keepdims=True)
    pairs = inside * (members.shape[1] - inside)
    above = members @ ranks - inside * (inside + 1) / 2
    return np.divide(above, pairs, out=np.full(above.shape, np.nan), where=pairs > 0)


def _control(
    tracks: Tracks, classes: np.ndarray, tested: np.ndarray, ranks: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Mean distance of AUROC from 0.5 when every distinct input has a random label, ``[C, H]``."""
    _, kinds = np.unique(tracks.inputs.astype(str), return_inverse=True)
    total, count = np.zeros((len(tested), ranks.shape[1])), np.zeros((len(tested), 1))
    for _ in range(CONTROLS):
        drawn = rng.choice(classes, size=int(kinds.max()) + 1)[kinds]
        found = _auroc(ranks, _members(drawn, tested))
        usable = ~np.isnan(found)
        total += np.where(usable, np.abs(found - 0.5), 0)
        count += usable.any(axis=1, keepdims=True)
    return total / np.maximum(count, 1)


def _displaced(sequence: np.ndarray, classes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The labels with sequences in another order, rotated by a random number of steps."""
    names = rng.permutation(np.unique(sequence))
    joined = np.concatenate([classes[sequence == name] for name in names])
    return np.roll(joined, int(rng.integers(1, max(2, len(joined)))))


def _bounds(
    tracks: Tracks, classes: np.ndarray, tested: np.ndarray, auroc: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Interval of AUROC from the placements of steps, summed by sequence; NaN for a single sequence."""
    _, owners = np.unique(tracks.sequence, return_inverse=True)
    count = int(owners.max()) + 1
    if count < 2:
        return np.full(auroc.shape, np.nan), np.full(auroc.shape, np.nan)
    whole = _ranks(tracks.values)
    error = np.empty(auroc.shape)
    for row, label in enumerate(tested):
        inside = classes == label
        share = np.empty(whole.shape)
        for own, others, sign in ((inside, ~inside, 1), (~inside, inside, -1)):
            below = (whole[own] - _ranks(tracks.values[own])) / others.sum()
            placed = below if sign > 0 else 1 - below
            share[own] = (placed - auroc[row]) / own.sum()
        by_sequence = np.zeros((count, whole.shape[1]))
        np.add.at(by_sequence, owners, share)
        error[row] = np.sqrt(count / (count - 1) * (by_sequence**2).sum(axis=0))
    return np.clip(auroc - Z * error, 0, 1), np.clip(auroc + Z * error, 0, 1)


def _information(values: np.ndarray, classes: np.ndarray, nulls: np.ndarray, count: int) -> np.ndarray:
    """Mutual information of every unit with the labels in bits, less its mean over displaced tracks."""
    edges = np.quantile(values, np.arange(1, BINS) / BINS, axis=0)
    bins = np.stack([np.searchsorted(edges[:, unit], column) for unit, column in enumerate(values.T)], axis=1)
    cells = np.arange(values.shape[1]) * BINS + bins
    observed = _bits(cells, classes, count)
    return observed - np.mean([_bits(cells, null, count) for null in nulls], axis=0)


def _bits(cells: np.ndarray, classes: np.ndarray, count: int) -> np.ndarray:
    """``sum p(b, l) log2 (p(b, l) / p(b) p(l))`` for every unit."""
    units = cells.shape[1]
    joint = np.bincount((cells * count + classes[:, None]).ravel(), minlength=units * BINS * count)
    share = joint.reshape(units, BINS, count) / len(classes)
    product = share.sum(axis=2, keepdims=True) * share.sum(axis=1, keepdims=True)
    ratio = np.divide(share, product, out=np.ones_like(share), where=share > 0)
    return (share * np.log2(ratio)).sum(axis=(1, 2))
