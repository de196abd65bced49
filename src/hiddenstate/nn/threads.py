"""One set of threads for torch and for the kernels.

After every parallel operation torch's OpenMP threads spin for some milliseconds. Kernels with threads of
their own would share the cores with them: a training step took twice as long as with one thread.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch

from hiddenstate import native

_FUNCTIONS = (
    "GOMP_parallel",
    "omp_get_thread_num",
    "omp_get_num_threads",
    "omp_in_parallel",
    "omp_get_max_threads",
)


def share() -> bool:
    """Let the kernels run on the threads of torch's OpenMP, as many as ``torch.set_num_threads`` allows.

    Returns:
        Whether that is so; False where torch computes with threads of another kind.
    """
    for path in sorted((Path(torch.__file__).parent / "lib").glob("*torch_cpu.*")):
        try:
            # Loaded already: this is another handle, which also finds what the library links to.
            library = ctypes.CDLL(str(path))
            addresses = [ctypes.cast(getattr(library, name), ctypes.c_void_p).value for name in _FUNCTIONS]
        except (OSError, AttributeError):
            continue
        native.use_openmp([address or 0 for address in addresses])
        return True
    return False
