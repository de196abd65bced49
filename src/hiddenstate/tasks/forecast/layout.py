"""What a forecasting network sees at each step, and which network that makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from hiddenstate.data.frequency import Frequency
from hiddenstate.spec import Block, Concat, Dropout, Embed, Input, Linear, ModelSpec, Recurrent

from . import heads

LONGEST_AHEAD = 96
"""Steps ahead whose values one cycle before are shown."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The columns and their roles, and the form of inputs and outputs; all of it is needed to predict.

    Args:
        target: columns to forecast, K of them.
        past: columns that are known up to now only.
        future: columns that are known ahead.
        static_numbers: columns of numbers with one value per series.
        static_words: columns of words with one value per series.
        id: the column that tells series apart, or None.
        time: the column of time stamps, or None.
        duplicates: what becomes of rows with the same time stamp (see ``data.group``).
        frequency: the grid of the time stamps, or None.
        season: cycle length in steps.
        horizon: steps ahead that were trained.
        steps: steps ahead that the network itself gives.
        recursive: whether the network, one step ahead, is fed its own forecasts to see further.
        level: what is subtracted at each step: the "last" value, the "mean" of the window, or nothing
            ("none").
        lags: values before the current one that are shown at each step.
        cycle: length of a cycle longer than that, of which the values of the steps ahead, one cycle before,
            are shown as well; 0: none.
        masked: targets and past columns with missing values in training: the network is told where they are.
        head: what the outputs mean (a name of ``heads``).
        levels: quantile levels of the answers.
    """

    target: tuple[str, ...]
    past: tuple[str, ...] = ()
    future: tuple[str, ...] = ()
    static_numbers: tuple[str, ...] = ()
    static_words: tuple[str, ...] = ()
    id: str | None = None
    time: str | None = None
    duplicates: str = "error"
    frequency: Frequency | None = None
    season: int = 1
    horizon: int = 1
    steps: int = 1
    recursive: bool = False
    level: str = "last"
    lags: int = 1
    cycle: int = 0
    masked: tuple[str, ...] = ()
    head: str = "point"
    levels: tuple[float, ...] = ()

    @property
    def shown(self) -> tuple[int, ...]:
        """How far back the shown values lie; the last value is left out where it is the level itself."""
        ahead = min(self.steps, LONGEST_AHEAD, max(self.cycle - self.lags - 1, 0))
        recent = range(1 if self.level == "last" else 0, self.lags + 1)
        return (*recent, *(self.cycle - step for step in range(1, ahead + 1)))

    def make_head(self, measure: str = "mse") -> heads.Head:
        """What turns outputs into forecasts."""
        return heads.make(self.head, measure=measure, levels=self.levels)

    def input_size(self, calendar: int) -> int:
        """Width of the input "x", with that many calendar features."""
        values = len(self.target) * len(self.shown) + len(self.past) + len(self.masked)
        return values + len(self.static_numbers) + calendar + len(self.future)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        frequency = None if self.frequency is None else self.frequency.to_json()
        return asdict(self) | {"frequency": frequency}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Layout:
        """The layout that ``to_json`` wrote."""
        values: dict[str, Any] = {f.name: data[f.name] for f in fields(cls)}
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        if values["frequency"] is not None:
            values["frequency"] = Frequency.from_json(values["frequency"])
        return cls(**values)


def network(
    layout: Layout,
    *,
    calendar: int,
    vocabularies: Sequence[int],
    recurrent: Mapping[str, Any],
    dropout: float,
) -> ModelSpec:
    """The network: a recurrent stack over all inputs, and a linear head that also sees the inputs directly.

    The direct way from the shown values to the head is a linear autoregression; the recurrent part adds to
    it what a few recent values do not say. With known-future columns a layer in between mixes them with the
    memory.

    Args:
        layout: inputs and outputs.
        calendar: number of calendar features.
        vocabularies: size of the table of each static word column.
        recurrent: fields of the ``Recurrent`` block: cell, hidden_size, ...
        dropout: of the head's input.
    """
    inputs = [Input("x", size=layout.input_size(calendar))]
    blocks: list[Block] = []
    seen = ["x"]
    for number, words in enumerate(vocabularies):
        inputs.append(Input(f"word{number}", kind="ids", size=words))
        blocks.append(Embed(f"embed{number}", source=f"word{number}", size=min(16, (words + 1) // 2 + 1)))
        seen.append(f"embed{number}")
    ahead = []
    if layout.future:
        inputs.append(Input("future", size=layout.steps * len(layout.future)))
        ahead = ["future"]
    if len(seen) > 1:
        blocks.append(Concat("inputs", sources=tuple(seen)))
    source = "inputs" if len(seen) > 1 else "x"
    blocks += [Recurrent("rnn", source=source, **recurrent), Dropout("memory", source="rnn", p=dropout)]
    parts = ["memory", source, *ahead]
    if ahead:
        width = recurrent["hidden_size"]
        blocks += [
            Concat("known", sources=tuple(parts)),
            Linear("mixed", source="known", size=width, activation="relu"),
        ]
        parts.append("mixed")
    blocks.append(Concat("all", sources=tuple(parts)))
    size = layout.steps * len(layout.target) * layout.make_head().width
    blocks.append(Linear("head", source="all", size=size))
    return ModelSpec(tuple(inputs), tuple(blocks))
