"""SG205: a session of the application, closed in peace with changes that nobody committed."""

# ruff: noqa: E501 (lines are as long as a user sees them)

from __future__ import annotations

import textwrap

import pytest

from pytest_sessionguard.watch.changes import writes

APP = """
    import asyncio
    import contextlib
    import pickle

    from sqlalchemy import create_engine, delete, event, func, insert, select, text, update
    from sqlalchemy.exc import IntegrityError
    from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker

    class Base(DeclarativeBase): pass

    class User(Base):
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column()

    engine = create_engine("sqlite:///app.db")
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        session.add(User(id=1, name="ann"))
    factory = sessionmaker(engine)

    def get_session():
        return factory()

    @contextlib.contextmanager
    def lend():
        with factory() as session:
            yield session

    class Unit:
        def __enter__(self):
            self.session = factory()
            return self.session

        def __exit__(self, *args):
            self.session.close()
"""

FAULTY = {
    "not flushed where the server commits by itself": """
        with Session(engine.execution_options(isolation_level="AUTOCOMMIT")) as session:
            session.add(User(name="bob"))
    """,
    "an option that sets the engine's aside": """
        once = create_engine("sqlite:///app.db", isolation_level="AUTOCOMMIT")
        with Session(once.execution_options(isolation_level="SERIALIZABLE")) as session:
            session.execute(insert(User).values(name="bob"))
    """,
    "new": """
        with factory() as session:
            session.add(User(name="bob"))
    """,
    "flushed": """
        with factory() as session:
            session.add(User(name="bob"))
            session.flush()
    """,
    "dirty": """
        with factory() as session:
            session.get(User, 1).name = "bob"
    """,
    "deleted": """
        with factory() as session:
            session.delete(session.get(User, 1))
    """,
    "update": """
        with factory() as session:
            session.execute(update(User).values(name="bob"))
    """,
    "delete": """
        with factory() as session:
            session.execute(delete(User))
    """,
    "insert": """
        with factory() as session:
            session.scalars(insert(User).values(name="bob").returning(User)).all()
    """,
    "text": """
        with factory() as session:
            session.execute(text("UPDATE users SET name = 'bob'"))
    """,
    "query": """
        with factory() as session:
            session.query(User).delete()
    """,
    "bulk": """
        with factory() as session:
            session.bulk_save_objects([User(name="bob")])
    """,
    "close": """
        session = factory()
        session.add(User(name="bob"))
        session.close()
    """,
    "finally": """
        session = factory()
        try:
            session.add(User(name="bob"))
        finally:
            session.close()
    """,
    "a savepoint alone": """
        with factory() as session:
            with session.begin_nested():
                session.add(User(name="bob"))
    """,
    "before a savepoint": """
        with factory() as session:
            session.add(User(name="bob"))
            session.flush()
            savepoint = session.begin_nested()
            savepoint.rollback()
    """,
    "registry": """
        registry = scoped_session(factory)
        registry.add(User(name="bob"))
        registry.remove()
    """,
    "a context manager of its own": """
        with lend() as session:
            session.add(User(name="bob"))
    """,
    "a unit of its own": """
        with Unit() as session:
            session.add(User(name="bob"))
    """,
    "reset": """
        session = factory()
        session.add(User(name="bob"))
        session.reset()
        session.close()
    """,
}

