"""Writing: what is written is read back, and a file is there whole or not at all."""

import datetime as dt
import io
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hiddenstate import data
from hiddenstate.errors import DataError, HiddenStateError, OptionError

NUMBERS = st.floats(allow_infinity=False) | st.none()
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r\n"), min_size=1).filter(str.strip)
STAMPS = st.datetimes(min_value=dt.datetime(1000, 1, 1))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_what_is_written_is_read_back_exactly(tmp_path_factory, suffix):
    path = tmp_path_factory.mktemp("written") / f"some{suffix}"

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.tuples(NUMBERS, TEXT, STAMPS), min_size=1, max_size=9))
    def check(rows):
        numbers, texts, stamps = zip(*rows, strict=True)
        stamps = np.array(stamps, "datetime64[us]")
        columns = {"x": np.array(numbers, np.float64), "text, or so": np.array(texts, object), "t": stamps}
        data.write(columns, path)
        table = data.read(path)
        np.testing.assert_array_equal(table.numbers("x"), columns["x"])
        assert table.text("text, or so").tolist() == list(texts)
        np.testing.assert_array_equal(table.times("t"), stamps)

    check()


def test_one_column_keeps_its_missing_values(tmp_path):
    data.write({"x": [1.0, None, 3.0, None]}, tmp_path / "a.csv")
    np.testing.assert_array_equal(data.read(tmp_path / "a.csv").numbers("x"), [1, np.nan, 3, np.nan])


def test_stamps_have_no_needless_digits(capsys):
    def written(*stamps):
        data.write({"t": np.array(stamps, "datetime64[us]")})
        return capsys.readouterr().out.splitlines()[1:]

    assert written("2024-01-01", "2024-01-02") == ["2024-01-01", "2024-01-02"]
    assert written("2024-01-01", "2024-01-02T05:00") == ["2024-01-01T00:00:00", "2024-01-02T05:00:00"]
    assert written("2024-01-01T00:00:00.25") == ["2024-01-01T00:00:00.250000"]


def test_standard_output(capsys, monkeypatch):
    columns = {"x": np.array([0.1, np.nan], np.float32), "y": ["a", None]}
    data.write(columns)
    assert capsys.readouterr().out == "x,y\n0.1,a\n,\n"
    data.write(columns, "-", format="jsonl")
    assert capsys.readouterr().out == '{"x":0.1,"y":"a"}\n{"x":null,"y":null}\n'
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", out)
    data.write(iter([columns, columns]), format="parquet")
    assert pl.read_parquet(out.buffer.getvalue()).height == 4


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_parts_are_written_as_they_come(tmp_path, suffix):
    parts = ({"i": np.arange(at, at + 10)} for at in range(0, 100, 10))
    data.write(parts, tmp_path / f"some{suffix}")
    assert data.read(tmp_path / f"some{suffix}").numbers("i").tolist() == list(range(100))
    assert [path.name for path in tmp_path.iterdir()] == [f"some{suffix}"]
    data.write(data.read_chunks(tmp_path / f"some{suffix}", rows=7), tmp_path / "copy.csv")
    assert data.read(tmp_path / "copy.csv").numbers("i").tolist() == list(range(100))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_failure_midway_leaves_the_old_file(tmp_path, suffix):
    path = tmp_path / f"some{suffix}"
    data.write({"x": [1.0]}, path)
    before = path.read_bytes()

    def parts():
        yield {"x": [2.0]}
        raise DataError("something else went wrong")

    with pytest.raises(DataError, match="something else"):
        data.write(parts(), path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_full_disk_leaves_the_old_file(tmp_path, suffix):
    """The limit on file size makes the system refuse a write in the middle, as a full disk does."""
    path = tmp_path / f"some{suffix}"
    data.write({"x": [1.0]}, path)
    before = path.read_bytes()
    code = f"""
import resource, signal
import numpy as np
from hiddenstate import data
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    data.write(({{"x": np.random.default_rng(i).random(20_000)}} for i in range(3)), {str(path)!r})
except data.write.__globals__["DataError"] as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"cannot write the file (in {path}): got ")
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_wrong_targets(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    for path in (tmp_path / "none" / "a.csv", tmp_path / "folder.csv", "/dev/full/a.csv", "a\0.csv"):
        with pytest.raises(DataError, match="cannot write the file"):
            data.write({"x": [1]}, path)
    for path in (tmp_path / "a.xlsx", tmp_path / "a", tmp_path / "a.txt", tmp_path / "a.csv.gz"):
        with pytest.raises(OptionError, match="cannot write this format"):
            data.write({"x": [1]}, path)
    with pytest.raises(DataError, match=r"column of lists cannot be written as CSV \(in column 'x'\)"):
        data.write({"x": [[1.0], [2.0]]}, tmp_path / "a.csv")
    with pytest.raises(HiddenStateError, match="unequal length"):
        data.write({"x": [1], "y": [1, 2]}, tmp_path / "a.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.csv"]


def test_a_reader_that_goes_away_is_no_traceback():
    code = "from hiddenstate import data; data.write(({'x': range(9999)} for _ in range(99)))"
    done = subprocess.run(
        ["bash", "-c", f'{sys.executable} -c "{code}" | head -1'], capture_output=True, text=True, check=False
    )
    assert done.stdout == "x\n"
    assert "cannot write to standard output" in done.stderr
