"""A pool that runs dry says who drank it."""

from __future__ import annotations

import sys

import pytest

SYNC = {
    "app.py": """
        from sqlalchemy import create_engine, text
        from sqlalchemy.orm import Session

        engine = create_engine("sqlite:///app.db", pool_size=2, max_overflow=0, pool_timeout=0.01)
    """,
    "test_x.py": """
        import pytest
        from app import Session, engine, text

        @pytest.fixture(scope="module")
        def wide():
            with engine.connect() as connection:
                yield connection

        def hold():
            session = Session(engine)
            session.execute(text("SELECT 1"))
            return session

        def test_dry(wide):
            session = hold()
            try:
                engine.connect()
            finally:
                session.close()
    """,
}


@pytest.mark.skipif(sys.version_info < (3, 11), reason="shown by exceptiongroup there")
def test_notes_are_shown(project):
    """The failure shows the call site and the owner of every lease, oldest first."""
    run = project(SYNC).run()
    assert run.results == {"test_dry": "failed"}
    assert run.shows(
        """
        E               sessionguard: 2 connections are out of this pool
        E                 - taken at test_x.py:6 in wide, by the module-scoped fixture `wide`
        E                 - taken at test_x.py:11 in hold, by test_dry
        """
    )


def test_one_connection(project):
    """One connection is told in the singular."""
    run = project(
        {
            "test_x.py": """
                import pytest
                from sqlalchemy import create_engine
                from sqlalchemy.exc import TimeoutError

                engine = create_engine(
                    "sqlite:///app.db", pool_size=1, max_overflow=0, pool_timeout=0.01
                )

                def test_dry():
                    with engine.connect():
                        with pytest.raises(TimeoutError) as info:
                            engine.connect()
                    assert info.value.__notes__ == [
                        "sessionguard: 1 connection is out of this pool",
                        "  - taken at test_x.py:10 in test_dry, by test_dry",
                    ]
            """
        }
    ).run()
    assert run.is_clean()


def test_other_pools(project):
    """Leases of other pools are not named."""
    run = project(
        {
            "test_x.py": """
                import pytest
                from sqlalchemy import create_engine
                from sqlalchemy.exc import TimeoutError

                settings = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.01}
                engine = create_engine("sqlite:///app.db", **settings)
                other = create_engine("sqlite:///other.db", **settings)

                def test_dry():
                    with other.connect(), engine.connect():
                        with pytest.raises(TimeoutError) as info:
                            engine.connect()
                    assert len(info.value.__notes__) == 2
            """
        }
    ).run()
    assert run.is_clean()


def test_without_the_plugin(project):
    """Without the plugin the error is as ever."""
    run = project(SYNC).run("-p", "no:sessionguard")
    assert run.results == {"test_dry": "failed"}
    assert "sessionguard:" not in run.failure("test_dry")


@pytest.mark.postgres
def test_async(project):
    """The same for an AsyncEngine on Postgres."""
    run = project(
        {
            "pytest.ini": "[pytest]\nasyncio_mode = auto\n",
            "test_x.py": """
                import pytest
                from sqlalchemy import text
                from sqlalchemy.exc import TimeoutError

                pytestmark = pytest.mark.sessionguard(pool_size=2, pool_timeout=1)

                async def work(factory):
                    async with factory() as session:
                        await session.execute(text("SELECT 1"))
                        yield session

                async def test_dry(sessionguard_async_engine, sessionguard_async_session_factory):
                    engine = sessionguard_async_engine
                    async with sessionguard_async_session_factory() as session:
                        await session.execute(text("SELECT 1"))
                        async with engine.connect():
                            with pytest.raises(TimeoutError) as info:
                                await engine.connect()
                    assert info.value.__notes__ == [
                        "sessionguard: 2 connections are out of this pool",
                        "  - taken at test_x.py:15 in test_dry, by test_dry",
                        "  - taken at test_x.py:16 in test_dry, by test_dry",
                    ]
            """,
        }
    ).run("-o", "sessionguard_postgres=embedded", subprocess=True)
    assert run.is_clean()


@pytest.mark.postgres
def test_tight_engine(project):
    """The tight engine makes a nested checkout fail within its timeout, and says by whom."""
    run = project(
        {
            "test_x.py": """
                def work(factory):
                    with factory() as outer:
                        outer.connection()
                        with factory() as inner:
                            inner.connection()

                def test_nested(sessionguard_session_factory):
                    work(sessionguard_session_factory)
            """
        }
    ).run("-o", "sessionguard_postgres=embedded", "--sessionguard-pool-timeout=0", subprocess=True)
    assert run.results == {"test_nested": "failed"}
    assert "  - taken at test_x.py:3 in work, by test_nested" in run.text
