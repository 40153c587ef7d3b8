"""Installing and removing the watchers leaves SQLAlchemy as it was, and its inspection as it is."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any
from unittest import mock

import pytest
from sqlalchemy import Dialect, Engine, create_engine, event, text
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import Pool, QueuePool, SingletonThreadPool
from sqlalchemy.util import get_cls_kwargs

from pytest_sessionguard.guard import Guard, active_guard
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.model import Owner
from pytest_sessionguard.shield import Shield
from pytest_sessionguard.watch import Watchers
from pytest_sessionguard.watch.engines import EngineWatch
from pytest_sessionguard.watch.faults import FAULTS
from pytest_sessionguard.watch.pools import PoolWatch
from pytest_sessionguard.watch.private import find_attribute_loader
from pytest_sessionguard.watch.servers import ServerWatch

LOADERS = (find_attribute_loader()[0],)
ONE = text("SELECT 1")
CLASSES = (
    Dialect,
    Engine,
    Pool,
    QueuePool,
    SingletonThreadPool,
    Session,
    AsyncSession,
    sessionmaker,
    scoped_session,
    async_sessionmaker,
    *LOADERS,
    *FAULTS,
)
WRAPPED = (
    *("Dialect", "Pool", "SingletonThreadPool", "Session", "AsyncSession"),
    *(class_.__name__ for class_ in (*LOADERS, *FAULTS)),
)


def attributes() -> dict[tuple[str, str], int]:
    """The identity of every attribute of the classes that are, or might be, touched."""
    return {
        (class_.__name__, name): id(value)
        for class_ in CLASSES
        for name, value in vars(class_).items()
        # SQLAlchemy's own registry of listeners fills up as it is used.
        if name not in ("dispatch", "_sa_event_dispatch_target")
    }


def make_watchers() -> Watchers:
    return Watchers(Ledger(), Shield(), str, list)


def listeners(watchers: Watchers) -> list[tuple[Any, str, Any]]:
    found = []
    for watcher in watchers._installed:
        target: Any = (
            Pool if isinstance(watcher, (EngineWatch, PoolWatch, ServerWatch)) else Session
        )
        events = getattr(watcher, "_listeners", {})
        found += [(target, name, listener) for name, listener in events.items()]
    return found


def test_classes_are_as_before(bare: None) -> None:
    """After removal every attribute of SQLAlchemy's classes is the very object it was."""
    before = attributes()
    watchers = make_watchers()
    watchers.install()
    assert before != attributes()
    watchers.remove()
    assert before == attributes()


def test_only_the_named_methods_are_wrapped(bare: None) -> None:
    """While it is installed nothing is changed but the methods of the one list."""
    before = attributes()
    watchers = make_watchers()
    watchers.install()
    now = attributes()
    watchers.remove()
    assert {
        ("Dialect", "engine_created"),
        ("Pool", "connect"),
        ("Session", "__init__"),
        ("Session", "__enter__"),
        ("Session", "__exit__"),
        ("Session", "close"),
        ("Session", "reset"),
        ("Session", "invalidate"),
        ("Session", "execute"),
        ("Session", "scalar"),
        ("Session", "scalars"),
        ("Session", "expunge"),
        ("Session", "expunge_all"),
        ("Session", "bulk_save_objects"),
        ("Session", "bulk_insert_mappings"),
        ("Session", "bulk_update_mappings"),
        ("AsyncSession", "reset"),
        ("AsyncSession", "__aenter__"),
        ("AsyncSession", "__aexit__"),
        ("AsyncSession", "close"),
    } <= {key for key, value in now.items() if before.get(key) != value}
    # What a class inherits gets a method of its own while it is watched.
    assert {(class_.__name__, "__init__") for class_ in FAULTS} == now.keys() - before.keys()
    changed = {key[0] for key, value in now.items() if before.get(key) != value}
    assert changed <= set(WRAPPED)
    assert {"Pool", "SingletonThreadPool", "Session", "AsyncSession"} <= changed