HEALTHY = {
    "an engine that commits by itself": """
        with Session(create_engine("sqlite://", isolation_level="AUTOCOMMIT")) as session:
            session.execute(text("CREATE TABLE things (id INTEGER)"))
            session.execute(text("INSERT INTO things VALUES (1)"))
    """,
    "an engine with the option": """
        with Session(engine.execution_options(isolation_level="AUTOCOMMIT")) as session:
            session.add(User(name="bob"))
            session.flush()
    """,
    "a connection with the option": """
        with factory() as session:
            session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
            session.execute(insert(User).values(name="bob"))
    """,
    "committed": """
        with factory() as session:
            session.add(User(name="new"))
            session.commit()
    """,
    "begin": """
        with factory.begin() as session:
            session.add(User(name="begun"))
    """,
    "read": """
        with factory() as session:
            session.get(User, 1)
            session.execute(text("SELECT 1"))
            session.execute(text("/* update */ SELECT 1"))
    """,
    "rolled back": """
        with factory() as session:
            session.add(User(name="bob"))
            session.flush()
            session.rollback()
    """,
    "raised": """
        with contextlib.suppress(ZeroDivisionError):
            with factory() as session:
                session.add(User(name="bob"))
                session.flush()
                1 / 0
    """,
    "finally": """
        with contextlib.suppress(ZeroDivisionError):
            session = factory()
            try:
                session.add(User(name="bob"))
                1 / 0
            finally:
                session.close()
    """,
    "caught on the way to a commit": """
        with factory() as session:
            try:
                session.add(User(name="bob"))
                session.flush()
                1 / 0
                session.commit()
            except ZeroDivisionError:
                pass
    """,
    "refused by the database": """
        with factory() as session:
            session.add(User(id=1, name="ann"))
            with contextlib.suppress(IntegrityError):
                session.flush()
    """,
    "expunged": """
        with factory() as session:
            session.add(user := User(name="bob"))
            session.expunge(user)
    """,
    "set to what it was": """
        with factory() as session:
            user = session.get(User, 1)
            user.name = user.name
    """,
    "no row": """
        with factory() as session:
            session.execute(update(User).where(User.id == 99).values(name="bob"))
    """,
    "a savepoint that was rolled back": """
        with factory() as session:
            savepoint = session.begin_nested()
            session.add(User(name="bob"))
            session.flush()
            savepoint.rollback()
    """,
    "an inner savepoint that was rolled back with the outer": """
        with factory() as session:
            savepoint = session.begin_nested()
            with session.begin_nested():
                session.add(User(name="bob"))
            savepoint.rollback()
    """,
    "bound to a connection": """
        with engine.connect() as connection, connection.begin() as transaction:
            with Session(connection) as session:
                session.add(User(name="bob"))
                session.flush()
            transaction.rollback()
    """,
    "abandoned": """
        def get_db():
            session = factory()
            try:
                yield session
            finally:
                session.close()

        dependency = get_db()
        next(dependency).add(User(name="bob"))
        dependency.close()
    """,
    "never used": "factory().close()",
}


def make_suite(cases: dict[str, str]) -> dict[str, str]:
    app, tests = textwrap.dedent(APP), "import app\n\n"
    for number, code in enumerate(cases.values()):
        body = textwrap.indent(textwrap.dedent(code).strip(), "    ")
        app += f"\ndef case_{number}():\n{body}\n"
        tests += f"def test_{number}():\n    app.case_{number}()\n\n"
    return {"app.py": app, "test_x.py": tests}


def test_faulty_code(project):
    """Whatever was changed, and however it was closed: one finding, a warning."""
    run = project(make_suite(FAULTY)).run()
    wanted = sorted(f"SG205 test_{number}" for number in range(len(FAULTY)))
    assert (wanted, 0) == (run.found, run.exit), run.text
    assert set(run.results.values()) == {"passed"}


def test_healthy_code(project):
    """Nothing is said of what was committed, rolled back, or dropped by an exception."""
    assert project(make_suite(HEALTHY)).run("--sessionguard-error=SG205").is_clean()


# As an array of numpy's does: whether two of them differ is no yes or no.
UNRULY = """
    from sqlalchemy import String, TypeDecorator
    from app import *

    class Vector(list):
        def __eq__(self, other):
            raise ValueError("operands could not be broadcast together")

    class VectorType(TypeDecorator):
        impl = String
        cache_ok = True

        def process_bind_param(self, value, dialect):
            return value and ",".join(value)

        def process_result_value(self, value, dialect):
            return value and Vector(value.split(","))

    class Doc(Base):
        __tablename__ = "docs"
        id: Mapped[int] = mapped_column(primary_key=True)
        vector = mapped_column(VectorType)

    def change():
        with factory() as session:
            doc, user = session.get(Doc, 1), session.get(User, 1)
            doc.vector, user.name = Vector("xyz"), "bob"
"""


