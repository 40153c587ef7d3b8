"""Sync FastAPI, plain Starlette and Flask-SQLAlchemy: their right ways, and one fault of each."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import pytest
from loads.conftest import line_of
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, selectinload, sessionmaker
from web.models import Author, AuthorOut, Base, Book

from pytest_sessionguard import DependencyError, assert_dependency_closes

fastapi = pytest.importorskip("fastapi")
testclient = pytest.importorskip("starlette.testclient")


def make_sync_app(engine: Any, fault: str = "") -> Any:
    """A FastAPI application whose dependencies and routes run in threads."""
    factory = sessionmaker(engine, expire_on_commit=False)
    app = fastapi.FastAPI()
    app.state.seen = []

    def get_session() -> Iterator[Session]:
        if fault == "dependency":
            session = factory()  # dependency
            yield session
            session.close()
        else:
            with factory() as session:
                yield session

    app.state.get_session = get_session

    @app.get("/authors/{number}", response_model=AuthorOut)
    def read_author(number: int, session: Any = fastapi.Depends(get_session)) -> Any:
        query = select(Author).where(Author.id == number)
        if fault != "response model":
            query = query.options(selectinload(Author.books))
        author = session.scalar(query)  # response model
        if author is None:
            raise fastapi.HTTPException(404)
        return author

    def count_later() -> None:
        with factory() as session:
            app.state.seen.append(len(session.scalars(select(Book)).all()))

    @app.post("/books", status_code=201)
    def add_book(
        tasks: fastapi.BackgroundTasks,  # type: ignore[name-defined]
        session: Any = fastapi.Depends(get_session),
    ) -> Any:
        book = Book(author_id=1, title="New")
        session.add(book)
        session.commit()
        tasks.add_task(count_later)
        return {"id": book.id}

    return app


def visit(app: Any) -> None:
    with testclient.TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/authors/1").json()["name"] == "Ada"
        assert client.get("/authors/9").status_code == 404
        assert client.post("/books").status_code == 201
        assert app.state.seen == [3]


@pytest.mark.parametrize("size", (1, 5))
def test_sync_fastapi(size: int, watching: Any, make_engine: Any) -> None:
    """Dependencies and background tasks in threads are no finding."""
    visit(make_sync_app(make_engine(size)))
    assert [] == watching.end()


def test_sync_dependency(watching: Any, make_engine: Any) -> None:
    """A sync dependency without `finally` is SG102, where a route has raised."""
    app = make_sync_app(make_engine(), "dependency")
    visit(app)
    (finding,) = watching.end()
    assert "SG102" == finding.rule
    assert line_of(finding, "held by").endswith("# dependency")


def test_sync_response_model(watching: Any, make_engine: Any) -> None:
    """A response model that loads lazily, and well, is SG401."""
    visit(make_sync_app(make_engine(), "response model"))
    (finding,) = watching.end()
    assert "SG401" == finding.rule
    assert line_of(finding, "loaded at").endswith("# response model")


def test_the_assertion_agrees(watching: Any, make_engine: Any) -> None:
    """What a request shows by luck, the assertion shows of the same dependency at once."""
    assert_dependency_closes(make_sync_app(make_engine(1)).state.get_session)
    faulty = make_sync_app(make_engine(1), "dependency").state.get_session
    with pytest.raises(DependencyError, match="in 3 ways of 4"):
        assert_dependency_closes(faulty)
    assert [] == watching.end()


def make_starlette_app(engine: Any, fault: str = "") -> Any:
    """A Starlette application with a middleware of the base class, and background tasks."""
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    factory = async_sessionmaker(engine, expire_on_commit=False)

    class SessionMiddleware(BaseHTTPMiddleware):
        """The request's session, as many a project hands it out."""

        async def dispatch(self, request: Any, call_next: Any) -> Any:
            if fault == "middleware":
                request.state.session = factory()  # middleware
                response = await call_next(request)
                await request.state.session.close()
                return response
            async with factory() as session:
                request.state.session = session
                return await call_next(request)

    async def count_later() -> None:
        async with factory() as session:
            app.state.seen.append(len((await session.scalars(select(Book))).all()))

    async def read_books(request: Any) -> Any:
        session: AsyncSession = request.state.session
        titles = list(await session.scalars(select(Book.title)))
        await session.commit()
        return JSONResponse(titles, background=BackgroundTask(count_later))

    async def fail(request: Any) -> Any:
        await request.state.session.scalars(select(Book.title))
        raise LookupError

    @asynccontextmanager
    async def lifespan(app: Any) -> Any:
        yield
        await engine.dispose()

    routes = [Route("/books", read_books), Route("/fail", fail)]
    app = Starlette(routes=routes, middleware=[Middleware(SessionMiddleware)], lifespan=lifespan)
    app.state.seen = []
    return app


