"""SG104: a second connection of a pool while one is held, in code that runs in production too."""

# ruff: noqa: E501 (lines are as long as a user sees them)

from __future__ import annotations

import textwrap

import pytest

APP = """
    import asyncio
    import contextlib
    import contextvars
    import threading
    from concurrent.futures import ThreadPoolExecutor

    from sqlalchemy import NullPool, StaticPool, create_engine, inspect, text
    from sqlalchemy.orm import Session, scoped_session, sessionmaker

    ONE = text("SELECT 1")
    engine = create_engine("sqlite:///app.db")
    factory = sessionmaker(engine)

    def count():
        with Session(engine) as session:
            return session.scalar(ONE)

    def nest():
        with Session(engine) as session:
            session.scalar(ONE)
            return count()  # nested

    def get_session():
        return Session(engine)

    @contextlib.contextmanager
    def unit():
        with Session(engine) as session:
            session.scalar(ONE)
            yield session

    class Repository:
        def __init__(self, session):
            self.session = session

        def get(self):
            return self.session.scalar(ONE)

        def get_with_lock(self):
            self.session.scalar(ONE)
            with engine.connect() as lock:
                return lock.scalar(ONE)
"""

# What an application does; each is called by a test.
FAULTY = {
    "session in session": "nest()",
    "connection in connection": """
        with engine.connect() as connection:
            connection.scalar(ONE)
            with engine.begin() as other:
                other.scalar(ONE)
    """,
    "a helper that connects": """
        first = engine.connect()
        second = engine.connect()
        second.close()
        first.close()
    """,
    "a helper takes, another takes": """
        with factory() as session:
            Repository(session).get()
            count()
    """,
    "a context manager holds": """
        with unit():
            count()
    """,
    "inspector": """
        with engine.connect() as connection:
            connection.scalar(ONE)
            inspect(engine).get_table_names()
    """,
    "a session that was lent": """
        def work(session):
            session.scalar(ONE)
            count()

        with factory() as session:
            work(session)
    """,
    "a thread of its own": """
        thread = threading.Thread(target=nest)
        thread.start()
        thread.join()
    """,
    "a registry and a session": """
        registry = scoped_session(factory)
        registry.scalar(ONE)
        count()
        registry.remove()
    """,
    "an option engine": """
        with engine.connect() as connection:
            connection.scalar(ONE)
            with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as other:
                other.scalar(ONE)
    """,
}

HEALTHY = {
    "one after the other": """
        count()
        count()
    """,
    "ended before": """
        with Session(engine) as session:
            session.scalar(ONE)
            session.commit()
            count()
    """,
    "the same session": """
        with Session(engine) as session:
            Repository(session).get()
            Repository(session).get()
    """,
    "a savepoint": """
        with Session(engine) as session, session.begin():
            with session.begin_nested():
                session.scalar(ONE)
    """,
    "another engine": """
        other = create_engine("sqlite:///other.db")
        with engine.connect() as connection, other.connect() as second:
            connection.scalar(ONE)
            second.scalar(ONE)
        other.dispose()
    """,
    "no limit": """
        other = create_engine("sqlite:///other.db", max_overflow=-1)
        with other.connect() as connection:
            connection.scalar(ONE)
            with other.connect() as second:
                second.scalar(ONE)
        other.dispose()
    """,
    "no pool": """
        other = create_engine("sqlite:///other.db", poolclass=NullPool)
        with other.connect() as connection:
            connection.scalar(ONE)
            with other.connect() as second:
                second.scalar(ONE)
    """,
    "a shared connection": """
        other = create_engine("sqlite://", poolclass=StaticPool)
        with other.connect() as connection:
            connection.scalar(ONE)
            with other.connect() as second:
                second.scalar(ONE)
        other.dispose()
    """,
    "memory": """
        other = create_engine("sqlite://")
        with other.connect() as connection:
            connection.scalar(ONE)
            with other.connect() as second:
                second.scalar(ONE)
        other.dispose()
    """,
    "another thread": """
        with Session(engine) as session:
            session.scalar(ONE)
            with ThreadPoolExecutor(1) as pool:
                pool.submit(count).result()
    """,
    "a thread that works for two": """
        sessions = [factory(), factory()]

        def first():
            sessions[0].scalar(ONE)

        def second():
            sessions[1].scalar(ONE)

        # As anyio.to_thread does it: each piece of work runs in a context of its own.
        with ThreadPoolExecutor(1) as pool:
            for work in (first, second):
                pool.submit(contextvars.copy_context().run, work).result()
            for session in sessions:
                pool.submit(session.close).result()
    """,
}


