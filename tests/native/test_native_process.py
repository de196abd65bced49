"""What a process chooses and keeps: instruction set, threads, forks, parallel callers, float mode."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hiddenstate import native

BATTERY = """
import json, numpy as np
from hiddenstate import native
rng, results = np.random.default_rng(0), {}
for cell, gates in (("rnn_tanh", 1), ("rnn_relu", 1), ("lstm", 4), ("gru", 3), ("gru_before", 3)):
    f = lambda *shape: rng.uniform(-0.3, 0.3, shape).astype("f4")
    T, B, I, H = 12, 5, 7, 21
    weights = f(gates * H, I), f(gates * H, H), f(gates * H), f(gates * H)
    plan = native.Plan(cell, *weights, backward=True)
    x, h0, c0 = f(T, B, I), f(B, H), f(B, H) if cell == "lstm" else None
    y, h_n, c_n = np.empty((T, B, H), "f4"), np.empty((B, H), "f4"), None if c0 is None else f(B, H)
    tape = np.empty((T * B, len(native.tape_fields(cell)) * H), "f4")
    native.forward(plan, x, h0, c0, None, None, None, None, False, y, h_n, c_n, tape)
    dw = np.empty_like(weights[1])
    entering, before, after = (y, None, None), [None] * 6, [None] * 5
    native.backward(plan, x, h0, c0, None, None, None, None, False, y, tape, *entering, *before, dw, *after)
    h = h0
    for t in range(T):
        h, before = np.empty_like(h), h
        native.step(plan, x[t], before, c0, h, c0)
    assert (h == h_n).all(), cell
    results[cell] = [y.astype(float).tolist(), dw.astype(float).tolist()]
print(json.dumps([native.isa(), native.get_num_threads(), results]))
"""


def run(code, **environment):
    keep = {k: v for k, v in os.environ.items() if "NUM_THREADS" not in k and k != "HIDDENSTATE_ISA"}
    keep["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    return subprocess.run(
        [sys.executable, "-c", code], env=keep | environment, capture_output=True, text=True, check=False
    )


def test_every_instruction_set_agrees():
    results = {}
    for name in native.isas():
        done = run(BATTERY, HIDDENSTATE_ISA=name)
        assert done.returncode == 0, done.stderr
        used, _, results[name] = json.loads(done.stdout)
        assert used == name
    for values in results.values():
        for cell, (y, dw) in values.items():
            np.testing.assert_allclose(y, results[native.isas()[-1]][cell][0], rtol=0, atol=1e-6)
            np.testing.assert_allclose(dw, results[native.isas()[-1]][cell][1], rtol=0, atol=1e-5)


def test_the_best_instruction_set_is_the_default():
    done = run("from hiddenstate import native; print(native.isa(), native.isas()[0])")
    used, best = done.stdout.split()
    assert used == best


def test_unknown_instruction_set_names_the_choices():
    done = run("import hiddenstate.native", HIDDENSTATE_ISA="mmx")
    assert done.returncode != 0
    assert "HIDDENSTATE_ISA" in done.stderr
    assert "baseline" in done.stderr or "neon" in done.stderr


@pytest.mark.parametrize(
    ("environment", "count"),
    [({"OMP_NUM_THREADS": "3,1"}, 3), ({"OMP_NUM_THREADS": "3", "HIDDENSTATE_NUM_THREADS": "2"}, 2)],
)
def test_thread_settings_of_the_environment(environment, count):
    done = run("from hiddenstate import native; print(native.get_num_threads())", **environment)
    assert int(done.stdout) == count


CALL = """
import os, numpy as np
from hiddenstate import native

def call(steps, batch, inputs, hidden):
    w = lambda *shape: np.full(shape, 0.01, "f4")
    plan = native.Plan("lstm", w(4 * hidden, inputs), w(4 * hidden, hidden), backward=True)
    x, y, h, c = w(steps, batch, inputs), w(steps, batch, hidden), w(batch, hidden), w(batch, hidden)
    tape, dx = w(steps * batch, 5 * hidden), w(steps, batch, inputs)
    given = plan, x, None, None, None, None, None, None, False
    native.forward(*given, y, h, c, tape)
    native.backward(*given, y, tape, y, None, None, dx, *[None] * 11)
    native.step(plan, x[0], h, c, h.copy(), c.copy())
"""

THREADS = (
    CALL
    + """
def started():
    return set(os.listdir("/proc/self/task")) - before

