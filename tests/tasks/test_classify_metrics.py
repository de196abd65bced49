"""Classification metrics and baselines against scikit-learn's."""

import json

import numpy as np
import pytest
import sklearn.linear_model
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from hiddenstate.tasks.classify import metrics
from hiddenstate.tasks.classify.baselines import (
    Baselines,
    Logistic,
    bag_of_words,
    frequent_words,
    moments,
)

labels = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=1, max_size=30)


@settings(max_examples=40, deadline=None)
@given(pairs=labels)
def test_f1_and_accuracy_are_those_of_scikit_learn(pairs):
    truth, guess = (np.array(column) for column in zip(*pairs, strict=True))
    want = sklearn.metrics.f1_score(truth, guess, average="macro", zero_division=0)
    assert metrics.macro_f1(truth, guess) == pytest.approx(want)
    assert metrics.accuracy(truth, guess) == pytest.approx(sklearn.metrics.accuracy_score(truth, guess))
    table = metrics.class_table(truth, guess)
    p, r, f, n = sklearn.metrics.precision_recall_fscore_support(truth, guess, zero_division=0)
    for row, want_row in zip(table, zip(p, r, f, n, strict=True), strict=True):
        assert (row["precision"], row["recall"], row["f1"], row["count"]) == pytest.approx(want_row)


def test_log_loss():
    rng = np.random.default_rng(0)
    proba = rng.dirichlet([1, 1, 1], 50)
    classes = np.array(["a", "b", "c"])
    truth = classes[rng.integers(0, 3, 50)]
    assert metrics.log_loss(truth, proba, classes) == pytest.approx(sklearn.metrics.log_loss(truth, proba))
    # a label never seen in training has probability 0, clipped
    assert metrics.log_loss(np.array(["z"]), proba[:1], classes) == pytest.approx(-np.log(metrics.SMALLEST))


def test_logistic_regression_is_that_of_scikit_learn():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 4)) * [1, 10, 0.1, 1] + [0, 5, 0, 0]
    y = np.argmax(x / [1, 10, 0.1, 1] @ rng.normal(size=(4, 3)) + rng.normal(size=(300, 3)), axis=1)
    ours = Logistic.fit(x, y, 3, l2=0.01)
    z = (x - x.mean(0)) / x.std(0)
    theirs = sklearn.linear_model.LogisticRegression(C=1 / (0.01 * 300), tol=1e-10, max_iter=1000).fit(z, y)
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(z), atol=2e-4)


def test_bag_of_words():
    texts = ["The cat. the dog", "a cat", "DOG!"]
    words = frequent_words(texts, limit=3)
    assert words == ["cat", "dog", "a"]
    np.testing.assert_array_equal(bag_of_words(texts, words), [[1, 1, 0], [1, 0, 1], [0, 1, 0]])


def test_moments_leave_missing_values_out():
    x = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]])
    np.testing.assert_allclose(moments([x]), [[2.0, 0.0, 1.0, 0.0]])


def test_rounding_errors_are_no_features():
    draw = np.random.default_rng(0)

    def normalised(count):
        rows = draw.normal(size=(count, 30, 1))
        rows = (rows - rows.mean(axis=1, keepdims=True)) / rows.std(axis=1, keepdims=True)
        return list(np.round(rows, 7))

    y = draw.integers(0, 2, 200)
    fitted = Baselines.fit(normalised(200), y, 2)
    proba = fitted.predict_proba(normalised(50))["logistic regression, feature means"]
    np.testing.assert_allclose(proba[:, 1], y.mean(), atol=1e-3)


def test_baselines_survive_json_and_know_their_names():
    texts = ["good film", "good day", "bad film", "bad day", "good"]
    fitted = Baselines.fit(texts, np.array([1, 1, 0, 0, 1]), 2)
    again = Baselines.from_json(json.loads(json.dumps(fitted.to_json())))
    proba = again.predict_proba(["a good thing", "a bad thing"])
    assert list(proba) == ["majority class", "logistic regression, bag of words"]
    np.testing.assert_allclose(proba["majority class"], [[0.4, 0.6]] * 2)
    assert proba["logistic regression, bag of words"].argmax(axis=1).tolist() == [1, 0]
    numbers = Baselines.fit([np.zeros((3, 1)), np.ones((2, 1))], np.array([0, 1]), 2)
    assert numbers.predict_proba([np.ones((5, 1))])["logistic regression, feature means"].argmax() == 1
