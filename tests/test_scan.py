"""The scan, against torch's layers; its edges and its refusals."""

import subprocess
import sys
from dataclasses import dataclass

import jaxtyping
import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import hiddenstate as hs
from contract.battery import VARIANTS, build, close
from hiddenstate import cells
from hiddenstate.errors import BackendError, OptionError, ShapeError, StateError
from hiddenstate.scan import Layer, record, scan, scan_python, stack
from hiddenstate.spec import suffix
from hiddenstate.types import GRUState, LSTMState, RNNState

TORCH = {
    "rnn_tanh": torch.nn.RNN,
    "rnn_relu": lambda *args, **options: torch.nn.RNN(*args, nonlinearity="relu", **options),
    "lstm": torch.nn.LSTM,
    "gru": torch.nn.GRU,
}
BACKENDS = pytest.mark.parametrize("backend", ["native", "python"])
EVERY = pytest.mark.parametrize("cell", VARIANTS, ids=str)


@dataclass(frozen=True)
class Sum(cells.Cell):
    """A cell without a kernel: adds its inputs up."""

    name = "sum_for_test"
    gates = ("h",)
    State = RNNState

    def step(self, xp, params, x, state):
        return RNNState(state.h + x @ params["weight_ih"].T), {}


def one(shape, dtype=np.float64):
    return np.ones(shape, dtype)


def layer_params(module, layer, direction):
    """The parameters of one layer in one direction of a torch module, by their plain names."""
    end = suffix(layer, direction)
    found = {name.removesuffix(end): p for name, p in module.named_parameters() if name.endswith(end)}
    return {name: p.detach().numpy() for name, p in found.items()}


@BACKENDS
@pytest.mark.parametrize("kernel", TORCH)
@pytest.mark.parametrize(("layers", "directions"), [(1, 1), (2, 1), (1, 2), (3, 2)])
@pytest.mark.parametrize("projected", [False, True])
def test_stack_is_torchs(kernel, layers, directions, projected, backend):
    cell = next(cell for cell in VARIANTS if cell.native == kernel)
    proj = 4 if projected and cell.projects else 0
    options = {"proj_size": proj} if proj else {}
    module = TORCH[kernel](3, 6, layers, bidirectional=directions == 2, **options).double()
    rng, lengths = np.random.default_rng(0), np.array([2, 5, 1, 4])
    x = rng.normal(size=(5, 4, 3))
    shapes = cell.state_shapes(4, 6, proj_size=proj)
    state = cell.State(*(rng.normal(size=(layers * directions, *shape)) for shape in shapes))

    def run(layer, direction, x, state, reverse):
        params = layer_params(module, layer, direction)
        return scan(cell, params, x, state, lengths=lengths, reverse=reverse, backend=backend)

    y, last = stack(run, x, num_layers=layers, directions=directions, state=state)
    packed = pack_padded_sequence(torch.from_numpy(x), torch.from_numpy(lengths), enforce_sorted=False)
    hx = tuple(map(torch.from_numpy, state))
    with torch.no_grad():
        packed_y, hn = module(packed, hx if len(hx) == 2 else hx[0])
    close(y, pad_packed_sequence(packed_y)[0].numpy(), "y", tolerance=1e-12)
    for got, wanted in zip(last, hn if len(hx) == 2 else [hn], strict=True):
        close(got, wanted.numpy(), "state", tolerance=1e-12)


def test_stack_without_a_state_drops_out_between_layers_only():
    seen = []

    def run(layer, direction, x, state, reverse):
        seen.append((layer, direction, float(x.ravel()[0]), state, reverse))
        return np.full((2, 1, 1), float(layer + 1)), RNNState(np.full((1, 1), float(layer)))

    y, last = stack(run, np.zeros((2, 1, 1)), num_layers=2, directions=2, dropout=lambda x: x * 10)
    assert seen == [
        (0, 0, 0, None, False),
        (0, 1, 0, None, True),
        (1, 0, 10, None, False),
        (1, 1, 10, None, True),
    ]
    assert y.tolist() == [[[2, 2]], [[2, 2]]]
    assert last.h.ravel().tolist() == [0, 0, 1, 1]


