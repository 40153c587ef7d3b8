"""The owner of the server of one run, who outlives its clients for as long as tidying takes.

A client (a pytest process) is its open connection: when that ends, whether by a farewell or by
`kill -9`, its databases go; when the last one ends, so do the server, the folder and this process,
unless the run holds them (see `hold`): then with the run.
Neither pytest nor SQLAlchemy is imported here.
"""

from __future__ import annotations

import os
import queue
import socket
import threading
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pytest_sessionguard.postgres.databases import (
    Run,
    create_database,
    drop_database,
    find_driver,
    name_database,
    read_version,
)
from pytest_sessionguard.postgres.doors import open_door
from pytest_sessionguard.postgres.errors import Abandoned, NoDoorError, PostgresError, Refusal
from pytest_sessionguard.postgres.home import Home, note_databases, sweep
from pytest_sessionguard.postgres.server import Server, Site
from pytest_sessionguard.postgres.settings import PostgresSettings
from pytest_sessionguard.postgres.wire import Channel


@dataclass(eq=False)
class _Client:
    channel: Channel
    name: str
    databases: set[str] = field(default_factory=set)


class Keeper:
    """Keep one server for its clients.

    Threads listen and put what they hear into a queue; all that is done, is done by the main
    thread, one thing after the other. It has to be the main thread that starts the server (see
    `child`).

    Args:
        home: the keeper's folder.
        settings: which door.
        run_id: what the run is known by.
        token: what a client must say.
        run: the connection that lasts as long as the run, where its tests are spread over workers.
    """

    def __init__(
        self,
        home: Home,
        settings: PostgresSettings,
        run_id: str,
        token: str,
        run: Channel | None = None,
    ) -> None:
        self._home = home
        self._settings = settings
        self._run_id = run_id
        self._token = token
        self._held_by = run
        # A SimpleQueue, whose put may interrupt its get: a signal handler puts as well.
        self._heard: queue.SimpleQueue[tuple[str, _Client | None, dict[str, Any]]] = (
            queue.SimpleQueue()
        )
        self._state = threading.Lock()
        self._clients: set[_Client] = set()
        self._closing = False
        self._said: list[str] = []
        self._server: Server | None = None
        self._refused: tuple[Refusal, ...] = ()
        self._failure: dict[str, Any] | None = None
        self._run: Run | None = None
        self._stuck: set[str] = set()

    # Threads.

    def listen(self, listener: socket.socket) -> None:
        """Take clients in, for ever."""
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._hear, args=(Channel(connection),), daemon=True).start()

    def _hear(self, channel: Channel) -> None:
        hello = channel.greet(self._token, 10)
        if hello is None:
            return
        client = _Client(channel, str(hello.get("client", "")))
        with self._state:
            if self._closing:
                channel.send(gone=True)
                channel.close()
                return
            # Under the lock, so that no progress line is missed or said twice.
            channel.send(welcome=os.getpid())
            for line in self._said:
                channel.send(say=line)
            self._clients.add(client)
            self._heard.put(("arrived", client, {}))
        with suppress(ValueError):
            while (message := channel.receive()) is not None:
                self._heard.put(("asked", client, message))
        self._leave(client)

    def _leave(self, client: _Client) -> None:
        with self._state:
            self._clients.discard(client)
            # Irrevocable: who knocks from now on is told to start a keeper of its own.
            self._closing = self._closing or not (self._clients or self._held_by)
            self._heard.put(("left", client, {}))

    def close_unless_used(self) -> None:
        """Give up waiting for a first client."""
        with self._state:
            if not (self._clients or self._held_by):
                self._closing = True
                self._heard.put(("nobody", None, {}))

    def wait_for_the_run(self, run: Channel) -> None:
        """Leave with the run, or with the last client that outlives it."""
        run.receive()  # Nothing comes but its end.
        with self._state:
            self._held_by = None
        self.close_unless_used()

    # The main thread.

    def stop(self, *_: object) -> None:
        """Hear a signal: leave, however many clients there are."""
        # No lock is taken here: the main thread, which this interrupts, may hold it.
        self._closing = True
        self._heard.put(("stopped", None, {}))

    def _say(self, line: str) -> None:
        with self._state:
            self._said.append(line)
            if self._held_by is not None:
                self._held_by.send(say=line)
            for client in self._clients:
                client.channel.send(say=line)

    def keep(self) -> None:
        """Serve until the last client has gone, then stop the server."""
        try:
            while True:
                kind, client, message = self._heard.get()
                if client is None:
                    pass  # Woken up to see that we are closing.
                elif kind == "arrived":
                    self._arrive(client)
                elif kind == "asked":
                    self._answer(client, message)
                else:
                    self._forget(client)
                if self._closing and self._heard.empty():
                    return
        finally:
            self._shut()

    def _arrive(self, client: _Client) -> None:
        if self._closing:
            return
        if self._server is None and self._failure is None:
            self._open()
        if self._server is None:
            client.channel.send(**(self._failure or {"error": "the keeper has no server"}))
            return
        try:
            name = self._create(client, None)
        except PostgresError as error:
            client.channel.send(error=self._explain(error))
            return
        client.channel.send(
            server={
                "door": self._server.door,
                "version": self._server.version,
                "refused": [str(refusal) for refusal in self._refused],
                "address": self._server.address.of(name).pack(),
            }
        )

    def _open(self) -> None:
        try:
            if self._settings.url is None:
                # Meant for a server of the user's; the drivers would take them for ours.
                for name in [name for name in os.environ if name.startswith("PG")]:
                    del os.environ[name]
            self._run = find_driver()
            sweep()
            site = Site(self._home, self._say, lambda: self._closing)
            self._server, self._refused = open_door(self._settings, site)
            self._server.version = self._server.version or read_version(
                self._run, self._server.address
            )
            self._say(f"Postgres {self._server.version} is ready ({self._server.door})")
        except Abandoned:
            self._failure = {"error": "the keeper was told to stop"}
        except NoDoorError as error:
            self._failure = {"refusals": [vars(refusal) for refusal in error.refusals]}
        except PostgresError as error:
            self._failure = {"error": str(error)}
        except Exception as error:
            traceback.print_exc()
            self._failure = {
                "error": f"a fault of pytest-sessionguard: {type(error).__name__}: {error}"
            }

    def _create(self, client: _Client, template: str | None) -> str:
        assert self._server is not None and self._run is not None
        wanted = name_database(self._run_id, client.name)
        if not self._server.ours:
            # Noted before it is made: killed between the two, we leave a note of nothing rather
            # than a database.
            self._note({wanted})
        name = create_database(self._run, self._server.address, wanted, template)
        client.databases.add(name)
        self._note(set())
        return name

    def _note(self, more: set[str]) -> None:
        if self._server is not None and not self._server.ours:
            with self._state:
                names = more.union(self._stuck, *(client.databases for client in self._clients))
            note_databases(self._home, self._server.address.place, names)

    def _explain(self, error: PostgresError) -> str:
        assert self._server is not None
        text = f"no database could be made on {self._server.address.place}: {error}"
        if getattr(error, "sqlstate", None) == "42501":
            text += f'; let its owner run: ALTER ROLE "{self._server.address.user}" CREATEDB'
        return text

    def _answer(self, client: _Client, message: dict[str, Any]) -> None:
        if self._server is None:
            return
        template = message.get("template")
        if template is not None and template not in client.databases:
            client.channel.send(error=f"{template} is no database of this client")
            return
        try:
            name = self._create(client, template)
        except PostgresError as error:
            client.channel.send(error=self._explain(error))
        else:
            client.channel.send(created=self._server.address.of(name).pack())

    def _forget(self, client: _Client) -> None:
        if (
            self._server is not None
            and self._run is not None
            and (not self._server.ours or not self._closing)
        ):
            for name in sorted(client.databases):
                try:
                    drop_database(self._run, self._server.address, name)
                except PostgresError as error:
                    self._stuck.add(name)
                    client.channel.send(say=f"database {name} could not be dropped: {error}")
            client.databases.clear()
            self._note(set())
        if not self._closing:
            client.channel.send(bye=True)
            client.channel.close()
        # Else the end of the connection, which the client waits for, is the end of this process.

    def _shut(self) -> None:
        with self._state:
            rest = sorted(self._clients, key=lambda client: client.name)
        for client in rest:
            self._forget(client)
        if self._server is not None:
            self._server.stop()