def test_values_that_refuse_to_be_compared(project):
    """What the user's own comparison raises is no fault of the guard's, which goes on."""
    tests = """
        from unruly import *

        def test_change():
            Base.metadata.create_all(engine)
            with Session(engine) as session, session.begin():
                session.merge(Doc(id=1, vector=Vector("abc")))
            change()

        def test_leak():
            test_leak.kept = engine.connect()
    """
    run = project({"app.py": APP, "unruly.py": UNRULY, "test_x.py": tests}).run()
    assert ["SG101 test_leak", "SG205 test_change"] == run.found, run.text
    assert run.shows("1 changed User: none of it is in the database: close() rolls back.")


def test_what_tests_change(project):
    """Tests rely on it that close() rolls back: theirs are the sessions that they use."""
    tests = """
        import pytest
        from app import *

        @pytest.fixture
        def session():
            with factory() as session:
                yield session

        @pytest.fixture
        def harness():
            with engine.connect() as connection, connection.begin() as transaction:
                with Session(connection, join_transaction_mode="create_savepoint") as session:
                    yield session
                transaction.rollback()

        def add(session):
            session.add(User(name="bob"))
            session.flush()

        def test_fixture(session):
            add(session)

        def test_harness(harness):
            add(harness)
            harness.commit()
            harness.add(User(name="eve"))

        def test_own():
            with Session(engine) as session:
                add(session)

        def test_from_the_application():
            with get_session() as session:
                add(session)

        def test_lent_by_the_application():
            with lend() as session:
                session.add(User(name="bob"))

        def test_unit_of_the_application():
            with Unit() as session:
                session.add(User(name="bob"))

        def test_dependency():
            def drive():
                with lend() as session:
                    yield session
            for session in drive():
                session.add(User(name="bob"))
    """
    suite = project({"app.py": APP, "test_x.py": tests})
    assert suite.run("--sessionguard-error=SG205").is_clean()


def test_accepted(project):
    """An old one that is accepted stays silent, and a new one beside it does not."""
    app = textwrap.dedent(APP) + textwrap.dedent(
        """
        def forget():
            with factory() as session:
                session.add(User(name="bob"))
        """
    )
    tests = """
        import pytest
        from app import forget

        @pytest.mark.sessionguard(ignore="uncommitted-changes", reason="known since last year")
        def test_old():
            forget()

        def test_new():
            forget()
    """
    assert project({"app.py": app, "test_x.py": tests}).run().found == ["SG205 test_new"]


def forget(work: str) -> dict[str, str]:
    """Make a suite in which one function of the application works in a session and forgets it."""
    body = textwrap.indent(textwrap.dedent(work).strip(), " " * 8)
    app = f"{textwrap.dedent(APP)}\ndef forget():\n    with factory() as session:\n{body}\n"
    return {"app.py": app, "test_x.py": "from app import forget\n\ndef test_it():\n    forget()\n"}


def test_text(project):
    """Where it was closed, opened and written, and what is lost."""
    run = project(
        forget(
            """
            session.add(User(name="bob"))
            session.flush()
            session.add_all([User(name="eve"), User(name="zoe")])
            """
        )
    ).run()
    assert run.shows(
        """
        SG205 uncommitted-changes: 1 Session was closed with uncommitted changes, in test_it

          closed        app.py:40 in forget
                        test_x.py:4 in test_it
          opened        Session at app.py:40 in forget
          written       app.py:42 in forget

          2 new User: none of it is in the database: close() rolls back.
          Fix: `session.commit()` before it is closed; to drop changes on purpose, roll back.
          Accept: @pytest.mark.sessionguard(ignore="uncommitted-changes", reason="...") or the baseline.
        """
    )


def test_where_it_was_added(project):
    """What was never written: the line that added the first of it, in this transaction."""
    work = """
        session.add(User(name="eve"))
        session.rollback()
        session.get(User, 1)
        session.add(User(name="bob"))
        session.add(User(name="zoe"))
    """
    run = project(forget(work)).run()
    assert run.shows(
        """
          opened        Session at app.py:40 in forget
          added         app.py:44 in forget

          2 new User: none of it is in the database: close() rolls back.
        """
    )


