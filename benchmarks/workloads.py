"""What applications do all day, on one database: the work whose price the guard adds to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import String, create_engine, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker
from sqlalchemy.pool import StaticPool


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "bench_user"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))


@dataclass(frozen=True)
class Workload:
    """One kind of work.

    Attributes:
        name: What the table calls it.
        run: Does it so many times.
        cycles: How often a round does it.
    """

    name: str
    run: Callable[[int], None]
    cycles: int


def make_workloads(  # noqa: C901 (each inner function is one kind of work)
    sync_url: Any, async_url: Any
) -> tuple[list[Workload], Callable[[], None]]:
    """Prepare a database and the work on it.

    Args:
        sync_url: The database for a sync driver.
        async_url: The same for an async driver.

    Returns:
        The workloads, and what closes everything.
    """
    # In-memory SQLite lives in its one connection, shared by all; that is all the pool it has.
    pooled = {} if "sqlite" not in str(sync_url) else {"poolclass": StaticPool}
    engine = create_engine(sync_url, **pooled)
    async_engine = create_async_engine(async_url, **pooled)
    make, make_async = sessionmaker(engine), async_sessionmaker(async_engine)
    loop = asyncio.new_event_loop()
    _fill(engine)
    loop.run_until_complete(_fill_async(async_engine))

    def get_commit_close() -> None:
        session: Session = make()
        try:
            session.get(User, 1)
            session.commit()
        finally:
            session.close()

    def select_fifty() -> None:
        with make() as session:
            session.scalars(select(User).limit(50)).all()

    async def get_commit_close_async() -> None:
        session = make_async()
        try:
            await session.get(User, 1)
            await session.commit()
        finally:
            await session.close()

    async def select_fifty_async() -> None:
        async with make_async() as session:
            (await session.scalars(select(User).limit(50))).all()

    async def ten_at_once() -> None:
        await asyncio.gather(*(get_commit_close_async() for _ in range(10)))

    def repeat(work: Callable[[], None]) -> Callable[[int], None]:
        def run(cycles: int) -> None:
            for _ in range(cycles):
                work()

        return run

    def repeat_async(work: Callable[[], Any]) -> Callable[[int], None]:
        async def run(cycles: int) -> None:
            for _ in range(cycles):
                await work()

        return lambda cycles: loop.run_until_complete(run(cycles))

    def close() -> None:
        engine.dispose()
        loop.run_until_complete(async_engine.dispose())
        loop.close()

    workloads = [
        Workload("sync get/commit/close", repeat(get_commit_close), 100),
        Workload("sync select of 50 rows", repeat(select_fifty), 60),
        Workload("async get/commit/close", repeat_async(get_commit_close_async), 100),
        Workload("async select of 50 rows", repeat_async(select_fifty_async), 60),
    ]
    if not pooled:  # ten tasks cannot share the one connection of in-memory SQLite
        workloads.append(Workload("10 concurrent tasks", repeat_async(ten_at_once), 10))
    return workloads, close


def _fill(engine: Any) -> None:
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(User(id=number, name=f"user {number}") for number in range(1, 101))
        session.commit()


async def _fill_async(engine: Any) -> None:
    if engine.dialect.name != "sqlite":
        return
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.run_sync(
            lambda sync: sync.execute(
                User.__table__.insert(),
                [{"id": number, "name": f"user {number}"} for number in range(1, 101)],
            )
        )
