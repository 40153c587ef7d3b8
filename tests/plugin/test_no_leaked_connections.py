"""assert_no_leaked_connections: at once, and at the end of a block, sync and async."""

from __future__ import annotations

import pytest
from harness import APP, ASYNC_APP

HEAD = """
import pytest
from pytest_sessionguard import LeakedConnectionError, assert_no_leaked_connections
"""


def suite(
    tests: str, app: str = APP, names: str = "engine, fine, forget, kept, leak, text"
) -> dict:
    import textwrap

    return {
        "app.py": app,
        "pytest.ini": "[pytest]\nasyncio_mode = auto\n",
        "test_x.py": HEAD + f"from app import {names}\n\n" + textwrap.dedent(tests),
    }


def test_at_once(project):
    """It raises at once, with the finding's text, in the call phase."""
    run = project(
        suite(
            """
            def test_a():
                leak()
                assert_no_leaked_connections()
            """
        )
    ).run()
    assert run.results == {"test_a": "failed"}
    assert run.failure("test_a").count("SG101 leaked-connection") == 1
    assert "1 connection was taken by test_a and not returned" in run.failure("test_a")
    assert "app.py:9 in leak  (engine sqlite+pysqlite, pool 5+10)" in run.failure("test_a")


def test_traceback_is_the_users(project):
    """Its own frames stay out of the traceback."""
    run = project(
        suite(
            """
            def test_a():
                leak()
                assert_no_leaked_connections()
            """
        )
    ).run()
    assert "assertions/leaks.py" not in run.failure("test_a")
    assert ">       assert_no_leaked_connections()" in run.failure("test_a")


def test_healthy(project):
    """Where nothing is out it says nothing, at once and as a block."""
    run = project(
        suite(
            """
            def test_a():
                fine()
                assert_no_leaked_connections()
                with assert_no_leaked_connections():
                    fine()
            """
        )
    ).run()
    assert run.is_clean()


def test_is_an_assertion_error(project):
    """What it raises is an AssertionError with the findings."""
    run = project(
        suite(
            """
            def test_a():
                leak()
                with pytest.raises(AssertionError) as info:
                    assert_no_leaked_connections()
                assert isinstance(info.value, LeakedConnectionError)
                (finding,) = info.value.findings
                assert finding.rule == "SG101"
                assert finding.site.frames[0].function == "leak"
            """
        )
    ).run()
    assert run.results == {"test_a": "passed"}


def test_block(project):
    """A block raises at its end for what was taken in it."""
    run = project(
        suite(
            """
            def test_a():
                with pytest.raises(LeakedConnectionError, match="not returned"):
                    with assert_no_leaked_connections():
                        leak()
            """
        )
    ).run()
    assert run.results == {"test_a": "passed"}


def test_block_checks_its_beginning(project):
    """What is out before a block fails before the block runs."""
    run = project(
        suite(
            """
            def test_a():
                leak()
                with pytest.raises(LeakedConnectionError):
                    with assert_no_leaked_connections():
                        raise ZeroDivisionError
            """
        )
    ).run()
    assert run.results == {"test_a": "passed"}


def test_async_block(project):
    """`async with` does the same."""
    run = project(
        suite(
            """
            async def test_a():
                async with assert_no_leaked_connections():
                    await fine()
                with pytest.raises(LeakedConnectionError):
                    async with assert_no_leaked_connections():
                        await leak()
            """,
            ASYNC_APP,
            "fine, leak",
        )
    ).run()
    assert run.results == {"test_a": "passed"}


def test_not_told_again(project):
    """What the assertion has told, the test's teardown does not tell again."""
    run = project(
        suite(
            """
            def test_a():
                leak()
                with pytest.raises(LeakedConnectionError):
                    assert_no_leaked_connections()
            """
        )
    ).run()
    assert (run.found, run.results) == ([], {"test_a": "passed"})