def test_create_engine_takes_what_it_took(bare: None) -> None:
    """`create_engine` sorts its arguments by the names that its classes' constructors have."""
    parts = (Engine, Pool, Dialect)
    before = [get_cls_kwargs(class_) for class_ in parts]
    watchers = make_watchers()
    watchers.install()
    now = [get_cls_kwargs(class_) for class_ in parts]
    engine = create_engine(
        "sqlite://",
        echo=False,
        logging_name="log",
        pool_logging_name="pool",
        query_cache_size=10,
        hide_parameters=True,
        execution_options={"autocommit": False},
        pool_recycle=60,
    )
    with engine.connect():
        pass
    engine.dispose()
    watchers.remove()
    assert before == now


def test_listeners_are_gone(bare: None) -> None:
    """After removal no event of SQLAlchemy knows a listener of ours."""
    watchers = make_watchers()
    watchers.install()
    known = listeners(watchers)
    assert {"checkin", "detach", "invalidate"} <= {name for _, name, _ in known}
    assert {"connect", "after_flush", "after_soft_rollback"} <= {name for _, name, _ in known}
    assert {"after_transaction_create", "after_begin"} <= {name for _, name, _ in known}
    assert [True] * len(known) == [event.contains(*one) for one in known]
    watchers.remove()
    assert [False] * len(known) == [event.contains(*one) for one in known]


def test_twice_in_a_row(bare: None) -> None:
    """Installing again, or removing again, does nothing more; a second round is like the first."""
    before = attributes()
    watchers = make_watchers()
    for _ in range(3):
        watchers.install()
        once = attributes()
        watchers.install()
        assert once == attributes()
        assert watchers.are_installed
        watchers.remove()
        watchers.remove()
        assert not watchers.are_installed
        assert before == attributes()


def test_removed_watchers_see_nothing(bare: None, database: str) -> None:
    """After removal nothing is written any more, also of engines and sessions made before it."""
    ledger = Ledger()
    watchers = Watchers(ledger, Shield(), str, list)
    watchers.install()
    engine = create_engine(f"sqlite://{database}")
    session = Session(engine)
    watchers.remove()
    session.execute(ONE)
    connection = engine.connect()
    Session(engine).close()
    assert (1, 0, {}) == (ledger.sessions, ledger.engines, ledger.out)
    connection.close()
    session.close()
    engine.dispose()


def test_nested_guards(bare: None, database: str) -> None:
    """A guard inside another has the floor alone; the outer one goes on when it ends."""
    outer, inner = Guard("/"), Guard("/")
    owner = Owner("test", "test_it")
    engine = create_engine(f"sqlite://{database}")
    outer.start()
    outer.start_test(owner, {})
    assert active_guard() is outer
    inner.start()
    inner.start_test(owner, {})
    outer.look()
    outer.start_fixture("key", owner, {})
    outer.leave_fixture("key", ready=True)
    assert (False, True) == (outer.is_watching, inner.is_watching)
    assert active_guard() is inner
    with Session(engine) as session:
        session.execute(ONE)
    inner.stop()
    assert active_guard() is outer
    assert (True, False) == (outer.is_watching, inner.is_watching)
    assert (0, 1) == (outer.ledger.sessions, inner.ledger.sessions)
    with Session(engine) as session:
        session.execute(ONE)
    outer.stop()
    assert (1, 1) == (outer.ledger.sessions, inner.ledger.sessions)
    assert (1, 1) == (outer.ledger.engines, inner.ledger.engines)
    engine.dispose()


def test_a_lease_that_outlives_the_inner_guard(bare: None, database: str) -> None:
    """What was out before a guard paused, and came back meanwhile, is not out afterwards."""
    outer, inner = Guard("/"), Guard("/")
    owner = Owner("test", "test_it")
    engine = create_engine(f"sqlite://{database}", poolclass=QueuePool)
    outer.start()
    outer.start_test(owner, {})
    connection = engine.connect()
    inner.start()
    connection.close()
    inner.stop()
    with engine.connect():
        assert 1 == len(outer.test.open_leases())  # type: ignore[union-attr]
    findings, _ = outer.end_test("test_it", passed=True)
    assert [] == findings
    outer.stop()
    engine.dispose()


