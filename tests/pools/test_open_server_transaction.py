"""SG105: what a real Postgres still does for a connection that its pool has given up."""

# ruff: noqa: E501 (lines are as long as a user sees them)

from __future__ import annotations

import textwrap
import threading
import time

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from pytest_sessionguard.accounts import Address
from pytest_sessionguard.watch import monitor as monitor_module
from pytest_sessionguard.watch.monitor import AsyncpgAsker, Monitor, SyncAsker
from pytest_sessionguard.watch.private import find_seat

APP = """
    import asyncio

    from sqlalchemy import create_engine, text
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    ONE = text("SELECT 1")
    SLEEP = text("SELECT pg_sleep(15)")
    LOCK = text("SELECT pg_advisory_lock(7)")
    kept = []

    async def sleep(engine):
        async with AsyncSession(engine) as session:
            await session.execute(SLEEP)

    async def cancel(engine, times):
        async with engine.connect() as connection:
            await connection.execute(ONE)
        task = asyncio.create_task(sleep(engine))
        await asyncio.sleep(1)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.gather(task, return_exceptions=True)

    async def cancel_once(engine):
        await cancel(engine, 1)

    async def cancel_twice(engine):
        await cancel(engine, 2)

    async def invalidate(engine):
        async with engine.connect() as connection:
            await connection.execute(ONE)
            await connection.invalidate()

    async def ask(engine):
        async with engine.connect() as connection:
            await connection.execute(ONE)

    def take_aside(engine):
        connection = engine.connect()
        connection.execute(ONE)
        connection.detach()
        kept.append(connection)

    def lock(engine):
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(LOCK)
        connection.detach()
        kept.append(connection)

    def close_aside(engine):
        with engine.connect() as connection:
            connection.execute(ONE)
            connection.detach()

    def keep_idle(engine):
        connection = engine.connect()
        connection.execute(ONE)
        connection.commit()
        connection.detach()
        kept.append(connection)
"""
INI = "[pytest]\nasyncio_mode = auto\nsessionguard_postgres = embedded\n"


@pytest.mark.postgres
@pytest.mark.parametrize("driver", ("asyncpg", "psycopg"))
def test_async(project, driver):
    """A query that is cancelled twice runs on in its backend; cancelled once it does not."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": f"""
                import pytest
                from app import *

                @pytest.fixture
                async def engine(sessionguard_postgres):
                    engine = create_async_engine(sessionguard_postgres.url_for("{driver}"))
                    yield engine
                    await engine.dispose()

                @pytest.mark.parametrize("work", (cancel_once, cancel_twice, invalidate, ask))
                async def test_it(work, engine):
                    await work(engine)
                    assert 0 == engine.pool.checkedout()

                @pytest.mark.sessionguard(ignore="SG105", reason="known since last year")
                async def test_old(engine):
                    await cancel_twice(engine)

                async def test_new(engine):
                    await cancel_twice(engine)

                async def test_last(engine):
                    # The database is dropped at the end of the last test, and every backend with it.
                    await ask(engine)
            """,
            "pytest.ini": INI,
        }
    ).run("-v", subprocess=True)
    assert ["SG105 test_it[cancel_twice]", "SG105 test_new"] == run.found, run.text
    assert (0, "") == (run.exit, run.fault)
    assert "could not be asked" not in run.text
    assert run.shows(
        f"""
        SG105 open-server-transaction: 1 transaction was left open on the server after test_it[cancel_twice]

          checked out   app.py:13 in sleep  (engine postgresql+{driver})
          session       AsyncSession opened at app.py:12 in sleep
          closed        the block of app.py:12 in sleep, which ends at line 13

          Its query was cancelled and SQLAlchemy gave the connection up, unclosed; its backend is active, and nobody ends it.
          Fix: await a cancelled task, and do not cancel it again while it closes its connection.
          Accept: @pytest.mark.sessionguard(ignore="open-server-transaction", reason="...") or the baseline.
        """
    )


@pytest.mark.postgres
def test_taken_aside(project):
    """A detached connection that keeps a transaction, or a lock; not one that was closed, or idles."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import *

                @pytest.fixture
                def engine(sessionguard_postgres):
                    engine = create_engine(sessionguard_postgres.url_for("psycopg"))
                    yield engine
                    engine.dispose()

                @pytest.fixture
                def closed():
                    yield
                    while kept:
                        kept.pop().close()

                @pytest.mark.parametrize("work", (take_aside, lock, close_aside, keep_idle))
                def test_it(work, engine):
                    work(engine)

                def test_closed_by_its_fixture(engine, closed):
                    take_aside(engine)
            """,
            "pytest.ini": INI,
        }
    ).run(subprocess=True)
    assert ["SG105 test_it[lock]", "SG105 test_it[take_aside]"] == run.found, run.text
    assert "its backend is idle with 1 advisory lock, and nobody ends it." in run.text
    assert "its backend is idle in transaction, and nobody ends it." in run.text


RETURNED = """
    import asyncio

    from sqlalchemy import create_engine, text
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    ONE = text("SELECT 1")
    # Shared, so that no test waits for what another one has left.
    LOCK = text("SELECT pg_advisory_lock_shared(7)")
    OWN = text("SELECT pg_advisory_xact_lock_shared(7)")
    UNLOCK = text("SELECT pg_advisory_unlock_shared(7)")

    async def execute(engine, *statements):
        async with AsyncSession(engine) as session:
            for statement in statements:
                await session.execute(statement)
            await session.commit()

    async def read(engine):
        await execute(engine, ONE)

    async def lock(engine):
        await execute(engine, LOCK)

    async def lock_and_unlock(engine):
        await execute(engine, LOCK, UNLOCK)

    async def lock_until_commit(engine):
        await execute(engine, OWN)

    async def unlock_later(engine):
        await execute(engine, LOCK)
        await execute(engine, UNLOCK)

    async def lock_and_connect(engine):
        await lock(engine)
        async with engine.connect() as connection:
            await connection.execute(ONE)

    async def begin_aside(engine):
        async with engine.connect() as connection:
            aside = (await connection.get_raw_connection()).driver_connection
            await connection.execute(ONE)
        await aside.execute("BEGIN")

    async def lock_and_close(engine):
        await lock(engine)
        await engine.dispose()
