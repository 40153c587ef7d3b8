"""Idioms of healthy code, each of which must stay silent: a false alarm costs more than a miss."""

from __future__ import annotations

import textwrap

import pytest
from harness import APP, ASYNC_APP

from pytest_sessionguard.rules import RULES

SYNC = {
    "closing": """
        with contextlib.closing(Session(engine)) as session:
            session.scalar(text("SELECT 1"))
    """,
    "exit stack": """
        with contextlib.ExitStack() as stack:
            session = stack.enter_context(Session(engine))
            session.scalar(text("SELECT 1"))
            stack.enter_context(engine.connect())
    """,
    "generator dependency": """
        def get_db():
            session = Session(engine)
            try:
                yield session
            finally:
                session.close()

        dependency = get_db()
        next(dependency).scalar(text("SELECT 1"))
        dependency.close()
    """,
    "dependency in a block": """
        def get_db():
            with Session(engine) as session:
                yield session

        dependency = get_db()
        session = next(dependency)
        session.scalar(text("SELECT 1"))
        next(dependency, None)
    """,
    "context manager": """
        @contextlib.contextmanager
        def unit_of_work():
            with Session(engine) as session:
                with session.begin():
                    yield session

        with unit_of_work() as session:
            session.scalar(text("SELECT 1"))
    """,
    "factory.begin": """
        with factory.begin() as session:
            session.scalar(text("SELECT 1"))
    """,
    "engine.begin": """
        with engine.begin() as connection:
            connection.scalar(text("SELECT 1"))
    """,
    "nested transactions": """
        with Session(engine) as session, session.begin():
            with session.begin_nested():
                session.scalar(text("SELECT 1"))
            with session.begin_nested():
                session.scalar(text("SELECT 1"))
    """,
    "many transactions": """
        with Session(engine) as session:
            for _ in range(3):
                session.scalar(text("SELECT 1"))
                session.commit()
    """,
    "error in a block": """
        with pytest.raises(ZeroDivisionError):
            with Session(engine) as session, session.begin():
                session.scalar(text("SELECT 1"))
                raise ZeroDivisionError
    """,
    "failed statement": """
        with pytest.raises(Exception):
            with Session(engine) as session:
                session.execute(text("SELECT nonsense"))
    """,
    "closed twice": """
        session = Session(engine)
        session.scalar(text("SELECT 1"))
        session.close()
        session.close()
    """,
    "closed inside its block": """
        with Session(engine) as session:
            session.scalar(text("SELECT 1"))
            session.close()
    """,
    "used again after close()": """
        session = Session(engine)
        session.scalar(text("SELECT 1"))
        session.close()
        session.scalar(text("SELECT 1"))
        session.close()
    """,
    "never used": """
        sessions = [Session(engine) for _ in range(3)]
    """,
    "only rolled back": """
        session = Session(engine)
        session.rollback()
        session.expunge_all()
    """,
    "bound to a connection": """
        with engine.connect() as connection:
            with Session(connection) as session:
                session.scalar(text("SELECT 1"))
                session.commit()
                session.scalar(text("SELECT 1"))
    """,
    "scoped_session": """
        registry = scoped_session(factory)
        registry.scalar(text("SELECT 1"))
        registry.remove()
        registry.scalar(text("SELECT 1"))
        registry.remove()
    """,
    "scoped_session in a block": """
        registry = scoped_session(factory)
        with registry() as session:
            session.scalar(text("SELECT 1"))
        registry.scalar(text("SELECT 1"))
        registry.remove()
    """,
    "scoped_session that was committed": """
        registry = scoped_session(factory)
        registry.scalar(text("SELECT 1"))
        registry.commit()
        kept.append(registry)
    """,
    "several engines": """
        other = create_engine("sqlite:///other.db")
        with engine.connect() as one, other.connect() as two:
            one.scalar(text("SELECT 1"))
            two.scalar(text("SELECT 1"))
        other.dispose()
    """,
    "dispose while out": """
        with engine.connect() as connection:
            engine.dispose()
            connection.scalar(text("SELECT 1"))
    """,
    "invalidated": """
        with engine.connect() as connection:
            connection.scalar(text("SELECT 1"))
            connection.invalidate()
    """,
    "session.invalidate": """
        session = Session(engine)
        session.scalar(text("SELECT 1"))
        session.invalidate()
    """,
    "detached": """
        connection = engine.raw_connection()
        kept.append(connection)
        connection.detach()
        connection.close()
    """,
    "raw connection": """
        connection = engine.raw_connection()
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
        cursor.close()
        connection.close()
    """,
    "streamed": """
        with engine.connect().execution_options(stream_results=True) as connection:
            assert list(connection.execute(text("SELECT 1")).scalars()) == [1]
    """,
    "ddl": """
        metadata = MetaData()
        Table("things", metadata, Column("id", Integer, primary_key=True))
        metadata.create_all(engine)
        metadata.drop_all(engine)
    """,
    "inspect": """
        assert inspect(engine).get_table_names() is not None
    """,
    "thread pool": """
        def work(number):
            with Session(engine) as session:
                return session.scalar(text("SELECT 1"))

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            assert list(pool.map(work, range(8))) == [1] * 8
    """,
    "subclass of Session": """
        class MySession(Session):
            def close(self):
                super().close()

        with MySession(engine) as session:
            session.scalar(text("SELECT 1"))
        session = sessionmaker(engine, class_=MySession)()
        session.scalar(text("SELECT 1"))
        session.close()
    """,
    "own connection pool class": """
        class MyPool(QueuePool):
            def connect(self):
                return super().connect()

        other = create_engine("sqlite:///other.db", poolclass=MyPool)
        with other.connect() as connection:
            connection.scalar(text("SELECT 1"))
        other.dispose()
    """,
    "handed back by another function": """
        def open_session():
            session = Session(engine)
            session.scalar(text("SELECT 1"))
            return session

        with open_session() as session:
            session.scalar(text("SELECT 1"))
    """,
    "copied engine": """
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.scalar(text("SELECT 1"))
    """,
    "closed by the proxy": """
        connection = engine.connect()
        connection.connection.close()
        kept.append(connection)
    """,
}

