"""What a client holds: its database, and the connection to the keeper that is its life."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_sessionguard.postgres.environment import countermand
from pytest_sessionguard.postgres.errors import KeeperError, PostgresError
from pytest_sessionguard.postgres.home import sweep_one
from pytest_sessionguard.postgres.server import Address
from pytest_sessionguard.postgres.wire import Channel

if TYPE_CHECKING:
    from sqlalchemy import URL

_LEAVE_PATIENCE = 60.0
# Options of libpq which asyncpg does not take, and without which the connection is the same.
_LIBPQ_ONLY = frozenset(
    {
        "application_name",
        "channel_binding",
        "client_encoding",
        "connect_timeout",
        "fallback_application_name",
        "gssencmode",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "sslcompression",
        "sslsni",
        "tcp_user_timeout",
    }
)


class Postgres:
    """Hold this client's database on the run's server.

    Args:
        channel: the connection to the keeper.
        door: through which the server was reached.
        refused: why the doors before it were not taken.
        version: the server's, as `18.6`.
        address: of this client's database.
        home: the keeper's folder.
        say: tell of trouble at the end.
    """

    def __init__(
        self,
        channel: Channel,
        *,
        door: str,
        refused: tuple[str, ...],
        version: str,
        address: Address,
        home: Path,
        say: Callable[[str], None],
    ) -> None:
        self.door = door
        self.refused = refused
        self.version = version
        self._channel: Channel | None = channel
        self._address = address
        self._home = home
        self._say = say
        self._pid = os.getpid()

    @property
    def host(self) -> str:
        """Return the server's host."""
        return self._address.host

    @property
    def port(self) -> int:
        """Return the server's port."""
        return self._address.port

    @property
    def user(self) -> str:
        """Return the role that owns the database."""
        return self._address.user

    @property
    def database(self) -> str:
        """Return the name of this client's database."""
        return self._address.database

    @property
    def url(self) -> str:
        """Return the URL of this client's database, with the password."""
        return self._address.url

    def url_for(self, driver: str, url: str = "") -> URL:
        """Return the URL of a database of this server for SQLAlchemy.

        Args:
            driver: `psycopg`, `asyncpg`, `psycopg2`, ...
            url: What `create_database` has returned; without it, this client's database is meant.

        Returns:
            Its URL, which hides the password when it is printed. That of a server of the run's
            own countermands what the environment asks of other servers (`PGSSLMODE`, ...).
        """
        made = url_for(url or self.url, driver)
        if self.door == "given":
            return made
        return made.update_query_dict(countermand(driver, self.host, os.environ))

    def create_database(self, *, copy: bool = False) -> str:
        """Make one more database, which goes when this client goes.

        Args:
            copy: whether to copy this client's own, to which nobody may be connected then.

        Returns:
            Its URL, with the password, for `url_for`.

        Raises:
            PostgresError: if the server refuses, or the keeper has gone.
        """
        if self._channel is None:
            raise PostgresError("this Postgres is closed")
        self._channel.send(ask="database", template=self.database if copy else None)
        answer = hear(self._channel, self._say, self._home)
        return Address.unpack(answer["created"]).url

    def close(self) -> None:
        """Give the database back and leave the keeper; wait for its end if we were the last."""
        channel, self._channel = self._channel, None
        if channel is not None:
            if os.getpid() == self._pid:
                leave(channel, self._home, self._say)
            else:
                channel.close()

    def __repr__(self) -> str:
        place = f"{self.host}:{self.port}/{self.database}"
        return (
            f"<Postgres {self.version} ({self.door}) {place}{'' if self._channel else ' closed'}>"
        )


def url_for(url: str, driver: str) -> URL:
    """Return a URL of this room for SQLAlchemy and a driver.

    Args:
        url: from `Postgres.url` or `Postgres.create_database`.
        driver: `psycopg`, `asyncpg`, `psycopg2`, ...

    Returns:
        Its URL, which hides the password when it is printed.
    """
    from sqlalchemy import make_url

    made = make_url(url).set(drivername=f"postgresql+{driver}")
    if driver == "asyncpg":
        # SQLAlchemy passes options on to asyncpg.connect, which has libpq's values under another
        # name, or not at all.
        options = {("ssl" if n == "sslmode" else n): value for n, value in made.query.items()}
        made = made.set(query={n: v for n, v in options.items() if n not in _LIBPQ_ONLY})
    return made


def hear(channel: Channel, say: Callable[[str], None], home: Path) -> dict[str, Any]:
    """Wait for an answer, passing on the progress."""
    while True:
        message = channel.receive()
        if message is None:
            raise KeeperError(f"the keeper of the Postgres server has gone{_last_words(home)}")
        if "say" in message:
            say(str(message["say"]))
        elif "error" in message:
            raise PostgresError(str(message["error"]))
        else:
            return message


def _last_words(home: Path) -> str:
    try:
        lines = (home / "door" / "log").read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return f": {lines[-1]}" if lines else ""


def leave(channel: Channel, home: Path, say: Callable[[str], None]) -> None:
    """Say that we are through, and wait until the keeper has tidied up after us.

    Args:
        channel: to the keeper; closed then.
        home: the keeper's folder.
        say: told if something could not be tidied up.
    """
    stays = False
    try:
        channel.finish()
        channel.wait_at_most(_LEAVE_PATIENCE)
        try:
            while (message := channel.receive()) is not None:
                stays = stays or "bye" in message
                if "say" in message:
                    say(str(message["say"]))
        except TimeoutError:
            stays = True
            say(f"the Postgres keeper took more than {_LEAVE_PATIENCE:.0f} s to tidy up")
    finally:
        channel.close()
        if not stays:
            # It has ended: if its folder is there, it was killed.
            sweep_one(home)
