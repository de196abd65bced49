"""Results of finished trainings in a JSONL file, so that a long measurement goes on where it was stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hiddenstate.errors import DataError


class Shelf:
    """Results by the settings that led to them, kept in a file if one is given.

    Every result is a line ``{"key": ..., "outcome": ...}`` that is forced to the disk before ``add`` returns.
    A line that a kill cut off is dropped when the file is opened again.

    Args:
        path: the file; made when it does not exist. None: nothing is kept.

    Raises:
        DataError: the file cannot be read, or holds something else.

    Example:
        >>> shelf = Shelf(None)
        >>> shelf.add({"cell": "gru"}, {"score": 1.0})
        >>> {"cell": "gru"} in shelf, shelf[{"cell": "gru"}]
        (True, {'score': 1.0})
    """

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self._path = None if path is None else Path(path)
        self._found: dict[str, dict[str, Any]] = {}
        if self._path is not None:
            self._read(self._path)

    def __contains__(self, key: Mapping[str, Any]) -> bool:
        return _text(key) in self._found

    def __getitem__(self, key: Mapping[str, Any]) -> dict[str, Any]:
        return self._found[_text(key)]

    def add(self, key: Mapping[str, Any], outcome: Mapping[str, Any]) -> None:
        """Keep a result.

        Raises:
            DataError: the file cannot be written.
        """
        self._found[_text(key)] = dict(outcome)
        if self._path is None:
            return
        try:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"key": key, "outcome": outcome}) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DataError("cannot write the file", where=self._path, got=error.strerror) from error

    def _read(self, path: Path) -> None:
        try:
            with open(path, "ab+") as file:  # also tells at once whether it can be written
                file.seek(0)
                content = file.read()
                whole = content.rfind(b"\n") + 1
                if whole < len(content) and content[whole:].startswith(b'{"key"'):
                    file.truncate(whole)
                    content = content[:whole]
        except OSError as error:
            raise DataError("cannot use the file", where=path, got=error.strerror) from error
        for number, line in enumerate(content.splitlines(), start=1):
            try:
                entry = json.loads(line)
                self._found[_text(entry["key"])] = dict(entry["outcome"])
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    "not a file of kept results",
                    where=f"{path}, line {number}",
                    expected='{"key": ..., "outcome": ...}',
                    got=line[:60].decode(errors="replace"),
                    fix="Give another file, or delete this one",
                ) from error


def _text(key: Mapping[str, Any]) -> str:
    return json.dumps(key, sort_keys=True)