def make_suite(cases: dict[str, str]) -> dict[str, str]:
    app, tests = textwrap.dedent(APP), "import app\n\n"
    for number, code in enumerate(cases.values()):
        body = textwrap.indent(textwrap.dedent(code).strip(), "    ")
        app += f"\ndef case_{number}():\n{body}\n"
        tests += f"def test_{number}():\n    app.case_{number}()\n\n"
    return {"app.py": app, "test_x.py": tests}


def test_faulty_code(project):
    """Each way to hold and wait is one finding, a warning."""
    run = project(make_suite(FAULTY)).run()
    wanted = sorted(f"SG104 test_{number}" for number in range(len(FAULTY)))
    assert (wanted, 0) == (run.found, run.exit), run.text
    assert set(run.results.values()) == {"passed"}


def test_healthy_code(project):
    """Nothing is said where nobody holds one while asking, or nobody has to wait."""
    assert project(make_suite(HEALTHY)).run("--sessionguard-error=SG104").is_clean()


TESTS = """
    import pytest
    from app import *

    @pytest.fixture
    def session():
        with Session(engine) as session:
            session.scalar(ONE)
            yield session

    @pytest.fixture(scope="module")
    def wide():
        with engine.connect() as connection:
            connection.scalar(ONE)
            yield connection

    @pytest.fixture
    def made():
        session = get_session()
        Repository(session).get()
        yield session
        session.close()

    @pytest.fixture
    def harness():
        with engine.connect() as connection, connection.begin() as transaction:
            with Session(connection, join_transaction_mode="create_savepoint") as session:
                yield session
            transaction.rollback()

    def test_fixture(session):
        count()

    def test_wide(wide):
        count()

    def test_made_in_fixture(made):
        Repository(made).get()
        count()

    def test_harness(harness):
        Repository(harness).get()
        count()

    def test_own_session():
        with Session(engine) as session:
            session.scalar(ONE)
            count()
            session.scalar(ONE)

    def test_factory_of_the_application():
        session = get_session()
        Repository(session).get()
        count()
        session.close()

    def test_unit_of_the_application():
        with unit() as session:
            count()
            session.scalar(ONE)

    def test_two_of_its_own():
        with engine.connect() as one:
            with engine.connect() as two:
                assert one.scalar(ONE) == two.scalar(ONE)

    def test_the_same_function_twice():
        with get_session() as session, get_session() as other:
            assert Repository(session).get() == Repository(other).get()
"""


def test_what_tests_hold(project):
    """A connection that a test or its fixture keeps is no hold of the code under test."""
    suite = project({"app.py": APP, "test_x.py": TESTS})
    assert suite.run("--sessionguard-error=SG104").is_clean()


def test_helpers_among_the_tests(project):
    """Neither is one that a helper among the tests keeps."""
    tests = """
        from app import *
        from testing.helpers import check

        def test_it():
            check()
    """
    helpers = """
        from app import *

        def check():
            with engine.connect() as connection:
                connection.scalar(ONE)
                count()
    """
    suite = project(
        {
            "app.py": APP,
            "testing/__init__.py": "",
            "testing/helpers.py": helpers,
            "test_x.py": tests,
            "pytest.ini": "[pytest]\npythonpath = .\n",
        }
    )
    assert suite.run("--sessionguard-error=SG104").is_clean()


def test_accepted(project):
    """An old one that is accepted stays silent, and a new one beside it does not."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import nest

                @pytest.mark.sessionguard(ignore="nested-checkout", reason="known since last year")
                def test_old():
                    nest()

                def test_new():
                    nest()
            """,
        }
    ).run()
    assert run.found == ["SG104 test_new"]


def test_text(project):
    """Both places, the session that holds, and who can wait for whom."""
    run = project(
        {"app.py": APP, "test_x.py": "from app import nest\n\ndef test_nest():\n    nest()\n"}
    ).run()
    assert run.shows(
        """
        SG104 nested-checkout: 1 connection was asked for while one of that pool was held, in test_nest

          asked for     app.py:16 in count  (engine sqlite+pysqlite, pool 5+10)
                        app.py:21 in nest
          while holding app.py:20 in nest
          held by       Session opened at app.py:19 in nest

          15 such callers at once take all 15 and wait 30 s for one more, in vain; N callers need a pool of N + 1.
          Fix: use the connection or session that is held, or end it before the next is taken.
          Accept: @pytest.mark.sessionguard(ignore="nested-checkout", reason="...") or the baseline.
        """
    )


