"""The fixtures that a test may ask for: a real Postgres, and engines whose pool is tight."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Generator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_sessionguard.boundary import Services
from pytest_sessionguard.handle import SessionGuard
from pytest_sessionguard.postgres.errors import PostgresError
from pytest_sessionguard.postgres.loops import follow_loops
from pytest_sessionguard.settings import Settings, read_marks

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
    from sqlalchemy.orm import Session, sessionmaker

    from pytest_sessionguard.postgres import Postgres

SETTINGS = pytest.StashKey[Settings]()
SERVICES = pytest.StashKey[Services]()
# What a worker of xdist is told the key of its run's `Hold` by.
HOLD = "sessionguard_hold"

# What runs an async test, and closes its loop when torn down: pytest-asyncio's fixtures, by the
# names they had since 0.23. A fixture that asks for one is torn down before the loop ends.
_RUNNERS = (
    "event_loop",
    "_function_scoped_runner",
    "_class_scoped_runner",
    "_module_scoped_runner",
    "_package_scoped_runner",
    "_session_scoped_runner",
)


@pytest.fixture
def sessionguard(request: pytest.FixtureRequest) -> Generator[SessionGuard, None, None]:
    """Give a handle on the guard: `services()` and `call()` check functions when they return.

    Returns:
        The handle; with ``--sessionguard=off`` it checks nothing.
    """
    handle = SessionGuard(request.config.stash.get(SERVICES, None))
    yield handle
    handle.close()


@pytest.fixture(scope="session")
def sessionguard_postgres(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Postgres, None, None]:
    """Give a database of this process's own on the run's one Postgres server.

    The server is a container, an embedded Postgres, one whose binaries are on PATH, or a given
    one, as ``--sessionguard-postgres`` says; it and the database are gone when the run ends.

    Returns:
        The database: ``url``, ``url_for("asyncpg")``, ``door``, ``version``.
    """
    config = request.config
    worker: dict[str, Any] = getattr(config, "workerinput", {})
    base = tmp_path_factory.getbasetemp()
    postgres = _attach(config, base.parent if worker else base, worker)
    yield postgres
    postgres.close()


@pytest.fixture
def sessionguard_engine(
    request: pytest.FixtureRequest, sessionguard_postgres: Postgres
) -> Generator[Engine, None, None]:
    """Give a psycopg engine whose pool holds one connection and does not wait long for it.

    Returns:
        The engine, on the run's database; disposed when the test is over.
    """
    from sqlalchemy import create_engine

    from pytest_sessionguard.watch.private import tighten

    engine = create_engine(sessionguard_postgres.url_for("psycopg"), **_tighten(request))
    tighten(engine)
    yield engine
    engine.dispose()


def make_async_engine(
    request: pytest.FixtureRequest, sessionguard_postgres: Postgres
) -> Generator[AsyncEngine, None, None]:
    """Give an asyncpg engine whose pool holds one connection and does not wait long for it.

    Returns:
        The engine, on the run's database; disposed on the test's loop when the test is over.
    """
    runners = [request.getfixturevalue(name) for name in _RUNNERS if name in request.fixturenames]
    engine = _create_async_engine(request, sessionguard_postgres)
    if not runners:
        with follow_loops(engine):
            yield engine
    else:
        yield engine
        run = getattr(runners[0], "run", None) or runners[0].run_until_complete
        run(engine.dispose())
    engine.sync_engine.dispose(close=False)  # A loop that did not end as it should is gone.


async def make_async_engine_in_loop(
    request: pytest.FixtureRequest, sessionguard_postgres: Postgres
) -> AsyncGenerator[AsyncEngine, None]:
    """Give the same to a test that anyio runs, which runs async fixtures on the test's loop."""
    engine = _create_async_engine(request, sessionguard_postgres)
    yield engine
    await engine.dispose()


sessionguard_async_engine = pytest.fixture(name="sessionguard_async_engine")(make_async_engine)


@pytest.fixture
def sessionguard_session_factory(sessionguard_engine: Engine) -> sessionmaker[Session]:
    """Give a factory of sessions on the tight engine.

    Returns:
        The factory; whoever calls it closes what it makes.
    """
    from sqlalchemy.orm import sessionmaker

    return sessionmaker(sessionguard_engine)


@pytest.fixture
def sessionguard_async_session_factory(
    sessionguard_async_engine: AsyncEngine,
) -> async_sessionmaker[AsyncSession]:
    """Give a factory of async sessions on the tight engine.

    Returns:
        The factory; it makes sessions that do not expire their objects on commit.
    """
    from sqlalchemy.ext.asyncio import async_sessionmaker

    return async_sessionmaker(sessionguard_async_engine, expire_on_commit=False)


def choose_flavour(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> None:
    """Let anyio run the async engine's fixture where it runs the test.

    anyio runs async generators among the fixtures of a test that uses ``anyio_backend``, on the
    loop of that test, which is closed when it ends (``anyio.pytest_plugin.pytest_fixture_setup``).

    Args:
        fixturedef: The fixture about to be set up.
        request: Its request.
    """
    if fixturedef.argname == "sessionguard_async_engine":
        in_loop = "anyio_backend" in request.fixturenames
        flavour: Any = make_async_engine_in_loop if in_loop else make_async_engine
        fixturedef.func = flavour  # type: ignore[misc]


def _attach(config: pytest.Config, folder: Path, worker: dict[str, Any]) -> Postgres:
    from pytest_sessionguard.postgres import attach

    try:
        return attach(
            config.stash[SETTINGS].postgres,
            run_folder=folder,
            run_id=worker.get("testrunuid", uuid.uuid4().hex),
            client=worker.get("workerid", "main"),
            say=partial(say, config),
            hold=worker.get(HOLD),
        )
    except PostgresError as error:
        text = str(error)
    pytest.fail(text, pytrace=False)


def _create_async_engine(request: pytest.FixtureRequest, postgres: Postgres) -> AsyncEngine:
    from sqlalchemy.ext.asyncio import create_async_engine

    from pytest_sessionguard.watch.private import tighten

    engine = create_async_engine(postgres.url_for("asyncpg"), **_tighten(request))
    tighten(engine)
    return engine


def _tighten(request: pytest.FixtureRequest) -> dict[str, int]:
    marks = read_marks(request.node.iter_markers("sessionguard"))
    return dict(vars(request.config.stash[SETTINGS].tighten(marks)))


def say(config: pytest.Config, line: str) -> None:
    """Show a line of progress, past pytest's capturing; a worker of xdist has no screen.

    Args:
        config: pytest's config.
        line: What to show.
    """
    capture: Any = config.pluginmanager.get_plugin("capturemanager")
    if capture is not None:
        capture.suspend(in_=False)
    try:
        show(config, line)
    finally:
        if capture is not None:
            capture.resume()


def show(config: pytest.Config, line: str) -> None:
    """Show a line of progress where nothing is captured, on a line of its own.

    Args:
        config: pytest's config.
        line: What to show.
    """
    screen: Any = config.pluginmanager.get_plugin("terminalreporter")
    if screen is None or config.get_verbosity() < 0:
        return
    screen.ensure_newline()
    if config.get_terminal_writer().width_of_current_line:  # The dots of a spread run.
        screen.line("")
    screen.write_line(f"sessionguard: {line}")
