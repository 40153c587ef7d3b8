"""Nothing is left behind, however a run ends."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from postgres.scenes import Scene, processes_of, wait_for

from pytest_sessionguard.postgres import KeeperError

pytestmark = pytest.mark.usefixtures("embedded")


def test_after_close(scene: Scene) -> None:
    """When the last client's close returns, no process and no file is left; not a moment later."""
    postgres = scene.attach()
    assert scene.servers()
    postgres.close()
    scene.assert_nothing_left(0.5)


def test_after_a_client_was_killed(scene: Scene) -> None:
    """`kill -9` of the only client leaves nothing."""
    client = scene.start()
    scene.read_url(client)
    client.kill()
    client.wait()
    scene.assert_nothing_left()


def test_after_one_of_two_clients_was_killed(scene: Scene, query: Callable[..., Any]) -> None:
    """`kill -9` of a worker takes its database away, and leaves the others' server alone."""
    mine = scene.attach(client="gw0")
    client = scene.start(client="gw1")
    scene.read_url(client)
    client.kill()
    client.wait()
    names = "SELECT datname FROM pg_database WHERE datname LIKE 'sess%'"
    assert wait_for(lambda: query(mine.url, names) == [("sessionguard_r1_gw0",)], 5)


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_an_end_during_the_start(number: signal.Signals, delay: float, scene: Scene) -> None:
    """A client that is killed, or hears Ctrl-C, at any moment of the start leaves nothing."""
    client = scene.start(start_new_session=True)
    time.sleep(0.12 + delay)
    # To its whole group, as a terminal does.
    os.killpg(client.pid, number)
    client.wait(20)
    scene.assert_nothing_left()


def test_ctrl_c_waits_for_the_end(scene: Scene) -> None:
    """After Ctrl-C during initdb nothing is left when the client has gone."""
    client = scene.start(start_new_session=True)
    while "initdb" not in scene.read(client).get("say", ""):
        pass
    os.killpg(client.pid, signal.SIGINT)
    _, errors = client.communicate(timeout=20)
    assert "KeyboardInterrupt" in errors
    scene.assert_nothing_left(0.5)


def test_after_the_keeper_was_killed(scene: Scene) -> None:
    """`kill -9` of the keeper takes the server with it, and the client's close takes the folder."""
    postgres = scene.attach()
    (keeper,) = scene.keepers()
    os.kill(keeper, signal.SIGKILL)
    assert wait_for(lambda: not processes_of(scene.folder), 5), processes_of(scene.folder)
    with pytest.raises(KeeperError, match="has gone"):
        postgres.create_database()
    postgres.close()
    assert list(scene.folder.iterdir()) == []


def test_the_keeper_killed_during_initdb(scene: Scene) -> None:
    """A keeper that is killed during the start is an error of one line for its client."""
    client = scene.start()
    while "initdb" not in scene.read(client).get("say", ""):
        pass
    (keeper,) = scene.keepers()
    os.kill(keeper, signal.SIGKILL)
    _, errors = client.communicate(timeout=20)
    assert "KeeperError: the keeper of the Postgres server has gone" in errors
    assert wait_for(lambda: not processes_of(scene.folder), 5), processes_of(scene.folder)
    assert list(scene.folder.iterdir()) == []


def test_a_keeper_that_is_told_to_stop(scene: Scene) -> None:
    """SIGTERM to the keeper, as at a shutdown of the machine, leaves nothing."""
    scene.attach()
    (keeper,) = scene.keepers()
    os.kill(keeper, signal.SIGTERM)
    scene.assert_nothing_left()


def test_ctrl_c_in_the_terminal_spares_the_keeper(scene: Scene, query: Callable[..., Any]) -> None:
    """The keeper has a session of its own: teardowns after a Ctrl-C still have their server."""
    client = scene.start(start_new_session=True)
    url = scene.read_url(client)["url"]
    (keeper,) = scene.keepers()
    assert os.getsid(keeper) != os.getsid(client.pid)
    assert query(url, "SELECT 1") == [(1,)]


