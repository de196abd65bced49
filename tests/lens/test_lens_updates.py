"""Clipping and update ratios by hand."""

import numpy as np
import pytest

from hiddenstate import lens
from hiddenstate.errors import DataError, OptionError, ShapeError
from hiddenstate.spec import Input, Linear, ModelSpec, Recurrent
from random_models import CLASSIFIER, SMALL, weights

# ---- G2


def test_clip_statistics():
    made = lens.clip_statistics([0.5, 1.0, 2.0, 4.0] * 50, 1.0)
    assert (made.share, made.mean_scale, made.median_norm, made.largest_norm) == (0.5, 0.6875, 1.5, 4.0)
    assert 0.4 < made.interval.low < 0.5 < made.interval.high < 0.6
    for bad in ([], [1.0, np.nan], [-1.0]):
        with pytest.raises(DataError, match="gradient norms"):
            lens.clip_statistics(bad, 1.0)
    with pytest.raises(OptionError, match="clipping norm"):
        lens.clip_statistics([1.0], 0.0)


# ---- G3


def test_update_ratios_of_every_gate_by_hand():
    block = Recurrent("rnn", "x", "lstm", 3, num_layers=2, bidirectional=True)
    spec = ModelSpec((Input("x", size=2),), (block, Linear("head", "rnn", 1)))
    before = weights(spec)
    after = {name: value.copy() for name, value in before.items()}
    after["rnn.weight_hh_l1_reverse"][3:6] *= 1.25  # the forget gate
    after["rnn.weight_ih_l0"][:3] *= 0.5  # the input gate
    found = lens.gate_update_ratios(spec, before, after)
    assert len(found) == 4 * 2 * 4
    changed = {name: value for name, value in found.items() if value}
    assert changed == pytest.approx({"rnn_l1_reverse f recurrent": 0.25, "rnn_l0 i input": 0.5})
    made = lens.update_ratios(spec, [before, after, after])
    assert made.updates == 2
    assert dict(zip(made.block, made.ratio, strict=True))["rnn_l0 i input"] == pytest.approx(0.25)
    assert "rnn_l0 i input" in made.sentence()


def test_update_ratios_of_zeros_and_of_another_model():
    before = weights(SMALL)
    zeros = {name: np.zeros_like(value) for name, value in before.items()}
    assert np.isnan(list(lens.gate_update_ratios(SMALL, zeros, before).values())).all()
    with pytest.raises(ShapeError, match="not the parameters"):
        lens.gate_update_ratios(SMALL, before, weights(CLASSIFIER))
    with pytest.raises(DataError, match="no update"):
        lens.update_ratios(SMALL, [before])
