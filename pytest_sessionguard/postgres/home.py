"""The keeper's folder: short of name, provably dead when it is dead, and swept then."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_sessionguard.clock import Clock
from pytest_sessionguard.postgres.account import Account, reaches
from pytest_sessionguard.postgres.lock import Lock

PREFIX = "sessionguard-"
_UNLOCKED_PREFIX = ".sessionguard-new-"
# sockaddr_un.sun_path holds 108 bytes on Linux and 104 on macOS and the BSDs, its closing zero
# among them.
_SOCKET_PATH_LIMIT = 100
_DAY = 86400.0


@dataclass(frozen=True)
class Home:
    """Hold the keeper's folder.

    Args:
        path: the folder; others may pass through it (not look) only where the server is another
            user's.
        lock: what is held as long as the keeper lives.
    """

    path: Path
    lock: Lock

    @property
    def socket(self) -> Path:
        """Return where clients knock, in a folder that only we can enter."""
        return self.path / "door" / "s"

    @property
    def log(self) -> Path:
        """Return where the keeper writes what it cannot say to a client."""
        return self.path / "door" / "log"

    @property
    def data(self) -> Path:
        """Return the data folder of a server."""
        return self.path / "data"

    def clear(self) -> None:
        """Remove what a door that failed left here."""
        for path in (self.data, self.path / "pg"):
            shutil.rmtree(path, ignore_errors=True)

    @property
    def databases(self) -> Path:
        """Return the note of what we made on a server that is not ours."""
        return self.path / "door" / "databases.json"


def make_home(account: Account | None) -> Home:
    """Make a keeper's folder and lock it.

    Args:
        account: who must be able to reach a folder inside, if not we.

    Returns:
        The folder, under the temporary folder, or under a system's one where that name is too long
        for a socket or cannot be reached by that user.
    """
    base = next(
        (folder for folder in temporary_folders() if _suits(folder, account)),
        Path(tempfile.gettempdir()),
    )
    fresh = Path(tempfile.mkdtemp(prefix=_UNLOCKED_PREFIX, dir=base))
    # Locked before it gets the name that others sweep: at no time does it look dead while its
    # keeper lives.
    lock = Lock(fresh / "alive")
    lock.take()
    path = base / (PREFIX + secrets.token_hex(4))
    os.rename(fresh, path)
    lock.path = path / "alive"
    (path / "door").mkdir(mode=0o700)
    if account is not None:
        os.chmod(path, 0o711)
    return Home(path, lock)


def temporary_folders() -> Iterator[Path]:
    """Yield the folders in which a keeper may have its own, the user's choice first."""
    seen = set()
    for name in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        folder = Path(name)
        if folder not in seen and folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
            seen.add(folder)
            yield folder


def _suits(folder: Path, account: Account | None) -> bool:
    length = len(os.fsencode(folder / (PREFIX + "12345678") / "door" / "s"))
    return length <= _SOCKET_PATH_LIMIT and (account is None or reaches(account, folder))


def is_alive(path: Path) -> bool:
    """Tell whether a keeper's folder still has its keeper.

    Args:
        path: the folder.

    Returns:
        False if it has gone or nobody holds its lock.
    """
    lock = Lock(path / "alive")
    try:
        if not lock.take(create=False):
            return True
    except FileNotFoundError:
        return False
    except OSError:
        return True  # Not ours to judge.
    lock.release()
    return False


@contextmanager
def _claimed(path: Path) -> Iterator[bool]:
    lock = Lock(path / "alive")
    try:
        taken = lock.take(create=False)
    except OSError:
        taken = False
    try:
        yield taken
    finally:
        lock.release()


def dead_homes() -> Iterator[Home]:
    """Yield the folders of our user whose keepers are dead, each locked while the caller has it."""
    for base in temporary_folders():
        for path in sorted(base.glob(PREFIX + "[0-9a-f]" * 8)):
            if _is_ours(path):
                with _claimed(path) as taken:
                    if taken:
                        yield Home(path, Lock(path / "alive"))


