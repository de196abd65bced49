"""Everything that may be passed as sequences and labels, and what is refused."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse

from hiddenstate import data
from hiddenstate.errors import DataError, OptionError, ShapeError
from hiddenstate.tasks.classify.inputs import Columns, read
from hiddenstate.tasks.classify.labels import as_labels, class_weights, like

NOTHING = Columns()


def sequences(source, y=None, *, labelled=False, **columns):
    return read(source, y, columns=Columns(**columns), labelled=labelled)


@pytest.mark.parametrize("wrap", [np.array, list, lambda rows: pd.DataFrame(rows, columns=["a", "b", "c"])])
def test_rows_are_univariate_sequences(wrap):
    found = sequences(wrap([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    assert [item.tolist() for item in found.items] == [[[1], [2], [3]], [[4], [5], [6]]]
    assert found.width == 3


def test_three_axes():
    x = np.arange(24.0).reshape(2, 3, 4)
    found = sequences(x)
    np.testing.assert_array_equal(found.items, x)
    assert found.width is None


def test_lists_of_arrays_may_differ_in_length():
    found = sequences([np.zeros((2, 3)), np.zeros((0, 3)), np.zeros((5, 3))])
    assert [item.shape for item in found.items] == [(2, 3), (0, 3), (5, 3)]
    assert [item.shape for item in sequences([[1, 2], [3]]).items] == [(2, 1), (1, 1)]
    ragged = np.array([np.zeros(2), np.zeros(3)], dtype=object)
    assert [item.shape for item in sequences(ragged).items] == [(2, 1), (3, 1)]


@pytest.mark.parametrize(
    "wrap", [list, tuple, np.array, pd.Series, lambda texts: np.array(texts, dtype=object)]
)
def test_strings_are_texts(wrap):
    found = sequences(wrap(["one", "two"]))
    assert found.is_text
    assert found.items == ["one", "two"]


def test_missing_values_at_the_end_shorten_a_row():
    x = np.array([[1.0, np.nan, 3.0, np.nan], [np.nan] * 4, [1.0, 2.0, 3.0, 4.0]])
    assert [len(item) for item in sequences(x).items] == [3, 0, 4]
    stack = np.array([[[1.0, np.nan], [np.nan, np.nan]], [[1.0, 2.0], [np.nan, 3.0]]])
    assert [len(item) for item in sequences(stack).items] == [1, 2]


def test_a_table_with_a_text_column():
    table = {"review": ["good", None, "bad"], "label": ["+", "-", "-"], "stars": [5, 1, 1]}
    found = sequences(table, labelled=True, text="review", label="label")
    assert found.items == ["good", "", "bad"]
    assert found.labels.tolist() == ["+", "-", "-"]


def test_a_long_table_is_grouped_and_sorted():
    frame = pl.DataFrame(
        {
            "who": ["b", "a", "b", "a", "a"],
            "t": [2, 1, 1, 3, 2],
            "x": [1.0, 2.0, 3.0, 4.0, None],
            "kind": [7, 8, 7, 8, 8],
        }
    )
    found = sequences(frame, labelled=True, id="who", time="t", label="kind")
    assert found.keys.tolist() == ["b", "a"]
    np.testing.assert_array_equal(found.items[0], [[3.0], [1.0]])
    np.testing.assert_array_equal(found.items[1], [[2.0], [np.nan], [4.0]])
    assert found.labels.tolist() == [7, 8]
    assert found.names == ("x",)


def test_a_label_that_changes_within_a_sequence():
    table = {"who": ["a", "a"], "x": [1, 2], "kind": ["u", "v"]}
    with pytest.raises(DataError, match=r"more than one value.*series 'a', column 'kind'.*\['u', 'v'\]"):
        sequences(table, labelled=True, id="who", label="kind")


def test_a_wide_file(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("t0,t1,class\n1,2,u\n3,,v\n")
    found = sequences(path, labelled=True, label="class")
    assert [item.tolist() for item in found.items] == [[[1], [2]], [[3]]]
    assert (found.names, found.width, found.labels.tolist()) == (("t0", "t1"), 2, ["u", "v"])
    # a label column is not needed, and not read, where nothing is to be learned
    assert sequences(path, label="class").names == ("t0", "t1")


def test_a_column_of_lists(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{"x": [[1, 2], [3, 4]], "y": "u"}, {"x": [[5, 6]], "y": "v"}]
    path.write_text("\n".join(map(json.dumps, rows)))
    found = sequences(path, labelled=True, label="y")
    assert [item.shape for item in found.items] == [(2, 2), (1, 2)]


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        (np.zeros(3), ShapeError, r"2 axes .n, T. or 3 axes .n, T, F., got 1 axes. Reshape your data"),
        (np.zeros((1, 1, 1, 1)), ShapeError, "got 4 axes"),
        (np.zeros((0, 3)), DataError, "an empty array"),
        (np.zeros((3, 0)), DataError, r"0 feature\(s\) \(shape=\(3, 0\)\) while a minimum of 1 is required."),
        ([], ShapeError, "Reshape"),
        (np.array([[1.0, np.inf]]), DataError, r"infinite value \(in X\[0\]\[1\]\)"),
        ([np.array([1.0]), np.array([-np.inf])], DataError, r"infinite value \(in X\[1\]\[0\]\)"),
        (np.array([[1 + 1j]]), DataError, "Complex data not supported"),
        (scipy.sparse.csr_array(np.eye(2)), DataError, "sparse input is not supported"),
        ([np.zeros((2, 1)), np.zeros((2, 2))], ShapeError, r"differ in their number of features.*\[1, 2\]"),
        ([["a", "b"], ["c", "d"]], DataError, "not numbers"),
        ({"x": ["word"], "y": [1]}, DataError, "column 'x' holds no numbers.*text='x'"),
        ({"x": [1.0, float("inf")]}, DataError, "infinite value.*column 'x', row 2"),
        ("nowhere.csv", DataError, "no such file.*nowhere.csv"),
    ],
)
def test_what_is_refused(source, kind, message):
    with pytest.raises(kind, match=message):
        sequences(source)


def test_missing_columns():
    table = data.read({"review": ["good"], "label": ["+"]})
    with pytest.raises(DataError, match="no column 'text'"):
        sequences(table, text="text")
    with pytest.raises(DataError, match="no column 'y'"):
        sequences(table, labelled=True, text="review", label="y")
    with pytest.raises(DataError, match="no feature columns"):
        sequences({"label": ["+"]}, label="label")


def test_labels_are_needed():
    with pytest.raises(OptionError, match="requires y to be passed, but the target y is None"):
        sequences(np.zeros((2, 2)), labelled=True)
    with pytest.raises(OptionError, match="arrays hold no label column"):
        sequences(np.zeros((2, 2)), labelled=True, label="y")
    with pytest.raises(ShapeError, match=r"differ in number.*expected 2, got 3"):
        sequences(np.zeros((2, 2)), [1, 2, 3], labelled=True)


@pytest.mark.parametrize(
    ("labels", "want"),
    [
        ([1, 0], [1, 0]),
        ([1.0, 0.0], [1, 0]),
        (["u", "v"], ["u", "v"]),
        ([True, False], [True, False]),
        (np.array([1, "v"], dtype=object), ["1", "v"]),
        (np.array([2, 3], dtype=object), [2, 3]),
    ],
)
def test_labels(labels, want):
    assert as_labels(labels, "y").tolist() == want


@pytest.mark.parametrize(
    ("labels", "kind", "message"),
    [
        ([0.5, 1.0], DataError, "Unknown label type: continuous.*got 0.5"),
        ([1.0, np.nan], DataError, r"missing label \(in y, row 2\)"),
        ([1.0, np.inf], DataError, "missing label"),
        (np.array(["u", None], dtype=object), DataError, r"missing label \(in y, row 2\)"),
        (np.array([{}, {}], dtype=object), DataError, "Unknown label type"),
        ([[1, 2], [3, 4]], ShapeError, "y should be a 1d array"),
        (3, ShapeError, "y should be a 1d array"),
    ],
)
def test_what_is_no_label(labels, kind, message):
    with pytest.raises(kind, match=message):
        as_labels(labels, "y")


def test_a_column_vector_is_taken_with_a_warning():
    with pytest.warns(UserWarning, match="A column-vector y was passed when a 1d array was expected"):
        assert as_labels([[1], [2]], "y").tolist() == [1, 2]


def test_labels_in_the_type_of_the_classes():
    assert like(["1", "2"], np.array([1, 2])).tolist() == [1, 2]
    assert like([1, 2], np.array(["1", "2"])).tolist() == ["1", "2"]
    assert like([9], np.array([1, 2])).tolist() == [9]
    with pytest.raises(DataError, match=r"a label unknown to the model.*got x"):
        like(["x"], np.array([1, 2]))


def test_class_weights():
    classes, y = np.array(["u", "v"]), np.array([0, 0, 0, 1])
    assert class_weights(None, y, classes) is None
    np.testing.assert_allclose(class_weights("balanced", y, classes), [2 / 3, 2.0])
    np.testing.assert_allclose(class_weights({"v": 5}, y, classes), [1.0, 5.0])
    np.testing.assert_allclose(class_weights({"1": 3}, y, np.array([0, 1])), [1.0, 3.0])
    with pytest.raises(OptionError, match=r"unknown class.*got .'w'"):
        class_weights({"w": 1.0}, y, classes)
    with pytest.raises(OptionError, match="positive"):
        class_weights({"v": 0.0}, y, classes)


@pytest.mark.parametrize("long", [False, True])
def test_groups_are_kept_beside_the_sequences(long):
    table = {"who": ["a", "a", "b"], "x": [1.0, 2.0, 3.0], "kind": [1, 1, 0], "ward": ["n", "n", "s"]}
    settings = {"label": "kind", "group": "ward"} | ({"id": "who"} if long else {"features": ["x"]})
    found = sequences(table, labelled=True, **settings)
    assert found.groups.tolist() == (["n", "s"] if long else ["n", "n", "s"])
    assert found.names == ("x",)
    assert sequences(table, **settings).groups is None
