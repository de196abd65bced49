"""A live sequence: an element in, the probabilities of everything so far out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hiddenstate.tasks.softmax import softmax

from .features import Features


class Answer(NamedTuple):
    """What the sequence so far looks like.

    Attributes:
        label: the likeliest class.
        probabilities: of every class, by label.
    """

    label: Any
    probabilities: dict[Any, float]


class Live:
    """Adapter of a classifier (see ``runtime.Adapter``); it remembers nothing but what the features do.

    Args:
        features: how an element becomes an input.
        classes: labels of the outputs ``[K]``.
        temperature: what the logits are divided by.
    """

    def __init__(self, features: Features, classes: np.ndarray, temperature: float) -> None:
        self._features, self._classes, self._temperature = features, classes.tolist(), temperature

    def encode(self, element: Any) -> dict[str, np.ndarray]:
        """One step: numbers in the order (or by the names) of the features, or a character or word."""
        return {"x": self._features.encode_one(element)}

    def decode(self, output: np.ndarray) -> Answer:
        """Label and probabilities from the logits ``[K]``."""
        chances = softmax(output[None], temperature=self._temperature)[0]
        return Answer(
            self._classes[int(np.argmax(chances))], dict(zip(self._classes, chances.tolist(), strict=True))
        )

    def state(self) -> dict[str, Any]:
        """Nothing to keep."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing to put back."""
