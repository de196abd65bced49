"""Small networks whose memory is known exactly, for examples and for checking the measurements."""

from __future__ import annotations

import numpy as np

from hiddenstate.bundle import Bundle
from hiddenstate.spec import Embed, Input, Linear, ModelSpec, Recurrent


def linear(recurrent: np.ndarray, inputs: np.ndarray, outputs: np.ndarray) -> Bundle:
    """``h' = W h + V x``, ``y = U h``: a relu network, linear as long as every state stays positive.

    Args:
        recurrent: W, ``[H, H]``.
        inputs: V, ``[H, I]``.
        outputs: U, ``[O, H]``.
    """
    hidden, size = np.shape(inputs)
    spec = ModelSpec(
        (Input("x", size=size),),
        (
            Recurrent("rnn", "x", "rnn", hidden, bias=False, options={"nonlinearity": "relu"}),
            Linear("head", "rnn", len(outputs), bias=False),
        ),
    )
    weights = {"rnn.weight_ih_l0": inputs, "rnn.weight_hh_l0": recurrent, "head.weight": outputs}
    return Bundle(spec, {name: np.asarray(value, np.float32) for name, value in weights.items()})


def decaying(gain: float, *, size: int = 1) -> Bundle:
    """Units that keep the share ``gain`` of themselves each step (for inputs that are not negative)."""
    return linear(gain * np.eye(size), np.ones((size, 1)), np.ones((1, size)))


def shift_register(length: int) -> Bundle:
    """Unit i holds the input of i steps ago, the output is the oldest (for inputs that are not negative)."""
    return linear(np.eye(length, k=-1), np.eye(length, 1), np.eye(1, length, length - 1))


def counter(*, keep: float = 1.0, size: int = 1) -> Bundle:
    """An LSTM that adds up its input: ``c' = keep * c + x``, all else open, nothing fed back from h.

    The candidate is ``tanh`` of a small share of the input, brought back in the head: inputs of size 1 are
    counted to within 1e-4. ``y`` is h, the squashed count.
    """
    spec = ModelSpec((Input("x"),), (Recurrent("rnn", "x", "lstm", size), Linear("head", "rnn", 1)))
    weights = {name: np.zeros(shape, np.float32) for name, shape in spec.param_shapes().items()}
    open_, closed = 30.0, np.log(keep / (1 - keep)) if keep < 1 else 30.0
    weights["rnn.bias_ih_l0"] = np.repeat([open_, closed, 0.0, open_], size).astype(np.float32)
    weights["rnn.weight_ih_l0"][2 * size : 3 * size] = 0.01
    weights["head.weight"][:] = 1.0
    return Bundle(spec, weights)


def parity() -> Bundle:
    """A tanh network that tells whether it has read an odd number of ones (ids 0 and 1): y > 0 if so.

    Its two units say "at least one" and "both" of the symbol and the parity so far; their difference is the
    new parity.
    """
    spec = ModelSpec(
        (Input("x", kind="ids", size=2),),
        (Embed("symbol", "x", 1), Recurrent("rnn", "symbol", "rnn", 2), Linear("head", "rnn", 1)),
    )
    steep = 10.0
    weights = {
        "symbol.weight": [[0], [1]],
        "rnn.weight_ih_l0": [[steep], [steep]],
        "rnn.weight_hh_l0": [[steep / 2, -steep / 2], [steep / 2, -steep / 2]],
        "rnn.bias_ih_l0": [-0.5 * steep, -1.5 * steep],
        "rnn.bias_hh_l0": [0, 0],
        "head.weight": [[0.5, -0.5]],
        "head.bias": [-0.5],
    }
    return Bundle(spec, {name: np.asarray(value, np.float32) for name, value in weights.items()})
