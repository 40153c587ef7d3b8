"""An open server, and what a door gets and gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Protocol
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from pytest_sessionguard.postgres.errors import Abandoned, Refusal
from pytest_sessionguard.postgres.home import Home
from pytest_sessionguard.postgres.settings import PostgresSettings

# What a URL may also name among its options.
_PARTS = ("user", "password", "host", "port", "dbname")


@dataclass(frozen=True)
class Address:
    """Hold what a client needs to connect; its repr has no password.

    Args:
        host: a name, a number, or the folder of a Unix socket.
        port: the port.
        user: the role.
        password: its password; empty where there is none.
        database: the database.
        options: the further options of a URL, as libpq knows them.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def read(cls, url: str) -> Address:
        """Read a URL.

        Args:
            url: one whose scheme and port were checked by the settings.

        Returns:
            Its parts, with libpq's defaults for those that it lacks.
        """
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        named = {name: options.pop(name, "") for name in _PARTS}
        user = unquote(parts.username or "") or named["user"] or _login()
        password = unquote(parts.password or "") or named["password"]
        host = unquote(parts.hostname or "") or named["host"] or "localhost"
        port = parts.port or int(named["port"] or 5432)
        database = unquote(parts.path.lstrip("/")) or named["dbname"] or user
        return cls(host, port, user, password, database, tuple(options.items()))

    def of(self, database: str) -> Address:
        """Return the address of another database of the same server."""
        return Address(self.host, self.port, self.user, self.password, database, self.options)

    @property
    def place(self) -> str:
        """Return who is meant by this address, for humans: no password."""
        return f"{self.user}@{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Return the URL, with its password."""
        login = quote(self.user, safe="") + (
            f":{quote(self.password, safe='')}" if self.password else ""
        )
        options = list(self.options)
        if self.host.startswith("/"):
            # A folder cannot stand where the host does.
            where = f":{self.port}"
            options.insert(0, ("host", self.host))
        else:
            where = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        query = f"?{urlencode(options, quote_via=quote)}" if options else ""
        return f"postgresql://{login}@{where}/{quote(self.database, safe='')}{query}"

    def hide(self, text: str) -> str:
        """Take the password out of a text that came from elsewhere.

        Args:
            text: the message of a driver or a server.

        Returns:
            The text with `***` in its place. A password that is also the name of the user, host or
            database cannot be told from it, and is left where a message names that.
        """
        for secret in {self.password, quote(self.password, safe="")}:
            if secret and secret not in (self.user, self.host, self.database):
                text = text.replace(secret, "***")
        return text

    def pack(self) -> dict[str, Any]:
        """Return plain JSON types, for the wire. With the password."""
        return {**vars(self), "options": [list(option) for option in self.options]}

    @classmethod
    def unpack(cls, packed: dict[str, Any]) -> Address:
        """Return what was packed."""
        return cls(
            **{**packed, "options": tuple((name, value) for name, value in packed["options"])}
        )


def _login() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "postgres"


@dataclass
class Server:
    """Hold an open server.

    Args:
        door: through which it was reached.
        address: of the database from which others are made.
        stop: stop it, where it is ours; called once.
        ours: whether it goes with the keeper, and all its databases with it.
    """

    door: str
    address: Address
    stop: Callable[[], None]
    ours: bool = True
    version: str = ""


@dataclass(frozen=True)
class Site:
    """Hold what a door needs of its keeper.

    Args:
        home: the keeper's folder.
        say: tell the waiting clients of the progress; free of passwords.
        left: whether the last client has gone meanwhile.
    """

    home: Home
    say: Callable[[str], None]
    left: Callable[[], bool]

    def go_on(self) -> None:
        """Return if anybody still waits.

        Raises:
            Abandoned: if nobody does.
        """
        if self.left():
            raise Abandoned("the last client left")


class Door(Protocol):
    """Describe the module of a door."""

    def look(self, settings: PostgresSettings) -> Refusal | None:
        """Tell cheaply, opening and importing nothing, why the door cannot open; None if it may."""

    def open_server(self, settings: PostgresSettings, site: Site) -> Server:
        """Open it, or raise DoorError, or Abandoned."""


def as_door(module: ModuleType) -> Door:
    """Return a module as the door that it is."""
    door: Any = module
    return door  # type: ignore[no-any-return]
