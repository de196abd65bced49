"""Runs the suites and prints markdown: ``python -m bench [suite ...] [--rounds 5] [--json FILE]``."""

from __future__ import annotations

import argparse
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
from .report import SUMMARIES, Results, geometric_means, head, machine, row

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


def run_suite(
    suite: str, cases: list[Case], libraries: list[str], peak: float, options: argparse.Namespace
) -> Results:
    """Measures the cases; prints a row of the table as each is done, and what follows from all below it."""
    print(f"\n### {suite}\n\n{head(libraries)}", flush=True)
    workers, results = [Worker(name) for name in libraries], []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for case in progress.track(cases, description=suite):
            times = measure_case(workers, case, options.rounds, options.budget_s)
            results.append((case, times))
            print(row(case, times, peak, libraries), flush=True)
    for worker in workers:
        worker.close()
    if means := geometric_means(results):
        print("\n" + "\n".join(f"- {line}" for line in means))
    if suite in SUMMARIES:
        heading, *lines = SUMMARIES[suite](results, peak)
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
    peak = measure_peak(os.cpu_count() or 1)
    print(f"{machine()}\n\nMultiply-add peak in this run: {peak:.0f} GF/s; {options.rounds} rounds.")
    results = []
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
            json.dumps([{"case": c.to_dict(), "seconds": t} for c, t in results], indent=1)
        )


if __name__ == "__main__":
    main()