"""
FIXTURES = """
    import pytest
    from app import *

    @pytest.fixture(scope="session")
    async def engines():
        engines = []
        yield engines
        for engine in engines:
            disposing = engine.dispose()
            if disposing is not None:
                await disposing

    # It outlives its test, as an application's does: what is left on its connections stays there.
    @pytest.fixture
    def engine(engines, sessionguard_postgres):
        engines.append(create_async_engine(sessionguard_postgres.url_for("{driver}")))
        return engines[-1]

    @pytest.fixture(scope="session")
    def one(sessionguard_postgres):
        engine = create_engine(sessionguard_postgres.url_for("psycopg"), pool_size=1)
        yield engine
        engine.dispose()

    def run(engine, *statements):
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(statement)
"""
ONE_LOOP = """
    asyncio_default_fixture_loop_scope = session
    asyncio_default_test_loop_scope = session
"""


def returned(driver: str, tests: str) -> dict[str, str]:
    return {
        "app.py": RETURNED,
        "conftest.py": FIXTURES.replace("{driver}", driver),
        "test_x.py": "import pytest\nfrom app import *\nfrom conftest import run\n"
        + textwrap.dedent(tests),
        "test_z.py": "def test_that_the_session_goes_on():\n    pass\n",
        "pytest.ini": INI + textwrap.dedent(ONE_LOOP),
    }


@pytest.mark.postgres
@pytest.mark.parametrize("driver", ("asyncpg", "psycopg"))
def test_returned(project, driver):
    """A lock, or a transaction begun aside, on a connection in its pool; and what ends in time."""
    run = project(
        returned(
            driver,
            """
            FAULTS = (lock, lock_and_connect, begin_aside)
            TWINS = (read, lock_and_unlock, lock_until_commit, unlock_later, lock_and_close)

            @pytest.mark.parametrize("work", (*FAULTS, *TWINS))
            async def test_it(work, engine):
                await work(engine)
                assert 0 == engine.pool.checkedout()

            @pytest.mark.sessionguard(ignore="SG105", reason="known since last year")
            async def test_old(engine):
                await lock(engine)

            async def test_new(engine):
                await lock(engine)
            """,
        )
    ).run("-v", subprocess=True)
    assert [
        "SG105 test_it[begin_aside]",
        "SG105 test_it[lock]",
        "SG105 test_it[lock_and_connect]",
        "SG105 test_new",
    ] == run.found, run.text
    assert (0, "") == (run.exit, run.fault)
    assert "could not be asked" not in run.text
    assert run.shows(
        f"""
        SG105 open-server-transaction: 1 connection was left with advisory locks on the server after test_it[lock]

          checked out   app.py:15 in execute  (engine postgresql+{driver})
                        app.py:22 in lock
          session       AsyncSession opened at app.py:13 in execute
                        app.py:22 in lock
          closed        the block of app.py:13 in execute, which ends at line 16

          It went back to its pool so: its backend is idle with 1 advisory lock, which the next user gets.
          Fix: `pg_advisory_xact_lock`, or unlock before the connection is returned.
          Accept: @pytest.mark.sessionguard(ignore="open-server-transaction", reason="...") or the baseline.
        """
    )
    assert run.shows(
        f"""
        SG105 open-server-transaction: 1 transaction was left open on the server after test_it[begin_aside]

          checked out   app.py:40 in begin_aside  (engine postgresql+{driver})
                        test_x.py:10 in test_it

          It went back to its pool so: its backend is idle in transaction, which the next user gets.
          Fix: end on a connection what was begun on it, before it is returned.
          Accept: @pytest.mark.sessionguard(ignore="open-server-transaction", reason="...") or the baseline.
        """
    )
    assert run.shows(
        f"""
        SG105 open-server-transaction: 1 connection was left with advisory locks on the server after test_it[lock_and_connect]

          checked out   app.py:36 in lock_and_connect  (engine postgresql+{driver})
                        test_x.py:10 in test_it
          or            app.py:15 in execute, before that
                        app.py:22 in lock

          It went back to its pool so: its backend is idle with 1 advisory lock, which the next user gets.
        """
    )


@pytest.mark.postgres
def test_one_connection_for_all(project):
    """Each test is told what it has added to a connection that others share, and no other test."""
    run = project(
        returned(
            "asyncpg",
            """
            def lock_on(key):
                return text(f"SELECT pg_advisory_lock({key})")

            def test_clean(one):
                run(one, ONE)

            def test_lock(one):
                run(one, LOCK)

            def test_innocent(one):
                run(one, ONE)

            def test_more(one):
                run(one, lock_on(8))

            def test_fewer(one):
                run(one, text("SELECT pg_advisory_unlock(8)"))

            def test_more_again(one):
                run(one, lock_on(8))

            def test_none(one):
                run(one, text("SELECT pg_advisory_unlock_all()"))

            @pytest.mark.sessionguard(ignore="SG105", reason="known since last year")
            def test_old(one):
                run(one, LOCK)

            def test_after_it(one):
                run(one, ONE)

            def test_new(one):
                run(one, lock_on(8))

            def test_that_fails(one):
                run(one, lock_on(9))
                assert False

            def test_after_the_failed(one):
                run(one, ONE)

            def test_last(one):
                run(one, lock_on(10))
            """,
        )
    ).run(subprocess=True)
    assert [
        "SG105 test_last",
        "SG105 test_lock",
        "SG105 test_more",
        "SG105 test_more_again",
        "SG105 test_new",
    ] == run.found, run.text
    assert (1, "") == (run.exit, run.fault)


@pytest.mark.postgres
def test_lock_of_a_fixture(project):
    """A wide fixture's lock is its own, at its end; what two owners may have left is nobody's."""
    run = project(
        returned(
            "asyncpg",
            """
            @pytest.fixture(scope="module")
            def locked(one):
                run(one, LOCK)

            @pytest.fixture(scope="module")
            def kept(one):
                run(one, LOCK)
                yield
                run(one, UNLOCK)

            @pytest.fixture(params=(False, True))
            def function_locked(engines, request, sessionguard_postgres):
                engine = create_engine(sessionguard_postgres.url_for("psycopg"))
                run(engine, LOCK)
                yield engine
                if request.param:
                    run(engine, UNLOCK)
                engines.append(engine)

            @pytest.fixture(scope="module")
            def session(one):
                from sqlalchemy.orm import Session
                with Session(one) as session:
                    yield session

            def test_of_a_wide_fixture(one, locked):
                run(one, ONE)

            def test_more(one, locked):
                run(one, LOCK, UNLOCK)

            def test_kept(one, kept):
                run(one, ONE)

            def test_function(function_locked):
                run(function_locked, ONE)

            def test_two_owners(one, session):
                session.execute(ONE)
                session.rollback()
                run(one, LOCK)
            """,
        )
    ).run(subprocess=True)
    assert ["SG105 fixture `locked`", "SG105 test_function[False]"] == run.found, run.text
    assert (0, "") == (run.exit, run.fault)


@pytest.mark.postgres
def test_a_suite_that_drops_its_database(project):
    """The guard's own connection is in nobody's way, and one serves all databases."""
    run = project(
        returned(
            "asyncpg",
            """
            import uuid

            COUNT = text("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pytest-sessionguard'")

            @pytest.fixture
            def own(one):
                name = f"own_{uuid.uuid4().hex}"
                admin = one.execution_options(isolation_level="AUTOCOMMIT")
                with admin.connect() as connection:
                    connection.execute(text(f"CREATE DATABASE {name}"))
                engine = create_engine(one.url.set(database=name))
                yield engine
                engine.dispose()
                with admin.connect() as connection:
                    connection.execute(text(f"DROP DATABASE {name}"))

            @pytest.fixture
            def counted(one):
                yield
                with one.connect() as connection:
                    assert 1 >= connection.scalar(COUNT)

            @pytest.mark.parametrize("number", range(4))
            def test_it(counted, own, number):
                run(own, ONE)
                if number == 2:
                    with own.connect() as connection:
                        connection.execute(ONE)
                        connection.invalidate()
            """,
        )
    ).run(subprocess=True)
    assert run.is_clean()


@pytest.mark.postgres
def test_nobody_is_asked_where_the_rule_is_off(project):
    """With the rule off, and in a suite without Postgres, the guard opens no connection."""
    asked = """
        from pytest_sessionguard.watch import monitor

        def refuse():
            raise AssertionError("asked")

        monitor._find_asker = refuse
    """
    files = returned("asyncpg", "def test_it(one):\n    run(one, ONE)\n")
    files["conftest.py"] += asked
    run = project(files).run("--sessionguard-ignore=SG105", "-v", subprocess=True)
    assert ([], 0, "") == (run.found, run.exit, run.fault), run.text
    assert "could not be asked" not in run.text
    run = project(files).run("-v", subprocess=True)
    assert "could not be asked (AssertionError)" in run.text


@pytest.mark.postgres
def test_a_thread_that_works_on(project):
    """What a thread does with the pool's connections while the guard asks is no leftover."""
    run = project(
        returned(
            "asyncpg",
            """
            import threading

            SLEEP = text("SELECT pg_sleep(0.005)")

            @pytest.fixture(scope="module", autouse=True)
            def worker(one):
                stopped = threading.Event()
                def work():
                    while not stopped.is_set():
                        run(one, SLEEP)
                        run(one, LOCK, SLEEP, UNLOCK)
                threads = [threading.Thread(target=work) for _ in range(3)]
                for thread in threads:
                    thread.start()
                yield
                stopped.set()
                for thread in threads:
                    thread.join()

            @pytest.mark.parametrize("number", range(60))
            def test_it(one, number):
                run(one, ONE, SLEEP)
            """,
        )
    ).run("--sessionguard-ignore=SG101", subprocess=True)
    assert run.is_clean()


