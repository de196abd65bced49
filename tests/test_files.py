"""Writing a file: the whole of it or nothing, and never at the cost of what was there."""

import errno
import os

import pytest

from hiddenstate import files
from hiddenstate.errors import BundleError


def test_a_file_is_written_and_replaced(tmp_path):
    for data in (b"old", b"", b"new"):
        files.write_atomic(tmp_path / "file", data)
        assert (tmp_path / "file").read_bytes() == data
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_at_any_step_leaves_the_old_file(tmp_path, monkeypatch, step):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "file").write_bytes(b"old")
    with monkeypatch.context() as disk:
        disk.setattr(os, step, full)
        with pytest.raises(BundleError, match=r"cannot write.*file.*No space left.*free space"):
            files.write_atomic(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_the_bytes_are_on_the_disk_before_the_name_changes(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("fsync"), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda *names: (order.append("replace"), replace(*names)))
    files.write_atomic(tmp_path / "file", b"new")
    assert order == ["fsync", "replace", "fsync"]  # the file, its name, the folder


def test_a_link_is_followed(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    files.write_atomic(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"


def test_others_may_read_it_as_any_new_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    files.write_atomic(tmp_path / "file", b"")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("name", ["no such folder/file", ".", "a\0b", "/dev/null"])
def test_places_that_cannot_be_written(tmp_path, name):
    with pytest.raises(BundleError, match="cannot write"):
        files.write_atomic(tmp_path / name, b"new")
    assert os.listdir(tmp_path) == []
