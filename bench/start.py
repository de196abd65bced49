"""Seconds that ``import hiddenstate`` takes, median of ten processes: ``python -m bench.start``."""

from __future__ import annotations

import statistics
import subprocess
import sys

TIMED = """
import time
wall, used = time.perf_counter(), time.process_time()
import MODULE
print(time.perf_counter() - wall, time.process_time() - used)
"""


def import_seconds(module: str) -> tuple[float, float]:
    """Wall and processor seconds, medians."""
    command = [sys.executable, "-c", TIMED.replace("MODULE", module)]
    runs = [
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() for _ in range(10)
    ]
    wall, used = zip(*runs, strict=True)
    return statistics.median(map(float, wall)), statistics.median(map(float, used))


if __name__ == "__main__":
    for name in ("numpy", "hiddenstate"):
        wall, used = import_seconds(name)
        print(f"import {name}: {wall:.3f} s, of the processor {used:.3f} s")
