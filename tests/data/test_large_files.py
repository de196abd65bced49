"""A file is read and written in chunks without being in memory as a whole."""

import subprocess
import sys

import pytest

MEASURE = """
import resource, sys
import numpy as np
from hiddenstate import data

def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

source, target, suffix = sys.argv[1:]
def parts(count):
    for i in range(count):
        yield {"id": [f"series {i % 7}"] * 20_000, "x": np.random.default_rng(i).random(20_000)}

def copy(count):
    data.write(parts(count), source + suffix)
    rows = 0
    def through():
        nonlocal rows
        for part in data.read_chunks(source + suffix, rows=10_000):
            rows += len(part)
            part.numbers("x"), part.text("id")
            yield part
    data.write(through(), target + suffix)
    assert rows == count * 20_000, rows

copy(10)
before = peak_mib()
copy(60)
print(peak_mib() - before)
"""


@pytest.mark.parametrize(("suffix", "file_mib"), [(".csv", 30), (".jsonl", 45), (".parquet", 8)])
def test_memory_does_not_grow_with_the_file(tmp_path, suffix, file_mib):
    """Six times as many rows, 1.2 million; as one table they would take about 60 MiB."""
    arguments = [str(tmp_path / "source"), str(tmp_path / "target"), suffix]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / f"source{suffix}").stat().st_size > file_mib * 2**20
    assert float(done.stdout) < 30
