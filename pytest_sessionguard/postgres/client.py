"""The client's side: find or start the keeper of the run, and hold on to it."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pytest_sessionguard.postgres.errors import KeeperError, NoDoorError, Refusal
from pytest_sessionguard.postgres.handle import Postgres, hear, leave
from pytest_sessionguard.postgres.rendezvous import Rendezvous, key_of
from pytest_sessionguard.postgres.server import Address
from pytest_sessionguard.postgres.settings import PostgresSettings
from pytest_sessionguard.postgres.wire import Channel

_START_PATIENCE = 60.0
# The empty entry is the working folder, whose secrets.py or queue.py is not the standard library's.
# The user's own folders come last, for the same reason: drivers and testcontainers are found there,
# and hide nothing.
_BOOT = (
    "import sys; sys.path[:] = [place for place in sys.path if place]; import json;"
    " brief = json.loads(sys.stdin.readline()); sys.path += brief['path'];"
    " from pytest_sessionguard.postgres.process import start; start(brief)"
)
# What would have the keeper measured, profiled or broken along with the suite.
_FOREIGN = (
    "COV_CORE_",
    "COVERAGE_PROCESS_",
    "PYTHONWARNINGS",
    "PYTHONSTARTUP",
    "PYTHONINSPECT",
    "PYTEST_",
)

_channels: weakref.WeakSet[Channel] = weakref.WeakSet()


def _close_inherited() -> None:
    # A forked child that lives on would look to the keeper like the client living on.
    for channel in list(_channels):
        channel.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)


def attach(
    settings: PostgresSettings,
    *,
    run_folder: Path,
    run_id: str,
    client: str,
    say: Callable[[str], None],
    hold: tuple[int, str] | None = None,
) -> Postgres:
    """Join the run's server, starting it if nobody has, and wait for a database of our own.

    Args:
        settings: which door.
        run_folder: a folder that all clients of the run share, and nobody else.
        run_id: what the run is known by.
        client: `main`, `gw0`, ...
        say: called with each line of progress; they hold no password.
        hold: the key of the run's `Hold`, where its tests are spread over workers.

    Returns:
        The database; close it in the end.

    Raises:
        NoDoorError: if no door opens.
        KeeperError: if the keeper cannot be started, or goes meanwhile.
        PostgresError: if the server makes no database.
    """
    folder = Path(run_folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    rendezvous = Rendezvous.of(folder, key_of(settings))
    # Whoever comes while another starts a keeper waits here, and then finds it.
    with rendezvous.lock:
        address = rendezvous.read()
        channel = _knock(address, client) if address else None
        if address is None or channel is None:
            address, channel = _start_keeper(settings, folder, run_id, client, rendezvous, hold)
    home = Path(address["home"])
    try:
        answer = hear(channel, say, home)
        if "refusals" in answer:
            raise NoDoorError(Refusal(**refusal) for refusal in answer["refusals"])
        server = answer["server"]
        return Postgres(
            channel,
            door=server["door"],
            refused=tuple(server["refused"]),
            version=server["version"],
            address=Address.unpack(server["address"]),
            home=home,
            say=say,
        )
    except BaseException:
        leave(channel, home, say)
        raise


def _knock(address: dict[str, Any], client: str) -> Channel | None:
    """Connect to a keeper; return None if it has gone or is going."""
    connection = socket.socket(socket.AF_UNIX if "path" in address else socket.AF_INET)
    channel = Channel(connection)
    try:
        connection.settimeout(10)
        connection.connect(address.get("path") or ("127.0.0.1", address["port"]))
        channel.send(hello=address["token"], client=client)
        answer = channel.receive()
    except (OSError, ValueError, KeyError):
        answer = None
    except BaseException:
        channel.close()
        raise
    if not answer or "welcome" not in answer:
        channel.close()
        return None
    channel.wait_at_most(None)
    _channels.add(channel)
    return channel


def _start_keeper(
    settings: PostgresSettings,
    folder: Path,
    run_id: str,
    client: str,
    rendezvous: Rendezvous,
    hold: tuple[int, str] | None,
) -> tuple[dict[str, Any], Channel]:
    if not sys.executable:
        raise KeeperError(
            "this Python cannot start the keeper: it does not know its own sys.executable"
        )
    brief = {
        "path": [os.path.abspath(place) for place in sys.path if place],
        "door": settings.door, "image": settings.image,
        "run_id": run_id, "run_folder": str(folder), "key": key_of(settings), "hold": hold,
    }  # fmt: skip
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)
    }
    # A session of its own: a Ctrl-C in the terminal is for pytest, whose leaving is the keeper's
    # sign.
    process = subprocess.Popen(
        [sys.executable, "-c", _BOOT],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment, start_new_session=True,
    )  # fmt: skip
    try:
        address = _brief(process, brief)
        channel = _knock(address, client)
        if channel is None:
            raise KeeperError("the keeper of the Postgres server went at its start")
        try:
            rendezvous.write(address)
        except BaseException:
            channel.close()
            raise
    finally:
        _let_go(process)
    return address, channel


def _brief(process: subprocess.Popen[bytes], brief: dict[str, Any]) -> dict[str, Any]:
    """Tell the new keeper what to do, and wait for its address."""
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    with suppress(BrokenPipeError):
        process.stdin.write(json.dumps(brief).encode() + b"\n")
        process.stdin.flush()
    if sys.platform != "win32":  # Whose pipes cannot be selected.
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(_START_PATIENCE):
                with suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise KeeperError(f"the Postgres keeper said nothing for {_START_PATIENCE:.0f} s")
    try:
        address: dict[str, Any] = json.loads(process.stdout.readline())
    except ValueError:
        words = process.stderr.read().decode(errors="replace").strip().splitlines()
        last = words[-1] if words else "it said nothing"
        raise KeeperError(f"the keeper of the Postgres server did not start: {last}") from None
    return address


def _let_go(process: subprocess.Popen[bytes]) -> None:
    # Until we are connected, its open standard input is what keeps the keeper: not connected, it
    # goes now.
    for pipe in (process.stdin, process.stdout, process.stderr):
        with suppress(OSError):
            if pipe is not None:
                pipe.close()
    if hasattr(os, "fork"):
        process.wait()  # It has forked the keeper and gone.
    else:
        process.returncode = 0  # Nobody waits for the keeper: no ResourceWarning is due.
