"""Who is blamed in async suites: pytest-asyncio in both modes and every loop scope, and anyio."""

from __future__ import annotations

import pytest
from harness import ASYNC_APP

STRICT = "[pytest]\nasyncio_mode = strict\n"
AUTO = "[pytest]\nasyncio_mode = auto\n"
SCOPES = ("function", "class", "module", "package", "session")


@pytest.mark.parametrize("mode", ("strict", "auto"))
def test_test(project, mode):
    """A connection that an async test leaks is its own, in either mode of pytest-asyncio."""
    mark = "@pytest.mark.asyncio" if mode == "strict" else ""
    run = project(
        {
            "app.py": ASYNC_APP,
            "pytest.ini": f"[pytest]\nasyncio_mode = {mode}\n",
            "test_x.py": f"""
                import pytest
                from app import fine, leak

                {mark}
                async def test_leak():
                    assert await leak() == 1

                {mark}
                async def test_next():
                    assert await fine() == 1
            """,
        }
    ).run()
    assert run.found == ["SG101 test_leak"]
    assert run.results == {"test_leak": "passed, error at teardown", "test_next": "passed"}
    assert [str(f) for f in run.findings[0].site.frames] == [
        "app.py:9 in leak",
        "test_x.py:6 in test_leak",
    ]


@pytest.mark.parametrize("scope", SCOPES)
def test_fixture(project, scope):
    """An async fixture of any scope that leaks a connection is blamed, not its last test."""
    run = project(
        {
            "app.py": ASYNC_APP,
            "pytest.ini": STRICT,
            "test_x.py": f"""
                import pytest
                import pytest_asyncio
                from app import fine, leak

                @pytest_asyncio.fixture(scope="{scope}", loop_scope="{scope}")
                async def row():
                    yield await leak()

                @pytest.mark.asyncio(loop_scope="{scope}")
                class TestRow:
                    async def test_row(self, row):
                        assert await fine() == row

                    async def test_last(self):
                        assert await fine() == 1
            """,
        }
    ).run()
    assert run.found == ["SG101 fixture `row`"]
    (finding,) = run.findings
    assert finding.owner.scope == scope
    assert [frame.function for frame in finding.site.frames] == ["leak", "row"]
    last = "test_row" if scope == "function" else "test_last"
    assert run.results[last] == "passed, error at teardown"


@pytest.mark.parametrize("scope", SCOPES)
def test_fixture_that_closes(project, scope):
    """An async fixture of any scope that closes what it opened, under its own loop, is fine."""
    run = project(
        {
            "app.py": ASYNC_APP,
            "pytest.ini": AUTO,
            "test_x.py": f"""
                import pytest
                import pytest_asyncio
                from app import AsyncSession, engine, text

                @pytest_asyncio.fixture(scope="{scope}", loop_scope="{scope}")
                async def session():
                    async with AsyncSession(engine) as session:
                        yield session
                    await engine.dispose()

                @pytest.mark.asyncio(loop_scope="{scope}")
                class TestRow:
                    async def test_first(self, session):
                        assert await session.scalar(text("SELECT 1")) == 1

                    async def test_last(self, session):
                        await session.commit()
                        assert await session.scalar(text("SELECT 1")) == 1
            """,
        }
    ).run()
    assert run.is_clean()


@pytest.mark.parametrize("scope", ("module", "session"))
def test_loop_wider_than_test(project, scope):
    """A test on a loop that outlives it still owns what it leaks."""
    run = project(
        {
            "app.py": ASYNC_APP,
            "pytest.ini": STRICT,
            "test_x.py": f"""
                import pytest
                from app import fine, forget, leak

                pytestmark = pytest.mark.asyncio(loop_scope="{scope}")

                async def test_leak():
                    await leak()

                async def test_forget():
                    await forget()

                async def test_fine():
                    await fine()
            """,
        }
    ).run()
    assert run.found == ["SG101 test_leak", "SG102 test_forget"]
    assert run.results["test_fine"] == "passed"


def test_session_fixture_of_async_tests(project):
    """The commonest harness, an AsyncSession from a function fixture, is fine."""
    run = project(
        {
            "app.py": ASYNC_APP,
            "pytest.ini": AUTO,
            "test_x.py": """
                import pytest
                from app import factory, text

                @pytest.fixture
                async def session():
                    async with factory() as session:
                        yield session

                async def test_first(session):
                    assert await session.scalar(text("SELECT 1")) == 1

                async def test_last(session):
                    await session.rollback()
                    assert await session.scalar(text("SELECT 1")) == 1
            """,
        }
    ).run()
    assert run.is_clean()


