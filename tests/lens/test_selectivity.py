"""Selectivity of units against scikit-learn and against networks whose units hold something known."""

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score, roc_auc_score

from hiddenstate.errors import DataError, OptionError, ShapeError
from hiddenstate.lens.examples import counter, shift_register
from hiddenstate.lens.selectivity import BINS, _auroc, _bits, _members, _ranks, unit_selectivity


def symbols(count=6, steps=80):
    return [np.random.default_rng(seed).integers(1, 4, steps).astype(float) for seed in range(count)]


def before(one):
    return [None, *one.labels[:-1]]


def test_auroc_is_that_of_sorted_counts():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 5, (200, 3)).astype(float)  # many ties
    classes = rng.integers(0, 3, 200)
    found = _auroc(_ranks(values), _members(classes, np.arange(3)))
    for label in range(3):
        for unit in range(3):
            assert found[label, unit] == pytest.approx(roc_auc_score(classes == label, values[:, unit]))


def test_mutual_information_is_that_of_the_table():
    rng = np.random.default_rng(0)
    bins, classes = rng.integers(0, BINS, (300, 2)), rng.integers(0, 3, 300)
    bins[:, 1] = classes
    found = _bits(np.arange(2) * BINS + bins, classes, 3)
    wanted = [mutual_info_score(bins[:, unit], classes) / np.log(2) for unit in range(2)]
    np.testing.assert_allclose(found, wanted)


def test_the_unit_that_holds_the_label_is_found_and_no_other():
    made = unit_selectivity(shift_register(4), symbols(), before)
    best = {
        (name, label): value for name, label, value in zip(made.unit, made.label, made.auroc, strict=True)
    }
    assert best["rnn_l0.h[1]", "3"] == 1
    assert best["rnn_l0.h[1]", "1"] == 0
    assert {made.unit[row] for row in np.flatnonzero(made.found)} == {"rnn_l0.h[1]"}
    assert made.selectivity[0] > 0.3
    assert made.mutual_information[0] > 1.4
    others = [row for row, name in enumerate(made.unit) if name != "rnn_l0.h[1]"]
    assert np.abs(made.auroc[others] - 0.5).max() < 0.2
    assert ((made.interval.low[others] < 0.5) & (made.interval.high[others] > 0.5)).mean() > 0.8
    assert "rnn_l0.h[1] tells" in made.sentence()
    assert len(made.table()["low"]) == 12


def test_a_label_of_the_input_alone_is_no_selectivity():
    made = unit_selectivity(shift_register(2), symbols(), lambda one: [label == "3" for label in one.labels])
    first = made.unit.index("rnn_l0.h[0]")
    assert made.auroc[first] == 1
    assert made.control[first] > 0.2  # random labels of inputs are told apart as well
    assert set(made.label) == {"True"}


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    # A unit that counts, with labels by a fair coin: the truth is 0.5.
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(40):
        coins = [rng.integers(0, 2, 12) for _ in range(12)]
        made = unit_selectivity(counter(), [rng.normal(size=12) for _ in range(12)], coins, of="c")
        hits += made.interval.low[0] <= 0.5 <= made.interval.high[0]
    assert 33 <= hits <= 40


def test_one_sequence_has_no_interval():
    made = unit_selectivity(shift_register(3), symbols(1), before)
    assert np.isnan(made.interval.low).all()
    assert "one sequence" in made.sentence()


def test_bad_labels_are_refused():
    data, model = symbols(2), shift_register(2)
    with pytest.raises(DataError, match="labels are missing"):
        unit_selectivity(model, data, None)
    with pytest.raises(ShapeError, match="differ in number"):
        unit_selectivity(model, data, [[1] * 80])
    with pytest.raises(ShapeError, match="steps differ"):
        unit_selectivity(model, data, [[1] * 80, [1] * 79])
    with pytest.raises(DataError, match="no step has a label"):
        unit_selectivity(model, data, lambda one: [None] * len(one))
    with pytest.raises(DataError, match="all labels are alike"):
        unit_selectivity(model, data, lambda one: [1] * len(one))
    with pytest.raises(OptionError, match="no such part"):
        unit_selectivity(model, data, before, of="c")
