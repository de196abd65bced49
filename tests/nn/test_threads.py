"""The kernels on torch's threads: whose they are, and that nothing else changes."""

import os
import subprocess
import sys

import pytest
import torch

from hiddenstate import native
from hiddenstate import nn as hsnn
from hiddenstate.errors import OptionError
from hiddenstate.nn import threads


@pytest.fixture
def torch_threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_threads_are_shared_where_torch_uses_openmp():
    assert threads.share() == ("OpenMP" in torch.__config__.parallel_info())


def test_addresses_are_counted():
    with pytest.raises(OptionError, match="addresses"):
        native.use_openmp([0, 0])


@pytest.mark.parametrize("batch", [2, 24])
def test_the_number_of_torchs_threads_changes_no_bit(torch_threads, batch):
    layer, x = hsnn.LSTM(70, 90), torch.randn(30, batch, 70)
    results = []
    for count in (1, 2, 3):
        torch_threads(count)
        layer.zero_grad()
        y, _ = layer(x)
        y.sum().backward()
        results.append([y, *(parameter.grad.clone() for parameter in layer.parameters())])
    for other in results[1:]:
        for value, wanted in zip(other, results[0], strict=True):
            assert torch.equal(value, wanted)


FORK = """
import os
import torch
from hiddenstate import nn
layer, x = nn.GRU(64, 128), torch.randn(60, 32, 64)
with torch.no_grad():
    wanted = layer(x)[0]
    child = os.fork()
    if child == 0:
        same = bool((layer(x)[0].numpy() == wanted.numpy()).all())
        os._exit(0 if same else 1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), torch.equal(layer(x)[0], wanted))
"""


def test_a_forked_child_has_threads_of_its_own():
    """OpenMP's threads do not survive a fork, and a region in the child would wait for them for ever."""
    environment = os.environ | {"HIDDENSTATE_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", FORK],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.split() == ["0", "True"], done.stderr
