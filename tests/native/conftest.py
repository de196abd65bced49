"""A layer's native call with its arrays, and the same layer written naively with torch autograd."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from hiddenstate import native

CELLS = ("rnn_tanh", "rnn_relu", "lstm", "gru", "gru_before")
GATES = {"rnn_tanh": 1, "rnn_relu": 1, "lstm": 4, "gru": 3, "gru_before": 3}


@dataclass
class Problem:
    """One call: weights, input, state, segments, and gradients entering from outside."""

    cell: str
    steps: int
    batch: int
    inputs: int
    hidden: int
    proj: int = 0
    bias: bool = True
    state: bool = True
    lengths: np.ndarray | None = None
    resets: np.ndarray | None = None
    rest: bool = False
    reverse: bool = False
    dtype: type = np.float64
    seed: int = 0
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self):
        rng = np.random.default_rng(self.seed)
        T, B, H, out = self.steps, self.batch, self.hidden, self.proj or self.hidden
        G, lstm = GATES[self.cell], self.cell == "lstm"
        scale = 1 / np.sqrt(H)
        shapes = {"weight_ih": (G * H, self.inputs), "weight_hh": (G * H, out)}
        if self.bias:
            shapes |= {"bias_ih": (G * H,), "bias_hh": (G * H,)}
        if self.proj:
            shapes["weight_hr"] = (self.proj, H)
        self.weights = tuple(shapes)
        if self.state:
            shapes |= {"h0": (B, out)} | ({"c0": (B, H)} if lstm else {})
        if self.rest:
            shapes |= {"rest_h": (out,)} | ({"rest_c": (H,)} if lstm else {})
        self.arrays = {name: rng.uniform(-scale, scale, shape) for name, shape in shapes.items()}
        shapes = {"x": (T, B, self.inputs), "dy": (T, B, out), "dh_n": (B, out)} | (
            {"dc_n": (B, H)} if lstm else {}
        )
        self.arrays |= {name: rng.standard_normal(shape) for name, shape in shapes.items()}
        self.arrays = {name: np.ascontiguousarray(a, dtype=self.dtype) for name, a in self.arrays.items()}
        if self.lengths is not None:
            self.lengths = np.asarray(self.lengths, np.int64)

    def get(self, name):
        return self.arrays.get(name)

    def plan(self, backward=False):
        weights = [self.get(n) for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")]
        return native.Plan(self.cell, *weights, backward=backward)

    def inputs_of_call(self):
        a = self.get
        return a("x"), a("h0"), a("c0"), self.lengths, self.resets, a("rest_h"), a("rest_c"), self.reverse

    def forward(self, tape=True, plan=None):
        """y, h_n, c_n and tape (or None); outputs start as NaN, so that what is left unwritten shows."""
        T, B, H, out = self.steps, self.batch, self.hidden, self.proj or self.hidden
        nan = lambda *shape: np.full(shape, np.nan, self.dtype)  # noqa: E731
        fields = len(native.tape_fields(self.cell))
        y, h_n = nan(T, B, out), nan(B, out)
        c_n = nan(B, H) if self.cell == "lstm" else None
        kept = nan(T * B, fields * H) if tape and fields else None
        native.forward(plan or self.plan(), *self.inputs_of_call(), y, h_n, c_n, kept)
        return y, h_n, c_n, kept

    def backward(self):
        """Every gradient by name."""
        y, _, _, tape = self.forward(plan=(plan := self.plan(backward=True)))
        T, B, H, out = self.steps, self.batch, self.hidden, self.proj or self.hidden
        lstm = self.cell == "lstm"
        shapes = {
            "dx": (T, B, self.inputs),
            "dh0": (B, out),
            "dc0": (B, H),
            "drest_h": (out,),
            "drest_c": (H,),
        }
        weights = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        shapes |= {"d" + n: self.arrays[n].shape for n in weights if n in self.arrays}
        shapes |= {"dh_steps": (T, B, out), "dc_steps": (T, B, H)}
        names = [
            "dx",
            "dh0",
            "dc0",
            "drest_h",
            "drest_c",
            *("d" + n for n in weights),
            "dh_steps",
            "dc_steps",
        ]
        for name in ("dc0", "drest_c", "dc_steps"):
            if not lstm:
                del shapes[name]
        grads = {n: np.full(s, np.nan, self.dtype) for n, s in shapes.items()}
        entering = [self.get(n) for n in ("dy", "dh_n", "dc_n")]
        native.backward(plan, *self.inputs_of_call(), y, tape, *entering, *(grads.get(n) for n in names))
        return grads


def torch_step(cell, w, x, h, c):
    """One step of one row in torch; the equations of the documentation."""
    zeros = torch.zeros(w["weight_ih"].shape[0], dtype=x.dtype)
    H = w["weight_ih"].shape[0] // GATES[cell]
    from_x = w["weight_ih"] @ x + w.get("bias_ih", zeros)
    if cell == "gru_before":
        r, z = torch.sigmoid(
            from_x[: 2 * H] + w["weight_hh"][: 2 * H] @ h + w.get("bias_hh", zeros)[: 2 * H]
        ).split(H)
        n = torch.tanh(from_x[2 * H :] + w["weight_hh"][2 * H :] @ (r * h) + w.get("bias_hh", zeros)[2 * H :])
        return (1 - z) * n + z * h, None
    from_h = w["weight_hh"] @ h + w.get("bias_hh", zeros)
    if cell == "gru":
        r, z = torch.sigmoid(from_x[: 2 * H] + from_h[: 2 * H]).split(H)
        n = torch.tanh(from_x[2 * H :] + r * from_h[2 * H :])
        return (1 - z) * n + z * h, None
    if cell == "lstm":
        i, f, g, o = (from_x + from_h).split(H)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return (w["weight_hr"] @ h if "weight_hr" in w else h), c
    return (torch.tanh if cell == "rnn_tanh" else torch.relu)(from_x + from_h), None


def reference(p: Problem):
    """Values and gradients of every row alone, segment after segment, by torch autograd in float64."""
    t64 = {n: torch.tensor(a.astype(np.float64), requires_grad=n[0] != "d") for n, a in p.arrays.items()}
    w = {n: t64[n] for n in p.weights}
    T, B, H, out, lstm = p.steps, p.batch, p.hidden, p.proj or p.hidden, p.cell == "lstm"
    absent = {"h0": (B, out), "rest_h": (out,)} | ({"c0": (B, H), "rest_c": (H,)} if lstm else {})
    for name in absent.keys() - t64.keys():
        t64[name] = torch.zeros(absent[name], dtype=torch.float64, requires_grad=True)
    ys, cs, last_h, last_c = {}, {}, [], []
    for b in range(B):
        h, c = t64["h0"][b], t64["c0"][b] if lstm else None
        length = T if p.lengths is None else int(p.lengths[b])
        for t in reversed(range(length)) if p.reverse else range(length):
            if p.resets is not None:
                flag = p.resets[t, b] if not p.reverse else t + 1 < length and p.resets[t + 1, b]
                if flag:
                    h, c = t64["rest_h"], t64.get("rest_c")
            h, c_new = torch_step(p.cell, w, t64["x"][t, b], h, c)
            c = c_new if lstm else c
            ys[t, b], cs[t, b] = h, c
            for value in (h, c) if lstm else (h,):
                if value.requires_grad:
                    value.retain_grad()
        last_h.append(h)
        last_c.append(c)
    zero = torch.zeros(out, dtype=torch.float64)
    y = torch.stack([torch.stack([ys.get((t, b), zero) for b in range(B)]) for t in range(T)])
    h_n = torch.stack(last_h)
    loss = (y * t64["dy"]).sum() + (h_n * t64["dh_n"]).sum()
    c_n = torch.stack(last_c) if lstm else None
    if lstm:
        loss = loss + (c_n * t64["dc_n"]).sum()
    loss.backward()
    grads = {
        "d" + n: v.grad.numpy() if v.grad is not None else np.zeros(v.shape)
        for n, v in t64.items()
        if n[0] != "d" or n == "x"
    }
    for name, size, steps in (("dh_steps", out, ys), ("dc_steps", H, cs))[: 1 + lstm]:
        grads[name] = np.zeros((T, B, size))
        for (t, b), value in steps.items():
            grads[name][t, b] = value.grad.numpy() if value.grad is not None else 0
    values = [v.detach().numpy() if v is not None else None for v in (y, h_n, c_n)]
    return values, grads


@pytest.fixture
def make():
    return Problem


@pytest.fixture
def expected():
    return reference


@pytest.fixture
def threads():
    """set_num_threads, undone afterwards."""
    before = native.get_num_threads()
    yield native.set_num_threads
    native.set_num_threads(before)
