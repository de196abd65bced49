"""scikit-learn's contract: its own checks of estimators, cloning, pipelines, grid search."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

import hiddenstate as hs

NOT_APPLICABLE = {
    "check_estimators_unfitted": "hiddenstate has a NotFittedError of its own, which needs no scikit-learn",
    "check_dtype_object": "an object that is no number is a DataError (ValueError), not a TypeError",
}

ONLY_WITH_SCIPY_ARRAY_API = "check_array_api_input"
"""Skips itself unless scipy runs in its array API mode, which is set for a whole process."""


def small(**settings):
    """A classifier that learns the checks' toy data in a moment."""
    defaults = {"hidden_size": 8, "epochs": 20, "learning_rate": 0.05, "progress": False}
    return hs.SequenceClassifier(**defaults | settings)


def checks():
    """The checks that apply; an exclusion that would pass is an error."""
    with warnings.catch_warnings():
        # it warns that BaseEstimator is no base: that is so, since scikit-learn need not be installed
        warnings.simplefilter("ignore", UserWarning)
        found = estimator_checks_generator(
            small(), expected_failed_checks=NOT_APPLICABLE, mark="xfail", xfail_strict=True
        )
        return [pair for pair in found if name(pair[1]) != ONLY_WITH_SCIPY_ARRAY_API]


def name(check):
    return getattr(check, "func", check).__name__ if callable(check) else None


@pytest.mark.parametrize(("estimator", "check"), checks(), ids=name)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


def ramps(count=60):
    """Rows that rise or fall."""
    draw = np.random.default_rng(0)
    y = np.arange(count) % 2
    slope = np.where(y == 1, 1.0, -1.0)[:, None]
    return slope * np.linspace(-1, 1, 6) + 0.3 * draw.normal(size=(count, 6)), np.array(["down", "up"])[y]


def test_it_is_a_classifier_that_can_be_cloned():
    model = small(pooling="mean", class_weight={"up": 2.0}, features=["a", "b"])
    assert is_classifier(model)
    again = clone(model)
    assert again.get_params() == model.get_params()
    assert repr(again) == repr(model)
    assert clone(model.fit(*ramps())).get_params()["pooling"] == "mean"
    with pytest.raises(hs.HiddenStateError, match=r"no such parameter.*got \['width'\]"):
        model.set_params(width=3)


def test_pipeline():
    x, y = ramps()
    model = make_pipeline(FunctionTransformer(np.flip), StandardScaler(), small(epochs=8)).fit(x, y)
    assert model.score(x, y) > 0.9


def test_grid_search_over_data_of_any_shape():
    x, y = ramps()
    search = GridSearchCV(small(epochs=6), {"hidden_size": [2, 8], "cell": ["gru", "lstm"]}, cv=3)
    search.fit(x, y)
    assert search.best_score_ > 0.9
    assert search.predict_proba(x[:2]).shape == (2, 2)
    texts = np.array(["up and up", "down it goes"] * 15)
    assert cross_val_score(small(epochs=8), texts, np.array([1, 0] * 15), cv=3).mean() > 0.9
    ragged = np.array([row[: 3 + i % 4] for i, row in enumerate(x)], dtype=object)
    assert cross_val_score(small(epochs=8), ragged, y, cv=3).mean() > 0.9
