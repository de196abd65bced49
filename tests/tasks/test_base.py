"""What every estimator promises, on a toy task and on the public ones."""

import copy
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError as SklearnNotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

import hiddenstate as hs
from hiddenstate import bundle as bundles
from hiddenstate.errors import (
    BundleError,
    DivergedError,
    MissingExtraError,
    NotFittedError,
    OptionError,
)
from hiddenstate.options import Real, Whole, check, option, ranges_of
from hiddenstate.spec import Input, Linear, ModelSpec, Recurrent
from hiddenstate.tasks import cards, loading
from hiddenstate.tasks.base import Estimator, Prepared
from hiddenstate.tasks.plain import from_plain, to_plain

PUBLIC = [hs.Forecaster, hs.SequenceClassifier, hs.LanguageModel]


class SumJob:
    """Predict the running sum of a sequence, ``[B, T]`` numbers."""

    def __init__(self, x, spoil):
        self.x, self.y = (
            x.T[..., None].astype(np.float32),
            np.cumsum(x, axis=1).T[..., None].astype(np.float32),
        )
        self.spoil = spoil
        self.identity = {"data": cards.digest([x])}

    def batches(self, epoch, seed):
        return [epoch] * 2

    def loss(self, module, epoch, carried):
        from hiddenstate.train import losses, tensors

        output, _ = module(tensors({"x": self.x}))
        loss = losses.squared(output, tensors(self.y))
        return loss._replace(mean=loss.mean * float("nan")) if epoch == self.spoil else loss

    def validate(self, module):
        return None


class Plain:
    """One number in, one number out, times a unit."""

    def __init__(self, unit):
        self.unit = unit

    def encode(self, element):
        return {"x": np.array([element / self.unit], np.float32)}

    def decode(self, output):
        return float(output[0]) * self.unit

    def state(self):
        return {}

    def restore(self, state):
        pass


@dataclass(kw_only=True, eq=False, repr=False)
class Summer(Estimator):
    """Learns running sums."""

    task: ClassVar[str] = "summer"
    unit: float = option(1.0, Real(0, above=True))
    spoil: int = option(-1, Whole(-1))

    def fit(self, X, y=None):
        self._check()
        recurrent = Recurrent("rnn", source="x", cell=self.cell, hidden_size=self.hidden_size)
        spec = ModelSpec((Input("x"),), (recurrent, Linear("head", source="rnn", size=1)))
        X = np.asarray(X, np.float32)
        return self._train(
            Prepared(
                spec=spec,
                job=SumJob(X / self.unit, self.spoil),
                codec={"unit": self.unit},
                settings={"steps": X.shape[1]},
                data={"rows": len(X), "sha256": cards.digest([X])},
                initial={"head.bias": np.array([0.25], np.float32)},
                metrics=lambda: {"error": self.score(X)},
            )
        )

    def predict(self, X):
        x = np.asarray(X, np.float32).T[..., None] / self.unit_
        return self.model_.forward({"x": x})[0][..., 0].T * self.unit_

    def score(self, X, y=None):
        return -float(np.abs(self.predict(X) - np.cumsum(X, axis=1)).mean())

    def _adopt(self):
        self.unit_ = np.float32(self.bundle_.codec["unit"])
        self.steps_ = self.bundle_.task["steps"]

    def _adapter(self):
        return Plain(self.unit_)


X = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)


def small(**settings):
    return Summer(**{"hidden_size": 4, "epochs": 3, "progress": False} | settings)


@pytest.fixture(scope="module")
def fitted():
    return small().fit(X)


@pytest.fixture
def registered(monkeypatch):
    """``hs.load`` knows the toy task while a test runs."""
    monkeypatch.setitem(loading.TASKS, "summer", (".", "Summer"))
    monkeypatch.setattr(loading, "import_module", lambda *_: sys.modules[__name__])


# ---- parameters


@pytest.mark.parametrize("cls", [Summer, *PUBLIC])
def test_the_constructor_only_stores(cls):
    estimator = cls()
    params = estimator.get_params()
    assert vars(estimator) == params
    marks = {name: object() for name in params}
    assert all(getattr(cls(**marks), name) is mark for name, mark in marks.items())
    assert all(getattr(estimator.set_params(**marks), name) is mark for name, mark in marks.items())


@pytest.mark.parametrize("cls", [Summer, *PUBLIC])
def test_clone(cls):
    estimator = cls(hidden_size=7, seed=3)
    twin = clone(estimator)
    assert twin is not estimator
    assert twin.get_params() == estimator.get_params()


@pytest.mark.parametrize("cls", [Summer, *PUBLIC])
def test_every_parameter_has_a_range_with_its_default_in_it(cls):
    ranges, estimator = ranges_of(cls), cls()
    assert set(ranges) == set(estimator.get_params())
    check(estimator)


