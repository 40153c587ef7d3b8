"""The door of the binaries that the system has: on PATH, or where distributions keep them."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from pytest_sessionguard.postgres.account import pick_account, reaches
from pytest_sessionguard.postgres.cluster import open_cluster
from pytest_sessionguard.postgres.errors import DoorError, Refusal
from pytest_sessionguard.postgres.server import Server, Site
from pytest_sessionguard.postgres.settings import PostgresSettings

# Debian and Ubuntu, Red Hat's PGDG packages, Homebrew on both kinds of Macs.
_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)
_MEND = "apt install postgresql (macOS: brew install postgresql@17)"


def look(settings: PostgresSettings) -> Refusal | None:
    """Tell whether both binaries are there."""
    if sys.platform == "win32":
        return Refusal("path", "it is not made for Windows", "start Docker")
    try:
        pick_account()
    except DoorError as error:
        return Refusal("path", error.reason, error.mend)
    if find_binaries() is None:
        return Refusal(
            "path",
            "no folder of PATH or of /usr/lib/postgresql/*/bin has both initdb and postgres",
            _MEND,
        )
    return None


def find_binaries() -> Path | None:
    """Find the folder that has both `initdb` and `postgres`.

    Returns:
        The first on PATH, else the newest version among the places where distributions keep them,
        else None.
    """
    return next(
        (
            folder
            for folder in _folders()
            if all((folder / name).is_file() for name in ("initdb", "postgres"))
        ),
        None,
    )


def _folders() -> Iterator[Path]:
    found = shutil.which("initdb")
    if found:
        # Debian-like links on PATH lead to the real folder, beside which initdb looks for its share
        # files.
        yield Path(found).resolve().parent
        yield Path(found).parent
    for place in _PLACES:
        yield from sorted(Path("/").glob(place.lstrip("/")), key=_version, reverse=True)


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", folder.parent.name))


def open_server(settings: PostgresSettings, site: Site) -> Server:
    """Start a server from the system's binaries.

    Args:
        settings: the settings.
        site: the keeper's.

    Returns:
        The server.

    Raises:
        DoorError: if it does not start.
        Abandoned: if the last client left meanwhile.
    """
    binaries = find_binaries()
    account = pick_account()
    if binaries is None:
        raise DoorError("initdb and postgres have gone", _MEND)
    if account is not None and not reaches(account, binaries / "initdb"):
        raise DoorError(
            f"user {account.name}, who runs it for root, cannot reach {binaries}",
            f"chmod a+rx {binaries}",
        )
    return open_cluster("path", binaries, account, site)
