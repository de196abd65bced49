"""The same network with ``torch.nn`` layers: what the project's own layers are measured against."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import hiddenstate.nn as nn
from hiddenstate.types import GRUState, LSTMState, RNNState

LAYERS = {
    nn.RNN: (torch.nn.RNN, RNNState),
    nn.LSTM: (torch.nn.LSTM, LSTMState),
    nn.GRU: (torch.nn.GRU, GRUState),
}


@contextmanager
def torch_layers() -> Iterator[None]:
    """Inside, networks that estimators train have torch's recurrent layers, with the same first weights."""
    build = nn.build

    def swapped(spec):
        network = build(spec)
        for name, module in network._modules.items():
            if type(module) in LAYERS:
                network._modules[name] = _Torch(module)
        return network

    nn.build = swapped
    try:
        yield
    finally:
        nn.build = build


class _Torch(torch.nn.Module):
    """A torch layer behind the call that ``hiddenstate.nn`` networks make."""

    def __init__(self, ours: torch.nn.Module) -> None:
        super().__init__()
        layer, self.record = LAYERS[type(ours)]
        names = ("input_size", "hidden_size", "num_layers", "bias", "dropout", "bidirectional")
        theirs = layer(**{name: getattr(ours, name) for name in names})
        theirs.load_state_dict(ours.state_dict())
        # the parameters keep the names that the spec gives them: "rnn.weight_ih_l0", not
        # "rnn.layer.weight_ih_l0"
        self._parameters = theirs._parameters
        self.__dict__["layer"] = theirs

    def train(self, mode: bool = True):
        self.layer.train(mode)
        return super().train(mode)

    def scan(self, x, state, *, lengths=None, resets=None):
        """``x [T, B, I] -> y [T, B, D*H]`` and the state; torch has no resets: the sequence is cut there."""
        cuts = [] if resets is None else torch.nonzero(resets.any(dim=1)).flatten().tolist()
        if not cuts:
            return self._run(x, state, lengths)
        assert lengths is None
        outputs, start = [], 0
        for cut in [*cuts, len(x)]:
            if cut > start:
                y, state = self._run(x[start:cut], state, None)
                outputs.append(y)
            if cut < len(x) and state is not None:
                keep = (~resets[cut]).to(x.dtype)[None, :, None]
                state = self.record(*(field * keep for field in state))
            start = cut
        return torch.cat(outputs), state

    def _run(self, x, state, lengths):
        h = None if state is None else (tuple(state) if len(state) > 1 else state[0])
        if lengths is None:
            y, h = self.layer(x, h)
        else:
            packed, h = self.layer(pack_padded_sequence(x, lengths.clamp(min=1), enforce_sorted=False), h)
            y, _ = pad_packed_sequence(packed, total_length=len(x))
        return y, self.record(*(h if isinstance(h, tuple) else (h,)))