ASYNC = {
    "factory": """
        async with factory() as session:
            assert await session.scalar(text("SELECT 1")) == 1
    """,
    "factory.begin": """
        async with factory.begin() as session:
            await session.scalar(text("SELECT 1"))
    """,
    "engine.begin": """
        async with engine.begin() as connection:
            await connection.run_sync(lambda sync: sync.scalar(text("SELECT 1")))
    """,
    "dependency": """
        async def get_db():
            async with factory() as session:
                yield session

        dependency = get_db()
        session = await anext(dependency)
        await session.scalar(text("SELECT 1"))
        await dependency.aclose()
    """,
    # pytest-asyncio ends the loop, and with it every async generator, before the test is due.
    "dependency that the loop ends": """
        async def get_db():
            session = factory()
            try:
                yield session
            finally:
                await session.close()

        kept.append(dependency := get_db())
        await (await anext(dependency)).scalar(text("SELECT 1"))
    """,
    "exit stack": """
        async with contextlib.AsyncExitStack() as stack:
            session = await stack.enter_async_context(factory())
            await session.scalar(text("SELECT 1"))
    """,
    "aclose": """
        session = factory()
        await session.scalar(text("SELECT 1"))
        await session.aclose()
    """,
    "aclosing": """
        async with contextlib.aclosing(factory()) as session:
            await session.scalar(text("SELECT 1"))
    """,
    "error in a block": """
        with pytest.raises(ZeroDivisionError):
            async with factory() as session:
                await session.scalar(text("SELECT 1"))
                raise ZeroDivisionError
    """,
    "cancelled": """
        async def work(begun):
            async with factory() as session:
                await session.scalar(text("SELECT 1"))
                begun.set()
                await asyncio.sleep(60)

        begun = asyncio.Event()
        task = asyncio.create_task(work(begun))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    """,
    "many tasks": """
        async def work():
            async with factory() as session:
                return await session.scalar(text("SELECT 1"))

        assert await asyncio.gather(*[work() for _ in range(12)]) == [1] * 12
    """,
    "scoped": """
        registry = async_scoped_session(factory, asyncio.current_task)
        await registry.scalar(text("SELECT 1"))
        await registry.remove()
    """,
    "streamed": """
        async with engine.connect() as connection:
            async for row in await connection.stream(text("SELECT 1")):
                assert row == (1,)
    """,
    "run_sync": """
        async with factory() as session:
            assert await session.run_sync(lambda sync: sync.scalar(text("SELECT 1"))) == 1
    """,
    "used again after close()": """
        session = factory()
        await session.scalar(text("SELECT 1"))
        await session.close()
        await session.scalar(text("SELECT 1"))
        await session.close()
    """,
    "two blocks": """
        session = factory()
        async with session:
            await session.scalar(text("SELECT 1"))
        async with session:
            await session.scalar(text("SELECT 1"))
    """,
    "bound to a connection": """
        async with engine.connect() as connection:
            async with AsyncSession(bind=connection) as session:
                await session.scalar(text("SELECT 1"))
    """,
    "generator": """
        async def rows():
            async with factory() as session:
                for _ in range(3):
                    yield await session.scalar(text("SELECT 1"))

        assert [row async for row in rows()] == [1, 1, 1]
    """,
}


def indent(code: str) -> str:
    return textwrap.indent(textwrap.dedent(code).strip(), "    ")


