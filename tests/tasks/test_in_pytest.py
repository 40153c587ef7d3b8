"""The rules in runs of pytest: the triple, the runners of async tests, fixtures, and the text."""

# ruff: noqa: E501 (lines are as long as a user sees them)

from __future__ import annotations

import textwrap

import pytest

from pytest_sessionguard.rules import instance_in_background_task, session_in_background_task

INI = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
APP = """
    import asyncio
    import threading
    from concurrent.futures import ThreadPoolExecutor

    from sqlalchemy import create_engine, select, text
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
    from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
    from sqlalchemy.pool import NullPool

    engine = create_engine("sqlite:///app.db")
    async_engine = create_async_engine("sqlite+aiosqlite:///app.db", poolclass=NullPool)
    factory = async_sessionmaker(async_engine)

    class Base(DeclarativeBase):
        pass

    class User(Base):
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(User(name="ada"))
        session.commit()
    engine.dispose()

    async def greet(session):
        await asyncio.sleep(0.01)
        await session.scalar(text("SELECT 1"))

    async def show(user):
        await asyncio.sleep(0.01)

    async def greet_by_id(user_id):
        await asyncio.sleep(0.01)
        async with factory() as session:
            assert await session.get(User, user_id)

    async def hand_session():
        async with factory() as session:
            await session.get(User, 1)
            task = asyncio.create_task(greet(session))
        await task

    async def hand_user():
        async with factory() as session:
            task = asyncio.create_task(show(await session.get(User, 1)))
        await task

    async def hand_id():
        async with factory() as session:
            user = await session.get(User, 1)
            task = asyncio.create_task(greet_by_id(user.id))
        await task

    def wait(thing, gate):
        gate.wait(10)

    def hand_to_thread(pick):
        gate = threading.Event()
        with ThreadPoolExecutor() as pool:
            with Session(engine) as session:
                pool.submit(wait, pick(session), gate)
            gate.set()
        engine.dispose()
"""

TRIPLES = {
    "SG204": (
        ("async def", "await app.hand_session()", "await app.hand_id()"),
        (
            "def",
            "app.hand_to_thread(lambda session: session)",
            "app.hand_to_thread(lambda session: 1)",
        ),
    ),
    "SG305": (
        ("async def", "await app.hand_user()", "await app.hand_id()"),
        (
            "def",
            "app.hand_to_thread(lambda session: session.get(app.User, 1))",
            "app.hand_to_thread(lambda session: session.get(app.User, 1).id)",
        ),
    ),
}
CASES = [(rule, *case) for rule, cases in TRIPLES.items() for case in cases]


@pytest.mark.parametrize(("rule", "kind", "fault", "twin"), CASES)
def test_triple(project, rule, kind, fault, twin):
    """Found; the twin is silent; an accepted fault is, and a new one beside it is not."""
    run = project(
        {
            "pytest.ini": INI + "sessionguard_error = SG305\n",
            "app.py": APP,
            "test_x.py": f"""
                import app
                import pytest

                {kind} test_fault():
                    {fault}

                {kind} test_twin():
                    {twin}

                @pytest.mark.sessionguard(ignore="{rule}", reason="on purpose")
                {kind} test_accepted():
                    {fault}

                @pytest.mark.sessionguard(ignore="{rule}", reason="on purpose")
                {kind} test_accepted_and_another():
                    {fault}
                    app.engine.connect().close()
                    kept.append(app.engine.connect())

                kept = []
            """,
        }
    ).run()
    assert run.found == ["SG101 test_accepted_and_another", f"{rule} test_fault"], run.text
    assert run.fault == ""
    assert run.results["test_fault"] == "passed, error at teardown"


def test_defaults(project):
    """SG204 fails a test, and SG305 only warns."""
    run = project(
        {
            "pytest.ini": INI,
            "app.py": APP,
            "test_x.py": """
                import app

                async def test_session():
                    await app.hand_session()

                async def test_user():
                    await app.hand_user()
            """,
        }
    ).run()
    assert run.found == ["SG204 test_session", "SG305 test_user"]
    assert run.results == {"test_session": "passed, error at teardown", "test_user": "passed"}
    assert session_in_background_task.RULE.severity.value == "error"
    assert instance_in_background_task.RULE.severity.value == "warn"


def test_an_accepted_one_is_not_told_by_another_rule(project):
    """What the task of an accepted hand-over does with the closed session is accepted with it."""
    run = project(
        {
            "pytest.ini": INI + "sessionguard_ignore = SG204\n",
            "app.py": APP,
            "test_x.py": """
                import app

                async def test_session():
                    await app.hand_session()
            """,
        }
    ).run()
    assert run.is_clean()


def test_without_the_hand_over(project):
    """The same use below the block, by no task, is SG202 still."""
    run = project(
        {
            "pytest.ini": INI,
            "app.py": APP,
            "test_x.py": """
                import app

                async def test_session():
                    async with app.factory() as session:
                        await session.get(app.User, 1)
                    await app.greet(session)
                    await session.close()
            """,
        }
    ).run()
    assert run.found == ["SG202 test_session"]


