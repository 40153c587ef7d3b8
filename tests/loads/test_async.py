"""What only an AsyncSession has: `awaitable_attrs`, streams, refreshes that are awaited."""

# ruff: noqa: B018 (to read an attribute is the point)

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from loads.conftest import line_of, name
from loads.zoo import AUTHOR_BY, VERSION, Author, Employee, Manager, Post, Shelf
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker
from sqlalchemy.orm import joinedload, load_only, selectinload

from pytest_sessionguard import LazyLoadError, assert_no_lazy_load

has_awaitable_attrs = pytest.mark.skipif(VERSION < (2, 0, 13), reason="came with 2.0.13")


async def first(session: Any, model: Any, *options: Any) -> Any:
    query = select(model).order_by(model.id).options(*options)
    return (await session.scalars(query)).unique().first()


def drive(engine: Any, work: Callable[[Any], Awaitable[Any]], **arguments: Any) -> Any:
    async def run() -> Any:
        async with AsyncSession(engine, **arguments) as session:
            value = await work(session)
        await engine.dispose()
        return value

    return asyncio.run(run())


# What is read by `awaitable_attrs`, and whether that loads.
AWAITED = {
    "posts": True,
    "profile": True,
    "bio": True,
    "letters": True,
    "last_title": True,
    "length_of_bio": True,
    "about": True,
    "titles": True,
    "first_title": True,
    "name": False,
    "place": False,
}


@has_awaitable_attrs
@pytest.mark.parametrize("with_masks", [False, True], ids=["", "masks"])
@pytest.mark.parametrize("attribute", AWAITED)
def test_awaitable_attrs(
    attribute: str, with_masks: bool, watching: Any, async_engine: Any, statements: Any
) -> None:
    """What was awaited was asked for, whatever stands in front of the attribute."""
    if with_masks:  # another wrapper around the descriptors
        watching.guard.watch_masks()
    sent = statements(async_engine.sync_engine)

    async def work(session: Any) -> None:
        author = await first(session, Author)
        sent.clear()
        async with assert_no_lazy_load():
            await getattr(author.awaitable_attrs, attribute)

    drive(async_engine, work)
    assert AWAITED[attribute] is bool(sent)
    assert [] == [found for found in watching.found() if found.startswith("SG4")]


@has_awaitable_attrs
@pytest.mark.parametrize("attribute", ["name", "place", "nick", "shout", "id"])
def test_awaitable_attrs_of_an_expired_object(
    attribute: str, watching: Any, async_engine: Any
) -> None:
    """The same for what a commit has expired."""

    async def work(session: Any) -> None:
        author = await first(session, Author)
        await session.commit()
        async with assert_no_lazy_load():
            await getattr(author.awaitable_attrs, attribute)

    drive(async_engine, work)
    assert [] == watching.found()


@has_awaitable_attrs
def test_awaitable_attrs_of_a_subclass(watching: Any, async_engine: Any) -> None:
    """And for the columns of a subclass."""

    async def work(session: Any) -> None:
        manager = await first(session, Employee)
        assert isinstance(manager, Manager)
        async with assert_no_lazy_load():
            assert 1 == await manager.awaitable_attrs.budget

    drive(async_engine, work)
    assert [] == watching.found()


@has_awaitable_attrs
def test_what_is_read_behind_an_awaited_one(watching: Any, async_engine: Any) -> None:
    """What the awaited objects lack themselves was not asked for."""

    async def work(session: Any) -> None:
        author = await first(session, Author)
        with pytest.raises(LazyLoadError) as info:
            async with assert_no_lazy_load():
                posts = await author.awaitable_attrs.posts
                posts[0].tags  # read
        assert "SG401 Post.tags relationship" == name(info.value.finding)
        assert line_of(info.value.finding).endswith("# read")

    drive(async_engine, work)


def test_run_sync(watching: Any, async_engine: Any) -> None:
    """What a function reads that `run_sync` runs is read lazily, at the function's line."""

    async def work(session: Any) -> None:
        author = await first(session, Author)
        await session.run_sync(lambda _: author.posts)  # read

    drive(async_engine, work)
    (finding,) = watching.end()
    assert "SG401 Author.posts relationship" == name(finding)
    assert line_of(finding).endswith("# read")
    assert line_of(finding, "loaded at").startswith("return (await session.scalars")
    assert "AsyncSession opened at {}" in [place.text for place in finding.places]


ASKED: dict[str, Callable[[Any], Awaitable[Any]]] = {}


