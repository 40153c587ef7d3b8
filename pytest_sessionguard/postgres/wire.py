"""Messages between the keeper and its clients: one JSON object a line, over a stream socket."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from typing import Any


class Channel:
    """Speak in messages over a connected socket.

    Args:
        connection: the socket, which is the channel's from now on.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._buffer = b""
        self._sending = threading.Lock()

    def send(self, **message: Any) -> None:
        """Send one message; a peer that has gone is no error here, for `receive` tells of it."""
        line = json.dumps(message).encode() + b"\n"
        with self._sending, suppress(OSError):
            self._socket.sendall(line)

    def receive(self) -> dict[str, Any] | None:
        """Wait for the next message.

        Returns:
            The message, or None once the peer has gone or has nothing more to say.

        Raises:
            TimeoutError: if none came within the time set by `wait_at_most`; nothing is lost.
        """
        while b"\n" not in self._buffer:
            try:
                block = self._socket.recv(65536)
            except TimeoutError:
                raise
            except OSError:
                return None
            if not block:
                return None
            self._buffer += block
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def wait_at_most(self, seconds: float | None) -> None:
        """Limit the waiting of every later `receive`."""
        self._socket.settimeout(seconds)

    def finish(self) -> None:
        """Tell the peer that nothing more will be sent; it may still answer."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close our end; in a forked process, the other process keeps its own."""
        with suppress(OSError):
            self._socket.close()
