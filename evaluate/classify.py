"""Classification: SMS spam and JapaneseVowels, beside baselines and the same network with torch's layers.

``python -m evaluate.classify`` prints markdown; HIDDENSTATE_DATA names the folder of data sets.
"""

import lzma
import os
import time
from pathlib import Path

import numpy as np

import hiddenstate as hs
from evaluate.torch_layers import torch_layers

SEEDS = (0, 1, 2)


def sms_spam(folder: Path):
    """The authors' split: the first 30 % of the lines to learn from; repeats of those are not scored."""
    lines = lzma.open(folder / "sms_spam/SMSSpamCollection.xz", "rt", encoding="utf-8").read().splitlines()
    labels, texts = zip(*(line.split("\t", 1) for line in lines), strict=True)
    cut = round(0.3 * len(texts))
    seen = set(texts[:cut])
    test = [i for i in range(cut, len(texts)) if texts[i] not in seen]
    return (
        (list(texts[:cut]), np.array(labels[:cut])),
        ([texts[i] for i in test], np.array([labels[i] for i in test])),
    )


def japanese_vowels(folder: Path):
    """The official split: 270 and 370 utterances of 7 to 29 frames of 12 coefficients, nine speakers."""
    return tuple(
        ts_file(folder / f"ucr_uea/JapaneseVowels/JapaneseVowels_{part}.ts.xz") for part in ("TRAIN", "TEST")
    )


def ts_file(path: Path):
    """Sequences ``[T, F]`` and labels of a ``.ts`` file: dimensions between colons, values between commas."""
    lines = lzma.open(path, "rt").read().splitlines()
    start = next(i for i, line in enumerate(lines) if line.lower().startswith("@data")) + 1
    rows = [line.split(":") for line in lines[start:] if line]
    sequences = [np.array([dim.split(",") for dim in row[:-1]], float).T for row in rows]
    return sequences, np.array([row[-1] for row in rows])


WORDS = {"level": "word"}

SETS = {
    "SMS spam, first 30 % / rest, default network on words": (sms_spam, WORDS),
    "SMS spam, maximum of the steps, more dropout": (
        sms_spam,
        WORDS | {"embedding_size": 64, "dropout": 0.5, "pooling": "max"},
    ),
    "JapaneseVowels, official split": (japanese_vowels, {"learning_rate": 6e-3}),
}


def main() -> None:
    folder = Path(os.environ["HIDDENSTATE_DATA"])
    for title, (load, settings) in SETS.items():
        train, test = load(folder)
        rows = []
        for seed in SEEDS:
            rows.append(("hiddenstate", *fitted(train, test, settings | {"seed": seed})))
            with torch_layers():
                rows.append(("torch.nn", *fitted(train, test, settings | {"seed": seed})))
        report(title, len(train[0]), len(test[0]), rows)


def fitted(train, test, settings):
    """Scores on the test part and the CPU seconds that training took."""
    model = hs.SequenceClassifier(progress=False, **settings)
    start = time.process_time()
    model.fit(*train)
    seconds = time.process_time() - start
    return model.evaluate(*test), seconds, model.card["training"]["epochs"]


def report(title, learned, scored, rows) -> None:
    print(f"\n### {title}: {learned} to learn from, {scored} scored\n")
    print(
        "| model | accuracy | macro F1 | log loss | CPU seconds to train | epochs |\n"
        "|---|---|---|---|---|---|"
    )
    for layers in ("hiddenstate", "torch.nn"):
        mine = [row for row in rows if row[0] == layers]
        figures = {
            name: [scores[name] for _, scores, *_ in mine] for name in ("accuracy", "macro_f1", "log_loss")
        }
        cells = [f"{np.mean(values):.4f} ± {np.std(values):.4f}" for values in figures.values()]
        seconds = np.mean([row[2] for row in mine])
        epochs = np.mean([row[3] for row in mine])
        print(f"| network, {layers} layers | {' | '.join(cells)} | {seconds:.1f} | {epochs:.0f} |")
    for row in rows[0][1].rows[1:]:
        print(
            f"| {row['model']} | {row['accuracy']:.4f} | {row['macro_f1']:.4f} | {row['log_loss']:.4f} | | |"
        )
    ratio = np.mean([r[2] for r in rows if r[0] == "torch.nn"]) / np.mean(
        [r[2] for r in rows if r[0] != "torch.nn"]
    )
    print(f"\nCPU time of training, torch.nn layers / hiddenstate layers: {ratio:.2f}")
    print("\n```text\n" + str(rows[0][1]) + "\n```")


if __name__ == "__main__":
    main()
