"""SG402: the same load at one place for several objects, once, with its line."""

# ruff: noqa: B018, C417 (to read an attribute is the point)

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from loads.conftest import Routing, line_of, name
from loads.zoo import VERSION, Author, Employee, Engineer, Manager, Node, Post, Tag
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, load_only, scoped_session, selectinload, sessionmaker

from pytest_sessionguard.model import Owner, Severity


def every(session: Any, model: Any, *options: Any) -> Any:
    return session.scalars(select(model).order_by(model.id).options(*options)).all()


def read_posts(author: Any) -> Any:
    return author.posts  # read


def read_through(author: Any) -> Any:
    return read_posts(author)


class Template:
    """A template as engines compile them, by another package."""

    def __init__(self, source: str, path: str) -> None:
        self.space: dict[str, Any] = {}
        exec(compile(source, path, "exec"), self.space)

    def render(self, *arguments: Any) -> Any:
        return self.space["root"](*arguments)  # read: the first frame that is no package's


NPLUS: dict[str, tuple[Callable[[Any], Any], str, int]] = {}


def finds(what: str, parents: int) -> Any:
    def enter(function: Any) -> Any:
        NPLUS[function.__name__] = (function, what, parents)
        return function

    return enter


@finds("Author.posts relationship", 3)
def loop(session):
    for author in every(session, Author):
        author.posts  # read


@finds("Author.posts relationship", 3)
def comprehension(session):
    return [len(author.posts) for author in every(session, Author)]  # read


@finds("Author.posts relationship", 3)
def generator(session):
    return sum(len(author.posts) for author in every(session, Author))  # read


@finds("Author.posts relationship", 3)
def mapped_lambda(session):
    return list(map(lambda author: author.posts, every(session, Author)))  # read


@finds("Author.posts relationship", 3)
def sort_key(session):
    return sorted(every(session, Author), key=lambda author: len(author.posts))  # read


@finds("Author.posts relationship", 3)
def helper(session):
    for author in every(session, Author):
        read_posts(author)


@finds("Author.posts relationship", 3)
def helper_of_a_helper(session):
    for author in every(session, Author):
        read_through(author)


@finds("Author.posts relationship", 3)
def while_loop(session):
    authors = list(every(session, Author))
    while authors:
        authors.pop().posts  # read


@finds("Author.posts relationship", 3)
def another_life(session):
    session.close()
    session.get(Author, 1)
    session.close()
    for author in every(session, Author):
        author.posts  # read


@finds("Post.author relationship", 2)
def many_to_one(session):
    for post in every(session, Post):  # four have two authors, one has none
        post.author  # read


@finds("Post.tags relationship", 5)
def many_to_many(session):
    for post in every(session, Post):
        post.tags  # read


@finds("Author.bio deferred", 3)
def deferred(session):
    return [author.bio for author in every(session, Author)]  # read


@finds("Author.born column", 3)
def left_out(session):
    return [author.born for author in every(session, Author, load_only(Author.name))]  # read


@finds("Manager.budget subclass", 2)
def joined_subclass(session):
    for employee in every(session, Employee):
        if isinstance(employee, Manager):
            employee.budget  # read


@finds("Engineer.language subclass", 2)
def single_subclass(session):
    for employee in every(session, Employee):
        if isinstance(employee, Engineer):
            employee.language  # read


@finds("Author.posts relationship", 3)
def association_proxy(session):
    return [list(author.titles) for author in every(session, Author)]  # read


@finds("Author.bio deferred", 2)
def hybrid(session):
    return [author.length_of_bio for author in every(session, Author)[:2]]


@finds("Author.posts relationship", 2)
def plain_property(session):
    return [author.first_title for author in every(session, Author)[:2]]


@finds("Author.posts relationship", 3)
def template(session):
    source = "def root(authors):\n    return [a.posts for a in authors]"
    return Template(source, "/venv/lib/python3/site-packages/jinja/t.py").render(
        every(session, Author)
    )


@finds("Tag.posts relationship", 2)
def inner_loop(session):
    for post in every(session, Post, selectinload(Post.tags)):
        for tag in post.tags:
            tag.posts  # read


