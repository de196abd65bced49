"""What every estimator does: keep its parameters, train, save, load, stream."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from hiddenstate import bundle as bundles
from hiddenstate.bundle import Bundle
from hiddenstate.errors import (
    BundleError,
    DivergedError,
    HiddenStateError,
    MissingExtraError,
    NotFittedError,
    OptionError,
)
from hiddenstate.options import FLAG, InstanceOf, OneOf, Real, Whole, check, option
from hiddenstate.spec import ModelSpec

from . import cards
from .plain import from_plain, to_plain

if TYPE_CHECKING:
    from hiddenstate.runtime import Model, Pool, Session
    from hiddenstate.train import Job, Report


@dataclass
class Prepared:
    """What a task makes of the user's data before training.

    Attributes:
        spec: the network.
        job: what the training loop needs (see ``train.Job``).
        codec: JSON-able: how raw values become arrays and back, at prediction time.
        settings: JSON-able: whatever else of the task prediction needs (horizon, class names ...).
        data: JSON-able, for the card: what it was trained on (rows, columns, ``sha256`` by ``cards.digest``).
        initial: starting values of some weights by their full name (an output bias at the log odds, say).
        metrics: called once the estimator is fitted; returns JSON-able metrics for the card.
    """

    spec: ModelSpec
    job: Job
    codec: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    initial: Mapping[str, np.ndarray] = field(default_factory=dict)
    metrics: Callable[[], dict[str, Any]] | None = None


@dataclass(kw_only=True, eq=False, repr=False)
class Estimator(ABC):
    """Base of the task estimators, with the parameters all of them have.

    A task is a dataclass on top of this one, ``@dataclass(kw_only=True, eq=False, repr=False)``: it adds
    fields (``horizon: int = option(1, Whole(1))``), and scikit-learn's ``clone``, ``GridSearchCV`` and
    ``Pipeline`` work, because the constructor stores its arguments untouched. A task writes:

    - ``task``: its name in the bundle;
    - ``fit(data, ...)``: ``self._check()``, make a :class:`Prepared`, ``return self._train(prepared)``;
    - ``_adopt()``: set what was learned (``classes_`` ...) from ``self.bundle_`` alone, so that a loaded
      model and a fitted one are the same thing;
    - ``_adapter()``: raw element in, answer out, for streams (``runtime`` describes adapters);
    - ``predict``, ``score`` and what else it offers, with ``self.model_``.

    ``fit`` leaves ``bundle_``: the whole trained model as data. Its card holds the history of the training.

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
        validation: share of the data held back to watch for overfitting (cut as the task says), or None.
        patience: epochs without improvement after which training stops; None: never.
        max_seconds: training time after which it stops.
        seed: of initial weights, data order and dropout; the same seed gives the same model.
        checkpoint: a folder to save the training to as it runs, and to resume it from; None: no saving.
        progress: show progress on standard error.
        lens: look at the memory while training, in about 2 % of the time: records in the history, and a
            warning when it is vanishing, exploding, saturated or truncated.
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
    lens: bool = option(False, FLAG)

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
        """The constructor's arguments by name (``deep`` is scikit-learn's; nothing is nested here)."""
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
        defaults = {f.name: repr(f.default) for f in fields(self)}
        changed = [
            f"{name}={value!r}" for name, value in self.get_params().items() if repr(value) != defaults[name]
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    # ---- training

    def _check(self) -> None:
        """What every ``fit`` begins with, before it looks at the data.

        Raises:
            OptionError: on a parameter out of range.
            MissingExtraError: when torch is not installed.
        """
        check(self)
        torch_wing()

    def _train(self, prepared: Prepared) -> Self:
        """Build the network, train it, and become the fitted estimator.

        If training diverges after a good epoch, the estimator is fitted with the best weights all the same,
        and the error is raised.
        """
        nn, train = torch_wing()
        names = {f.name for f in fields(train.Config)}
        config = train.Config(**{key: value for key, value in self.get_params().items() if key in names})
        with train.seeded(self.seed):
            module = nn.build(prepared.spec)
        module.load_state_dict(train.tensors(prepared.initial), strict=False)
        try:
            report = train.fit(
                module,
                prepared.job,
                config,
                checkpoint=self._checkpoint(train),
                progress=self.progress,
                callbacks=[train.Lens()] if self.lens else [],
            )
        except DivergedError as error:
            if error.report is not None and error.report.best_epoch is not None:
                self._become(prepared, train.arrays(module.state_dict()), error.report)
            raise
        return self._become(prepared, train.arrays(module.state_dict()), report)

    def _checkpoint(self, train: Any) -> Any:
        """Where to save and resume; the parameters that shape data and loss must be the same again."""
        if self.checkpoint is None:
            return None
        loop = {f.name for f in fields(train.Config)}
        kept = {name: to_plain(value) for name, value in self._kept_params().items() if name not in loop}
        return train.Checkpoint(self.checkpoint, settings=kept)

    def _become(self, prepared: Prepared, params: dict[str, np.ndarray], report: Report) -> Self:
        task = {"name": self.task, "params": to_plain(self._kept_params())} | prepared.settings
        card = cards.make(prepared.data, seed=self.seed, report=report)
        self._take(Bundle(prepared.spec, params, codec=prepared.codec, task=task, card=card))
        if prepared.metrics is not None:
            card = {**card, "metrics": prepared.metrics()}
            self.bundle_ = replace(self.bundle_, card=card)
        return self

    def _kept_params(self) -> dict[str, Any]:
        """The parameters that say what was trained, not where it ran."""
        return {name: value for name, value in self.get_params().items() if name not in _OF_ONE_RUN}

    def _take(self, bundle: Bundle) -> None:
        self.bundle_ = bundle
        self._model: Model | None = None
        self._adopt()

    # ---- fitted

    def __sklearn_is_fitted__(self) -> bool:
        return "bundle_" in vars(self)

    def _require_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(
                f"this {type(self).__name__} is not trained yet",
                fix="Call fit, or load a saved one with hs.load",
            )

    @property
    def model_(self) -> Model:
        """The trained network, ready to run without torch.

        Raises:
            NotFittedError: before ``fit``.
        """
        self._require_fitted()
        if self._model is None:
            from hiddenstate.runtime import Model

            self._model = Model(self.bundle_)
        return self._model

    @property
    def card(self) -> dict[str, Any]:
        """How the model came about: data, seed, metrics, training with its history, versions."""
        self._require_fitted()
        return dict(self.bundle_.card)

    def stream(self, blob: bytes | None = None) -> Session:
        """One live sequence: ``step(element)`` gives the answer at once; ``blob`` goes on from a snapshot."""
        return self.model_.stream(blob, adapter=self._adapter())

    def streams(self) -> Pool:
        """Many live sequences, advanced together: ``pool.step({"a": element, "b": element})``."""
        return self.model_.streams(adapter=self._adapter)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the trained model to one file; ``hs.load`` reads it back.

        Raises:
            NotFittedError: before ``fit``.
            BundleError: when the file cannot be written; one that was there before stays whole.
        """
        self._require_fitted()
        bundles.save(path, self.bundle_)

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Self:
        """The trained estimator that a bundle was made from.

        Raises:
            BundleError: when the bundle is of another task, or its settings do not hold together.
        """
        if bundle.task.get("name") != cls.task:
            raise BundleError("a model of another task", expected=cls.task, got=bundle.task.get("name"))
        try:
            estimator = cls().set_params(**from_plain(bundle.task["params"]))
            check(estimator)
            estimator._take(bundle)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(
                "the settings of the model do not hold together",
                got=str(error) if isinstance(error, HiddenStateError) else repr(error),
                fix="The file is damaged, or comes from a newer version of hiddenstate",
            ) from error
        return estimator

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copy: the network is made anew from the bundle."""
        return vars(self) | ({"_model": None} if "_model" in vars(self) else {})

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks of an estimator; tasks add their type to it."""
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            input_tags=InputTags(two_d_array=False, allow_nan=True),
        )


_OF_ONE_RUN = ("checkpoint", "progress", "lens")


def torch_wing() -> tuple[Any, Any]:
    """The packages that need torch.

    Raises:
        MissingExtraError: when torch is not installed.
    """
    try:
        from hiddenstate import nn, train
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtraError.of("torch", extra="train") from None
    return nn, train
