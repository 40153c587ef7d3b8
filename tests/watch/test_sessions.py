"""Sessions of every kind: what they are called, whether they are in use, how they end."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, close_all_sessions, scoped_session, sessionmaker
from sqlalchemy.orm import session as orm_session

ONE = text("SELECT 1")


@pytest.fixture
def engine(database: str) -> Iterator[Any]:
    engine = create_engine(f"sqlite://{database}")
    yield engine
    engine.dispose()


class OwnInit(Session):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ours = True


class OwnClose(Session):
    def close(self) -> None:
        super().close()


class OwnAsync(AsyncSession):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    async def close(self) -> None:
        await super().close()


class OwnAsyncOfOwnSync(AsyncSession):
    sync_session_class = OwnInit


def make_plainly(engine: Any) -> Any:
    return Session(engine)


def make_by_maker(engine: Any) -> Any:
    return sessionmaker(engine)()


def make_by_local_maker(engine: Any) -> Any:
    return sessionmaker(engine).__call__()


def make_own_init(engine: Any) -> Any:
    return OwnInit(engine)


def make_own_init_by_maker(engine: Any) -> Any:
    return sessionmaker(engine, class_=OwnInit)()


def make_own_close(engine: Any) -> Any:
    return OwnClose(engine)


def make_future(engine: Any) -> Any:
    return sessionmaker(bind=engine, autoflush=False, expire_on_commit=False)()


def make_scoped(engine: Any) -> Any:
    return scoped_session(sessionmaker(engine))()


def make_scoped_by_use(engine: Any) -> Any:
    registry = scoped_session(sessionmaker(engine))
    registry.execute(ONE)
    return registry()


def make_scoped_of_own_init(engine: Any) -> Any:
    return scoped_session(sessionmaker(engine, class_=OwnInit))()


def make_scoped_by_function(engine: Any) -> Any:
    return scoped_session(lambda: Session(engine))()


def make_scoped_with_scope(engine: Any) -> Any:
    return scoped_session(sessionmaker(engine), scopefunc=lambda: 1)()


SYNC_KINDS: list[tuple[Callable[[Any], Any], str]] = [
    (make_plainly, "Session"),
    (make_by_maker, "Session"),
    (make_by_local_maker, "Session"),
    (make_own_init, "Session"),
    (make_own_init_by_maker, "Session"),
    (make_own_close, "Session"),
    (make_future, "Session"),
    (make_scoped, "scoped_session"),
    (make_scoped_by_use, "scoped_session"),
    (make_scoped_of_own_init, "scoped_session"),
    (make_scoped_by_function, "scoped_session"),
    (make_scoped_with_scope, "scoped_session"),
]


def name(value: Any) -> str:
    return getattr(value, "__name__", str(value))


@pytest.mark.parametrize(("make", "kind"), SYNC_KINDS, ids=name)
def test_sync_kinds(make: Any, kind: str, watching: Any, engine: Any) -> None:
    """A sync session is called what the user made; it is in use from its first statement on."""
    session = make(engine)
    record = watching.record(session)
    assert (kind, "scoped" in kind) == (record.kind, record.is_scoped)
    session.execute(ONE)
    assert [record] == watching.account.open_sessions()
    assert [record] == [lease.session for lease in watching.account.open_leases()]
    session.close()
    assert ([], []) == (watching.account.open_sessions(), watching.account.open_leases())


def make_async_plainly(engine: Any) -> Any:
    return AsyncSession(engine)


def make_async_by_maker(engine: Any) -> Any:
    return async_sessionmaker(engine)()


def make_async_by_sync_maker(engine: Any) -> Any:
    return sessionmaker(engine, class_=AsyncSession)()


def make_async_own(engine: Any) -> Any:
    return OwnAsync(engine)


def make_async_own_by_maker(engine: Any) -> Any:
    return async_sessionmaker(engine, class_=OwnAsync)()


def make_async_of_own_sync_class(engine: Any) -> Any:
    return AsyncSession(engine, sync_session_class=OwnInit)


def make_async_own_of_own_sync_class(engine: Any) -> Any:
    return OwnAsyncOfOwnSync(engine)


def make_async_scoped(engine: Any) -> Any:
    return async_scoped_session(async_sessionmaker(engine), scopefunc=asyncio.current_task)()


ASYNC_KINDS: list[tuple[Callable[[Any], Any], str]] = [
    (make_async_plainly, "AsyncSession"),
    (make_async_by_maker, "AsyncSession"),
    (make_async_by_sync_maker, "AsyncSession"),
    (make_async_own, "AsyncSession"),
    (make_async_own_by_maker, "AsyncSession"),
    (make_async_of_own_sync_class, "AsyncSession"),
    (make_async_own_of_own_sync_class, "AsyncSession"),
    (make_async_scoped, "async_scoped_session"),
]


def run_async(work: Callable[[Any], Any], database: str) -> Any:
    async def run() -> Any:
        engine = create_async_engine(f"sqlite+aiosqlite://{database}")
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    return asyncio.run(run())


@pytest.mark.parametrize(("make", "kind"), ASYNC_KINDS, ids=name)
def test_async_kinds(make: Any, kind: str, watching: Any, database: str) -> None:
    """An async session is called what the user made; it is in use from its first statement on."""

    async def work(engine: Any) -> None:
        session = make(engine)
        record = watching.record(session)
        assert (kind, "scoped" in kind) == (record.kind, record.is_scoped)
        await session.execute(ONE)
        assert [record] == watching.account.open_sessions()
        assert [record] == [lease.session for lease in watching.account.open_leases()]
        await session.close()
        assert ([], []) == (watching.account.open_sessions(), watching.account.open_leases())

    run_async(work, database)


# What makes a session one that is in use, and what ends that.


def test_unused_session(watching: Any, engine: Any, user_model: Any) -> None:
    """A session that has not taken a connection yet is not in use."""
    session = Session(engine)
    assert (False, True, []) == (session.in_transaction(), session.is_active, list(session.new))
    session.get_bind(user_model)
    session.begin_nested()
    session.add(user_model(name="eve"))
    assert [] == watching.account.open_sessions()
    assert 1 == watching.ledger.sessions
    session.close()


def use_by_execute(session: Any, model: Any) -> None:
    session.execute(ONE)


def use_by_get(session: Any, model: Any) -> None:
    session.get(model, 1)


def use_by_flush(session: Any, model: Any) -> None:
    session.add(model(name="eve"))
    session.flush()


def use_by_begin(session: Any, model: Any) -> None:
    session.begin()
    session.execute(ONE)


def use_by_savepoint(session: Any, model: Any) -> None:
    with session.begin_nested():
        session.execute(ONE)


def use_by_connection(session: Any, model: Any) -> None:
    session.connection()


def use_and_commit(session: Any, model: Any) -> None:
    session.execute(ONE)
    session.commit()


def use_and_roll_back(session: Any, model: Any) -> None:
    session.execute(ONE)
    session.rollback()


USES = [
    use_by_execute,
    use_by_get,
    use_by_flush,
    use_by_begin,
    use_by_savepoint,
    use_by_connection,
    use_and_commit,
    use_and_roll_back,
]


def end_by_close(session: Any) -> None:
    session.close()


def end_by_block(session: Any) -> None:
    with session:
        pass


def end_by_reset(session: Any) -> None:
    session.reset()


def end_by_invalidate(session: Any) -> None:
    session.invalidate()


def forget_others(session: Any) -> None:
    """Let `close_all_sessions` see this one alone: what other tests have left may be async."""
    sessions = orm_session._sessions
    for key in [key for key, other in sessions.items() if other is not session]:
        del sessions[key]


def end_by_close_all(session: Any) -> None:
    forget_others(session)
    close_all_sessions()


def end_by_exit_stack(session: Any) -> None:
    with contextlib.ExitStack() as stack:
        stack.enter_context(session)


def end_by_closing(session: Any) -> None:
    with contextlib.closing(session):
        pass


def end_by_callback(session: Any) -> None:
    with contextlib.ExitStack() as stack:
        stack.callback(session.close)


def end_by_exception(session: Any) -> None:
    with pytest.raises(ZeroDivisionError), session:
        raise ZeroDivisionError


ENDS = [
    end_by_close,
    end_by_block,
    end_by_reset,
    end_by_invalidate,
    end_by_close_all,
    end_by_exit_stack,
    end_by_closing,
    end_by_callback,
    end_by_exception,
]


@pytest.mark.parametrize("end", ENDS, ids=name)
@pytest.mark.parametrize("use", USES, ids=name)
def test_use_and_end(use: Any, end: Any, watching: Any, engine: Any, user_model: Any) -> None:
    """Whatever takes a connection puts a session in use; whatever closes it ends that."""
    session = Session(engine)
    use(session, user_model)
    assert [watching.record(session)] == watching.account.open_sessions()
    end(session)
    assert ([], []) == (watching.account.open_sessions(), watching.account.open_leases())
    assert [] == watching.end()


@pytest.mark.parametrize("method", ["commit", "rollback", "flush", "expunge_all", "expire_all"])
def test_what_does_not_end_a_session(method: str, watching: Any, engine: Any) -> None:
    """A commit or a rollback gives the connection back; the session is open still."""
    session = Session(engine)
    session.execute(ONE)
    getattr(session, method)()
    assert [watching.record(session)] == watching.account.open_sessions()
    session.close()


def test_a_dropped_session_stays_told(watching: Any, engine: Any, collect: Any) -> None:
    """A session that was used, committed and dropped is still open in the books."""
    session = Session(engine)
    session.execute(ONE)
    session.commit()
    del session
    collect()
    (record,) = watching.account.open_sessions()
    assert None is record.session()


def test_an_unused_session_leaves_nothing(watching: Any, engine: Any, collect: Any) -> None:
    """A session that was made and dropped stands in nobody's account."""
    Session(engine)
    collect()
    assert {} == watching.account.sessions


