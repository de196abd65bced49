"""Text files in blocks of whole lines: decompressed on the way, checked to be UTF-8, never all in memory."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from hiddenstate.errors import DataError

BLOCK_BYTES = 1 << 20
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_LINE_BYTES = 1 << 28
"""A line longer than this is taken for a file that is no text."""

OPENERS = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
UNSUPPORTED = {
    ".zip": "Unpack it first",
    ".zst": "Unpack it first",
    ".7z": "Unpack it first",
    ".tar": "Unpack it first",
    ".tgz": "Unpack it first",
    ".xlsx": "Save the sheet as CSV",
    ".xls": "Save the sheet as CSV",
    ".npy": "Pass numpy.load(path)",
    ".npz": "Pass one of the arrays of numpy.load(path)",
    ".pkl": "Load it where you trust it, and pass the object",
    ".feather": "Pass polars.read_ipc(path)",
    ".arrow": "Pass polars.read_ipc(path)",
}


class Block(NamedTuple):
    """Some whole lines of a file as UTF-8 bytes, and the number of the first of them (from 1)."""

    data: bytes
    first_line: int


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """The bytes of a file, decompressed by its suffix; "-" is standard input.

    Raises:
        DataError: there is no such file, it cannot be read, or it is damaged (also while reading from it).
    """
    suffix = Path(path).suffix.lower()
    if suffix in UNSUPPORTED:
        raise DataError(
            f"a {suffix} file",
            where=path,
            expected="CSV, JSONL, Parquet or text, also as .gz, .xz or .bz2",
            fix=UNSUPPORTED[suffix],
        )
    try:
        if path == "-":
            yield sys.stdin.buffer
            return
        with OPENERS.get(suffix, open)(path, "rb") as file:
            yield cast(BinaryIO, file)
    except FileNotFoundError as error:
        raise DataError("no such file", where=path, fix="Check the path and the folder you are in") from error
    except IsADirectoryError as error:
        raise DataError("a folder, not a file", where=path, expected="a file") from error
    except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError("damaged or truncated compressed file", where=path, got=str(error)) from error
    except OSError as error:
        raise DataError("cannot read the file", where=path, got=error.strerror or str(error)) from error


def blocks(file: BinaryIO, where: str, size: int = BLOCK_BYTES) -> Iterator[Block]:
    """Blocks of whole lines of about ``size`` bytes, without byte-order mark.

    Raises:
        DataError: the bytes are not UTF-8 text (the message names line and byte), or a line has no end.
    """
    data = file.read(size)
    _check_encoding(data, where)
    offset, line = 3 * data.startswith(BYTE_ORDER_MARK), 1
    data = data.removeprefix(BYTE_ORDER_MARK)
    begun: list[bytes] = []  # pieces of a line that has not ended yet
    while data:
        following = file.read(size)
        end = data.rfind(b"\n") + 1 if following else len(data)
        if end:
            block = b"".join([*begun, data[:end]])
            yield _checked(block, where, offset, line)
            offset, line, begun = offset + len(block), line + block.count(b"\n"), []
        begun.append(data[end:])
        if sum(map(len, begun)) > MAX_LINE_BYTES:
            raise DataError("a line without end; is this a text file?", where=f"{where}, line {line}")
        data = following


def _check_encoding(start: bytes, where: str) -> None:
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(
            "UTF-16 text",
            where=where,
            expected="UTF-8",
            fix=f"Convert it: iconv -f UTF-16 -t UTF-8 {where} > new",
        )
    if b"\r" in start and b"\n" not in start:
        raise DataError(
            "lines that end in a carriage return alone",
            where=where,
            expected="line feeds",
            fix=f"Convert it: tr '\\r' '\\n' < {where} > new",
        )


def _checked(block: bytes, where: str, offset: int, line: int) -> Block:
    try:
        block.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            "text that is not UTF-8",
            where=_place(block, error.start, where, offset, line),
            expected="UTF-8",
            got=f"byte 0x{block[error.start]:02x}",
            fix=f"Convert it, for example: iconv -f WINDOWS-1252 -t UTF-8 {where} > new",
        ) from error
    if b"\x00" in block:
        place = _place(block, block.index(b"\x00"), where, offset, line)
        raise DataError("a zero byte; this is no text file", where=place, expected="text")
    return Block(block, line)


def _place(block: bytes, at: int, where: str, offset: int, line: int) -> str:
    breaks = block.count(b"\n", 0, at)
    return f"{where}, line {line + breaks}, byte {offset + at}"


def lines_of(block: bytes) -> list[str]:
    """The lines of a block with their ends; only line feeds end a line."""
    return io.StringIO(block.decode(), newline="\n").readlines()
