"""The user that runs the server: ourselves, or somebody else as Postgres refuses to run as root."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from pytest_sessionguard.postgres.errors import DoorError

_NAMES = ("nobody", "postgres", "daemon")


@dataclass(frozen=True)
class Account:
    """Name a user of this system.

    Args:
        name: the name of the user.
        uid: its number.
        gid: the number of its group.
    """

    name: str
    uid: int
    gid: int


def is_root() -> bool:
    """Return whether this process runs as root."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def pick_account() -> Account | None:
    """Choose whom to run the server as.

    Returns:
        None if this process is not root (the server then runs as we do), else an unprivileged user
        that has a name: initdb looks its user up and gives up on a bare number.

    Raises:
        DoorError: if there is no such user, or we have no name ourselves.
    """
    if not hasattr(os, "geteuid"):
        return None
    import pwd

    if not is_root():
        uid = os.geteuid()
        try:
            pwd.getpwuid(uid)
        except KeyError:
            raise DoorError(
                f"the user {uid} has no name on this system, without which initdb does not run",
                f"useradd --uid {uid} somebody, or run as a user that has one",
            ) from None
        return None
    for name in _NAMES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise DoorError(
        f"this is root, for whom Postgres does not run, and there is no user {' or '.join(_NAMES)}",
        "run as a user that is not root",
    )


def reaches(account: Account, path: Path) -> bool:
    """Judge whether a user can read a file or enter a folder, by all mode bits on the way.

    Args:
        account: the user.
        path: an existing file or folder.

    Returns:
        Whether it can; False where the path does not exist.
    """
    try:
        real = path.resolve(strict=True)
        return _allows(account, real, folder=real.is_dir()) and all(
            _allows(account, parent, folder=True) for parent in real.parents
        )
    except OSError:
        return False


def _allows(account: Account, path: Path, *, folder: bool) -> bool:
    found = path.stat()
    if found.st_uid == account.uid:
        need = stat.S_IXUSR if folder else stat.S_IRUSR
    elif found.st_gid == account.gid:
        need = stat.S_IXGRP if folder else stat.S_IRGRP
    else:
        need = stat.S_IXOTH if folder else stat.S_IROTH
    return bool(found.st_mode & need)
