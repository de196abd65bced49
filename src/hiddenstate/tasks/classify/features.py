"""Sequences as a network takes them: scaled numbers, or the ids of characters and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hiddenstate import codecs
from hiddenstate.codecs import Characters, Numbers, Words
from hiddenstate.errors import DataError, HiddenStateError, ShapeError

from .inputs import Sequences


@dataclass(frozen=True)
class NumberFeatures:
    """Numbers, each feature scaled; a missing value is 0 (the middle of the scale).

    A feature that had missing values in training has a second number beside it that says where: 1 missing, 0
    not.

    Args:
        scales: a codec per feature.
        flagged: indices of the features that had missing values.
        names: feature names, or None.
    """

    kind: ClassVar[str] = "numbers"
    scales: tuple[Numbers, ...]
    flagged: tuple[int, ...]
    names: tuple[str, ...] | None

    @classmethod
    def fit(
        cls, items: Sequence[np.ndarray], *, names: tuple[str, ...] | None, scaling: str | None
    ) -> NumberFeatures:
        """Learns the scales from all steps of all sequences ``[T, F]``.

        Raises:
            DataError: on a feature without any value, or a negative one where the scale is logarithmic.
        """
        steps = np.concatenate(items)
        if not len(steps):
            raise DataError("every sequence is empty", expected="at least one step")
        labels = names or range(steps.shape[1])
        scales = tuple(_scale(column, scaling, name) for column, name in zip(steps.T, labels, strict=True))
        flagged = tuple(np.flatnonzero(np.isnan(steps).any(axis=0)).tolist())
        return cls(scales, flagged, names)

    @property
    def size(self) -> int:
        """Numbers in an encoded step."""
        return len(self.scales) + len(self.flagged)

    def check(self, found: Sequences) -> None:
        """Refuses sequences of another kind or width.

        Raises:
            DataError: on text.
            ShapeError: on another number of features.
        """
        if found.is_text:
            raise DataError("text, but the model was trained on numbers", where=found.where)
        if found.items[0].shape[1] != len(self.scales):
            got, wanted = found.items[0].shape[1], len(self.scales)
            raise ShapeError(
                f"X has {got} features, but SequenceClassifier is expecting {wanted} features as input",
                where=found.where,
            )

    def encode(self, item: np.ndarray) -> np.ndarray:
        """Steps ``[T, F]`` as float32 ``[T, size]``."""
        missing = np.isnan(item)
        columns = [scale.encode(item[:, f]) for f, scale in enumerate(self.scales)]
        values = np.where(missing, 0.0, np.stack(columns, axis=1))
        return np.concatenate([values, missing[:, list(self.flagged)]], axis=1).astype(np.float32)

    def encode_one(self, element: Any) -> np.ndarray:
        """One step: numbers in order, numbers by name, or the bare number of a single feature; ``[size]``.

        Raises:
            DataError: on anything else.
        """
        if isinstance(element, Mapping):
            element = self._in_order(element)
        try:
            row = np.array(
                [np.nan if value is None else value for value in np.atleast_1d(element).tolist()], np.float64
            )
        except (TypeError, ValueError) as error:
            raise DataError("not numbers", expected=self._expected(), got=repr(element)[:60]) from error
        if row.shape != (len(self.scales),) or np.isinf(row).any():
            raise DataError("not a step of this model", expected=self._expected(), got=repr(element)[:60])
        return self.encode(row[None])[0]

    def _in_order(self, element: Mapping[str, Any]) -> list[Any]:
        missing = [name for name in self.names or () if name not in element]
        if self.names is None or missing:
            raise DataError(
                "not the features of this model", expected=self._expected(), got=sorted(map(str, element))
            )
        return [element[name] for name in self.names]

    def _expected(self) -> str:
        count = len(self.scales)
        return f"{count} finite number{'s' if count > 1 else ''}" + (
            f" ({', '.join(self.names)})" if self.names else ""
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``features_from_json``."""
        scales = [scale.to_json() for scale in self.scales]
        return {"kind": self.kind, "scales": scales, "flagged": list(self.flagged), "names": self.names}


@dataclass(frozen=True)
class TextFeatures:
    """Text as ids.

    Args:
        codec: of characters or words.
    """

    kind: ClassVar[str] = "ids"
    codec: Characters | Words

    @classmethod
    def fit(cls, items: Sequence[str], *, level: str, vocabulary: int) -> TextFeatures:
        """Learns the symbols of the texts."""
        codec = Characters() if level == "char" else Words(lower=True, max_size=vocabulary)
        return cls(codec.fit(items))

    @property
    def size(self) -> int:
        """Number of ids."""
        return self.codec.size

    def check(self, found: Sequences) -> None:
        """Refuses numbers.

        Raises:
            DataError: on anything but text.
        """
        if not found.is_text:
            raise DataError(
                "numbers, but the model was trained on text", where=found.where, expected="strings"
            )

    def encode(self, item: str) -> np.ndarray:
        """A text as ids, int64 ``[T]``."""
        return self.codec.encode(item)

    def encode_one(self, element: Any) -> np.ndarray:
        """One character or word as its id.

        Raises:
            DataError: on anything but one.
        """
        ids = self.codec.encode(element) if isinstance(element, str) else ()
        if len(ids) != 1:
            one = "one character" if isinstance(self.codec, Characters) else "one word"
            raise DataError(f"not {one}", expected=f"{one} a step", got=repr(element)[:60])
        return ids[0]

    def elements(self, text: str) -> list[str]:
        """The characters or words of a text: what a stream takes one by one."""
        return list(text) if isinstance(self.codec, Characters) else self.codec.tokens(text)

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``features_from_json``."""
        return {"kind": self.kind, "codec": self.codec.to_json()}


Features = NumberFeatures | TextFeatures


def fit_features(
    items: Sequence[Any], *, names: tuple[str, ...] | None, scaling: str | None, level: str, vocabulary: int
) -> Features:
    """The features of strings or of arrays ``[T, F]``, fitted on them."""
    if isinstance(items[0], str):
        return TextFeatures.fit(items, level=level, vocabulary=vocabulary)
    return NumberFeatures.fit(items, names=names, scaling=scaling)


def features_from_json(found: Mapping[str, Any]) -> Features:
    """The features that ``to_json`` described."""
    if found["kind"] == TextFeatures.kind:
        return TextFeatures(codecs.from_json(found["codec"]))
    names = None if found["names"] is None else tuple(found["names"])
    return NumberFeatures(tuple(map(codecs.from_json, found["scales"])), tuple(found["flagged"]), names)


def _scale(column: np.ndarray, scaling: str | None, name: Any) -> Numbers:
    try:
        return Numbers(scaling or "none").fit(column)
    except HiddenStateError as error:
        error.where = f"feature {name!r}"
        raise
