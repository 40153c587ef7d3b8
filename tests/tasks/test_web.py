"""Background tasks and tasks of requests, run by the real Starlette and FastAPI."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import pytest
from loads.zoo import Author
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from tasks.conftest import line_of

fastapi = pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")
testclient = pytest.importorskip("fastapi.testclient")
applications = pytest.importorskip("starlette.applications")
background = pytest.importorskip("starlette.background")
from starlette.middleware.base import BaseHTTPMiddleware  # noqa: E402
from starlette.responses import JSONResponse  # noqa: E402
from starlette.routing import Route  # noqa: E402

pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning")]
ONE = select(Author.id).limit(1)


def ask(app: Any, path: str, *closing: Any) -> Any:
    with testclient.TestClient(app) as client:
        return client.get(path)


def ask_in_loop(app: Any, path: str, *closing: Any) -> Any:
    async def run() -> Any:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            response = await client.get(path)
        for task in list(_tasks):
            await task
        for engine in closing:
            await engine.dispose()
        return response

    return asyncio.run(run())


_tasks: set[Any] = set()
both = pytest.mark.parametrize("client", (ask, ask_in_loop), ids=lambda f: f.__name__)


# What runs when the response is out.


async def process(*things: Any) -> None:
    for thing in things:
        if isinstance(thing, AsyncSession):
            await thing.scalar(ONE)


def process_sync(*things: Any) -> None:
    for thing in things:
        if isinstance(thing, Session):
            thing.scalar(ONE)


def add_faults(app: Any, engine: Any, get_session: Any, work: Any) -> None:
    """Add a route for each way to give a session or an instance to `BackgroundTasks`."""
    depends = fastapi.Depends(get_session)

    @app.get("/session")
    async def session(tasks: fastapi.BackgroundTasks, session: Any = depends) -> Any:
        tasks.add_task(work, session)  # handed

    @app.get("/keyword")
    async def keyword(tasks: fastapi.BackgroundTasks, session: Any = depends) -> Any:
        def by_name(session: Any) -> None:
            assert session.is_active

        tasks.add_task(by_name, session=session)  # handed

    @app.get("/list")
    async def in_list(tasks: fastapi.BackgroundTasks, session: Any = depends) -> Any:
        tasks.add_task(print, [session])  # handed

    @app.get("/partial")
    async def in_partial(tasks: fastapi.BackgroundTasks, session: Any = depends) -> Any:
        tasks.add_task(partial(work, session))  # handed

    @app.get("/closure")
    async def in_closure(tasks: fastapi.BackgroundTasks, session: Any = depends) -> Any:
        async def run() -> None:
            if (working := work(session)) is not None:
                await working

        tasks.add_task(run)  # handed

    @app.get("/response")
    async def in_response(session: Any = depends) -> Any:
        task = background.BackgroundTask(work, session)  # handed
        return JSONResponse({}, background=task)


FAULTS = ("session", "keyword", "list", "partial", "closure", "response")


def make_app(async_engine: Any) -> Any:
    app = fastapi.FastAPI()

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(async_engine, expire_on_commit=False) as session:
            yield session

    depends = fastapi.Depends(get_session)
    add_faults(app, async_engine, get_session, process)

    @app.get("/instance")
    async def instance(tasks: fastapi.BackgroundTasks, session: Any = depends) -> Any:
        tasks.add_task(process, await session.get(Author, 1))  # handed

    @app.get("/both")
    async def session_too(tasks: fastapi.BackgroundTasks, session: Any = depends) -> Any:
        tasks.add_task(process, session, await session.get(Author, 1))  # handed

    class Repository:
        def __init__(self, session: Any) -> None:
            self.session = session

        async def read(self) -> None:
            await self.session.scalar(ONE)

        async def mail(self) -> None:
            pass

    @app.get("/method")
    async def method(tasks: fastapi.BackgroundTasks, session: Any = depends) -> Any:
        await session.scalar(ONE)
        await session.commit()
        tasks.add_task(Repository(session).read)  # handed

    @app.get("/mail")
    async def mail(tasks: fastapi.BackgroundTasks, session: Any = depends) -> Any:
        await session.scalar(ONE)
        tasks.add_task(Repository(session).mail)

    async def process_author(author_id: int) -> None:
        async with AsyncSession(async_engine) as session:
            assert await session.get(Author, author_id)

    @app.get("/id")
    async def by_id(tasks: fastapi.BackgroundTasks, session: Any = depends) -> Any:
        author = await session.get_one(Author, 1)
        tasks.add_task(process_author, author.id)
        return {"name": author.name}

    @app.get("/expunged")
    async def expunged(tasks: fastapi.BackgroundTasks, session: Any = depends) -> Any:
        author = await session.get_one(Author, 1)
        session.expunge(author)
        tasks.add_task(process, author)

    async def own(session: Any) -> None:
        async with session:
            await session.scalar(ONE)

    @app.get("/own")
    async def for_good(tasks: fastapi.BackgroundTasks) -> Any:
        session = AsyncSession(async_engine)
        await session.scalar(ONE)
        tasks.add_task(own, session)

    gate = asyncio.Event()

    async def later(*things: Any) -> None:
        await gate.wait()
        await process(*things)

    @app.get("/task")
    async def task(session: Any = depends) -> Any:
        await session.scalar(ONE)
        gate.clear()
        task = asyncio.create_task(later(session))  # handed
        asyncio.get_running_loop().call_later(0.05, gate.set)
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)

    @app.get("/task-by-id")
    async def task_by_id(session: Any = depends) -> Any:
        author = await session.get_one(Author, 1)
        task = asyncio.create_task(process_author(author.id))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)

    @app.get("/gather")
    async def gather(session: Any = depends) -> Any:
        await asyncio.gather(process(session))

    return app


@both
@pytest.mark.parametrize("path", FAULTS)
def test_session_in_the_background(
    path: str, client: Any, async_engine: Any, watching: Any, findings: Any
) -> None:
    """A session that is given to a background task is found, whichever way, and once."""
    assert 200 == client(make_app(async_engine), f"/{path}", async_engine).status_code
    (finding,) = findings()
    assert ("SG204", True) == (finding.rule, finding.facts["late"])
    assert line_of(finding).endswith("# handed")


@both
def test_instance_in_the_background(client: Any, async_engine: Any, findings: Any) -> None:
    """An instance is found by its own rule, also beside its session."""
    app = make_app(async_engine)
    assert 200 == client(app, "/instance", async_engine).status_code
    assert 200 == client(app, "/both", async_engine).status_code
    assert ["SG204", "SG305", "SG305"] == [finding.rule for finding in findings()]


@both
def test_method_in_the_background(client: Any, async_engine: Any, findings: Any) -> None:
    """An object that has the session counts where its method uses it."""
    app = make_app(async_engine)
    assert 200 == client(app, "/method", async_engine).status_code
    assert 200 == client(app, "/mail", async_engine).status_code
    (finding,) = findings()
    assert "SG204" == finding.rule
    assert "await self.session.scalar(ONE)" == line_of(finding, "used there")


@both
@pytest.mark.parametrize("path", ("id", "expunged", "own", "gather"))
def test_right_ways(path: str, client: Any, async_engine: Any, found: Any) -> None:
    """An id, what is detached, a session for good, and work in the request are none."""
    assert 200 == client(make_app(async_engine), f"/{path}", async_engine).status_code
    assert [] == found()


def test_task_of_a_request_by_id(async_engine: Any, found: Any) -> None:
    """A task that outlives the request, and got an id, is none."""
    assert 200 == ask_in_loop(make_app(async_engine), "/task-by-id", async_engine).status_code
    assert [] == found()


def test_task_of_a_request(async_engine: Any, findings: Any) -> None:
    """A task that outlives the request whose session it got is found."""
    assert 200 == ask_in_loop(make_app(async_engine), "/task", async_engine).status_code
    (finding,) = findings()
    assert ("SG204", False) == (finding.rule, finding.facts["late"])
    assert "task = asyncio.create_task(later(session))  # handed" == line_of(finding)
    assert "await thing.scalar(ONE)" == line_of(finding, "used again")
    assert line_of(finding, "closed").startswith("async with AsyncSession(async_engine")


# Sync sessions, in endpoints and dependencies that run in Starlette's threads.


def make_sync_app(engine: Any) -> Any:
    app = fastapi.FastAPI()

    def get_session() -> Iterator[Session]:
        with Session(engine) as session:
            yield session

    depends = fastapi.Depends(get_session)
    add_faults(app, engine, get_session, process_sync)

    @app.get("/endpoint")
    def endpoint(session: Any = depends) -> Any:
        return session.scalar(ONE)

    @app.get("/mixed")
    async def mixed(session: Any = depends) -> Any:
        return session.scalar(ONE)

    def process_author(author_id: int) -> None:
        with Session(engine) as session:
            assert session.get(Author, author_id)

    @app.get("/id")
    def by_id(tasks: fastapi.BackgroundTasks, session: Any = depends) -> Any:
        author = session.get(Author, 1)
        tasks.add_task(process_author, author.id)

    @app.get("/sync")
    def in_a_thread(tasks: fastapi.BackgroundTasks, session: Any = depends) -> Any:
        tasks.add_task(process_sync, session)  # handed

    @app.get("/thread")
    def thread(session: Any = depends) -> Any:
        session.scalar(ONE)
        thread = threading.Thread(target=later, args=(session,))
        thread.start()  # handed
        threads.append(thread)

    def later(session: Any) -> None:
        gate.wait(10)
        session.scalar(ONE)

    gate, threads = threading.Event(), []
    app.state.gate, app.state.threads = gate, threads
    return app


@both
@pytest.mark.parametrize("path", (*FAULTS, "sync"))
def test_sync_session_in_the_background(path: str, client: Any, engine: Any, findings: Any) -> None:
    """A sync session that is given to a background task is found, too."""
    assert 200 == client(make_sync_app(engine), f"/{path}").status_code
    (finding,) = findings()
    assert ("SG204", "Session") == (finding.rule, finding.facts["holder"])
    assert line_of(finding).endswith("# handed")


@both
@pytest.mark.parametrize("path", ("endpoint", "mixed", "id"))
def test_right_ways_of_sync_code(path: str, client: Any, engine: Any, found: Any) -> None:
    """FastAPI's own threads, for endpoints and dependencies, are none."""
    assert 200 == client(make_sync_app(engine), f"/{path}").status_code
    assert [] == found()


