"""Users, folders and ports as they may be found."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from postgres.scenes import ROOT, Scene, processes_of
from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from pytest_sessionguard.postgres import PostgresSettings, cluster, path, survey
from pytest_sessionguard.postgres.account import Account, is_root, pick_account, reaches
from pytest_sessionguard.postgres.embedded import _find_installation
from pytest_sessionguard.postgres.environment import countermand
from pytest_sessionguard.postgres.home import PREFIX, make_home, remove
from pytest_sessionguard.postgres.server import Address, Site

pytestmark = pytest.mark.usefixtures("embedded")
needs_root = pytest.mark.skipif(not is_root(), reason="only root can become another user")


@pytest.fixture
def site(scene: Scene) -> Iterator[Site]:
    """Return a keeper's place without a keeper."""
    home = make_home(pick_account())
    yield Site(home, scene.said.append, lambda: False)
    home.lock.release()
    remove(home.path)


def test_a_port_that_is_taken_meanwhile(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another process takes the port before the server does, the next port is tried."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        free = cluster.free_port()
        ports = iter([taken, taken, free])
        monkeypatch.setattr(cluster, "free_port", lambda: next(ports))
        server = cluster.open_cluster(
            "embedded", _find_installation() / "bin", _reaching(site), site
        )
        try:
            assert server.address.port == free
        finally:
            server.stop()


def _reaching(site: Site) -> Account | None:
    account = pick_account()
    if account and not reaches(account, _find_installation() / "bin" / "initdb"):
        pytest.skip("the wheel is where the server's user cannot go")
    return account


@needs_root
def test_root_runs_the_server_as_somebody_else(scene: Scene) -> None:
    """As root, the server is an unprivileged user's, and nobody's permissions were touched."""
    place = _find_installation()
    modes = {parent: parent.stat().st_mode for parent in place.parents}
    scene.attach()
    (server,) = scene.servers()
    assert os.stat(f"/proc/{server}").st_uid != 0
    assert "Groups:\t \n" in Path(f"/proc/{server}/status").read_text()
    assert {parent: parent.stat().st_mode for parent in place.parents} == modes
    assert "embedded_postgres:" not in Path("/etc/passwd").read_text()


@needs_root
def test_root_copies_what_cannot_be_reached(scene: Scene, query: Callable[..., Any]) -> None:
    """Binaries in a folder that is root's alone are copied aside, and the copy goes in the end."""
    hidden = Path(tempfile.mkdtemp(prefix="hidden", dir="/tmp"))
    try:
        package = _find_installation().parent
        for folder in (package, package.with_name("embedded_postgres.libs")):
            if folder.exists():
                shutil.copytree(folder, hidden / folder.name)
        client = scene.start(env={**os.environ, "PYTHONPATH": str(hidden)})
        answer = scene.read_url(client)
        (line,) = (processes_of(scene.folder)[pid] for pid in scene.servers())
        assert line.startswith(f"{scene.folder}/sessionguard-")
        assert query(answer["url"], "SELECT 1") == [(1,)]
        client.kill()
        client.wait()
        scene.assert_nothing_left()
    finally:
        shutil.rmtree(hidden)


@needs_root
def test_an_unprivileged_user(scene: Scene, query: Callable[..., Any]) -> None:
    """A user who is not root runs the server as himself."""
    account = pick_account()
    assert account is not None
    version = f"python3.{sys.version_info[1]}"
    pythons = [sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"]
    python = next((name for name in pythons if reaches(account, Path(name))), None)
    needed = [ROOT / "pytest_sessionguard" / "postgres" / "client.py", Path(psycopg.__file__)]
    if python is None or not all(reaches(account, path) for path in needed):
        pytest.skip(f"user {account.name} can reach no Python, no driver, or not this checkout")
    client = scene.start(python=python, user=account.uid, group=account.gid, extra_groups=[])
    answer = scene.read_url(client)
    (keeper,) = scene.keepers()
    (server,) = scene.servers()
    assert {os.stat(f"/proc/{pid}").st_uid for pid in (keeper, server)} == {account.uid}
    assert query(answer["url"], "SELECT 1") == [(1,)]
    client.kill()
    client.wait()
    scene.assert_nothing_left()


@pytest.mark.parametrize("name", ["with space", "ümläut", "quo'te", "x" * 120, "p%20c"])
def test_odd_temporary_folders(
    name: str, make_scene: Callable[..., Scene], query: Callable[..., Any]
) -> None:
    """Spaces, letters, quotes and great length in TMPDIR do no harm."""
    base = Path(tempfile.mkdtemp(prefix="odd", dir="/tmp"))
    base.chmod(0o755)
    try:
        scene = make_scene(base / name)
        postgres = scene.attach()
        assert query(postgres.url, "SELECT 1") == [(1,)]
        postgres.close()
        scene.assert_nothing_left()
    finally:
        shutil.rmtree(base)


def test_letters_that_the_locale_does_not_have(
    make_scene: Callable[..., Scene], query: Callable[..., Any]
) -> None:
    """Where Python takes all names for ASCII, letters in TMPDIR do no harm either."""
    base = Path(tempfile.mkdtemp(prefix="odd", dir="/tmp"))
    base.chmod(0o755)
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    try:
        scene = make_scene(base / "ümläut")
        client = scene.start(env={**os.environ, **plain})
        assert query(scene.read_url(client)["url"], "SELECT 1") == [(1,)]
        client.kill()
        client.wait()
        scene.assert_nothing_left()
    finally:
        shutil.rmtree(base)


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has a bare number (`docker run --user 12345`) is told what initdb lacks."""
    pwd = pytest.importorskip("pwd")
    taken = {entry.pw_uid for entry in pwd.getpwall()}
    uid = next(number for number in range(54321, 65000) if number not in taken)
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    seen = survey(PostgresSettings("embedded"))
    assert seen.chosen is None
    (refusal,) = seen.refusals
    assert f"the user {uid} has no name on this system" in refusal.reason
    assert refusal.mend.startswith(f"useradd --uid {uid} ")


@needs_root
def test_a_temporary_folder_that_is_roots_alone(
    make_scene: Callable[..., Scene], query: Callable[..., Any]
) -> None:
    """Where the server's user cannot reach TMPDIR, another folder is taken and left clean."""
    base = Path(tempfile.mkdtemp(prefix="shut", dir="/tmp"))
    try:
        scene = make_scene(base / "tmp")
        postgres = scene.attach()
        ((data,),) = query(postgres.url, "SHOW data_directory")
        home = next(path for path in Path(data).parents if path.name.startswith(PREFIX))
        assert home.is_dir() and base not in home.parents
        postgres.close()
        scene.assert_nothing_left()
    finally:
        shutil.rmtree(base)
    assert not home.exists()


def test_modules_of_the_working_folder_hide_nothing(scene: Scene, tmp_path: Path) -> None:
    """A suite with a secrets.py or queue.py of its own does not break the keeper."""
    for name in ("secrets", "queue", "json", "socket", "subprocess", "tempfile"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed')")
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from pathlib import Path\n"
        "from pytest_sessionguard.postgres import PostgresSettings, attach\n"
        f"import os; os.chdir({str(tmp_path)!r}); sys.path[:0] = ['', {str(tmp_path)!r}]\n"
        f"p = attach(PostgresSettings('embedded'), run_folder=Path({str(scene.run)!r}),"
        " run_id='r', client='main', say=print); p.close()"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    scene.assert_nothing_left()


def test_the_password_is_nowhere_to_be_seen(scene: Scene, make_scene: Callable[..., Scene]) -> None:
    """The password is in no command line, environment, message, repr or file."""
    postgres = scene.attach()
    password = Address.read(postgres.url).password
    assert len(password) >= 24
    guests = make_scene()
    guest = guests.attach(postgres.url, run_id="r2")
    for pid in {**processes_of(scene.folder), **processes_of(guests.folder)}:
        for name in ("cmdline", "environ"):
            assert password not in Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")
    shown = [
        repr(postgres),
        str(guest),
        repr(vars(postgres)),
        repr(postgres.url_for("asyncpg")),
        *scene.said,
    ]
    assert not any(password in text for text in shown + guests.said)
    for place in (scene.folder, scene.run, guests.folder, guests.run):
        for file in place.rglob("*"):
            if file.is_file() and file.stat().st_size < 1_000_000:
                assert password.encode() not in file.read_bytes(), file


def test_the_keeper_is_light() -> None:
    """The keeper imports neither pytest nor SQLAlchemy, nor a door's library unasked."""
    code = (
        "import sys; import pytest_sessionguard.postgres.process;"
        "print(sorted({'pytest', 'sqlalchemy', 'docker', 'testcontainers'} & set(sys.modules)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[]"


def test_foreign_settings_do_not_steer(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, query: Callable[..., Any]
) -> None:
    """Variables for Postgres, the locale and Python that a user has set do not reach the server."""
    for name, value in {
        "PGPORT": "1", "PGDATA": "/nowhere", "PGHOST": "nowhere", "PGUSER": "nobody",
        "PGOPTIONS": "-c nothing=1",
        "PGSSLMODE": "verify-full", "LC_ALL": "tr_TR.UTF-8", "LANG": "xx_YY",
        "PYTHONWARNINGS": "error",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    postgres = scene.attach()
    for name in ("PGOPTIONS", "PGSSLMODE"):
        monkeypatch.delenv(name)
    assert query(postgres.url, "SELECT current_database()") == [("sessionguard_r1_main",)]


@pytest.mark.parametrize(
    "environ",
    (
        {"PGSSLMODE": "require"},
        {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "system"},
        {"PGSSLROOTCERT": "system"},
        {"PGSSLMODE": "require", "PGCHANNELBINDING": "require"},
        {"PGTARGETSESSIONATTRS": "standby"},
        {"PGGSSENCMODE": "require"},
        {"PGHOSTADDR": "192.0.2.1"},
        {"PGSERVICE": "hosted", "PGSERVICEFILE": "services.conf"},
        {"PGSERVICE": "strict", "PGSERVICEFILE": "services.conf"},
    ),
    ids=" ".join,
)
def test_what_other_servers_are_asked_for(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environ: dict[str, str]
) -> None:
    """What the environment asks of a server of the user's keeps nobody out of one of ours."""
    services = "[hosted]\nsslmode=require\n[strict]\nsslmode=verify-full\nsslrootcert=system\n"
    (tmp_path / "services.conf").write_text(services)
    monkeypatch.chdir(tmp_path)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    postgres = scene.attach()

    async def ask(url: URL) -> object:
        engine = create_async_engine(url)
        async with engine.connect() as connection:
            value = await connection.scalar(text("SELECT current_database()"))
        await engine.dispose()
        return value

    for url in (postgres.url, postgres.create_database()):
        engine = create_engine(postgres.url_for("psycopg", url))
        with engine.connect() as connection:
            name = connection.scalar(text("SELECT current_database()"))
        engine.dispose()
        assert name == make_url(url).database
        assert asyncio.run(ask(postgres.url_for("asyncpg", url))) == name
    assert "?" not in postgres.url  # it is for every driver
    assert not postgres.url_for("pg8000").query


def test_no_such_environment(scene: Scene) -> None:
    """Nothing is added to a URL that needs nothing."""
    postgres = scene.attach()
    assert not postgres.url_for("psycopg").query
    assert not postgres.url_for("asyncpg").query


@pytest.mark.parametrize("host", ("::1", "localhost", "127.0.0.1"))
def test_hosts(host: str) -> None:
    """A host's address is a number, of either kind; where nobody knows it, the driver says so."""
    environ = {"PGHOSTADDR": "192.0.2.1"}
    assert countermand("psycopg", host, environ)["hostaddr"] in ("::1", "127.0.0.1")
    assert countermand("psycopg", "nowhere.invalid", environ) == {}


def test_path_takes_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Off PATH, the newest version is taken, and a folder that lacks one of the two is none."""
    for version in ("9.6", "15", "16", "17"):
        folder = tmp_path / version / "bin"
        folder.mkdir(parents=True)
        for name in ("initdb", "postgres")[: 1 if version == "17" else 2]:
            (folder / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(path, "_PLACES", (f"{tmp_path}/*/bin",))
    assert path.find_binaries() == tmp_path / "16" / "bin"
