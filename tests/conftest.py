"""What holds in every test run: annotated shapes are checked, and no test is about time."""

import signal

import hypothesis
import jaxtyping
import pytest

hypothesis.settings.register_profile("hiddenstate", deadline=None)
hypothesis.settings.load_profile("hiddenstate")

# jaxtyping must come before hiddenstate.

jaxtyping.install_import_hook(
    ["hiddenstate.cells", "hiddenstate.scan", "hiddenstate.blocks"], "beartype.beartype"
)

# A shell starts what runs in its background with interrupts ignored; here some tests send them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from where import DEVICE  # noqa: E402 - after the hook, as everything that may import hiddenstate


@pytest.fixture(autouse=True)
def device():
    """The device on which torch makes tensors."""
    if DEVICE == "cpu":
        yield DEVICE
        return
    import torch

    before = torch.get_default_device()
    torch.set_default_device(DEVICE)
    yield DEVICE
    torch.set_default_device(before)