# Where a suite comes by that uses a Postgres.
PLACES = (
    "accounts.backends.Seat.take_back",
    "leftovers.accuse",
    "leftovers.blame",
    "leftovers.find_seats",
    "leftovers.leave_open",
    "leftovers.settle",
    "watch.servers.ServerWatch._ask_all",
    "watch.servers.ServerWatch._find_idle",
    "watch.servers.ServerWatch.look_at",
)


@pytest.mark.postgres
@pytest.mark.parametrize("place", PLACES)
def test_fault_inside(project, place):
    """An exception in any place changes no result, and is one warning."""
    files = returned(
        "asyncpg",
        """
        def test_that_fails(one):
            run(one, LOCK)
            assert False

        def test_that_passes(one):
            run(one, LOCK)
        """,
    )
    module, *names = place.rsplit(".", 2 if place.split(".")[-2][0].isupper() else 1)
    files["conftest.py"] += f"""
    import pytest_sessionguard.{module} as module

    def fail(*args, **kwargs):
        raise RuntimeError("broken inside")

    module.{".".join(names)} = fail
    """
    run = project(files).run(subprocess=True)
    assert {
        "test_that_fails": "failed",
        "test_that_passes": "passed",
    }.items() <= run.results.items()
    assert 1 == run.exit
    assert "broken inside" in run.fault
    assert 1 == sum("broken inside" in message for _, message in run.warnings), run.text


