"""Scaling numbers: statistics against scikit-learn, the way back, series of their own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from hiddenstate import codecs

HOWS = ("standard", "robust", "minmax", "log", "none")


@pytest.mark.parametrize(
    ("how", "oracle"),
    [("standard", StandardScaler()), ("robust", RobustScaler()), ("minmax", MinMaxScaler())],
)
def test_statistics_are_those_of_scikit_learn(how, oracle):
    rng = np.random.default_rng(0)
    training, values = rng.gamma(2, size=101) * 1e3, rng.normal(size=50)
    training[::7] = np.nan
    codec = codecs.Numbers(how).fit(training)
    expected = oracle.fit(training[:, None]).transform(values[:, None])[:, 0]
    np.testing.assert_allclose(codec.encode(values), expected, rtol=1e-12)


def test_log_is_log1p_then_standard():
    training = np.array([0.0, 3.0, 10.0, 1e6, np.nan])
    codec = codecs.Numbers("log").fit(training)
    expected = StandardScaler().fit_transform(np.log1p(training)[:, None])[:, 0]
    np.testing.assert_allclose(codec.encode(training), expected, rtol=1e-12)
    assert codec.link == "log1p"
    assert codec.decode([-1e3]).tolist() == [0.0]


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(HOWS),
    st.lists(st.floats(0, 1e15), min_size=1, max_size=20),
    st.lists(st.floats(0, 1e15), max_size=20),
)
def test_the_way_back(how, training, values):
    codec = codecs.Numbers(how).fit(training)
    back = codec.decode(codec.encode(values))
    shift, scale = codec.affine()
    size = np.abs(codec.encode(values)) * scale + abs(
        shift
    )  # rounding happens at this size, before the link is undone
    slack = 8 * np.finfo(float).eps * size
    np.testing.assert_array_less(np.abs(back - values), slack * (1 + np.array(values)) + 1e-300)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("value", [0.1, 0.0, 1e9])
def test_a_constant_column_has_scale_one(how, value):
    codec = codecs.Numbers(how).fit([value] * 7)
    assert codec.affine()[1] == 1
    assert codec.encode([value]).tolist() == ([value] if how == "none" else [0.0])
    assert codec.decode_one(codec.encode_one(value)) == pytest.approx(value, rel=1e-12)


def test_missing_values_pass():
    codec = codecs.Numbers().fit([1.0, np.nan, 3.0])
    np.testing.assert_array_equal(np.isnan(codec.encode([None, 2.0])), [True, False])
    for missing in (None, "", np.nan, float("nan")):
        assert np.isnan(codec.encode_one(missing))
    assert codec.encode_one("3") == codec.encode_one(3) == codec.encode([[3]])[0, 0]


def test_series_have_statistics_of_their_own():
    values = np.array([1.0, 100.0, 3.0, 300.0, np.nan, np.nan])
    ids = np.array(["a", "b", "a", "b", "c", "b"])
    codec = codecs.Numbers(per_series=True).fit(values, ids)
    assert codec.affine("a") == (2.0, 1.0)
    assert codec.affine("b") == (200.0, 100.0)
    assert codec.affine("c") == codec.affine("new") == codec.affine() == codecs.Numbers().fit(values).affine()
    encoded = codec.encode(values, ids)
    assert encoded[:4].tolist() == [-1, -1, 1, 1]
    np.testing.assert_array_equal(codec.decode(encoded, ids), values)
    assert codec.encode([1.0, 3.0], "a").tolist() == [-1, 1]
    assert codec.encode_one(300, "b") == 1
    assert codec.decode_one(1.0, "b") == 300
    grown = codec.learn("new", [5.0, 7.0])
    assert grown.affine("new") == (6.0, 1.0)
    assert codec.affine("new") == codec.affine()
    assert grown.learn("gone", [np.nan]).affine("gone") == codec.affine()
    again = codecs.from_json(grown.to_json())
    assert again.affine("new") == (6.0, 1.0)


def test_values_of_any_shape_take_ids_of_that_shape():
    ids = np.array([["a", "b"], ["a", "b"]])
    values = np.array([[1.0, 10.0], [3.0, 30.0]])
    codec = codecs.Numbers(per_series=True).fit(values, ids)
    assert codec.encode(values, ids).tolist() == [[-1, -1], [1, 1]]


def test_a_location_and_a_width_decode_by_the_affine_part():
    rng = np.random.default_rng(0)
    codec = codecs.Numbers("robust").fit(rng.normal(50, 9, 1000))
    shift, scale = codec.affine()
    samples = rng.normal(0.3, 1.7, 200_000)
    raw = codec.decode(samples)
    assert raw.mean() == pytest.approx(shift + scale * 0.3, rel=1e-2)
    assert raw.std() == pytest.approx(scale * 1.7, rel=1e-2)
    logs = codecs.Numbers("log").fit(rng.gamma(2, 30, 1000))
    for level in (0.1, 0.5, 0.9):
        direct = logs.decode([np.quantile(samples, level)])[0]
        assert np.quantile(logs.decode(samples), level) == pytest.approx(direct, rel=1e-3)


def test_what_is_too_many_scales_away_is_infinite_in_batch_and_stream():
    codec = codecs.Numbers("robust").fit([0.0, 1e-303])
    assert codec.encode([1e5])[0] == codec.encode_one(1e5) == np.inf
