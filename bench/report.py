"""What a run prints: the machine, a row for each case, means, and cases beside their plain neighbours."""

from __future__ import annotations

import math
import os
import platform
import statistics
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from .cases import CELLS, Case
from .libraries import OURS


class Result(NamedTuple):
    """A case, the median seconds of one run by library, and the multiply-add peak beside it in GF/s."""

    case: Case
    times: dict[str, float]
    peak: float

    @property
    def rate(self) -> float:
        """Ours, in GF/s."""
        return self.case.flops / self.times["hiddenstate"] / 1e9

    @property
    def share(self) -> float:
        """Of the peak."""
        return self.rate / self.peak


Results = list[Result]


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


def head(libraries: list[str]) -> str:
    """The first two lines of a table."""
    columns = [
        "case (T,B,I,H)",
        *(f"{name} us" for name in libraries),
        "x best peer",
        "x torch",
        "GF/s",
        "share of peak",
    ]
    return f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"


def row(result: Result, libraries: list[str]) -> str:
    """Time of each library, ratio of the best peer and of torch to us, rate and share of the peak."""
    times = result.times
    ours, others = times["hiddenstate"], peers(times)
    cells = [result.case.name, *(f"{times[name] * 1e6:.1f}" if name in times else "" for name in libraries)]
    cells.append(f"{min(others) / ours:.2f}" if others else "")
    cells.append(f"{times['torch'] / ours:.2f}" if "torch" in times else "")
    cells += [f"{result.rate:.0f}", f"{result.share:.2f}"]
    return f"| {' | '.join(cells)} |"


def peaks(results: Results) -> str:
    """The peak beside the cases: median, least and most."""
    found = [result.peak for result in results]
    return f"{statistics.median(found):.0f} GF/s ({min(found):.0f} to {max(found):.0f})"


def peers(times: dict[str, float]) -> list[float]:
    """Times of other people's libraries."""
    return [seconds for library, seconds in times.items() if library not in OURS]


def geometric_means(results: Results) -> list[str]:
    """Per kind and cell: geometric mean of the ratios to the best peer and to torch."""
    lines = []
    for kind in dict.fromkeys(result.case.kind for result in results):
        for cell in (*CELLS, "all"):
            best, torch = [], []
            for case, times, _ in results:
                if case.kind != kind or cell not in (case.cell, "all") or not peers(times):
                    continue
                best.append(min(peers(times)) / times["hiddenstate"])
                if "torch" in times:
                    torch.append(times["torch"] / times["hiddenstate"])
            if best:
                mean = statistics.geometric_mean(best)
                text = f"{kind} {cell}: {mean:.2f} x best peer (least {min(best):.2f})"
                lines.append(text + (f", {statistics.geometric_mean(torch):.2f} x torch" if torch else ""))
    return lines


def beside_neighbours(results: Results) -> Iterator[tuple[Result, Result, dict[str, float]]]:
    """A case, its plain neighbour, and by library the rate (GF/s) of the case over that of the neighbour."""
    known = {result.case: result for result in results}
    for result in results:
        other = known.get(result.case.neighbour)
        if other is not None:
            work, both = result.case.flops / other.case.flops, result.times.keys() & other.times.keys()
            yield result, other, {name: work * other.times[name] / result.times[name] for name in both}


def with_torch(ratios: dict[str, float]) -> str:
    """Our ratio, and torch's where there is one."""
    return f"{ratios['hiddenstate']:.2f}" + (f" (torch {ratios['torch']:.2f})" if "torch" in ratios else "")


def shares(results: Results) -> list[str]:
    """Of every case with a neighbour: its rate over that of the neighbour, and both shares of the peak."""
    lines, found = [], []
    for result, other, rates in beside_neighbours(results):
        lines.append(f"{result.case.name}: {result.share:.2f} / {other.share:.2f} = {with_torch(rates)}")
        found.append(rates["hiddenstate"])
    reached = f"{sum(share >= 0.85 for share in found)} of {len(found)} reach 0.85"
    least = f"least {min(found, default=math.nan):.2f}"
    return [
        "Share of the peak / that of the plain neighbour = ratio of the rates:",
        *lines,
        f"{reached}, {least}",
    ]


def costs(results: Results) -> list[str]:
    """Of every case with a neighbour: the time of one step of one row over that in the neighbour."""
    lines, found = [], []
    for result, other, rates in beside_neighbours(results):
        lines.append(
            f"{result.case.name} / {other.case.name}: {with_torch({k: 1 / v for k, v in rates.items()})}"
        )
        found.append(1 / rates["hiddenstate"])
    within = f"{sum(cost <= 1.1 for cost in found)} of {len(found)} within 1.10"
    most = f"most {max(found, default=math.nan):.2f}"
    return ["Time of one step of one row / that in the neighbour:", *lines, f"{within}, {most}"]


def scans(results: Results) -> list[str]:
    """Of every case: the time of ``hs.scan`` over that of ``hs.nn``, and their geometric mean."""
    ratios = {c.name: t["hs.scan"] / t["hiddenstate"] for c, t, _ in results if "hs.scan" in t}
    mean = statistics.geometric_mean(ratios.values()) if ratios else math.nan
    lines = [f"{name}: {ratio:.2f}" for name, ratio in ratios.items()]
    last = f"geometric mean {mean:.2f}, most {max(ratios.values(), default=math.nan):.2f}"
    return ["Time of hs.scan on numpy / that of hs.nn:", *lines, last]


SUMMARIES = {"odd": shares, "lengths": costs, "denormals": costs, "scan": scans}
"""What stands below the means of a suite: a heading and its lines."""