POSTGRES_APP = """
    import asyncio
    import pytest
    from sqlalchemy import create_engine, text
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
    from sqlalchemy.exc import TimeoutError

    ONE = text("SELECT 1")

    async def count(engine):
        async with AsyncSession(engine) as session:
            return await session.scalar(ONE)

    async def nest(engine):
        async with AsyncSession(engine) as session:
            await session.scalar(ONE)
            return await count(engine)

    async def mend(engine):
        async with AsyncSession(engine) as session:
            await session.scalar(ONE)
        return await count(engine)

    async def gather(engine):
        # Each of the tasks holds one and asks for none.
        await asyncio.gather(*(mend(engine) for _ in range(20)))

    async def hand_over(engine):
        async with AsyncSession(engine) as session:
            await session.scalar(ONE)
            await asyncio.create_task(count(engine))

    def nest_sync(engine):
        with engine.connect() as connection:
            connection.scalar(ONE)
            with engine.connect() as other:
                return other.scalar(ONE)

    def swallow(engine):
        with engine.connect() as connection:
            connection.scalar(ONE)
            try:
                engine.connect()
            except TimeoutError:
                return 1
"""


@pytest.mark.postgres
@pytest.mark.parametrize("driver", ("asyncpg", "psycopg"))
def test_async(project, driver):
    """On both async drivers: found in one task, not over tasks that come and go."""
    run = project(
        {
            "app.py": POSTGRES_APP,
            "test_x.py": f"""
                import pytest
                from app import *

                @pytest.fixture
                async def engine(sessionguard_postgres):
                    engine = create_async_engine(sessionguard_postgres.url_for("{driver}"))
                    yield engine
                    await engine.dispose()

                @pytest.mark.parametrize("work", (nest, mend, gather, hand_over))
                async def test_it(work, engine):
                    await work(engine)
            """,
            "pytest.ini": "[pytest]\nasyncio_mode = auto\nsessionguard_postgres = embedded\n",
        }
    ).run(subprocess=True)
    assert (["SG104 test_it[nest]"], 0) == (run.found, run.exit), run.text


@pytest.mark.postgres
def test_tight_engines(project):
    """On an engine that is tight on purpose it is an error, unless a setting says otherwise."""
    run = project(
        {
            "app.py": POSTGRES_APP,
            "test_x.py": """
                import pytest
                from app import *

                pytestmark = pytest.mark.sessionguard(pool_size=2)

                def test_sync(sessionguard_engine):
                    nest_sync(sessionguard_engine)

                async def test_async(sessionguard_async_engine):
                    await nest(sessionguard_async_engine)

                @pytest.mark.sessionguard(warn="SG104")
                def test_warned(sessionguard_engine):
                    nest_sync(sessionguard_engine)

                @pytest.mark.sessionguard(pool_size=1, pool_timeout=1)
                def test_swallowed(sessionguard_engine):
                    swallow(sessionguard_engine)

                async def test_mended(sessionguard_async_engine):
                    await mend(sessionguard_async_engine)
            """,
            "pytest.ini": "[pytest]\nasyncio_mode = auto\nsessionguard_postgres = embedded\n",
        }
    ).run(subprocess=True)
    names = ["test_async", "test_swallowed", "test_sync", "test_warned"]
    assert [f"SG104 {name}" for name in names] == run.found, run.text
    errors = {name for name, word in run.results.items() if word == "passed, error at teardown"}
    assert {"test_async", "test_swallowed", "test_sync"} == errors


def test_web(project):
    """An endpoint that asks again while its request holds one; its twin, and two requests at once."""
    web = """
        import threading

        from app import ONE, Session, count, engine
        from fastapi import Depends, FastAPI

        web = FastAPI()
        gate = threading.Barrier(2)

        def get_session():
            session = Session(engine)
            try:
                yield session
            finally:
                session.close()

        @web.get("/bad")
        def bad(session=Depends(get_session)):
            session.scalar(ONE)
            return count()

        @web.get("/good")
        def good(session=Depends(get_session)):
            session.scalar(ONE)
            gate.wait(5)
            return session.scalar(ONE)
    """
    tests = """
        from concurrent.futures import ThreadPoolExecutor

        from fastapi.testclient import TestClient
        from shop import web

        def test_bad():
            with TestClient(web) as client:
                assert client.get("/bad").json() == 1

        def test_good():
            with TestClient(web) as client, ThreadPoolExecutor(2) as pool:
                for _ in range(10):
                    answers = [pool.submit(client.get, "/good") for _ in range(2)]
                    assert [answer.result().json() for answer in answers] == [1, 1]
    """
    run = project({"app.py": APP, "shop.py": web, "test_x.py": tests}).run()
    assert (["SG104 test_bad"], 0) == (run.found, run.exit), run.text
