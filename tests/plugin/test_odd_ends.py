"""Ends that are not a test's own: interruptions, broken teardowns, doubles, fixtures in turn."""

from __future__ import annotations

import pytest

HEAD = """
    import pytest
    from sqlalchemy import create_engine, text
    from sqlalchemy.orm import Session
    from sqlalchemy.pool import QueuePool

    engine = create_engine("sqlite:///app.db")
    kept = []
"""


@pytest.mark.parametrize(
    ("end", "code"), [('pytest.exit("enough", returncode=0)', 0), ("raise KeyboardInterrupt", 2)]
)
def test_interrupted(project, end, code):
    """What an interrupted test's own fixtures hold is judged by nobody, and keeps the exit code."""
    test_x = f"""{HEAD}
    @pytest.fixture
    def connection():
        return engine.connect()

    def test_it(connection):
        {end}
    """
    run = project({"test_x.py": test_x}).run(subprocess=True)
    assert (code, []) == (run.exit, run.findings)


def test_wide_fixture_beside_a_broken_teardown(project):
    """A wide fixture's finding is shown where the last test's teardown fails by itself."""
    test_x = f"""{HEAD}
    @pytest.fixture(scope="module")
    def wide():
        kept.append(engine.connect())

    @pytest.fixture
    def broken():
        yield
        raise ValueError("mine")

    def test_it(wide, broken):
        pass
    """
    run = project({"test_x.py": test_x}).run()
    assert (
        "SG101 leaked-connection: 1 connection was still checked out after the module" in run.text
    )
    assert "ValueError: mine" in run.text


def test_double_of_a_session(project):
    """A double of AsyncSession that never made its sync session works as it did."""
    test_x = """
    import asyncio
    from sqlalchemy.ext.asyncio import AsyncSession

    class Double(AsyncSession):
        def __init__(self):
            pass

        async def close(self):
            pass

    async def use():
        async with Double():
            pass

    def test_it():
        asyncio.run(use())
    """
    run = project({"test_x.py": test_x}).run()
    assert {"test_it": "passed"} == run.results


def test_pool_that_calls_super(project):
    """A pool whose `connect` calls the base class's takes one lease, which is told."""
    test_x = f"""{HEAD}
    class OwnPool(QueuePool):
        def connect(self):
            return super().connect()

    own = create_engine("sqlite:///app.db", poolclass=OwnPool)

    def test_leak():
        kept.append(own.connect())

    def test_fine():
        with own.connect():
            pass
    """
    run = project({"test_x.py": test_x}).run()
    assert ["SG101 test_leak"] == run.found


@pytest.mark.parametrize(
    ("later", "found"),
    [("", []), ('session.execute(text("SELECT 1"))', ["SG202 test_it"])],
    ids=["alone", "then in silence"],
)
def test_explicit_begin_after_the_block(project, later, found):
    """Who begins a closed session by name does not do it silently; who uses it after that, does."""
    test_x = f"""{HEAD}
    def test_it():
        session = Session(engine)
        with session:
            session.execute(text("SELECT 1"))
        with session.begin():
            session.execute(text("SELECT 1"))
        {later}
    """
    run = project({"test_x.py": test_x}).run()
    assert found == run.found


def test_errors_of_fixtures_show_the_users_code(project):
    """The traceback of a fixture that fails shows the user's lines, and none of the plugin's."""
    test_x = """
    import pytest

    @pytest.fixture
    def broken():
        raise ValueError("in setup")

    @pytest.fixture
    def breaks_later():
        yield
        raise ValueError("in teardown")

    def test_setup(broken):
        pass

    def test_teardown(breaks_later):
        pass
    """
    suite = project({"test_x.py": test_x})
    run, without = suite.run(), suite.run("-p", "no:sessionguard")
    assert without.told == run.told
    assert "in setup" in run.text
    assert "in teardown" in run.text


def test_verdict_stands_alone(project):
    """The verdict is the finding's text, without a word of pytest's on frames."""
    test_x = f"""{HEAD}
    def test_it():
        kept.append(engine.connect())
    """
    run = project({"test_x.py": test_x}).run()
    assert ["SG101 test_it"] == run.found
    assert "traceback" not in run.text


@pytest.mark.postgres
def test_async_engine_in_turn(project):
    """The async engine serves anyio's tests, pytest-asyncio's and sync ones, in any order."""
    files = {
        "pytest.ini": "[pytest]\nsessionguard_postgres = embedded\n",
        "test_x.py": """
            import asyncio
            import pytest
            from sqlalchemy import text

            @pytest.fixture
            def anyio_backend():
                return "asyncio"

            async def ask(engine):
                async with engine.connect() as connection:
                    assert await connection.scalar(text("SELECT 1")) == 1

            @pytest.mark.anyio
            async def test_anyio(sessionguard_async_engine):
                await ask(sessionguard_async_engine)

            @pytest.mark.asyncio
            async def test_asyncio(sessionguard_async_engine):
                await ask(sessionguard_async_engine)

            def test_sync(sessionguard_async_engine):
                async def ask_and_dispose():
                    await ask(sessionguard_async_engine)
                    await sessionguard_async_engine.dispose()

                asyncio.run(ask_and_dispose())

            @pytest.mark.anyio
            async def test_anyio_again(sessionguard_async_engine):
                await ask(sessionguard_async_engine)
        """,
    }
    run = project(files).run(subprocess=True)
    assert set(run.results.values()) == {"passed"}
    assert [] == run.found
