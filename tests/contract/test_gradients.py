"""Contract 2: the native gradient is that of the float64 oracle and of finite differences, for everything."""

from dataclasses import asdict, dataclass, replace

import numpy as np
import pytest
import torch

from contract.battery import DTYPES, VARIANTS, Case, build, close, hold, same_bits
from hiddenstate import cells, native
from hiddenstate.scan import Layer, scan_python

FLOAT64 = 2e-14
"""Bound on float64 gradients, relative to the largest entry of each array (at least 1)."""
FLOAT32 = 1e-5
"""The same for float32 gradients against float64 ones of the same float32 values."""


def flat(gradients) -> dict[str, np.ndarray]:
    """All gradients of a scan by name, as arrays."""
    named = {"dx": gradients.dx} | {f"d_{name}": value for name, value in gradients.d_params.items()}
    for record in ("d_state", "d_rest", "d_steps"):
        for field, value in getattr(gradients, record)._asdict().items():
            named[f"{record}.{field}"] = value
    return named


def ours(case: Case, make=Layer) -> dict[str, np.ndarray]:
    recording = make(case.cell, case.params).record(case.x, case.state, **case.options)
    return flat(recording.backward(case.dy, case.d_last))


def watched(cell, seen):
    """The cell, noting every state that it makes."""

    class Watched(type(cell)):
        def step(self, xp, params, x, state):
            new, activations = super().step(xp, params, x, state)
            seen.append(new)
            return new, activations

    return Watched(**asdict(cell))


def oracle(case: Case) -> dict[str, np.ndarray]:
    """Gradients by torch's differentiation of the cell's own Python step, in float64."""
    case = case.astype(np.float64)
    leaf = lambda value: torch.tensor(value, requires_grad=True)  # noqa: E731
    params = {name: leaf(value) for name, value in case.params.items()}
    x, rest = leaf(case.x), type(case.resting())(*map(leaf, case.resting()))
    rows = case.x.shape[1]
    # A missing state is the rest state in every row: its gradient goes to both.
    nudges = [leaf(np.zeros_like(value) if case.state is None else value) for value in case.start()]
    tiles = [value.tile((rows, 1)) + nudge for value, nudge in zip(rest, nudges, strict=True)]
    state = type(rest)(*(tiles if case.state is None else nudges))
    seen: list = []
    y, last = scan_python(
        watched(case.cell, seen),
        params,
        x,
        state,
        lengths=None if case.lengths is None else torch.from_numpy(case.lengths),
        resets=None if case.resets is None else torch.from_numpy(case.resets),
        rest=rest,
        reverse=case.reverse,
    )
    made = [value for step in (seen[::-1] if case.reverse else seen) for value in step]
    wanted = [x, *params.values(), *nudges, *rest, *made]
    # The output of no steps hangs on nothing.
    sent = [(out, torch.from_numpy(by)) for out, by in zip((y, *last), (case.dy, *case.d_last), strict=True)]
    outputs, weights = zip(*((out, by) for out, by in sent if out.requires_grad), strict=True)
    found = torch.autograd.grad(outputs, wanted, weights, allow_unused=True)
    arrays = [(torch.zeros_like(w) if f is None else f).numpy() for f, w in zip(found, wanted, strict=True)]
    return named(case, list(params), arrays)


