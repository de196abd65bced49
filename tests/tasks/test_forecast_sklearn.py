"""scikit-learn's own checks, as far as they apply to an estimator whose answer is a table of rows to come.

``estimator_checks_generator`` leaves an estimator alone that takes no plain matrix of independent rows, so
the checks are named here. Left out are those that

- compare ``predict`` with the input row by row, or subtract two predictions: a forecast is a table;
- permute or cut rows and expect the same answers: rows are in time order, and earlier ones matter;
- want an error on NaN: a missing value is something a forecaster takes;
- want scikit-learn's own NotFittedError or wording ("1 sample", "sparse"): ours needs no scikit-learn;
- are about sample weights, classes, transformers, clusters or outliers, which there are none of.
"""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils import estimator_checks as checks

import hiddenstate as hs

APPLICABLE = (
    "check_dataframe_column_names_consistency",
    "check_dict_unchanged",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_dont_overwrite_parameters",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_estimators_dtypes",
    "check_estimators_fit_returns_self",
    "check_estimators_overwrite_params",
    "check_f_contiguous_array_estimator",
    "check_fit1d",
    "check_fit2d_1feature",
    "check_fit_check_is_fitted",
    "check_fit_score_takes_y",
    "check_get_params_invariance",
    "check_inplace_ensure_writeable",
    "check_mixin_order",
    "check_n_features_in_after_fitting",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_readonly_memmap_input",
    "check_requires_y_none",
    "check_set_params",
    "check_valid_tag_types",
)


@pytest.mark.parametrize("name", APPLICABLE)
@pytest.mark.filterwarnings("ignore:.*BaseEstimator:UserWarning")
def test_checks_of_scikit_learn(name):
    forecaster = hs.Forecaster(target="column_1", hidden_size=4, epochs=1, progress=False, horizon=2)
    getattr(checks, name)("Forecaster", forecaster)


def test_a_fitted_one_is_cloned_without_what_it_learned():
    model = hs.Forecaster(horizon=2, epochs=1, progress=False, quantiles=[0.2, 0.8]).fit(np.arange(30.0))
    again = clone(model)
    assert again.get_params() == model.get_params()
    assert not hasattr(again, "codec_")
    with pytest.raises(hs.HiddenStateError, match="no such parameter"):
        model.set_params(width=3)