def test_asked_again(project):
    """It raises as often as it is asked, until the connection is back; then it is silent."""
    run = project(
        suite(
            """
            @pytest.fixture(scope="module")
            def held():
                yield engine.connect()

            def test_still_out():
                leak()
                for _ in range(3):
                    with pytest.raises(LeakedConnectionError, match="app.py:9 in leak"):
                        assert_no_leaked_connections()

            def test_back():
                leak()
                with pytest.raises(LeakedConnectionError):
                    assert_no_leaked_connections()
                kept.pop().close()
                assert_no_leaked_connections()

            @pytest.mark.parametrize("number", [1, 2])
            def test_other_tests(held, number):
                with pytest.raises(LeakedConnectionError, match="fixture `held`"):
                    assert_no_leaked_connections(engine)
                held.close() if number == 2 else None

            def test_ignored():
                leak()
                with pytest.raises(LeakedConnectionError):
                    assert_no_leaked_connections()
                with assert_no_leaked_connections(ignore_current=True):
                    fine()
            """
        )
    ).run()
    assert (run.found, set(run.results.values())) == ([], {"passed"})


def test_told_at_a_teardown(project):
    """What an earlier test leaked was told there, and is no reason for a later one to fail."""
    run = project(
        suite(
            """
            def test_a():
                leak()

            def test_b():
                fine()
                assert_no_leaked_connections(engine)
            """
        )
    ).run()
    assert run.results == {"test_a": "passed, error at teardown", "test_b": "passed"}


def test_failed_by_it(project):
    """Nor does the section of a test that it failed."""
    run = project(
        suite(
            """
            def test_a():
                leak()
                assert_no_leaked_connections()

            def test_b():
                fine()
            """
        )
    ).run()
    assert run.found == []
    assert run.sections == {}
    assert run.results == {"test_a": "failed", "test_b": "passed"}


def test_ignore_current(project):
    """`ignore_current` forgets what was out at the call, not what the block takes."""
    run = project(
        suite(
            """
            def test_a():
                held = engine.connect()
                assert_no_leaked_connections(ignore_current=True)
                with assert_no_leaked_connections(ignore_current=True):
                    fine()
                with pytest.raises(LeakedConnectionError) as info:
                    with assert_no_leaked_connections(ignore_current=True):
                        leak()
                assert len(info.value.findings) == 1
                held.close()
            """
        )
    ).run()
    assert run.results == {"test_a": "passed"}
    assert run.found == []


def test_error_of_the_block(project):
    """An error in the block is not masked."""
    run = project(
        suite(
            """
            def test_a():
                with pytest.raises(ZeroDivisionError):
                    with assert_no_leaked_connections():
                        connection = engine.connect()
                        raise ZeroDivisionError
                connection.close()

            async def test_b():
                with pytest.raises(ZeroDivisionError):
                    async with assert_no_leaked_connections():
                        connection = engine.connect()
                        raise ZeroDivisionError
                connection.close()
            """
        )
    ).run()
    assert run.is_clean()


def test_named_engine(project):
    """Where engines are named, others are not looked at."""
    run = project(
        suite(
            """
            from sqlalchemy import create_engine

            def test_a():
                other = create_engine("sqlite:///other.db")
                held = engine.connect()
                assert_no_leaked_connections(other)
                with pytest.raises(LeakedConnectionError):
                    assert_no_leaked_connections(other, engine)
                held.close()
            """
        )
    ).run()
    assert run.results == {"test_a": "passed"}


def test_named_async_engine(project):
    """An AsyncEngine and its `sync_engine` name the same pool."""
    run = project(
        suite(
            """
            from sqlalchemy.ext.asyncio import create_async_engine

            async def test_a():
                other = create_async_engine("sqlite+aiosqlite:///other.db")
                async with engine.connect():
                    assert_no_leaked_connections(other)
                    with pytest.raises(LeakedConnectionError):
                        assert_no_leaked_connections(engine)
                async with engine.connect():
                    with pytest.raises(LeakedConnectionError):
                        assert_no_leaked_connections(engine.sync_engine)
            """,
            ASYNC_APP,
            "engine",
        )
    ).run()
    assert run.results == {"test_a": "passed"}


def test_engine_that_was_disposed(project):
    """A named engine is still the same after `dispose()` has made it a new pool."""
    run = project(
        suite(
            """
            def test_a():
                held = engine.connect()
                engine.dispose()
                with pytest.raises(LeakedConnectionError):
                    assert_no_leaked_connections(engine)
                held.close()
            """
        )
    ).run()
    assert run.results == {"test_a": "passed"}


