"""What can be handed over: a session or an instance, wherever it is kept; and what is none."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections import OrderedDict, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple
from unittest import mock

import pytest
from loads.zoo import Author
from sqlalchemy import select
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
)
from sqlalchemy.orm import Session, make_transient, scoped_session, sessionmaker
from tasks.conftest import line_of

ONE = select(Author.id).limit(1)


async def wait(gate: Any, *args: Any, **kwargs: Any) -> None:
    await gate.wait()


@dataclass
class Context:
    session: Any


class Slots:
    __slots__ = ("session",)

    def __init__(self, session: Any) -> None:
        self.session = session


class Repository:
    def __init__(self, session: Any) -> None:
        self.session = session

    async def read(self, gate: Any) -> None:
        await gate.wait()
        await self.session.scalar(ONE)

    async def mail(self, gate: Any) -> None:
        await gate.wait()


class SlowSession(AsyncSession):
    async def read(self, gate: Any) -> None:
        await gate.wait()


class Pair(NamedTuple):
    gate: Any
    thing: Any


DIRECT = {
    "argument": wait,
    "keyword": lambda gate, thing: wait(gate, thing=thing),
    "list": lambda gate, thing: wait(gate, [1, thing]),
    "tuple": lambda gate, thing: wait(gate, (1, thing)),
    "named tuple": lambda gate, thing: wait(gate, Pair(gate, thing)),
    "set": lambda gate, thing: wait(gate, {thing}),
    "deque": lambda gate, thing: wait(gate, deque([thing])),
    "dict": lambda gate, thing: wait(gate, {"a": 1, "b": thing}),
    "ordered dict": lambda gate, thing: wait(gate, OrderedDict(a=thing)),
    "list in a dict": lambda gate, thing: wait(gate, {"a": [thing]}),
    "partial": lambda gate, thing: wait(gate, partial(print, thing)),
    "keyword of a partial": lambda gate, thing: wait(gate, partial(print, end=thing)),
    "coroutine": lambda gate, thing: asyncio.wait_for(wait(gate, thing), 5),
    "coroutine twice": lambda gate, thing: asyncio.wait_for(
        asyncio.wait_for(wait(gate, thing), 5), 5
    ),
}


@pytest.mark.parametrize("kind", ("session", "instance"))
@pytest.mark.parametrize("form", DIRECT)
def test_direct(form: str, kind: str, async_engine: Any, findings: Any) -> None:
    """A thing that is handed over as it is, or in a container of some kind, is found."""

    async def main() -> None:
        gate = asyncio.Event()
        async with AsyncSession(async_engine) as session:
            author = await session.get(Author, 1)
            thing = session if kind == "session" else author
            task = asyncio.create_task(DIRECT[form](gate, thing))  # handed
        gate.set()
        await task
        await async_engine.dispose()

    asyncio.run(main())
    (finding,) = findings()
    assert {"session": "SG204", "instance": "SG305"}[kind] == finding.rule
    assert line_of(finding).endswith("# handed")


def test_instance_in_a_closure(async_engine: Any, findings: Any) -> None:
    """An instance that a closure holds is detached when the work comes to it."""

    async def main() -> None:
        gate = asyncio.Event()
        async with AsyncSession(async_engine) as session:
            author = await session.get(Author, 1)

            async def run() -> None:
                await gate.wait()
                print(author)

            task = asyncio.create_task(run())  # handed
        gate.set()
        await task

    asyncio.run(main())
    (finding,) = findings()
    assert ("SG305", True) == (finding.rule, line_of(finding).endswith("# handed"))


@pytest.mark.parametrize("does", ("begins it again", "names it"))
def test_session_in_a_closure(does: str, async_engine: Any, findings: Any) -> None:
    """A session that a closure holds counts where the work has begun it again after its end."""

    async def main() -> None:
        gate = asyncio.Event()
        async with AsyncSession(async_engine) as session:
            await session.get(Author, 1)

            async def run() -> None:
                await gate.wait()
                if does == "names it":
                    session.info.pop("files", None)
                else:
                    await session.get(Author, 1)
                    await session.close()

            task = asyncio.create_task(run())  # handed
        gate.set()
        await task

    asyncio.run(main())
    expected = {"begins it again": ["SG204"], "names it": []}[does]
    assert expected == [finding.rule for finding in findings()]


def test_double_of_a_state(async_engine: Any, findings: Any) -> None:
    """An object whose state a test has replaced is none that anybody can judge."""

    async def main() -> None:
        author = Author()
        author._sa_instance_state = mock.MagicMock(unloaded={"name"})
        assert author.name is None
        gate = asyncio.Event()
        gate.set()
        await asyncio.create_task(wait(gate, author))

    asyncio.run(main())
    assert findings() == []


def test_session_in_a_session_class(async_engine: Any, findings: Any) -> None:
    """A method of the session's own class is handed the session as its `self`."""

    async def main() -> None:
        gate = asyncio.Event()
        async with SlowSession(async_engine) as session:
            task = asyncio.create_task(session.read(gate))  # handed
        gate.set()
        await task

    asyncio.run(main())
    assert ["SG204"] == [finding.rule for finding in findings()]


