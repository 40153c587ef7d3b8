"""Where the Docker engine is, and whether it answers: asked over its socket, without docker-py."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
_PATIENCE = 2.0


@dataclass(frozen=True)
class Engine:
    """Tell of an engine that answers.

    Args:
        host: its address, as DOCKER_HOST would have it.
        local: whether what it publishes on loopback is published on ours.
    """

    host: str
    local: bool


def find_engine() -> tuple[Engine | None, str]:
    """Find the engine that the user's tools would use.

    Returns:
        The engine, or None and where it was looked for, in one clause.
    """
    tried = []
    for host in _hosts():
        problem = _ask(host)
        if problem is None:
            return Engine(host, urlsplit(host).scheme in ("unix", "npipe")), ""
        tried.append(f"{host}{problem}")
    return None, "no Docker engine answers at " + " or ".join(tried)


def _hosts() -> Iterator[str]:
    """Yield the addresses to try: the one that is set, the context's, or the usual sockets."""
    named = os.environ.get("DOCKER_HOST") or _context_host()
    if named:
        yield named
        return
    if os.name == "nt":
        yield "npipe:////./pipe/docker_engine"
        return
    yield DEFAULT_SOCKET
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    for path in ([Path(runtime) / "docker.sock"] if runtime else []) + [
        _home() / ".docker" / "run" / "docker.sock"
    ]:
        if path.exists():
            yield f"unix://{path}"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")


def _context_host() -> str | None:
    """Read the address of the current context where docker/cli keeps it (cli/context/store)."""
    folder = Path(os.environ.get("DOCKER_CONFIG") or _home() / ".docker")
    try:
        name = os.environ.get("DOCKER_CONTEXT") or json.loads(
            (folder / "config.json").read_text()
        ).get("currentContext")
        if not name or name == "default":
            return None
        digest = hashlib.sha256(name.encode()).hexdigest()
        meta = json.loads((folder / "contexts" / "meta" / digest / "meta.json").read_text())
        host = meta["Endpoints"]["docker"]["Host"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return host if isinstance(host, str) and host else None


class _SocketConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_PATIENCE)
        self._path = path

    def connect(self) -> None:
        """Connect to the engine's Unix socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _ask(host: str) -> str | None:
    """Return None if an engine answers, else what to say after its address."""
    try:
        parts = urlsplit(host)
        port = parts.port
    except ValueError:
        return " (which is no address)"
    if parts.scheme == "npipe":
        return None if os.path.exists(host.removeprefix("npipe://").replace("/", "\\")) else ""
    connection: http.client.HTTPConnection
    if parts.scheme == "unix":
        if not hasattr(socket, "AF_UNIX"):
            return " (this system has no such sockets)"
        connection = _SocketConnection(parts.path)
    elif parts.scheme in ("tcp", "http") and not os.environ.get("DOCKER_TLS_VERIFY"):
        connection = http.client.HTTPConnection(
            parts.hostname or "localhost", port or 2375, timeout=_PATIENCE
        )
    else:
        return None  # ssh:// or TLS: to ask would cost a login, so it is believed.
    try:
        connection.request("GET", "/_ping")
        status = connection.getresponse().status
        return None if status == 200 else f" (it says {status})"
    except PermissionError:
        return " (this user may not: is it in the group docker?)"
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()
