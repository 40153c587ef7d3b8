"""Results of services: which of them outlive the session that the service opened.

Each is found in a bad test; silent in its healthy twin and where it is accepted; found again beside
an accepted one.
"""

# ruff: noqa: E501 (lines are as long as a user sees them)

from __future__ import annotations

import textwrap
from typing import Any

import pytest

BAD = {
    "SG302 commit, expunge, return": """
        with factory() as session:
            user = User(name="x")
            session.add(user)
            session.commit()
            session.expunge(user)
            return user
    """,
    "SG302 commit, return": """
        with factory() as session:
            user = User(name="x")
            session.add(user)
            session.commit()
            return user
    """,
    "SG302 a second commit": """
        with factory() as session:
            user = session.get(User, 1)
            session.add(User(name="x"))
            session.commit()
        return user
    """,
    "SG302 refresh too early": """
        with factory() as session:
            user = session.get(User, 1)
            user.name = "y"
            session.commit()
            session.refresh(user)
            session.add(Post(title="z", author_id=1))
            session.commit()
        return [user]
    """,
    "SG302 expunge_all": """
        with factory() as session:
            users = session.scalars(select(User)).all()
            session.commit()
            session.expunge_all()
            return {"users": users}
    """,
    "SG302 expired by hand": """
        with factory() as session:
            user = session.get(User, 1)
            session.expire(user, ["name"])
            return user
    """,
    "SG302 rollback": """
        session = factory()
        try:
            user = session.get(User, 1)
            session.rollback()
            return user
        finally:
            session.close()
    """,
    "SG302 a part of the columns": """
        with factory() as session:
            return session.scalars(select(User).options(load_only(User.id))).all()
    """,
    "SG302 deep in the result": """
        with factory() as session:
            posts = session.scalars(select(Post).options(joinedload(Post.author))).all()
            session.commit()
            session.refresh(posts[0], ["id", "title", "author_id", "author"])
            session.expire(posts[0].author)
            return posts
    """,
    "SG302 a session that is dropped": """
        session = lasting()
        user = session.get(User, 1)
        session.expire(user)
        session.rollback()
        return user
    """,
    "SG301 a session that is kept": """
        session = lasting()
        kept.append(session)
        user = session.get(User, 1)
        session.commit()
        return user
    """,
    "SG301 an expired one": """
        session = factory()
        kept.append(session)
        user = session.get(User, 1)
        session.commit()
        return [(user, 1)]
    """,
    "SG301 pending": """
        session = factory()
        kept.append(session)
        session.get(User, 1)
        session.commit()
        user = User(name="x")
        session.add(user)
        return user
    """,
    "SG101 leaked": """
        session = factory()
        kept.append(session)
        return session.get(User, 1)
    """,
    "SG101 leaked, closed by the caller": """
        session = factory()
        closing.append(session)
        return session.scalar(select(User.name))
    """,
    "SG101 a connection": """
        connection = engine.connect()
        kept.append(connection)
        return connection.scalar(text("SELECT 1"))
    """,
    "SG101 leaked, and raised": """
        session = factory()
        kept.append(session)
        session.get(User, 1)
        raise KeyError(1)
    """,
    "SG102 a connection left to the collector": """
        return engine.connect().scalar(text("SELECT 1"))
    """,
    "SG102 a session left to the collector": """
        return factory().scalar(select(User.name))
    """,
    "SG201 a session that is never closed": """
        session = factory()
        kept.append(session)
        name = session.scalar(select(User.name))
        session.commit()
        return name
    """,
    "SG201 closed by the caller": """
        session = factory()
        closing.append(session)
        name = session.scalar(select(User.name))
        session.commit()
        return name
    """,
}

GOOD = {
    "SG302": """
        with factory() as session:
            user = User(name="x")
            session.add(user)
            session.commit()
            session.refresh(user)
            session.expunge(user)
            return user
    """,
    "SG301": """
        with lasting() as session:
            user = session.get(User, 1)
            session.commit()
        return [(user, 1)]
    """,
    "SG101": """
        with factory() as session:
            return session.get(User, 1)
    """,
    "SG102": """
        with engine.connect() as connection:
            return connection.scalar(text("SELECT 1"))
    """,
    "SG201": """
        session = factory()
        try:
            return session.scalar(select(User.name))
        finally:
            session.close()
    """,
}