@pytest.mark.postgres
def test_a_server_that_cannot_be_asked(project):
    """It is tried once, told at `-v` in one line, and changes nothing."""
    run = project(
        {
            "app.py": APP,
            "conftest.py": """
                from pytest_sessionguard.watch import monitor

                class Refusing:
                    def __init__(self, address):
                        raise ConnectionRefusedError("password hunter2")

                monitor._find_asker = lambda: Refusing
            """,
            "test_x.py": """
                import pytest
                from app import *

                @pytest.fixture
                def engine(sessionguard_postgres):
                    engine = create_engine(sessionguard_postgres.url_for("psycopg"))
                    yield engine
                    engine.dispose()

                @pytest.mark.parametrize("number", range(3))
                def test_it(engine, number):
                    take_aside(engine)
            """,
            "pytest.ini": INI,
        }
    ).run("-v", subprocess=True)
    assert ([], 0, "") == (run.found, run.exit, run.fault), run.text
    assert (
        "sessionguard: the Postgres server could not be asked (ConnectionRefusedError): "
        "SG105 judged nothing since"
    ) in run.text
    assert "hunter2" not in run.text


@pytest.fixture
def address(sessionguard_postgres):
    url = make_url(str(sessionguard_postgres.url_for("psycopg").render_as_string(False)))
    return Address(url.host, url.port, url.username, url.password, url.database)


