"""Users, folders and ports as they may be found."""

from __future__ import annotations

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

from pytest_sessionguard.postgres import cluster, path
from pytest_sessionguard.postgres.account import Account, is_root, pick_account, reaches
from pytest_sessionguard.postgres.embedded import _find_installation
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
