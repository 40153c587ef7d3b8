"""A session that begins again after it was closed: where that is a fault, and where it is not."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from pytest_sessionguard.callsite import find_block_end

ONE = text("SELECT 1")

# A case returns the session, which the test closes. The marks `block` (its `with`), `end` (the
# last line of the block) and `again` stand where a finding has to point.


def below_its_block(engine: Any) -> Any:
    with Session(engine) as session:  # block
        session.execute(ONE)
        session.commit()  # end
    session.execute(ONE)  # again
    return session


def below_its_block_unused(engine: Any) -> Any:
    with Session(engine) as session:  # block
        pass  # end
    session.execute(ONE)  # again
    return session


def below_a_block_that_raised(engine: Any) -> Any:
    try:
        with Session(engine) as session:  # block
            session.execute(ONE)
            raise KeyError  # end
    except KeyError:
        session.execute(ONE)  # again
    return session


def below_a_block_that_returned(engine: Any) -> Any:
    keep: list[Any] = []

    def first() -> Any:
        with Session(engine) as session:  # block
            keep.append(session)
            return session.scalar(ONE)  # end

    first()
    keep[0].execute(ONE)  # again
    return keep[0]


def below_a_block_over_lines(engine: Any) -> Any:
    with (
        contextlib.nullcontext(),
        Session(  # which of these lines is the block's own depends on the Python
            engine,
            autoflush=False,
        ) as session,
    ):
        session.execute(
            ONE,
        )  # end
    session.execute(ONE)  # again
    return session


def below_nested_blocks(engine: Any) -> Any:
    with Session(engine) as session:  # noqa: SIM117  # block
        with session.begin():
            session.execute(ONE)  # end
    session.execute(ONE)  # again
    return session


def below_inner_block(engine: Any) -> Any:
    with contextlib.nullcontext():
        with Session(engine) as session:  # block
            session.execute(ONE)  # end
        session.execute(ONE)  # again
    return session


def below_two_in_one_block(engine: Any) -> Any:
    with Session(engine) as session, session.begin():  # block
        session.execute(ONE)  # end
    session.execute(ONE)  # again
    return session


def below_one_line_block(engine: Any) -> Any:
    # fmt: off
    with Session(engine) as session: session.execute(ONE)  # noqa: E701  # block # end
    # fmt: on
    session.execute(ONE)  # again
    return session


def below_begin_of_a_maker(engine: Any) -> Any:
    with sessionmaker(engine).begin() as session:  # block
        session.execute(ONE)  # end
    session.execute(ONE)  # again
    return session


def below_an_exit_stack(engine: Any) -> Any:
    with contextlib.ExitStack() as stack:  # block
        session = stack.enter_context(Session(engine))
        session.execute(ONE)  # end
    session.execute(ONE)  # again
    return session


def below_a_block_after_plain_making(engine: Any) -> Any:
    session = Session(engine)
    with session:  # block
        session.execute(ONE)  # end
    session.execute(ONE)  # again
    return session


def below_the_block_of_a_helper(engine: Any) -> Any:
    @contextlib.contextmanager
    def open_session() -> Iterator[Any]:
        with Session(engine) as session:  # block
            yield session  # end

    with open_session() as session:
        session.execute(ONE)
    session.execute(ONE)  # again
    return session


def below_the_block_of_a_function_that_called_a_factory(engine: Any) -> Any:
    def make() -> Any:
        return Session(engine)

    with make() as session:  # block
        session.execute(ONE)  # end
    session.execute(ONE)  # again
    return session


def below_its_second_block(engine: Any) -> Any:
    session = Session(engine)
    with session:
        session.execute(ONE)
    with session:  # block
        session.execute(ONE)  # end
    session.execute(ONE)  # again
    return session


def below_its_block_then_closed(engine: Any) -> Any:
    with Session(engine) as session:  # block
        session.execute(ONE)  # end
    session.execute(ONE)  # again
    session.close()
    return session


def below_a_savepoint_harness(engine: Any) -> Any:
    with engine.connect() as connection:
        with Session(connection) as session:  # block
            session.execute(ONE)  # end
        session.execute(ONE)  # again
    return session


class LoggedSession(Session):
    """A session whose class has an end of its own, as for a metric."""

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)


def below_the_block_of_a_subclass(engine: Any) -> Any:
    with LoggedSession(engine) as session:  # block
        session.execute(ONE)  # end
    session.execute(ONE)  # again
    return session


FAULTS = [
    below_the_block_of_a_subclass,
    below_its_block,
    below_its_block_unused,
    below_a_block_that_raised,
    below_a_block_that_returned,
    below_a_block_over_lines,
    below_nested_blocks,
    below_inner_block,
    below_two_in_one_block,
    below_one_line_block,
    below_begin_of_a_maker,
    below_an_exit_stack,
    below_a_block_after_plain_making,
    below_the_block_of_a_helper,
    below_the_block_of_a_function_that_called_a_factory,
    below_its_second_block,
    below_its_block_then_closed,
    below_a_savepoint_harness,
]


def after_plain_close(engine: Any) -> Any:
    session = Session(engine)
    session.execute(ONE)
    session.close()
    session.execute(ONE)
    return session


def after_plain_close_of_an_unused_one(engine: Any) -> Any:
    session = Session(engine)
    session.close()
    session.execute(ONE)
    return session


def after_reset(engine: Any) -> Any:
    session = Session(engine)
    session.execute(ONE)
    session.reset()
    session.execute(ONE)
    return session


def after_invalidate(engine: Any) -> Any:
    session = Session(engine)
    session.execute(ONE)
    session.invalidate()
    session.execute(ONE)
    return session


def after_closing(engine: Any) -> Any:
    with contextlib.closing(Session(engine)) as session:
        session.execute(ONE)
    session.execute(ONE)
    return session


def after_close_inside_its_block(engine: Any) -> Any:
    with Session(engine) as session:
        session.execute(ONE)
        session.close()
        session.execute(ONE)
    return session


def in_a_second_block(engine: Any) -> Any:
    session = Session(engine)
    with session:
        session.execute(ONE)
    with session:
        session.execute(ONE)
    return session


def in_many_blocks(engine: Any) -> Any:
    session = Session(engine)
    for _ in range(5):
        with session, session.begin():
            session.execute(ONE)
    return session


def in_begin_blocks(engine: Any) -> Any:
    session = Session(engine)
    for _ in range(3):
        with session.begin():
            session.execute(ONE)
    return session


def use_in_block(session: Any) -> None:
    with session:
        session.execute(ONE)


def lent_to_a_block_of_another(engine: Any) -> Any:
    session = Session(engine)
    use_in_block(session)
    session.execute(ONE)
    return session


def lent_by_a_patched_factory(engine: Any) -> Any:
    session = Session(engine)
    make = lambda: session  # noqa: E731

    def service() -> None:
        with make() as ours:
            ours.execute(ONE)

    service()
    service()
    session.execute(ONE)
    return session


def lent_inside_its_own_block(engine: Any) -> Any:
    with Session(engine) as session:
        use_in_block(session)
        session.execute(ONE)
    return session


def read_below_its_block(engine: Any) -> Any:
    with Session(engine) as session:
        session.execute(ONE)
    assert (False, True) == (session.in_transaction(), session.is_active)
    assert [] == [*session.new, *session.dirty, *session.deleted, *session]
    session.get_bind()
    session.expunge_all()
    return session


def block_of_a_registry(engine: Any) -> Any:
    registry = scoped_session(sessionmaker(engine))
    with registry() as session:
        session.execute(ONE)
    registry.execute(ONE)
    return registry()


def block_of_a_registry_itself(engine: Any) -> Any:
    registry = scoped_session(sessionmaker(engine))
    for _ in range(2):
        with registry() as session, session.begin():
            session.execute(ONE)
    return registry()


def closed_registry(engine: Any) -> Any:
    registry = scoped_session(sessionmaker(engine))
    registry.execute(ONE)
    registry.close()
    registry.execute(ONE)
    return registry()


def in_a_second_block_of_a_subclass(engine: Any) -> Any:
    session = LoggedSession(engine)
    for _ in range(2):
        with session:
            session.execute(ONE)
    return session


def lent_to_a_unit_of_work(engine: Any) -> Any:
    class Unit:
        def __init__(self, session: Any) -> None:
            self.session = session

        def __enter__(self) -> Any:
            return self.session.__enter__()

        def __exit__(self, *error: object) -> None:
            self.session.__exit__(*error)

    session = Session(engine)
    with Unit(session) as ours:
        ours.execute(ONE)
    session.execute(ONE)
    return session


HEALTHY = [
    in_a_second_block_of_a_subclass,
    lent_to_a_unit_of_work,
    after_plain_close,
    after_plain_close_of_an_unused_one,
    after_reset,
    after_invalidate,
    after_closing,
    after_close_inside_its_block,
    in_a_second_block,
    in_many_blocks,
    in_begin_blocks,
    lent_to_a_block_of_another,
    lent_by_a_patched_factory,
    lent_inside_its_own_block,
    read_below_its_block,
    block_of_a_registry,
    block_of_a_registry_itself,
    closed_registry,
]


async def async_below_its_block(engine: Any) -> Any:
    async with AsyncSession(engine) as session:  # block
        await session.execute(ONE)
        await session.commit()  # end
    await session.execute(ONE)  # again
    return session


class LoggedAsyncSession(AsyncSession):
    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)


async def async_below_the_block_of_a_subclass(engine: Any) -> Any:
    async with LoggedAsyncSession(engine) as session:  # block
        await session.execute(ONE)  # end
    await session.execute(ONE)  # again
    return session


async def async_below_a_block_that_raised(engine: Any) -> Any:
    try:
        async with AsyncSession(engine) as session:  # block
            await session.execute(ONE)
            raise KeyError  # end
    except KeyError:
        await session.execute(ONE)  # again
    return session


async def async_below_nested_blocks(engine: Any) -> Any:
    async with async_sessionmaker(engine)() as session:  # noqa: SIM117  # block
        async with session.begin():
            await session.execute(ONE)  # end
    await session.execute(ONE)  # again
    return session


async def async_below_two_in_one_block(engine: Any) -> Any:
    async with AsyncSession(engine) as session, session.begin():  # block
        await session.execute(ONE)  # end
    await session.execute(ONE)  # again
    return session


async def async_below_an_exit_stack(engine: Any) -> Any:
    async with contextlib.AsyncExitStack() as stack:  # block
        session = await stack.enter_async_context(AsyncSession(engine))
        await session.execute(ONE)  # end
    await session.execute(ONE)  # again
    return session


async def async_below_begin_of_a_maker(engine: Any) -> Any:
    async with async_sessionmaker(engine).begin() as session:  # block
        await session.execute(ONE)  # end
    await session.execute(ONE)  # again
    return session


async def async_below_the_block_of_a_dependency(engine: Any) -> Any:
    @contextlib.asynccontextmanager
    async def get_session() -> AsyncIterator[Any]:
        async with AsyncSession(engine) as session:  # block
            yield session  # end

    async with get_session() as session:
        await session.execute(ONE)
    await session.execute(ONE)  # again
    return session


async def async_again_in_a_task(engine: Any) -> Any:
    async def late(session: Any) -> None:
        await session.execute(ONE)  # again

    async with AsyncSession(engine) as session:  # block
        await session.execute(ONE)  # end
    await asyncio.create_task(late(session))
    return session


async def async_again_in_run_sync(engine: Any) -> Any:
    async with AsyncSession(engine) as session:  # block
        await session.execute(ONE)  # end
    await session.run_sync(lambda sync: sync.execute(ONE))  # again
    return session


ASYNC_FAULTS = [
    async_below_its_block,
    async_below_a_block_that_raised,
    async_below_the_block_of_a_subclass,
    async_below_nested_blocks,
    async_below_two_in_one_block,
    async_below_an_exit_stack,
    async_below_begin_of_a_maker,
    async_below_the_block_of_a_dependency,
    async_again_in_a_task,
    async_again_in_run_sync,
]


async def async_after_plain_close(engine: Any) -> Any:
    session = AsyncSession(engine)
    await session.execute(ONE)
    await session.close()
    await session.execute(ONE)
    return session


async def async_after_reset(engine: Any) -> Any:
    session = AsyncSession(engine)
    await session.execute(ONE)
    await session.reset()
    await session.execute(ONE)
    return session


async def async_after_aclosing(engine: Any) -> Any:
    async with contextlib.aclosing(AsyncSession(engine)) as session:
        await session.execute(ONE)
    await session.execute(ONE)
    return session


async def async_in_a_second_block(engine: Any) -> Any:
    session = AsyncSession(engine)
    for _ in range(3):
        async with session:
            await session.execute(ONE)
    return session


async def async_use_in_block(session: Any) -> None:
    async with session:
        await session.execute(ONE)


async def async_lent(engine: Any) -> Any:
    session = AsyncSession(engine)
    await async_use_in_block(session)
    await session.execute(ONE)
    return session


async def async_lent_in_a_task(engine: Any) -> Any:
    session = AsyncSession(engine)
    await asyncio.create_task(async_use_in_block(session))
    await session.execute(ONE)
    return session


async def async_block_of_a_registry(engine: Any) -> Any:
    registry = async_scoped_session(async_sessionmaker(engine), asyncio.current_task)
    async with registry() as session:
        await session.execute(ONE)
    await registry.execute(ONE)
    return registry()


ASYNC_HEALTHY = [
    async_after_plain_close,
    async_after_reset,
    async_after_aclosing,
    async_in_a_second_block,
    async_lent,
    async_lent_in_a_task,
    async_block_of_a_registry,
]


def lines_of(function: Any) -> dict[str, int]:
    """The lines that carry the marks."""
    lines, first = inspect.getsourcelines(function)
    return {
        mark: number
        for number, line in enumerate(lines, first)
        for mark in ("block", "end", "again")
        if f"# {mark}" in line
    }


def check_fault(watching: Any, function: Any) -> None:
    (record,) = watching.account.reopened
    lines = lines_of(function)
    ended = watching.guard.render(record.ended).frames[0]
    again = watching.guard.render(record.reopened).frames[0]
    seen = {"block": ended.line, "end": find_block_end(record.ended), "again": again.line}
    assert lines == {mark: seen[mark] for mark in lines}
    assert {"end", "again"} <= set(lines)


@pytest.fixture
def engine(database: str) -> Iterator[Any]:
    engine = create_engine(f"sqlite://{database}")
    yield engine
    engine.dispose()


@pytest.mark.parametrize("case", FAULTS, ids=lambda case: case.__name__)
def test_sync_fault(case: Any, watching: Any, engine: Any) -> None:
    """A session that began again below its own block stands in the books with all three places."""
    session = case(engine)
    check_fault(watching, case)
    session.close()
    assert ["SG202"] == [finding.rule for finding in watching.end()]


@pytest.mark.parametrize("case", HEALTHY, ids=lambda case: case.__name__)
def test_sync_healthy(case: Any, watching: Any, engine: Any) -> None:
    """What SQLAlchemy documents as reuse, or somebody lent, is no fault."""
    session = case(engine)
    assert [] == watching.account.reopened
    session.close()
    assert [] == watching.end()


def run_async(case: Any, database: str) -> None:
    async def run() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite://{database}")
        session = await case(engine)
        await session.close()
        await engine.dispose()

    asyncio.run(run())


@pytest.mark.parametrize("case", ASYNC_FAULTS, ids=lambda case: case.__name__)
def test_async_fault(case: Any, watching: Any, database: str) -> None:
    """The same of an async session."""
    run_async(case, database)
    check_fault(watching, case)
    assert ["SG202"] == [finding.rule for finding in watching.end()]


@pytest.mark.parametrize("case", ASYNC_HEALTHY, ids=lambda case: case.__name__)
def test_async_healthy(case: Any, watching: Any, database: str) -> None:
    """The same of an async session."""
    run_async(case, database)
    assert [] == watching.account.reopened
    assert [] == watching.end()


def test_it_begins_again_once(watching: Any, engine: Any) -> None:
    """A session that goes on for many transactions below its block is one fault, at the first."""
    session = below_its_block(engine)
    for _ in range(3):
        session.commit()
        session.execute(ONE)
    check_fault(watching, below_its_block)
    session.close()


def test_it_began_again_after_both(watching: Any, engine: Any) -> None:
    """A legal reuse after `close()` does not hide a later one below the block."""
    session = Session(engine)
    session.execute(ONE)
    session.close()
    with session:
        session.execute(ONE)
    assert [] == watching.account.reopened
    session.execute(ONE)
    assert 1 == len(watching.account.reopened)
    session.close()


def test_the_finding_shows_three_places(watching: Any, engine: Any) -> None:
    """Where the connection is out, block, beginning and connection are one finding, of SG202."""
    session = below_its_block(engine)
    (finding,) = watching.end()
    lines = lines_of(below_its_block)
    places = {place.label: place for place in finding.places}
    assert ["began again", "block ended", "connection"] == list(places)
    assert [lines["again"], lines["block"], lines["again"]] == [
        place.site.frames[0].line for place in finding.places
    ]
    assert f"the block of {{}} ended at line {lines['end']}" == places["block ended"].text
    assert "{}, never returned" == places["connection"].text
    session.close()


def test_the_finding_of_a_lost_connection(watching: Any, engine: Any, collect: Any) -> None:
    """Where the collector took the connection, that too is the one finding."""
    below_its_block(engine)
    collect()
    (finding,) = watching.end()
    assert ("SG202", "lost") == (finding.rule, finding.facts["connection"])


def test_block_end_without_source(watching: Any, engine: Any) -> None:
    """Where the source is not to be had, the block's end is not told."""
    source = inspect.getsource(below_its_block)
    space = {"Session": Session, "ONE": ONE, "Any": Any}
    path = "/nowhere/generated.py"
    exec(compile(source, path, "exec"), space)
    session = space["below_its_block"](engine)  # type: ignore[operator]
    (record,) = watching.account.reopened
    assert None is find_block_end(record.ended)
    (finding,) = watching.end()
    assert "the block of {}" == finding.places[1].text
    session.close()


def test_block_end_of_a_plain_close(watching: Any, engine: Any) -> None:
    """A close that stands in no block has no block's end."""
    session = Session(engine)
    session.execute(ONE)
    session.close()
    record = watching.record(session)
    assert None is find_block_end(record.ended)