@pytest.fixture
def backend(sessionguard_postgres):
    """A connection in a transaction that holds a lock, and its pid."""
    engine = create_engine(sessionguard_postgres.url_for("psycopg"))
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(11)"))
        yield connection.scalar(text("SELECT pg_backend_pid()"))
        connection.execute(text("SELECT pg_advisory_unlock_all()"))
    engine.dispose()


@pytest.mark.postgres
@pytest.mark.parametrize("driver", ("psycopg", "asyncpg"))
def test_monitor(driver, address, backend, monkeypatch):
    """With either driver: the state of a backend and its locks; a free one and a gone one are none."""
    import psycopg

    asker = AsyncpgAsker if driver == "asyncpg" else lambda where: SyncAsker(psycopg, where)
    monkeypatch.setattr(monitor_module, "_find_asker", lambda: asker)
    threads = set(threading.enumerate())
    monitor = Monitor()
    assert {backend: ("idle in transaction", 1)} == monitor.ask(address, [backend, 1])
    assert {} == monitor.ask(address, [1])
    (connection,) = monitor._askers.values()
    monitor.close()
    assert "" == monitor.trouble
    assert threads == set(threading.enumerate())
    assert {} == monitor._askers
    assert {backend: ("idle in transaction", 1)} == monitor.ask(address, [backend])
    assert connection not in monitor._askers.values()
    # One that somebody has cut is opened anew.
    for kept in monitor._askers.values():
        kept.close()
    assert {backend: ("idle in transaction", 1)} == monitor.ask(address, [backend])
    monitor.close()
    assert "" == monitor.trouble


@pytest.mark.postgres
@pytest.mark.parametrize("driver", ("psycopg", "asyncpg"))
def test_monitor_that_fails(driver, address, monkeypatch):
    """The first failure is kept by its name, and nothing is tried again; no thread is left."""
    import psycopg

    asker = AsyncpgAsker if driver == "asyncpg" else lambda where: SyncAsker(psycopg, where)
    tries = []
    monkeypatch.setattr(
        monitor_module, "_find_asker", lambda: lambda where: tries.append(where) or asker(where)
    )
    threads = set(threading.enumerate())
    monitor = Monitor()
    wrong = address._replace(user="there_is_none")
    assert {} == monitor.ask(wrong, [1]) == monitor.ask(address, [1])
    assert [wrong.home, wrong] == tries
    assert "Error" in monitor.trouble and "there_is_none" not in monitor.trouble
    assert not monitor.is_near(address)
    monitor.close()
    assert threads == set(threading.enumerate())


