"""Other places where the units that are on in a chosen span are on too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hiddenstate.errors import OptionError

from .encoding import Encoded
from .probe import open_probe
from .result import Interval, Measurement, check_count
from .tracks import unit_values


@dataclass(frozen=True, eq=False, kw_only=True)
class PatternMatches(Measurement):
    """U2; see :func:`find_pattern`. Matches in order of rank.

    Attributes:
        unit: the units that are on in the chosen span and off just outside.
        query: what the chosen span reads, step by step.
        sequence: name of the sequence of each match.
        start: first step of each match.
        stop: step after its last one.
        shared: how many of the units are on throughout it.
        text: what it reads.
    """

    columns: ClassVar[tuple[str, ...]] = ("sequence", "start", "stop", "shared", "text")
    unit: tuple[str, ...]
    query: tuple[str, ...]
    sequence: tuple[str, ...]
    start: np.ndarray
    stop: np.ndarray
    shared: np.ndarray
    text: tuple[tuple[str, ...], ...]

    def sentence(self) -> str:
        """What the span has in common with others."""
        if not self.unit:
            return "No unit is on in exactly this span: choose another span, or a lower threshold."
        if not self.text:
            return f"{len(self.unit)} units are on in exactly this span, and nowhere else."
        found = ", ".join(repr("".join(read) if _letters(read) else " ".join(read)) for read in self.text[:3])
        return (
            f"{len(self.unit)} units are on in exactly this span; {self.shared[0]} of them also in: {found}. "
            "Spans that share units need not share a meaning: read some before you name it."
        )


def _letters(read: tuple[str, ...]) -> bool:
    return all(len(symbol) == 1 for symbol in read)


def find_pattern(
    model: Any,
    data: Any,
    *,
    sequence: int,
    start: int,
    stop: int,
    threshold: float = 0.3,
    layer: str | None = None,
    of: str = "h",
    most: int = 20,
) -> PatternMatches:
    """Spans of steps in which the same units are on as in a chosen one (U2).

    Chosen are the units that are at ``threshold`` or above in every step of the span, and below it just
    before and just after. Other spans are runs of steps in which some of them stay on; ranked by how many,
    then by how near their length is to that of the chosen span. Spans that overlap a better one are left out.

    Args:
        model: what ``Probe`` takes.
        data: what ``Probe.read`` takes; not cut.
        sequence: number of the sequence that holds the chosen span.
        start: its first step.
        stop: the step after its last one.
        threshold: value from which a unit is on.
        layer: name of a layer; None: the last one that reads forwards.
        of: "h", or "c" of an LSTM.
        most: most spans to give.

    Raises:
        OptionError: no such sequence, span, layer or part.

    Source: Strobelt et al., LSTMVis, arXiv 1606.07461.

    Example:
        >>> from hiddenstate.lens.examples import shift_register
        >>> x = np.array([0, 1, 1, 0, 0, 1, 1, 0, 1, 0.0])
        >>> made = find_pattern(shift_register(2), [x], sequence=0, start=1, stop=3)
        >>> made.unit, made.start.tolist(), made.shared.tolist()
        (('rnn_l0.h[0]',), [5, 8], [1, 1])
    """
    check_count(most, 1, "most")
    probe = open_probe(model)
    one = probe.layer(layer)
    sequences = probe.read(data, steps=None, sequences=None)
    _check_span(sequences, sequence, start, stop)
    made = probe.run(sequences)
    units, values = unit_values(made, one, of)
    on = (values >= threshold) & made.valid[:, :, None]
    chosen = _exactly(on[: made.lengths[sequence], sequence], start, stop)
    own = on[:, :, chosen]
    found = []
    for row in range(len(sequences)):
        taken = np.zeros(len(own), bool)
        if row == sequence:
            taken[start:stop] = True
        found += [(*span, row) for span in _runs(own[:, row], taken, stop - start)]
    found.sort(key=lambda span: (-span[0], abs(span[2] - span[1] - (stop - start)), span[3], span[1]))
    found = found[:most]
    labels = [sequences[row].labels for *_, row in found]
    nothing = np.full(len(found), np.nan)
    return PatternMatches(
        unit=tuple(units[unit] for unit in chosen),
        query=tuple(sequences[sequence].labels[start:stop]),
        sequence=tuple(sequences[row].name for *_, row in found),
        start=np.array([first for _, first, _, _ in found], np.int64),
        stop=np.array([end for _, _, end, _ in found], np.int64),
        shared=np.array([count for count, *_ in found], np.int64),
        text=tuple(tuple(read[f:e]) for read, (_, f, e, _) in zip(labels, found, strict=True)),
        interval=Interval(nothing, nothing, 0, "shared"),
        convention=f"{of} of {one.name}, on from {threshold:g}; a search, so it has no interval",
    )


def _check_span(sequences: list[Encoded], sequence: int, start: int, stop: int) -> None:
    if not 0 <= sequence < len(sequences):
        expected = f"0 to {len(sequences) - 1}"
        raise OptionError("no such sequence", where="sequence", expected=expected, got=sequence)
    if not 0 <= start < stop <= len(sequences[sequence]):
        expected = f"a part of 0 to {len(sequences[sequence])}"
        raise OptionError("no such span", where="start, stop", expected=expected, got=(start, stop))


def _exactly(on: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Units that are on in the span and off just outside, where there is an outside."""
    chosen = on[start:stop].all(axis=0)
    if start > 0:
        chosen &= ~on[start - 1]
    if stop < len(on):
        chosen &= ~on[stop]
    return np.flatnonzero(chosen)


def _runs(on: np.ndarray, taken: np.ndarray, length: int) -> list[tuple[int, int, int]]:
    """Runs in which the same units stay on: ``(units, start, stop)``, without overlaps, best first.

    Candidates are the runs of every single unit; each is worth the number of units on throughout.
    """
    candidates = set()
    for unit in range(on.shape[1]):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], on[:, unit], [False]]).astype(np.int8)))
        candidates |= set(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
    worth = [(int(on[first:end].all(axis=0).sum()), first, end) for first, end in candidates]
    worth.sort(key=lambda span: (-span[0], abs(span[2] - span[1] - length), span[1]))
    kept = []
    taken = taken.copy()
    for count, first, end in worth:
        if not taken[first:end].any():
            taken[first:end] = True
            kept.append((count, first, end))
    return kept