RUNNERS = {
    "pytest-asyncio": (
        INI,
        """
        @pytest_asyncio.fixture
        async def session():
            async with app.factory() as session:
                yield session

        async def test_it(session):
            await asyncio.gather(app.greet(session))

        @pytest_asyncio.fixture
        async def ticker(session):
            async def tick():
                while True:
                    await asyncio.sleep(0.001)
            task = asyncio.create_task(tick())
            yield
            task.cancel()

        async def test_ticker(session, ticker):
            await app.greet(session)
        """,
    ),
    "module loops": (
        INI.replace("function", "module") + "asyncio_default_test_loop_scope = module\n",
        """
        @pytest_asyncio.fixture(scope="module")
        async def session():
            session = app.factory()
            yield session
            await session.close()

        async def test_it(session):
            await asyncio.wait_for(app.greet(session), 5)

        async def test_again(session):
            await asyncio.create_task(app.greet(session))
        """,
    ),
    "anyio": (
        "[pytest]\nasyncio_mode = strict\nasyncio_default_fixture_loop_scope = function\n",
        """
        pytestmark = pytest.mark.anyio

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.fixture
        async def session():
            async with app.factory() as session:
                yield session

        async def test_it(session):
            async with anyio.create_task_group() as group:
                group.start_soon(app.greet, session)
        """,
    ),
    "none": (
        "[pytest]\n",
        """
        def test_it():
            async def main(session):
                async with session:
                    await app.greet(session)
            asyncio.run(main(app.factory()))

        def test_thread():
            session = app.Session(app.engine)
            thread = threading.Thread(target=session.close)
            thread.start()
            thread.join()
        """,
    ),
    "unittest": (
        "[pytest]\n",
        """
        class TestIt(unittest.IsolatedAsyncioTestCase):
            async def asyncSetUp(self):
                self.session = app.factory()
                self.addAsyncCleanup(self.session.close)

            async def test_it(self):
                await asyncio.gather(app.greet(self.session))
        """,
    ),
}


@pytest.mark.parametrize("runner", RUNNERS)
def test_runners(project, runner):
    """Tests and fixtures whose runner hands them a session are none."""
    ini, text = RUNNERS[runner]
    head = "import app, anyio, asyncio, pytest, pytest_asyncio, threading, unittest\n"
    suite = project({"pytest.ini": ini, "app.py": APP})
    suite.write("test_x.py", head + textwrap.dedent(text))
    run = suite.run("--sessionguard-error=all", "--sessionguard-ignore=SG4")
    assert run.is_clean()


def test_a_fixture_that_closes_too_early(project):
    """A task that a test started, and left, outlives the session of a fixture."""
    run = project(
        {
            "pytest.ini": INI,
            "app.py": APP,
            "test_x.py": """
                import app, asyncio, pytest, pytest_asyncio

                tasks = []

                @pytest_asyncio.fixture
                async def session():
                    async with app.factory() as session:
                        yield session
                    await asyncio.gather(*tasks)

                async def test_left(session):
                    tasks.append(asyncio.create_task(app.show(session)))
            """,
        }
    ).run()
    assert run.found == ["SG204 fixture `session`"]
    assert "app.show(session)" not in run.text
    assert "test_x.py:12 in test_left, by create_task" in run.text


def test_failed_test(project):
    """What a failed test has handed over stands beside its failure, and fails nothing more."""
    run = project(
        {
            "pytest.ini": INI,
            "app.py": APP,
            "test_x.py": """
                import app

                async def test_failed():
                    await app.hand_session()
                    assert False

                async def test_next():
                    pass
            """,
        }
    ).run()
    assert run.results == {"test_failed": "failed", "test_next": "passed"}
    assert run.found == []
    assert "SG204 session-in-background-task" in str(run.sections)


def test_text(project):
    """The whole of a finding."""
    run = project(
        {
            "pytest.ini": INI,
            "app.py": APP,
            "test_x.py": """
                import app

                async def test_session():
                    await app.hand_session()
            """,
        }
    ).run()
    assert run.shows(
        """
        SG204 session-in-background-task: 1 AsyncSession was handed to a background task that outlives its session, in test_session

          handed over   app.py:43 in hand_session, by create_task  (engine sqlite+aiosqlite, NullPool)
                        test_x.py:4 in test_session
          session       AsyncSession opened at app.py:41 in hand_session
          closed        the block of app.py:41 in hand_session, which ends at line 43
          used again    app.py:30 in greet
          connection    app.py:30 in greet, left to the garbage collector

          Nobody closes it for the task. Each such call leaves one more connection open on the server.
          Fix: give the task ids, and open a session inside it: `async with async_session() as session:`.
          Accept: @pytest.mark.sessionguard(ignore="session-in-background-task", reason="...") or the baseline.
        """
    )


def test_warning_text(project):
    """A warning in full."""
    run = project(
        {
            "pytest.ini": INI,
            "app.py": APP,
            "test_x.py": """
                import app

                async def test_user():
                    await app.hand_user()
            """,
        }
    ).run("-v")
    assert run.shows(
        """
        SG305 instance-in-background-task: 1 User, still of a session, was handed to a background task that outlives its session, in test_user

          handed over   app.py:48 in hand_user, by create_task
                        test_x.py:4 in test_user
          session       AsyncSession opened at app.py:47 in hand_user
                        test_x.py:4 in test_user
          closed        the block of app.py:47 in hand_user, which ends at line 48

          Closing detaches it: what is expired or not loaded raises DetachedInstanceError there.
          Fix: give the task its id, and load it there in a session of the task's own.
          Accept: @pytest.mark.sessionguard(ignore="instance-in-background-task", reason="...") or the baseline.
        """
    )