TESTS = """
import contextlib

@pytest.fixture(autouse=True)
def callers():
    yield
    while services.closing:
        services.closing.pop().close()

def use(function):
    with contextlib.suppress(KeyError):
        return function()

def test_bad():
    use(services.bad)

def test_good():
    use(services.good)

@pytest.mark.sessionguard(ignore="{code}", reason="known since last year")
def test_old():
    use(services.bad)

def test_new():
    use(services.bad)
"""


def make_services(bad: str, good: str, word: str = "def") -> str:
    bodies = (textwrap.indent(textwrap.dedent(code), "    ") for code in (bad, good))
    bad, good = bodies
    return f"closing = []\n\n{word} bad():{bad}\n\n{word} good():{good}\n"


@pytest.mark.parametrize("case", BAD)
def test_sync(case: str, run_suite: Any) -> None:
    """Found, silent, accepted, found again."""
    code = case[:5]
    run = run_suite(make_services(BAD[case], GOOD[code]), TESTS.format(code=code))
    found = [name for name in run.found if name.startswith(code)]
    assert found == [f"{code} test_bad", f"{code} test_new"], run.text
    # A session that a service dropped with an expired result was never closed either.
    assert {name[:5] for name in run.found} <= {code, "SG201"}
    assert run.results["test_good"] == run.results["test_old"] == "passed"
    assert run.exit == (0 if code == "SG201" else 1)
    assert run.fault == ""
    for finding in run.findings:
        if finding.rule == code:
            ends = ("returned at", "raised at")
            (place,) = [place for place in finding.places if place.label in ends]
            assert place.site.frames[0].path == "app/services.py"
            assert place.site.frames[1].function == "use"
    assert "secret" not in run.text


ASYNC_BAD = {
    "SG302 commit, expunge, return": """
        async with factory() as session:
            user = User(name="x")
            session.add(user)
            await session.commit()
            session.expunge(user)
            return user
    """,
    "SG302 commit, return": """
        async with factory() as session:
            user = User(name="x")
            session.add(user)
            await session.commit()
        return user
    """,
    "SG302 a second commit": """
        async with factory() as session:
            user = await session.get(User, 1)
            session.add(User(name="x"))
            await session.commit()
        return user
    """,
    "SG302 begin": """
        async with factory.begin() as session:
            return await session.get(User, 1)
    """,
    "SG301 a session that is kept": """
        session = lasting()
        kept.append(session)
        user = await session.get(User, 1)
        await session.commit()
        return user
    """,
    "SG101 leaked": """
        session = factory()
        kept.append(session)
        return await session.get(User, 1)
    """,
    "SG101 a connection": """
        connection = await engine.connect()
        kept.append(connection)
        return await connection.scalar(text("SELECT 1"))
    """,
    "SG101 leaked, and raised": """
        session = factory()
        kept.append(session)
        await session.get(User, 1)
        raise KeyError(1)
    """,
    "SG101 leaked by a task of its own": """
        async def load():
            session = factory()
            kept.append(session)
            return await session.scalar(select(User.name))
        return await asyncio.gather(load())
    """,
    "SG102 a session left to the collector": """
        return await factory().scalar(select(User.name))
    """,
    "SG201 a session that is never closed": """
        session = factory()
        kept.append(session)
        name = await session.scalar(select(User.name))
        await session.commit()
        return name
    """,
}

ASYNC_GOOD = {
    "SG302": """
        async with factory() as session:
            user = User(name="x")
            session.add(user)
            await session.commit()
            await session.refresh(user)
            session.expunge(user)
            return user
    """,
    "SG301": """
        async with lasting() as session:
            user = await session.get(User, 1)
            await session.commit()
            return user
    """,
    "SG101": """
        async with factory() as session:
            return await session.get(User, 1)
    """,
    "SG102": """
        async with engine.connect() as connection:
            return await connection.scalar(text("SELECT 1"))
    """,
    "SG201": """
        session = factory()
        try:
            return await session.scalar(select(User.name))
        finally:
            await session.close()
    """,
}


