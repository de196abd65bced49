"""The contestants: each builds a callable that runs one case once.

A library is imported only in its own process.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .arrays import check_subnormal, make_arrays, weight_shapes
from .cases import GATES, Case

Run = Callable[[], object]


def _torch_layer(nn, case: Case, arrays: dict):
    import torch

    options = {"num_layers": case.layers, "bidirectional": case.bidirectional}
    if case.proj:
        options["proj_size"] = case.proj
    layer = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[case.cell](case.I, case.H, **options)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.copy_(torch.from_numpy(arrays[name.removesuffix("_l0")]))
    return layer


def _torch_run(layer, case: Case, arrays: dict, call) -> Run:
    import torch

    x, dy = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["dy"])
    if case.kind == "infer":

        def infer():
            with torch.inference_mode():
                return call(layer, x)

        return infer
    x.requires_grad_(True)

    def train():
        layer.zero_grad(set_to_none=True)
        x.grad = None
        y = call(layer, x)
        y.backward(dy)
        return y

    return train


def torch_library(case: Case) -> Run | None:
    """``torch.nn``; packed sequences where rows differ in length; ``*Cell`` classes for single steps."""
    import torch

    arrays = make_arrays(case)
    if case.kind in ("step", "model"):
        return _torch_step(case, arrays)
    if case.resets:
        return None
    layer = _torch_layer(torch.nn, case, arrays)
    if case.lengths == "full":
        return _torch_run(layer, case, arrays, lambda layer, x: layer(x)[0])
    lengths = torch.tensor(case.row_lengths())

    def packed(layer, x):
        rows = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        return torch.nn.utils.rnn.pad_packed_sequence(layer(rows)[0], total_length=case.T)[0]

    return _torch_run(layer, case, arrays, packed)


def _torch_step(case: Case, arrays: dict) -> Run:
    import torch

    kinds = {"rnn": torch.nn.RNNCell, "gru": torch.nn.GRUCell, "lstm": torch.nn.LSTMCell}
    cell, x = kinds[case.cell](case.I, case.H), torch.from_numpy(arrays["x"][0])
    head = torch.nn.Linear(case.H, 1)
    with torch.no_grad():
        for name, parameter in cell.named_parameters():
            parameter.copy_(torch.from_numpy(arrays[name]))
    state = [cell(x).detach() if case.cell != "lstm" else tuple(s.detach() for s in cell(x))]

    def step():
        with torch.inference_mode():
            state[0] = cell(x, state[0])
            h = state[0][0] if case.cell == "lstm" else state[0]
            return head(h) if case.kind == "model" else h

    return step


def hiddenstate_library(case: Case) -> Run:
    """``hs.nn`` as a user calls it; a session's step for single steps."""
    import torch

    import hiddenstate as hs

    arrays = make_arrays(case)
    if case.kind in ("step", "model"):
        return _hiddenstate_step(case, arrays)
    if case.numbers == "subnormal":
        check_subnormal(case, arrays)
    layer = _torch_layer(hs.nn, case, arrays)
    options = {}
    if case.lengths != "full":
        options["lengths"] = torch.tensor(case.row_lengths())
    if case.resets:
        options["resets"] = torch.ones(case.T, case.B, dtype=torch.bool)
    return _torch_run(layer, case, arrays, lambda layer, x: layer(x, **options)[0])


def scan_library(case: Case) -> Run | None:
    """``hs.scan`` on numpy arrays, in a process without torch (inference only)."""
    import hiddenstate as hs

    if case.kind != "infer" or not case.plain:
        return None
    arrays = make_arrays(case)
    params = {key: arrays[key] for key in weight_shapes(case)}
    return lambda: hs.scan(case.cell, params, arrays["x"])


