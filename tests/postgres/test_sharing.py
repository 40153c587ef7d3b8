"""One server for all clients of a run, one database for each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from postgres.scenes import Scene

from pytest_sessionguard.postgres import NoDoorError, Postgres

pytestmark = pytest.mark.usefixtures("embedded")


def test_two_clients_share_a_server(scene: Scene, query: Callable[..., Any]) -> None:
    """Two processes have one server and two databases; the server stays until both have gone."""
    mine = scene.attach(client="gw0")
    other = scene.start(client="gw1")
    theirs = scene.read_url(other)
    assert theirs["port"] == mine.port
    assert (mine.database, theirs["database"]) == ("sessionguard_r1_gw0", "sessionguard_r1_gw1")
    mine.close()
    assert query(theirs["url"], "SELECT datname FROM pg_database WHERE datname LIKE 'sess%'") == [
        ("sessionguard_r1_gw1",)
    ]
    assert other.stdin is not None
    other.stdin.close()
    assert scene.read(other) == {"closed": True}
    scene.assert_nothing_left()


def test_eight_clients_at_once(scene: Scene) -> None:
    """Eight processes that come at the same moment get eight databases on one server."""
    clients = [scene.start(client=f"gw{number}") for number in range(8)]
    told = [scene.read_url(client) for client in clients]
    assert len({answer["port"] for answer in told}) == 1
    assert len({answer["database"] for answer in told}) == 8
    assert len(scene.keepers()) == len(scene.servers()) == 1
    for client in clients:
        assert client.stdin is not None
        client.stdin.close()
    for client in clients:
        assert client.wait(30) == 0
    scene.assert_nothing_left()


def test_clients_of_one_name(scene: Scene) -> None:
    """Two clients that go by the same name do not get the same database."""
    assert scene.attach(client="main").database == "sessionguard_r1_main"
    assert scene.attach(client="main").database == "sessionguard_r1_main_2"


def test_attach_again_at_once(scene: Scene, query: Callable[..., Any]) -> None:
    """Who comes while the last keeper is going gets a server that works, time after time."""
    for _ in range(2):
        postgres = scene.attach()
        # Without waiting for the keeper's end, which close does.
        channel = postgres._channel
        assert channel is not None
        channel.finish()
        again = scene.attach()
        assert query(again.url, "SELECT 1") == [(1,)]
        again.close()
        postgres.close()
    scene.assert_nothing_left()


def test_coming_and_going(scene: Scene, query: Callable[..., Any]) -> None:
    """Threads that attach and close at random moments always find a server that works."""
    faults: list[BaseException] = []

    def come_and_go(number: int) -> None:
        try:
            for _ in range(3):
                postgres = scene.attach(client=f"gw{number}")
                assert query(postgres.url, "SELECT 1") == [(1,)]
                time.sleep(number * 0.01)
                postgres.close()
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=come_and_go, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    scene.assert_nothing_left()


def test_more_databases(scene: Scene, query: Callable[..., Any]) -> None:
    """A client may have more databases, also copies of its own, and all go with it."""
    stays = scene.attach(client="gw9")
    postgres = scene.attach()
    query(postgres.url, "CREATE TABLE kept AS SELECT 7 AS seven")
    empty, copied = postgres.create_database(), postgres.create_database(copy=True)
    assert query(copied, "SELECT seven FROM kept") == [(7,)]
    assert query(empty, "SELECT to_regclass('kept')") == [(None,)]
    postgres.close()
    assert query(stays.url, "SELECT datname FROM pg_database WHERE datname LIKE 'sess%'") == [
        ("sessionguard_r1_gw9",)
    ]


def test_a_leaked_connection_does_not_keep_a_database(
    scene: Scene, query: Callable[..., Any]
) -> None:
    """A database goes even where the suite has leaked a connection to it."""
    import psycopg

    stays = scene.attach(client="gw9")
    postgres = scene.attach()
    leaked = psycopg.connect(postgres.url)
    leaked.execute("SELECT 1")
    postgres.close()
    names = query(stays.url, "SELECT datname FROM pg_database WHERE datname LIKE 'sess%'")
    leaked.close()
    assert names == [("sessionguard_r1_gw9",)]


def test_all_clients_hear_of_the_progress(scene: Scene) -> None:
    """A client that comes later hears what was said before it came."""
    scene.attach(client="gw0")
    first = list(scene.said)
    scene.said.clear()
    scene.attach(client="gw1")
    assert scene.said == first


def test_settings_do_not_mix(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one run's folder, a server of other settings is another server."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    one: Postgres = scene.attach("embedded")
    two = scene.attach("auto")
    assert one.port != two.port
    with pytest.raises(NoDoorError):
        scene.attach("container")


def test_close_twice(scene: Scene) -> None:
    """Closing is idempotent, and a closed one says so."""
    postgres = scene.attach()
    postgres.close()
    postgres.close()
    assert repr(postgres).endswith("closed>")
