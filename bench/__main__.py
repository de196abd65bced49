"""Runs the suites and prints markdown: ``python -m bench [suite ...] [--rounds 5] [--json FILE]``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from .cases import CELLS, SUITES, Case
from .libraries import LIBRARIES

HERE = Path(__file__).parent


class Worker:
    """A library in a process of its own; idle ones wait on a pipe and use no core."""

    def __init__(self, library: str) -> None:
        self.library = library
        self.process: subprocess.Popen | None = None

    def seconds(self, case: Case, budget_s: float) -> float | None:
        """Median seconds of one run of ``case``, or None when the library cannot do it."""
        if self.process is None:
            command = [sys.executable, "-m", "bench.worker", self.library]
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE.parent
            )
        job = json.dumps({"case": case.to_dict(), "budget_s": budget_s})
        self.process.stdin.write(job + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.library} died on {case.name}")
        return json.loads(answer)

    def close(self) -> None:
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait()


def measure_peak(threads: int) -> float:
    """The machine's multiply-add peak in GF/s over ``threads`` threads, measured now."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "peak"
        flags = ["-O3", "-march=native", "-ffast-math", "-pthread"]
        subprocess.run(
            [os.environ.get("CXX", "c++"), *flags, str(HERE / "peak.cc"), "-o", program], check=True
        )
        rates = [
            float(subprocess.run([program, str(threads)], capture_output=True, check=True).stdout)
            for _ in range(3)
        ]
    return statistics.median(rates)


def measure_case(workers: list[Worker], case: Case, rounds: int, budget_s: float) -> dict[str, float]:
    """Median seconds by library; the libraries take turns within every round."""
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        for worker in workers:
            seconds = worker.seconds(case, budget_s)
            if seconds is not None:
                times.setdefault(worker.library, []).append(seconds)
    return {library: statistics.median(values) for library, values in times.items()}


def rows_of(
    results: list[tuple[Case, dict[str, float]]], peak: float, libraries: list[str]
) -> list[list[str]]:
    """Table rows: time of each library, ratio of the best peer to us, rate and share of the peak."""
    rows = []
    for case, times in results:
        ours = times["hiddenstate"]
        peers = [seconds for library, seconds in times.items() if library != "hiddenstate"]
        cells = [case.name, *(f"{times[name] * 1e6:.1f}" if name in times else "" for name in libraries)]
        cells.append(f"{min(peers) / ours:.2f}" if peers else "")
        cells.append(f"{times['torch'] / ours:.2f}" if "torch" in times else "")
        rows.append([*cells, f"{case.flops / ours / 1e9:.0f}", f"{case.flops / ours / 1e9 / peak:.2f}"])
    return rows


def geometric_means(results: list[tuple[Case, dict[str, float]]]) -> list[str]:
    """Per kind and cell: geometric mean of the ratios to the best peer and to torch."""
    lines = []
    for kind in dict.fromkeys(case.kind for case, _ in results):
        for cell in (*CELLS, "all"):
            best, torch = [], []
            for case, times in results:
                if case.kind != kind or cell not in (case.cell, "all") or len(times) < 2:
                    continue
                best.append(min(v for k, v in times.items() if k != "hiddenstate") / times["hiddenstate"])
                if "torch" in times:
                    torch.append(times["torch"] / times["hiddenstate"])
            if best:
                mean = statistics.geometric_mean(best)
                text = f"{kind} {cell}: {mean:.2f} x best peer (least {min(best):.2f})"
                lines.append(text + (f", {statistics.geometric_mean(torch):.2f} x torch" if torch else ""))
    return lines


def machine() -> str:
    """Processor, cores and library versions, for the head of a report."""
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    import hiddenstate as hs

    names = ("hiddenstate", "torch", "onnxruntime", "jax", "numpy")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        f"{model}, {os.cpu_count()} cores, kernels {hs.isa()}; Python {platform.python_version()}; {versions}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("suites", nargs="*", default=["layers"], help=f"of {', '.join(SUITES)}")
    parser.add_argument("--rounds", type=int, default=5, help="turns of every library (medians are reported)")
    parser.add_argument("--budget-s", type=float, default=0.3, help="seconds of runs per turn")
    parser.add_argument("--libraries", default=",".join(LIBRARIES), help="comma-separated")
    parser.add_argument("--cells", default=",".join(CELLS), help="comma-separated")
    parser.add_argument("--kinds", default="", help="only these kinds of case, comma-separated")
    parser.add_argument("--json", type=Path, help="also write the raw medians here")
    options = parser.parse_args()

    console, libraries = Console(stderr=True), options.libraries.split(",")
    kinds = options.kinds.split(",") if options.kinds else None
    cases = [
        case
        for suite in options.suites
        for case in SUITES[suite]()
        if case.cell in options.cells.split(",") and (kinds is None or case.kind in kinds)
    ]
    peak = measure_peak(os.cpu_count() or 1)
    print(f"{machine()}\n\nMultiply-add peak in this run: {peak:.0f} GF/s; {options.rounds} rounds.\n")
    head = [
        "case (T,B,I,H)",
        *(f"{name} us" for name in libraries),
        "x best peer",
        "x torch",
        "GF/s",
        "share of peak",
    ]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}", flush=True)
    workers, results = [Worker(name) for name in libraries], []
    with Progress(console=console, transient=True) as progress:
        for case in progress.track(cases, description="measuring"):
            times = measure_case(workers, case, options.rounds, options.budget_s)
            results.append((case, times))
            print("| " + " | ".join(rows_of(results[-1:], peak, libraries)[0]) + " |", flush=True)
    for worker in workers:
        worker.close()
    print("\n" + "\n".join(f"- {line}" for line in geometric_means(results)))
    if options.json:
        options.json.write_text(
            json.dumps([{"case": c.to_dict(), "seconds": t} for c, t in results], indent=1)
        )


if __name__ == "__main__":
    main()
