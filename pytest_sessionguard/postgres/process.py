"""The keeper's process: how it begins, where it listens, how it ends."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import sys
import threading
from contextlib import suppress
from typing import Any

from pytest_sessionguard.postgres.account import pick_account
from pytest_sessionguard.postgres.errors import DoorError
from pytest_sessionguard.postgres.hold import join_hold
from pytest_sessionguard.postgres.home import Home, make_home, remove
from pytest_sessionguard.postgres.keeper import Keeper
from pytest_sessionguard.postgres.rendezvous import Rendezvous
from pytest_sessionguard.postgres.settings import PostgresSettings

_FIRST_CLIENT_PATIENCE = 60.0


def start(brief: dict[str, Any]) -> None:
    """Become the keeper: print the address for the client that started us, and keep.

    Args:
        brief: the settings, the run's id and folder.
    """
    # A child of init rather than of a pytest process, which could not wait for us without hanging.
    if hasattr(os, "fork") and os.fork():
        os._exit(0)
    token = secrets.token_urlsafe(24)
    try:
        account = pick_account()
    except DoorError:
        account = None  # The doors that need one will say so.
    home = make_home(account)
    rendezvous = Rendezvous.of(brief["run_folder"], brief["key"])
    try:
        listener, address = _listen(home)
        settings = PostgresSettings(brief["door"], brief["image"])
        # Never closed: that it breaks off tells the run that this process has ended.
        run = join_hold(brief["hold"])
        keeper = Keeper(home, settings, brief["run_id"], token, run)
        for name in ("SIGTERM", "SIGINT", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), keeper.stop)
        threading.Thread(target=keeper.listen, args=(listener,), daemon=True).start()
        threading.Thread(target=_watch_starter, args=(keeper,), daemon=True).start()
        if run is not None:
            threading.Thread(target=keeper.wait_for_the_run, args=(run,), daemon=True).start()
        timer = threading.Timer(_FIRST_CLIENT_PATIENCE, keeper.close_unless_used)
        timer.daemon = True
        timer.start()
        address.update(token=token, home=str(home.path))
        with suppress(OSError):
            sys.stdout.write(json.dumps(address) + "\n")
            sys.stdout.flush()
        _leave_pipes(home)
        keeper.keep()
    finally:
        rendezvous.forget(token)
        _remove(home)


def _listen(home: Home) -> tuple[socket.socket, dict[str, Any]]:
    if hasattr(socket, "AF_UNIX") and sys.platform != "win32":
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with suppress(OSError):
            listener.bind(str(home.socket))
            listener.listen(128)
            return listener, {"path": str(home.socket)}
        listener.close()
    # No such sockets here, or no folder with a name short enough: loopback, where the token keeps
    # others out.
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    return listener, {"port": listener.getsockname()[1]}


def _watch_starter(keeper: Keeper) -> None:
    # The client that starts us holds our standard input open until it is connected.
    with suppress(OSError, ValueError):
        while sys.stdin.read(1):
            pass
    keeper.close_unless_used()


def _leave_pipes(home: Home) -> None:
    # Whoever waits for the end of pytest's output must not wait for us.
    nothing = os.open(os.devnull, os.O_WRONLY)
    log = os.open(home.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(nothing, 1)
    os.dup2(log, 2)
    os.close(nothing)
    os.close(log)


def _remove(home: Home) -> None:
    if home.databases.exists():
        # Something could not be dropped: the note stays, for a later run on that server.
        home.lock.release()
        return
    remove(home.path)
    home.lock.release()
