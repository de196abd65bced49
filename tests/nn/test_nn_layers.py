"""What the layers have beyond torch's: paths, starts, errors."""

from __future__ import annotations

import pytest
import torch

import hiddenstate.nn as hs_nn
from hiddenstate.errors import OptionError, ShapeError
from where import BEST_PATHS

LAYERS = ("RNN", "LSTM", "GRU")


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_torchs_own_and_says_so(name, dtype):
    ours = getattr(hs_nn, name)(4, 5, 2, batch_first=True, dtype=dtype)
    theirs = getattr(torch.nn, name)(4, 5, 2, batch_first=True, dtype=dtype)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 6, 4, dtype=dtype)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=0)
    assert ours.last_path == "torch"
    ours.float()(x.float())
    assert ours.last_path in BEST_PATHS


@pytest.mark.parametrize("name", LAYERS)
def test_autocast_is_torchs_own_and_says_so(name):
    ours = getattr(hs_nn, name)(4, 5)
    theirs = getattr(torch.nn, name)(4, 5)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(6, 3, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mine, other = ours(x), theirs(x)
    assert ours.last_path == "torch"
    torch.testing.assert_close(mine, other, rtol=0, atol=0)
    mine[0].float().sum().backward()
    other[0].float().sum().backward()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=0)


def test_what_torch_lacks_runs_by_the_python_step_where_no_kernel_goes():
    x = torch.randn(6, 3, 4)
    for layer, extra in (
        (hs_nn.GRU(4, 5, 2, bidirectional=True), {"lengths": [6, 0, 2]}),
        (hs_nn.LSTM(4, 5, 2, bidirectional=True), {"resets": torch.rand(6, 3) < 0.3}),
        (hs_nn.GRU(4, 5, reset="before"), {}),
    ):
        expected = layer(x, **extra)[0]
        assert layer.last_path in BEST_PATHS
        half = layer.bfloat16()(x.bfloat16(), **extra)[0]
        assert layer.last_path == "python"
        assert half.dtype == torch.bfloat16
        torch.testing.assert_close(half.float(), expected, rtol=0.05, atol=0.05)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            cast = layer.float()(x, **extra)[0]
        assert layer.last_path == "python"
        torch.testing.assert_close(cast.float(), expected, rtol=0.05, atol=0.05)


def test_meta_device_and_moves():
    layer = hs_nn.LSTM(4, 5, 2, device="meta")
    assert layer(torch.zeros(6, 3, 4, device="meta"))[0].shape == (6, 3, 5)
    assert layer.last_path == "torch"
    layer = layer.to_empty(device="cpu")
    layer.reset_parameters()
    assert layer(torch.zeros(6, 3, 4))[0].isfinite().all()
    assert layer.last_path in BEST_PATHS


def test_gru_reset_before_against_its_equations():
    cell = hs_nn.GRUCell(3, 4, reset="before", dtype=torch.float64)
    x, h = torch.randn(2, 3, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    w, u = cell.weight_ih.chunk(3), cell.weight_hh.chunk(3)
    b, d = cell.bias_ih.chunk(3), cell.bias_hh.chunk(3)
    r, z = (torch.sigmoid(x @ w[i].T + b[i] + h @ u[i].T + d[i]) for i in (0, 1))
    n = torch.tanh(x @ w[2].T + b[2] + (r * h) @ u[2].T + d[2])
    expected = (1 - z) * n + z * h
    torch.testing.assert_close(cell(x, h), expected)
    layer = hs_nn.GRU(3, 4, reset="before", dtype=torch.float64)
    layer.load_state_dict({f"{key}_l0": value for key, value in cell.state_dict().items()})
    torch.testing.assert_close(layer(x[None], h[None])[0][0], expected)
    assert {layer.last_path, cell.last_path} <= set(BEST_PATHS)
    assert "reset='before'" in repr(layer)
    assert "reset='before'" in repr(cell)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_learned_initial_state(learned, dtype):
    layer = hs_nn.LSTM(4, 5, 2, bidirectional=True, proj_size=3, learn_initial_state=True, dtype=dtype)
    assert layer.initial_h.shape == (4, 3)
    assert layer.initial_c.shape == (4, 5)
    assert not layer.initial_h.any()
    torch.nn.init.normal_(layer.initial_h)
    torch.nn.init.normal_(layer.initial_c)
    x = torch.randn(6, 3, 4, dtype=dtype)
    hx = tuple(value[:, None].expand(-1, 3, -1) for value in (layer.initial_h, layer.initial_c))
    given = None if learned else hx
    y, _ = layer(x, given)
    torch.testing.assert_close(y, layer(x, hx)[0])
    y.sum().backward()
    assert layer.initial_h.grad.abs().sum() > 0
    assert layer.initial_c.grad.abs().sum() > 0
    for one in range(3):
        torch.testing.assert_close(layer(x[:, one])[0], y[:, one], rtol=0.02, atol=0.02)
    layer.reset_parameters()
    assert not layer.initial_h.any()


def test_learned_initial_state_of_packed_rows():
    layer = hs_nn.GRU(4, 5, learn_initial_state=True)
    torch.nn.init.normal_(layer.initial_h)
    rows = [torch.randn(n, 4) for n in (2, 5)]
    _, h = layer(torch.nn.utils.rnn.pack_sequence(rows, enforce_sorted=False))
    for row, x in enumerate(rows):
        torch.testing.assert_close(h[:, row], layer(x)[1])


def test_orthogonal_start():
    layer = hs_nn.LSTM(7, 8, 2, bidirectional=True, init="orthogonal", forget_bias=1.5)
    for name, value in layer.named_parameters():
        if "weight_hh" in name:
            for block in value.chunk(4):
                torch.testing.assert_close(block @ block.T, torch.eye(8), rtol=0, atol=1e-5)
        elif "weight_ih" in name:
            bound = (6 / (8 + value.shape[1])) ** 0.5
            assert bound * 0.8 < value.abs().max() <= bound
        else:
            i, f, g, o = value.chunk(4)
            assert not torch.cat([i, g, o]).any()
            assert (f == (1.5 if "bias_ih" in name else 0.0)).all()


def test_forget_bias_leaves_the_rest_of_torchs_start():
    torch.manual_seed(5)
    ours = hs_nn.LSTM(7, 8, forget_bias=2.0)
    torch.manual_seed(5)
    theirs = torch.nn.LSTM(7, 8)
    total = ours.bias_ih_l0 + ours.bias_hh_l0
    assert (total.chunk(4)[1] == 2).all()
    for index in (0, 2, 3):
        assert torch.equal(total.chunk(4)[index], (theirs.bias_ih_l0 + theirs.bias_hh_l0).chunk(4)[index])
    assert torch.equal(ours.weight_hh_l0, theirs.weight_hh_l0)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: hs_nn.GRU(4, 5, reset="never"), "reset"),
        (lambda: hs_nn.RNN(4, 5, nonlinearity="sin"), "nonlinearity"),
        (lambda: hs_nn.LSTM(4, 5, init="magic"), "init"),
        (lambda: hs_nn.LSTM(4, 5, forget_bias=1.0, bias=False), "forget_bias"),
        (lambda: hs_nn.LSTMCell(4, 5, forget_bias=1.0, bias=False), "forget_bias"),
        (
            lambda: hs_nn.GRU(4, 5, proj_size=2),
            "proj_size argument is only supported for LSTM, not RNN or GRU",
        ),
    ],
)
def test_wrong_options_are_refused(make, word):
    with pytest.raises(OptionError, match=word):
        make()


