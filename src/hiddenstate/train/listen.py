"""What the recurrent layers of a network see during one update: inputs, states, and the loss gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hiddenstate.nn.stacked import Stacked


@dataclass
class Call:
    """One scan of a recurrent module inside a training step.

    Attributes:
        x: input ``[T, B, I]``.
        state: the state it was given, a record of ``[L*D, B, *]``; None: rest.
        lengths: ``[B]`` or None.
        resets: ``[T, B]`` or None.
        dy: gradient of the loss by its output ``[T, B, D*R]``; None until the backward pass came by.
    """

    x: Tensor
    state: Any
    lengths: Tensor | None
    resets: Tensor | None
    dy: Tensor | None = None


class Listener:
    """Listens to the recurrent modules of a network while it is armed; changes nothing they compute.

    The layers are wrapped at their ``scan``, the one door that every call of them goes through.

    Args:
        module: the network.

    Attributes:
        modules: its recurrent modules by name.
        calls: what the longest scan of each module in the armed step was.
    """

    def __init__(self, module: nn.Module) -> None:
        self.modules: dict[str, Any] = dict(_recurrent(module))
        self.calls: dict[str, Call] = {}
        self.armed = False

    def attach(self) -> None:
        """Begin to listen."""
        for name, module in self.modules.items():
            object.__setattr__(module, "scan", self._wrapped(name, module))

    def detach(self) -> None:
        """Leave the modules as they were."""
        for module in self.modules.values():
            vars(module).pop("scan", None)

    def arm(self) -> None:
        """Keep what the next training step does."""
        self.armed, self.calls = True, {}

    def disarm(self) -> None:
        """Let go of what was kept."""
        self.armed, self.calls = False, {}

    def _wrapped(self, name: str, module: Any) -> Any:
        scan = module.scan

        def listening(
            x: Tensor, state: Any = None, *, lengths: Tensor | None = None, resets: Tensor | None = None
        ) -> Any:
            y, last = scan(x, state, lengths=lengths, resets=resets)
            if self.armed and module.training and torch.is_grad_enabled() and y.requires_grad:
                call = Call(x.detach(), _detached(state), lengths, resets)
                if name not in self.calls or len(x) > len(self.calls[name].x):
                    self.calls[name] = call
                    y.register_hook(lambda gradient: setattr(call, "dy", gradient))
            return y, last

        return listening


def _recurrent(module: nn.Module) -> Iterator[tuple[str, Any]]:
    for name, part in module.named_modules():
        if isinstance(part, Stacked):
            yield name or "rnn", part


def _detached(state: Any) -> Any:
    return None if state is None else type(state)(*(field.detach() for field in state))
