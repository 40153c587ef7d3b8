"""Loads and faults inside pydantic and FastAPI, which swallow them or make other things of them."""

# ruff: noqa: B018, SIM105 (to read an attribute and to swallow is the point)

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, List  # noqa: UP035 (what `from_attributes` reads at run time)

import pytest
from loads.conftest import line_of, name
from loads.zoo import Author, Employee
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, selectinload

from pytest_sessionguard import LazyLoadError, assert_no_lazy_load

pydantic = pytest.importorskip("pydantic")
fastapi = pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")
testclient = pytest.importorskip("fastapi.testclient")

pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


class PostOut(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(from_attributes=True)
    title: str


class AuthorOut(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(from_attributes=True)
    name: str
    posts: List[PostOut]  # noqa: UP006


class Staff(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(from_attributes=True)
    name: str
    budget: int


def detach(engine: Any, model: Any = Author, *options: Any) -> Any:
    with Session(engine) as session:
        return session.scalars(select(model).order_by(model.id).options(*options)).first()


def test_validation_error(watching: Any, engine: Any) -> None:
    """What pydantic makes a ValidationError of is found, at the line that validates."""
    author = detach(engine)
    try:
        AuthorOut.model_validate(author)  # read
    except pydantic.ValidationError as error:
        assert "DetachedInstanceError" in str(error)
    (finding,) = watching.end()
    assert "SG303 Author.posts relationship" == name(finding)
    assert line_of(finding).endswith("# read")
    assert line_of(finding, "loaded at").startswith("return session.scalars")


def test_validation_error_of_a_subclass(watching: Any, engine: Any) -> None:
    """So are unloaded columns of a polymorphic subclass."""
    manager = detach(engine, Employee)
    try:
        Staff.model_validate(manager)  # read
    except pydantic.ValidationError:
        pass
    (finding,) = watching.end()
    assert "SG303 Manager.budget subclass" == name(finding)
    assert line_of(finding).endswith("# read")


def test_validation_that_is_fine(watching: Any, engine: Any) -> None:
    """What was loaded is validated in peace."""
    author = detach(engine, Author, selectinload(Author.posts))
    with assert_no_lazy_load():
        assert 2 == len(AuthorOut.model_validate(author).posts)
    assert [] == watching.end()


def test_expected_validation_error(watching: Any, engine: Any) -> None:
    """Where a test expects the ValidationError, what stands in its text is expected too."""
    author = detach(engine)
    with pytest.raises(pydantic.ValidationError):
        AuthorOut.model_validate(author)
    assert [] == watching.end()


def test_block_around_a_validation(watching: Any, engine: Any) -> None:
    """The end of the block raises what pydantic swallowed."""
    author = detach(engine)
    with pytest.raises(LazyLoadError) as info, assert_no_lazy_load():
        AuthorOut.model_validate(author)  # read
    assert line_of(info.value.finding).endswith("# read")
    assert isinstance(info.value.__context__, pydantic.ValidationError)
    with Session(engine) as session:
        author = session.get(Author, 1)
        with pytest.raises(LazyLoadError) as info, assert_no_lazy_load():
            AuthorOut.model_validate(author)  # read
        assert line_of(info.value.finding).endswith("# read")


def make_app(engine: Any) -> Any:
    """An application whose response models read what its routes have not loaded."""
    app = fastapi.FastAPI()

    def get_session() -> Iterator[Session]:
        with Session(engine) as session:
            yield session

    @app.get("/detached", response_model=AuthorOut)
    def detached() -> Any:
        return detach(engine)

    @app.get("/lazy", response_model=AuthorOut)
    def lazy(session: Any = fastapi.Depends(get_session)) -> Any:
        return session.scalars(select(Author)).first()  # loaded

    @app.get("/eager", response_model=AuthorOut)
    def eager(session: Any = fastapi.Depends(get_session)) -> Any:
        return session.scalars(select(Author).options(selectinload(Author.posts))).first()

    @app.get("/broad")
    def broad() -> Any:
        try:
            return AuthorOut.model_validate(detach(engine))  # read
        except Exception:
            return {"name": "unknown"}

    return app


def make_async_app(engine: Any) -> Any:
    app = fastapi.FastAPI()

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(engine) as session:
            yield session

    @app.get("/lazy", response_model=AuthorOut)
    async def lazy(session: Any = fastapi.Depends(get_session)) -> Any:
        return (await session.scalars(select(Author))).first()  # loaded

    @app.get("/eager", response_model=AuthorOut)
    async def eager(session: Any = fastapi.Depends(get_session)) -> Any:
        query = select(Author).options(selectinload(Author.posts))
        return (await session.scalars(query)).first()

    return app


def ask(app: Any, path: str) -> Any:
    with testclient.TestClient(app, raise_server_exceptions=False) as client:
        return client.get(path)


def ask_in_loop(app: Any, path: str, *closing: Any) -> Any:
    async def run() -> Any:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            response = await client.get(path)  # asked
        for engine in closing:
            await engine.dispose()
        return response

    return asyncio.run(run())


@pytest.mark.parametrize("client", (ask, ask_in_loop), ids=lambda f: f.__name__)
def test_500_of_a_detached_object(client: Any, watching: Any, engine: Any) -> None:
    """A response model that fails with a 500 is found, with where its object was loaded."""
    assert 500 == client(make_app(engine), "/detached").status_code
    (finding,) = watching.end()
    assert "SG303 Author.posts relationship" == name(finding)
    assert line_of(finding, "loaded at").startswith("return session.scalars")
    assert finding.site.frames, "a place is told, be it FastAPI's"


@pytest.mark.parametrize("client", (ask, ask_in_loop), ids=lambda f: f.__name__)
def test_lazy_response_model(client: Any, watching: Any, engine: Any) -> None:
    """One that loads lazily, and well, is SG401."""
    assert 200 == client(make_app(engine), "/lazy").status_code
    (finding,) = watching.end()
    assert "SG401 Author.posts relationship" == name(finding)
    assert line_of(finding, "loaded at").endswith("# loaded")


@pytest.mark.parametrize("client", (ask, ask_in_loop), ids=lambda f: f.__name__)
@pytest.mark.parametrize("path", ("/lazy", "/detached"))
def test_block_around_a_request(client: Any, path: str, watching: Any, engine: Any) -> None:
    """The end of the block raises what the application turned into a 500."""
    with pytest.raises(LazyLoadError) as info, assert_no_lazy_load():
        assert 500 == client(make_app(engine), path).status_code
    assert "SG401 Author.posts relationship" == name(info.value.finding)


@pytest.mark.parametrize("client", (ask, ask_in_loop), ids=lambda f: f.__name__)
def test_eager_response_model(client: Any, watching: Any, engine: Any) -> None:
    """One whose route loads what it reads is fine."""
    with assert_no_lazy_load():
        assert 200 == client(make_app(engine), "/eager").status_code
    assert [] == watching.end()


@pytest.mark.parametrize("client", (ask, ask_in_loop), ids=lambda f: f.__name__)
def test_broad_except_in_a_route(client: Any, watching: Any, engine: Any) -> None:
    """One that a route swallows is found with the route's line."""
    assert {"name": "unknown"} == client(make_app(engine), "/broad").json()
    (finding,) = watching.end()
    assert "SG303 Author.posts relationship" == name(finding)
    assert line_of(finding).endswith("# read")


def test_async_response_model(watching: Any, async_engine: Any, collect: Any) -> None:
    """An async route's response model fails with MissingGreenlet, which is found."""
    assert 500 == ask_in_loop(make_async_app(async_engine), "/lazy", async_engine).status_code
    collect()
    (finding,) = [f for f in watching.end() if f.rule == "SG304"]
    assert "SG304 Author.posts relationship" == name(finding)
    assert line_of(finding, "loaded at").endswith("# loaded")


def test_async_eager_response_model(watching: Any, async_engine: Any) -> None:
    """One that loads in time does not."""
    with assert_no_lazy_load():
        assert 200 == ask_in_loop(make_async_app(async_engine), "/eager", async_engine).status_code
    assert [] == watching.end()


def test_block_around_an_async_request(watching: Any, async_engine: Any, collect: Any) -> None:
    """The block says it here, too."""
    with pytest.raises(LazyLoadError) as info, assert_no_lazy_load():
        ask_in_loop(make_async_app(async_engine), "/lazy", async_engine)
    assert "SG401 Author.posts relationship" == name(info.value.finding)
    assert line_of(info.value.finding, "loaded at").endswith("# loaded")
    collect()
    assert [] == [f for f in watching.end() if f.rule == "SG304"]