def test_bound_method_in_a_thread(engine: Any, findings: Any) -> None:
    """So is a bound method that a thread runs."""

    class Slow(Session):
        def read(self, gate: Any) -> None:
            gate.wait(10)

    gate = threading.Event()
    with ThreadPoolExecutor() as pool:
        with Slow(engine) as session:
            pool.submit(session.read, gate)  # handed
        gate.set()
    (finding,) = findings()
    assert ("SG204", "pool.submit(session.read, gate)  # handed") == (
        finding.rule,
        line_of(finding),
    )


def test_closure_in_a_thread(engine: Any, findings: Any) -> None:
    """A thread's function that has the session in its closure, and begins it again, is found."""
    gate = threading.Event()
    with Session(engine) as session:
        thread = threading.Thread(target=lambda: (gate.wait(10), session.get(Author, 1)))
        thread.start()  # handed
    gate.set()
    thread.join()
    (finding,) = findings()
    assert ("SG204", "thread.start()  # handed") == (finding.rule, line_of(finding))


def test_several_at_one_place(async_engine: Any, findings: Any) -> None:
    """Three sessions that are handed over at one place are one finding, and count three."""

    async def main() -> None:
        gate, tasks = asyncio.Event(), []
        for _ in range(3):
            async with AsyncSession(async_engine) as session:
                tasks += [asyncio.create_task(wait(gate, session))]
        gate.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    (finding,) = findings()
    assert ("SG204", 3) == (finding.rule, finding.facts["count"])


def test_session_and_instance(async_engine: Any, findings: Any) -> None:
    """A session and its instance in one call are two rules' findings, each with its mend."""

    async def main() -> None:
        gate = asyncio.Event()
        async with AsyncSession(async_engine) as session:
            author = await session.get(Author, 1)
            task = asyncio.create_task(wait(gate, session, author))
        gate.set()
        await task
        await async_engine.dispose()

    asyncio.run(main())
    assert ["SG204", "SG305"] == [finding.rule for finding in findings()]


# What only has a session counts when the work begins it again.

INDIRECT = {
    "method": lambda gate, session: Repository(session).read(gate),
    "data class": lambda gate, session: read(Context(session), gate),
    "slots": lambda gate, session: read(Slots(session), gate),
}


async def read(context: Any, gate: Any) -> None:
    await gate.wait()
    await context.session.scalar(ONE)


@pytest.mark.parametrize("form", INDIRECT)
def test_indirect(form: str, async_engine: Any, findings: Any) -> None:
    """An object that has a session, which the task uses after its end, is found."""

    async def main() -> None:
        gate = asyncio.Event()
        async with AsyncSession(async_engine) as session:
            await session.scalar(ONE)
            task = asyncio.create_task(INDIRECT[form](gate, session))  # handed
        gate.set()
        await task
        await async_engine.dispose()

    asyncio.run(main())
    (finding,) = findings()
    assert "SG204" == finding.rule
    assert line_of(finding).endswith("# handed")
    assert "scalar(ONE)" in line_of(finding, "used again")


