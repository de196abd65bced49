"""Recurrent layers for torch: drop-ins for ``torch.nn`` on native kernels, and models from a spec.

RNN, LSTM, GRU              layers, with lengths, resets, both GRU forms and more ways to start
RNNCell, LSTMCell, GRUCell  one step
build, Network              a ``ModelSpec`` as a module
"""

from . import threads
from .cells import GRUCell, LSTMCell, RNNCell
from .layers import GRU, LSTM, RNN
from .network import Network, build

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "Network", "RNNCell", "build"]

threads.share()
