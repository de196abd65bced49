"""A trained model ready to run, without torch: over batches, over lists of sequences, and step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from hiddenstate.blocks import ModelState, forward
from hiddenstate.bundle import Bundle
from hiddenstate.errors import OptionError, StateError

from . import inputs as edge
from .adapter import Adapter
from .ops import NumpyOps
from .pool import Pool
from .session import Session
from .state import StateLayout
from .stepper import Sides, Stepper


class Model:
    """A model as a bundle describes it, its weights packed once. Immutable; sessions share it.

    For one build and ISA the same sequence gives the same bits as a whole, in chunks with the state carried,
    step by step, alone or among others.

    Args:
        bundle: a trained model, as ``bundle.load`` gives it.

    Attributes:
        spec: the model as plain data.
        params: the weights by full name (float32). Do not change them: the packed copies would not follow.
        output_size: width of the output.
        card: facts about the training, for the reader.
        id: hash of spec, codec and weights; snapshots are bound to it.

    Example:
        >>> import numpy as np
        >>> from hiddenstate.bundle import Bundle
        >>> from hiddenstate.spec import Input, Linear, ModelSpec, Recurrent
        >>> spec = ModelSpec(
        ...     (Input("x", size=2),),
        ...     (Recurrent("rnn", "x", "gru", hidden_size=3), Linear("head", "rnn", size=1)),
        ... )
        >>> weights = {name: np.full(shape, 0.1, np.float32) for name, shape in spec.param_shapes().items()}
        >>> model = Model(Bundle(spec, weights))
        >>> x = np.ones((5, 1, 2), np.float32)
        >>> y, state = model.forward(x)
        >>> session = model.stream()
        >>> bool((session.steps(x[:, 0]) == y[:, 0]).all())
        True
    """

    def __init__(self, bundle: Bundle) -> None:
        self.spec, self.params, self.card, self.id = bundle.spec, bundle.params, bundle.card, bundle.id
        self.output_size = bundle.spec.sizes()[bundle.spec.blocks[-1].name]
        self._ops = NumpyOps(bundle.spec, bundle.params)
        self.layout = StateLayout(bundle.spec, self._ops.rest)

    def forward(
        self, inputs: Any, *, lengths: Any = None, resets: Any = None, state: ModelState | None = None
    ) -> tuple[np.ndarray, ModelState]:
        """Runs a batch of sequences.

        Args:
            inputs: ``[T, B, size]`` numbers or ``[T, B]`` ids by input name; a model with one input also
                takes the bare array. Numbers must be finite; what stands at padded steps is ignored.
            lengths: ``[B]`` valid steps of each row; None means T.
            resets: ``[T, B]`` bool; True restarts a row before that step.
            state: where to continue from, as returned; None starts at rest.

        Returns:
            Output ``[T, B, size]`` (meaningless at padded steps), or ``[B, size]`` after a pool; and the
            state.

        Raises:
            DataError: wrong input names, types or values, saying where.
            ShapeError: arrays that do not fit together.
            StateError: a state that does not fit.
        """
        arrays, lengths, resets = edge.batch(self.spec, inputs, lengths, resets)
        if state is not None:
            self.layout.check(state, next(iter(arrays.values())).shape[1])
        return self._run(arrays, lengths, resets, state)

    def predict(self, sequences: Sequence[Any], *, batch_steps: int = 16384) -> list[np.ndarray]:
        """Runs sequences of any lengths, each from rest; sequences of similar length share a batch.

        Args:
            sequences: each ``[T, size]`` numbers or ``[T]`` ids, or a mapping of those by input name.
            batch_steps: bound on the steps (padding included) in memory at once; longer sequences are run in
                pieces, unless the model reads both directions.

        Returns:
            For every sequence, in order: ``[T, size]``, or ``[size]`` after a pool.

        Raises:
            DataError: naming the sequence and the step.
        """
        if isinstance(batch_steps, bool) or not isinstance(batch_steps, int) or batch_steps < 1:
            raise OptionError(
                "not a number of steps", where="batch_steps", expected="1 or more", got=batch_steps
            )
        rows = [
            edge.sequence(
                self.spec, value, f"sequence {index}", partial("sequence {}, step {}".format, index)
            )
            for index, value in enumerate(sequences)
        ]
        answers: list[Any] = [None] * len(rows)
        for chosen in self._batches([_steps(row) for row in rows], batch_steps):
            found = self._predict_batch([rows[index] for index in chosen], batch_steps)
            for index, answer in zip(chosen, found, strict=True):
                answers[index] = answer
        return answers

    def stream(self, blob: bytes | None = None, adapter: Adapter | None = None) -> Session:
        """One live sequence.

        Args:
            blob: a snapshot to go on from; None starts at rest.
            adapter: translates elements and answers; None: arrays in, arrays out.

        Raises:
            StateError: when the model looks into the future, or the snapshot does not fit.
        """
        session = Session(self, adapter)
        if blob is not None:
            session.restore(blob)
        return session

    def streams(self, adapter: Callable[[], Adapter] | None = None) -> Pool:
        """Many live sequences, stepped together.

        Args:
            adapter: makes the adapter of a sequence when it joins; None: arrays in, arrays out.

        Raises:
            StateError: when the model looks into the future.
        """
        return Pool(self, adapter)

    def stepper(self, sides: Sides, rows: int) -> Stepper:
        """One step of the model over fixed arrays (for ``Session`` and ``Pool``).

        Raises:
            StateError: when the model looks into the future.
        """
        if not self.spec.streamable:
            names = [block.name for block in self.spec.recurrent if block.bidirectional]
            raise StateError(
                "this model reads each sequence from both ends, so it has no answer before the end",
                where=", ".join(names),
                fix="Use predict on whole sequences, or train with bidirectional=False",
            )
        return Stepper(self.spec, self.params, self._ops, sides, rows)

    def _run(
        self, arrays: Mapping[str, np.ndarray], lengths: Any, resets: Any, state: ModelState | None
    ) -> tuple[np.ndarray, ModelState]:
        """``forward`` on checked arrays."""
        return forward(
            self.spec, self.params, arrays, ops=self._ops, state=state, lengths=lengths, resets=resets
        )

    def _batches(self, lengths: list[int], batch_steps: int) -> list[list[int]]:
        """Indices of the sequences that run together: neighbours in length, so that little is padding."""
        batches: list[list[int]] = []
        for index in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
            longest = lengths[batches[-1][0]] if batches else 0
            # Only what is streamable can be cut into pieces; the rest must fit as it is.
            room = _ROWS if self.spec.streamable else min(_ROWS, batch_steps // max(longest, 1))
            if not batches or len(batches[-1]) >= room:
                batches.append([])
            batches[-1].append(index)
        return batches

    def _predict_batch(self, rows: list[dict[str, np.ndarray]], batch_steps: int) -> list[np.ndarray]:
        """Answers of a few sequences, run together in pieces of bounded size."""
        lengths = np.array([_steps(row) for row in rows], np.int64)
        longest = int(lengths.max())
        piece = max(1, batch_steps // len(rows)) if self.spec.streamable else max(1, longest)
        state, outputs = None, []
        for start in range(0, max(1, longest), piece):
            size = min(piece, longest - start)
            part = {
                node.name: _padded([row[node.name][start : start + size] for row in rows], size)
                for node in self.spec.inputs
            }
            output, state = self._run(part, np.clip(lengths - start, 0, size), None, state)
            outputs.append(output)
        if self.spec.pooled:
            return list(outputs[-1])
        return [
            np.concatenate([output[:, row] for output in outputs])[:length]
            for row, length in enumerate(lengths)
        ]


_ROWS = 64
"""Most sequences in one batch of ``predict``: enough to fill the kernels."""


def _steps(row: Mapping[str, np.ndarray]) -> int:
    return len(next(iter(row.values())))


def _padded(parts: list[np.ndarray], size: int) -> np.ndarray:
    """Parts of unequal length side by side, ``[size, B, ...]``, zeros at padded steps."""
    whole = np.zeros((size, len(parts), *parts[0].shape[1:]), parts[0].dtype)
    for row, part in enumerate(parts):
        whole[: len(part), row] = part
    return whole