@finds("Node.below relationship", 5)
def recursion(session):
    def walk(node):
        for below in node.below:  # read
            walk(below)

    walk(session.get(Node, 1))


@pytest.mark.parametrize("class_", (Session, Routing))
@pytest.mark.parametrize("key", NPLUS)
def test_found(key: str, class_: type[Session], watching: Any, engine: Any) -> None:
    """One finding for all, at the reading, with how many objects, and no SG401 beside it."""
    function, what, parents = NPLUS[key]
    with class_(engine) as session:
        function(session)
    findings = [f for f in watching.end() if f.rule == "SG402" or key != "recursion"]
    (finding,) = findings
    assert f"SG402 {what}" == name(finding)
    assert parents == finding.facts["parents"]
    assert parents == finding.facts["count"]
    assert "# read" in line_of(finding)
    assert finding.facts["asked"] is False


@pytest.mark.parametrize("key", NPLUS)
def test_found_in_run_sync(key: str, watching: Any, async_engine: Any) -> None:
    """The same in a function that an AsyncSession runs."""
    function, what, parents = NPLUS[key]

    async def run() -> None:
        async with AsyncSession(async_engine) as session:
            await session.run_sync(function)
        await async_engine.dispose()

    asyncio.run(run())
    (finding,) = [f for f in watching.end() if f.rule == "SG402"]
    assert f"SG402 {what}" == name(finding)
    assert parents == finding.facts["parents"]
    assert "# read" in line_of(finding)


def kept_since_they_were_made(session: Any) -> Any:
    kept = [Author(name="new one"), Author(name="new two")]
    session.add_all(kept)
    session.commit()
    new = session.scalars(select(Author).where(Author.name.like("new %")))
    return kept, [author.posts for author in new]


def kept_and_refreshed(session: Any) -> Any:
    kept = [Author(name="new one"), Author(name="new two")]
    session.add_all(kept)
    session.flush()
    for author in kept:
        session.refresh(author)
    return [author.posts for author in every(session, Author)]


def after_a_commit(session: Any) -> Any:
    authors = every(session, Author)
    session.commit()
    return [(author.name, author.posts) for author in authors]


def beside_a_deferred_column(session: Any) -> Any:
    return [(author.bio, author.posts) for author in every(session, Author)]


def through_another_relationship(session: Any) -> Any:
    posts = every(session, Post)
    return [post.author.posts for post in posts if post.author]


@pytest.mark.parametrize(
    "work",
    (
        kept_since_they_were_made,
        kept_and_refreshed,
        after_a_commit,
        beside_a_deferred_column,
        through_another_relationship,
    ),
)
def test_objects_that_were_loaded_one_by_one(work: Any, watching: Any, engine: Any) -> None:
    """However they came, one call reads the attribute of several."""
    with Session(engine) as session:
        work(session)
    found = [f for f in watching.end() if "SG402 Author.posts relationship" == name(f)]
    assert [True] == [f.facts["parents"] > 1 for f in found]


def read_one(session: Any, number: int) -> Any:
    return session.get(Author, number).posts  # read


def read_all(session: Any) -> Any:
    return [author.posts for author in every(session, Author)]  # read


def make_as_the_application(engine: Any, how: str = "Session(engine)") -> Any:
    space = {each.__name__: each for each in (AsyncSession, Routing, Session)}
    space |= {"scoped_session": scoped_session, "sessionmaker": sessionmaker}
    exec(compile(f"def make(engine): return {how}", "/project/app.py", "exec"), space)
    return space["make"](engine)


def make_in_a_registry(engine: Any) -> Any:
    return make_as_the_application(engine, "scoped_session(sessionmaker(engine))()")


def read_each(session: Any) -> None:
    for number in (1, 2, 3):
        read_one(session, number)


@pytest.mark.parametrize("class_", ("Session", "Routing"))
def test_a_query_for_each_object(class_: str, watching: Any, engine: Any) -> None:
    """In a session of the application it is the same fault."""
    with make_as_the_application(engine, f"{class_}(engine)") as session:
        read_each(session)
    (finding,) = watching.end()
    assert "SG402 Author.posts relationship" == name(finding)
    assert 3 == finding.facts["parents"] == finding.facts["count"]
    assert "# read" in line_of(finding)