@pytest.mark.parametrize(
    ("cls", "name"), [(cls, name) for cls in PUBLIC for name in sorted(ranges_of(cls))], ids=str
)
def test_a_parameter_out_of_range_is_named_by_fit(cls, name):
    ranges = ranges_of(cls)[name]
    wrong = [v for r in ranges for v in r.outside() if not any(other.admits(v) for other in ranges)]
    assert wrong
    data = (["a text"],) if cls is hs.LanguageModel else ([[0.0]], ["a"])
    for value in wrong:
        with pytest.raises(OptionError, match=rf"{cls.__name__}\.{name}.*expected .* got "):
            cls(**{"progress": False, name: value}).fit(*data)


def test_set_params_refuses_unknown_names():
    with pytest.raises(OptionError, match=r"no such parameter \(in Summer\).*'hidden_size'.*got \['size'\]"):
        Summer().set_params(size=3)


def test_repr_shows_what_was_changed():
    assert repr(Summer()) == "Summer()"
    assert repr(Summer(unit=2.0, cell="lstm")) == "Summer(cell='lstm', unit=2.0)"


def test_parameters_survive_json():
    value = {"a": (1, [2.5, None]), 3: {"b": True}, "c": np.float64(0.5), "d": {}}
    assert from_plain(to_plain(value)) == value
    assert from_plain(to_plain(value))["a"][1] == [2.5, None]


# ---- before fit


@pytest.mark.parametrize("cls", [Summer, *PUBLIC])
def test_use_before_fit_says_so(cls, tmp_path):
    estimator = cls()
    for use in (
        estimator.stream,
        estimator.streams,
        lambda: estimator.card,
        lambda: estimator.save(tmp_path / "m"),
    ):
        with pytest.raises(NotFittedError, match=r"not trained yet.*Call fit"):
            use()
    with pytest.raises(SklearnNotFittedError):
        check_is_fitted(estimator)
    assert not hasattr(estimator, "model_")


