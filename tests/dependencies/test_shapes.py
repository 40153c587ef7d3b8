"""assert_dependency_closes on dependencies of every shape, each faulty and mended."""

from __future__ import annotations

import functools
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    scoped_session,
    sessionmaker,
)

from pytest_sessionguard import DependencyError

pytestmark = pytest.mark.usefixtures("plugin")


class Base(DeclarativeBase):
    pass


class City(Base):
    __tablename__ = "cities"
    id: Mapped[int] = mapped_column(primary_key=True)


BELOW_YIELD = ["EXCEPTION", "CANCELLATION", "ABANDONED"]


@dataclass
class Repository:
    session: Any


class Unit:
    """A unit of work that nobody outside can take its session from."""

    def __init__(self, session: Any) -> None:
        self.read = lambda: session.scalar(text("SELECT 1"))


HOLDERS = {
    "session": lambda session: session,
    "tuple": lambda session: (session, "extra"),
    "repository": Repository,
    "closure": Unit,
}


def name_ways(error: DependencyError) -> list[str]:
    return [failure.way.name for failure in error.failures]


SHAPES = ["function", "partial", "method", "object", "manager", "parameter"]
# Each shape once, and each holder once.
FORMS = [
    *((shape, "session") for shape in SHAPES),
    *(("function", holder) for holder in ("tuple", "repository", "closure")),
]


@pytest.fixture(params=FORMS, ids="-".join)
def form(request: Any) -> Any:
    """Give what brings a generator function into a shape, and what is to hold its session."""
    shape, holder = request.param

    def bring(function: Any, manager: Any) -> tuple[Any, tuple[Any, ...]]:
        class Provider:
            def __call__(self) -> Any:
                return function("x")

            def provide(self) -> Any:
                return function("x")

        return {
            "function": (lambda: function("x"), ()),
            "partial": (functools.partial(function, "x"), ()),
            "method": (Provider().provide, ()),
            "object": (Provider(), ()),
            "manager": (functools.partial(manager(function), "x"), ()),
            "parameter": (function, ("x",)),
        }[shape]

    return bring, HOLDERS[holder]


def test_sync(form: Any, engine: Any, check: Any) -> None:
    """A sync generator that closes in `finally` is fine, one that closes below is not."""
    shape, holder = form

    def faulty(parameter: str) -> Any:
        session = Session(engine)
        yield holder(session)
        session.close()

    def mended(parameter: str) -> Any:
        session = Session(engine)
        try:
            yield holder(session)
        finally:
            session.close()

    dependency, args = shape(mended, contextmanager)
    check(dependency, *args)
    dependency, args = shape(faulty, contextmanager)
    with pytest.raises(DependencyError) as info:
        check(dependency, *args)
    assert BELOW_YIELD == name_ways(info.value)
    assert all(f.holder == "Session" and f.connections == 1 for f in info.value.failures)


def test_async(form: Any, async_engine: Any, check: Any) -> None:
    """An async one likewise."""
    shape, holder = form

    async def faulty(parameter: str) -> Any:
        session = AsyncSession(async_engine)
        yield holder(session)
        await session.close()

    async def mended(parameter: str) -> Any:
        async with AsyncSession(async_engine) as session:
            yield holder(session)

    dependency, args = shape(mended, asynccontextmanager)
    check(dependency, *args)
    dependency, args = shape(faulty, asynccontextmanager)
    with pytest.raises(DependencyError) as info:
        check(dependency, *args)
    assert BELOW_YIELD == name_ways(info.value)
    assert all(f.holder == "AsyncSession" and f.connections == 1 for f in info.value.failures)


def test_async_around_a_sync_session(engine: Any, check: Any) -> None:
    """An async generator may yield a sync session."""

    async def faulty() -> Any:
        session = Session(engine)
        yield session
        session.close()

    async def mended() -> Any:
        with Session(engine) as session:
            yield session

    check(mended)
    with pytest.raises(DependencyError) as info:
        check(faulty)
    assert BELOW_YIELD == name_ways(info.value)


@pytest.mark.parametrize("second", ("Session", "none"))
def test_two_sessions(second: str, engine: Any, check: Any) -> None:
    """Of two sessions on a pool of one connection each is used in its turn."""

    def dependency() -> Any:
        first = Session(engine)
        other = Session(engine)  # other
        try:
            yield first, other
        finally:
            first.close()
            if second == "Session":
                other.close()

    if second == "Session":
        check(dependency)
        return
    with pytest.raises(DependencyError) as info:
        check(dependency)
    assert ["END", *BELOW_YIELD] == name_ways(info.value)
    line = dependency.__code__.co_firstlineno + 2
    assert f"test_shapes.py:{line} in dependency" in str(info.value)


