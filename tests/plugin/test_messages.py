"""The exact text of each finding, in at most 14 lines."""

# ruff: noqa: E501 (the lines are as long as a user sees them)

from __future__ import annotations

import pytest
from harness import APP, ASYNC_APP

SYNC = {
    "app.py": APP,
    "test_x.py": """
        import app
        from app import Session, engine, kept, text

        def test_leak():
            app.leak()

        def test_forget():
            app.forget()

        def test_open():
            app.leave_open()

        def test_after():
            app.use_after()

        def test_session():
            session = Session(engine)
            kept.append(session)
            session.execute(text("SELECT 1"))

        def test_many():
            for _ in range(3):
                app.leak()
    """,
}
ASYNC = {
    "app.py": ASYNC_APP,
    "pytest.ini": "[pytest]\nasyncio_mode = auto\n",
    "test_x.py": """
        import app
        from app import AsyncSession, engine, kept, text

        async def test_leak():
            await app.leak()

        async def test_forget():
            await app.forget()

        async def test_open():
            await app.leave_open()

        async def test_after():
            await app.use_after()

        async def test_session():
            session = AsyncSession(engine)
            kept.append(session)
            await session.execute(text("SELECT 1"))
    """,
}

SYNC_TEXTS = {
    "test_leak": """
        SG101 leaked-connection: 1 connection was still checked out after test_leak

          checked out   app.py:9 in leak  (engine sqlite+pysqlite, pool 5+10)
                        test_x.py:5 in test_leak

          After 15 such calls the next one waits 30 s and fails with TimeoutError.
          Fix: open it in `with engine.connect() as connection:` (async: `async with`).
          Accept: @pytest.mark.sessionguard(ignore="leaked-connection", reason="...") or the baseline.
    """,
    "test_forget": """
        SG102 connection-left-to-gc: 1 connection was left to the garbage collector by test_forget

          checked out   app.py:14 in forget  (engine sqlite+pysqlite, pool 5+10)
                        test_x.py:8 in test_forget

          Until the collector comes the pool lacks it; an async one is cut off, not reused.
          Fix: open it in `with engine.connect() as connection:` (async: `async with`).
          Accept: @pytest.mark.sessionguard(ignore="connection-left-to-gc", reason="...") or the baseline.
    """,
    "test_open": """
        SG201 unclosed-session: 1 Session was dropped without close() by test_open

          opened        Session at app.py:21 in leave_open
                        test_x.py:11 in test_open

          It keeps what it loaded, and takes a connection again at its next statement.
          Fix: open the session in `with Session(engine) as session:`, or close it in `finally`.
          Accept: @pytest.mark.sessionguard(ignore="unclosed-session", reason="...") or the baseline.
    """,
    "test_after": """
        SG202 session-used-after-close: 1 Session began again below the `with` block that had closed it and kept a connection, in test_after

          began again   app.py:29 in use_after  (engine sqlite+pysqlite, pool 5+10)
                        test_x.py:14 in test_after
          block ended   the block of app.py:26 in use_after ended at line 27
          connection    app.py:29 in use_after, never returned

          Nobody is left to close it. After 15 such calls the next one waits 30 s and fails with TimeoutError.
          Fix: move these lines into the block, or open a new session for them.
          Accept: @pytest.mark.sessionguard(ignore="session-used-after-close", reason="...") or the baseline.
    """,
    "test_session": """
        SG101 leaked-connection: 1 connection was still checked out after test_session

          checked out   test_x.py:19 in test_session  (engine sqlite+pysqlite, pool 5+10)
          held by       Session opened at test_x.py:17 in test_session, never closed

          After 15 such calls the next one waits 30 s and fails with TimeoutError.
          Fix: open the session in `with Session(engine) as session:`, or close it in `finally`.
          Accept: @pytest.mark.sessionguard(ignore="leaked-connection", reason="...") or the baseline.
    """,
    "test_many": """
        SG101 leaked-connection: 3 connections were still checked out after test_many

          checked out   app.py:9 in leak  (engine sqlite+pysqlite, pool 5+10)
                        test_x.py:23 in test_many

          After 15 such calls the next one waits 30 s and fails with TimeoutError.
          Fix: open it in `with engine.connect() as connection:` (async: `async with`).
          Accept: @pytest.mark.sessionguard(ignore="leaked-connection", reason="...") or the baseline.
    """,
}
ASYNC_TEXTS = {
    "test_leak": """
        SG101 leaked-connection: 1 connection was still checked out after test_leak

          checked out   app.py:9 in leak  (engine sqlite+aiosqlite, pool 5+10)
                        test_x.py:5 in test_leak

          After 15 such calls the next one waits 30 s and fails with TimeoutError.
          Fix: open it in `with engine.connect() as connection:` (async: `async with`).
          Accept: @pytest.mark.sessionguard(ignore="leaked-connection", reason="...") or the baseline.
    """,
    "test_forget": """
        SG102 connection-left-to-gc: 1 connection was left to the garbage collector by test_forget

          checked out   app.py:14 in forget  (engine sqlite+aiosqlite, pool 5+10)
                        test_x.py:8 in test_forget

          Until the collector comes the pool lacks it; an async one is cut off, not reused.
          Fix: open it in `with engine.connect() as connection:` (async: `async with`).
          Accept: @pytest.mark.sessionguard(ignore="connection-left-to-gc", reason="...") or the baseline.
    """,
    "test_open": """
        SG201 unclosed-session: 1 AsyncSession was dropped without close() by test_open

          opened        AsyncSession at app.py:22 in leave_open
                        test_x.py:11 in test_open

          It keeps what it loaded, and takes a connection again at its next statement.
          Fix: open the session in `async with async_session() as session:`.
          Accept: @pytest.mark.sessionguard(ignore="unclosed-session", reason="...") or the baseline.
    """,
    "test_after": """
        SG202 session-used-after-close: 1 AsyncSession began again below the `with` block that had closed it and kept a connection, in test_after

          began again   app.py:30 in use_after  (engine sqlite+aiosqlite, pool 5+10)
                        test_x.py:14 in test_after
          block ended   the block of app.py:27 in use_after ended at line 28
          connection    app.py:30 in use_after, never returned

          Nobody is left to close it. After 15 such calls the next one waits 30 s and fails with TimeoutError.
          Fix: move these lines into the block, or open a new session for them.
          Accept: @pytest.mark.sessionguard(ignore="session-used-after-close", reason="...") or the baseline.
    """,
    "test_session": """
        SG101 leaked-connection: 1 connection was still checked out after test_session

          checked out   test_x.py:19 in test_session  (engine sqlite+aiosqlite, pool 5+10)
          held by       AsyncSession opened at test_x.py:17 in test_session, never closed

          After 15 such calls the next one waits 30 s and fails with TimeoutError.
          Fix: open the session in `async with async_session() as session:`.
          Accept: @pytest.mark.sessionguard(ignore="leaked-connection", reason="...") or the baseline.
    """,
}


