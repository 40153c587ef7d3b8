"""A run whose tests are spread over workers keeps its one server to the end."""

from __future__ import annotations

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
hold = Hold()
print(hold.port, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Hold a run, and let go of it whatever happens."""
    hold = Hold()
    yield hold
    hold.end(print)


def test_a_late_worker_finds_the_server(
    scene: Scene, hold: Hold, query: Callable[..., Any]
) -> None:
    """A worker that asks when all others have left gets a database on the same server."""
    early = scene.attach(client="gw0", hold=hold.port)
    port = early.port
    early.close()
    assert len(scene.servers()) == 1
    late = scene.attach(client="gw1", hold=hold.port)
    assert late.port == port
    names = "SELECT datname FROM pg_database WHERE datname LIKE 'sess%'"
    assert query(late.url, names) == [("sessionguard_r1_gw1",)]
    late.close()
    hold.end(print)
    scene.assert_nothing_left(0.5)


def test_the_end_of_the_run_is_waited_for(scene: Scene, hold: Hold) -> None:
    """When the run lets go, and every worker has left, nothing is there any more; at once."""
    scene.attach(client="gw0", hold=hold.port).close()
    assert scene.servers()
    assert scene.keepers()
    said: list[str] = []
    hold.end(said.append)
    scene.assert_nothing_left(0.5)
    assert said == []


def test_a_worker_that_outlives_the_run(scene: Scene, query: Callable[..., Any]) -> None:
    """A worker keeps its server also where the process that spreads the tests has died."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(ROOT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        postgres = scene.attach(client="gw0", hold=int(holder.stdout.readline()))
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
        assert holder.stdout is not None
        scene.attach(client="gw0", hold=int(holder.stdout.readline())).close()
        assert scene.servers()
        holder.kill()
    scene.assert_nothing_left()


def test_a_run_that_has_gone_already(scene: Scene) -> None:
    """A port where nobody listens any more holds nothing."""
    hold = Hold()
    port = hold.port
    hold.end(print)
    scene.attach(client="gw0", hold=port).close()
    scene.assert_nothing_left(0.5)


def test_a_keeper_that_was_killed_is_not_waited_for(scene: Scene, hold: Hold) -> None:
    """`kill -9` of the keeper does not make the run's end wait."""
    postgres = scene.attach(client="gw0", hold=hold.port)
    (keeper,) = scene.keepers()
    subprocess.run(["kill", "-9", str(keeper)], check=True)
    assert wait_for(lambda: not scene.keepers(), 5)
    begin = time.monotonic()
    hold.end(print)
    assert time.monotonic() - begin < 5
    postgres.close()
