"""A fault inside what watches pools, changes, engines and servers changes no test's result."""

from __future__ import annotations

import pytest
from plugin.test_faults_inside import break_place, compare

SUITE = {
    "app.py": """
        from sqlalchemy import create_engine, text
        from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

        class Base(DeclarativeBase): pass

        class User(Base):
            __tablename__ = "users"
            id: Mapped[int] = mapped_column(primary_key=True)

        engine = create_engine("sqlite:///app.db")
        Base.metadata.drop_all(engine)
        Base.metadata.create_all(engine)

        def nest():
            with Session(engine) as session:
                session.scalar(text("SELECT 1"))
                with engine.connect() as connection:
                    return connection.scalar(text("SELECT 1"))

        def forget():
            with Session(engine) as session:
                session.add(User())
                session.flush()
            return 1

        def remember():
            with Session(engine) as session:
                session.execute(text("DELETE FROM users"))
                session.commit()
            return 1
    """,
    "test_x.py": """
        import asyncio

        import app
        import pytest
        from sqlalchemy import create_engine, text
        from sqlalchemy.ext.asyncio import create_async_engine

        @pytest.mark.parametrize("name", ("nest", "forget", "remember"))
        def test_it(name):
            assert 1 == getattr(app, name)()

        def test_engine():
            engine = create_engine("sqlite:///other.db")
            with engine.connect() as connection:
                assert 1 == connection.scalar(text("SELECT 1"))
            engine.dispose()

        def test_invalidated():
            with app.engine.connect() as connection:
                connection.invalidate()

        def test_async():
            async def main():
                engine = create_async_engine("sqlite+aiosqlite:///app.db")
                async with engine.connect() as connection:
                    assert 1 == await connection.scalar(text("SELECT 1"))
                await engine.dispose()
            asyncio.run(main())

        def test_failed():
            assert 2 == app.nest()
    """,
}
# Where this suite surely comes by.
PLACES = (
    "accounts.Use.count",
    "accounts.Use.count_task",
    "guard.Leftovers.end",
    "guard.take_stock",
    "leftovers.find_suspects",
    "ledger.Ledger.find_use",
    "stocktaking._tell_use",
    "watch.changes.Change",
    "watch.changes.ChangeWatch.install",
    "watch.changes.Dropped",
    "watch.changes._is_of_now",
    "watch.changes._tell_changes",
    "watch.changes.find_worker",
    "watch.changes.writes",
    "watch.engines.EngineRecord",
    "watch.engines.EngineWatch.install",
    "watch.engines.find_pool",
    "watch.nesting.Nesting",
    "watch.nesting.walk_stack",
    "watch.pools.count_pool",
    "watch.pools.find_taker",
    "watch.servers.ServerWatch.ask",
    "watch.servers.ServerWatch.install",
    "watch.servers.ServerWatch._suspect",
    "watch.servers.find_seat",
)


@pytest.mark.parametrize("place", PLACES)
def test_place(project, place):
    """An exception in any place changes nothing but one warning."""
    suite = project(SUITE)
    without = suite.run("-p", "no:sessionguard")
    run = suite.run("--sessionguard=warn", sabotage=lambda patch: break_place(patch, place))
    compare(run, without)


def test_whole(project):
    """The suite passes under the guard, and breaks two of the rules."""
    run = project(SUITE).run("--sessionguard=warn")
    assert ["SG104 test_it[nest]", "SG205 test_it[forget]"] == run.found, run.text
    assert "" == run.fault


@pytest.mark.parametrize("place", ("report.terminal.tell_use",))
def test_summary(project, place):
    """What fails while the end of a run is written leaves results and exit code alone."""
    suite = project(SUITE)
    without = suite.run("-p", "no:sessionguard")
    run = suite.run("--sessionguard=warn", "-v", sabotage=lambda patch: break_place(patch, place))
    assert without.results == run.results