@pytest.mark.parametrize("case", ASYNC_BAD)
def test_async(case: str, run_suite: Any) -> None:
    """The same with aiosqlite."""
    code = case[:5]
    tests = TESTS.format(code=code).replace("def test", "async def test")
    tests = tests.replace("def use", "async def use").replace(
        "return function", "return await function"
    )
    tests = tests.replace("    use(", "    await use(")
    source = make_services(ASYNC_BAD[case], ASYNC_GOOD[code], "async def")
    run = run_suite(source, tests, subprocess=False)
    assert run.found == [f"{code} test_bad", f"{code} test_new"], run.text
    assert run.results["test_good"] == run.results["test_old"] == "passed"
    assert run.exit == (0 if code == "SG201" else 1)
    assert run.fault == ""
    for finding in run.findings:
        ends = ("returned at", "raised at")
        (place,) = [place for place in finding.places if place.label in ends]
        assert place.site.frames[0].path == "app/services.py"
        assert place.site.frames[1].function == "use"


def test_async_factories(run_suite: Any) -> None:
    """Async sessions and connections that are the result itself are the caller's to close."""
    run = run_suite(
        """
        async def open_session():
            session = factory()
            await session.get(User, 1)
            return session

        async def open_connection():
            connection = await engine.connect()
            await connection.scalar(text("SELECT 1"))
            return connection
        """,
        """
        async def test_session():
            session = await services.open_session()
            await session.close()

        async def test_connection():
            connection = await services.open_connection()
            await connection.close()
        """,
    )
    assert run.is_clean()


HEALTHY = {
    "expire_on_commit=False": """
        with lasting() as session:
            user = User(name="x")
            session.add(user)
            session.commit()
            return user
    """,
    "a read without a commit": """
        with factory() as session:
            return session.scalars(select(User)).all()
    """,
    "deferred by the mapping": """
        with factory() as session:
            return session.get(User, 1)
    """,
    "a relationship that is not loaded": """
        with factory() as session:
            return session.get(Post, 1)
    """,
    "loaded eagerly": """
        with factory() as session:
            return session.scalars(select(Post).options(joinedload(Post.author))).all()
    """,
    "transient": "return User(name='x')",
    "transient after a rollback": """
        with factory() as session:
            user = User(name="x")
            session.add(user)
            session.flush()
            session.rollback()
            return user
    """,
    "data": """
        with factory() as session:
            user = session.get(User, 1)
            session.commit()
            return {"name": user.name}
    """,
    "nothing": """
        with factory() as session:
            session.add(User(name="x"))
            session.commit()
    """,
    "a session of its own, in the result": """
        session = factory()
        closing.append(session)
        session.get(User, 1)
        return session
    """,
    "a session and what it loaded": """
        session = factory()
        closing.append(session)
        return session, session.get(User, 1)
    """,
    "a connection of its own, in the result": """
        connection = engine.connect()
        closing.append(connection)
        connection.scalar(text("SELECT 1"))
        return connection
    """,
    "a raw connection, in the result": """
        connection = engine.raw_connection()
        closing.append(connection)
        return connection
    """,
    "a session of a registry": """
        closing.append(registry)
        return registry.get(User, 1)
    """,
    "an open result": """
        with factory() as session:
            return session.execute(select(User))
    """,
    "a generator": """
        with factory() as session:
            users = session.scalars(select(User)).all()
            session.commit()
        return (user for user in users)
    """,
    "a session on somebody's connection": """
        with engine.connect() as connection:
            with Session(connection, join_transaction_mode="create_savepoint") as session:
                return session.get(User, 1)
    """,
    "a session that nobody used": """
        closing.append(factory())
    """,
    "a session that was closed and read again": """
        session = factory()
        closing.append(session)
        session.get(User, 1)
        session.close()
        name = session.scalar(select(User.name))
        session.rollback()
        return name
    """,
}


@pytest.mark.parametrize("case", HEALTHY)
def test_healthy(case: str, run_suite: Any) -> None:
    """What a service may return, and leave behind."""
    run = run_suite(
        make_services("pass", HEALTHY[case]),
        """
        @pytest.fixture(autouse=True)
        def callers():
            yield
            while services.closing:
                services.closing.pop().close()

        def test_good():
            services.good()
        """,
    )
    assert run.is_clean()