# Rules that warn would not fail the inner run; here every one is an error.
ALL = "--sessionguard-error=" + ",".join(rule.code for rule in RULES)


@pytest.mark.parametrize("name", SYNC)
def test_sync(project, name):
    """The idiom is no finding of any rule."""
    head = (
        "import concurrent.futures, contextlib\nimport pytest\n"
        "from sqlalchemy import Column, Integer, MetaData, QueuePool, Table\n"
        "from sqlalchemy import create_engine, inspect\n"
        "from sqlalchemy.orm import scoped_session, sessionmaker\n"
        "from app import Session, engine, factory, kept, text\n\n"
    )
    suite = project({"app.py": APP, "test_x.py": f"{head}def test_it():\n{indent(SYNC[name])}\n"})
    assert suite.run(ALL).is_clean()


@pytest.mark.parametrize("name", ASYNC)
def test_async(project, name):
    """The idiom is no finding of any rule."""
    head = (
        "import asyncio, contextlib\nimport pytest\n"
        "from sqlalchemy.ext.asyncio import async_scoped_session\n"
        "from app import AsyncSession, engine, factory, kept, text\n\n"
    )
    body = f"{head}async def test_it():\n{indent(ASYNC[name])}\n"
    ini = "[pytest]\nasyncio_mode = auto\n"
    suite = project({"app.py": ASYNC_APP, "test_x.py": body, "pytest.ini": ini})
    assert suite.run(ALL).is_clean()


CACHED = """
import functools
from app import {class_}, engine, text

@functools.{cache}
def get_session(name=""):
    return {class_}(engine)

def make_session():
    return {class_}(engine)
"""
USES = """
def first():
    with session_of() as session:
        session.scalar(text("SELECT 1"))
    return session

def test_it():
    session = first()
    session.scalar(text("SELECT 1"))
    session.rollback()
"""
ASYNC_USES = """
async def first():
    async with session_of() as session:
        await session.scalar(text("SELECT 1"))
    return session

async def test_it():
    session = await first()
    await session.scalar(text("SELECT 1"))
    await session.rollback()
    await engine.dispose()
"""


@pytest.mark.parametrize("cache", ("lru_cache", "lru_cache(maxsize=None)"))
@pytest.mark.parametrize("flavour", ("sync", "async"))
def test_cached_session(flavour, cache, project):
    """A session that a cache keeps is closed and used by turns; one that is made anew is not."""
    app, uses = (APP, USES) if flavour == "sync" else (ASYNC_APP, ASYNC_USES)
    class_ = "Session" if flavour == "sync" else "AsyncSession"
    head = "from app import engine, text\nfrom cached import {} as session_of\n"
    files = {
        "app.py": app,
        "cached.py": CACHED.format(class_=class_, cache=cache),
        "pytest.ini": "[pytest]\nasyncio_mode = auto\n",
    }
    cached = project({**files, "test_x.py": head.format("get_session") + uses})
    assert cached.run(ALL).is_clean()
    fresh = project({**files, "test_x.py": head.format("make_session") + uses})
    assert ["SG202 test_it"] == fresh.run(ALL).found


def test_place_of_a_cached_session(project):
    """Where it begins again by right it has a life anew, and is shown where it was closed last."""
    suite = """
        from functools import lru_cache
        from sqlalchemy import create_engine, text
        from sqlalchemy.orm import Session

        SELECT = text("SELECT 1")
        engine = create_engine("sqlite:///app.db")

        @lru_cache
        def get():
            return Session(engine)

        def test_it():
            with get() as session:
                session.scalar(SELECT)
            get().scalar(SELECT)
            get().close()
            with get() as session:
                session.scalar(SELECT)
            get().scalar(SELECT)
    """
    run = project({"test_x.py": suite}).run()
    assert run.found == ["SG101 test_it"], run.text
    lines = {frame.line for place in run.findings[0].places for frame in place.site.frames}
    assert lines == {10, 13, 17, 19}, run.text


