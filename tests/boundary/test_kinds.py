"""Services of every kind, and whoever calls them."""

from __future__ import annotations

from typing import Any

import pytest

KINDS = {
    "method": """
        class Users:
            def load(self):
                session = factory()
                kept.append(session)
                return session.scalar(select(User.name))

        def call():
            return Users().load()
    """,
    "classmethod": """
        class Users:
            @classmethod
            def load(cls):
                session = factory()
                kept.append(session)
                return session.scalar(select(User.name))
    """,
    "staticmethod": """
        class Users:
            @staticmethod
            def load():
                session = factory()
                kept.append(session)
                return session.scalar(select(User.name))
    """,
    "inherited": """
        class Base:
            def load(self):
                session = factory()
                kept.append(session)
                return session.scalar(select(User.name))

        class Users(Base):
            pass
    """,
    "overridden": """
        class Base:
            def load(self):
                session = factory()
                kept.append(session)
                return session.scalar(select(User.name))

        class Users(Base):
            def load(self):
                return super().load()
    """,
    "__call__": """
        class Users:
            def __call__(self):
                session = factory()
                kept.append(session)
                return session.scalar(select(User.name))

            def load(self):
                return self()
    """,
    "nested class": """
        class Users:
            class Loader:
                def load(self):
                    session = factory()
                    kept.append(session)
                    return session.scalar(select(User.name))

            def load(self):
                return Users.Loader().load()
    """,
    "lru_cache": """
        import functools

        class Users:
            @functools.lru_cache(maxsize=None)
            def load(self):
                session = factory()
                kept.append(session)
                return session.scalar(select(User.name))
    """,
    "a decorator of the user's": """
        import functools

        def logged(function):
            @functools.wraps(function)
            def wrapper(*args, **kwargs):
                return function(*args, **kwargs)
            return wrapper

        class Users:
            @logged
            def load(self):
                session = factory()
                kept.append(session)
                return session.scalar(select(User.name))
    """,
    "recursion": """
        class Users:
            def load(self, depth=3):
                if depth:
                    return self.load(depth - 1)
                session = factory()
                kept.append(session)
                return session.scalar(select(User.name))
    """,
    "a helper of another name": """
        class Users:
            def load(self):
                return _load()

        def _load():
            session = factory()
            kept.append(session)
            return session.scalar(select(User.name))
    """,
    "a service that calls a service": """
        def load_name(kept=kept):
            session = factory()
            kept.append(session)
            return session.scalar(select(User.name))

        class Users:
            def load(self):
                return load_name()
    """,
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(kind: str, run_suite: Any) -> None:
    """A service of this kind is checked, and blamed by the name of the outermost."""
    run = run_suite(
        KINDS[kind],
        """
        def test_leak():
            services.Users().load()
            services.kept.clear()
        """,
    )
    (finding,) = run.findings
    assert run.found == ["SG102 test_leak"]
    name = "Base" if kind == "inherited" else "Users"
    assert finding.facts["boundary"] == f"app.services.{name}.load"
    end = finding.places[-1]
    assert (end.label, end.site.frames[0].path) == ("returned at", "app/services.py")
    assert end.site.frames[1].function == "test_leak"


def test_places(run_suite: Any, pytester: pytest.Pytester) -> None:
    """The line that returned is that of the outermost call, and the one that raised its own."""
    run = run_suite(
        """
        import types

        class Block:
            def __enter__(self): return self
            def __exit__(self, *error): pass

        def recursive(depth=2):
            if depth:
                names = recursive(depth - 1)
                return names  # here
            session = factory()
            kept.append(session)
            return session.scalar(select(User.name))

        def raising():
            try:
                with Block():
                    session = factory()
                    kept.append(session)
                    session.scalar(select(User.name))
                    raise KeyError("x")  # here
                return 5
            finally:
                kept.append(5)

        @types.coroutine
        def old():
            yield
            with factory() as session:
                user = session.get(User, 1)
                session.commit()
                return user  # here
        """,
        """
        import asyncio

        def test_recursive():
            services.recursive()

        def test_raising():
            with pytest.raises(KeyError):
                services.raising()

        def test_old():
            async def use():
                await services.old()
            asyncio.run(use())
        """,
    )
    assert run.found == ["SG101 test_raising", "SG101 test_recursive", "SG302 test_old"], run.text
    for finding in run.findings:
        places = [p for p in finding.places if p.label in ("returned at", "raised at")]
        frame = places[0].site.frames[0]
        lines = (pytester.path / frame.path).read_text(encoding="utf-8").splitlines()
        assert "# here" in lines[frame.line - 1]


def test_what_is_no_service(run_suite: Any) -> None:
    """Private names, dunder methods, properties and what comes from elsewhere are left alone."""
    run = run_suite(
        """
        from app.helpers import helper

        def _private():
            session = factory()
            kept.append(session)
            return session.scalar(select(User.name))

        class Users:
            def __init__(self):
                self.name = _private()

            def _inner(self):
                return _private()

            @property
            def inner(self):
                return _private()

        class _Hidden:
            def load(self):
                return _private()
        """,
        """
        @pytest.fixture(autouse=True)
        def closed():
            yield
            while services.kept:
                services.kept.pop().close()

        def test_all():
            services._private()
            services.helper()
            services.Users()._inner()
            services.Users().inner
            services._Hidden().load()
        """,
        files={
            "app/helpers.py": """
                from app.models import *

                def helper():
                    session = factory()
                    kept.append(session)
                    return session.scalar(select(User.name))
            """
        },
    )
    assert run.is_clean()


def test_the_outermost_is_judged(run_suite: Any) -> None:
    """What a service takes from another is its own until it returns."""
    run = run_suite(
        """
        def open_user():
            session = factory()
            kept.append(session)
            user = session.get(User, 1)
            session.commit()
            return user

        def add_user(name):
            with factory() as session:
                user = User(name=name)
                session.add(user)
                session.commit()
                return user

        def careful():
            user = open_user()
            name = user.name
            kept.pop().close()
            return name

        def careless():
            return [add_user("x")]
        """,
        """
        def test_healthy():
            assert services.careful() == "secret-name"

        def test_bad():
            services.careless()
        """,
    )
    assert run.found == ["SG302 test_bad"]
    assert run.findings[0].facts["function"] == "app.services.careless"
    assert run.findings[0].places[0].site.frames[0].function == "careless"


GENERATORS = """
    from contextlib import contextmanager

    def users():
        with factory() as session:
            for user in session.scalars(select(User)):
                yield user

    def returning():
        with factory() as session:
            user = session.get(User, 1)
            yield user
            session.commit()
            return user

    def leaking():
        session = factory()
        kept.append(session)
        for user in session.scalars(select(User)):
            yield user

    @contextmanager
    def unit():
        with factory() as session:
            yield session
            session.commit()

    @contextmanager
    def leaking_unit():
        session = factory()
        kept.append(session)
        session.scalar(text("SELECT 1"))
        yield session

    def within():
        with unit() as session:
            user = session.get(User, 1)
            return user

    def refreshed():
        with unit() as session:
            user = session.get(User, 1)
            session.commit()
            session.refresh(user)
            session.expunge(user)
        return user

    def beside():
        with factory() as session:
            return session.get(User, 1).name
"""


def test_generators(run_suite: Any) -> None:
    """A generator is judged at its end by what it left open; what it yields is not looked at."""
    run = run_suite(
        GENERATORS,
        """
        def test_whole():
            assert len(list(services.users())) == 1
            assert len(list(services.returning())) == 1

        def test_between():
            for user in services.users():
                assert user.name
                assert services.beside()

        def test_closed():
            generator = services.users()
            next(generator)
            generator.close()

        def test_unit():
            with services.unit() as session:
                session.get(User, 1)
                assert services.beside()

        def test_bad_between():
            for user in services.users():
                services.within()

        def test_leaking():
            list(services.leaking())

        def test_leaking_closed():
            generator = services.leaking()
            next(generator)
            generator.close()

        def test_leaking_unit():
            with services.leaking_unit():
                pass

        def test_within():
            services.within()

        def test_refreshed():
            services.refreshed()
        """,
    )
    assert run.found == [
        "SG101 test_leaking",
        "SG101 test_leaking_closed",
        "SG101 test_leaking_unit",
        "SG302 test_bad_between",
        "SG302 test_within",
    ], run.text
    functions = {f.owner.name: f.facts.get("function") for f in run.findings}
    assert functions["test_bad_between"] == functions["test_within"] == "app.services.within"
    ends = {f.owner.name: (f.facts.get("ending"), f.places[-1].label) for f in run.findings}
    assert ends["test_leaking"] == ends["test_leaking_unit"] == ("returned", "returned at")
    assert ends["test_leaking_closed"] == ("was closed", "closed at")


ASYNC_GENERATORS = """
    from contextlib import asynccontextmanager

    async def users():
        async with factory() as session:
            for user in await session.scalars(select(User)):
                yield user

    async def leaking():
        session = factory()
        kept.append(session)
        for user in await session.scalars(select(User)):
            yield user

    async def get_session():
        async with lasting() as session:
            yield session

    @asynccontextmanager
    async def unit():
        async with factory() as session:
            yield session
            await session.commit()

    async def load(session):
        return await session.get(User, 1)

    async def within():
        async with unit() as session:
            return await session.get(User, 1)
"""


def test_async_generators(run_suite: Any) -> None:
    """The same of async ones."""
    run = run_suite(
        ASYNC_GENERATORS,
        """
        async def test_whole():
            assert [user.name async for user in services.users()]

        async def test_lent():
            async for session in services.get_session():
                user = await services.load(session)
                assert user in session

        async def test_closed():
            generator = services.users()
            await anext(generator)
            await generator.aclose()

        async def test_unit():
            async with services.unit() as session:
                assert (await services.load(session)).name

        async def test_leaking():
            assert [user async for user in services.leaking()]

        async def test_within():
            await services.within()
        """,
    )
    assert run.found == ["SG101 test_leaking", "SG302 test_within"], run.text


def test_gather(run_suite: Any) -> None:
    """Calls side by side are told apart, whichever of them is at fault."""
    run = run_suite(
        """
        async def load(number):
            async with factory() as session:
                await session.scalar(text("SELECT 1"))
                await asyncio.sleep(0)
                return await session.get(User, 1)

        async def load_badly(number):
            async with factory() as session:
                user = await session.get(User, 1)
                await asyncio.sleep(0)
                await session.commit()
                return user

        async def load_all():
            return await asyncio.gather(*(load(number) for number in range(20)))
        """,
        """
        import asyncio

        async def test_healthy():
            assert len(await asyncio.gather(*(services.load(n) for n in range(20)))) == 20

        async def test_within():
            assert len(await services.load_all()) == 20

        async def test_bad():
            calls = [services.load(n) for n in range(19)] + [services.load_badly(1)]
            await asyncio.gather(*calls)
        """,
    )
    assert run.found == ["SG302 test_bad"], run.text
    assert run.findings[0].facts["count"] == 1
    assert run.findings[0].facts["function"] == "app.services.load_badly"


def test_background_tasks(run_suite: Any) -> None:
    """A task that a service leaves running has things of its own, also once the service is over."""
    run = run_suite(
        """
        tasks = []

        async def write(wait):
            async with factory() as session:
                await session.scalar(select(User.name))
                await wait.wait()
                user = await session.get(User, 1)
                await session.commit()
                await session.refresh(user)
                return user

        async def start(wait):
            task = asyncio.create_task(write(wait))
            tasks.append(task)
            for _ in range(100):
                await asyncio.sleep(0.001)
            return "started"

        async def late(wait):
            await wait.wait()
            async with factory() as session:
                user = await session.get(User, 1)
                await session.commit()
                return user

        async def start_late(wait):
            tasks.append(asyncio.create_task(late(wait)))
        """,
        """
        import asyncio

        async def test_healthy():
            wait = asyncio.Event()
            await services.start(wait)
            wait.set()
            await asyncio.gather(*services.tasks)
            services.tasks.clear()

        async def test_a_call_of_its_own():
            wait = asyncio.Event()
            await services.start_late(wait)
            wait.set()
            await asyncio.gather(*services.tasks)
            services.tasks.clear()
        """,
    )
    assert run.found == ["SG302 test_a_call_of_its_own"], run.text
    assert run.findings[0].facts["function"] == "app.services.late"


def test_cancelled(run_suite: Any) -> None:
    """A call that is cancelled closes what it has; what it does not is told at the test's end."""
    run = run_suite(
        """
        async def load(wait):
            async with factory() as session:
                await session.scalar(select(User.name))
                await wait.wait()

        async def leak(wait):
            session = factory()
            kept.append(session)
            await session.scalar(select(User.name))
            await wait.wait()
        """,
        """
        import asyncio

        async def cancel(function):
            task = asyncio.create_task(function(asyncio.Event()))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        async def test_healthy():
            await cancel(services.load)

        async def test_leak():
            await cancel(services.leak)
        """,
    )
    assert run.found == ["SG101 test_leak"], run.text
    assert "boundary" not in run.findings[0].facts


def test_threads(run_suite: Any) -> None:
    """Each thread's calls are its own; a thread that a service leaves running is let be."""
    run = run_suite(
        """
        import threading
        from concurrent.futures import ThreadPoolExecutor

        def load(number):
            with factory() as session:
                session.scalar(text("SELECT 1"))
                return session.get(User, 1)

        def load_badly(number):
            with factory() as session:
                user = session.get(User, 1)
                session.commit()
                return user

        def load_all():
            with ThreadPoolExecutor(4) as pool:
                return list(pool.map(load, range(20)))
        """,
        """
        from concurrent.futures import ThreadPoolExecutor

        def test_healthy():
            with ThreadPoolExecutor(4) as pool:
                assert len(list(pool.map(services.load, range(40)))) == 40

        def test_within():
            assert len(services.load_all()) == 20

        def test_bad():
            with ThreadPoolExecutor(4) as pool:
                calls = [pool.submit(services.load, n) for n in range(20)]
                calls.append(pool.submit(services.load_badly, 1))
                for call in calls:
                    call.result()
        """,
    )
    assert run.found == ["SG302 test_bad"], run.text


def test_to_thread(run_suite: Any) -> None:
    """What an async service does in a thread, which carries its context, is its own."""
    run = run_suite(
        """
        from app.models import factory as sync_factory

        def _load():
            with sync_factory() as session:
                user = session.get(User, 1)
                session.commit()
                return user

        async def load_badly():
            return await asyncio.to_thread(_load)

        def load(session):
            return session.get(User, 1)

        async def load_well():
            async with factory() as session:
                return await session.run_sync(load)

        async def load_in_greenlet():
            async with factory() as session:
                user = await session.run_sync(load)
                await session.commit()
                return user
        """,
        """
        async def test_thread():
            await services.load_badly()

        async def test_healthy():
            assert (await services.load_well()).name

        async def test_greenlet():
            await services.load_in_greenlet()
        """,
    )
    assert run.found == ["SG302 test_greenlet", "SG302 test_thread"], run.text
