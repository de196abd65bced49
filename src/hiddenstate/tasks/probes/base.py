"""What a memory task is: seeded examples of any length, and a score: 0 for guessing, 1 for knowing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hiddenstate.errors import OptionError
from hiddenstate.options import Whole, check, option
from hiddenstate.spec import Input


@dataclass(frozen=True, eq=False)
class Examples:
    """A batch of a memory task, time-major.

    Attributes:
        inputs: ``{"x": ...}``: int64 ids ``[T, B]``, or float32 numbers ``[T, B, F]``.
        targets: int64 classes ``[T, B]``, or float32 numbers ``[T, B]``; 0 where nothing is asked.
        mask: bool ``[T, B]``, True where something is asked.
        lengths: int64 ``[B]``, steps of each row; what lies beyond is padding.
    """

    inputs: Mapping[str, np.ndarray]
    targets: np.ndarray
    mask: np.ndarray
    lengths: np.ndarray

    def cut(self, start: int, stop: int) -> Examples:
        """The steps ``start`` to ``stop`` of every row."""
        part = slice(start, stop)
        lengths = np.clip(self.lengths - start, 0, stop - start)
        inputs = {name: value[part] for name, value in self.inputs.items()}
        return Examples(inputs, self.targets[part], self.mask[part], lengths)


@dataclass(frozen=True, kw_only=True)
class MemoryTask(ABC):
    """A task that cannot be solved without remembering.

    The score of outputs is ``(measure - chance) / (perfect - chance)``: 1 for a perfect memory, 0 for the
    best answer that can be given without any (from the present input alone), below 0 for a worse one.

    Args:
        delay: steps from the first thing that counts to the question about it. Longer sequences, harder task.

    Attributes:
        name: how the task is called.
        perfect: the measure of a perfect answer: accuracy 1, or squared error 0.
        shortest: the smallest delay at which the task makes sense.
    """

    name: ClassVar[str]
    perfect: ClassVar[float] = 1.0
    shortest: ClassVar[int] = 1

    delay: int = option(20, Whole(1))

    def __post_init__(self) -> None:
        check(self)
        if self.delay < self._minimum():
            raise OptionError(
                "the delay is too short for this task",
                where=f"{type(self).__name__}.delay",
                expected=f"at least {self._minimum()}",
                got=self.delay,
            )

    # ---- what a task says

    @property
    @abstractmethod
    def input(self) -> Input:
        """The input of a network for this task."""

    @property
    @abstractmethod
    def classes(self) -> int | None:
        """Number of possible answers; None when the answer is a number."""

    @property
    @abstractmethod
    def chance(self) -> float:
        """The measure of the best answer without memory."""

    @abstractmethod
    def _draw(self, rng: np.random.Generator, count: int) -> Examples:
        """``count`` rows."""

    # ---- what follows from it

    @property
    def steps(self) -> int:
        """T, the length of the longest row."""
        return self.delay + 1

    def draw(self, count: int, *, seed: int | Sequence[int]) -> Examples:
        """Rows drawn at random; the same seed gives the same rows.

        Args:
            count: B, number of rows.
            seed: a whole number, or several.

        Example:
            >>> from hiddenstate.tasks import probes
            >>> probes.DelayedRecall(delay=4).draw(2, seed=0).inputs["x"].T
            array([[ 6, 12, 10,  8, 16],
                   [ 5, 10,  8,  8, 16]])
        """
        return self._draw(np.random.default_rng(seed), count)

    def measure(self, outputs: np.ndarray, examples: Examples, mask: np.ndarray | None = None) -> float:
        """Accuracy of the likeliest classes, or mean squared error of numbers.

        Args:
            outputs: what a network said: ``[T, B, classes]`` scores, or ``[T, B, 1]`` numbers.
            examples: what it was asked.
            mask: bool ``[T, B]``, the questions to look at; None: all.
        """
        asked = examples.mask if mask is None else mask
        wanted = examples.targets[asked]
        if self.classes is None:
            return float(np.mean((outputs[..., 0][asked].astype(np.float64) - wanted) ** 2))
        return float(np.mean(outputs[asked].argmax(axis=-1) == wanted))

    def score(self, outputs: np.ndarray, examples: Examples, mask: np.ndarray | None = None) -> float:
        """The measure, corrected for chance: 0 guessing, 1 perfect; arguments as for ``measure``."""
        return (self.measure(outputs, examples, mask) - self.chance) / (self.perfect - self.chance)

    def parts(self, examples: Examples) -> dict[str, np.ndarray]:
        """The questions by kind: name -> mask. Most tasks have one kind only."""
        return {"all": examples.mask}

    def _minimum(self) -> int:
        return self.shortest

    def _at_the_end(self, x: np.ndarray, answers: np.ndarray) -> Examples:
        """Examples that ask once, at the last step of every row."""
        rows = x.shape[1]
        targets = np.zeros((len(x), rows), answers.dtype)
        targets[-1] = answers
        mask = np.zeros((len(x), rows), bool)
        mask[-1] = True
        return Examples({"x": x}, targets, mask, np.full(rows, len(x)))
