"""The door of a given URL: somebody's server, on which we make and drop databases of our own."""

from __future__ import annotations

from pytest_sessionguard.postgres.databases import drop_database, find_driver, read_version
from pytest_sessionguard.postgres.errors import DatabaseError, DoorError, Refusal
from pytest_sessionguard.postgres.home import dead_homes, noted_databases, remove
from pytest_sessionguard.postgres.server import Address, Server, Site
from pytest_sessionguard.postgres.settings import PostgresSettings, mask

_MEND = "start that server, or correct --sessionguard-postgres=URL"


def look(settings: PostgresSettings) -> Refusal | None:
    """Tell whether there is a URL; whether its server answers is seen at opening."""
    if settings.url is None:
        return Refusal("given", "no URL was given", "--sessionguard-postgres=URL")
    return None


def open_server(settings: PostgresSettings, site: Site) -> Server:
    """Connect to the given server once, and drop what a killed run of ours left on it.

    Args:
        settings: with the URL.
        site: the keeper's.

    Returns:
        The server, which stays when we go.

    Raises:
        DoorError: if it refuses the connection.
    """
    url = settings.url or ""
    address = Address.read(url)
    site.say(f"connecting to {mask(url)}")
    run = find_driver()
    try:
        read_version(run, address)
    except DatabaseError as error:
        raise DoorError(f"{mask(url)} refuses the connection: {error}", _MEND) from None
    for home in dead_homes():
        names = noted_databases(home, address.place)
        try:
            for name in names:
                drop_database(run, address, name)
        except DatabaseError as error:
            site.say(
                f"a killed run left databases on {address.place}, which cannot be dropped: {error}"
            )
        else:
            if names:
                remove(home.path)
    return Server("given", address, lambda: None, ours=False)