# Each has a `get()` that makes a session once and keeps it.
KEEPERS = {
    "cached_property": """
        class Keeper:
            @functools.cached_property
            def session(self):
                return Session(engine)

        def use(keeper):
            return keeper.session
    """,
    "attribute": """
        class Keeper:
            kept = None

            @property
            def session(self):
                self.kept = self.kept or Session(engine)
                return self.kept

        def use(keeper):
            return keeper.session
    """,
    "dictionary": """
        class Keeper:
            def __init__(self):
                self.kept = {}

            def session(self):
                if 1 not in self.kept:
                    self.kept[1] = Session(engine)
                return self.kept[1]

        def use(keeper):
            return keeper.session()
    """,
    "global": """
        kept = None

        def make():
            global kept
            kept = kept or Session(engine)
            return kept

        def Keeper():
            return make

        def use(keeper):
            return keeper()
    """,
    "context variable": """
        variable = contextvars.ContextVar("variable", default=None)

        def make():
            if variable.get() is None:
                variable.set(Session(engine))
            return variable.get()

        def Keeper():
            return make

        def use(keeper):
            return keeper()
    """,
    "closure": """
        def Keeper():
            cache = {}

            def make():
                if 1 not in cache:
                    cache[1] = Session(engine)
                return cache[1]

            return make

        def use(keeper):
            return keeper()
    """,
    "nonlocal": """
        def Keeper():
            kept = None

            def make():
                nonlocal kept
                kept = kept or Session(engine)
                return kept

            return make

        def use(keeper):
            return keeper()
    """,
    "class": """
        class Keeper:
            kept = None

            @classmethod
            def session(cls):
                cls.kept = cls.kept or Session(engine)
                return cls.kept

        def use(keeper):
            return keeper.session()
    """,
    "default": """
        import collections

        kept = collections.defaultdict(lambda: Session(engine))

        def Keeper():
            return kept

        def use(keeper):
            return keeper[1]
    """,
    "slots": """
        class Keeper:
            __slots__ = ("kept",)

            def session(self):
                if not hasattr(self, "kept"):
                    self.kept = Session(engine)
                return self.kept

        def use(keeper):
            return keeper.session()
    """,
    "one slot": """
        class Keeper:
            __slots__ = "kept"

            def session(self):
                if not hasattr(self, "kept"):
                    self.kept = Session(engine)
                return self.kept

        def use(keeper):
            return keeper.session()
    """,
    "thread's own": """
        import threading

        local = threading.local()

        def Keeper():
            def make():
                if not hasattr(local, "kept"):
                    local.kept = Session(engine)
                return local.kept

            return make

        def use(keeper):
            return keeper()
    """,
    "another package's": """
        from flask.ctx import _AppCtxGlobals

        g = _AppCtxGlobals()

        def Keeper():
            def make():
                if "kept" not in g:
                    g.kept = Session(engine)
                return g.kept

            return make

        def use(keeper):
            return keeper()
    """,
}
# They keep nothing: what they make belongs to the block.
MAKERS = {
    "method": """
        class Keeper:
            def session(self):
                return Session(engine)

        def use(keeper):
            return keeper.session()
    """,
    "borrower": """
        class Repository:
            def __init__(self, session):
                self.session = session
                self.all = {1: session}

        class Keeper:
            def session(self):
                return Session(engine)

        kept = []

        def lend(session):
            kept.append(Repository(session))
            return session

        def use(keeper):
            return lend(keeper.session())
    """,
    "variable": """
        class Keeper:
            def session(self):
                return Session(engine)

        def lend(session):
            def read():
                return session.kept
            kept.append(read)
            return session

        kept = []

        def use(keeper):
            return lend(keeper.session())
    """,
    "registry of others": """
        import types
        registry = types.SimpleNamespace()

        class Odd:
            @property
            def __dict__(self):
                raise ValueError

            __slots__ = ("session",)

        class Keeper:
            def session(self):
                return Session(engine)

        def lend(session):
            registry.session, odd.session = session, session
            return session

        odd = Odd()

        def use(keeper):
            return lend(keeper.session())
    """,
}
KEPT_USES = """
def test_it():
    keeper = Keeper()
    with {get} as session:
        session.scalar(text("SELECT 1"))
    session.scalar(text("SELECT 1"))
    session.close()
"""
ASYNC_KEPT_USES = """
async def test_it():
    keeper = Keeper()
    async with {get} as session:
        await session.scalar(text("SELECT 1"))
    await session.scalar(text("SELECT 1"))
    await session.close()
    await engine.dispose()
"""


@pytest.mark.parametrize("flavour", ["sync", "async"])
@pytest.mark.parametrize("name", (*KEEPERS, *MAKERS))
def test_kept_session(project, name, flavour):
    """A session that its maker keeps begins again by right, also below a block that had it.

    One that somebody else has a hold of as well does not.
    """
    app, uses = (APP, KEPT_USES) if flavour == "sync" else (ASYNC_APP, ASYNC_KEPT_USES)
    keeper, _, get = textwrap.dedent({**KEEPERS, **MAKERS}[name]).partition(
        "\ndef use(keeper):\n    return "
    )
    class_ = "Session" if flavour == "sync" else "AsyncSession"
    head = f"import contextvars, functools\nfrom app import {class_} as Session, engine, text\n"
    files = {
        "app.py": app,
        "pytest.ini": "[pytest]\nasyncio_mode = auto\n",
        "test_x.py": head + keeper + uses.format(get=get.strip()),
    }
    run = project(files).run(ALL)
    assert run.fault == ""
    assert run.found == (["SG202 test_it"] if name in MAKERS else [])
