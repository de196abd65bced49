"""Vanishing made exact: how much of a small difference between states is left after k steps, before training.

``python -m evaluate.memory [--out FOLDER]`` prints markdown and draws the gain by lag.
"""

import argparse
from pathlib import Path

import numpy as np

from hiddenstate.lens.figures.picture import Picture
from hiddenstate.lens.figures.style import MARKS
from hiddenstate.lens.vanishing import GainComparison, compare_gains, untrained

SEEDS, SEQUENCES, STEPS, LAGS = 3, 4, 130, 100
STARTS = {"uniform": {"start": "uniform"}, "orthogonal": {"start": "orthogonal"}}
KINDS = {
    f"{cell.upper()}, {name}": (cell, how) for cell in ("rnn", "gru", "lstm") for name, how in STARTS.items()
} | {
    f"LSTM, orthogonal, forget bias {bias}": ("lstm", STARTS["orthogonal"] | {"forget_bias": float(bias)})
    for bias in (1, 3, 5)
}
DRAWN = ("RNN, uniform", "RNN, orthogonal", "GRU, orthogonal", "LSTM, orthogonal, forget bias 1")


def measured() -> GainComparison:
    """Gains of untrained networks of 32 units over random input."""
    data = [np.random.default_rng(number).normal(size=(STEPS, 1)) for number in range(SEQUENCES)]
    networks = {
        name: [untrained(cell, hidden_size=32, seed=seed, **how) for seed in range(SEEDS)]
        for name, (cell, how) in KINDS.items()
    }
    return compare_gains(networks, data, max_lag=LAGS)


def picture(found: GainComparison) -> Picture:
    """Some of the curves, on a logarithmic axis."""
    rows = [found.name.index(name) for name in DRAWN]

    def draw(figure):
        axes = figure.subplots()
        for mark, row in zip(MARKS, rows, strict=True):
            axes.plot(
                found.lag, found.sigma_max[row], color=mark.color, linestyle=mark.dash, label=found.name[row]
            )
        axes.plot(found.lag, found.reference, color="#888888", linewidth=0.8, label="0.25 per step")
        axes.set_yscale("log")
        axes.set_ylim(1e-16, 10)
        axes.set_xlabel("steps")
        axes.set_ylabel("share of a difference left")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))

    table = {"steps": found.lag.tolist()} | {found.name[row]: found.sigma_max[row].tolist() for row in rows}
    return Picture(
        "gain-by-lag", "What is left of a difference, before training", found.sentence(), table, 3.0, draw
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", type=Path, help="folder for gain-by-lag.png")
    given = options.parse_args()
    found = measured()
    print(f"\n{found.convention}. {SEEDS} networks of 32 units each.\n")
    names = "untrained network", "factor per step", "halves in", "left after 8", f"left after {LAGS}"
    print("| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|")
    for row, name in enumerate(found.name):
        low, high, half = found.interval.low[row], found.interval.high[row], found.half_life[row]
        halves = f"{half:.1f} steps" if np.isfinite(half) else "never"
        left = " | ".join(f"{found.sigma_max[row, lag]:.1e}" for lag in (8, LAGS))
        print(f"| {name} | {found.gain_per_step[row]:.3f} ({low:.3f} to {high:.3f}) | {halves} | {left} |")
    print(f"| a factor of 0.25 | 0.250 | 0.5 steps | {0.25**8:.1e} | {0.25**LAGS:.1e} |")
    if given.out is not None:
        (given.out / "gain-by-lag.png").write_bytes(picture(found).png())


if __name__ == "__main__":
    main()
