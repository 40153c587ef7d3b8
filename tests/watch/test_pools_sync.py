"""Every pool with sync drivers, and every way in which a lease ends."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import (
    AssertionPool,
    NullPool,
    QueuePool,
    SingletonThreadPool,
    StaticPool,
)

OUT = {"out": 1, "lost": 0}
LOST = {"out": 0, "lost": 1}
RETURNED = {"out": 0, "lost": 0}
ONE = text("SELECT 1")

Keep = list[Any]


def close_without_transaction(engine: Any, keep: Keep) -> None:
    engine.connect().close()


def close_with_transaction(engine: Any, keep: Keep) -> None:
    connection = engine.connect()
    connection.execute(ONE)
    connection.close()


def leave_block(engine: Any, keep: Keep) -> None:
    with engine.begin() as connection:
        connection.execute(ONE)


def leave_block_by_exception(engine: Any, keep: Keep) -> None:
    with pytest.raises(ZeroDivisionError), engine.connect() as connection:
        connection.execute(ONE)
        raise ZeroDivisionError


def keep_without_transaction(engine: Any, keep: Keep) -> None:
    keep.append(engine.connect())


def keep_with_transaction(engine: Any, keep: Keep) -> None:
    keep.append(engine.connect())
    keep[0].execute(ONE)


def keep_after_commit(engine: Any, keep: Keep) -> None:
    keep.append(engine.connect())
    keep[0].execute(ONE)
    keep[0].commit()


def drop_without_transaction(engine: Any, keep: Keep) -> None:
    engine.connect()


def drop_with_transaction(engine: Any, keep: Keep) -> None:
    engine.connect().execute(ONE)


def drop_in_cycle(engine: Any, keep: Keep) -> None:
    class Holder:
        pass

    holder: Any = Holder()
    holder.me = holder
    holder.connection = engine.connect()


def drop_session(engine: Any, keep: Keep) -> None:
    Session(engine).execute(ONE)


def keep_session(engine: Any, keep: Keep) -> None:
    keep.append(Session(engine))
    keep[0].execute(ONE)


def keep_session_after_commit(engine: Any, keep: Keep) -> None:
    keep.append(Session(engine))
    keep[0].execute(ONE)
    keep[0].commit()


def keep_session_bound_to_connection(engine: Any, keep: Keep) -> None:
    with engine.connect() as connection:
        keep.append(Session(connection))
        keep[0].execute(ONE)


def invalidate_and_close(engine: Any, keep: Keep) -> None:
    connection = engine.connect()
    connection.invalidate()
    connection.close()


def invalidate_and_drop(engine: Any, keep: Keep) -> None:
    engine.connect().invalidate()


def invalidate_and_use_again(engine: Any, keep: Keep) -> None:
    keep.append(engine.connect())
    keep[0].invalidate()
    keep[0].execute(ONE)


def detach_and_close(engine: Any, keep: Keep) -> None:
    connection = engine.connect()
    connection.detach()
    connection.close()


def detach_and_keep(engine: Any, keep: Keep) -> None:
    keep.append(engine.connect())
    keep[0].detach()


def detach_and_drop(engine: Any, keep: Keep) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # psycopg's, of a connection that nobody closed
        engine.connect().detach()


def raise_in_other_listener(engine: Any, keep: Keep) -> None:
    def refuse(dbapi: Any, record: Any, proxy: Any) -> None:
        raise ZeroDivisionError

    event.listen(engine, "checkout", refuse)
    with pytest.raises(ZeroDivisionError):
        engine.connect()


def close_raw(engine: Any, keep: Keep) -> None:
    engine.raw_connection().close()


def keep_raw(engine: Any, keep: Keep) -> None:
    keep.append(engine.raw_connection())


def drop_raw(engine: Any, keep: Keep) -> None:
    engine.raw_connection()


def dispose_while_out(engine: Any, keep: Keep) -> None:
    keep.append(engine.connect())
    engine.dispose()


def dispose_and_close(engine: Any, keep: Keep) -> None:
    connection = engine.connect()
    engine.dispose()
    connection.close()


def dispose_and_drop(engine: Any, keep: Keep) -> None:
    connection = engine.connect()
    engine.dispose()
    del connection


def use_recreated_pool(engine: Any, keep: Keep) -> None:
    engine.connect().close()
    engine.dispose()
    keep.append(engine.connect())


def keep_option_engine(engine: Any, keep: Keep) -> None:
    keep.append(engine.execution_options(logging_token="x").connect())


def take_again_what_came_back(engine: Any, keep: Keep) -> None:
    engine.connect().close()
    keep.append(engine.connect())
    keep[0].execute(ONE)


CASES: list[tuple[Callable[[Any, Keep], None], dict[str, int]]] = [
    (close_without_transaction, RETURNED),
    (close_with_transaction, RETURNED),
    (leave_block, RETURNED),
    (leave_block_by_exception, RETURNED),
    (keep_without_transaction, OUT),
    (keep_with_transaction, OUT),
    (keep_after_commit, OUT),
    (drop_without_transaction, LOST),
    (drop_with_transaction, LOST),
    (drop_in_cycle, LOST),
    (drop_session, LOST),
    (keep_session, OUT),
    (keep_session_after_commit, RETURNED),
    (keep_session_bound_to_connection, RETURNED),
    (invalidate_and_close, RETURNED),
    (invalidate_and_drop, RETURNED),
    (invalidate_and_use_again, OUT),
    (detach_and_close, RETURNED),
    (detach_and_keep, RETURNED),
    (detach_and_drop, RETURNED),
    (raise_in_other_listener, RETURNED),
    (close_raw, RETURNED),
    (keep_raw, OUT),
    (drop_raw, LOST),
    (dispose_while_out, OUT),
    (dispose_and_close, RETURNED),
    (dispose_and_drop, LOST),
    (use_recreated_pool, OUT),
    (keep_option_engine, OUT),
    (take_again_what_came_back, OUT),
]

SQLITE = [QueuePool, NullPool, StaticPool, SingletonThreadPool, AssertionPool]
POSTGRES = [QueuePool, NullPool, StaticPool, AssertionPool]


@pytest.fixture
def keep() -> Iterator[Keep]:
    """What a case holds on to; closed when the guard has had its look."""
    things: Keep = []
    yield things
    for thing in things:
        thing.close()


# AssertionPool refuses to be disposed of while its one connection is out.
UNDISPOSABLE = {dispose_while_out, dispose_and_close, dispose_and_drop}


def each(pools: list[Any]) -> list[Any]:
    """Every case with every pool that can do it."""
    return [
        pytest.param(pool, case, expected, id=f"{case.__name__}-{pool.__name__}")
        for case, expected in CASES
        for pool in pools
        if not (pool is AssertionPool and case in UNDISPOSABLE)
    ]


def check(watching: Any, collect: Any, engine: Any, case: Any, keep: Keep, expected: Any) -> None:
    case(engine, keep)
    collect()
    assert expected == watching.fates
    assert expected["out"] == len(watching.account.leases)
    for thing in keep:
        thing.close()
    assert 0 == watching.fates["out"]
    assert {} == watching.ledger.out
    engine.dispose()


@pytest.mark.parametrize(("pool", "case", "expected"), each(SQLITE))
def test_sqlite(
    pool: Any, case: Any, expected: Any, watching: Any, collect: Any, keep: Keep, database: str
) -> None:
    """The ledger knows the fate of a lease of every pool with sqlite3."""
    engine = create_engine(f"sqlite://{database}", poolclass=pool)
    check(watching, collect, engine, case, keep, expected)


@pytest.mark.postgres
@pytest.mark.parametrize(("pool", "case", "expected"), each(POSTGRES))
def test_psycopg(
    pool: Any,
    case: Any,
    expected: Any,
    watching: Any,
    collect: Any,
    keep: Keep,
    sessionguard_postgres: Any,
) -> None:
    """The ledger knows the fate of a lease of every pool with psycopg."""
    engine = create_engine(sessionguard_postgres.url_for("psycopg"), poolclass=pool)
    check(watching, collect, engine, case, keep, expected)


@pytest.mark.parametrize(
    ("pool", "out"),
    [(QueuePool, 2), (NullPool, 2), (StaticPool, 2)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_nested_checkouts(pool: Any, out: int, watching: Any, database: str) -> None:
    """Two checkouts at a time are two leases, but one where a pool hands out the same twice."""
    engine = create_engine(f"sqlite://{database}", poolclass=pool)
    outer = engine.connect()
    inner = engine.connect()
    assert out == watching.fates["out"]
    inner.close()
    assert 1 == watching.fates["out"]
    outer.close()
    assert RETURNED == watching.fates
    engine.dispose()


def test_nested_checkouts_of_a_singleton(watching: Any, database: str) -> None:
    """A pool that hands the same connection out twice does not know who kept it; nor do we."""
    engine = create_engine(f"sqlite://{database}", poolclass=SingletonThreadPool)
    outer = engine.connect()
    assert OUT == watching.fates
    engine.connect().close()
    assert RETURNED == watching.fates
    outer.close()
    assert ({}, []) == (watching.account.leases, watching.ledger.all_leases())
    with engine.connect():
        assert OUT == watching.fates
    engine.dispose()


def test_nested_checkouts_that_end_in_the_other_order(watching: Any, database: str) -> None:
    """Of a StaticPool's two proxies the one that is still open is out, whichever ended first."""
    engine = create_engine(f"sqlite://{database}", poolclass=StaticPool)
    outer, inner = engine.connect(), engine.connect()
    outer.close()
    assert OUT == watching.fates
    assert watching.ledger.find_lease(inner.connection) is watching.account.open_leases()[0]
    inner.close()
    assert RETURNED == watching.fates
    engine.dispose()