LENT = """
    def load(session, name="x"):
        user = session.get(User, 1)
        session.commit()
        return user

    def add(session, name="x"):
        user = User(name=name)
        session.add(user)
        return user

    class Repository:
        def __init__(self, session):
            self.session = session

        def get(self, number):
            user = self.session.get(User, number)
            self.session.commit()
            return user

        def keep(self):
            self.session.scalar(text("SELECT 1"))

    class Lazy:
        @property
        def session(self):
            return registry()

        def get(self, number):
            return self.session.get(User, number)

    def both(session):
        with factory() as own:
            own.get(User, 1)
        return session.get(User, 1)
"""


def test_lent_sessions(run_suite: Any) -> None:
    """A session that the service has not opened is the business of whoever did."""
    run = run_suite(
        LENT,
        """
        from app.models import factory, registry

        @pytest.fixture
        def session():
            with factory() as session:
                yield session

        def test_parameter(session):
            assert services.load(session).name

        def test_pending(session):
            assert services.add(session, name="y") in session

        def test_repository(session):
            repository = services.Repository(session)
            assert repository.get(1).name
            repository.keep()

        def test_registry():
            assert services.Lazy().get(1).name
            registry.remove()

        def test_both(session):
            assert services.both(session) in session

        def test_patched_factory(session, monkeypatch):
            class Lent:
                def __enter__(self):
                    return session
                def __exit__(self, *error):
                    session.expire_all()
            monkeypatch.setattr(services, "factory", Lent)
            services.both(session)
        """,
    )
    assert run.is_clean()


def test_touching_the_result_changes_nothing(run_suite: Any) -> None:
    """A finding needs nobody to read the attribute; who reads it and catches has it too."""
    run = run_suite(
        """
        def add():
            with factory() as session:
                user = User(name="x")
                session.add(user)
                session.commit()
                return user
        """,
        """
        from sqlalchemy.orm.exc import DetachedInstanceError

        def test_untouched():
            services.add()

        def test_caught():
            with pytest.raises(DetachedInstanceError):
                services.add().name

        def test_failed():
            services.add().name

        def test_failed_otherwise():
            services.add()
            assert False
        """,
    )
    assert run.found == ["SG302 test_caught", "SG302 test_untouched"]
    assert run.results["test_failed"] == run.results["test_failed_otherwise"] == "failed"


def test_message(run_suite: Any) -> None:
    """What a finding says: where it was returned and called, what it lacks, and how to mend it."""
    run = run_suite(
        """
        def list_users():
            with factory() as session:
                users = session.scalars(select(User)).all()
                session.commit()
                return list(
                    users)
        """,
        """
        def test_list():
            services.list_users()
        """,
    )
    assert run.shows(
        """
        SG302 unloaded-result: app.services.list_users returned 1 User whose columns are expired, in test_list

          returned at   app/services.py:7 in list_users
                        test_x.py:5 in test_list
          found         result[0]: User, detached, expired: id, name
          session       Session opened at app/services.py:4 in list_users
          closed        the block of app/services.py:4 in list_users, which ends at line 8

          Reading `result[0].id` raises DetachedInstanceError.
        """
    )
    assert run.shows(
        """
          Accept: @pytest.mark.sessionguard(ignore="unloaded-result", reason="...") or the baseline.
        """
    )


def test_message_of_an_attached_result(run_suite: Any) -> None:
    """The same of one that belongs to a session."""
    run = run_suite(
        """
        def list_users():
            session = factory()
            kept.append(session)
            session.add(User(name="y"))
            users = session.scalars(select(User)).all()
            session.commit()
            return users
        """,
        """
        def test_list():
            services.list_users()
            services.list_users()
        """,
    )
    assert run.found == ["SG301 test_list"]
    assert run.findings[0].facts["count"] == 2
    assert run.shows(
        """
        SG301 attached-result: app.services.list_users returned 2 instances of User that still belong to a session, in 2 calls by test_list

          returned at   app/services.py:9 in list_users
                        test_x.py:5 in test_list
          found         result[0..1]: User, persistent
          session       Session opened at app/services.py:4 in list_users
        """
    )