def check(run, text: str) -> None:
    assert len(text.strip().splitlines()) <= 14
    assert run.shows(text)


@pytest.mark.parametrize("name", SYNC_TEXTS)
def test_sync(project, name):
    """Each finding of a sync test, as it is shown."""
    check(project(SYNC).run("-k", name), SYNC_TEXTS[name])


@pytest.mark.parametrize("name", ASYNC_TEXTS)
def test_async(project, name):
    """Each finding of an async test: call sites reach across the greenlets."""
    check(project(ASYNC).run("-k", name), ASYNC_TEXTS[name])


FIXTURES = {
    "app.py": APP,
    "test_x.py": """
        import pytest
        from app import leak

        @pytest.fixture
        def function():
            leak()

        @pytest.fixture(scope="class")
        def class_():
            leak()

        @pytest.fixture(scope="module")
        def module():
            leak()

        @pytest.fixture(scope="session")
        def session():
            leak()

        def test_function(function):
            pass

        def test_class(class_):
            pass

        def test_module(module):
            pass

        def test_session(session):
            pass
    """,
}
NOT_AT_FAULT = "The test that pytest names here ran when the fixture ended; it is not at fault."
WAYS_OUT = {
    "function": '@pytest.mark.sessionguard(ignore="leaked-connection", reason="...")',
    "class": '@pytest.mark.sessionguard(ignore="leaked-connection", reason="...")',
    "module": 'pytestmark = pytest.mark.sessionguard(ignore="leaked-connection", reason="...")',
    "session": "sessionguard_ignore = leaked-connection in pytest's settings",
}


@pytest.mark.parametrize("scope", WAYS_OUT)
def test_fixture(project, scope):
    """A fixture's finding names it with its scope, acquits the last test, and its way out works."""
    name = "class_" if scope == "class" else scope
    line = {"function": 6, "class": 10, "module": 14, "session": 18}[scope]
    acquittal = "" if scope == "function" else f"          {NOT_AT_FAULT}\n"
    text = f"""
        SG101 leaked-connection: 1 connection was still checked out after the {scope}-scoped fixture `{name}` was torn down

          checked out   app.py:9 in leak  (engine sqlite+pysqlite, pool 5+10)
                        test_x.py:{line} in {name}

          After 15 such calls the next one waits 30 s and fails with TimeoutError.
          Fix: open it in `with engine.connect() as connection:` (async: `async with`).
{acquittal}          Accept: {WAYS_OUT[scope]} or the baseline.
    """
    check(project(FIXTURES).run("-k", f"test_{scope}"), text)


def accept(project, old: str, new: str) -> None:
    run = project({"app.py": APP, "test_x.py": FIXTURES["test_x.py"].replace(old, new)}).run(
        "-k", new.split("def ")[-1].split("(")[0] if "def " in new else "test_module"
    )
    assert run.found == []


def test_way_out_of_a_function_fixture(project):
    """The marker that the message of a function fixture offers, on the test, is accepted."""
    mark = WAYS_OUT["function"].replace("...", "known")
    old = "        def test_function("
    accept(project, old, f"        {mark}\n{old}")


