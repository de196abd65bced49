"""The estimator for sequence classification."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from hiddenstate import cells, data
from hiddenstate.errors import DataError, ShapeError
from hiddenstate.options import FLAG, InstanceOf, OneOf, Real, Whole, option
from hiddenstate.spec import Block, Concat, Dropout, Embed, Input, Linear, ModelSpec, Pool, Recurrent
from hiddenstate.tasks.base import Estimator, Prepared
from hiddenstate.tasks.cards import digest
from hiddenstate.tasks.scores import Scores
from hiddenstate.tasks.softmax import softmax

from . import metrics
from .baselines import Baselines
from .calibrate import fit_temperature
from .features import Features, NumberFeatures, TextFeatures, features_from_json, fit_features
from .inputs import Columns, Sequences, read
from .labels import class_weights, like
from .live import Answer, Live
from .split import held_back

if TYPE_CHECKING:
    from hiddenstate.runtime import Session

_NAME = (InstanceOf(str), OneOf(None))


@dataclass(kw_only=True, eq=False, repr=False)
class SequenceClassifier(Estimator):
    """Says which class a sequence belongs to: recordings, sensor windows, texts.

    A recurrent network reads the sequence, its steps are pooled into one vector, and a linear layer gives the
    logits of the classes. Sequences may have any length. The probabilities are calibrated: the logits are
    divided by a temperature fitted on the sequences held back.

    What may be passed as data: see :mod:`hiddenstate.tasks.classify.inputs`.

    Args:
        text: column of a table that holds the texts to classify.
        label: column of a table that holds the labels.
        id: column that tells which rows are the steps of one sequence.
        time: column to sort the steps of a sequence by.
        group: column that tells which sequences belong together (a speaker, a patient); they are held back
            together.
        features: columns to read; None: all that play no other part.
        level: "char" or "word": what a step is in a text.
        vocabulary: most words kept (level "word").
        scaling: of every numeric feature: "standard", "robust", "minmax", "log"; None: as it is.
        embedding_size: width of the vector that stands for a character or word.
        bidirectional: read from both ends as well; such a model cannot stream.
        pooling: what the steps become: "all" of the next three side by side, the "last" one, their "mean" or
            their "max".
        class_weight: weights in the loss by label, or "balanced" against unequal class sizes.

    Learned by ``fit``: ``classes_``, ``temperature_``, ``n_features_in_`` (where rows are sequences, their
    length; else the features of a step), ``feature_names_in_``, and what every estimator has.

    Example:
        >>> import hiddenstate as hs
        >>> texts = ["a good day", "good film", "bad film", "a bad day"] * 5
        >>> model = hs.SequenceClassifier(hidden_size=8, epochs=30, validation=None, progress=False)
        >>> model.fit(texts, ["+", "+", "-", "-"] * 5).predict(["good day"]).tolist()
        ['+']
    """

    task: ClassVar[str] = "classify"

    text: str | None = option(None, *_NAME)
    label: str | None = option(None, *_NAME)
    id: str | None = option(None, *_NAME)
    time: str | None = option(None, *_NAME)
    group: str | None = option(None, *_NAME)
    features: Sequence[str] | None = option(
        None, InstanceOf(list, tuple, what="a list of column names"), OneOf(None)
    )
    level: str = option("char", OneOf("char", "word"))
    vocabulary: int = option(20_000, Whole(1))
    scaling: str | None = option("standard", OneOf("standard", "robust", "minmax", "log", None))
    embedding_size: int = option(32, Whole(1))
    bidirectional: bool = option(False, FLAG)
    pooling: str = option("all", OneOf("all", "last", "mean", "max"))
    dropout: float = option(0.2, Real(0, 1, below=True))
    epochs: int = option(100, Whole(0))
    patience: int | None = option(15, Whole(1), OneOf(None))
    class_weight: str | Mapping[Any, float] | None = option(
        None, OneOf("balanced", None), InstanceOf(Mapping)
    )

    # ---- training

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learns from labelled sequences.

        Args:
            X: the sequences: an array, a list, a file or a frame.
            y: labels ``[n]``; None: the column ``label`` of the table.

        Raises:
            DataError: on data that cannot be used, or with one class only.
            OptionError: on a parameter out of range, or missing labels.
            ShapeError: on arrays that do not fit together.
        """
        self._check()
        cells.get(self.cell, **(self.cell_options or {}))
        found = read(X, y, columns=self._columns(), labelled=True)
        assert found.labels is not None
        classes, index = np.unique(found.labels, return_inverse=True)
        if len(classes) < 2:
            raise DataError(
                "one class only", where=found.where, expected="two or more classes", got=classes.tolist()
            )
        held = held_back(found.items, index, found.groups, share=self.validation, seed=self.seed)
        self._train(self._prepare(found, classes, index, held))
        self._calibrate(found, index, held)
        _ = self.model_  # made now: predict leaves the estimator as it is
        return self

    def _prepare(
        self, found: Sequences, classes: np.ndarray, index: np.ndarray, held: np.ndarray
    ) -> Prepared:
        from .job import ClassifyJob

        learned = [item for item, out in zip(found.items, held, strict=True) if not out]
        features = fit_features(
            learned,
            names=found.names if found.width is None else None,
            scaling=self.scaling,
            level=self.level,
            vocabulary=self.vocabulary,
        )
        weights = class_weights(self.class_weight, index, classes)
        sha256 = digest([*found.items, index])
        identity = {
            "data": sha256,
            "batch_size": self.batch_size,
            "weights": None if weights is None else weights.tolist(),
        }
        job = ClassifyJob(
            [features.encode(item) for item in found.items],
            index,
            held,
            batch_size=self.batch_size,
            class_weights=weights,
            identity=identity,
        )
        codec = {
            "features": features.to_json(),
            "classes": classes.tolist(),
            "columns": found.names,
            "width": found.width,
            "temperature": 1.0,
        }
        baselines = Baselines.fit(learned, index[~held], len(classes))
        seen = {
            "sequences": len(found),
            "held_back": int(held.sum()),
            "steps": sum(map(len, found.items)),
            "sha256": sha256,
        }
        return Prepared(
            spec=self._spec(features, len(classes)),
            job=job,
            codec=codec,
            settings={"baselines": baselines.to_json()},
            data=seen,
        )

    def _spec(self, features: Features, num_classes: int) -> ModelSpec:
        """Input, for text an embedding, recurrent layers, a pool, and a linear layer for the logits."""
        blocks: list[Block] = []
        if features.kind == "ids":
            blocks.append(Embed("embed", source="x", size=self.embedding_size))
            blocks.append(Dropout("embed_dropout", source="embed", p=self.dropout))
        blocks += [
            Recurrent(
                "rnn",
                source=blocks[-1].name if blocks else "x",
                cell=self.cell,
                hidden_size=self.hidden_size,
                num_layers=self.num_layers,
                bidirectional=self.bidirectional,
                dropout=self.dropout if self.num_layers > 1 else 0.0,
                options=dict(self.cell_options or {}),
            ),
            *self._pool(),
            Dropout("head_dropout", source="pool", p=self.dropout),
            Linear("head", source="head_dropout", size=num_classes),
        ]
        return ModelSpec((Input("x", kind=features.kind, size=features.size),), tuple(blocks))

    def _pool(self) -> list[Block]:
        """What makes one vector, "pool", of the steps of "rnn"."""
        if self.pooling != "all":
            return [Pool("pool", source="rnn", how=self.pooling)]
        ways = ("last", "mean", "max")
        pools: list[Block] = [Pool(how, source="rnn", how=how) for how in ways]
        return [*pools, Concat("pool", sources=ways)]

    def _calibrate(self, found: Sequences, index: np.ndarray, held: np.ndarray) -> None:
        """Fits the temperature on the sequences held back, and notes on the card how they were answered."""
        if not held.any():
            return
        items = [item for item, out in zip(found.items, held, strict=True) if out]
        logits = self._logits(items)
        codec = {**self.bundle_.codec, "temperature": fit_temperature(logits, index[held])}
        self._take(replace(self.bundle_, codec=codec))
        proba = softmax(logits, temperature=self.temperature_)
        figures = metrics.summary(self.classes_[index[held]], proba, self.classes_)
        self.bundle_ = replace(self.bundle_, card={**self.bundle_.card, "metrics": figures})

    def _adopt(self) -> None:
        codec = self.bundle_.codec
        self.classes_ = np.array(codec["classes"])
        self.temperature_ = float(codec["temperature"])
        self._features = features_from_json(codec["features"])
        self._baselines = Baselines.from_json(self.bundle_.task["baselines"])
        for name in ("n_features_in_", "feature_names_in_"):
            vars(self).pop(name, None)  # of an earlier fit to other data
        if isinstance(self._features, NumberFeatures):
            self.n_features_in_ = codec["width"] or len(self._features.scales)
            if codec["columns"] is not None:
                self.feature_names_in_ = np.array(codec["columns"], dtype=object)

    def _adapter(self) -> Live:
        return Live(self._features, self.classes_, self.temperature_)

    # ---- use

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of every sequence, ``[n]``.

        Args:
            X: sequences in any form that ``fit`` takes; a label column may be missing.
        """
        chosen = np.argmax(self.predict_proba(X), axis=1)
        return self.classes_[chosen]

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of every class, ``[n, K]`` in the order of ``classes_``; rows sum to 1."""
        return self._proba(self._read(X))

    def predict_table(self, X: Any) -> Iterator[dict[str, np.ndarray]]:
        """Answers as columns: the sequence's id (or row number, from 1), its class, the chance of each class.

        A file is read and answered in chunks, so it may be larger than memory; not so where ``id=`` gathers
        rows from all over it.
        """
        for part in self._parts(X):
            found = self._read(part)
            proba = self._proba(found)
            answers = {str(self.label or "label"): self.classes_[np.argmax(proba, axis=1)]}
            chances = {f"p({name})": proba[:, k] for k, name in enumerate(self.classes_.tolist())}
            yield {self.id or "row": found.keys} | answers | chances

    def score(self, X: Any, y: Any = None) -> float:
        """Accuracy: the share of right answers."""
        found = self._read(X, y, labelled=True)
        return metrics.accuracy(
            like(found.labels, self.classes_), self.classes_[np.argmax(self._proba(found), axis=1)]
        )

    def evaluate(self, X: Any, y: Any = None) -> Scores:
        """Accuracy, macro F1 and log loss beside the baselines, and a table per class.

        Baselines: the most frequent class of the training data, and a logistic regression that does not know
        order (see :mod:`hiddenstate.tasks.classify.baselines`).
        """
        found = self._read(X, y, labelled=True)
        truth, proba = like(found.labels, self.classes_), self._proba(found)
        answers = {f"network ({self.cell})": proba} | self._baselines.predict_proba(found.items)
        rows = [{"model": name} | metrics.summary(truth, p, self.classes_) for name, p in answers.items()]
        return Scores(rows, metrics.class_table(truth, self.classes_[np.argmax(proba, axis=1)]))

    # ---- streams of lines

    @property
    def reads_text(self) -> bool:
        """Whether a stream takes text, so that ``step_line`` can be used."""
        self._require_fitted()
        return isinstance(self._features, TextFeatures)

    def step_line(self, session: Session, line: str) -> Answer | None:
        """The next line of a text into a live sequence; an empty line ends the text.

        Returns:
            The answer for the text so far; None after an empty line: the next one starts a new text.
        """
        assert isinstance(self._features, TextFeatures)
        if not line:
            session.reset()
            return None
        text = "\n" + line if session.position else line
        return session.steps(self._features.elements(text))[-1]

    # ---- inside

    def _columns(self) -> Columns:
        return Columns(self.text, self.label, self.id, self.time, self.group, self.features)

    def _parts(self, X: Any) -> Iterable[Any]:
        if isinstance(X, (str, PathLike)) and self.id is None:
            return data.read_chunks(X)
        return [X]

    def _read(self, X: Any, y: Any = None, *, labelled: bool = False) -> Sequences:
        """Sequences that the trained network can take."""
        self._require_fitted()
        names, width = self.bundle_.codec["columns"], self.bundle_.codec["width"]
        found = read(
            X, y, columns=replace(self._columns(), features=names or self.features), labelled=labelled
        )
        if found.width is not None and width is not None and found.width != width:
            raise ShapeError(_WIDTH.format(found.width, width), where=found.where, fix=_ANY_LENGTH)
        self._features.check(found)
        return found

    def _logits(self, items: Sequence[Any]) -> np.ndarray:
        return np.array(self.model_.predict([self._features.encode(item) for item in items]))

    def _proba(self, found: Sequences) -> np.ndarray:
        return softmax(self._logits(found.items), temperature=self.temperature_)

    def __sklearn_tags__(self) -> Any:
        """A classifier of rows, 3-D arrays or strings, that takes missing values."""
        from sklearn.utils import ClassifierTags

        tags = super().__sklearn_tags__()
        tags.estimator_type = "classifier"
        tags.classifier_tags = ClassifierTags()
        tags.target_tags.required = True
        tags.input_tags.two_d_array = tags.input_tags.three_d_array = True
        return tags


_WIDTH = "X has {} features, but SequenceClassifier is expecting {} features as input"
_ANY_LENGTH = "Sequences of other lengths are passed as a list of arrays"
