"""A file read in pieces gives the bits of the same file read at once."""

import numpy as np
import pytest

from hiddenstate import data
from hiddenstate.errors import DataError
from hiddenstate.tasks.forecast import large
from tasks.test_forecast_one_answer import CASES

NAN = float("nan")


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(large, "LARGE_BYTES", 1)
    monkeypatch.setattr(large, "ROWS", 7)


def file_of(case, folder):
    """The fresh rows, with three more that are known ahead where the case has such columns."""
    table = {name: list(values) for name, values in case.fresh.items()}
    if case.known:
        key = case.options.get("id")
        ids = np.array(table[key] if key else [""] * len(table["y"]))
        ends = [int(np.flatnonzero(ids == id)[-1]) for id in dict.fromkeys(ids.tolist())]
        for target in case.fit().target_names_:
            for end in ends:
                table[target][end - 2 : end + 1] = [NAN] * 3
    path = folder / "rows.parquet"
    data.write(table, path)
    return path


@pytest.mark.parametrize("name", CASES)
def test_pieces_give_the_bits_of_the_whole(name, tmp_path, small_pieces):
    model = CASES[name].fit()
    path = file_of(CASES[name], tmp_path)
    whole, pieces = model.predict(data.read(path)), model.predict(path)
    assert whole.names == pieces.names
    for column in whole.names:
        np.testing.assert_array_equal(whole.column(column), pieces.column(column))


def test_time_must_run_on_between_pieces(tmp_path, small_pieces):
    case = CASES["covariates"]
    table = {name: values[:40][::-1] for name, values in case.fresh.items()}
    data.write(table, tmp_path / "rows.csv")
    with pytest.raises(DataError, match=r"time stamps run back.*read in pieces: sort it"):
        case.fit().predict(tmp_path / "rows.csv")