def sleeps():
    while True:
        with open(f"/proc/self/task/{min(started())}/status") as file:
            status = dict(line.split(":", 1) for line in file)
        if "sleeping" in status["State"]:
            return int(status["voluntary_ctxt_switches"])

small, big, before = (10, 4, 16, 16), (40, 64, 200, 200), set(os.listdir("/proc/self/task"))
counts = []
for limit, size in ((None, small), (1, big), (2, small), (2, big), (2, big)):
    if limit:
        native.set_num_threads(limit)
    call(*size)
    counts.append(len(started()))
print(*counts)
for limit, size in ((2, small), (1, big), (2, big)):
    native.set_num_threads(limit)
    slept = sleeps()
    call(*size)
    print(sleeps() > slept)
"""
)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the threads from /proc")
def test_a_second_thread_works_only_in_big_calls_that_may_have_one():
    """Small problems, and all with one thread allowed, neither start a thread nor wake the one there is."""
    done = run(THREADS, HIDDENSTATE_NUM_THREADS="2")
    counts, *woken = done.stdout.splitlines() or [done.stderr]
    assert counts == "0 0 0 1 1"
    assert woken == ["False", "False", "True"]


def test_callers_in_parallel(make, threads):
    threads(3)
    problems = [
        make(cell, 30, 16, 20, 70, dtype=np.float32, seed=i) for i, cell in enumerate(("lstm", "gru") * 2)
    ]
    alone = [[p.forward()[0], p.backward()["dweight_hh"]] for p in problems]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            together = list(pool.map(lambda p: [p.forward()[0], p.backward()["dweight_hh"]], problems))
            for a, b in zip(together, alone, strict=True):
                np.testing.assert_array_equal(a[0], b[0])
                np.testing.assert_array_equal(a[1], b[1])


FORK = """
import os, numpy as np
from hiddenstate import native
native.set_num_threads(3)
w = np.full((400, 100), 0.01, "f4")
plan, x = native.Plan("lstm", w, w), np.ones((40, 24, 100), "f4")
def run():
    y, h, c = np.empty((40, 24, 100), "f4"), np.empty((24, 100), "f4"), np.empty((24, 100), "f4")
    native.forward(plan, x, None, None, None, None, None, None, False, y, h, c, None)
    return y
before = run()
child = os.fork()
if child == 0:
    os._exit(0 if (run() == before).all() else 1)
assert os.waitpid(child, 0)[1] == 0
assert (run() == before).all()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_after_use():
    done = run(FORK)
    assert done.returncode == 0, done.stderr


def test_floating_point_mode_is_restored(make):
    tiny = np.float32(1e-39)
    assert tiny * np.float32(0.5) > 0
    p = make("lstm", 3, 2, 2, 4, dtype=np.float32)
    p.arrays["x"][:] = 1e-39
    p.forward()
    p.backward()
    native.step(p.plan(), p.get("x")[0], None, None, np.empty((2, 4), "f4"), np.empty((2, 4), "f4"))
    assert tiny * np.float32(0.5) > 0


def test_subnormal_states_count_as_zero():
    """A decaying state ends at zero instead of lingering among subnormal numbers."""
    eye = np.eye(4, dtype=np.float32)
    plan = native.Plan("rnn_tanh", eye, eye * np.float32(0.1))
    h, y = np.full((1, 4), 1e-30, np.float32), np.empty((12, 1, 4), np.float32)
    native.forward(plan, np.zeros_like(y), h, None, None, None, None, None, False, y, h, None, None)
    assert y[6].all()
    assert not h.any()


def test_nan_propagates(make):
    for cell in ("rnn_tanh", "rnn_relu", "lstm", "gru", "gru_before"):
        p = make(cell, 3, 2, 2, 4, dtype=np.float32)
        p.arrays["x"][1, 0] = np.nan
        y = p.forward()[0]
        assert np.isnan(y[1:, 0]).all()
        assert np.isfinite(y[:, 1]).all()


SHAPES = (
    CALL
    + """
def resident():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))

sizes = [(1 + i % 13, 1 + i % 7, 1 + i % 31, 1 + i % 61) for i in range(2000)]
for size in sizes[:200]:
    call(*size)
call(*map(max, zip(*sizes)))
before = resident()
for size in sizes:
    call(*size)
print(len(set(sizes)), resident() - before)
"""
)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory from /proc")
def test_many_shapes_take_no_memory():
    done = run(SHAPES, OMP_NUM_THREADS="1")
    distinct, grown = map(int, done.stdout.split())
    assert distinct == 2000
    assert grown < 2e6, done.stderr
