"""Runs the suites and prints markdown: ``python -m bench [suite ...] [--rounds 5] [--json FILE]``."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from .cases import CELLS, SUITES, Case
from .libraries import LIBRARIES, libraries_of
from .report import SUMMARIES, Result, Results, geometric_means, head, machine, peaks, row

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


class Peak:
    """The machine's multiply-add peak, measured whenever asked for."""

    def __init__(self, folder: str) -> None:
        self.program = Path(folder) / "peak"
        flags = ["-O3", "-march=native", "-ffast-math", "-pthread"]
        command = [os.environ.get("CXX", "c++"), *flags, str(HERE / "peak.cc"), "-o", self.program]
        subprocess.run(command, check=True)

    def rate(self) -> float:
        """GF/s over all processors, just now."""
        command = [self.program, str(os.cpu_count() or 1), "0.1"]
        return float(subprocess.run(command, capture_output=True, check=True).stdout)


def measure(workers: list[Worker], cases: list[Case], peak: Peak, rounds: int, budget_s: float) -> Results:
    """Median seconds of every case by library, and the median of the peak beside them.

    The libraries take turns within every round, and so do the cases, which are compared with each other.
    """
    times: dict[Case, dict[str, list[float]]] = {case: {} for case in cases}
    beside: dict[Case, list[float]] = {case: [] for case in cases}
    for _, case in itertools.product(range(rounds), cases):
        beside[case].append(peak.rate())
        for worker in workers:
            seconds = worker.seconds(case, budget_s)
            if seconds is not None:
                times[case].setdefault(worker.library, []).append(seconds)
    middle = statistics.median
    return [
        Result(case, {name: middle(found) for name, found in times[case].items()}, middle(beside[case]))
        for case in cases
    ]


def compared(cases: list[Case]) -> list[list[Case]]:
    """The cases in groups that are compared with each other."""
    groups: dict[Case, list[Case]] = {}
    for case in cases:
        plain = case
        while plain.neighbour is not None:
            plain = plain.neighbour
        groups.setdefault(plain, []).append(case)
    return list(groups.values())


def run_suite(
    suite: str, cases: list[Case], libraries: list[str], peak: Peak, options: argparse.Namespace
) -> Results:
    """Measures the cases; prints rows of the table as they are done, and what follows from all below it."""
    print(f"\n### {suite}\n\n{head(libraries)}", flush=True)
    workers, results = [Worker(name) for name in libraries], []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for group in progress.track(compared(cases), description=suite):
            found = measure(workers, group, peak, options.rounds, options.budget_s)
            results += found
            print("\n".join(row(result, libraries) for result in found), flush=True)
    for worker in workers:
        worker.close()
    print(f"\nMultiply-add peak beside them: {peaks(results)}.")
    if means := geometric_means(results):
        print("\n" + "\n".join(f"- {line}" for line in means))
    if suite in SUMMARIES:
        heading, *lines = SUMMARIES[suite](results)
        print(f"\n{heading}\n\n" + "\n".join(f"- {line}" for line in lines))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("suites", nargs="*", default=["layers"], help=f"of {', '.join(SUITES)}")
    parser.add_argument("--rounds", type=int, default=5, help="turns of every library (medians are reported)")
    parser.add_argument("--budget-s", type=float, default=0.3, help="seconds of runs per turn")
    parser.add_argument("--libraries", default="", help=f"of {', '.join(LIBRARIES)}")
    parser.add_argument("--cells", default=",".join(CELLS), help="comma-separated")
    parser.add_argument("--kinds", default="", help="only these kinds of case, comma-separated")
    parser.add_argument("--json", type=Path, help="also write the raw medians here")
    options = parser.parse_args()

    kinds = options.kinds.split(",")
    print(f"{machine()}; {options.rounds} rounds")
    results = []
    with tempfile.TemporaryDirectory() as folder:
        peak = Peak(folder)
        for suite in options.suites:
            cases = [
                case
                for case in SUITES[suite]()
                if case.cell in options.cells.split(",") and (not options.kinds or case.kind in kinds)
            ]
            libraries = options.libraries.split(",") if options.libraries else libraries_of(suite)
            results += run_suite(suite, cases, libraries, peak, options)
    if options.json:
        options.json.write_text(
            json.dumps([{"case": c.to_dict(), "seconds": t, "peak": p} for c, t, p in results], indent=1)
        )


if __name__ == "__main__":
    main()