@pytest.mark.parametrize(
    "work",
    [
        'session.add(bob := User(name="bob"))\nsession.expunge(bob)\nsession.get(User, 1).name = "x"',
        'session.get(User, 1).name = "x"',
        'session.add(User(name="bob"))\nsession.rollback()\nsession.get(User, 1).name = "x"',
    ],
    ids=["expunged", "none", "rolled back"],
)
def test_nothing_was_added(project, work):
    """No line is named that has added nothing of what is lost."""
    run = project(forget(work)).run()
    assert run.shows("1 changed User: none of it is in the database: close() rolls back."), run.text
    assert "  added  " not in run.text


ASYNC_APP = """
    import contextlib

    from sqlalchemy import text, update
    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine
    from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

    class Base(DeclarativeBase): pass

    class User(Base):
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column()

    async def add(factory):
        async with factory() as session:
            session.add(User(name="bob"))

    async def flush(factory):
        async with factory() as session:
            session.add(User(name="bob"))
            await session.flush()

    async def change(factory):
        session = factory()
        await session.execute(update(User).values(name="eve"))
        await session.close()

    @contextlib.asynccontextmanager
    async def lend(factory):
        async with factory() as session:
            yield session

    async def borrow(factory):
        async with lend(factory) as session:
            session.add(User(name="bob"))

    async def commit(factory):
        async with factory() as session:
            session.add(User(name="bob"))
            await session.commit()

    async def begin(factory):
        async with factory.begin() as session:
            session.add(User(name="bob"))

    async def fail(factory):
        with contextlib.suppress(ZeroDivisionError):
            async with factory() as session:
                session.add(User(name="bob"))
                await session.flush()
                1 / 0

    async def fail_and_close(factory):
        with contextlib.suppress(ZeroDivisionError):
            session = factory()
            try:
                session.add(User(name="bob"))
                1 / 0
            finally:
                await session.close()

    async def roll_back(factory):
        async with factory() as session:
            session.add(User(name="bob"))
            await session.flush()
            await session.rollback()

    async def read(factory):
        async with factory() as session:
            await session.get(User, 1)

    BAD = (add, borrow, change, flush)
    GOOD = (begin, commit, fail, fail_and_close, roll_back, read)
"""


def async_suite(url: str, head: str = "") -> dict[str, str]:
    return {
        "app.py": ASYNC_APP,
        "test_x.py": f"""
            import pytest
            from app import *

            @pytest.fixture
            async def factory({head}):
                engine = create_async_engine({url})
                async with engine.begin() as connection:
                    await connection.run_sync(Base.metadata.drop_all)
                    await connection.run_sync(Base.metadata.create_all)
                    await connection.execute(User.__table__.insert(), [{{"name": "ann"}}])
                yield async_sessionmaker(engine)
                await engine.dispose()

            @pytest.mark.parametrize("work", BAD + GOOD, ids=lambda f: f.__name__)
            async def test_it(work, factory):
                await work(factory)

            async def test_own(factory):
                async with factory() as session:
                    session.add(User(name="bob"))
                    await session.flush()

            async def test_lent(factory):
                async with lend(factory) as session:
                    session.add(User(name="bob"))
        """,
        "pytest.ini": "[pytest]\nasyncio_mode = auto\nsessionguard_postgres = embedded\n",
    }


WANTED = [f"SG205 test_it[{name}]" for name in ("add", "borrow", "change", "flush")]


def test_aiosqlite(project):
    """The same of async sessions, which SQLAlchemy closes out of sight of their blocks."""
    run = project(async_suite('"sqlite+aiosqlite:///app.db"')).run()
    assert (WANTED, 0) == (run.found, run.exit), run.text


@pytest.mark.postgres
@pytest.mark.parametrize("driver", ("asyncpg", "psycopg"))
def test_postgres(project, driver):
    """And on Postgres."""
    url = f'sessionguard_postgres.url_for("{driver}")'
    run = project(async_suite(url, "sessionguard_postgres")).run(subprocess=True)
    assert (WANTED, 0) == (run.found, run.exit), run.text