def test_begin_blocks(engine: Any, async_engine: Any, check: Any) -> None:
    """`begin()` of a factory commits what was finished, and nothing else: fine."""

    def sync() -> Any:
        with sessionmaker(engine).begin() as session:
            yield session

    async def async_() -> Any:
        async with async_sessionmaker(async_engine).begin() as session:
            yield session

    def inner() -> Any:
        with Session(engine) as session, session.begin():
            yield session

    check(sync)
    check(async_)
    check(inner)
    check(sessionmaker(engine).begin)
    check(async_sessionmaker(async_engine).begin)


def test_commit_below_the_yield(engine: Any, check: Any) -> None:
    """Committing what the request finished, and rolling back what it did not, is fine."""

    def dependency() -> Any:
        with Session(engine) as session:
            try:
                yield session
                session.commit()
            except BaseException:
                session.rollback()
                raise

    check(dependency)


def test_commit_after_a_rollback(engine: Any, check: Any) -> None:
    """A commit of nothing is no commit of what was unfinished."""

    def dependency() -> Any:
        session = Session(engine)
        try:
            yield session
        except BaseException:
            session.rollback()
            raise
        finally:
            session.commit()
            session.close()

    check(dependency)


def test_commit_of_a_savepoint(engine: Any, check: Any) -> None:
    """Nor is the release of a savepoint."""

    def dependency() -> Any:
        with Session(engine) as session:
            try:
                yield session
            finally:
                with session.begin_nested():
                    session.execute(text("SELECT 1"))
                session.rollback()

    check(dependency)


def test_registries(engine: Any, async_engine: Any, check: Any) -> None:
    """A registry that is yielded makes its session when it is asked for one."""
    registry = scoped_session(sessionmaker(engine))

    def mended() -> Any:
        try:
            yield registry
        finally:
            registry.remove()

    def faulty() -> Any:
        yield registry

    async def async_() -> Any:
        scope = object()
        registry = async_scoped_session(async_sessionmaker(async_engine), lambda: scope)
        try:
            yield registry
        finally:
            await registry.remove()

    check(mended)
    check(async_)
    with pytest.raises(DependencyError) as info:
        check(faulty)
    registry.remove()
    assert "END" == name_ways(info.value)[0]


def test_bound_by_mappers(engine: Any, check: Any) -> None:
    """A session that only knows the engines of its mappers is used, too."""

    factory = sessionmaker(binds={City: engine})

    def mended() -> Any:
        with factory() as session:
            yield session

    def faulty() -> Any:
        yield factory()

    check(mended)
    with pytest.raises(DependencyError) as info:
        check(faulty)
    assert ["END", *BELOW_YIELD] == name_ways(info.value)


def test_context_manager_classes(engine: Any, check: Any) -> None:
    """A class of one's own with `__enter__` and `__exit__` is driven, but cannot be abandoned."""

    class Work:
        closes = True

        def __enter__(self) -> Any:
            self.session = Session(engine)
            return self

        def __exit__(self, *args: object) -> None:
            if args[0] is None or self.closes:
                self.session.close()

    class Leak(Work):
        closes = False

    check(Work)
    with pytest.raises(DependencyError) as info:
        check(Leak)
    assert ["EXCEPTION", "CANCELLATION"] == name_ways(info.value)


def test_closing(engine: Any, check: Any) -> None:
    """`contextlib.closing` closes however it ends."""
    check(lambda: closing(Session(engine)))


def test_returned_session(engine: Any, async_engine: Any, check: Any) -> None:
    """A dependency that returns its session leaves nobody to close it."""

    async def coroutine() -> Any:
        return AsyncSession(async_engine)

    for dependency in (lambda: Session(engine), async_sessionmaker(async_engine), coroutine):
        with pytest.raises(DependencyError) as info:
            check(dependency)
        assert ["END"] == name_ways(info.value)
        assert "yield it, do not return it" in str(info.value)


def test_kept_generator(engine: Any, check: Any) -> None:
    """What something else holds cannot be abandoned; it is closed all the same."""
    kept = []

    def generate() -> Any:
        with Session(engine) as session:
            yield session

    def dependency() -> Any:
        kept.append(generate())
        return kept[-1]

    check(dependency)
    assert all(generator.gi_frame is None for generator in kept)


def test_joined_transaction(engine: Any, check: Any) -> None:
    """A session on a test's own connection leaves that and its transaction to the test."""

    def dependency() -> Any:
        session = Session(connection, join_transaction_mode="create_savepoint")
        try:
            yield session
        finally:
            session.commit()
            session.close()

    with engine.connect() as connection:
        connection.begin()
        check(dependency)
        assert connection.in_transaction()
