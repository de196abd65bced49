"""Tiny Shakespeare by characters, beside n-grams and the same network with torch's layers.

``python -m evaluate.language`` prints markdown; HIDDENSTATE_DATA names the folder of data sets. The first
90 % of the text are learned from, for a number of epochs that was set beforehand, the last 10 % are scored,
in one pass with the state carried.
"""

import argparse
import lzma
import os
import time
from pathlib import Path

import hiddenstate as hs
from evaluate.torch_layers import torch_layers

SETTINGS = {
    "cell": "lstm",
    "hidden_size": 384,
    "embedding_size": 64,
    "dropout": 0.3,
    "batch_size": 32,
    "window": 64,
    "learning_rate": 3e-3,
    "schedule": "cosine",
    "epochs": 16,
    "validation": None,
    "seed": 0,
}


def text_parts(folder: Path) -> tuple[str, str]:
    """First 90 % and last 10 % of the characters."""
    text = lzma.open(folder / "tinyshakespeare/input.txt.xz", "rt", encoding="utf-8").read()
    cut = int(0.9 * len(text))
    return text[:cut], text[cut:]


def fitted(learned: str, *, epochs: int):
    """A trained model and the CPU seconds that training took."""
    model = hs.LanguageModel(progress=False, **SETTINGS | {"epochs": epochs})
    start = time.process_time()
    model.fit([learned])
    return model, time.process_time() - start


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--epochs", type=int, default=SETTINGS["epochs"])
    options.add_argument(
        "--compare-epochs", type=int, default=2, help="epochs of the run with torch's layers"
    )
    given = options.parse_args()
    learned, scored = text_parts(Path(os.environ["HIDDENSTATE_DATA"]))

    model, seconds = fitted(learned, epochs=given.epochs)
    scores = model.evaluate([scored], train=[learned])
    training = model.card["training"]
    print(f"\n### Tiny Shakespeare: {len(learned):,} characters learned from, {len(scored):,} scored\n")
    print("| model | bits per character | perplexity | nats per character |\n|---|---|---|---|")
    for row in scores.rows:
        figures = [row[name] for name in ("bits_per_character", "perplexity", "nats_per_symbol")]
        print(f"| {row['model']} | " + " | ".join(f"{figure:.4f}" for figure in figures) + " |")
    print(f"\n{training['epochs']} epochs, {training['updates']} updates, {seconds:.0f} s of CPU.")

    mine, ours = fitted(learned, epochs=given.compare_epochs)
    with torch_layers():
        other, theirs = fitted(learned, epochs=given.compare_epochs)
    print(f"\nThe same for {given.compare_epochs} epochs with both kinds of layers:\n")
    print("| layers | bits per character | CPU seconds to train |\n|---|---|---|")
    for name, one, took in (("hiddenstate", mine, ours), ("torch.nn", other, theirs)):
        print(f"| {name} | {one.evaluate([scored])['bits_per_character']:.4f} | {took:.1f} |")
    print(f"\nCPU time of training, torch.nn layers / hiddenstate layers: {theirs / ours:.2f}")
    prompt = "ROMEO:\n"
    written = "".join(model.generate(prompt, length=400, temperature=0.8, seed=1))
    print(f"\n```text\n{prompt}{written}\n```")


if __name__ == "__main__":
    main()