def asked(function: Any) -> Any:
    ASKED[function.__name__] = function
    return function


@asked
async def refresh(session):
    author = await first(session, Author)
    await session.commit()
    await session.refresh(author)
    return author.name


@asked
async def refresh_of_names(session):
    author = await first(session, Author)
    names = ["bio", "posts"] if VERSION >= (2, 0, 4) else ["bio"]
    await session.refresh(author, names)
    return author.bio, author.posts if "posts" in names else None


@asked
async def get(session):
    author = await session.get(Author, 1, options=[selectinload(Author.posts)])
    return author.posts


@asked
async def merge(session):
    author = await first(session, Author, selectinload(Author.posts))
    session.expunge_all()
    return (await session.merge(author)).name


@asked
async def stream_scalars(session):
    query = select(Author).options(selectinload(Author.posts))
    async for author in await session.stream_scalars(query):
        author.posts


@asked
async def stream_with_yield_per(session):
    query = select(Author).options(selectinload(Author.posts)).execution_options(yield_per=1)
    async for author in await session.stream_scalars(query):
        author.posts


@asked
async def stream(session):
    async for author, post in await session.stream(select(Author, Post).join(Author.posts)):
        author.name, post.title


@asked
async def eager(session):
    author = await first(session, Author, selectinload(Author.posts).joinedload(Post.tags))
    return [tag.word for post in author.posts for tag in post.tags]


@asked
async def mapped(session):
    for lazy in ("immediate", "joined", "subquery", "selectin"):
        (await first(session, AUTHOR_BY[lazy])).posts


@asked
async def write_only(session):
    shelf = await first(session, Shelf)
    assert 2 == len((await session.scalars(shelf.written.select())).all())


@asked
async def deletion(session):
    await session.delete(await first(session, Author))
    await session.flush()


@asked
async def new_objects(session):
    author = Author(name="new", posts=[Post(title="p")])
    session.add(author)
    await session.flush()
    await session.commit()


@asked
async def backref(session):
    author = await first(session, Author)
    session.add(Post(title="p", author=author))
    await session.commit()


@pytest.mark.parametrize("what", ASKED)
def test_asked_for(what: str, watching: Any, async_engine: Any) -> None:
    """None of these is a lazy load, nor a fault."""

    async def work(session: Any) -> None:
        async with assert_no_lazy_load():
            await ASKED[what](session)

    drive(async_engine, work)
    assert [] == watching.found()


def test_scoped_session(watching: Any, async_engine: Any) -> None:
    """An object of an `async_scoped_session` knows where it was loaded, too."""

    async def run() -> None:
        factory = async_sessionmaker(async_engine)
        registry = async_scoped_session(factory, asyncio.current_task)
        author = await first(registry, Author, load_only(Author.name))
        await registry.remove()
        with pytest.raises(LazyLoadError) as info, assert_no_lazy_load():
            author.born
        finding = info.value.finding
        assert ("Author.born", "column") == (finding.facts["attribute"], finding.facts["kind"])
        texts = [place.text for place in finding.places]
        assert "async_scoped_session opened at {}" in texts
        await async_engine.dispose()

    asyncio.run(run())


def test_many_at_once(watching: Any, async_engine: Any) -> None:
    """Of twenty tasks, each object knows its own session and its own query."""

    async def work(number: int) -> tuple[str, str]:
        source = f"async def load_{number}(session, first, model, options):\n"
        source += f"{chr(10) * number}    return await first(session, model, *options)\n"
        space: dict[str, Any] = {}
        exec(compile(source, f"/project/app_{number}.py", "exec"), space)
        options = [joinedload(Author.profile)] if number % 2 else [selectinload(Author.profile)]
        async with AsyncSession(async_engine) as session:
            author = await space[f"load_{number}"](session, first, Author, options)
            await asyncio.sleep(0)
            for _ in range(number % 4):
                await first(session, Post)
            await asyncio.sleep(0)
        with pytest.raises(LazyLoadError) as info:
            async with assert_no_lazy_load():
                author.profile.motto
                author.posts
        (place,) = [p for p in info.value.finding.places if p.label == "loaded at"]
        return str(place.site.frames[1]), f"/project/app_{number}.py:{number + 2} in load_{number}"

    async def run() -> None:
        for got, wanted in await asyncio.gather(*[work(number) for number in range(20)]):
            assert wanted == got
        await async_engine.dispose()

    asyncio.run(run())
