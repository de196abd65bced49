"""Where the torch tests run: HIDDENSTATE_TEST_DEVICE, the CPU without it.

``HIDDENSTATE_TEST_DEVICE=cuda pytest tests/nn tests/contract/test_torch_twin*.py`` runs the drop-in layers on
a GPU, where torch's own layer or the Python step takes the place of the kernels.
"""

import os

DEVICE = os.environ.get("HIDDENSTATE_TEST_DEVICE", "cpu")
BEST_PATHS = ("native",) if DEVICE == "cpu" else ("torch", "python")
"""What ``last_path`` may say where the kernels would run on the CPU."""