def test_stack_refuses_the_state_of_another_stack():
    with pytest.raises(StateError, match=r"2 layers x 1 directions.*\(3, 1, 1\)"):
        stack(lambda *_: None, np.zeros((2, 1, 1)), num_layers=2, state=RNNState(np.zeros((3, 1, 1))))


@EVERY
def test_native_is_the_float64_oracle(cell):
    given = {"state", "lengths", "resets", "rest"}
    for reverse in (False, True):
        case = build(cell, np.float32, 9, 6, 4, 21, 5, True, given, reverse, seed=1)
        y, last = scan(cell, case.params, case.x, case.state, **case.options, backend="native")
        wide = case.astype(np.float64)
        y64, last64 = scan_python(cell, wide.params, wide.x, wide.state, **wide.options)
        close(y, y64, "y", tolerance=1e-6)
        close(last, last64, "state", tolerance=1e-6)


@EVERY
def test_recorded_steps_are_those_of_the_python_step(cell):
    case = build(cell, np.float64, 5, 4, 3, 18, 0, True, {"state", "lengths", "resets", "rest"}, True, seed=2)
    fast, plain = (
        record(cell, case.params, case.x, case.state, **case.options, backend=b) for b in ("native", "python")
    )
    assert tuple(fast.steps) == tuple(plain.steps) == cell.tape
    for name, value in plain.steps.items():
        close(fast.steps[name], value, name, tolerance=1e-12)
    with pytest.raises(BackendError, match="torch"):
        plain.backward(case.dy)


@BACKENDS
@pytest.mark.parametrize(("steps", "rows"), [(0, 3), (4, 0), (0, 0)])
@EVERY
def test_nothing_in_nothing_out(cell, backend, steps, rows):
    case = build(cell, np.float32, steps, rows, 2, 3, 0, True, {"state", "lengths", "resets"}, False, seed=3)
    y, last = scan(cell, case.params, case.x, case.state, **case.options, backend=backend)
    assert y.shape == (steps, rows, 3)
    for value, start in zip(last, case.state, strict=True):
        assert value.shape == (rows, 3)
        if steps == 0:
            np.testing.assert_array_equal(value, start)
    y, last = scan(cell, case.params, case.x, backend=backend)
    assert not last.h.any() or steps


@BACKENDS
def test_layouts_and_kinds_of_arguments_do_not_matter(backend):
    case = build(cells.GRU(), np.float64, 6, 4, 3, 7, 0, True, {"state", "lengths", "resets"}, False, seed=4)
    layer = Layer("gru", case.params, backend=backend)
    y, last = layer.scan(case.x, case.state, **case.options)
    strided = {name: np.asfortranarray(value) for name, value in case.params.items()}
    again, last_again = scan(
        "gru",
        strided,
        np.ascontiguousarray(case.x.transpose(1, 0, 2)).transpose(1, 0, 2),
        GRUState(np.asfortranarray(case.state.h)),
        lengths=case.lengths.tolist(),
        resets=np.asfortranarray(case.resets),
        backend=backend,
    )
    np.testing.assert_array_equal(again, y)
    np.testing.assert_array_equal(last_again.h, last.h)
    by_int32, _ = layer.scan(case.x, case.state, lengths=case.lengths.astype(np.int32), resets=case.resets)
    np.testing.assert_array_equal(by_int32, y)


@BACKENDS
@EVERY
def test_arguments_are_left_alone_and_results_are_new(cell, backend):
    case = build(cell, np.float64, 4, 3, 2, 5, 0, True, {"state", "lengths", "resets", "rest"}, False, seed=5)
    arrays = [case.x, *case.state, *case.rest, *case.params.values(), case.lengths, case.resets]
    for array in arrays:
        array.flags.writeable = False
    before = [array.tobytes() for array in arrays]
    layer = Layer(cell, case.params, backend=backend)
    _, last = layer.scan(case.x, case.state, **case.options)
    stepped = layer.step(case.x[0], case.state)
    for made in (last, stepped, layer.initial_state(3, rest=case.rest)):
        for value in made:
            value += 1
    assert [array.tobytes() for array in arrays] == before