FIXTURES = """
@pytest.fixture(scope="module")
def wide():
    with engine.connect() as connection:
        yield connection

@pytest.fixture
def narrow():
    with engine.connect() as connection:
        yield connection

"""


def test_fixtures_are_not_its_business(project):
    """Connections that fixtures hold are not looked at."""
    run = project(
        suite(
            FIXTURES
            + """
def test_a(wide, narrow):
    assert_no_leaked_connections()
    with pytest.raises(LeakedConnectionError) as info:
        kept.append(engine.connect())
        assert_no_leaked_connections()
    assert len(info.value.findings) == 1
"""
        )
    ).run()
    assert run.results == {"test_a": "passed"}


def test_fixtures_of_a_named_engine(project):
    """Unless their engine is named; then they are named too."""
    run = project(
        suite(
            FIXTURES
            + """
def test_a(wide, narrow):
    with pytest.raises(LeakedConnectionError) as info:
        assert_no_leaked_connections(engine)
    owners = [str(finding.owner) for finding in info.value.findings]
    assert owners == ["the module-scoped fixture `wide`", "the function-scoped fixture `narrow`"]
    assert "names here" not in str(info.value)
"""
        )
    ).run()
    assert run.results == {"test_a": "passed"}


def test_in_a_fixture(project):
    """Called in a fixture's setup it looks at what that fixture took."""
    run = project(
        suite(
            """
            @pytest.fixture
            def row():
                held = engine.connect()
                with pytest.raises(LeakedConnectionError):
                    assert_no_leaked_connections()
                held.close()
                assert_no_leaked_connections()

            def test_a(row):
                pass
            """
        )
    ).run()
    assert run.is_clean()


def test_collected_counts(project):
    """A connection that only the collector returned counts as leaked."""
    run = project(
        suite(
            """
            import gc

            def test_a():
                with pytest.raises(LeakedConnectionError, match="SG102 connection-left-to-gc"):
                    with assert_no_leaked_connections():
                        forget()
                        gc.collect()
            """
        )
    ).run()
    assert run.results == {"test_a": "passed"}
    assert run.found == []


def test_marker_does_not_silence_it(project):
    """Whoever calls it wants to know: a marker that ignores the rule does not silence it."""
    run = project(
        suite(
            """
            @pytest.mark.sessionguard(ignore="SG101", reason="known")
            def test_a():
                leak()
                with pytest.raises(LeakedConnectionError):
                    assert_no_leaked_connections()
            """
        )
    ).run()
    assert run.results == {"test_a": "passed"}


def test_warn_mode(project):
    """In warn mode it raises all the same."""
    run = project(
        suite(
            """
            def test_a():
                leak()
                assert_no_leaked_connections()
            """
        )
    ).run("--sessionguard=warn")
    assert run.results == {"test_a": "failed"}


@pytest.mark.parametrize("args", [("-p", "no:sessionguard"), ("--sessionguard=off",)], ids=" ".join)
def test_inactive(project, args):
    """Where nobody watched it raises RuntimeError: silence must not look like health."""
    run = project(
        suite(
            """
            def test_a():
                with pytest.raises(RuntimeError, match="needs the sessionguard plugin"):
                    assert_no_leaked_connections()
            """
        )
    ).run(*args)
    assert run.results == {"test_a": "passed"}


def test_wrong_argument(project):
    """What is no engine is refused by its type."""
    run = project(
        suite(
            """
            def test_a():
                with pytest.raises(TypeError, match="takes engines, not 'str'"):
                    assert_no_leaked_connections("sqlite://")
                with pytest.raises(TypeError, match="takes engines, not 'Connection'"):
                    with engine.connect() as connection:
                        assert_no_leaked_connections(connection)
            """
        )
    ).run()
    assert run.is_clean()


def test_imported_before_sqlalchemy(project):
    """Its import does not import SQLAlchemy."""
    run = project(
        {
            "test_x.py": """
                import sys
                from pytest_sessionguard import assert_no_leaked_connections

                def test_a():
                    assert_no_leaked_connections()
                    assert "sqlalchemy" not in sys.modules
            """
        }
    ).run(subprocess=True)
    assert run.results == {"test_a": "passed"}
