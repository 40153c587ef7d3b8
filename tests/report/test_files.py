"""Files of reports: tried before the run, and written whole or not at all."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from pytest_sessionguard.report import files
from pytest_sessionguard.report.files import try_file, write_file


def test_write(tmp_path: Path) -> None:
    """A file is written with its folders, in UTF-8, with plain ends of lines, for all to read."""
    path = tmp_path / "a" / "b" / "x.json"
    write_file(str(path), "ü\n")
    assert "ü\n".encode() == path.read_bytes()
    umask = os.umask(0)
    os.umask(umask)
    assert 0o666 & ~umask == stat.S_IMODE(path.stat().st_mode)
    assert [path] == list(path.parent.iterdir())


def test_old_file_stays_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full leaves the old file whole, and no draft."""
    path = tmp_path / "x.json"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write_file(str(path), "new")
    assert "old" == path.read_text()
    assert [path] == list(tmp_path.iterdir())


def test_draft_goes_with_what_cannot_be_written(tmp_path: Path) -> None:
    """A text that UTF-8 cannot hold leaves nothing behind."""
    with pytest.raises(UnicodeEncodeError):
        write_file(str(tmp_path / "x.json"), "a\udc80")
    assert [] == list(tmp_path.iterdir())


def test_link(tmp_path: Path) -> None:
    """A link stays a link; what it leads to is written."""
    target, link = tmp_path / "real" / "x.json", tmp_path / "x.json"
    link.symlink_to(target)
    try_file(str(link))
    write_file(str(link), "new")
    assert link.is_symlink()
    assert "new" == target.read_text()


def test_device(tmp_path: Path) -> None:
    """A device or a pipe is written to, and not replaced."""
    try_file("/dev/null")
    write_file("/dev/null", "x")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    write_file(str(pipe), "x")
    reader.join(10)
    assert ["x"] == got


def test_try(tmp_path: Path) -> None:
    """To try a file makes its folder and touches nothing else."""
    path = tmp_path / "a" / "x.json"
    try_file(str(path))
    assert [] == list(path.parent.iterdir())
    path.write_text("old")
    try_file(str(path))
    assert "old" == path.read_text()


def test_try_a_folder(tmp_path: Path) -> None:
    """A folder is no file."""
    with pytest.raises(IsADirectoryError, match="is a folder"):
        try_file(str(tmp_path))


def test_try_below_a_file(tmp_path: Path) -> None:
    """Below a file there is no folder to be made."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        try_file(str(tmp_path / "file" / "x.json"))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_try_without_permission(tmp_path: Path) -> None:
    """A folder that may not be written to is refused."""
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        try_file(str(tmp_path / "x.json"))
