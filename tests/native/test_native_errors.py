"""What the binding says to arrays it cannot use: argument, expected, got; never a crash."""

import numpy as np
import pytest
import torch

from hiddenstate import native
from hiddenstate.errors import BackendError, OptionError, ShapeError

T, B, I, H = 4, 3, 2, 5  # noqa: E741


def call(**changes):
    """A right LSTM call with some arguments replaced."""
    f = lambda *shape: np.zeros(shape, np.float32)  # noqa: E731
    arguments = {
        "x": f(T, B, I), "h0": f(B, H), "c0": f(B, H), "lengths": np.full(B, T),
        "resets": np.zeros((T, B), bool),
        "rest_h": f(H), "rest_c": f(H), "reverse": False, "y": f(T, B, H), "h_n": f(B, H), "c_n": f(B, H),
        "tape": f(T * B, 5 * H),
    }  # fmt: skip
    plan = native.Plan("lstm", f(4 * H, I), f(4 * H, H), f(4 * H), f(4 * H))
    native.forward(plan, **(arguments | changes))


def f32(*shape):
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("argument", "value", "expected", "got"),
    [
        ("x", f32(T, B, I + 1), "[T, B, I=2]", "float32 [4, 3, 3]"),
        ("x", f32(T * B, I), "[T, B, I=2]", "float32 [12, 2]"),
        ("x", np.zeros((T, B, I)), "float32", "float64 [4, 3, 2]"),
        ("x", np.zeros((T, B, I), np.float16), "float32", "another type [4, 3, 2]"),
        ("x", f32(T, B, 2 * I)[:, :, ::2], "C order", "float32 [4, 3, 2] with strides"),
        ("x", f32(1, 1, 1, 1, 1), "C-contiguous", "ndarray"),
        ("x", "text", "C-contiguous", "str"),
        ("x", None, "C-contiguous", "NoneType"),
        ("x", torch.zeros(T, B, I, device="meta"), "on the CPU", "Tensor"),
        ("y", torch.zeros(T, B, 2 * H)[:, :, ::2], "C order", "with strides"),
        ("h_n", f32(2, B, H), "[B=3, R=5]", "float32 [2, 3, 5]"),
        ("h0", f32(1, B + 1, H), "[B=3, R=5]", "float32 [1, 4, 5]"),
        ("x", torch.zeros(T, B, I, dtype=torch.float64), "float32", "float64 [4, 3, 2]"),
        ("x", torch.zeros(T, B, I, dtype=torch.float16), "float32", "another type [4, 3, 2]"),
        ("x", torch.zeros(T, B, I + 1), "[T, B, I=2]", "float32 [4, 3, 3]"),
        ("x", torch.zeros(1, 1, 1, 1, 1), "C-contiguous", "Tensor"),
        ("h0", f32(B + 1, H), "[B=3, R=5]", "float32 [4, 5]"),
        ("c0", f32(B, H, 1), "[B=3, H=5]", "float32 [3, 5, 1]"),
        ("lengths", np.full(B, T, np.int32), "int64", "another type [3]"),
        ("lengths", np.full(B, float(T)), "int64", "float64 [3]"),
        ("lengths", np.array([1, T + 1, 0]), "0 to T=4", "5"),
        ("lengths", np.array([1, 0, -1]), "0 to T=4", "-1"),
        ("resets", np.zeros((T, B), np.uint8), "bool", "another type [4, 3]"),
        ("resets", np.zeros((B, T), bool), "[T=4, B=3]", "bool [3, 4]"),
        ("rest_h", f32(B, H), "[R=5]", "float32 [3, 5]"),
        ("y", f32(T, B, H + 1), "[T=4, B=3, R=5]", "float32 [4, 3, 6]"),
        ("y", f32(T, B, 2 * H)[:, :, ::2], "C order", "with strides"),
        ("y", None, "writable", "NoneType"),
        ("c_n", None, "writable", "NoneType"),
        ("tape", f32(T * B, 4 * H), "[N, fields*H=25]", "float32 [12, 20]"),
        ("tape", f32(T * B - 1, 5 * H), "at least N=12", "11"),
    ],
)
def test_wrong_array(argument, value, expected, got):
    with pytest.raises(ShapeError) as caught:
        call(**{argument: value})
    assert str(caught.value.where).startswith(argument)
    assert expected in caught.value.expected
    assert got in caught.value.got


def test_what_is_no_tensor_is_left_alone(tmp_path):
    with (tmp_path / "x.txt").open("w") as file:  # has a method `detach`, as tensors have
        with pytest.raises(ShapeError, match="not an array"):
            native.Plan("rnn_tanh", file, file)
        assert file.write("still open") == 10


def test_read_only_output_is_refused():
    y = f32(T, B, H)
    y.flags.writeable = False
    with pytest.raises(ShapeError, match="y"):
        call(y=y)


def test_read_only_input_is_taken():
    x = f32(T, B, I)
    x.flags.writeable = False
    call(x=x)


def test_tensors_are_used_where_they_lie(make):
    """Plain tensors, parameters, and tensors of another class: the bits that numpy's arrays give."""

    class Tagged(torch.Tensor):
        pass

    lengths, resets = np.array([T, 0, 2]), np.arange(T * B).reshape(T, B) % 5 == 0
    p = make("lstm", T, B, I, H, lengths=lengths, resets=resets, dtype=np.float32)
    *wanted, tape = p.forward()
    given = [torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in p.inputs_of_call()]
    given[0], given[1] = torch.nn.Parameter(given[0]), given[1].as_subclass(Tagged)
    weights = [torch.nn.Parameter(torch.from_numpy(p.get(name))) for name in p.weights]
    out = [torch.zeros(a.shape) for a in (*wanted, tape)]
    native.forward(native.Plan("lstm", *weights), *given, *out)
    rows = lengths.sum()
    assert all(np.array_equal(a.numpy(), b) for a, b in zip(out[:3], wanted, strict=True))
    assert np.array_equal(out[3][:rows].numpy(), tape[:rows])


