"""A model's scores beside those of its baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Scores:
    """One row per model, the network first, then what it has to beat.

    Attributes:
        rows: name of the model under "model", and its figures by name.
        details: further rows, such as the figures of every class.
        notes: sentences on how the figures were made.

    Example:
        >>> print(Scores([{"model": "network", "accuracy": 0.975}, {"model": "majority", "accuracy": 0.5}]))
        model     accuracy
        network     0.9750
        majority    0.5000
    """

    rows: list[dict[str, Any]]
    details: list[dict[str, Any]] | None = None
    notes: tuple[str, ...] = ()

    def __getitem__(self, figure: str) -> float:
        """A figure of the network."""
        return self.rows[0][figure]

    def __str__(self) -> str:
        parts = [aligned(self.rows)] + ([aligned(self.details)] if self.details else []) + list(self.notes)
        return "\n\n".join(parts)


def aligned(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of equal keys as a text table: words to the left, numbers to the right."""
    names = list(rows[0])
    cells = [names] + [[_cell(row[name]) for name in names] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    words = [isinstance(rows[0][name], str) for name in names]
    lines = (
        "  ".join(c.ljust(w) if word else c.rjust(w) for c, w, word in zip(line, widths, words, strict=True))
        for line in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
