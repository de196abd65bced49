"""A live text: a symbol in, how surprising it was and what may follow out."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any

import numpy as np

from hiddenstate.errors import DataError, StateError
from hiddenstate.tasks.softmax import log_softmax

from .vocabulary import Vocabulary

BIT = float(np.log(2))


@dataclass(frozen=True)
class Expectation:
    """After a symbol.

    Attributes:
        surprisal: ``-log2 p(symbol | all before it)``, in bits.
        probabilities: ``p(next symbol | all so far)``, ``[V]``; the last is the end of the document, the
            first every symbol unknown to the model.
        symbols: what the probabilities are of.
    """

    surprisal: float
    probabilities: np.ndarray
    symbols: tuple[str, ...]

    def likeliest(self, count: int = 5) -> dict[str, float]:
        """The likeliest next symbols and their probabilities."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return {self.symbols[i]: float(self.probabilities[i]) for i in order}


class Live:
    """Adapter of a language model (see ``runtime.Adapter``); it remembers the last logits.

    Args:
        vocabulary: symbols and their ids.
        first: ``ln p`` of the first symbol of a document, ``[V]``.
    """

    def __init__(self, vocabulary: Vocabulary, first: np.ndarray) -> None:
        self._vocabulary, self._first = vocabulary, first
        self._symbols = tuple(vocabulary.symbols)
        self._logits: np.ndarray | None = None
        self._expected = first
        self._surprisal = 0.0

    def encode(self, element: Any) -> dict[str, np.ndarray]:
        """One character or word.

        Raises:
            DataError: on anything but one.
        """
        ids = self._vocabulary.encode(element) if isinstance(element, str) else np.empty(0)
        if len(ids) != 1:
            one = self._vocabulary.one
            raise DataError(f"not {one}", expected=f"{one} a step", got=repr(element)[:60])
        self._surprisal = -float(self._expected[ids[0]]) / BIT
        return {"x": ids[0]}

    def decode(self, output: np.ndarray) -> Expectation:
        """The answer from the logits ``[V]``."""
        self._expect(output)
        return Expectation(self._surprisal, np.exp(self._expected), self._symbols)

    def state(self) -> str:
        """The last logits (none: an empty string)."""
        return "" if self._logits is None else b64encode(self._logits.tobytes()).decode()

    def restore(self, state: str) -> None:
        """Goes on from what ``state`` gave.

        Raises:
            StateError: when it is not that.
        """
        try:
            logits = np.frombuffer(b64decode(state, validate=True), np.float32)
        except (TypeError, ValueError) as error:
            raise StateError("not the state of a live text", got=str(error)) from error
        if not state:
            self._logits, self._expected = None, self._first
        elif logits.shape == self._first.shape and np.isfinite(logits).all():
            self._expect(logits)
        else:
            raise StateError("not the state of this model", expected=len(self._first), got=len(logits))

    def _expect(self, logits: np.ndarray) -> None:
        self._logits = logits
        self._expected = log_softmax(logits[None])[0]
