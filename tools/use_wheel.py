"""Uses an installed wheel as somebody who never saw the source tree: no torch, no tests, no compiler."""

import importlib.util
import tempfile
from pathlib import Path

import numpy as np

import hiddenstate as hs
from hiddenstate.bundle import Bundle
from hiddenstate.spec import Input, Linear, ModelSpec, Recurrent

assert importlib.util.find_spec("torch") is None, "this check is meant for an environment without torch"

spec = ModelSpec((Input("x", size=3),), (Recurrent("rnn", "x", "gru", 8), Linear("head", "rnn", 2)))
rng = np.random.default_rng(0)
params = {name: rng.standard_normal(shape).astype("f4") for name, shape in spec.param_shapes().items()}
x = rng.standard_normal((20, 3)).astype("f4")
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "model.safetensors"
    hs.bundle.save(path, Bundle(spec, params, {}, {}, {}))
    model = hs.load(path)
    batch, _ = model.forward({"x": x[:, None]})
    session = model.stream()
    streamed = np.stack([session.step(row) for row in x])
assert np.array_equal(batch[:, 0], streamed), "the streamed answers differ from the batch"
print(f"hiddenstate {hs.__version__}, {hs.isa()} kernels: the stream equals the batch")
