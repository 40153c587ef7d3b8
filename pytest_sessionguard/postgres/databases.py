"""Statements about databases, through whichever driver is installed."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from pytest_sessionguard.postgres.errors import DatabaseError, DriverError
from pytest_sessionguard.postgres.server import Address

_PATIENCE = 10
_DUPLICATE_DATABASE = "42P04"
_OBJECT_IN_USE = "55006"
_NAME_LIMIT = 63  # NAMEDATALEN - 1

Run = Callable[[Address, Sequence[str]], "list[Any]"]


def name_database(run_id: str, client: str) -> str:
    """Name a client's database.

    Args:
        run_id: what the run is known by.
        client: `main`, `gw0`, ...

    Returns:
        `sessionguard_<run>_<client>`, cut so that the client's part and a number after it still
        fit.
    """
    run, who = (
        re.sub(r"[^a-z0-9]+", "_", part.lower()).strip("_") or "x" for part in (run_id, client)
    )
    who = who[:20]
    room = _NAME_LIMIT - len(f"sessionguard__{who}_999")
    return f"sessionguard_{run[:room]}_{who}"


def find_driver() -> Run:
    """Find a driver that works.

    Returns:
        A function that runs statements on an address and returns the first value of each.

    Raises:
        DriverError: if none is installed.
    """
    # psycopg raises ImportError also where it is installed without libpq, and then asyncpg may do.
    with suppress(ImportError):
        import psycopg  # noqa: F401

        return _run_psycopg
    with suppress(ImportError):
        import asyncpg  # type: ignore[import-untyped, unused-ignore] # noqa: F401

        return _run_asyncpg
    raise DriverError(
        "neither psycopg nor asyncpg is installed, and one is needed to make databases:"
        ' pip install "pytest-sessionguard[postgres]"'
    )


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _run_psycopg(address: Address, statements: Sequence[str]) -> list[Any]:
    import psycopg

    options: dict[str, Any] = {"connect_timeout": _PATIENCE, **dict(address.options)}
    if address.password:
        options["password"] = address.password
    values: list[Any] = []
    try:
        with psycopg.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            dbname=address.database,
            autocommit=True,
            **options,
        ) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
                row = cursor.fetchone() if cursor.description else None
                values.append(row[0] if row else None)
    except psycopg.Error as error:
        raise DatabaseError(address.hide(_first_line(error)), error.sqlstate) from None
    return values


def _run_asyncpg(address: Address, statements: Sequence[str]) -> list[Any]:
    return asyncio.run(_run_asyncpg_statements(address, statements))


async def _run_asyncpg_statements(address: Address, statements: Sequence[str]) -> list[Any]:
    import asyncpg

    try:
        # By URL: asyncpg reads libpq's options there, and refuses them as arguments.
        connection = await asyncpg.connect(address.url, timeout=_PATIENCE)
        try:
            return [await connection.fetchval(statement) for statement in statements]
        finally:
            await connection.close(timeout=_PATIENCE)
    except (
        OSError,
        TimeoutError,
        asyncio.TimeoutError,
        ValueError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
    ) as error:
        raise DatabaseError(
            address.hide(_first_line(error)), getattr(error, "sqlstate", None)
        ) from None


def read_version(run: Run, address: Address) -> str:
    """Ask a server for its version, as `17.2`.

    Raises:
        DatabaseError: if it does not answer.
    """
    return str(run(address, ["SHOW server_version"])[0]).split()[0]


def create_database(run: Run, address: Address, name: str, template: str | None = None) -> str:
    """Make a database.

    Args:
        run: from `find_driver`.
        address: a database from which to make it.
        name: what to call it; a number is added where that is taken.
        template: the database to copy; the server's own template where there is none.

    Returns:
        Its name.

    Raises:
        DatabaseError: if the server refuses.
    """
    copy = f' TEMPLATE "{template}"' if template else ""
    end = time.monotonic() + _PATIENCE
    number = 1
    while True:
        wanted = name if number == 1 else f"{name}_{number}"
        try:
            run(address, [f'CREATE DATABASE "{wanted}"{copy}'])
        except DatabaseError as error:
            if error.sqlstate == _DUPLICATE_DATABASE and number < 999:
                number += 1
            elif error.sqlstate == _OBJECT_IN_USE and template is None and time.monotonic() < end:
                # Somebody is connected to template1 of a server that we share, most likely making a
                # database too.
                time.sleep(0.1)
            else:
                raise
        else:
            return wanted


def drop_database(run: Run, address: Address, name: str) -> None:
    """Drop a database that we made, and whoever is connected to it with it.

    Raises:
        DatabaseError: if the server refuses.
    """
    force = int(run(address, ["SHOW server_version_num"])[0]) >= 130000
    if force:
        run(address, [f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'])
    else:
        busy = f"FROM pg_stat_activity WHERE datname = '{name}'"
        end = f"SELECT count(pg_terminate_backend(pid)) {busy}"
        run(address, [end, f'DROP DATABASE IF EXISTS "{name}"'])