def visit_starlette(app: Any) -> None:
    with testclient.TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/books").json() == ["Notes", "Letters"]
        assert client.get("/fail").status_code == 500
        assert app.state.seen == [2]


@pytest.mark.parametrize("size", (1, 5))
def test_starlette(size: int, watching: Any, make_async_engine: Any) -> None:
    """A session of a middleware, with a background task that makes its own, is no finding."""
    visit_starlette(make_starlette_app(make_async_engine(size)))
    assert [] == watching.end()


def test_starlette_middleware(watching: Any, make_async_engine: Any) -> None:
    """A middleware that closes below `call_next` loses the session of a request that fails."""
    visit_starlette(make_starlette_app(make_async_engine(), "middleware"))
    (finding,) = watching.end()
    assert "SG102" == finding.rule
    assert line_of(finding, "held by").endswith("# middleware")


def make_flask_app(database: str, size: int = 5) -> tuple[Any, Any]:
    """A Flask application with the sessions of Flask-SQLAlchemy."""
    flask = pytest.importorskip("flask")
    extension = pytest.importorskip("flask_sqlalchemy")
    app = flask.Flask("app")
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{database}"
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"pool_size": size, "max_overflow": 0}
    db = extension.SQLAlchemy(model_class=Base)
    db.init_app(app)

    @app.get("/authors/<int:number>")
    def read_author(number: int) -> Any:
        query = select(Author).options(selectinload(Author.books))
        author = db.session.scalar(query.where(Author.id == number))
        if author is None:
            flask.abort(404)
        return AuthorOut.model_validate(author).model_dump()

    @app.get("/leak")
    def leak() -> Any:
        session = Session(db.engine)
        return {"books": len(session.scalars(select(Book)).all())}  # leaks

    @app.get("/fail")
    def fail() -> Any:
        db.session.scalars(select(Author)).all()
        raise LookupError

    return app, db


@pytest.mark.parametrize("size", (1, 5))
def test_flask(size: int, watching: Any, database: str) -> None:
    """The sessions that Flask-SQLAlchemy removes with the application's context are none."""
    app, db = make_flask_app(database, size)

    def ask(_: int) -> list[int]:
        client = app.test_client()
        return [client.get(path).status_code for path in ("/authors/1", "/authors/9", "/fail")]

    with ThreadPoolExecutor(10) as pool:
        assert {(200, 404, 500)} == {tuple(codes) for codes in pool.map(ask, range(50))}
    with app.app_context():
        db.engine.dispose()
    assert [] == watching.end()


def test_flask_leak(watching: Any, database: str) -> None:
    """A session past the extension's registry, which nobody closes, is told."""
    app, db = make_flask_app(database)
    assert app.test_client().get("/leak").json == {"books": 2}
    (finding,) = watching.end()
    assert "SG102" == finding.rule
    assert line_of(finding).endswith("# leaks")
    with app.app_context():
        db.engine.dispose()


def test_flask_context_kept_open(watching: Any, database: str) -> None:
    """A context that a test keeps open keeps its session: told while it lasts, as a warning."""
    app, db = make_flask_app(database)
    context = app.app_context()
    context.push()
    db.session.scalars(select(Book)).all()
    (finding,) = watching.end()
    context.pop()
    assert "SG201" == finding.rule
    with app.app_context():
        db.engine.dispose()
