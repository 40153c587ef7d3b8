"""A run whose tests are spread over workers keeps its one server to the end."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from postgres.scenes import ROOT, Scene, wait_for

from pytest_sessionguard.postgres import Hold

pytestmark = pytest.mark.usefixtures("embedded")

HOLDER = """
import sys
sys.path.insert(0, sys.argv[1])
from pytest_sessionguard.postgres import Hold
hold = Hold(lambda line: None)
print(*hold.key, flush=True)
sys.stdin.read()
"""


def _read_key(holder: subprocess.Popen[str]) -> tuple[int, str]:
    assert holder.stdout is not None
    port, token = holder.stdout.readline().split()
    return int(port), token


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Hold a run, and let go of it whatever happens."""
    hold = Hold(print)
    yield hold
    hold.end()


def test_a_late_worker_finds_the_server(
    scene: Scene, hold: Hold, query: Callable[..., Any]
) -> None:
    """A worker that asks when all others have left gets a database on the same server."""
    early = scene.attach(client="gw0", hold=hold.key)
    port = early.port
    early.close()
    assert len(scene.servers()) == 1
    late = scene.attach(client="gw1", hold=hold.key)
    assert late.port == port
    names = "SELECT datname FROM pg_database WHERE datname LIKE 'sess%'"
    assert query(late.url, names) == [("sessionguard_r1_gw1",)]
    late.close()
    hold.end()
    scene.assert_nothing_left(0.5)


def test_the_end_of_the_run_is_waited_for(scene: Scene, hold: Hold) -> None:
    """When the run lets go, and every worker has left, nothing is there any more; at once."""
    scene.attach(client="gw0", hold=hold.key).close()
    assert scene.servers()
    assert scene.keepers()
    hold.end()
    scene.assert_nothing_left(0.5)


def test_progress_is_heard(scene: Scene) -> None:
    """Every line of the keeper reaches the run once, however many workers hear it too."""
    said: list[str] = []
    hold = Hold(said.append)
    try:
        first = scene.attach(client="gw0", hold=hold.key)
        second = scene.attach(client="gw1", hold=hold.key)
        assert wait_for(lambda: any("is ready" in line for line in said), 5)
        first.close()
        second.close()
    finally:
        hold.end()
    assert said == list(dict.fromkeys(scene.said))
    assert said[-1] == f"Postgres {first.version} is ready (embedded)"


def test_an_end_that_cannot_wake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no more sockets are to be had the end comes all the same."""
    hold = Hold(print)

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket, "create_connection", refuse)
    begin = time.monotonic()
    hold.end()
    assert time.monotonic() - begin < 30


def test_strangers_are_not_heard() -> None:
    """Whoever does not know the token is not shown, and does not hold up the end for long."""
    said: list[str] = []
    hold = Hold(said.append)
    port, token = hold.key
    lines = [b"not json", b"[]", {"say": "x"}, {"hello": token[:-1]}, {"hello": None}, None]
    strangers = [socket.create_connection(("127.0.0.1", port)) for _ in lines]
    for stranger, line in zip(strangers, lines, strict=True):
        if line is not None:
            text = line if isinstance(line, bytes) else json.dumps(line).encode()
            stranger.sendall(text + b'\n{"say": "boo"}\n')
    begin = time.monotonic()
    hold.end()
    hold.end()
    assert time.monotonic() - begin < 20
    assert said == []
    for stranger in strangers:
        stranger.close()


def test_a_worker_that_outlives_the_run(scene: Scene, query: Callable[..., Any]) -> None:
    """A worker keeps its server also where the process that spreads the tests has died."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(ROOT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        postgres = scene.attach(client="gw0", hold=_read_key(holder))
        holder.kill()
    time.sleep(0.2)
    assert query(postgres.url, "SELECT 1") == [(1,)]
    postgres.close()
    scene.assert_nothing_left()


def test_a_run_that_was_killed_between_workers(scene: Scene) -> None:
    """`kill -9` of the run takes a server away that no worker uses at the moment."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(ROOT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        scene.attach(client="gw0", hold=_read_key(holder)).close()
        assert scene.servers()
        holder.kill()
    scene.assert_nothing_left()


def test_a_run_that_has_gone_already(scene: Scene) -> None:
    """A port where nobody listens any more holds nothing."""
    hold = Hold(print)
    hold.end()
    scene.attach(client="gw0", hold=hold.key).close()
    scene.assert_nothing_left(0.5)


def test_a_keeper_that_was_killed_is_not_waited_for(scene: Scene, hold: Hold) -> None:
    """`kill -9` of the keeper does not make the run's end wait."""
    postgres = scene.attach(client="gw0", hold=hold.key)
    (keeper,) = scene.keepers()
    subprocess.run(["kill", "-9", str(keeper)], check=True)
    assert wait_for(lambda: not scene.keepers(), 5)
    begin = time.monotonic()
    hold.end()
    assert time.monotonic() - begin < 5
    postgres.close()
