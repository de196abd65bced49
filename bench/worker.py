"""One library in a process of its own: reads a case a line, answers with seconds per run a line."""

from __future__ import annotations

import json
import sys
import time

from .cases import Case
from .libraries import LIBRARIES


def measure(run, budget_s: float, warm: bool) -> float:
    """Median seconds of one run, over as many runs as the budget holds (at least three)."""
    if not warm:
        run()
        run()
    start = time.perf_counter()
    run()
    inner = max(1, int(2e-3 / max(time.perf_counter() - start, 1e-7)))  # short runs are timed in groups
    times: list[float] = []
    deadline = time.perf_counter() + budget_s
    while len(times) < 3 or (time.perf_counter() < deadline and len(times) < 1000):
        start = time.perf_counter()
        for _ in range(inner):
            run()
        times.append((time.perf_counter() - start) / inner)
    return sorted(times)[len(times) // 2]


def main() -> None:
    build, built = LIBRARIES[sys.argv[1]], {}
    for line in sys.stdin:
        job = json.loads(line)
        case = Case(**job["case"])
        warm = case in built
        if not warm:
            built.clear()  # one case at a time keeps memory and caches as a user has them
            built[case] = build(case)
        run = built[case]
        print(json.dumps(None if run is None else measure(run, job["budget_s"], warm)), flush=True)


if __name__ == "__main__":
    main()
