"""Damaged files of every format: a table, or an error of the project; never anything else."""

import gzip
import io
import random

import polars as pl
import pytest

from hiddenstate import data
from hiddenstate.errors import HiddenStateError

PIECES = [
    b",",
    b";",
    b'"',
    b"\n",
    b"\r",
    b"\t",
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"{",
    b"[[",
    b"null",
    b"inf",
    b"-",
    b"1e999",
]


def parquet():
    out = io.BytesIO()
    frame = {"a": [i / 7 for i in range(300)], "b": ["x y"] * 300, "t": list(range(300))}
    pl.DataFrame(frame).write_parquet(out, compression="uncompressed")
    return out.getvalue()


FILES = {
    ".csv": b'day,x,"a name"\n2024-01-01,1.5,"u, v"\n2024-01-02,,w\n2024-01-04T00:00Z,true,w\n',
    ".jsonl": b'{"a": 1, "b": [1, 2], "c": "x"}\n{"a": null, "b": []}\n{"a": true}\n',
    ".json": b'{"a": [1, 2.5, null], "b": ["x", true, 3]}',
    ".txt": "first line\ngröße\n\nlast".encode(),
    ".csv.gz": gzip.compress(b"a,b\n1,2\n" * 50),
    ".parquet": parquet(),
}


def damaged(content, chance):
    content = bytearray(content)
    for _ in range(chance.randint(1, 5)):
        at = chance.randrange(len(content) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            content[at : at + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            content[at:at] = chance.choice(PIECES)
        elif kind == 2:
            del content[at : at + chance.randint(1, 9)]
        else:
            del content[at:]
    return bytes(content)


def refusals(path):
    """Everything that reads values, on every column of a file; the errors of the project that came of it."""
    errors = []
    try:
        table = data.read(path)
    except HiddenStateError as error:
        return [error]
    for name in table.names:
        for look in (table.kind, table.numbers, table.text, table.times, table.column, table.sequences):
            try:
                look(name)
            except HiddenStateError as error:
                errors.append(error)
    return errors


@pytest.mark.parametrize("suffix", FILES)
def test_damaged_files(tmp_path, suffix):
    path = tmp_path / f"some{suffix}"
    path.write_bytes(FILES[suffix])
    assert len(data.read(path)) > 0
    chance = random.Random(suffix)
    errors = []
    for _ in range(150):
        path.write_bytes(damaged(FILES[suffix], chance))
        errors += refusals(path)
    assert len(errors) > 20
    assert all(str(path) in str(error) for error in errors)  # every message says where
