"""Texts to learn or to score, as a list of documents."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hiddenstate import data
from hiddenstate.errors import DataError

TABLES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json", ".parquet", ".pq")


def read(source: Any, *, text: str | None = None) -> list[str]:
    """The documents of a source; what happens in one has no influence on the next.

    Args:
        source: the path of a text file (one document), of a folder of ``.txt`` files (a document each, by
            name), or of a table; a list of strings (a document each); a frame or a dict of columns.
        text: the column of a table that holds the documents, one per row.

    Raises:
        DataError: on a file that cannot be read or is not UTF-8, a missing column, or no text at all.
    """
    found = _documents(source, text)
    if not any(found):
        raise DataError("no text", where=_name(source), expected="at least one character")
    return [document for document in found if document]


def _documents(source: Any, text: str | None) -> list[str]:
    if isinstance(source, (list, tuple)):
        if wrong := [item for item in source if not isinstance(item, str)]:
            raise DataError("a document that is no string", got=type(wrong[0]).__name__, expected="strings")
        return list(source)
    if isinstance(source, (str, os.PathLike)):
        return _from_path(source, text)
    return _column(source, text)


def _from_path(source: str | os.PathLike[str], text: str | None) -> list[str]:
    if isinstance(source, str) and "\n" in source:
        raise DataError("text where a path was expected", got=repr(source[:40]), fix="Pass a list: [text]")
    path = Path(source)
    if path.is_dir():
        files = sorted(path.glob("*.txt"))
        if not files:
            raise DataError("no .txt files", where=path, expected="a folder of text files")
        return [data.read_text(file) for file in files]
    if text is not None or any(suffix in TABLES for suffix in path.suffixes[-2:]):
        return _column(source, text)
    return [data.read_text(source)]


def _column(source: Any, text: str | None) -> list[str]:
    table = data.read(source)
    names = [text] if text else [name for name in table.names if table.kind(name) == "text"]
    if len(names) != 1:
        raise DataError(
            "which column holds the text?",
            where=table.where,
            expected="one column of text",
            got=names,
            fix="Name it: text=",
        )
    return [document or "" for document in table.text(names[0])]


def _name(source: Any) -> str:
    return str(source) if isinstance(source, (str, os.PathLike)) else "the documents"
