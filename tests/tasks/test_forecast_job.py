"""The training job: which rows count, which values are their targets, and the validation pass."""

import numpy as np
import pytest
import torch

from hiddenstate import nn
from hiddenstate.spec import Input, Linear, ModelSpec, Recurrent
from hiddenstate.tasks.forecast.heads import Point, Reference
from hiddenstate.tasks.forecast.job import UPDATES, Example, ForecastJob, Window

STEPS, TARGETS = 3, 2
SPEC = ModelSpec(
    (Input("x", size=2),),
    (Recurrent("rnn", "x", "gru", hidden_size=4), Linear("head", "rnn", size=STEPS * TARGETS)),
)


def example(rows, train_rows, seed=0):
    rng = np.random.default_rng(seed)
    target = rng.normal(size=(rows, TARGETS))
    target[rng.random((rows, TARGETS)) < 0.1] = np.nan
    level, unit = rng.normal(size=(rows, TARGETS)), rng.random((rows, TARGETS)) + 0.5
    ones = np.ones((rows, TARGETS))
    inputs = {"x": rng.normal(size=(rows, 2)).astype(np.float32)}
    return Example(inputs, target, Reference(level, unit, 0 * ones, ones), train_rows)


def job(examples, **options):
    settings = {"steps": STEPS, "context": 10, "batch_size": 4, "identity": {}} | options
    return ForecastJob(examples, Point("mse"), **settings)


def targets_by_hand(one, row, end):
    """The next values of a row in units of its reference, NaN from ``end`` on."""
    ahead = np.full((STEPS, TARGETS), np.nan)
    for step in range(STEPS):
        if row + 1 + step < end:
            ahead[step] = one.target[row + 1 + step]
    return (ahead - one.reference.offset[row]) / one.reference.unit[row]


def test_an_epoch_counts_every_row_the_same_number_of_times():
    examples = [example(50, 40), example(7, 7), example(2, 2), example(1, 1)]
    batches = job(examples).batches(epoch=3, seed=1)
    assert len(batches) >= UPDATES
    counted = sum(int((~np.isnan(batch.target).all(axis=(2, 3))).sum()) for batch in batches)
    once = 0
    for one in examples:
        rows = [targets_by_hand(one, row, one.train_rows) for row in range(one.train_rows - 1)]
        once += sum(not np.isnan(row).all() for row in rows)
    assert counted % once == 0
    assert counted // once >= 1


def test_windows_hold_the_inputs_and_the_values_ahead():
    one = example(30, 25)
    batch = job([one]).gather([Window(0, begin=4, start=9, stop=19, end=20), Window(0, 0, 0, 3, 25)])
    assert batch.lengths.tolist() == [15, 3]
    np.testing.assert_array_equal(batch.inputs["x"][:, 0], one.inputs["x"][4:19])
    assert np.isnan(batch.target[:5, 0]).all()  # read to warm up, not counted
    assert np.isnan(batch.target[3:, 1]).all()  # padding
    for row in range(9, 19):
        np.testing.assert_allclose(batch.target[row - 4, 0], targets_by_hand(one, row, 20), rtol=1e-5)
    for row in range(3):
        np.testing.assert_allclose(batch.target[row, 1], targets_by_hand(one, row, 25), rtol=1e-5)


def test_epochs_differ_and_follow_from_the_seed():
    examples = [example(90, 90)]

    def cuts(epoch, seed):
        return [batch.target.tobytes() for batch in job(examples).batches(epoch, seed)]

    assert cuts(0, 0) == cuts(0, 0)
    assert cuts(0, 0) != cuts(1, 0)
    assert cuts(0, 0) != cuts(0, 1)


@pytest.mark.parametrize("rows", [21, 600, 1200])
def test_validation_is_the_loss_of_one_pass_over_the_rows_held_back(rows):
    """Also where the pass is cut in chunks: the state is carried on."""
    examples = [example(rows, rows - 15), example(12, 9, seed=1), example(6, 6, seed=2)]
    torch.manual_seed(0)
    network = nn.build(SPEC).eval()
    found = job(examples, context=rows).validate(network)
    total, count = 0.0, 0
    for one in examples:
        y, _ = network({"x": torch.from_numpy(one.inputs["x"][:, None])})
        for row in range(one.train_rows - 1, len(one) - 1):
            ahead = targets_by_hand(one, row, len(one))
            error = y[row, 0].detach().numpy().reshape(STEPS, TARGETS) - ahead
            total, count = total + np.nansum(error**2), count + int((~np.isnan(error)).sum())
    assert found == pytest.approx(total / count, rel=1e-4)


def test_nothing_held_back_is_no_validation():
    assert job([example(20, 20)]).validate(nn.build(SPEC)) is None