def test_web(project):
    """A dependency that closes and an endpoint that forgets; its twin; one that a test overrides."""
    web = """
        from app import User, factory
        from fastapi import Depends, FastAPI, HTTPException

        shop = FastAPI()

        def get_session():
            session = factory()
            try:
                yield session
            finally:
                session.close()

        @shop.post("/forgets")
        def forgets(session=Depends(get_session)):
            session.add(User(name="bob"))
            session.flush()

        @shop.post("/commits")
        def commits(session=Depends(get_session)):
            session.add(User(name="zoe"))
            session.commit()

        @shop.post("/refuses")
        def refuses(session=Depends(get_session)):
            session.add(User(name="eve"))
            session.flush()
            raise HTTPException(409)

        @shop.post("/returns")
        def returns(good: bool = False, session=Depends(get_session)):
            session.add(User(name="kim"))
            session.flush()
            if not good:
                return "no"
            session.commit()
    """
    tests = """
        import pytest
        from app import User, factory
        from fastapi import Depends
        from fastapi.testclient import TestClient
        from shop import get_session, shop

        @pytest.fixture
        def client():
            with TestClient(shop) as client:
                yield client

        @pytest.fixture
        def overridden():
            def lend():
                with factory() as session:
                    yield session
            shop.dependency_overrides[get_session] = lend
            yield
            shop.dependency_overrides.clear()

        @pytest.mark.parametrize("name", ("forgets", "commits", "refuses", "returns"))
        def test_it(client, name):
            client.post("/" + name)

        def test_overridden(client, overridden):
            client.post("/forgets")

        def test_endpoint_of_the_test(client):
            @shop.post("/test")
            def endpoint(session=Depends(get_session)):
                session.add(User(name="bob"))
            client.post("/test")
    """
    run = project({"app.py": APP, "shop.py": web, "test_x.py": tests}).run()
    assert (["SG205 test_it[forgets]"], 0) == (run.found, run.exit), run.text


def test_web_in_the_task_of_the_test(project):
    """The same where no thread stands between the test and the application."""
    web = """
        from app import Base, User
        from fastapi import Depends, FastAPI
        from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

        shop = FastAPI()
        factory = async_sessionmaker(create_async_engine("sqlite+aiosqlite:///app.db"))

        async def get_session():
            async with factory() as session:
                yield session

        @shop.post("/forgets")
        async def forgets(session=Depends(get_session)):
            session.add(User(name="bob"))
            await session.flush()

        @shop.post("/commits")
        async def commits(session=Depends(get_session)):
            session.add(User(name="zoe"))
            await session.commit()

        @shop.post("/returns")
        async def returns(good: bool = False, session=Depends(get_session)):
            session.add(User(name="kim"))
            await session.flush()
            if not good:
                return "no"
            await session.commit()
    """
    tests = """
        import httpx
        import pytest
        from app import User
        from shop import factory, get_session, shop

        @pytest.fixture
        def overridden():
            async def lend():
                async with factory() as session:
                    yield session
            shop.dependency_overrides[get_session] = lend
            yield
            shop.dependency_overrides.clear()

        async def post(name):
            transport = httpx.ASGITransport(app=shop)
            async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
                assert (await client.post("/" + name)).status_code == 200

        @pytest.mark.asyncio
        @pytest.mark.parametrize("name", ("forgets", "commits", "returns"))
        async def test_it(name):
            await post(name)

        @pytest.mark.asyncio
        async def test_overridden(overridden):
            await post("forgets")

        @pytest.mark.asyncio
        async def test_own():
            async for session in get_session():
                session.add(User(name="bob"))
                await session.flush()
    """
    run = project({"app.py": APP, "shop.py": web, "test_x.py": tests}).run()
    assert (["SG205 test_it[forgets]"], 0) == (run.found, run.exit), run.text


@pytest.mark.parametrize(
    ("text", "is_write"),
    [
        ("INSERT INTO users VALUES (1)", True),
        ("  update users set name = 'x'", True),
        ("-- why\nDELETE FROM users", True),
        ("/* why */ MERGE INTO users", True),
        ("WITH new AS (INSERT INTO users VALUES (1) RETURNING id) SELECT id FROM new", True),
        ("SELECT 1", False),
        ("-- DELETE\nSELECT 1", False),
        ("WITH one AS (SELECT 1) SELECT * FROM one", False),
        ("SET search_path TO users", False),
        ("updates", False),
    ],
)
def test_writes(text, is_write):
    """What a textual statement does is read at its beginning."""
    assert is_write == writes(text)
