"""The contracts on every instruction set of this processor; it is chosen at import, so in other processes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from contract.battery import VARIANTS, build, close
from hiddenstate import native
from hiddenstate.scan import scan

HERE = Path(__file__).parent
OTHERS = [isa for isa in native.isas() if isa != native.isa()]
GIVEN = {"state", "lengths", "resets", "rest"}


def on(isa, *command):
    """Runs Python with these arguments on an instruction set; its output."""
    environment = os.environ | {"HIDDENSTATE_ISA": isa, "PYTHONPATH": str(HERE.parent)}
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return done.stdout


@pytest.mark.parametrize("isa", OTHERS)
def test_the_batteries_hold(isa):
    files = [HERE / f"test_{name}.py" for name in ("one_answer", "gradients", "lengths_resets")]
    said = on(
        isa, "-m", "pytest", "-p", "no:cacheprovider", "-k", "not python and not caught", *map(str, files)
    )
    assert " passed" in said


def answers(dtype):
    """A few scans of every cell."""
    found = []
    for cell in VARIANTS:
        case = build(cell, dtype, 9, 6, 4, 21, 5, True, GIVEN, False, seed=1)
        y, last = scan(cell, case.params, case.x, case.state, **case.options)
        found += [y, *last]
    return found


@pytest.mark.parametrize("isa", OTHERS)
def test_instruction_sets_agree(isa, tmp_path):
    """A state may be carried from one machine to another: float32 answers differ by rounding only."""
    code = (
        "import sys, numpy as np\n"
        "from contract.test_every_isa import answers\n"
        "from hiddenstate import native\n"
        "assert native.isa() == sys.argv[2]\n"
        "np.savez(sys.argv[1], *answers(np.float32), *answers(np.float64))\n"
    )
    on(isa, "-c", code, str(tmp_path / "there.npz"), isa)
    there = list(np.load(tmp_path / "there.npz").values())
    here = [*answers(np.float32), *answers(np.float64)]
    for a, b in zip(there, here, strict=True):
        close(a, b, isa, tolerance=1e-6 if b.dtype == np.float32 else 1e-13)
