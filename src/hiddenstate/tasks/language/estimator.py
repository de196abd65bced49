"""The estimator for language models."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from hiddenstate import cells, data
from hiddenstate.errors import OptionError
from hiddenstate.options import FLAG, InstanceOf, OneOf, Real, Whole, option
from hiddenstate.spec import Block, Dropout, Embed, Input, Linear, ModelSpec, Recurrent
from hiddenstate.tasks.base import Estimator, Prepared
from hiddenstate.tasks.cards import digest
from hiddenstate.tasks.scores import Scores
from hiddenstate.tasks.softmax import log_softmax

from . import documents
from .live import BIT, Live
from .scoring import baseline_rows, figures, first_symbol
from .vocabulary import Vocabulary

FEWEST = 10
"""With fewer documents than this, a part of each is held back instead of whole documents."""

CHUNK_VALUES = 1 << 24
"""Logits in memory at once while a text is read."""

CARD_SYMBOLS = 200_000
"""Symbols held back that the figures on the card are made from, at most."""


@dataclass(kw_only=True, eq=False, repr=False)
class LanguageModel(Estimator):
    """Says how likely every symbol of a text is, and writes.

    A recurrent network reads characters or words and gives the probabilities of the next one. It learns from
    one long stream: many lanes are read side by side, and the state is carried from window to window
    (truncated backpropagation through time). A new document starts from a state at rest, in training and in
    use.

    Symbols that did not occur in training all count as one, the unknown symbol; a small share of the training
    symbols is hidden so that the network knows what to make of it. It is never written.

    What may be passed as data: see :func:`hiddenstate.tasks.language.documents.read`.

    Args:
        text: column of a table that holds the documents.
        level: "char" or "word": what a symbol is.
        vocabulary: most words kept (level "word").
        embedding_size: width of the vector that stands for a symbol.
        tied: use the embedding as output weights too (fewer parameters; helps with words).
        window: steps over which gradients reach back; the state reaches further.

    Learned by ``fit``: what every estimator has.

    Example:
        >>> import hiddenstate as hs
        >>> model = hs.LanguageModel(hidden_size=16, epochs=40, window=8, validation=None, progress=False)
        >>> model = model.fit(["abcabcabcabcabcabcabcabcabcabc"])
        >>> "".join(model.generate("ab", length=4, temperature=0))
        'cabc'
    """

    task: ClassVar[str] = "language"

    text: str | None = option(None, InstanceOf(str), OneOf(None))
    level: str = option("char", OneOf("char", "word"))
    vocabulary: int = option(20_000, Whole(1))
    embedding_size: int = option(64, Whole(1))
    tied: bool = option(False, FLAG)
    window: int = option(64, Whole(1))
    cell: str = option("lstm", InstanceOf(str))
    hidden_size: int = option(128, Whole(1))
    dropout: float = option(0.1, Real(0, 1, below=True))
    epochs: int = option(20, Whole(0))
    patience: int | None = option(3, Whole(1), OneOf(None))

    # ---- training

    def fit(self, X: Any, y: None = None) -> Self:
        """Learns from documents.

        Args:
            X: the path of a text file, of a folder of text files or of a table; or a list of strings.
            y: ignored; scikit-learn passes it.

        Raises:
            DataError: on data that cannot be used.
            OptionError: on a parameter out of range.
        """
        self._check()
        cells.get(self.cell, **(self.cell_options or {}))
        found = documents.read(X, text=self.text)
        learned, held = self._split(found)
        vocabulary = Vocabulary.fit(learned, level=self.level, limit=self.vocabulary)
        return self._train(self._prepare(learned, held, vocabulary))

    def _split(self, found: list[str]) -> tuple[list[str], list[str]]:
        """What to learn from and to hold back: whole documents where there are many, else each one's end."""
        share = self.validation
        if share is None:
            return found, []
        if len(found) >= FEWEST:
            parts = data.split(len(found), validation=share, seed=self.seed)
            return [found[i] for i in parts.train], [found[i] for i in parts.validation]
        cuts = data.cut_in_time([len(one) for one in found], validation=share)
        pairs = list(zip(found, cuts, strict=True))
        held = [one[cut.validation] for one, cut in pairs]
        return [one[cut.train] for one, cut in pairs], [one for one in held if one]

    def _prepare(self, learned: list[str], held: list[str], vocabulary: Vocabulary) -> Prepared:
        from .job import LanguageJob

        ids = [part for part in map(vocabulary.encode, learned) if len(part)]
        sha256 = digest([*learned, "", *held])
        job = LanguageJob(
            ids,
            [part for part in map(vocabulary.encode, held) if len(part)],
            end=vocabulary.end,
            lanes=self.batch_size,
            window=self.window,
            identity={"data": sha256, "lanes": self.batch_size, "window": self.window},
        )
        symbols = sum(map(len, ids))
        seen = {
            "documents": len(learned) + len(held),
            "symbols": symbols,
            "held_back": sum(map(len, held)),
            "sha256": sha256,
        }
        return Prepared(
            spec=self._spec(vocabulary),
            job=job,
            codec={"vocabulary": vocabulary.to_json(), "first": first_symbol(ids, vocabulary.size)},
            settings={"counts": np.bincount(np.concatenate(ids), minlength=vocabulary.size).tolist()},
            data=seen,
            metrics=lambda: self._held_figures(held, ids),
        )

    def _spec(self, vocabulary: Vocabulary) -> ModelSpec:
        """Embedding, recurrent layers, and a linear layer for the logits of the next symbol."""
        blocks: list[Block] = [
            Embed("embed", source="x", size=self.embedding_size),
            Dropout("embed_dropout", source="embed", p=self.dropout),
            Recurrent(
                "rnn",
                source="embed_dropout",
                cell=self.cell,
                hidden_size=self.hidden_size,
                num_layers=self.num_layers,
                dropout=self.dropout if self.num_layers > 1 else 0.0,
                options=dict(self.cell_options or {}),
            ),
            Dropout("head_dropout", source="rnn", p=self.dropout),
        ]
        if self.tied and self.embedding_size != self.hidden_size:
            blocks.append(Linear("project", source="head_dropout", size=self.embedding_size))
        tied = "embed" if self.tied else None
        blocks.append(Linear("head", source=blocks[-1].name, size=vocabulary.size, tied=tied))
        return ModelSpec((Input("x", kind="ids", size=vocabulary.size),), tuple(blocks))

    def _held_figures(self, held: list[str], learned: Sequence[np.ndarray]) -> dict[str, Any]:
        """How the documents held back were answered, beside the n-gram baselines."""
        some: list[str] = []
        for one in held:
            room = CARD_SYMBOLS - sum(map(len, some))
            if room > 0:
                some.append(one[:room])
        if not some:
            return {}
        scores = self._scores(some, learned)
        return {row["model"]: {key: row[key] for key in row if key != "model"} for row in scores.rows}

    def _adopt(self) -> None:
        self._vocabulary = Vocabulary.from_json(self.bundle_.codec["vocabulary"])
        self._first = np.log(np.array(self.bundle_.codec["first"]))

    def _adapter(self) -> Live:
        return Live(self._vocabulary, self._first)

    # ---- use

    def predict(self, X: Any) -> list[np.ndarray]:
        """The surprisal of every symbol of every document, ``-log2 p(symbol | all before it)`` in bits.

        Args:
            X: documents, in any form that ``fit`` takes.

        Returns:
            For each document ``[T]``; exactly what a stream gives symbol by symbol.
        """
        self._require_fitted()
        return [self._surprisals(one) for one in documents.read(X, text=self.text)]

    def predict_table(self, X: Any) -> Iterator[dict[str, Any]]:
        """The surprisals as columns: number of the document (from 1), symbol, bits."""
        self._require_fitted()
        for number, one in enumerate(documents.read(X, text=self.text), start=1):
            symbols = self._vocabulary.split(one)
            numbers = np.full(len(symbols), number)
            yield {"document": numbers, "symbol": np.array(symbols, object), "bits": self._surprisals(one)}

    def score(self, X: Any, y: None = None) -> float:
        """Mean log likelihood of a symbol, in nats: one number, more is better, for searches.

        Args:
            X: documents to score.
            y: ignored; scikit-learn's tools pass it.
        """
        return -self.evaluate(X)["nats_per_symbol"]

    def evaluate(self, X: Any, *, train: Any = None) -> Scores:
        """Bits per character, perplexity and nats per symbol, beside baselines.

        Baselines: uniform, the symbol frequencies of the training text, and, if the training text is given,
        n-grams of orders 2 to 5 (see :mod:`hiddenstate.tasks.language.ngram`).

        Args:
            X: documents to score. Ends of documents are not counted.
            train: documents to count the n-grams on.
        """
        self._require_fitted()
        learned = [] if train is None else documents.read(train, text=self.text)
        return self._scores(
            documents.read(X, text=self.text), [self._vocabulary.encode(one) for one in learned]
        )

    def generate(
        self,
        prompt: str = "",
        *,
        length: int = 500,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> Iterator[str]:
        """Writes on from a prompt, piece by piece; ``"".join(...)`` gives the text.

        Args:
            prompt: text before what is written (not repeated in it). Symbols unknown to the model are read as
                the unknown symbol, with a warning.
            length: symbols to write at most; writing ends where the model ends the document.
            temperature: below 1 more predictable, above 1 more daring, 0 always the likeliest.
            top_k: choose among the k likeliest symbols only.
            top_p: choose among the likeliest symbols that together have this probability.
            seed: the same seed writes the same text; None: another text each time.

        Raises:
            OptionError: on an option out of range.
        """
        self._require_fitted()
        if isinstance(length, bool) or not isinstance(length, int) or length < 0:
            raise OptionError(
                "not a number of symbols", where="length", expected="0 or more", got=repr(length)
            )
        known = self._vocabulary.split(prompt)
        ids = self._vocabulary.encode(prompt)
        if unknown := sorted({symbol for symbol, one in zip(known, ids, strict=True) if not one}):
            warnings.warn(f"unknown to the model, read as the unknown symbol: {unknown}", stacklevel=2)
        rng = np.random.default_rng(seed)
        return self._written(ids, length, rng, temperature=temperature, top_k=top_k, top_p=top_p)

    def _written(
        self, prompt: np.ndarray, length: int, rng: np.random.Generator, **options: Any
    ) -> Iterator[str]:
        from hiddenstate.runtime import sample

        session = self.model_.stream()
        logits, last = self._first, None
        if len(prompt):
            logits, last = session.steps(prompt)[-1], int(prompt[-1])
        for _ in range(length):
            scores = np.array(logits, np.float64)
            scores[0] = -np.inf  # the unknown symbol has no writing
            symbol = int(sample(scores, rng, **options))
            if symbol == self._vocabulary.end:
                return
            yield self._vocabulary.text_of(symbol, after=last)
            logits, last = session.step(symbol), symbol

    # ---- streams of lines

    reads_text: ClassVar[bool] = True
    """``step_line`` takes text (for the command line)."""

    def step_line(self, session: Any, line: str) -> dict[str, Any]:
        """A line of text, with its line break, into a live sequence.

        Returns:
            Bits in all and per character, and the likeliest next symbols.
        """
        answers = session.steps(self._vocabulary.split(line + "\n"))
        bits = sum(answer.surprisal for answer in answers)
        return {"bits": bits, "bits_per_character": bits / (len(line) + 1), "next": answers[-1].likeliest()}

    # ---- inside

    def _surprisals(self, document: str) -> np.ndarray:
        """Bits of every symbol, ``[T]``."""
        ids = self._vocabulary.encode(document)
        bits, state, expected = [], None, self._first[None]
        for window in data.windows(len(ids), size=max(1, CHUNK_VALUES // self._vocabulary.size)):
            logits, state = self.model_.forward(ids[window][:, None], state=state)
            after = log_softmax(logits[:, 0])
            before = np.concatenate([expected, after[:-1]])
            bits.append(-before[np.arange(len(before)), ids[window]] / BIT)
            expected = after[-1:]
        return np.concatenate(bits) if bits else np.empty(0)

    def _scores(self, texts: list[str], learned: Sequence[np.ndarray]) -> Scores:
        bits = [self._surprisals(one) for one in texts]
        characters = sum(map(len, texts))
        ids = [self._vocabulary.encode(one) for one in texts]
        rows = [{"model": f"network ({self.cell})"} | figures(np.concatenate(bits), characters)]
        rows += baseline_rows(ids, characters, self._vocabulary, self.bundle_.task["counts"], learned)
        unknown = int(sum(np.sum(one == 0) for one in ids))
        notes = (
            (f"{unknown} symbols are unknown to the model and count as one and the same",) if unknown else ()
        )
        return Scores(rows, notes=notes)
