"""How units answer to each kind of input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hiddenstate.errors import OptionError

from .probe import open_probe
from .result import Interval, Measurement, check_count
from .shares import Z
from .tracks import unit_values


@dataclass(frozen=True, eq=False, kw_only=True)
class ExpectedResponse(Measurement):
    """U4; see :func:`expected_response`.

    Attributes:
        unit: names of the units, H of them.
        token: kinds of input, commonest first.
        count: how often each was read.
        response: mean change of every unit when it was read, ``[V, H]``; the interval belongs to it.
    """

    columns: ClassVar[tuple[str, ...]] = ("token", "count")
    unit: tuple[str, ...]
    token: tuple[str, ...]
    count: np.ndarray
    response: np.ndarray

    def strongest(self, token: str, count: int = 5) -> dict[str, float]:
        """The units that a kind of input changes most.

        Raises:
            OptionError: an unknown token.
        """
        if token not in self.token:
            raise OptionError("no such token", where="token", expected=list(self.token[:20]), got=repr(token))
        row = self.response[self.token.index(token)]
        return {self.unit[unit]: float(row[unit]) for unit in np.argsort(-np.abs(row), kind="stable")[:count]}

    def sentence(self) -> str:
        """The strongest answer of a unit to a kind of input."""
        row, unit = divmod(int(np.abs(self.response).argmax()), len(self.unit))
        bounds = "one sequence, so no interval"
        if self.interval.sequences > 1:
            low, high = self.interval.low[row, unit], self.interval.high[row, unit]
            bounds = f"{self.interval.level:.0%} interval {low:.3g} to {high:.3g}"
        return (
            f"Reading {self.token[row]!r} changes {self.unit[unit]} by {self.response[row, unit]:+.3g} "
            f"on average ({bounds}, {self.count[row]} times), the strongest answer of any unit. It averages "
            "over all that came before."
        )


def expected_response(
    model: Any, data: Any, *, layer: str | None = None, of: str = "h", most: int = 50, seed: int = 0
) -> ExpectedResponse:
    """Mean change of every unit by kind of input (U4): ``E[h_t,i - h_(t-1),i | input of step t]``.

    Args:
        model: what ``Probe`` takes.
        data: what ``Probe.read`` takes; the kind of an input is its label (a character, a word, a value).
        layer: name of a layer; None: the last one that reads forwards.
        of: "h", or "c" of an LSTM.
        most: commonest kinds to look at.
        seed: of the sample of sequences.

    Raises:
        OptionError: no such layer or part.
        DataError: data that the model cannot take.

    Source: Ming et al., Understanding hidden memories of recurrent neural networks, arXiv 1710.10777.

    Example:
        >>> from hiddenstate.lens.examples import counter
        >>> made = expected_response(counter(), [np.array([1.0, -1.0, 1.0])], of="c")
        >>> made.token, made.response.ravel().round(3).tolist()
        (('1', '-1'), [0.01, -0.01])
    """
    check_count(most, 1, "most")
    probe = open_probe(model)
    one = probe.layer(layer)
    sequences = probe.read(data, seed=seed)
    made = probe.run(sequences)
    names, values = unit_values(made, one, of)
    rest = getattr(one.scan.initial_state(1, rest=one.rest), of)[None]
    rest = np.repeat(rest, len(sequences), axis=1)
    before = np.concatenate([values[1:], rest]) if one.reverse else np.concatenate([rest, values[:-1]])
    if one.reverse:
        before[made.lengths - 1, np.arange(len(sequences))] = rest[0]
    change = values - before
    read = np.concatenate([np.array(found.labels, str) for found in sequences])
    labels, counts = np.unique(read, return_counts=True)
    kept = labels[np.argsort(-counts, kind="stable")[:most]]
    sums, seen = np.zeros((len(sequences), len(kept), len(names))), np.zeros((len(sequences), len(kept)))
    place = {token: index for index, token in enumerate(kept.tolist())}
    for row, found in enumerate(sequences):
        for step, token in enumerate(found.labels):
            if token in place:
                sums[row, place[token]] += change[step, row]
                seen[row, place[token]] += 1
    response, interval = _ratio(sums, seen)
    return ExpectedResponse(
        unit=names,
        token=tuple(kept.tolist()),
        count=seen.sum(axis=0).astype(np.int64),
        response=response,
        interval=interval,
        convention=(
            f"{of} of {one.name}, after a step less before it, mean over all {len(sequences)} sequences, "
            "each from rest; interval from the spread between sequences"
        ),
    )


def _ratio(sums: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, Interval]:
    """Mean over all steps, and its interval with sequences as clusters."""
    count = len(sums)
    total = seen.sum(axis=0)[:, None]
    mean = sums.sum(axis=0) / total
    if count < 2:
        nothing = np.full(mean.shape, np.nan)
        return mean, Interval(nothing, nothing, count, "response")
    away = (sums - seen[:, :, None] * mean) / total
    error = np.sqrt(count / (count - 1) * (away**2).sum(axis=0))
    return mean, Interval(mean - Z * error, mean + Z * error, count, "response")