@pytest.mark.parametrize("name", LAYERS)
def test_torchs_errors_for_what_does_not_fit(name):
    ours, theirs = getattr(hs_nn, name)(4, 5, 2), getattr(torch.nn, name)(4, 5, 2)
    good = torch.zeros(2, 3, 5)
    pair = (lambda h: (h, h)) if name == "LSTM" else (lambda h: h)
    calls = [
        (torch.zeros(6, 3, 9),),
        (torch.zeros(4),),
        (torch.zeros(1, 6, 3, 4),),
        (torch.zeros(0, 3, 4),),
        (torch.zeros(6, 3, 4).double(),),
        (torch.zeros(6, 3, 4), pair(torch.zeros(2, 4, 5))),
        (torch.zeros(6, 3, 4), pair(torch.zeros(2, 3, 6))),
        (torch.zeros(6, 3, 4), pair(torch.zeros(1, 3, 5))),
        (torch.zeros(6, 3, 4), pair(torch.zeros(2, 5))),
        (torch.zeros(6, 4), pair(good)),
    ]
    if name != "LSTM":  # torch's LSTM lets these pass
        calls.append((torch.zeros(6, 3, 4), good.double()))
        calls.append((torch.nn.utils.rnn.pack_sequence([torch.zeros(6, 4)]), good))
        calls.append((torch.nn.utils.rnn.pack_sequence([torch.zeros(6, 9)]),))
    for arguments in calls:
        with pytest.raises((RuntimeError, ValueError)) as expected:
            theirs(*arguments)
        with pytest.raises(type(expected.value)) as found:
            ours(*arguments)
        assert str(found.value) == str(expected.value)


def test_packed_rows_of_another_size_and_their_states_are_refused():
    layer, good = hs_nn.LSTM(4, 5, 2), torch.zeros(2, 3, 5)
    for width, hx in ((4, (good, good)), (9, None)):
        with pytest.raises(ShapeError, match="does not fit"):
            layer(torch.nn.utils.rnn.pack_sequence([torch.zeros(6, width)]), hx)


def test_errors_of_the_form_that_torch_lacks():
    layer = hs_nn.GRU(4, 5, reset="before")
    with pytest.raises(RuntimeError, match=r"input.size\(-1\) must be equal to input_size"):
        layer(torch.zeros(6, 3, 9))
    with pytest.raises(ValueError, match="does not match weight dtype"):
        layer(torch.zeros(6, 3, 4).double())


class Halved(torch.nn.Module):
    def forward(self, weight):
        return weight / 2


def test_weights_made_from_others():
    plain, made = (hs_nn.LSTM(3, 5, num_layers=2) for _ in range(2))
    made.load_state_dict(plain.state_dict())
    for name in ("weight_ih_l0", "weight_hh_l1"):
        torch.nn.utils.parametrize.register_parametrization(made, name, Halved())
        with torch.no_grad():
            getattr(plain, name).div_(2)
    x = torch.randn(4, 2, 3)
    assert torch.equal(made(x)[0], plain(x)[0])
    made(x)[0].sum().backward()
    plain(x)[0].sum().backward()
    torch.testing.assert_close(made.parametrizations.weight_hh_l1.original.grad, plain.weight_hh_l1.grad / 2)


def test_large_tapes_of_live_graphs_do_not_share_memory():
    layer, (a, b) = hs_nn.LSTM(16, 64), torch.randn(2, 120, 32, 16)

    def gradient(*inputs):
        layer.zero_grad()
        outputs = [layer(x)[0] for x in inputs]
        for y in outputs:
            y.sum().backward()
        return [parameter.grad.clone() for parameter in layer.parameters()]

    alone = [gradient(a), gradient(b)]
    for both, one, other in zip(gradient(a, b), *alone, strict=True):
        torch.testing.assert_close(both, one + other)