def test_a_refused_nested_checkout_is_no_lease(watching: Any, database: str) -> None:
    """What AssertionPool refuses never was out."""
    engine = create_engine(f"sqlite://{database}", poolclass=AssertionPool)
    outer = engine.connect()
    with pytest.raises(AssertionError):
        engine.connect()
    assert OUT == watching.fates
    outer.close()
    assert RETURNED == watching.fates
    engine.dispose()


def test_static_pool_keeps_no_lease_that_ended(watching: Any, collect: Any, database: str) -> None:
    """Nested checkouts of a StaticPool keep no lease in the books, and no pool alive."""
    engine = create_engine(f"sqlite://{database}", poolclass=StaticPool)
    pool = weakref.ref(engine.pool)
    for _ in range(50):
        with engine.connect() as outer, engine.connect() as inner:
            outer.execute(ONE)
            inner.execute(ONE)
    assert len(watching.account.leases) <= 2
    assert [] == watching.ledger.all_leases()
    engine.dispose()
    del engine, outer, inner
    collect()
    assert None is pool()


def test_engine_made_before_the_watching(watching: Any, database: str) -> None:
    """An engine that was made, and used, before the watchers came is watched from then on."""
    watching.guard.stop()
    engine = create_engine(f"sqlite://{database}")
    engine.connect().close()
    before = engine.connect()
    watching.guard.start()
    before.close()
    assert RETURNED == watching.fates
    after = engine.connect()
    assert OUT == watching.fates
    after.close()
    engine.dispose()