def named(case: Case, params: list[str], arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
    """The oracle's arrays by the names that ``flat`` gives."""
    fields = case.cell.State._fields
    names = ["dx", *(f"d_{name}" for name in params)]
    names += [f"{record}.{field}" for record in ("d_state", "d_rest") for field in fields]
    result = dict(zip(names, arrays, strict=False))
    made = arrays[len(names) :]
    steps, rows, _ = case.x.shape
    for index, (field, shape) in enumerate(zip(fields, case.d_last, strict=True)):
        by_step = made[index :: len(fields)]
        result[f"d_steps.{field}"] = np.array(by_step).reshape(steps, rows, shape.shape[-1])
    return result


def agrees_with_oracle(case: Case, make=Layer):
    tolerance = FLOAT64 if case.x.dtype == np.float64 else FLOAT32
    got, wanted = ours(case, make), oracle(case)
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        assert got[name].dtype == case.x.dtype
        close(got[name], value, name, tolerance=tolerance)


def loss(case: Case) -> float:
    y, last = Layer(case.cell, case.params).scan(case.x, case.state, **case.options)
    return float(np.vdot(y, case.dy) + sum(np.vdot(a, b) for a, b in zip(last, case.d_last, strict=True)))


def moves(case: Case, rng):
    """For every argument: its gradient's name, a random direction, and the case moved along it."""

    def record(name, value):
        for field in value._fields:
            direction = rng.normal(size=getattr(value, field).shape)

            def moved(step, field=field, direction=direction):
                new = value._replace(**{field: getattr(value, field) + step * direction})
                return replace(case, **{name: new})

            yield f"d_{name}.{field}", direction, moved

    direction = rng.normal(size=case.x.shape)
    yield "dx", direction, lambda step: replace(case, x=case.x + step * direction)
    for name, value in case.params.items():
        along = rng.normal(size=value.shape)
        yield (
            f"d_{name}",
            along,
            lambda step, name=name, value=value, along=along: replace(
                case, params=case.params | {name: value + step * along}
            ),
        )
    if case.state is not None:
        yield from record("state", case.state)
    yield from record("rest", case.resting())


def agrees_with_differences(case: Case, make=Layer):
    """Central differences along a random direction of each argument."""
    gradients = ours(case, make)
    # Between its kinks a relu is straight, so its step can be small enough to meet none of them.
    step = 1e-8 if case.cell == cells.RNN("relu") else 1e-5
    rounding = 1e-15 * abs(loss(case)) / step
    for name, direction, moved in moves(case, np.random.default_rng(case.x.size)):
        slope = (loss(moved(step)) - loss(moved(-step))) / (2 * step)
        expected = np.vdot(gradients[name], direction)
        bound = 1e-7 * (1 + np.abs(gradients[name]).sum()) + rounding
        assert abs(slope - expected) <= bound, f"{name}: slope {slope:.9g}, gradient {expected:.9g}"


def threads_do_not_matter(case: Case, make=Layer):
    before = native.get_num_threads()
    try:
        native.set_num_threads(1)
        wanted = ours(case, make)
        for threads in (2, 3):
            native.set_num_threads(threads)
            for name, value in ours(case, make).items():
                same_bits(value, wanted[name], f"{name} on {threads} threads")
    finally:
        native.set_num_threads(before)


EVERY = pytest.mark.parametrize("cell", VARIANTS, ids=str)
PRECISION = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


@EVERY
@PRECISION
def test_gradients_are_those_of_the_oracle(cell, dtype):
    hold(agrees_with_oracle, cell, dtype, examples=20)


@EVERY
@PRECISION
def test_gradients_at_every_filling_of_a_panel(cell, dtype):
    """Panels are up to four vectors of 2 to 16 numbers: widths before, at and after their borders."""
    given = {"state", "lengths", "resets", "rest"}
    for hidden in (7, 8, 9, 16, 17, 31, 33, 57, 63, 64, 65, 96, 113, 121, 127, 128, 129, 255):
        for proj in (0, 121) if cell.projects else (0,):
            agrees_with_oracle(build(cell, dtype, 3, 2, hidden, hidden, proj, True, given, False, seed=1))


@EVERY
def test_gradients_are_those_of_finite_differences(cell):
    hold(agrees_with_differences, cell, np.float64, examples=20)


@EVERY
@PRECISION
def test_threads_do_not_change_bits(cell, dtype):
    hold(threads_do_not_matter, cell, dtype, examples=8)
    wide = {"given": {"state", "lengths", "resets", "rest"}, "reverse": True, "bias": True, "seed": 1}
    threads_do_not_matter(build(cell, dtype, steps=5, rows=67, inputs=33, hidden=62, proj=5, **wide))
    threads_do_not_matter(build(cell, dtype, steps=3, rows=1, inputs=130, hidden=300, proj=60, **wide))


@EVERY
def test_garbage_at_padded_steps_reaches_no_gradient(cell):
    case = build(cell, np.float64, 6, 5, 3, 9, 4, True, {"state", "lengths", "resets", "rest"}, False, seed=5)
    padding = np.arange(6)[:, None] >= case.lengths[None]
    spoiled = replace(
        case,
        x=np.where(padding[:, :, None], np.nan, case.x),
        dy=np.where(padding[:, :, None], np.nan, case.dy),
    )
    wanted = ours(case)
    for name, value in ours(spoiled).items():
        same_bits(value, wanted[name], name)
    assert not wanted["dx"][padding].any()
    assert not wanted["d_steps.h"][padding].any()


@EVERY
def test_gradients_sent_into_one_result_only(cell):
    case = build(cell, np.float64, 4, 3, 2, 7, 3, False, {"state"}, False, seed=6)
    recording = Layer(cell, case.params).record(case.x, case.state)
    nothing = type(case.d_last)(*(np.zeros_like(value) for value in case.d_last))
    for partly, sent in (
        (replace(case, d_last=nothing), (case.dy, None)),
        (replace(case, dy=np.zeros_like(case.dy)), (None, case.d_last)),
        (replace(case, dy=np.zeros_like(case.dy), d_last=nothing), (None, None)),
    ):
        for name, value in flat(recording.backward(*sent)).items():
            close(value, oracle(partly)[name], name, tolerance=FLOAT64)


# The batteries catch what they are there for.


@dataclass(frozen=True)
class Swapped(cells.GRU):
    """A GRU whose text says that the update gate replaces, over a kernel where it keeps."""

    def step(self, xp, params, x, state):
        new, kept = super().step(xp, params, x, state)
        return type(new)(kept["z"] * kept["n"] + (1 - kept["z"]) * state.h), kept


class Skewed(Layer):
    """One gradient is off by a thousandth."""

    wrong = "dx"

    def record(self, *args, **kwargs):
        recording = super().record(*args, **kwargs)
        exact = recording._differentiate

        def differentiate(dy, d_last):
            found = exact(dy, d_last)
            for name, value in flat(found).items():
                if name == self.wrong:
                    value *= 1.001
            return found

        return replace(recording, _differentiate=differentiate)


def test_a_wrong_cell_is_caught():
    with pytest.raises(AssertionError):
        hold(agrees_with_oracle, Swapped(), np.float64)


@pytest.mark.parametrize("wrong", ["dx", "d_weight_hh", "d_bias_ih", "d_state.c", "d_rest.h", "d_steps.c"])
def test_one_wrong_gradient_is_caught(wrong):
    make = type("Wrong", (Skewed,), {"wrong": wrong})
    with pytest.raises(AssertionError, match=wrong):
        hold(lambda case: agrees_with_oracle(case, make), cells.LSTM(), np.float64)
    if wrong != "d_steps.c":  # the states in between are no arguments that could be moved
        with pytest.raises(AssertionError, match=wrong):
            hold(lambda case: agrees_with_differences(case, make), cells.LSTM(), np.float64)