@pytest.mark.parametrize("form", ("mail", "data class"))
def test_indirect_and_never_used(form: str, async_engine: Any, found: Any) -> None:
    """An object that has a session, which the task does not touch, is none."""

    async def main() -> None:
        gate = asyncio.Event()
        async with AsyncSession(async_engine) as session:
            await session.scalar(ONE)
            repository = Repository(session)
            work = repository.mail(gate) if form == "mail" else wait(gate, Context(session))
            task = asyncio.create_task(work)
        gate.set()
        await task
        await async_engine.dispose()

    asyncio.run(main())
    assert [] == found()


# Registries.


def test_scoped_session_of_one_scope(engine: Any, findings: Any) -> None:
    """A registry whose scope is the same in the thread gives it the session that was closed."""
    registry = scoped_session(sessionmaker(engine), scopefunc=lambda: "request")
    gate = threading.Event()

    def work(registry: Any) -> None:
        gate.wait(10)
        registry.scalar(ONE)

    registry.scalar(ONE)
    thread = threading.Thread(target=work, args=(registry,))
    thread.start()  # handed
    registry.close()
    gate.set()
    thread.join()
    (finding,) = findings()
    assert ("SG204", "thread.start()  # handed") == (finding.rule, line_of(finding))
    assert "scoped_session" == finding.facts["holder"]
    registry.remove()


def test_scoped_session_of_the_thread(engine: Any, found: Any) -> None:
    """A registry of threads gives the thread a session of its own: none."""
    registry = scoped_session(sessionmaker(engine))
    gate = threading.Event()

    def work(registry: Any) -> None:
        gate.wait(10)
        registry.scalar(ONE)
        registry.remove()

    registry.scalar(ONE)
    thread = threading.Thread(target=work, args=(registry,))
    thread.start()
    registry.remove()
    gate.set()
    thread.join()
    assert [] == found()


@pytest.mark.parametrize("is_shared", (True, False), ids=("shared", "own"))
def test_async_scoped_session(is_shared: bool, async_engine: Any, found: Any) -> None:
    """The same for async registries: one scope for both is found, a task's own is not."""

    async def work(registry: Any, gate: Any) -> None:
        await gate.wait()
        await registry.scalar(ONE)
        if not is_shared:
            await registry.remove()

    async def main() -> None:
        scope = (lambda: "request") if is_shared else asyncio.current_task
        registry = async_scoped_session(async_sessionmaker(async_engine), scopefunc=scope)
        gate = asyncio.Event()
        await registry.scalar(ONE)
        task = asyncio.create_task(work(registry, gate))  # handed
        await registry.close()
        gate.set()
        await task
        await registry.remove()
        await async_engine.dispose()

    asyncio.run(main())
    handed = "SG204 task = asyncio.create_task(work(registry, gate))  # handed"
    assert ([handed] if is_shared else []) == found()


def test_registry_whose_scope_fails(engine: Any, watching: Any, found: Any) -> None:
    """A registry that has no scope here is passed over."""

    def scope() -> Any:
        raise LookupError("no request")

    registry = scoped_session(sessionmaker(engine), scopefunc=scope)
    thread = threading.Thread(target=print, args=(registry,), daemon=True)
    with mock.patch("builtins.print"):
        thread.start()
        thread.join()
    assert [] == found()


# Instances that are none of a session's.


@pytest.mark.parametrize(
    "state",
    ("transient", "expunged", "closed before", "made transient", "detached", "expunged later"),
)
def test_instance_without_a_session(state: str, async_engine: Any, found: Any) -> None:
    """An instance that belongs to no session when it is handed over, or when that ends, is none."""

    async def main() -> None:
        gate = asyncio.Event()
        async with AsyncSession(async_engine) as session:
            author = await session.get(Author, 1)
            if state == "detached":
                async with AsyncSession(async_engine) as other:
                    author = await other.get(Author, 2)
            if state == "transient":
                author = Author(name="new")
            if state == "expunged":
                session.expunge(author)
            if state == "made transient":
                make_transient(author)
            if state == "closed before":
                await session.close()
            task = asyncio.create_task(wait(gate, author))
            if state == "expunged later":
                session.expunge(author)
        gate.set()
        await task
        await async_engine.dispose()

    asyncio.run(main())
    assert [] == found()