def test_way_out_of_a_module_fixture(project):
    """So is that of a module fixture, in the module."""
    mark = WAYS_OUT["module"].replace("...", "known")
    accept(project, "        import pytest\n", f"        import pytest\n        {mark}\n")


def test_way_out_of_a_session_fixture(project):
    """So is the ini line of a session fixture."""
    run = project({**FIXTURES, "pytest.ini": "[pytest]\nsessionguard_ignore = leaked-connection\n"})
    assert run.run().found == []


def test_way_out_of_a_class_fixture(project):
    """So is the marker of a class fixture, on the class."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import leak

                @pytest.mark.sessionguard(ignore="leaked-connection", reason="known")
                class TestIt:
                    @pytest.fixture(scope="class")
                    def row(self):
                        leak()

                    def test_a(self, row):
                        pass
            """,
        }
    ).run()
    assert run.found == []


def test_null_pool(project):
    """Of a NullPool the message says what is true there."""
    run = project(
        {
            "test_x.py": """
                from sqlalchemy import NullPool, create_engine
                engine = create_engine("sqlite:///app.db", poolclass=NullPool)
                kept = []

                def test_a():
                    kept.append(engine.connect())
            """
        }
    ).run()
    assert run.shows(
        """
          checked out   test_x.py:6 in test_a  (engine sqlite+pysqlite, NullPool)

          Each such call leaves one more connection open on the server.
        """
    )


SHARED = "This pool shares one connection; a server's pool loses one at each such call."
STAYS = "The connection and its transaction stay open on the server."


@pytest.mark.parametrize(
    ("pool", "consequence"),
    [("StaticPool", SHARED), ("SingletonThreadPool", SHARED), ("AssertionPool", STAYS)],
)
def test_other_pools(project, pool, consequence):
    """Of pools without an overflow the message gives the pool's name and what is true of it."""
    run = project(
        {
            "test_x.py": f"""
                from sqlalchemy import create_engine, pool
                engine = create_engine("sqlite:///app.db", poolclass=pool.{pool})
                kept = []

                def test_a():
                    kept.append(engine.connect())
            """
        }
    ).run()
    assert run.found == ["SG101 test_a"]
    assert f"(engine sqlite+pysqlite, {pool})" in run.text
    assert consequence in run.text


def test_also_in_names_owners(project):
    """One place reached by several owners is told once, and names them: no test that only came last."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import leak

                @pytest.fixture(scope="module")
                def wide():
                    leak()

                def test_a(wide):
                    leak()

                def test_b():
                    leak()

                def test_last():
                    pass
            """,
        }
    ).run("--sessionguard=warn")
    assert run.shows("  Also in test_x.py::test_b, the module-scoped fixture `wide`.")


def test_paths_outside_the_root(project):
    """Paths are relative to the rootdir; a file outside keeps its whole path."""
    suite = project(
        {"lib/other.py": APP, "suite/test_x.py": "import other\ndef test_a():\n    other.leak()\n"}
    )
    run = suite.run("--rootdir=suite", "suite", "-o", f"pythonpath={suite.path}/lib")
    assert run.found == ["SG101 test_a"]
    assert f"  checked out   {suite.path}/lib/other.py:9 in leak  (engine" in run.text
    assert "                test_x.py:3 in test_a" in run.text


AGAIN = """
    import contextlib
    from sqlalchemy import create_engine, text
    from sqlalchemy.orm import Session
    from sqlalchemy.pool import NullPool

    SELECT = text("SELECT 1")
    engine = create_engine("sqlite:///app.db", poolclass=POOL)
    kept = []

    @contextlib.contextmanager
    def scope():
        session = Session(engine)
        try:
            yield session
        finally:
            session.close()

    def slip():
        with scope() as session:
            session.scalar(SELECT)
        KEEP
        return session.scalar(SELECT)

    def drop():
        engine.connect().scalar(SELECT)
"""


@pytest.mark.parametrize(("keep", "rule"), (("kept.append(session)", "SG101"), ("pass", "SG102")))
def test_begun_again_below_a_manager(project, keep, rule):
    """A session that a context manager has closed needs no other block: the lines are misplaced."""
    app = AGAIN.replace("KEEP", keep).replace("POOL", "None")
    tests = "from app import slip\n\ndef test_slip():\n    slip()\n"
    run = project({"app.py": app, "test_x.py": tests}).run()
    assert run.found == [f"{rule} test_slip"], run.text
    fix = "move these lines to where the session is open, or open a new session for them."
    assert f"\n  Fix: {fix}\n" in run.text


def test_left_to_the_collector_without_a_pool(project):
    """Where nothing is pooled, no pool lacks it."""
    app = AGAIN.replace("KEEP", "pass").replace("POOL", "NullPool")
    tests = "from app import drop\n\ndef test_drop():\n    drop()\n"
    run = project({"app.py": app, "test_x.py": tests}).run()
    assert run.found == ["SG102 test_drop"], run.text
    assert "It stays open on the server until the collector comes; an async one is cut " in run.text
