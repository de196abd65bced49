"""The contestants: each builds a callable that runs one case once.

A library is imported only in its own process.
"""

from __future__ import annotations

import numpy as np

from .arrays import check_subnormal, make_arrays, weight_shapes
from .cases import Case
from .others import Run, jax_library, onnxruntime_library


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
    if case.kind == "update":
        return _torch_update(layer, case, x, dy, call)
    x.requires_grad_(True)

    def train():
        layer.zero_grad(set_to_none=True)
        x.grad = None
        y = call(layer, x)
        y.backward(dy)
        return y

    return train


def _torch_update(layer, case: Case, x, target, call) -> Run:
    import torch

    head = torch.nn.Linear(case.H, case.H)
    optimiser = torch.optim.Adam([*layer.parameters(), *head.parameters()])

    def update():
        optimiser.zero_grad()
        loss = torch.nn.functional.mse_loss(head(call(layer, x)), target)
        loss.backward()
        optimiser.step()

    return update


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
