"""Forecasting: ETTh1 beside baselines, published recurrent results, and the same network with torch's layers.

``python -m evaluate.forecast`` prints markdown; HIDDENSTATE_DATA names the folder of data sets.

Protocol: rows 0-8,639 to learn from, 8,640-11,519 to stop by, every window of rows 11,520-14,399 to test, one
row from one window to the next; errors in standard deviations of the training rows, averaged over rows, steps
and columns. The network reads each series once from its first row and forecasts from the state it has then.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np

import hiddenstate as hs
from evaluate.torch_layers import torch_layers
from hiddenstate import data

TRAIN_AND_VALIDATION, ALL = 11_520, 14_400
COLUMNS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")

PUBLISHED = {
    ("OT", 24): "LSTMa 0.114, DeepAR 0.107",
    ("all 7", 24): "LSTMa 0.650",
    ("all 7", 96): "GRU 1.135, DeepAR 1.097, DLinear 0.375, SegRNN 0.351",
}
"""MSE: horizon 24 from Zhou et al. 2021 (Informer); 96 from Lin et al. 2023 (SegRNN) and Zeng et al. 2023."""


def oil_temperature(table):
    """One series, one target."""
    return {"date": table.times("date"), "OT": table.numbers("OT")}, {"target": "OT"}


def joint(table):
    """One series, seven targets."""
    columns = {"date": table.times("date")} | {name: table.numbers(name) for name in COLUMNS}
    return columns, {"target": list(COLUMNS)}


def one_by_one(table):
    """Seven series, one target: each column is forecast from itself, by one network told which it is."""
    columns = {
        "date": np.tile(table.times("date"), len(COLUMNS)),
        "name": np.repeat(COLUMNS, len(table)),
        "column": np.repeat(COLUMNS, len(table)),
        "value": np.concatenate([table.numbers(name) for name in COLUMNS]),
    }
    return columns, {"target": "value", "id": "name", "static": ["column"]}


FORMS = {"OT": oil_temperature, "all 7, joint": joint, "all 7, one by one": one_by_one}


def split(columns, ids):
    """The columns up to the end of validation, and up to the end of the test part."""
    rows = len(columns["date"]) // ids
    number = np.tile(np.arange(rows), ids)
    return tuple(
        {name: values[number < stop] for name, values in columns.items()}
        for stop in (TRAIN_AND_VALIDATION, ALL)
    )


def evaluate(form, table, horizon, seeds):
    """A row of the report: the mean over seeds, and for the first seed the network with torch's layers."""
    columns, options = FORMS[form](table)
    learn, test = split(columns, len(COLUMNS) if "id" in options else 1)
    scores, seconds = [], []
    for seed in range(seeds):
        model, per_epoch = train(options, learn, horizon, seed)
        scores.append(model.evaluate(test, start=TRAIN_AND_VALIDATION))
        seconds.append(per_epoch)
        print(
            f"{form}, {horizon}, seed {seed}: MSE {scores[-1]['mse_scaled']:.4f}", file=sys.stderr, flush=True
        )
    with torch_layers():
        twin, twin_seconds = train(options, learn, horizon, 0)
    theirs = twin.evaluate(test, start=TRAIN_AND_VALIDATION)["mse_scaled"]
    naive = {row["model"]: row["mse_scaled"] for row in scores[0].rows}
    cells = (
        form,
        horizon,
        mean(scores, "mse_scaled"),
        mean(scores, "mae_scaled"),
        f"{naive['last value']:.3f}",
        f"{naive['seasonal naive']:.3f}",
        f"{scores[0]['mse_scaled']:.4f} / {theirs:.4f}",
        f"{seconds[0]:.2f} / {twin_seconds:.2f} = 1 / {twin_seconds / seconds[0]:.1f}",
        PUBLISHED.get((form.split(",")[0], horizon), ""),
    )
    return "| " + " | ".join(map(str, cells)) + " |"


def train(options, columns, horizon, seed):
    """A forecaster, and the CPU seconds of an epoch (in which other programs count little)."""
    model = hs.Forecaster(
        horizon=horizon, validation=0.25, seed=seed, progress=sys.stderr.isatty(), **options
    )
    start = time.process_time()
    model.fit(columns)
    return model, (time.process_time() - start) / max(model.card["training"]["epochs"], 1)


def mean(scores, figure):
    """Mean over seeds, and the largest distance from it."""
    values = np.array([score[figure] for score in scores])
    return f"{values.mean():.3f} ±{np.abs(values - values.mean()).max():.3f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--horizons", type=int, nargs="+", default=[24, 96])
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    options = parser.parse_args()
    folder = os.environ.get("HIDDENSTATE_DATA")
    if folder is None:
        raise SystemExit("evaluate: set HIDDENSTATE_DATA to the folder of the data sets")
    table = data.read(Path(folder) / "ett/ETTh1.csv.xz")
    start = time.perf_counter()
    print(f"ETTh1, mean over {options.seeds} seeds (± the farthest seed).\n")
    print("| columns | horizon | MSE | MAE | MSE, last value | MSE, same hour yesterday ", end="")
    print(
        "| MSE, seed 0, our / torch's layers | CPU seconds an epoch, our / torch's layers | published MSE |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for form in options.forms:
        for horizon in options.horizons:
            print(evaluate(form, table, horizon, options.seeds), flush=True)
    print(f"\n{time.perf_counter() - start:.0f} s in all.", file=sys.stderr)


if __name__ == "__main__":
    main()
