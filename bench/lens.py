"""What looking costs: every measurement of the lens beside a plain forward and backward on the same data.

``python -m bench.lens [--cell lstm] [--hidden 128] [--steps 256] [--sequences 64]`` prints markdown.
Times are medians; one process, so that only ratios within a table mean anything.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import hiddenstate as hs
from hiddenstate import native, nn
from hiddenstate.bundle import Bundle
from hiddenstate.lens import Encoded, Pass, Probe
from hiddenstate.lens.encoding import NO_TARGET
from hiddenstate.spec import Embed, Input, Linear, ModelSpec, Recurrent

SYMBOLS = 64

LONG_S = 0.5

OVER_DATA = (
    "gradient_through_time", "lag_gain", "truncation_bias", "gate_saturation", "state_saturation",
    "gate_time_constants", "input_reach", "effective_context", "memory_capacity", "norm_drift", "dead_units",
    "used_dimension", "step_jacobians", "lyapunov_spectrum", "fixed_points", "contraction", "unit_effects",
    "expected_response", "trajectory", "faithfulness",
)  # fmt: skip
OVER_ONE = ("trace", "integrated_gradients", "occlusion", "event_shapley")


def seconds(run: Callable[[], Any], rounds: int) -> float:
    """Median time of a run, after one that does not count; of a long run, its only time."""
    start = time.perf_counter()
    run()
    if (first := time.perf_counter() - start) > LONG_S:
        return first
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def character_model(cell: str, hidden: int) -> Bundle:
    """An untrained character model: what is measured costs the same on a trained one."""
    spec = ModelSpec(
        (Input("x", "ids", SYMBOLS),),
        (Embed("embed", "x", 64), Recurrent("rnn", "embed", cell, hidden), Linear("head", "rnn", SYMBOLS)),
    )
    torch.manual_seed(0)
    module = nn.build(spec)
    return Bundle(spec, {name: value.numpy() for name, value in module.state_dict().items()})


def plain_backward(made: Pass) -> Callable[[], None]:
    """The kernel's backward of the recurrent layer, without gradients of states."""
    layer = made.probe.layer().scan
    x, lstm = np.ascontiguousarray(made.nodes["embed"]), layer.cell.name == "lstm"
    steps, rows, _ = x.shape
    hidden = layer.sizes.hidden_size
    plan = native.Plan(layer.cell.native, **layer.params, backward=True)
    y, h = np.empty((steps, rows, hidden), np.float32), np.empty((rows, hidden), np.float32)
    c = np.empty_like(h) if lstm else None
    tape = np.empty((steps * rows, len(layer.cell.tape) * hidden), np.float32)
    lengths = made.lengths
    native.forward(plan, x, None, None, lengths, None, None, None, False, y, h, c, tape)
    dy, dx = np.ones_like(y), np.empty_like(x)
    d_weights = {f"d{name}": np.empty_like(value) for name, value in layer.params.items()}
    nothing = {"dweight_hr": None, "dh_steps": None, "dc_steps": None}
    given = (x, None, None, lengths, None, None, None, False, y, tape, dy, None, None)

    def run() -> None:
        native.backward(plan, *given, dx, None, None, None, None, **d_weights, **nothing)

    return run


def training_step(bundle: Bundle, x: np.ndarray) -> Callable[[], None]:
    """Forward and backward of the same model as training runs them."""
    module = nn.build(bundle.spec)
    module.load_state_dict({name: torch.tensor(value) for name, value in bundle.params.items()})
    ids, targets = torch.tensor(x), torch.tensor(np.roll(x, -1, axis=0)).reshape(-1)

    def run() -> None:
        module.zero_grad()
        output, _ = module({"x": ids})
        torch.nn.functional.cross_entropy(output.reshape(-1, SYMBOLS), targets).backward()

    return run


def measurements(probe: Probe, data: Any) -> dict[str, Callable[[], Any]]:
    """Every measurement over a model and data, and those of one sequence, with their defaults."""
    names = [name for name in OVER_DATA if probe.layer().gates or not name.startswith("gate_")]
    found = {name: lambda name=name: getattr(hs.lens, name)(probe, data) for name in names}
    one = data[0]
    return found | {f"{n}, one sequence": lambda n=n: getattr(hs.lens, n)(probe, one) for n in OVER_ONE}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.lens", description=__doc__)
    parser.add_argument("--cell", default="lstm")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--steps", type=int, default=256)
    parser.add_argument("--sequences", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    bundle = character_model(options.cell, options.hidden)
    probe = Probe(bundle)
    data = [
        Encoded({"x": ids}, list(map(str, ids)), f"sequence {number}", np.append(ids[1:], NO_TARGET))
        for number, ids in enumerate(
            np.random.default_rng(0).integers(0, SYMBOLS, (options.sequences, options.steps))
        )
    ]
    made = probe.run(probe.read(data))
    seed, dy = np.ones_like(made.output), np.ones_like(made.recordings["rnn_l0"].y)
    rounds = options.rounds
    kernel = seconds(plain_backward(made), 3 * rounds)
    with_states = seconds(lambda: made.recordings["rnn_l0"].backward(dy), 3 * rounds)
    inputs, step = {"x": made.nodes["x"]}, training_step(bundle, made.nodes["x"])
    passes = {
        "forward (the model's answers)": lambda: probe.model.forward(inputs),
        "forward, everything recorded": lambda: probe.forward(inputs),
        "backward, gradient of every state of every step": lambda: made.backward(seed),
        "training: forward and backward": step,
    }
    both = seconds(step, 3 * rounds)
    print(f"{options.cell}, {options.hidden} units, {options.sequences} sequences of {options.steps} steps\n")
    print(
        f"Recurrent layer: backward {kernel * 1e3:.1f} ms; with the gradient of every state "
        f"{with_states * 1e3:.1f} ms ({with_states / kernel:.2f} x)\n"
    )
    print("| what | ms | x forward and backward |\n|---|---|---|")
    for name, run in (passes | measurements(probe, data)).items():
        took = seconds(run, rounds)
        print(f"| {name} | {took * 1e3:.1f} | {took / both:.2f} |", flush=True)


if __name__ == "__main__":
    main()