def test_strided_and_negated_tensors_are_read(make):
    p = make("lstm", T, B, I, H, dtype=np.float32)
    wanted = p.forward()
    given = [
        None if a is None else torch.from_numpy(a) if isinstance(a, np.ndarray) else a
        for a in p.inputs_of_call()
    ]
    given[0] = torch.stack([given[0], given[0]], -1)[..., 0]
    given[1] = torch.complex(torch.zeros_like(given[1]), -given[1]).conj().imag
    assert not given[0].is_contiguous()
    assert given[1].is_neg()
    weights = [torch.from_numpy(p.get(name).T.copy().T) for name in p.weights]
    out = [torch.zeros(a.shape) for a in wanted]
    native.forward(native.Plan("lstm", *weights), *given, *out)
    assert all(np.array_equal(a.numpy(), b) for a, b in zip(out, wanted, strict=True))


def test_a_state_may_have_an_axis_of_one_layer(make):
    p = make("lstm", T, B, I, H, dtype=np.float32)
    wanted = p.forward()
    x, h0, c0, *others = p.inputs_of_call()
    y, h_n, c_n, tape = (np.empty_like(a) for a in wanted)
    native.forward(p.plan(), x, h0[None], c0[None], *others, y, h_n[None], c_n[None], tape)
    assert all(np.array_equal(a, b) for a, b in zip((y, h_n, c_n), wanted[:3], strict=True))


def test_overlapping_outputs_are_refused():
    memory = np.zeros(T * B * H + B * H, np.float32)
    y, h_n = memory[: T * B * H].reshape(T, B, H), memory[H : H + B * H].reshape(B, H)
    with pytest.raises(ShapeError, match="shares memory"):
        call(y=y, h_n=h_n)
    x = y.reshape(-1)[: T * B * I].reshape(T, B, I)
    with pytest.raises(ShapeError, match="shares memory"):
        call(x=x, y=y)
    state = f32(B, H)
    call(h0=state, h_n=state)  # the state may be updated in place


def test_state_that_the_cell_lacks():
    plan = native.Plan("gru", f32(3 * H, I), f32(3 * H, H))
    y, h_n = f32(T, B, H), f32(B, H)
    with pytest.raises(ShapeError, match="c0"):
        native.forward(plan, f32(T, B, I), None, f32(B, H), None, None, None, None, False, y, h_n, None, None)
    with pytest.raises(ShapeError, match="c_out"):
        native.step(plan, f32(B, I), None, None, h_n, f32(B, H))


@pytest.mark.parametrize(
    ("cell", "shapes", "where"),
    [
        ("lstm", [(10, 3), (10, 2)], "weight_ih"),
        ("gru", [(12, 3), (12, 3)], "weight_hh"),
        ("gru", [(12, 3), (12, 4), (11,)], "bias_ih"),
        ("gru", [(0, 3), (0, 0)], "weight_ih"),
        ("gru", [(12, 0), (12, 4)], "weight_ih"),
        ("gru", [(12, 3), (12, 4), None, None, (2, 4)], "weight_hr"),
        ("lstm", [(16, 3), (16, 4), None, None, (2, 4)], "weight_hh"),
    ],
)
def test_wrong_weights(cell, shapes, where):
    weights = [None if s is None else np.zeros(s, np.float32) for s in shapes]
    with pytest.raises(ShapeError) as caught:
        native.Plan(cell, *weights)
    assert caught.value.where == where


def test_unknown_cell_names_the_choices():
    with pytest.raises(OptionError, match="rnn_tanh, rnn_relu, lstm, gru, gru_before"):
        native.Plan("elman", f32(5, 2), f32(5, 5))
    with pytest.raises(OptionError, match="elman"):
        native.tape_fields("elman")


def test_backward_needs_its_packing_and_its_tape(make):
    p = make("gru", T, B, I, H)
    nothing = [None] * 12
    y, _, _, tape = p.forward()
    with pytest.raises(BackendError, match="backward=True"):
        native.backward(p.plan(), *p.inputs_of_call(), y, tape, p.get("dy"), None, None, *nothing)
    with pytest.raises(ShapeError, match="tape"):
        native.backward(
            p.plan(backward=True), *p.inputs_of_call(), y, None, p.get("dy"), None, None, *nothing
        )


def test_thread_count_out_of_range():
    with pytest.raises(OptionError, match="1 to 128"):
        native.set_num_threads(0)


def test_step_and_linear_check_too(make):
    plan = make("rnn_tanh", 1, 2, I, H, dtype=np.float32).plan()
    with pytest.raises(ShapeError, match=r"h_out.*B=2, R=5"):
        native.step(plan, f32(2, I), None, None, f32(3, H), None)
    h = f32(2, H)
    with pytest.raises(ShapeError, match="shares memory"):
        native.step(plan, f32(2, I), h, None, h, None)
    with pytest.raises(ShapeError, match=r"N, I=3"):
        native.linear(native.Linear(f32(4, 3)), f32(2, 2), f32(2, 4))
