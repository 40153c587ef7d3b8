"""What keeps a run's server up while none of its workers wants it, and lets it go with the run.

The process that spreads tests over workers listens on a port of loopback. A keeper connects to it
and tells of its progress, for the workers have no screen: as long as that connection stands, the
run is not over. It ends with its process, however that ends, and leaves no file.
"""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from pytest_sessionguard.clock import Clock
from pytest_sessionguard.postgres.wire import Channel

_PATIENCE = 60.0
_HELLO_PATIENCE = 5.0


class Hold:
    """Hold the servers of a run whose tests are spread over workers.

    Args:
        say: told each line of a keeper's progress, and of one that takes too long; by threads.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._token = secrets.token_urlsafe(24)
        self._ending = False
        self._keepers: list[tuple[Channel, threading.Thread]] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self._port: int = self._listener.getsockname()[1]
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    @property
    def key(self) -> tuple[int, str]:
        """Return where keepers connect, and what they say there first."""
        return self._port, self._token

    def end(self) -> None:
        """Tell the keepers that the run is over, and wait until they have tidied up."""
        if self._ending:
            return
        self._ending = True
        with suppress(OSError):
            self._connect()  # It wakes the listening.
        self._listening.join(_HELLO_PATIENCE)
        self._listener.close()
        for channel, _ in self._keepers:
            channel.finish()
        until = Clock.monotonic() + _PATIENCE
        for channel, hearing in self._keepers:
            hearing.join(max(0.0, until - Clock.monotonic()))
            if hearing.is_alive():
                self._say(f"the Postgres keeper took more than {_PATIENCE:.0f} s to tidy up")
            channel.close()

    def _connect(self) -> None:
        socket.create_connection(("127.0.0.1", self._port), timeout=_HELLO_PATIENCE).close()

    def _listen(self) -> None:
        with suppress(OSError):  # At the end: nobody waits any more.
            while True:
                connection, _ = self._listener.accept()
                connection.setblocking(True)
                channel = Channel(connection)
                hearing = threading.Thread(target=self._hear, args=(channel,), daemon=True)
                self._keepers.append((channel, hearing))
                hearing.start()
                if self._ending:
                    self._listener.setblocking(False)  # Those who wait already are let in.

    def _hear(self, channel: Channel) -> None:
        """Pass on what a keeper says, to the end of its process."""
        if channel.greet(self._token, _HELLO_PATIENCE) is None:
            return
        with suppress(ValueError):
            while (message := channel.receive()) is not None:
                with suppress(Exception):  # a screen that is gone is no reason to hear no more
                    self._say(str(message.get("say", "")))


def join_hold(key: Sequence[Any] | None) -> Channel | None:
    """Connect a keeper to the hold of its run.

    Args:
        key: of the run's `Hold`; None where its tests are not spread.

    Returns:
        The connection, whose end is the end of the run; None where there is no hold.
    """
    if key is None:
        return None
    port, token = key
    try:
        channel = Channel(socket.create_connection(("127.0.0.1", port), timeout=5))
    except OSError:
        return None
    channel.wait_at_most(None)
    channel.send(hello=token)
    return channel
