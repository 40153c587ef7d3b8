"""What the environment asks of a Postgres of the user's, and one of the run's own does not have.

Drivers read it where a URL is silent: libpq's in ``fe-connect.c``, asyncpg's in
``asyncpg/connect_utils.py``.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

_LIBPQ_DRIVERS = frozenset({"psycopg", "psycopg2", "psycopg2cffi", "psycopg_async"})
# `system` goes with no mode but the strictest. A service is a set of options of a file, most often
# for a hosted server.
_OF_LIBPQ = {
    "PGCHANNELBINDING": {"channel_binding": "disable"},
    "PGGSSENCMODE": {"gssencmode": "disable"},
    "PGSERVICE": {"sslmode": "disable", "sslrootcert": "none"},
    "PGSSLMODE": {"sslmode": "disable"},
    "PGSSLROOTCERT": {"sslmode": "disable", "sslrootcert": "none"},
    "PGTARGETSESSIONATTRS": {"target_session_attrs": "any"},
}
_OF_ASYNCPG = {
    "PGSERVICE": {"ssl": "disable", "target_session_attrs": "any"},
    "PGSSLMODE": {"ssl": "disable"},
    "PGTARGETSESSIONATTRS": {"target_session_attrs": "any"},
}


def countermand(driver: str, host: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the options that let a driver reach a server of ours, whatever the environment asks.

    Args:
        driver: SQLAlchemy's name of it; one that is unknown here gets none.
        host: the server's.
        environ: the variables.

    Returns:
        Options of a URL; none where the environment asks for nothing.
    """
    is_libpq = driver in _LIBPQ_DRIVERS
    table = _OF_LIBPQ if is_libpq else _OF_ASYNCPG if driver == "asyncpg" else {}
    options: dict[str, str] = {}
    for name, countermands in table.items():
        if environ.get(name):
            options |= countermands
    if is_libpq and environ.get("PGHOSTADDR"):
        options |= _find_number(host)
    return options


def _find_number(host: str) -> dict[str, str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:  # the driver says that better
        return {}
    return {"hostaddr": str(found[0][4][0])}