def test_a_query_for_each_object_in_run_sync(watching: Any, async_engine: Any) -> None:
    """The same in a function that an AsyncSession runs."""

    async def run() -> None:
        async with make_as_the_application(async_engine, "AsyncSession(engine)") as session:
            await session.run_sync(read_each)
        await async_engine.dispose()

    asyncio.run(run())
    (finding,) = [f for f in watching.end() if f.rule == "SG402"]
    assert "SG402 Author.posts relationship" == name(finding)
    assert 3 == finding.facts["parents"]


@pytest.mark.parametrize("make", (Session, make_in_a_registry))
def test_requests_that_share_a_session(make: Any, watching: Any, engine: Any) -> None:
    """Each has a session of its own in production, so one object each is no N+1."""
    with make(engine) as session:
        for number in (1, 2, 3):
            read_one(session, number)
    assert {"SG401"} == {finding.rule for finding in watching.end()}


def test_requests_that_share_a_session_of_a_fixture(watching: Any, engine: Any) -> None:
    """Also where the fixture let the application make it."""
    watching.guard.start_fixture("key", Owner("fixture", "fixture `session`"), {})
    session = make_as_the_application(engine)
    watching.guard.leave_fixture("key", ready=True)
    with session:
        for number in (1, 2, 3):
            read_one(session, number)
    assert {"SG401"} == {finding.rule for finding in watching.end()}


@pytest.mark.parametrize("make", (Session, make_in_a_registry))
def test_requests_that_make_objects(make: Any, watching: Any, engine: Any) -> None:
    """Nor is what each of them has made, and reads before it commits."""
    with make(engine) as session:
        for _ in range(3):
            author = Author(name="new")
            session.add(author)
            session.flush()
            author.posts
    assert {"SG401"} == {finding.rule for finding in watching.end()}


@pytest.mark.parametrize("make", (Session, make_in_a_registry))
def test_one_of_the_requests_that_share_a_session(make: Any, watching: Any, engine: Any) -> None:
    """What one of them reads of many objects stays one, beside those of the others."""
    with make(engine) as session:
        for number in (1, 2, 3):
            read_one(session, number)
            session.expunge_all()
        for _ in range(2):
            read_all(session)
            session.expunge_all()
    (finding,) = [f for f in watching.end() if f.rule == "SG402"]
    assert "SG402 Author.posts relationship" == name(finding)
    assert (3, 6) == (finding.facts["parents"], finding.facts["count"])
    assert "every(session, Author)]" in line_of(finding)


NONE: dict[str, Callable[[Any], Any]] = {}


def silent(function: Any) -> Any:
    NONE[function.__name__] = function
    return function


@silent
def one_object(engine):
    with Session(engine) as session:
        for author in every(session, Author)[:1]:
            author.posts


@silent
def one_object_twice(engine):
    with Session(engine) as session:
        for _ in range(3):
            author = session.get(Author, 1)
            author.posts
            session.expire(author, ["posts"])


@silent
def two_sessions(engine):
    for number in (1, 2):
        with Session(engine) as session:
            session.get(Author, number).posts


@silent
def one_session_twice_opened(engine):
    def work(number):
        with Session(engine) as session:
            return len(session.get(Author, number).posts)

    assert [work(number) for number in (1, 2, 3)] == [2, 2, 0]


@silent
def lives_of_one_session(engine):
    session = Session(engine)
    for number in (1, 2, 3):
        session.get(Author, number).posts
        session.close()


@silent
def lives_of_the_session_of_a_registry(engine):
    registry = scoped_session(sessionmaker(engine))
    for number in (1, 2, 3):
        with registry() as session:
            session.get(Author, number).posts
    registry.remove()


@silent
def two_places(engine):
    with Session(engine) as session:
        one, two, three = every(session, Author)
        one.posts
        two.posts
        three.posts


@silent
def two_calls_of_a_helper(engine):
    with Session(engine) as session:
        one, two, _ = every(session, Author)
        read_posts(one)
        read_posts(two)


@silent
def two_attributes(engine):
    with Session(engine) as session:
        author = every(session, Author)[0]
        for attribute in ("posts", "profile", "bio"):
            getattr(author, attribute)


