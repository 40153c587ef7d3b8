"""What may be asked for, and that a password is shown nowhere."""

from __future__ import annotations

import pytest

from pytest_sessionguard.postgres import PostgresSettings, PostgresSettingsError, url_for
from pytest_sessionguard.postgres.databases import name_database
from pytest_sessionguard.postgres.server import Address
from pytest_sessionguard.postgres.settings import mask


@pytest.mark.parametrize(
    ("door", "wanted"),
    [
        ("auto", ("container", "embedded", "path")),
        ("container", ("container",)),
        ("embedded", ("embedded",)),
        ("path", ("path",)),
        ("postgresql://u:p@h:1/d", ("given",)),
        ("postgres://h/d", ("given",)),
        ("postgresql+psycopg://u:p@h/d", ("given",)),
        ("postgresql+asyncpg://u:p@h/d", ("given",)),
    ],
)
def test_valid_doors(door: str, wanted: tuple[str, ...]) -> None:
    """Every documented value is taken, and says which doors are tried in which order."""
    assert PostgresSettings(door).wanted == wanted


@pytest.mark.parametrize(
    "door", ["foo", "", "mysql://u:geheim@h/d", "postgresql://u:geheim@h:port/d", "u:geheim@h/d"]
)
def test_bad_door_lists_the_valid_ones(door: str) -> None:
    """A bad value is refused with the valid ones in the message, and without its password."""
    with pytest.raises(
        PostgresSettingsError, match="valid are: auto, container, embedded, path, or a URL"
    ) as caught:
        PostgresSettings(door)
    assert "geheim" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert (
        caught.value.__context__ is None
        or caught.value.__suppress_context__
        or "geheim" not in str(caught.value.__context__)
    )


def test_empty_image_is_refused() -> None:
    """An empty image is a bad value, not Docker's riddle."""
    with pytest.raises(PostgresSettingsError, match="image"):
        PostgresSettings(image=" ")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:geheim@h:1/d", "postgresql://u:***@h:1/d"),
        ("postgresql://u:ge@he@im@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:ge/he?im@h/d", "postgresql://u:***@h/d"),
        (
            "postgresql://h/d?password=geheim&sslmode=require",
            "postgresql://h/d?password=***&sslmode=require",
        ),
        ("postgresql://:geheim@h/d", "postgresql://:***@h/d"),
        ("postgresql://u@h:5432/d", "postgresql://u@h:5432/d"),
        ("u:geheim@h", "u:***@h"),
    ],
)
def test_mask(url: str, shown: str) -> None:
    """A URL is shown without its password, however it is written."""
    assert mask(url) == shown


def test_repr_has_no_password() -> None:
    """Neither the settings nor an address show the password when they are printed."""
    url = "postgresql://u:geheim@h:1/d"
    assert (
        "geheim" not in f"{PostgresSettings(url)!r} {PostgresSettings(url)} {Address.read(url)!r}"
    )


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@h:1/d",
        "postgresql://u:p%40%2F%3A@h:1/d?sslmode=require",
        "postgresql://u@[::1]:5433/d",
        "postgresql://u:p@:5432/d?host=%2Fvar%2Frun%2Fpostgresql",
    ],
)
def test_address_keeps_the_url(url: str) -> None:
    """What is read from a URL makes the same URL again, and survives the wire."""
    address = Address.read(url)
    assert address.url == url
    assert Address.unpack(address.pack()) == address


def test_address_reads_drivers_and_defaults() -> None:
    """The driver in a URL does not matter, and libpq's defaults hold where it is silent."""
    address = Address.read("postgresql+asyncpg://u:p@h")
    assert (address.host, address.port, address.user, address.database) == ("h", 5432, "u", "u")


def test_url_for_drivers() -> None:
    """SQLAlchemy's URL has the driver, hides its password, and names TLS in its words."""
    url = "postgresql://u:geheim@h:1/d?sslmode=require"
    made = url_for(url, "asyncpg")
    assert made.drivername == "postgresql+asyncpg"
    assert dict(made.query) == {"ssl": "require"}
    assert "geheim" not in str(made)
    assert dict(url_for(url, "psycopg").query) == {"sslmode": "require"}


def test_url_for_asyncpg_leaves_libpqs_options_out() -> None:
    """What only libpq knows is left out where the connection is the same; the rest stays."""
    query = "connect_timeout=3&channel_binding=require&application_name=x&passfile=p&sslcert=c"
    url = f"postgresql://u@h/d?{query}"
    assert dict(url_for(url, "asyncpg").query) == {"passfile": "p", "sslcert": "c"}
    assert len(url_for(url, "psycopg").query) == 5


@pytest.mark.parametrize("port", ["abc", "0", "65536", "-1", "\u00b2"])
def test_bad_port_among_the_options(port: str) -> None:
    """A port that is none is refused there as it is before the database."""
    with pytest.raises(PostgresSettingsError, match="cannot be read"):
        PostgresSettings(f"postgresql://h/d?port={port}")


def test_options_that_the_url_names_twice() -> None:
    """What stands before the question mark holds; the rest is no further option."""
    address = Address.read("postgresql://u:p@h:1/d?user=v&password=q&host=i&port=2&dbname=e&x=y")
    assert (address.user, address.host, address.port, address.database) == ("u", "h", 1, "d")
    assert address.options == (("x", "y"),)


def test_database_names() -> None:
    """A name is plain, holds run and client, and fits Postgres' 63 bytes with a number after it."""
    assert name_database("r1", "gw0") == "sessionguard_r1_gw0"
    long = name_database("A-" * 60, "gw-" + "9" * 40)
    assert len(long) <= 59
    assert set(long) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")