@BACKENDS
def test_a_missing_state_is_the_rest_state(backend):
    case = build(cells.LSTM(), np.float64, 4, 3, 2, 5, 2, True, {"rest"}, False, seed=6)
    layer = Layer(cells.LSTM(), case.params, backend=backend)
    y, last = layer.scan(case.x, rest=case.rest)
    same, last_same = layer.scan(case.x, layer.initial_state(3, rest=case.rest))
    np.testing.assert_array_equal(y, same)
    np.testing.assert_array_equal(last.c, last_same.c)
    zeros, _ = layer.scan(case.x)
    np.testing.assert_array_equal(zeros, layer.scan(case.x, layer.initial_state(3))[0])


@BACKENDS
@EVERY
def test_a_bound_step_reads_and_fills_its_arrays(cell, backend):
    case = build(cell, np.float32, 2, 3, 2, 5, 2, True, {"state"}, False, seed=7)
    layer = Layer(cell, case.params, backend=backend)
    x, state = case.x[0].copy(), type(case.state)(*(value.copy() for value in case.state))
    out = layer.initial_state(3)
    step = layer.bind(x, state, out)
    for now in case.x:
        x[...] = now
        wanted = layer.step(x, state)
        step()
        for value, made, expected in zip(state, out, wanted, strict=True):
            assert made.tobytes() == expected.tobytes()
            value[...] = made


def test_which_path_runs():
    params = {"weight_ih": one((3, 2)), "weight_hh": one((3, 3))}
    half = {name: value.astype(np.float16) for name, value in params.items()}
    tensors = {name: torch.from_numpy(value) for name, value in params.items()}
    assert Layer("rnn", params).backend == "native"
    assert Layer("rnn", params, backend="python").backend == "python"
    assert Layer("rnn", half).backend == "python"
    assert Layer("rnn", tensors).backend == "python"
    assert Layer(Sum(), params).backend == "python"
    for cell, held in (("rnn", half), ("rnn", tensors), (Sum(), params)):
        with pytest.raises(BackendError, match="no native kernel"):
            Layer(cell, held, backend="native")


def test_torch_tensors_scan_differentiably():
    params = {"weight_ih": torch.ones(3, 2, requires_grad=True), "weight_hh": torch.eye(3)}
    y, state = scan("rnn", params, torch.ones(4, 5, 2), lengths=torch.tensor([4, 0, 1, 2, 3]))
    y.sum().backward()
    assert params["weight_ih"].grad is not None
    assert isinstance(state, RNNState)
    assert not state.h[1].any()


def test_a_cell_without_a_kernel_scans_with_lengths_and_resets():
    params = {"weight_ih": np.eye(1), "weight_hh": np.zeros((1, 1))}
    resets = np.array([[False, False], [False, True], [True, False]])
    y, state = scan(
        Sum(), params, one((3, 2, 1)), RNNState(np.full((2, 1), 9.0)), lengths=[3, 2], resets=resets
    )
    assert y[:, :, 0].T.tolist() == [[10, 11, 1], [10, 1, 0]]
    assert state.h.ravel().tolist() == [1, 1]


def test_the_package_offers_the_function():
    assert hs.scan is scan


def test_scan_needs_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np, hiddenstate as hs\n"
        "params = {'weight_ih': np.eye(2), 'weight_hh': np.eye(2)}\n"
        "print(hs.scan('rnn', params, np.ones((3, 1, 2)))[0].shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "(3, 1, 2)\n"


