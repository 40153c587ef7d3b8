"""What keeps a run's server up while none of its workers wants it, and lets it go with the run.

The process that spreads tests over workers listens on a port of loopback and says nothing there. A
keeper connects to it: as long as that connection stands, the run is not over. It ends with its
process, however that ends, and leaves no file.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress

_PATIENCE = 60.0


class Hold:
    """Hold the servers of a run whose tests are spread over workers."""

    def __init__(self) -> None:
        # Nobody is accepted before the end: the system completes the connections that wait.
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=16)

    @property
    def port(self) -> int:
        """Return where keepers connect."""
        port: int = self._listener.getsockname()[1]
        return port

    def end(self, say: Callable[[str], None]) -> None:
        """Tell the keepers that the run is over, and wait until they have tidied up.

        Args:
            say: told of a keeper that takes too long.
        """
        keepers = self._accept_all()
        self._listener.close()
        for keeper in keepers:
            with suppress(OSError):
                keeper.shutdown(socket.SHUT_WR)
        for keeper in keepers:
            keeper.settimeout(_PATIENCE)
            try:
                keeper.recv(1)  # Nothing comes but the end of its process.
            except TimeoutError:
                say(f"the Postgres keeper took more than {_PATIENCE:.0f} s to tidy up")
            except OSError:
                pass
            finally:
                keeper.close()

    def _accept_all(self) -> list[socket.socket]:
        keepers = []
        with suppress(OSError):  # Nobody waits any more, or this is the second end.
            self._listener.setblocking(False)
            while True:
                connection, _ = self._listener.accept()
                connection.setblocking(True)
                keepers.append(connection)
        return keepers


def join_hold(port: int | None) -> socket.socket | None:
    """Connect a keeper to the hold of its run.

    Args:
        port: where the run holds its servers; None where its tests are not spread.

    Returns:
        The connection, whose end is the end of the run; None where there is no hold.
    """
    if port is None:
        return None
    try:
        return socket.create_connection(("127.0.0.1", port), timeout=5)
    except OSError:
        return None