def test_a_dead_run_is_swept(scene: Scene) -> None:
    """A next run removes the folder of a run whose keeper and client were both killed."""
    client = scene.start()
    scene.read_url(client)
    (keeper,) = scene.keepers()
    for pid in (client.pid, keeper):
        os.kill(pid, signal.SIGKILL)
    assert wait_for(lambda: not processes_of(scene.folder), 5)
    assert len(list(scene.folder.iterdir())) == 1
    scene.attach().close()
    scene.assert_nothing_left()


def test_a_living_run_is_not_swept(scene: Scene, query: Callable[..., Any]) -> None:
    """A next run leaves the folder of a run that lives alone, and its server."""
    alive = scene.attach()
    scene.attach(run=scene.run / "other").close()
    assert query(alive.url, "SELECT 1") == [(1,)]
    assert len(list(scene.folder.iterdir())) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_does_not_keep_the_server(scene: Scene) -> None:
    """A child that the suite forked, and that lives on, does not count as the client living on."""
    postgres = scene.attach()
    ready, written = os.pipe()
    child = os.fork()
    if not child:
        postgres.close()
        os.write(written, b"x")
        time.sleep(60)
        os._exit(0)
    try:
        os.read(ready, 1)
        assert scene.servers(), "the child's close is not the parent's"
        begin = time.monotonic()
        postgres.close()
        assert time.monotonic() - begin < 10
        scene.assert_nothing_left(0.5)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(written)


def test_output_is_not_held_open(scene: Scene) -> None:
    """Who waits for the end of a killed client's output does not wait for the keeper."""
    stays = scene.attach(client="gw9")
    client = scene.start(client="gw0")
    scene.read_url(client)
    client.kill()
    client.communicate(timeout=5)
    assert stays.database


def test_given_databases_go_with_a_killed_client(
    scene: Scene, make_scene: Callable[..., Scene], query: Callable[..., Any]
) -> None:
    """On a given server, `kill -9` of the client leaves no database."""
    host = scene.attach()
    guests = make_scene()
    guest = guests.start(host.url, run_id="r2")
    name = guests.read_url(guest)["database"]
    guest.kill()
    guest.wait()
    names = "SELECT datname FROM pg_database"
    assert wait_for(lambda: (name,) not in query(host.url, names), 10)
    guests.assert_nothing_left()


def test_given_databases_of_a_killed_keeper(
    scene: Scene, make_scene: Callable[..., Scene], query: Callable[..., Any]
) -> None:
    """What a killed keeper left on a given server is dropped by the next run on it only."""
    host = scene.attach()
    guests = make_scene()
    guest = guests.start(host.url, run_id="r2")
    name = guests.read_url(guest)["database"]
    (keeper,) = guests.keepers()
    os.kill(keeper, signal.SIGKILL)
    guest.kill()
    guest.wait()
    names = "SELECT datname FROM pg_database"
    guests.attach("embedded", run_id="r3").close()
    assert (name,) in query(host.url, names)
    guests.attach(host.url, run_id="r4").close()
    assert (name,) not in query(host.url, names)
    guests.assert_nothing_left()


@pytest.mark.skipif(not Path("/proc/sysvipc/shm").exists(), reason="no list of the shared memory")
def test_no_shared_memory_is_left(scene: Scene) -> None:
    """The server's shared memory goes with its keeper, killed or not."""

    def segments() -> set[str]:
        return {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()}

    postgres = scene.attach()
    (note,) = scene.folder.glob("*/data/postmaster.pid")
    # Line 7 has its key and its number (LOCK_FILE_LINE_SHMEM_KEY in miscadmin.h).
    segment = note.read_text().splitlines()[6].split()[1]
    assert segment in segments()
    (keeper,) = scene.keepers()
    os.kill(keeper, signal.SIGKILL)
    assert wait_for(lambda: not processes_of(scene.folder), 5)
    assert segment not in segments()
    postgres.close()