@silent
def expired_columns(engine):
    with Session(engine) as session:
        authors = every(session, Author)
        session.commit()
        assert [author.name for author in authors] == ["ada", "bob", "cyd"]


@silent
def expired_with_their_relationships(engine):
    with Session(engine) as session:
        authors = every(session, Author, selectinload(Author.posts))
        session.commit()
        assert [len(author.posts) for author in authors] == [2, 2, 0]


@silent
def eager(engine):
    with Session(engine) as session:
        for author in every(session, Author, selectinload(Author.posts)):
            author.posts


@silent
def in_the_identity_map(engine):
    with Session(engine) as session:
        authors = every(session, Author)
        assert {post.author for post in every(session, Post)} == {None, *authors[:2]}


@silent
def refreshed(engine):
    with Session(engine) as session:
        for author in every(session, Author):
            session.refresh(author, ["bio"])
            author.bio


@silent
def new_objects(engine):
    with Session(engine) as session:
        for _ in range(3):
            author = Author(name="new")
            session.add(author)
            author.posts.append(Post(title="p", tags=[Tag(word="w")]))
            session.flush()


@pytest.mark.parametrize("key", NONE)
def test_silent(key: str, watching: Any, engine: Any) -> None:
    """What is no N+1."""
    NONE[key](engine)
    assert [] == [f for f in watching.end() if f.rule == "SG402"]


@pytest.mark.skipif(VERSION < (2, 0, 13), reason="awaitable_attrs came with 2.0.13")
def test_awaitable_attrs_in_a_loop(watching: Any, async_engine: Any) -> None:
    """What is awaited one by one is N+1 too, though each was asked for."""

    async def run() -> None:
        async with AsyncSession(async_engine) as session:
            for author in (await session.scalars(select(Author))).all():
                await author.awaitable_attrs.posts  # read
        await async_engine.dispose()

    asyncio.run(run())
    (finding,) = watching.end()
    assert "SG402 Author.posts relationship" == name(finding)
    assert (3, True) == (finding.facts["parents"], finding.facts["asked"])
    assert line_of(finding).endswith("# read")


@pytest.mark.skipif(VERSION < (2, 0, 13), reason="awaitable_attrs came with 2.0.13")
def test_awaitable_attrs_once(watching: Any, async_engine: Any) -> None:
    """What is awaited for one object is none."""

    async def run() -> None:
        async with AsyncSession(async_engine) as session:
            author = await session.get(Author, 1)
            await author.awaitable_attrs.posts
            await author.awaitable_attrs.bio
        await async_engine.dispose()

    asyncio.run(run())
    assert [] == watching.end()


def test_run_sync_in_a_loop(watching: Any, async_engine: Any) -> None:
    """So is what `run_sync` reads one by one, at the lambda's line."""

    async def run() -> None:
        async with AsyncSession(async_engine) as session:
            for author in (await session.scalars(select(Author))).all():
                await session.run_sync(lambda _, author=author: author.posts)  # read
        await async_engine.dispose()

    asyncio.run(run())
    (finding,) = watching.end()
    assert "SG402 Author.posts relationship" == name(finding)
    assert (3, False) == (finding.facts["parents"], finding.facts["asked"])
    assert line_of(finding).endswith("# read")


def test_gathered_sessions(watching: Any, async_engine: Any) -> None:
    """Each task with a session of its own and one object is no N+1."""

    async def work(number: int) -> None:
        async with AsyncSession(async_engine) as session:
            author = await session.get(Author, number)
            await session.run_sync(lambda _: author.posts)

    async def run() -> None:
        await asyncio.gather(*[work(number) for number in (1, 2, 3)])
        await async_engine.dispose()

    asyncio.run(run())
    assert [] == [f for f in watching.end() if f.rule == "SG402"]


def test_severities(watching: Any, engine: Any) -> None:
    """SG402 is a warning by default, and SG401 off; who sets SG402 off hears of neither."""

    def work() -> None:
        with Session(engine) as session:
            loop(session)

    work()
    watching.begin({"SG402": Severity.WARN})
    work()
    assert [("SG402", Severity.WARN)] == [(f.rule, f.severity) for f in watching.end()]
    watching.begin({"SG402": Severity.OFF})
    work()
    assert [] == watching.end()
