"""The whole way on bundled data: train, compare, draw, save, stream without torch, write text.

Run by ``make demo``; what it writes goes to ``demo-output/``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import hiddenstate as hs
from hiddenstate import samples

OUT = Path("demo-output")
HORIZON, HELD_BACK = 12, 564  # months; the last fifth of the series
console = Console()


def read_sunspots() -> tuple[dict, dict]:
    """Training part and whole series, as columns."""
    table = hs.data.read(samples.path("sunspots.csv"))
    whole = {name: table.column(name) for name in ("month", "sunspots")}
    return {name: values[:-HELD_BACK] for name, values in whole.items()}, whole


def train_forecasters(train: dict) -> list[tuple[str, hs.Forecaster, float]]:
    """A forecaster of each cell, and the seconds it took."""
    trained = []
    for cell in ("rnn", "gru", "lstm"):
        console.rule(f"{cell.upper()} learns {len(train['month']):,} months of sunspots", align="left")
        started = time.perf_counter()
        model = hs.Forecaster(target="sunspots", horizon=HORIZON, cell=cell, hidden_size=32, epochs=30).fit(
            train
        )
        trained.append((cell.upper(), model, time.perf_counter() - started))
    return trained


def compare(trained: list[tuple[str, hs.Forecaster, float]], whole: dict) -> hs.Forecaster:
    """Prints errors on the held-back months beside the naive baselines; returns the best model."""
    table = Table(
        title=f"{HORIZON} months ahead, from each of the last {HELD_BACK} months", title_justify="left"
    )
    for heading in ("forecast", "MAE", "RMSE", "parameters", "seconds"):
        table.add_column(heading, justify="left" if heading == "forecast" else "right")
    scores = [
        (name, model, seconds, model.evaluate(whole, start=-HELD_BACK)) for name, model, seconds in trained
    ]
    for name, model, seconds, score in scores:
        size = hs.spec.count_parameters(model.bundle_.spec)
        table.add_row(name, f"{score['mae']:.2f}", f"{score['rmse']:.2f}", f"{size:,}", f"{seconds:.1f}")
    table.add_section()
    for row in scores[0][3].rows[1:]:
        table.add_row(row["model"], f"{row['mae']:.2f}", f"{row['rmse']:.2f}", "", "")
    console.print(table)
    return min(scores, key=lambda row: row[3]["mae"])[1]


def draw(model: hs.Forecaster, whole: dict) -> Path:
    """The held-back months and what was forecast for them a year before."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    table = model.backtest(whole, start=-HELD_BACK, stride=HORIZON)
    figure, axes = pyplot.subplots(figsize=(11, 4), layout="constrained")
    months = whole["month"][-HELD_BACK - 120 :]
    axes.plot(months, whole["sunspots"][-HELD_BACK - 120 :], color="0.6", linewidth=1, label="observed")
    axes.plot(
        table.column("month"), table.column("sunspots"), color="#0072b2", linewidth=1.4, label="forecast"
    )
    axes.axvline(months[120], color="0.2", linestyle=":", linewidth=1)
    axes.set(title=f"Sunspots, forecast once a year, {HORIZON} months ahead", ylabel="monthly mean number")
    axes.legend(frameon=False)
    path = OUT / "forecast.png"
    figure.savefig(path, dpi=130)
    return path


STREAM = """
import sys
sys.modules["torch"] = None      # as if torch were not installed
from hiddenstate.cli import main
raise SystemExit(main(["stream", sys.argv[1]]))
"""


def stream_in_another_process(bundle: Path, whole: dict) -> list[dict]:
    """Sends every month as a line to a process without torch; returns the forecasts that came back."""
    lines = [
        json.dumps({"month": str(month), "sunspots": value})
        for month, value in zip(whole["month"], whole["sunspots"].tolist(), strict=True)
    ]
    command = [sys.executable, "-c", STREAM, str(bundle)]
    done = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def show_equality(model: hs.Forecaster, whole: dict, answers: list[dict]) -> None:
    """The streamed answers of the held-back part against one batch pass."""
    table = model.backtest(whole, start=-HELD_BACK)
    batch = table.column("sunspots").reshape(-1, HORIZON)
    first = len(answers) - HELD_BACK - 1
    streamed = np.array([answer["sunspots"] for answer in answers[first : first + len(batch)]])
    same = int((batch.astype("f8").view("u8") == streamed.astype("f8").view("u8")).sum())
    console.print(f"{same:,} of {batch.size:,} streamed numbers have the bits of the batch pass")
    if same != batch.size:
        raise SystemExit("the stream and the batch pass disagree")


def write_text() -> None:
    """A small character model learns the bundled plays and writes a paragraph."""
    console.rule("A character model learns Shakespeare", align="left")
    model = hs.LanguageModel(level="char", hidden_size=256, epochs=8, batch_size=32)
    model.fit(samples.path("shakespeare.txt"))
    model.save(OUT / "bard.safetensors")
    console.print("".join(model.generate("ROMEO:\n", length=400, temperature=0.7, seed=1)), style="italic")


def main() -> None:
    """Everything, in order."""
    started = time.perf_counter()
    OUT.mkdir(exist_ok=True)
    train, whole = read_sunspots()
    best = compare(train_forecasters(train), whole)
    console.print(f"drawn: {draw(best, whole)}")
    bundle = OUT / "sunspots.safetensors"
    best.save(bundle)
    console.print(f"saved: {bundle} ({bundle.stat().st_size:,} bytes)")
    show_equality(best, whole, stream_in_another_process(bundle, whole))
    write_text()
    console.print(
        f"\nAll of it in {time.perf_counter() - started:.0f} seconds. Next: hiddenstate show {bundle}"
    )


if __name__ == "__main__":
    main()