def test_savepoint_harness(project):
    """An AsyncSession bound to a fixture's connection takes no lease."""
    run = project(
        {
            "app.py": ASYNC_APP,
            "pytest.ini": AUTO,
            "test_x.py": """
                import pytest
                from app import AsyncSession, engine, text

                @pytest.fixture
                async def session():
                    async with engine.connect() as connection:
                        transaction = await connection.begin()
                        session = AsyncSession(
                            connection, join_transaction_mode="create_savepoint"
                        )
                        yield session
                        await session.close()
                        await transaction.rollback()

                async def test_row(session):
                    assert await session.scalar(text("SELECT 1")) == 1
                    await session.commit()
                    assert await session.scalar(text("SELECT 1")) == 1
            """,
        }
    ).run()
    assert run.is_clean()


def test_async_teardown_returns(project):
    """A connection that an async fixture's teardown returns for the test is no finding."""
    run = project(
        {
            "app.py": ASYNC_APP,
            "pytest.ini": AUTO,
            "test_x.py": """
                import pytest
                from app import kept, leak

                @pytest.fixture(autouse=True)
                async def cleaner():
                    yield
                    await kept.pop().close()

                async def test_row():
                    await leak()
            """,
        }
    ).run()
    assert run.is_clean()


def test_tasks_of_a_test(project):
    """What tasks that a test gathers open is the test's."""
    run = project(
        {
            "app.py": ASYNC_APP,
            "pytest.ini": AUTO,
            "test_x.py": """
                import asyncio
                from app import fine, leak

                async def test_leak():
                    await asyncio.gather(fine(), leak(), fine())

                async def test_fine():
                    await asyncio.gather(fine(), fine())
            """,
        }
    ).run()
    assert run.found == ["SG101 test_leak"]
    assert run.results["test_fine"] == "passed"


def test_asyncio_run(project):
    """A sync test that runs a loop of its own owns what it leaks."""
    run = project(
        {
            "app.py": ASYNC_APP,
            "test_x.py": """
                import asyncio
                from app import engine, fine, leak

                def test_leak():
                    asyncio.run(leak())

                def test_fine():
                    asyncio.run(fine())
            """,
        }
    ).run()
    assert run.found == ["SG101 test_leak"]
    assert run.results["test_fine"] == "passed"


ANYIO = """
    import pytest
    from app import {work}, fine

    pytestmark = pytest.mark.anyio

    @pytest.fixture(scope="{scope}")
    def anyio_backend():
        return "asyncio"

    @pytest.fixture(scope="{scope}")
    async def row(anyio_backend):
        yield await {work}()

    async def test_first(row):
        assert await fine() == row

    async def test_last(row):
        assert await fine() == row
"""


def test_anyio_test(project):
    """anyio's tests are judged like others."""
    run = project(
        {
            "app.py": ASYNC_APP,
            "test_x.py": """
                import pytest
                from app import fine, leak

                pytestmark = pytest.mark.anyio

                @pytest.fixture
                def anyio_backend():
                    return "asyncio"

                async def test_leak():
                    await leak()

                async def test_fine():
                    await fine()
            """,
        }
    ).run()
    assert run.found == ["SG101 test_leak"]
    assert run.results["test_fine"] == "passed"


@pytest.mark.parametrize("scope", ("function", "module", "session"))
def test_anyio_fixture(project, scope):
    """A fixture that anyio runs owns what it leaks."""
    suite = {"app.py": ASYNC_APP, "test_x.py": ANYIO.format(scope=scope, work="leak")}
    run = project(suite).run()
    assert set(run.found) == {"SG101 fixture `row`"}
    assert len(run.found) == (2 if scope == "function" else 1)
    assert run.findings[0].owner.scope == scope


@pytest.mark.parametrize("scope", ("function", "module"))
def test_anyio_fixture_that_is_fine(project, scope):
    """A fixture that anyio runs and that leaks nothing is no finding."""
    suite = {"app.py": ASYNC_APP, "test_x.py": ANYIO.format(scope=scope, work="fine")}
    assert project(suite).run().is_clean()


LAST = """
    import pytest, pytest_asyncio
    from aio import engine, kept, text

    @pytest.fixture(scope="module")
    def anyio_backend():
        return "asyncio"

    @pytest_asyncio.fixture(scope="module", loop_scope="module")
    async def on_asyncio():
        yield
        await kept.pop().close()
        await engine.dispose()

    @pytest.fixture(scope="module")
    async def on_anyio(anyio_backend):
        yield
        await kept.pop().close()
        await engine.dispose()

    @pytest.mark.asyncio(loop_scope="module")
    async def test_asyncio(on_asyncio):
        kept.append(await engine.connect())

    @pytest.mark.anyio
    async def test_anyio(on_anyio):
        kept.append(await engine.connect())
"""


@pytest.mark.parametrize("by", ("asyncio", "anyio"))
def test_the_last_test_of_a_wide_fixture(project, by):
    """What the fixture's teardown returns was due before."""
    run = project({"aio.py": ASYNC_APP, "test_x.py": LAST}).run("-k", f"test_{by}")
    assert run.found == [f"SG101 test_{by}"], run.text
    assert run.results == {f"test_{by}": "passed, error at teardown"}