@pytest.fixture
def unchecked():
    """Lets arguments of a wrong type through to the library's own checks."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


GRU = {"weight_ih": one((6, 3)), "weight_hh": one((6, 2))}


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"cell": "gruu"}, OptionError, "gruu"),
        ({"backend": "cuda"}, OptionError, "cuda"),
        ({"params": GRU | {"weight_hh": one((6, 2), np.float32)}}, ShapeError, "one dtype"),
        ({"params": GRU | {"weight_hh": [[1.0]]}}, ShapeError, "weight_hh.*list"),
        ({"x": one((4, 5, 2))}, ShapeError, r"x.*\('any', 'any', 3\).*\(4, 5, 2\)"),
        ({"x": one((4, 3))}, ShapeError, r"x.*\(4, 3\)"),
        ({"x": [[[1.0, 2.0, 3.0]]]}, ShapeError, "x.*list"),
        ({"x": one((4, 5, 3), np.float32)}, ShapeError, "x.*float64.*float32"),
        ({"x": np.ones((4, 5, 3), np.int64)}, ShapeError, "x.*float64.*int64"),
        ({"state": (one((5, 2)),)}, StateError, "GRUState.*tuple"),
        ({"state": one((5, 2))}, StateError, "GRUState.*ndarray"),
        ({"state": LSTMState(one((5, 2)), one((5, 2)))}, StateError, "GRUState.*LSTMState"),
        ({"state": GRUState(one((4, 2)))}, StateError, r"state.h.*\(5, 2\).*\(4, 2\)"),
        ({"state": GRUState(one((5, 2), np.float32))}, StateError, "state.h.*float64.*float32"),
        ({"rest": GRUState(one((5, 2)))}, StateError, r"rest.h.*\(2,\).*\(5, 2\)"),
        ({"lengths": [1, 2]}, ShapeError, r"lengths.*\(5,\).*\(2,\)"),
        ({"lengths": 3}, ShapeError, "lengths.*int"),
        ({"lengths": [1, 2, 3, 4, 5]}, ShapeError, "lengths.*0 to 4.*5"),
        ({"lengths": [1, 2, -1, 4, 0]}, ShapeError, "lengths.*0 to 4.*-1"),
        ({"lengths": [1.0, 2.0, 3.0, 4.0, 0.0]}, ShapeError, "lengths.*integers.*float64"),
        ({"resets": np.zeros((5, 4), bool)}, ShapeError, r"resets.*\(4, 5\).*\(5, 4\)"),
        ({"resets": np.zeros((4, 5))}, ShapeError, "resets.*bool.*float64"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_wrong_arguments_are_named(change, error, said):
    arguments = {"cell": "gru", "params": GRU, "x": one((4, 5, 3))} | change
    with pytest.raises(error, match=said):
        scan(**arguments)


@pytest.mark.parametrize(
    ("dy", "d_state", "error", "said"),
    [
        (one((4, 5, 3)), None, ShapeError, "dy"),
        (one((4, 5, 2), np.float32), None, ShapeError, "dy.*float32"),
        (None, GRUState(one((4, 2))), StateError, "d_state.h"),
        (None, RNNState(one((5, 2))), StateError, "GRUState.*RNNState"),
    ],
)
def test_wrong_gradients_are_named(dy, d_state, error, said):
    with pytest.raises(error, match=said):
        record("gru", GRU, one((4, 5, 3))).backward(dy, d_state)


@pytest.mark.parametrize(
    ("x", "state"),
    [
        (one((5, 2)), GRUState(one((5, 2)))),
        (one((5, 3)), GRUState(one((5, 3)))),
        (one((5, 3)), GRUState(one((4, 2)))),
        (one((5, 3), np.float32), GRUState(one((5, 2)))),
        (one((1, 5, 3)), GRUState(one((5, 2)))),
    ],
)
def test_a_wrong_step_is_refused(x, state):
    for backend in ("native", "python"):
        with pytest.raises((ShapeError, StateError)):
            Layer("gru", GRU, backend=backend).step(x, state)