def _hiddenstate_step(case: Case, arrays: dict) -> Run:
    from hiddenstate.bundle import Bundle
    from hiddenstate.runtime import Model
    from hiddenstate.spec import Input, Linear, ModelSpec, Recurrent

    weights = {key: arrays[key] for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    params = {f"rnn.{key}_l0": value for key, value in weights.items()}
    blocks: tuple = (Recurrent("rnn", "x", case.cell, case.H),)
    if case.kind == "model":
        blocks += (Linear("head", "rnn", 1),)
        params |= {"head.weight": arrays["head"], "head.bias": np.zeros(1, "f4")}
    spec, x = ModelSpec((Input("x", "numbers", case.I),), blocks), arrays["x"][0]
    model = Model(Bundle(spec, params, {}, {}, {}))
    if case.B == 1:
        session, row = model.stream(), x[0]
        return lambda: session.step(row)
    pool = model.streams()
    for row in range(case.B):
        pool.add(row)
    return lambda: pool.step_array(x)


def _onnx_model(case: Case, arrays: dict) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    order = {"rnn": [0], "gru": [1, 0, 2], "lstm": [0, 3, 1, 2]}[case.cell]

    def blocks(value):
        return np.concatenate([np.split(value, GATES[case.cell])[k] for k in order])

    bias = np.concatenate([blocks(arrays["bias_ih"]), blocks(arrays["bias_hh"])])
    tensors = {
        "W": blocks(arrays["weight_ih"])[None],
        "R": blocks(arrays["weight_hh"])[None],
        "Bias": bias[None],
    }
    states = ["h", "c"] if case.cell == "lstm" else ["h"]
    kind = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}[case.cell]
    options = {"hidden_size": case.H} | ({"linear_before_reset": 1} if case.cell == "gru" else {})
    outputs = ["Y", *(f"{s}_n" for s in states)]
    nodes = [helper.make_node(kind, ["x", "W", "R", "Bias", "", *states], outputs, **options)]
    outs = {"Y": (case.T, 1, case.B, case.H)} | {f"{s}_n": (1, case.B, case.H) for s in states}
    if case.kind == "model":
        tensors |= {"head": np.ascontiguousarray(arrays["head"].T), "flat": np.array([case.B, case.H], "i8")}
        nodes.append(helper.make_node("Reshape", ["Y", "flat"], ["rows"]))
        nodes.append(helper.make_node("MatMul", ["rows", "head"], ["answer"]))
        outs = {"answer": (case.B, 1)} | {f"{s}_n": (1, case.B, case.H) for s in states}
    ins = {"x": (case.T, case.B, case.I)} | {s: (1, case.B, case.H) for s in states}
    graph = helper.make_graph(
        nodes, "layer",
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, s) for k, s in ins.items()],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, s) for k, s in outs.items()],
        [numpy_helper.from_array(v, k) for k, v in tensors.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model.SerializeToString()


def onnxruntime_library(case: Case) -> Run | None:
    """ONNX Runtime's RNN, GRU and LSTM operators (inference only, default session options)."""
    import onnxruntime

    if case.kind == "train" or not case.plain:
        return None
    arrays = make_arrays(case)
    session = onnxruntime.InferenceSession(_onnx_model(case, arrays), providers=["CPUExecutionProvider"])
    names = ["h", "c"] if case.cell == "lstm" else ["h"]
    feed = {"x": arrays["x"]} | {name: np.zeros((1, case.B, case.H), "f4") for name in names}
    if case.kind == "infer":
        return lambda: session.run(None, feed)

    def step():
        out = session.run(None, feed)
        feed.update(zip(names, out[1:], strict=True))
        return out

    return step


def jax_library(case: Case) -> Run | None:
    """``jax.lax.scan`` under ``jax.jit``, with the input product hoisted out of the loop."""
    import jax

    if case.kind in ("step", "model") or not case.plain:
        return None
    arrays = {key: jax.numpy.asarray(value) for key, value in make_arrays(case).items()}
    weights = {key: arrays[key] for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "x")}
    forward = _jax_forward(case)
    if case.kind == "infer":
        run = jax.jit(forward)
        return lambda: run(weights).block_until_ready()
    train = jax.jit(jax.grad(lambda w: (forward(w) * arrays["dy"]).sum()))
    return lambda: jax.block_until_ready(train(weights))


def _jax_forward(case: Case):
    import jax
    from jax import numpy as jnp

    sigmoid = jax.nn.sigmoid

    def rnn(h, gx, gh):
        return jnp.tanh(gx + gh), None

    def gru(h, gx, gh):
        (rx, zx, nx), (rh, zh, nh) = jnp.split(gx, 3, -1), jnp.split(gh, 3, -1)
        z, n = sigmoid(zx + zh), jnp.tanh(nx + sigmoid(rx + rh) * nh)
        return (1 - z) * n + z * h, None

    def forward(w):
        gates = w["x"] @ w["weight_ih"].T + w["bias_ih"]
        zero = jnp.zeros((case.B, case.H), "f4")

        def step(carry, gx):
            gh = carry[0] @ w["weight_hh"].T + w["bias_hh"]
            if case.cell == "lstm":
                i, f, g, o = jnp.split(gx + gh, 4, -1)
                c = sigmoid(f) * carry[1] + sigmoid(i) * jnp.tanh(g)
                h = sigmoid(o) * jnp.tanh(c)
                return (h, c), h
            h, _ = (gru if case.cell == "gru" else rnn)(carry[0], gx, gh)
            return (h,), h

        return jax.lax.scan(step, (zero, zero) if case.cell == "lstm" else (zero,), gates)[1]

    return forward


LIBRARIES = {
    "hiddenstate": hiddenstate_library,
    "torch": torch_library,
    "onnxruntime": onnxruntime_library,
    "jax": jax_library,
    "hs.scan": scan_library,
}
OURS = ("hiddenstate", "hs.scan")
"""Those that are this package; the others are its peers."""


def libraries_of(suite: str) -> list[str]:
    """The libraries that a suite puts side by side unless told otherwise."""
    return list(OURS) if suite == "scan" else [name for name in LIBRARIES if name != "hs.scan"]
