"""ONNX Runtime and jax: one layer in one direction over full rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .arrays import make_arrays
from .cases import GATES, Case

Run = Callable[[], object]


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

    if case.kind in ("train", "update") or not case.plain:
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

    if case.kind in ("step", "model", "update") or not case.plain:
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
