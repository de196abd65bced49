"""What every estimator does: keep its parameters, train, save, load, stream."""

from __future__ import annotations

import inspect
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from .. import bundle as bundles
from ..bundle import Bundle
from ..errors import DivergedError, MissingExtraError, NotFittedError, OptionError
from ..options import FLAG, InstanceOf, OneOf, Real, Whole, check, option
from ..spec import ModelSpec
from . import cards

if TYPE_CHECKING:
    from ..runtime import Model, Pool, Session
    from ..train import Job, Report


@dataclass
class Prepared:
    """What a task makes of the user's data before training.

    Attributes:
        spec: the network.
        job: what the training loop needs (see ``train.Job``).
        codec: JSON-able: how raw values become arrays and back, at prediction time.
        settings: JSON-able: whatever else of the task prediction needs (horizon, class names ...).
        data: JSON-able: what the network was trained on, for the card: rows, columns, ``sha256`` (``cards.digest``).
        initial: starting values of some parameters by their full name (an output bias at the log odds, say).
    """

    spec: ModelSpec
    job: Job
    codec: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    initial: Mapping[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True, eq=False, repr=False)
class Estimator(ABC):
    """Base of the task estimators, with the parameters all of them have.

    A task is a dataclass on top of this one: it adds fields (``horizon: int = option(1, Whole(1))``), and scikit-learn's
    ``clone``, ``GridSearchCV`` and ``Pipeline`` work, because the constructor stores its arguments untouched. Ranges are
    checked by ``fit``. A task writes:

    - ``task``: its name in the bundle;
    - ``fit(data, ...)``: ``return self._train(self._prepare(...))``;
    - ``_adopt()``: set learned attributes (``classes_`` ...) from ``self.bundle_`` alone, so that a loaded model and a
      fitted one are the same thing;
    - ``_adapter()``: raw element in, answer out, for streams (``runtime`` describes adapters);
    - ``predict``, ``score`` and what else it offers, with ``self.model_``.

    Learned by ``fit``: ``bundle_`` (the whole model as data), ``report_`` (the training's report; only right after
    ``fit``, it is not saved), ``n_features_in_`` and ``feature_names_in_`` where they apply.

    Args:
        cell: "rnn", "gru" or "lstm", or another registered cell.
        cell_options: options of the cell, e.g. ``{"reset": "before"}`` for the GRU.
        hidden_size: width of the state of each layer.
        num_layers: recurrent layers on top of one another.
        dropout: share of the inputs of upper layers and of the head dropped while training.
        epochs: passes over the data at most.
        batch_size: sequences (or windows) per update.
        learning_rate: step size at its highest.
        optimizer: "adam", "adamw", "sgd" or "rmsprop".
        weight_decay: pull of the weights towards zero.
        clip_norm: longest gradient; None: any.
        schedule: of the learning rate: "constant", "cosine", "step" or "plateau".
        warmup_updates: updates over which the learning rate rises at first.
        validation: share of the data held back to watch for overfitting (the task says how it is cut); None: nothing.
        patience: epochs without improvement after which training stops; None: never.
        max_seconds: training time after which it stops.
        seed: of initial weights, data order and dropout; the same seed gives the same model.
        checkpoint: a folder to save the training to as it runs, and to resume it from; None: none.
        progress: show progress on standard error.
    """

    task: ClassVar[str]

    cell: str = option("gru", InstanceOf(str))
    cell_options: Mapping[str, Any] | None = option(None, InstanceOf(Mapping), OneOf(None))
    hidden_size: int = option(64, Whole(1))
    num_layers: int = option(1, Whole(1))
    dropout: float = option(0.0, Real(0, 1, below=True))
    epochs: int = option(50, Whole(0))
    batch_size: int = option(32, Whole(1))
    learning_rate: float = option(3e-3, Real(0, above=True))
    optimizer: str = option("adam", OneOf("adam", "adamw", "sgd", "rmsprop"))
    weight_decay: float = option(0.0, Real(0))
    clip_norm: float | None = option(1.0, Real(0, above=True), OneOf(None))
    schedule: str = option("constant", OneOf("constant", "cosine", "step", "plateau"))
    warmup_updates: int = option(0, Whole(0))
    validation: float | None = option(0.1, Real(0, 1, above=True, below=True), OneOf(None))
    patience: int | None = option(10, Whole(1), OneOf(None))
    max_seconds: float | None = option(None, Real(0, above=True), OneOf(None))
    seed: int = option(0, Whole(0, 2**32 - 1))
    checkpoint: str | os.PathLike[str] | None = option(None, InstanceOf(str, os.PathLike), OneOf(None))
    progress: bool = option(True, FLAG)

    # ---- what a task writes

    @abstractmethod
    def _adopt(self) -> None:
        """Set the learned attributes of the task from ``self.bundle_``."""

    @abstractmethod
    def _adapter(self) -> Any:
        """A fresh adapter for one live sequence."""

    # ---- parameters

    @classmethod
    def _parameter_names(cls) -> list[str]:
        return sorted(f.name for f in fields(cls) if f.init)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments by name (``deep`` is part of scikit-learn's contract; nothing is nested)."""
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **params: Any) -> Self:
        """Change parameters; they count from the next ``fit``.

        Raises:
            OptionError: on a name that is no parameter.
        """
        if unknown := sorted(set(params) - set(self._parameter_names())):
            raise OptionError(
                "no such parameter", where=type(self).__name__, expected=self._parameter_names(), got=unknown
            )
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = {f.name: f.default for f in fields(self)}
        changed = [
            f"{name}={value!r}" for name, value in self.get_params().items() if value != defaults[name]
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    # ---- training

    def _train(self, prepared: Prepared) -> Self:
        """Build the network, train it, and become the fitted estimator."""
        raise NotImplementedError

    # ---- fitted

    @property
    def model_(self) -> Model:
        """The trained network, ready to run without torch.

        Raises:
            NotFittedError: before ``fit``.
        """
        raise NotImplementedError

    @property
    def card(self) -> dict[str, Any]:
        """What the model was trained on and how it did: data hash and shape, seed, metrics, time, versions."""
        raise NotImplementedError

    def stream(self, blob: bytes | None = None) -> Session:
        """One live sequence: ``step(element)`` gives the answer at once; ``blob`` goes on from a snapshot."""
        return self.model_.stream(blob, adapter=self._adapter())

    def streams(self) -> Pool:
        """Many live sequences, advanced together: ``pool.step({"a": element, "b": element})``."""
        return self.model_.streams(adapter=self._adapter)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to one file; ``hs.load`` reads it back."""
        raise NotImplementedError

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Self:
        """The fitted estimator a bundle was saved from."""
        raise NotImplementedError
