"""Peak memory and time of one training step, each in a process of its own: ``python -m bench.memory``.

A step is a forward and a backward pass to weights and, where asked for, the input. Its peak is what the
resident memory grows by; input and gradient of the output were there before. "own" leaves out the output and
the gradient of the input, as ``predict_memory`` and ``max_memory`` do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from .cases import CELLS

SIZE = (1000, 32, 256, 256)
HEAD = ["case (T,B,I,H)", "hiddenstate MB", "torch MB", "own MB", "predicted MB", "hiddenstate s", "torch s"]


def measure(library: str, cell: str, size: list[int], input_grad: bool, max_memory: int | None) -> dict:
    """Peak bytes and processor seconds of a training step, the least of five, and the prediction."""
    job = json.dumps([library, cell, size, input_grad, max_memory])

    def run(**setting: str) -> dict:
        ran = subprocess.run(
            [sys.executable, "-m", "bench.memory", job], capture_output=True, text=True, check=True,
            cwd=Path(__file__).parent.parent, env=os.environ | {"OMP_NUM_THREADS": "1"} | setting,
        )  # fmt: skip
        return json.loads(ran.stdout)

    # Large blocks come from the system and go back at once: what is resident is in use. Not for the time.
    return run(MALLOC_MMAP_THRESHOLD_="65536") | {"seconds": run()["seconds"]}


def work(library: str, cell: str, size: list[int], input_grad: bool, max_memory: int | None) -> dict:
    """``measure`` inside its process."""
    import torch

    import hiddenstate as hs
    from hiddenstate import native

    steps, rows, inputs, hidden = size
    module = hs.nn if library == "hiddenstate" else torch.nn
    options = {} if max_memory is None else {"max_memory": max_memory}
    layer = getattr(module, cell.upper())(inputs, hidden, **options)

    def train(x, dy, layer=layer):
        layer.zero_grad(set_to_none=True)
        x.grad = None
        layer(x)[0].backward(dy)

    # What a library loads at its first use counts as memory too: first small runs of the same kind.
    train(torch.randn(2, 2, inputs), torch.randn(2, 2, hidden))
    if max_memory is not None:
        small = getattr(module, cell.upper())(32, 32)
        small.max_memory = small.predict_memory(4000, 8) // 3
        train(torch.randn(4000, 8, 32), torch.randn(4000, 8, 32), small)
        del small
    x, dy = torch.randn(steps, rows, inputs, requires_grad=input_grad), torch.randn(steps, rows, hidden)
    layer.zero_grad(set_to_none=True)
    native.free_kept()
    before, seconds = _resident("VmRSS"), []
    Path("/proc/self/clear_refs").write_text("5")
    for _ in range(5):
        start = time.process_time()
        train(x, dy)
        seconds.append(time.process_time() - start)
    outside = 4 * steps * rows * (hidden + input_grad * inputs)  # the output, and the gradient of the input
    peak = _resident("VmHWM") - before
    found = {"bytes": peak, "own": peak - outside, "seconds": min(seconds)}
    if library == "hiddenstate":
        found["predicted"] = layer.predict_memory(steps, rows)
    return found


def rows() -> Iterator[list[str]]:
    """Table rows, as they come: each cell beside torch, then in half and in a quarter of its memory."""
    for cell in CELLS:
        for input_grad in (True, False):
            ours, torch = (
                measure(name, cell, list(SIZE), input_grad, None) for name in ("hiddenstate", "torch")
            )
            name = f"{cell} {','.join(map(str, SIZE))}{'' if input_grad else ', no gradient of x'}"
            yield _row(name, ours, torch)
            if cell == "rnn":
                continue
            for part in (2, 4):
                less = measure("hiddenstate", cell, list(SIZE), input_grad, ours["predicted"] // part)
                slower = f", 1/{part} of the memory: {less['seconds'] / ours['seconds']:.2f} x the time"
                yield _row(name + slower, less, None)


def _row(name: str, ours: dict, torch: dict | None) -> list[str]:
    numbers = [
        ours["bytes"] / 1e6,
        torch and torch["bytes"] / 1e6,
        ours["own"] / 1e6,
        ours["predicted"] / 1e6,
    ]
    times = [ours["seconds"], torch and torch["seconds"]]
    shown = [f"{value:.1f}" if value else "" for value in numbers] + [
        f"{value:.2f}" if value else "" for value in times
    ]
    return [name, *shown]


def _resident(field: str) -> int:
    """Bytes that this process has, or at most had, in memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


def main() -> None:
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for row in rows():
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(work(*json.loads(sys.argv[1]))))
    else:
        main()