def test_instance_that_is_pending(async_engine: Any, findings: Any) -> None:
    """An instance that waits to be flushed belongs to its session."""

    async def main() -> None:
        gate = asyncio.Event()
        async with AsyncSession(async_engine) as session:
            author = Author(name="new")
            session.add(author)
            task = asyncio.create_task(wait(gate, author))
        gate.set()
        await task

    asyncio.run(main())
    (finding,) = findings()
    assert ("SG305", "Author") == (finding.rule, finding.facts["models"])


def test_session_that_was_closed_before(async_engine: Any, found: Any) -> None:
    """A session that was closed before it is handed over is for the task to use again."""

    async def work(session: Any) -> None:
        await session.scalar(ONE)
        await session.close()

    async def main() -> None:
        session = AsyncSession(async_engine)
        await session.scalar(ONE)
        await session.close()
        task = asyncio.create_task(work(session))
        await task
        await async_engine.dispose()

    asyncio.run(main())
    assert [] == found()


# Things that must not be touched, or cost nothing.


class Prickly:
    """What runs code of the user's at every touch."""

    @property
    def __class__(self) -> Any:
        raise ZeroDivisionError

    def __getattribute__(self, name: str) -> Any:
        raise ZeroDivisionError(name)

    def __bool__(self) -> bool:
        raise ZeroDivisionError

    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError

    __hash__ = None  # type: ignore[assignment]


class PricklyDict(dict):  # type: ignore[type-arg]
    def values(self) -> Any:
        raise ZeroDivisionError

    def __iter__(self) -> Any:
        raise ZeroDivisionError


def test_things_that_are_left_alone(watching: Any, found: Any) -> None:
    """No code of the user's runs, nothing is used up, and doubles are no sessions."""
    drawn: list[int] = []
    numbers = (drawn.append(number) for number in range(5))
    things = [
        Prickly(),
        [Prickly()],
        PricklyDict(a=1),
        numbers,
        map(print, [1]),
        mock.Mock(spec=AsyncSession),
        mock.create_autospec(Session, instance=True),
        mock.MagicMock(),
        Session,
        object(),
    ]

    async def main() -> None:
        gate = asyncio.Event()
        gate.set()
        for thing in things:
            await asyncio.create_task(wait(gate, thing))

    asyncio.run(main())
    thread = threading.Thread(target=lambda *args: None, args=tuple(things))
    thread.start()
    thread.join()
    assert [] == drawn
    assert [] == found()


def test_large_containers(watching: Any) -> None:
    """A large container costs no more than a small one: only its first things are looked at."""
    small, large = [list(range(10))], [list(range(10**6)), {n: [n] * 9 for n in range(10**5)}]

    async def measure(things: Any) -> float:
        gate, best = asyncio.Event(), 1.0
        gate.set()
        for _ in range(20):
            began = time.perf_counter()
            task = asyncio.create_task(wait(gate, things))
            best = min(best, time.perf_counter() - began)
            await task
        return best

    assert asyncio.run(measure(large)) < asyncio.run(measure(small)) + 0.001


def test_nothing_is_held(async_engine: Any, watching: Any, collect: Any) -> None:
    """A hand-over holds neither the session nor the task, nor what the task lets go of."""
    gone = []

    async def work(session: Any, thing: Any) -> None:
        reference = weakref.ref(thing)
        del thing
        gone.append(reference() is None)
        await asyncio.sleep(0)

    async def main() -> list[Any]:
        session = AsyncSession(async_engine)
        task = asyncio.create_task(work(session, Thing()))
        await task
        return [weakref.ref(session), weakref.ref(session.sync_session), weakref.ref(task)]

    references = asyncio.run(main())
    collect()
    assert [True] == gone
    assert [None] * 3 == [reference() for reference in references]


class Thing:
    """What can be referred to."""
