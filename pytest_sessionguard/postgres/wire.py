"""Messages between the keeper and its clients: one JSON object a line, over a stream socket."""

from __future__ import annotations

import hmac
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
            ValueError: if what came is no message.
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
        message = json.loads(line)
        if not isinstance(message, dict):
            raise ValueError("a message is an object")  # noqa: TRY004 (as json's own are)
        return message

    def greet(self, token: str, patience: float) -> dict[str, Any] | None:
        """Hear who is there, and go on without a limit if he knows the token.

        Args:
            token: what he has to say first.
            patience: how many seconds he has for that.

        Returns:
            His first message; None, and the channel is closed, where he is a stranger.
        """
        self.wait_at_most(patience)
        try:
            hello = self.receive() or {}
        except (ValueError, TimeoutError):
            hello = {}
        if not hmac.compare_digest(str(hello.get("hello", "")).encode(), token.encode()):
            self.close()
            return None
        self.wait_at_most(None)
        return hello

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