@both
def test_thread_of_a_request(client: Any, engine: Any, findings: Any) -> None:
    """A thread that outlives the request whose session it got is found."""
    app = make_sync_app(engine)
    assert 200 == client(app, "/thread").status_code
    app.state.gate.set()
    app.state.threads[0].join()
    (finding,) = findings()
    assert "SG204" == finding.rule
    assert "thread.start()  # handed" == line_of(finding)
    assert "session.scalar(ONE)" == line_of(finding, "used again")


@both
def test_one_session_for_all(client: Any, engine: Any, found: Any) -> None:
    """A test's own session behind an override, with a middleware and TestClient's thread."""
    app = fastapi.FastAPI()

    def get_session() -> Any:
        raise AssertionError

    @app.get("/read")
    def read(session: Any = fastapi.Depends(get_session)) -> Any:
        return session.scalar(ONE)

    @app.get("/close")
    async def close(session: Any = fastapi.Depends(get_session)) -> Any:
        session.close()

    class Middleware(BaseHTTPMiddleware):
        async def dispatch(self, request: Any, call_next: Any) -> Any:
            request.state.session = session
            return await call_next(request)

    app.add_middleware(Middleware)
    with Session(engine) as session:
        app.dependency_overrides[get_session] = lambda: session
        for path in ("/read", "/close", "/read"):
            assert 200 == client(app, path).status_code
    assert [] == found()


# Starlette alone.


@both
def test_starlette(client: Any, engine: Any, findings: Any) -> None:
    """Starlette's own `BackgroundTasks`, with tasks that were made one by one."""

    async def endpoint(request: Any) -> Any:
        with Session(engine) as session:
            author = session.get(Author, 1)
            tasks = background.BackgroundTasks(
                tasks=[
                    background.BackgroundTask(process_sync, author),  # handed one
                    background.BackgroundTask(print, author.id),
                ]
            )
            tasks.add_task(process_sync, session)  # handed two
            return JSONResponse({}, background=tasks)

    app = applications.Starlette(routes=[Route("/", endpoint)])
    assert 200 == client(app, "/").status_code
    first, second = findings()
    assert ("SG204", "SG305") == (first.rule, second.rule)
    assert line_of(first).endswith("# handed two")
    assert line_of(second).endswith("# handed one")


def test_a_task_that_is_called_by_hand(engine: Any, findings: Any) -> None:
    """A test that makes and calls a background task itself is told the same."""

    async def main() -> None:
        with Session(engine) as session:
            await background.BackgroundTask(process_sync, session)()  # handed

    asyncio.run(main())
    assert ["SG204"] == [finding.rule for finding in findings()]
