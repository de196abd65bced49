"""Writing a file so that nothing written before is ever lost."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from .errors import BundleError


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
    try:
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():  # a rename would replace a device file like /dev/full
            raise OSError("a folder or a device stands there")
        _replace(target, data)
        _sync_folder(target.parent)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise BundleError(
            "cannot write the file",
            where=path,
            got=getattr(error, "strerror", None) or str(error),
            fix="Check that the folder exists, can be written to and has free space",
        ) from error


def _replace(target: Path, data: bytes) -> None:
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        _write_synced(temporary, data)
        os.replace(temporary, target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _write_synced(path: Path, data: bytes) -> None:
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """The new name itself must survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