def test_training_without_torch_names_the_extra():
    code = """
import sys; sys.modules["torch"] = None
import hiddenstate as hs
for estimator in hs.Forecaster(target="y"), hs.SequenceClassifier(), hs.LanguageModel():
    try:
        estimator.fit(["a", "b"])
    except hs.HiddenStateError as error:
        print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count(MissingExtraError.__name__) == 3
    assert done.stdout.count("pip install 'hiddenstate[train]'") == 3


# ---- fit


def test_fit_learns_and_returns_the_estimator(fitted):
    estimator = small(epochs=200, learning_rate=0.03)
    assert estimator.fit(X) is estimator
    assert estimator.score(X) > fitted.score(X) > -3
    check_is_fitted(estimator)
    assert estimator.steps_ == 5


def test_the_parameters_are_left_alone(fitted):
    assert fitted.get_params() == small().get_params()


def test_the_same_seed_the_same_model(fitted):
    torch.manual_seed(99)
    again, other = small().fit(X), small(seed=1).fit(X)
    for name, value in fitted.bundle_.params.items():
        assert np.array_equal(value, again.bundle_.params[name])
    assert not np.array_equal(
        other.bundle_.params["rnn.weight_hh_l0"], again.bundle_.params["rnn.weight_hh_l0"]
    )


def test_no_epochs_keeps_the_initial_weights():
    assert small(epochs=0).fit(X).bundle_.params["head.bias"].tolist() == [0.25]


def test_the_card_says_how_it_came_about(fitted):
    card = fitted.card
    assert card["data"] == {"rows": 6, "sha256": cards.digest([X])}
    assert card["seed"] == 0
    assert card["metrics"] == {"error": fitted.score(X)}
    assert card["training"]["epochs"] == len(card["training"]["history"]) == 3
    assert card["versions"]["torch"] == torch.__version__
    assert set(card["versions"]) == {"hiddenstate", "numpy", "python", "torch"}


def test_digest_tells_data_apart():
    same = [cards.digest([np.array([1, 2]), "ab"]), cards.digest([np.array([1, 2]), "ab"])]
    others = [
        [np.array([1.0, 2.0]), "ab"],
        [np.array([[1, 2]]), "ab"],
        [np.array([1, 2]), "a", "b"],
        [[None, "ab"]],
    ]
    assert len({*same, *map(cards.digest, others)}) == 1 + len(others)
    assert cards.digest([np.array(["a", None], object)]) != cards.digest([np.array([None, "a"], object)])


def test_a_second_fit_replaces_the_first():
    estimator = small().fit(X)
    before = estimator.predict(X)
    estimator.set_params(seed=5).fit(X)
    assert not np.array_equal(estimator.predict(X), before)


def test_after_divergence_the_best_weights_are_there():
    estimator = small(epochs=9, spoil=2)
    with pytest.raises(DivergedError, match="epoch 3"):
        estimator.fit(X)
    assert np.array_equal(estimator.predict(X), small(epochs=2).fit(X).predict(X))
    with pytest.raises(DivergedError):
        (worse := small(spoil=0)).fit(X)
    assert not worse.__sklearn_is_fitted__()


def test_an_interrupted_fit_leaves_a_fitted_estimator(monkeypatch):
    def loss(self, module, epoch, carried, loss=SumJob.loss):
        if epoch == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return loss(self, module, epoch, carried)

    monkeypatch.setattr(SumJob, "loss", loss)
    estimator = small(epochs=9).fit(X)
    assert estimator.card["training"]["stopped"] == "interrupt"
    assert np.array_equal(estimator.predict(X), small(epochs=2).fit(X).predict(X))


def test_checkpoint_resumes_and_is_bound_to_the_parameters(tmp_path):
    small(checkpoint=tmp_path).fit(X)
    longer = small(checkpoint=tmp_path, epochs=6).fit(X)
    assert longer.card["training"]["resumed"]
    assert np.array_equal(longer.predict(X), small(epochs=6).fit(X).predict(X))
    with pytest.raises(BundleError, match=r"another settings.*settings\.unit.*expected 1\.0, got 2\.0"):
        small(checkpoint=tmp_path, unit=2.0).fit(X * 2)
    with pytest.raises(BundleError, match=r"another job.*job\.data"):
        small(checkpoint=tmp_path).fit(X + 1)


# ---- scikit-learn


def test_grid_search_and_pipeline():
    search = GridSearchCV(small(), {"hidden_size": [2, 3]}, cv=2).fit(X)
    assert search.best_params_["hidden_size"] in (2, 3)
    pipe = make_pipeline(FunctionTransformer(np.negative), small()).fit(X)
    assert np.array_equal(pipe.predict(-X), small().fit(-X).predict(X))


# ---- saving, loading, copying


def same_answers(one, other):
    return type(one) is type(other) and np.array_equal(one.predict(X), other.predict(X))


def test_save_and_load(fitted, registered, tmp_path):
    path = tmp_path / "sum.safetensors"
    estimator = small(cell_options={"reset": "before"}, unit=2.0, checkpoint=tmp_path / "run").fit(X)
    estimator.save(path)
    loaded = hs.load(path)
    assert same_answers(loaded, estimator)
    assert loaded.card == estimator.card
    assert loaded.get_params() == estimator.get_params() | {"checkpoint": None, "progress": True}


def test_a_bundle_without_a_task_is_a_bare_model(fitted, tmp_path):
    bundles.save(tmp_path / "m.safetensors", replace(fitted.bundle_, task={}))
    model = hs.load(tmp_path / "m.safetensors")
    assert isinstance(model, hs.runtime.Model)
    x = X.T[..., None]
    assert np.array_equal(model.forward({"x": x})[0], fitted.model_.forward({"x": x})[0])


def test_an_unknown_task_is_refused(fitted, tmp_path):
    fitted.save(tmp_path / "m.safetensors")
    with pytest.raises(BundleError, match=r"unknown task.*'forecast'.*got 'summer'.*newer version"):
        hs.load(tmp_path / "m.safetensors")
    with pytest.raises(BundleError, match="another task: expected forecast, got summer"):
        hs.Forecaster.from_bundle(fitted.bundle_)


@pytest.mark.parametrize(
    "damage",
    [
        {"task": {"name": "summer"}},
        {"task": {"name": "summer", "params": {"dict": [["no_such", 1]]}}},
        {"task": {"name": "summer", "params": 3}},
        {"task": {"name": "summer", "params": to_plain({"unit": "long"})}},
        {"codec": {}},
        {"codec": {"unit": "long"}},
    ],
    ids=str,
)
def test_settings_that_do_not_hold_together_are_refused(fitted, damage):
    with pytest.raises(BundleError, match="do not hold together"):
        Summer.from_bundle(replace(fitted.bundle_, **damage))


@pytest.mark.parametrize("cls", PUBLIC)
def test_a_file_with_a_task_name_and_nothing_else_is_refused(fitted, cls):
    with pytest.raises(BundleError, match="do not hold together"):
        cls.from_bundle(replace(fitted.bundle_, task={"name": cls.task, "params": to_plain({})}))


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))], ids=["copy", "pickle"]
)
def test_copies_answer_alike(fitted, again):
    fitted.predict(X)  # the network is made
    assert same_answers(again(fitted), fitted)
    assert again(Summer(unit=3.0)).unit == 3.0


# ---- streams


def test_streams_answer_like_predict(fitted):
    whole = fitted.predict(X)
    session = fitted.stream()
    first = [session.step(float(value)) for value in X[0, :3]]
    resumed = fitted.stream(session.snapshot())
    rest = [resumed.step(float(value)) for value in X[0, 3:]]
    assert np.array_equal(np.float32(first + rest), whole[0])
    pool = fitted.streams()
    for step in range(5):
        answers = pool.step({row: float(X[row, step]) for row in range(6)})
        assert np.array_equal(np.float32([answers[row] for row in range(6)]), whole[:, step])