def test_what_was_out_before_is_not_judged(watching: Any, database: str) -> None:
    """A connection that was checked out before the watching is nobody's, whatever becomes of it."""
    watching.guard.stop()
    engine = create_engine(f"sqlite://{database}")
    before = engine.connect()
    watching.guard.start()
    assert (RETURNED, [], None) == (
        watching.fates,
        watching.ledger.all_leases(),
        watching.ledger.find_lease(before.connection),
    )
    before.close()
    engine.dispose()


def test_custom_pool_class(watching: Any, database: str) -> None:
    """A project's own pool class is watched, and named in what is known of the pool."""

    class OurPool(QueuePool):
        pass

    engine = create_engine(f"sqlite://{database}", poolclass=OurPool, pool_size=3, max_overflow=4)
    with engine.connect():
        pool = watching.lease.pool
        facts = (pool.kind, pool.size, pool.overflow, pool.timeout, pool.engine, pool.loop_bound)
    assert ("OurPool", 3, 4, 30.0, "sqlite+pysqlite", False) == facts
    engine.dispose()


def test_pool_without_sizes(watching: Any, database: str) -> None:
    """A pool that has no size has none in its facts."""
    engine = create_engine(f"sqlite://{database}", poolclass=NullPool)
    with engine.connect():
        pool = watching.lease.pool
        assert ("NullPool", None, None, None) == (pool.kind, pool.size, pool.overflow, pool.timeout)
    engine.dispose()


