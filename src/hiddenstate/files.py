"""Writing a file so that nothing written before is ever lost."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .errors import BundleError, HiddenStateError


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace the file at ``path`` by ``data``, completely or not at all.

    The bytes go to a temporary file beside it, are forced to the disk, and take the name in one step: a
    crash, a full disk or a kill at any moment leaves the file that was there before. A link is followed.

    Raises:
        BundleError: when the file cannot be written; the old one is untouched and no temporary file is left.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_atomic(folder / "a.bin", b"new")
        >>> (folder / "a.bin").read_bytes()
        b'new'
    """
    with replacing(path, error=BundleError) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], *, error: type[HiddenStateError]) -> Iterator[BinaryIO]:
    """A file to write into that takes the name ``path`` when the block ends well, as `write_atomic` says.

    Raises:
        HiddenStateError: as ``error``, when the file cannot be written.
    """
    try:
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():  # a rename would replace a device file like /dev/full
            raise OSError("a folder or a device stands there")
        with _temporary_beside(target) as file:
            yield file
        _sync_folder(target.parent)
    except HiddenStateError:
        raise
    except (OSError, ValueError) as cause:  # ValueError: a null byte in the path
        raise error(
            "cannot write the file",
            where=path,
            got=getattr(cause, "strerror", None) or str(cause),
            fix="Check that the folder exists, can be written to and has free space",
        ) from cause


@contextlib.contextmanager
def _temporary_beside(target: Path) -> Iterator[BinaryIO]:
    """A file that replaces ``target`` when the block ends well and is gone when it does not."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _sync_folder(folder: Path) -> None:
    """The new name itself must survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