@pytest.mark.postgres
@pytest.mark.parametrize("driver", ("psycopg", "asyncpg"))
def test_monitor_without_a_home(driver, address, backend, count_own, monkeypatch):
    """Where it may not be in the database of all, no connection of it stays in the suite's own."""
    import psycopg

    asker = AsyncpgAsker if driver == "asyncpg" else lambda where: SyncAsker(psycopg, where)
    monkeypatch.setattr(monitor_module, "_find_asker", lambda: asker)
    monkeypatch.setattr(Address, "home", property(lambda self: self._replace(database="none")))
    before = count_own()
    monitor = Monitor()
    assert monitor.is_near(address)
    for _ in range(2):
        assert {backend: ("idle in transaction", 1)} == monitor.ask(address, [backend])
        assert not monitor.is_near(address)
        assert before == count_own()
    assert "" == monitor.trouble
    monitor.close()


@pytest.fixture
def count_own(sessionguard_postgres):
    """Give what counts the guard's own connections to the test's database."""
    engine = create_engine(sessionguard_postgres.url_for("psycopg"), isolation_level="AUTOCOMMIT")
    query = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE application_name = 'pytest-sessionguard' AND datname = current_database()"
    )

    def count():
        for _ in range(100):  # a server takes a moment to notice
            with engine.connect() as connection:
                found = connection.scalar(query)
            if not found:
                break
            time.sleep(0.02)
        return found

    yield count
    engine.dispose()


class FakeAsker:
    """An asker of a server that takes its time, until it is gone."""

    def __init__(self, address):
        self.pause = 0.0
        self.is_gone = address.host == "gone"

    def ask(self, pids):
        time.sleep(self.pause)
        if self.is_gone:
            raise ConnectionResetError
        return [(pid, "active", True, 0) for pid in pids]

    def close(self):
        pass


HERE = Address("here", 5432, "me", "", "db")


def test_monitor_of_a_far_server(monkeypatch):
    """One that never answers fast is not near, and still answers; a single slow answer is no sign."""
    made = []
    monkeypatch.setattr(
        monitor_module,
        "_find_asker",
        lambda: lambda where: made.append(FakeAsker(where)) or made[-1],
    )
    far, near = Monitor(), Monitor()
    for monitor, pauses in ((far, [0.006] * 5), (near, [0.006] * 4 + [0.0])):
        monitor.ask(HERE, [])
        monitor._times[HERE.home].clear()
        for pause in pauses:
            assert monitor.is_near(HERE)
            made[-1].pause = pause
            assert {1: ("active", 0)} == monitor.ask(HERE, [1])
    assert (False, True) == (far.is_near(HERE), near.is_near(HERE))
    assert {1: ("active", 0)} == far.ask(HERE, [1])
    assert 2 == len(made)


def test_monitor_of_a_server_that_ends(monkeypatch):
    """One that has answered and is gone, as a fixture's container, is no trouble; others are asked."""
    monkeypatch.setattr(monitor_module, "_find_asker", lambda: FakeAsker)
    monitor = Monitor()
    assert {1: ("active", 0)} == monitor.ask(HERE, [1])
    (asker,) = monitor._askers.values()
    asker.is_gone = True
    monkeypatch.setattr(
        monitor_module, "_find_asker", lambda: lambda _: FakeAsker(HERE._replace(host="gone"))
    )
    assert {} == monitor.ask(HERE, [1])
    assert ("", False) == (monitor.trouble, monitor.is_near(HERE))
    monkeypatch.setattr(monitor_module, "_find_asker", lambda: FakeAsker)
    assert {1: ("active", 0)} == monitor.ask(HERE._replace(port=5433), [1])
    assert {} == monitor.ask(HERE._replace(host="gone"), [1])
    assert "ConnectionResetError" == monitor.trouble


def test_address_hides_its_password():
    """What a traceback or a debugger shows of it has no password."""
    assert "hunter2" not in repr(Address("localhost", 5432, "me", "hunter2", "db"))


@pytest.mark.parametrize(
    ("place", "address"),
    (
        (("localhost", 5433), ("localhost", 5433)),
        (("::1", 5433, 0, 0), ("::1", 5433)),
        ("/run/postgresql/.s.PGSQL.5433", ("/run/postgresql", 5433)),
        ("/run/elsewhere", None),
        (None, None),
    ),
)
def test_seat_of_asyncpg(place, address):
    """Its address is that of TCP or of a socket; of what has neither nobody asks."""

    class Parameters:
        user, password, database = "me", None, "db"

    class Driver:
        _addr, _params = place, Parameters

        def get_server_pid(self):
            return 42

    Driver.__module__ = "asyncpg.connection"
    seat = find_seat(Driver())
    found = None if seat is None else (seat.address, seat.pid)
    assert (address and (Address(*address, "me", "", "db"), 42)) == found