def test_pools_of_one_engine_count_once(watching: Any, database: str) -> None:
    """An engine is counted once, however often `dispose()` makes its pool anew."""
    one, two = create_engine(f"sqlite://{database}"), create_engine(f"sqlite://{database}")
    for engine in (one, one, two):
        engine.connect().close()
        engine.dispose()
    assert 2 == watching.ledger.engines


def test_bare_pool(watching: Any) -> None:
    """A pool without an engine is watched too; nobody knows what it belongs to."""
    import sqlite3

    pool = QueuePool(lambda: sqlite3.connect(":memory:"))
    proxy = pool.connect()
    assert (OUT, "an engine") == (watching.fates, watching.lease.pool.engine)
    proxy.close()
    pool.dispose()
    assert RETURNED == watching.fates


def test_a_lease_belongs_to_who_opened_its_session(watching: Any, database: str) -> None:
    """A session takes its connection for its own owner, whoever runs at that moment."""
    from pytest_sessionguard.model import Owner

    engine = create_engine(f"sqlite://{database}")
    guard, account = watching.guard, watching.account
    session = Session(engine)
    guard.start_fixture("key", Owner("fixture", "fixture `db`"), {})
    session.execute(ONE)
    plain = engine.connect()
    assert [account] == [lease.account for lease in account.open_leases()]
    assert 1 == len(guard.ledger.current.open_leases())
    guard.leave_fixture("key", ready=True)
    plain.close()
    session.close()
    assert RETURNED == watching.fates
    engine.dispose()


def test_lease_of_a_savepoint_harness_is_the_connections(watching: Any, database: str) -> None:
    """A session bound to a connection takes nothing: the lease stays with who connected."""
    engine = create_engine(f"sqlite://{database}")
    with engine.connect() as connection:
        transaction = connection.begin()
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            session.execute(ONE)
            session.commit()
        assert (OUT, None) == (watching.fates, watching.lease.session)
        transaction.rollback()
    assert RETURNED == watching.fates
    engine.dispose()


def test_a_session_on_two_engines_has_two_leases(
    watching: Any, database: str, user_model: Any
) -> None:
    """A session with several binds holds a lease of each that it used."""
    engines = [create_engine(f"sqlite://{database}") for _ in range(2)]
    session = Session(engines[0], binds={user_model: engines[1]})
    session.execute(ONE, bind_arguments={"bind": engines[0]})
    session.get(user_model, 1)
    record = watching.record(session)
    assert [record, record] == [lease.session for lease in watching.account.open_leases()]
    session.close()
    assert RETURNED == watching.fates
    for engine in engines:
        engine.dispose()


def test_connect_inside_a_sessions_listener_is_no_lease_of_the_session(
    watching: Any, database: str, user_model: Any
) -> None:
    """A connection that a listener of the user's takes inside a flush is the listener's."""
    engine = create_engine(f"sqlite://{database}")
    taken: list[Any] = []
    with Session(engine) as session:
        event.listen(session, "before_flush", lambda *args: taken.append(engine.connect()))
        session.add(user_model(name="eve"))
        session.flush()
    assert (OUT, None) == (watching.fates, watching.lease.session)
    taken[0].close()
    assert RETURNED == watching.fates
    engine.dispose()