def _is_ours(path: Path) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return (
        (not hasattr(os, "getuid") or found.st_uid == os.getuid())
        and os.path.isdir(path)
        and not path.is_symlink()
    )


def sweep() -> None:
    """Remove what dead keepers of our user left: servers first, then folders.

    A folder that notes databases on somebody's server is left for a run on that server, for a week.
    """
    for home in dead_homes():
        if not home.databases.exists() or Clock.time() - _modified(home.databases) > 7 * _DAY:
            remove(home.path)
    for base in temporary_folders():
        for path in base.glob(_UNLOCKED_PREFIX + "*"):
            if _is_ours(path) and Clock.time() - _modified(path) > _DAY:
                remove(path)


def _modified(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return Clock.time()


def sweep_one(path: Path) -> None:
    """Remove the folder of a keeper that has ended, if it is there still and owes no database.

    Args:
        path: the folder.
    """
    end = Clock.monotonic() + 2
    while _is_ours(path):
        with _claimed(path) as taken:
            if taken:
                if not (path / "door" / "databases.json").exists():
                    remove(path)
                return
        # The system closes the files of a killed process one after the other, its lock maybe last.
        if Clock.monotonic() > end:
            return
        Clock.sleep(0.02)


def remove(path: Path) -> None:
    """Remove a keeper's folder, and stop the server that may still run in it.

    Args:
        path: the folder, whose lock we hold or whose keeper we are.
    """
    _stop_server(path / "data")
    # A last process of the server, or of a killed initdb, may write while the folder is emptied.
    end = Clock.monotonic() + 10
    while path.exists() and Clock.monotonic() < end:
        # The lock's file last: killed half way, we leave what the next sweep knows for dead.
        rest = [child for child in path.iterdir() if child.name != "alive"]
        for child in rest:
            if child.is_dir() and not child.is_symlink():
                shutil.rmtree(child, ignore_errors=True)
            else:
                child.unlink(missing_ok=True)
        if any(child.exists() for child in rest):
            Clock.sleep(0.05)
        else:
            shutil.rmtree(path, ignore_errors=True)


def _stop_server(data: Path) -> None:
    if sys.platform == "win32":
        return
    try:
        pid = int((data / "postmaster.pid").read_text(errors="replace").split("\n", 1)[0])
    except (OSError, ValueError):
        return
    for number in (signal.SIGQUIT, signal.SIGKILL):
        end = Clock.monotonic() + 5
        # By its command line, which names the data folder: the number alone may be another
        # process's by now.
        while str(data) in _command_line(pid) and Clock.monotonic() < end:
            with suppress(OSError):
                os.kill(pid, number)
            Clock.sleep(0.05)


def _command_line(pid: int) -> str:
    if Path("/proc/self/cmdline").exists():
        try:
            return (
                Path(f"/proc/{pid}/cmdline")
                .read_bytes()
                .replace(b"\0", b" ")
                .decode(errors="replace")
            )
        except OSError:
            return ""
    try:
        listed = subprocess.run(
            ["ps", "-o", "args=", "-p", str(pid)],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return listed.stdout


def note_databases(home: Home, server: str, names: set[str]) -> None:
    """Write down what we made on a server that is not ours.

    Args:
        home: the keeper's folder.
        server: the server, without a password.
        names: the databases; where there are none, the note goes.
    """
    if not names:
        home.databases.unlink(missing_ok=True)
        return
    fresh = home.databases.with_suffix(".new")
    fresh.write_text(json.dumps({"server": server, "names": sorted(names)}))
    os.replace(fresh, home.databases)


def noted_databases(home: Home, server: str) -> list[str]:
    """Read what a dead keeper left on a server.

    Args:
        home: the folder of the dead.
        server: the server, as it was noted.

    Returns:
        The databases; none if the note is of another server.
    """
    try:
        note = json.loads(home.databases.read_text())
    except (OSError, ValueError):
        return []
    names = note.get("names", []) if note.get("server") == server else []
    return [name for name in names if isinstance(name, str) and name.startswith("sessionguard_")]