async def end_async_by_close(session: Any) -> None:
    await session.close()


async def end_async_by_aclose(session: Any) -> None:
    await session.aclose()


async def end_async_by_block(session: Any) -> None:
    async with session:
        pass


async def end_async_by_reset(session: Any) -> None:
    await session.reset()


async def end_async_by_invalidate(session: Any) -> None:
    await session.invalidate()


async def end_async_by_close_all(session: Any) -> None:
    from sqlalchemy.ext.asyncio import close_all_sessions

    forget_others(session.sync_session)
    await close_all_sessions()


async def end_async_by_exit_stack(session: Any) -> None:
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(session)


async def end_async_by_pushed_close(session: Any) -> None:
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(session.close)


async def end_async_in_a_task(session: Any) -> None:
    await asyncio.create_task(session.close())


async def end_async_shielded(session: Any) -> None:
    await asyncio.shield(session.close())


async def end_async_by_exception(session: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        async with session:
            raise ZeroDivisionError


async def end_async_by_sync_session(session: Any) -> None:
    await session.run_sync(lambda sync: sync.close())


ASYNC_ENDS = [
    end_async_by_close,
    end_async_by_aclose,
    end_async_by_block,
    end_async_by_reset,
    end_async_by_invalidate,
    end_async_by_close_all,
    end_async_by_exit_stack,
    end_async_by_pushed_close,
    end_async_in_a_task,
    end_async_shielded,
    end_async_by_exception,
    end_async_by_sync_session,
]


@pytest.mark.parametrize("end", ASYNC_ENDS, ids=name)
def test_async_end(end: Any, watching: Any, database: str) -> None:
    """Whatever closes an async session ends its use."""

    async def work(engine: Any) -> None:
        session = AsyncSession(engine)
        await session.execute(ONE)
        await end(session)
        assert ([], []) == (watching.account.open_sessions(), watching.account.open_leases())

    run_async(work, database)
    assert [] == watching.end()


def test_begin_of_a_sessionmaker(watching: Any, engine: Any) -> None:
    """`sessionmaker.begin()` opens a session and closes it."""
    with sessionmaker(engine).begin() as session:
        session.execute(ONE)
        assert [watching.record(session)] == watching.account.open_sessions()
    assert [] == watching.end()


def test_begin_of_an_async_sessionmaker(watching: Any, database: str) -> None:
    """So does that of `async_sessionmaker`."""

    async def work(engine: Any) -> None:
        async with async_sessionmaker(engine).begin() as session:
            await session.execute(ONE)
            assert [watching.record(session)] == watching.account.open_sessions()

    run_async(work, database)
    assert [] == watching.end()


def test_remove_of_a_registry(watching: Any, engine: Any) -> None:
    """`scoped_session.remove()` closes what the registry made."""
    registry = scoped_session(sessionmaker(engine))
    registry.execute(ONE)
    assert 1 == len(watching.account.open_sessions())
    registry.remove()
    assert [] == watching.account.open_sessions()


def test_remove_of_an_async_registry(watching: Any, database: str) -> None:
    """So does that of `async_scoped_session`."""

    async def work(engine: Any) -> None:
        registry = async_scoped_session(async_sessionmaker(engine), asyncio.current_task)
        await registry.execute(ONE)
        assert 1 == len(watching.account.open_sessions())
        await registry.remove()

    run_async(work, database)
    assert [] == watching.account.open_sessions()


def test_session_made_before_the_watching(watching: Any, engine: Any) -> None:
    """A session that was made before the watchers came is counted when it is used, never due."""
    watching.guard.stop()
    session = Session(engine)
    vars(session).pop("_sessionguard", None)  # of the outer guard, if this suite runs under it
    watching.guard.start()
    session.execute(ONE)
    assert [] == watching.account.open_sessions()
    assert "import" == watching.record(session).account.owner.kind
    assert watching.record(session) is watching.newest.session
    assert [] == watching.account.open_leases()
    session.close()
    assert [] == watching.end()


def test_closing_twice(watching: Any, engine: Any) -> None:
    """A second `close()` of a session is as good as one."""
    session = Session(engine)
    session.execute(ONE)
    session.close()
    session.close()
    assert [] == watching.end()


def test_a_close_that_fails(watching: Any, engine: Any, collect: Any) -> None:
    """A `close()` that raises leaves its mark: what ends the session later is told as itself."""

    def fail(session: Any, transaction: Any) -> None:
        raise ZeroDivisionError

    from sqlalchemy import event

    session = Session(engine)
    session.execute(ONE)
    event.listen(session, "after_transaction_end", fail)
    with pytest.raises(ZeroDivisionError):
        session.close()
    event.remove(session, "after_transaction_end", fail)
    assert None is watching.record(session).leaving
    session.close()
    assert [] == watching.account.open_sessions()


def test_a_block_whose_close_fails(watching: Any, engine: Any) -> None:
    """A block whose end raises does not stand as the end of the next one."""
    from sqlalchemy import event

    def fail(session: Any, transaction: Any) -> None:
        raise ZeroDivisionError

    session = Session(engine)
    event.listen(session, "after_transaction_end", fail)
    with pytest.raises(ZeroDivisionError), session:
        session.execute(ONE)
    event.remove(session, "after_transaction_end", fail)
    assert None is watching.record(session).leaving
    session.close()  # plain: may be used again
    session.execute(ONE)
    assert [] == watching.account.reopened
    session.close()


def test_ten_thousand_sessions(watching: Any, engine: Any) -> None:
    """Ten thousand sessions that were closed leave nothing in the ledger, and no memory behind."""
    from pytest_sessionguard.accounts import Lease, SessionRecord

    def work(count: int) -> int:
        for _ in range(count):
            with Session(engine) as session:
                session.execute(ONE)
        return sum(isinstance(thing, (Lease, SessionRecord)) for thing in gc.get_objects())

    gc.collect()
    after_ten = work(10)
    assert work(9_990) <= after_ten
    account, ledger = watching.account, watching.ledger
    assert ({}, {}, [], [], []) == (
        account.leases,
        account.sessions,
        account.lost,
        account.reopened,
        account.crossings,
    )
    assert ({}, [], 10_000) == (ledger.out, ledger.all_leases(), ledger.sessions)


def test_ten_thousand_sessions_of_no_owner(watching: Any, engine: Any, collect: Any) -> None:
    """What code outside the tests opens and drops leaves nothing either."""
    ledger = watching.ledger
    watching.guard.end_test("", passed=True)
    for _ in range(300):
        session = Session(engine)
        session.execute(ONE)
        session.commit()
    del session
    collect()
    watching.guard.start_test(ledger.elsewhere.owner, {})
    elsewhere = ledger.elsewhere
    assert ({}, {}, []) == (elsewhere.leases, elsewhere.sessions, elsewhere.lost)


def test_copies_of_what_was_made(watching: Any, engine: Any) -> None:
    """A session's identity is its own: two at a time are two records."""
    with Session(engine) as one, Session(engine) as two:
        one.execute(ONE)
        two.execute(ONE)
        assert watching.record(one) is not watching.record(two)
        records = {watching.record(one), watching.record(two)}
        assert records == set(watching.account.open_sessions())
        assert records == {lease.session for lease in watching.account.open_leases()}
    assert 2 == watching.ledger.sessions


def test_session_in_a_partial(watching: Any, engine: Any) -> None:
    """A session that functools makes is made where the partial is called."""
    make = functools.partial(Session, engine)
    session = make()
    assert own_name() == watching.where(watching.record(session))[0][2]


def own_name() -> str:
    import sys

    return sys._getframe(1).f_code.co_name