def test_a_patch_of_the_users_survives(bare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that somebody has wrapped since the watchers came stays wrapped when they go."""
    watchers = make_watchers()
    original = vars(Session)["close"]
    watchers.install()
    ours = vars(Session)["close"]
    calls = []

    def theirs(self: Any) -> None:
        calls.append(self)
        ours(self)

    Session.close = theirs  # type: ignore[method-assign]
    try:
        watchers.remove()
        assert theirs is vars(Session)["close"]
        session = Session()
        session.close()
        assert [session] == calls
    finally:
        Session.close = original  # type: ignore[method-assign]


def test_a_patch_that_was_undone(bare: None) -> None:
    """A method that somebody patched and put back is unwrapped when the watchers go."""
    before = attributes()
    watchers = make_watchers()
    watchers.install()
    with mock.patch.object(Session, "close", autospec=True):
        Session().close()
    with mock.patch.object(AsyncSession, "close"):
        pass
    watchers.remove()
    assert before == attributes()


def test_what_inspection_sees(watching: Any) -> None:
    """Signatures, names, docstrings and kinds of the wrapped methods are those of the originals."""
    wrapped = {
        Pool: ["connect"],
        Session: ["__init__", "__enter__", "__exit__", "close", "reset", "invalidate"],
        AsyncSession: ["__aenter__", "__aexit__", "close"],
    }
    for class_, names in wrapped.items():
        for name in names:
            method = vars(class_)[name]
            original = method.__wrapped__
            assert original.__qualname__ == method.__qualname__
            assert original.__doc__ == method.__doc__
            assert original.__module__ == method.__module__
            assert inspect.signature(original) == inspect.signature(method)
            assert inspect.iscoroutinefunction(original) == inspect.iscoroutinefunction(method)


def test_coroutine_functions(watching: Any) -> None:
    """`AsyncSession.close` is a coroutine function, and so are its block's ends."""
    assert inspect.iscoroutinefunction(AsyncSession.close)
    assert inspect.iscoroutinefunction(AsyncSession.__aenter__)
    assert inspect.iscoroutinefunction(AsyncSession.__aexit__)
    assert not inspect.iscoroutinefunction(Session.close)


def test_signature_of_the_constructor(watching: Any) -> None:
    """A session's signature has SQLAlchemy's parameters, by which IDEs and Depends go."""
    parameters = inspect.signature(Session).parameters
    assert {"bind", "autoflush", "expire_on_commit", "join_transaction_mode"} <= set(parameters)
    assert "args" not in parameters
    assert "self" == next(iter(inspect.signature(Session.__init__).parameters))


def test_autospecs(watching: Any) -> None:
    """Autospecs of sessions behave as without us: async methods are awaited, bad calls refused."""
    session = mock.create_autospec(Session, instance=True)
    session.close()
    session.close.assert_called_once_with()
    with pytest.raises(TypeError):
        session.close(1, 2, 3)
    async_session = mock.create_autospec(AsyncSession, instance=True)
    assert isinstance(async_session.close, mock.AsyncMock)
    assert isinstance(async_session.execute, mock.AsyncMock)

    async def use() -> None:
        await async_session.close()

    asyncio.run(use())
    async_session.close.assert_awaited_once_with()


def test_a_mock_of_a_session_in_a_block(watching: Any) -> None:
    """A mock of an async session can be a block of its own."""
    session = mock.MagicMock(spec=AsyncSession)
    session.__aenter__.return_value = session

    async def use() -> Any:
        async with session as entered:
            return entered

    assert session is asyncio.run(use())


def test_what_close_returns(watching: Any, database: str) -> None:
    """A wrapped method returns what the original did, and hands exceptions through."""
    engine = create_engine(f"sqlite://{database}")
    session = Session(engine)
    assert None is session.close()  # type: ignore[func-returns-value]
    assert session is session.__enter__()
    assert None is session.__exit__(None, None, None)  # type: ignore[func-returns-value]
    with pytest.raises(TypeError, match="nonsense"):
        Session(engine, nonsense=1)  # type: ignore[call-arg]
    engine.dispose()


def test_a_session_that_was_never_made(watching: Any) -> None:
    """A session whose constructor did not run, as a test double's may not, closes in peace."""

    class Double(Session):
        def __init__(self) -> None:
            pass

        def close(self) -> None:
            pass

    with Double() as session:
        pass
    assert "_sessionguard" not in vars(session)


def test_a_session_whose_constructor_fails(watching: Any, database: str) -> None:
    """A constructor that fails after the base's leaves nothing that is in use."""

    class Failing(Session):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Failing()
    assert {} == watching.account.sessions


def test_a_fault_of_ours_reaches_nobody(bare: None, database: str) -> None:
    """Whatever the ledger raises, sync and async code of the user's goes on as if unwatched."""

    class Broken(Ledger):
        def __getattribute__(self, name: str) -> Any:
            raise ZeroDivisionError(name)

    ledger, shield = Ledger(), Shield()
    watchers = Watchers(ledger, shield, str, list)
    watchers.install()
    ledger.__class__ = Broken  # type: ignore[assignment]
    try:
        engine = create_engine(f"sqlite://{database}")
        with Session(engine) as session:
            assert 1 == session.scalar(ONE)
        with engine.connect() as connection:
            connection.invalidate()

        async def work() -> Any:
            engine = create_async_engine(f"sqlite+aiosqlite://{database}")
            async with AsyncSession(engine) as session:
                value = await session.scalar(ONE)
            await engine.dispose()
            return value

        assert 1 == asyncio.run(work())
        engine.dispose()
    finally:
        watchers.remove()
    assert isinstance(shield.fault, ZeroDivisionError)


def test_a_fault_of_ours_at_a_timeout_reaches_nobody(bare: None, database: str) -> None:
    """What fails while the holders are told does not hide SQLAlchemy's own error."""

    def fail(lease: Any) -> str:
        raise ZeroDivisionError

    shield = Shield()
    watchers = Watchers(Ledger(), shield, fail, list)
    watchers.install()
    try:
        engine = create_engine(
            f"sqlite://{database}",
            poolclass=QueuePool,
            pool_size=1,
            max_overflow=0,
            pool_timeout=0.01,
        )
        with engine.connect(), pytest.raises(Exception, match="QueuePool limit") as caught:
            engine.connect()
        assert not hasattr(caught.value, "__notes__")
        engine.dispose()
    finally:
        watchers.remove()
    assert isinstance(shield.fault, ZeroDivisionError)


def test_async_sessions_that_are_imported_later(bare: None, monkeypatch: Any) -> None:
    """AsyncSession is watched from the moment on at which the project has imported it."""
    import sys

    module = sys.modules["sqlalchemy.ext.asyncio.session"]
    monkeypatch.delitem(sys.modules, "sqlalchemy.ext.asyncio.session")
    watchers = make_watchers()
    original = vars(AsyncSession)["close"]
    watchers.install()
    assert original is vars(AsyncSession)["close"]
    monkeypatch.setitem(sys.modules, "sqlalchemy.ext.asyncio.session", module)
    watchers.install()
    assert original is not vars(AsyncSession)["close"]
    watchers.remove()
    assert original is vars(AsyncSession)["close"]


def test_nothing_before_sqlalchemy(bare: None, monkeypatch: Any) -> None:
    """Where the project has not imported SQLAlchemy, nothing is installed."""
    import sys

    for name in [name for name in sys.modules if name.split(".")[0] == "sqlalchemy"]:
        monkeypatch.delitem(sys.modules, name)
    watchers = make_watchers()
    watchers.install()
    assert not watchers.are_installed


def test_sessions_keep_their_own_attributes(watching: Any) -> None:
    """What a subclass, `info` or a registry keep on a session is untouched."""
    session = Session(info={"ours": 1})
    assert {"ours": 1} == session.info
    session.ours = 2  # type: ignore[attr-defined]
    assert 2 == session.ours  # type: ignore[attr-defined]
    session.close()
    assert ({"ours": 1}, 2) == (session.info, session.ours)  # type: ignore[attr-defined]


def test_a_session_that_is_half_made(project: Any) -> None:
    """A class whose `__init__` raises, and whose end closes it, is no fault of the guard."""
    run = project(
        {
            "test_x.py": """
                import pytest
                from sqlalchemy import create_engine, text
                from sqlalchemy.orm import Session

                kept = []

                class Checked(Session):
                    def __init__(self, bind):
                        if bind is None:
                            raise ValueError("no bind")
                        super().__init__(bind)

                    def __del__(self):
                        try:
                            self.close()
                        except AttributeError:
                            pass

                def test_refused():
                    with pytest.raises(ValueError):
                        Checked(None)

                def test_leak():
                    kept.append(create_engine("sqlite:///app.db").connect())
            """
        }
    ).run()
    assert run.fault == ""
    assert run.found == ["SG101 test_leak"]
