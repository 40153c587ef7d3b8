"""SG303 and SG304: exceptions that say a session is missing, also where they were swallowed."""

# ruff: noqa: B018, SIM105 (to read an attribute and to swallow is the point)

from __future__ import annotations

import asyncio
import contextlib
import pickle
import sys
import unittest
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import sqlalchemy
from loads.conftest import Routing, line_of, name
from loads.zoo import Author, LiveShelf, Manager, Post
from sqlalchemy import event, select, text
from sqlalchemy.exc import MissingGreenlet, StatementError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, selectinload
from sqlalchemy.orm.exc import DetachedInstanceError

with warnings.catch_warnings():
    warnings.simplefilter("ignore", SyntaxWarning)
    from loads.swallowing import swallowed_by_finally

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup

pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]
FAULTS = (DetachedInstanceError, MissingGreenlet, StatementError)


def detach(engine: Any, model: Any = Author, *options: Any, commit: bool = False) -> Any:
    with Session(engine) as session:
        thing = session.scalars(select(model).order_by(model.id).options(*options)).first()
        if commit:
            session.commit()
    return thing


# Ways to swallow.


def bare_except(author: Any) -> None:
    try:
        author.posts  # read
    except:  # noqa: E722
        pass


def broad_except(author: Any) -> None:
    try:
        author.posts  # read
    except Exception:
        pass


def suppress(author: Any) -> None:
    with contextlib.suppress(DetachedInstanceError):
        author.posts  # read


def turned_into_another(author: Any) -> None:
    try:
        try:
            author.posts  # read
        except DetachedInstanceError as error:
            raise LookupError("no posts") from error
    except LookupError:
        pass


def in_a_thread(author: Any) -> None:
    import threading

    thread = threading.Thread(target=bare_except, args=(author,))
    thread.start()
    thread.join()


def in_a_group(author: Any) -> None:
    async def work() -> Any:
        return author.posts  # read

    async def run() -> None:
        assert isinstance((await asyncio.gather(work(), return_exceptions=True))[0], Exception)

    asyncio.run(run())


SWALLOWERS = (
    bare_except,
    broad_except,
    suppress,
    swallowed_by_finally,
    turned_into_another,
    in_a_thread,
    in_a_group,
)


@pytest.mark.parametrize("swallow", SWALLOWERS, ids=lambda f: f.__name__)
def test_swallowed(swallow: Callable[[Any], None], watching: Any, engine: Any) -> None:
    """It is found with its attribute, its line, its query and its session."""
    swallow(detach(engine))
    (finding,) = watching.end()
    assert "SG303 Author.posts relationship" == name(finding)
    assert line_of(finding).endswith("# read")
    assert "session.scalars(select(model)" in line_of(finding, "loaded at")
    assert (
        line_of(finding, "session")
        == line_of(finding, "closed")
        == ("with Session(engine) as session:")
    )


DETACHED = {
    "relationship": (lambda e: detach(e).posts, "Author.posts relationship"),
    "deferred": (lambda e: detach(e).bio, "Author.bio deferred"),
    "expired": (lambda e: detach(e, commit=True).name, "Author.name expired"),
    "expired relationship": (
        lambda e: detach(e, Author, selectinload(Author.posts), commit=True).posts,
        "Author.posts expired",
    ),
    "many to one": (lambda e: detach(e, Post).author, "Post.author relationship"),
    "synonym": (lambda e: detach(e).about, "Author.bio deferred"),
    "hybrid": (lambda e: detach(e).length_of_bio, "Author.bio deferred"),
    "proxy": (lambda e: list(detach(e).titles), "Author.posts relationship"),
    "subclass": (lambda e: detach(e, Manager).plan, "Manager.plan deferred"),
    "append": (lambda e: detach(e).posts.append(Post()), "Author.posts relationship"),
    "set": (lambda e: setattr(detach(e), "posts", []), "Author.posts relationship"),
    "repr": (lambda e: repr(detach(e).posts), "Author.posts relationship"),
}


@pytest.mark.parametrize("what", DETACHED)
def test_detached(what: str, watching: Any, engine: Any) -> None:
    """Whatever was read, the attribute and what it lacked are told, in the notes as well."""
    act, wanted = DETACHED[what]
    try:
        act(engine)
    except DetachedInstanceError as error:
        first, *_, last = error.__notes__
    (finding,) = watching.end()
    assert f"SG303 {wanted}" == name(finding)
    attribute = finding.facts["attribute"]
    assert first.startswith(f"sessionguard: {attribute} was ")
    assert last.startswith("  - to mend it, ")


def test_dynamic_of_a_detached_object(watching: Any, engine: Any) -> None:
    """What is no reading of an attribute is found without one."""
    shelf = detach(engine, LiveShelf)
    with contextlib.suppress(DetachedInstanceError):
        shelf.living.filter(True)
    (finding,) = watching.end()
    assert "SG303" == name(finding)


MEND = (
    "  - to mend it, load it in the query, with `selectinload(Author.posts)` or `joinedload(...)`"
)


def here(text: str) -> str:
    """Give the first line of this file that has a text as a note names it."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    number = next(number for number, line in enumerate(lines, 1) if text in line)
    return f"tests/loads/{Path(__file__).name}:{number} in detach"


def test_notes(watching: Any, engine: Any) -> None:
    """The notes tell what the text does not, each once, however often it is read again."""
    author = detach(engine)
    with pytest.raises(DetachedInstanceError) as info:
        author.posts
    assert [
        "sessionguard: Author.posts was not loaded",
        f"  - its object was loaded at {here('thing = session.scalars')}",
        f"  - by the Session opened at {here('with Session')}, closed at {here('with Session')}",
        MEND,
    ] == info.value.__notes__
    with pytest.raises(DetachedInstanceError) as again:
        author.posts
    assert again.value is not info.value
    assert info.value.__notes__ == again.value.__notes__


def test_several_at_one_place(watching: Any, engine: Any) -> None:
    """Several at one place are one finding that counts them."""
    with Session(engine) as session:
        authors = session.scalars(select(Author)).all()
    for author in authors:
        with contextlib.suppress(DetachedInstanceError):
            author.posts
    (finding,) = watching.end()
    assert 3 == finding.facts["count"]


# Where a test expects it.


def expect_raises(act: Callable[[], Any], *errors: Any) -> None:
    with pytest.raises(errors or FAULTS):
        act()


def expect_match(act: Callable[[], Any], *errors: Any) -> None:
    with pytest.raises(Exception, match="."):
        act()


def expect_as_function(act: Callable[[], Any], *errors: Any) -> None:
    pytest.raises(errors or FAULTS, act)


def expect_assert_raises(act: Callable[[], Any], *errors: Any) -> None:
    with unittest.TestCase().assertRaises(errors or FAULTS):
        act()


def expect_assert_raises_as_function(act: Callable[[], Any], *errors: Any) -> None:
    unittest.TestCase().assertRaises(errors or FAULTS, act)


def expect_assert_raises_regex(act: Callable[[], Any], *errors: Any) -> None:
    with unittest.TestCase().assertRaisesRegex(errors or FAULTS, "."):
        act()


EXPECT = [
    expect_raises,
    expect_match,
    expect_assert_raises,
    expect_assert_raises_as_function,
    expect_assert_raises_regex,
]
if pytest.version_tuple >= (8, 4):  # before, the function's form had no block of its own
    EXPECT.append(expect_as_function)


@pytest.mark.parametrize("expect", EXPECT, ids=lambda f: f.__name__)
def test_expected(expect: Any, watching: Any, engine: Any) -> None:
    """What a test says it expects is none."""
    author = detach(engine)
    expect(lambda: author.posts)
    assert [] == watching.end()


@pytest.mark.parametrize("expect", EXPECT, ids=lambda f: f.__name__)
def test_expected_as_a_cause(expect: Any, watching: Any, engine: Any) -> None:
    """Nor is one that led to the expected exception, as its cause or its context."""
    author = detach(engine)

    def cause() -> None:
        try:
            author.posts
        except DetachedInstanceError as error:
            raise LookupError("cause") from error

    def context() -> None:
        try:
            author.posts
        except DetachedInstanceError:
            raise LookupError("context")  # noqa: B904

    def hidden() -> None:
        try:
            author.posts
        except DetachedInstanceError:
            raise LookupError("hidden") from None

    def deep() -> None:
        try:
            hidden()
        except LookupError as error:
            raise LookupError("deep") from error

    def later() -> None:
        try:
            author.posts
        except DetachedInstanceError as error:
            kept = error
        raise LookupError("later") from kept

    for act in (cause, context, hidden, deep, later):
        expect(act, LookupError)
    assert [] == watching.end()


@pytest.mark.skipif(not hasattr(pytest, "RaisesGroup"), reason="came with pytest 8.4")
def test_expected_in_a_group(watching: Any, engine: Any) -> None:
    """Nor is one in an expected group."""
    author = detach(engine)
    errors = []
    for _ in range(3):
        try:
            author.posts
        except DetachedInstanceError as error:
            errors.append(error)
    one, two, three = errors
    with pytest.RaisesGroup(DetachedInstanceError, LookupError):
        raise ExceptionGroup("two", [one, LookupError()])
    with pytest.raises(ExceptionGroup):
        raise ExceptionGroup("one", [ExceptionGroup("inner", [two])])
    (finding,) = watching.end()
    assert 1 == finding.facts["count"]
    assert three is errors[-1]


def test_expected_with_manners_of_its_own(watching: Any, engine: Any) -> None:
    """An exception that cannot be printed, or has an attribute of that name, harms nobody."""

    class Odd(Exception):
        exceptions = 3

        def __str__(self) -> str:
            raise ZeroDivisionError

    bare_except(detach(engine))
    with pytest.raises(Odd):
        raise Odd
    assert ["SG303 Author.posts relationship"] == watching.found()


def test_expected_another(watching: Any, engine: Any) -> None:
    """What was swallowed inside such a block, on the way to another exception, is found."""
    author = detach(engine)
    with pytest.raises(LookupError):
        bare_except(author)
        raise LookupError
    (finding,) = watching.end()
    assert "SG303 Author.posts relationship" == name(finding)


def test_not_expected(watching: Any, engine: Any) -> None:
    """One that the block lets through is no expected one."""
    author = detach(engine)
    with contextlib.suppress(DetachedInstanceError), pytest.raises(KeyError):
        author.posts
    (finding,) = watching.end()
    assert "SG303 Author.posts relationship" == name(finding)


# Where there was none.


def test_made_by_a_test(watching: Any, engine: Any) -> None:
    """One that a test makes itself says nothing of the code."""
    double = mock.Mock(side_effect=DetachedInstanceError())
    with contextlib.suppress(DetachedInstanceError):
        double()
    with contextlib.suppress(MissingGreenlet):
        raise MissingGreenlet("mine")

    class Own(DetachedInstanceError):
        def __init__(self, word: str) -> None:
            super().__init__(f"own {word}")

    with contextlib.suppress(Own):
        raise Own("word")
    session = mock.create_autospec(Session, instance=True)
    session.scalars.side_effect = DetachedInstanceError("mocked")
    with contextlib.suppress(DetachedInstanceError):
        session.scalars(select(Author))
    assert [] == watching.end()


def test_made_by_a_test_and_raised_by_an_attribute(watching: Any, engine: Any) -> None:
    """Nor does one that a mock raises in the middle of a load of SQLAlchemy's."""
    with Session(engine) as session:
        author = session.get(Author, 1)
        double = mock.patch.object(session, "execute", side_effect=DetachedInstanceError("mocked"))
        with double, contextlib.suppress(DetachedInstanceError):
            author.posts
    assert [] == watching.end()


def test_made_by_a_package_of_a_like_name(watching: Any) -> None:
    """Nor is one that another package raises, be its name SQLAlchemy's with something behind it."""
    space: dict[str, Any] = {}
    path = Path(sqlalchemy.__file__).parent.with_name("sqlalchemy_utils") / "x.py"
    source = (
        "def work(class_):\n    try:\n        raise class_('x')\n    except class_:\n        pass"
    )
    exec(compile(source, str(path), "exec"), space)
    space["work"](DetachedInstanceError)
    assert [] == watching.end()


def test_inside_another_load(watching: Any, engine: Any) -> None:
    """A reading that fails in the middle of a load is told once, as what it is."""
    detached = detach(engine)

    def on_load(target: Any, context: Any) -> None:
        detached.bio  # read

    with Session(engine) as session:
        post = session.get(Post, 1)
        event.listen(Author, "load", on_load)
        try:
            post.author
        except DetachedInstanceError as error:
            notes = "\n".join(error.__notes__)
        finally:
            event.remove(Author, "load", on_load)
    (finding,) = watching.end()
    assert "SG303 Author.bio deferred" == name(finding)
    assert line_of(finding).endswith("# read")
    assert 1 == notes.count("sessionguard: ")


@pytest.mark.parametrize("class_", (DetachedInstanceError, MissingGreenlet))
def test_manners_of_the_exception(class_: Any, watching: Any) -> None:
    """Watched, it takes and shows what it took and showed."""
    watched = [class_("a"), class_("a", code="e3q8"), class_("a", "b")]
    watching.guard.stop()
    plain = [class_("a"), class_("a", code="e3q8"), class_("a", "b")]
    watching.guard.start()
    assert [(str(e), e.args, e.code) for e in plain] == [(str(e), e.args, e.code) for e in watched]


def test_pickled(watching: Any, engine: Any) -> None:
    """A watched exception can be pickled, as between processes, and keeps its notes."""
    author = detach(engine)
    with pytest.raises(DetachedInstanceError) as info:
        author.posts
    twin = pickle.loads(pickle.dumps(info.value))
    assert (str(info.value), info.value.__notes__) == (str(twin), twin.__notes__)


def test_traceback_keeps_no_more_alive(watching: Any, engine: Any, collect: Any) -> None:
    """What is written of a fault holds no object of the user's."""
    import weakref

    author = detach(engine)
    bare_except(author)
    reference = weakref.ref(author)
    del author
    collect()
    assert None is reference()
    assert ["SG303 Author.posts relationship"] == watching.found()


# Without a greenlet.


def drive(engine: Any, work: Any, collect: Any) -> None:
    async def run() -> None:
        async with AsyncSession(engine) as session:
            await work(session)
        await engine.dispose()

    asyncio.run(run())
    collect()


async def cold(session: Any) -> Any:
    author = await session.get(Author, 1)
    await session.commit()
    await session.refresh(author)
    await session.close()
    session.add(author)
    return author


async def warm(session: Any) -> Any:
    return await session.get(Author, 1)


@pytest.mark.parametrize("prepare", (cold, warm), ids=lambda f: f.__name__)
def test_missing_greenlet(prepare: Any, watching: Any, async_engine: Any, collect: Any) -> None:
    """Found where it was swallowed, whether a connection had to be made or was there."""

    async def work(session: Any) -> None:
        author = await prepare(session)
        try:
            author.posts  # read
        except FAULTS as error:
            assert error.__notes__[0] == "sessionguard: Author.posts was not loaded"

    drive(async_engine, work, collect)
    (finding,) = [f for f in watching.end() if f.rule == "SG304"]
    assert "SG304 Author.posts relationship" == name(finding)
    assert line_of(finding).endswith("# read")
    assert 1 == finding.facts["count"]


def test_missing_greenlet_through_a_class_of_the_user(
    watching: Any, async_engine: Any, collect: Any
) -> None:
    """It is the reading that is shown, and not the method by which its statement went."""

    async def work(_: Any) -> None:
        async with AsyncSession(async_engine, sync_session_class=Routing) as session:
            author = await warm(session)
            with contextlib.suppress(*FAULTS):
                author.posts  # read

    drive(async_engine, work, collect)
    (finding,) = [f for f in watching.end() if f.rule == "SG304"]
    assert line_of(finding).endswith("# read")


@pytest.mark.parametrize("prepare", (cold, warm), ids=lambda f: f.__name__)
@pytest.mark.parametrize("expect", EXPECT, ids=lambda f: f.__name__)
def test_missing_greenlet_that_is_expected(
    prepare: Any, expect: Any, watching: Any, async_engine: Any, collect: Any
) -> None:
    """Not found where a test expects it."""

    async def work(session: Any) -> None:
        author = await prepare(session)
        expect(lambda: author.posts)

    drive(async_engine, work, collect)
    assert [] == [f for f in watching.end() if f.rule == "SG304"]


async def flush(session: Any) -> None:
    session.add(Author(name="new"))
    session.sync_session.flush()


async def warm_flush(session: Any) -> None:
    await warm(session)
    await flush(session)


async def commit(session: Any) -> None:
    await warm(session)
    session.sync_session.commit()


async def rollback(session: Any) -> None:
    await warm(session)
    session.sync_session.rollback()


async def close(session: Any) -> None:
    await warm(session)
    session.sync_session.close()


async def execute(session: Any) -> None:
    session.sync_session.execute(text("SELECT 1"))


async def warm_execute(session: Any) -> None:
    await warm(session)
    session.sync_session.execute(text("SELECT 1"))


async def connect(session: Any) -> None:
    session.bind.sync_engine.connect()


async def begin(session: Any) -> None:
    with session.bind.sync_engine.begin():
        pass


async def stream(session: Any) -> None:
    await warm(session)
    list(session.sync_session.execute(text("SELECT 1").execution_options(yield_per=1)))


MISUSES = (
    flush,
    warm_flush,
    commit,
    rollback,
    close,
    execute,
    warm_execute,
    connect,
    begin,
    stream,
)


@pytest.mark.parametrize("misuse", MISUSES, ids=lambda f: f.__name__)
def test_misuse(misuse: Any, watching: Any, async_engine: Any, collect: Any) -> None:
    """A sync method of an async session outside of a greenlet is found, where it raises."""
    raised = []

    async def work(session: Any) -> None:
        try:
            await misuse(session)
        except FAULTS as error:
            raised.append(error)

    with contextlib.suppress(*FAULTS):
        drive(async_engine, work, collect)
    findings = [f for f in watching.end() if f.rule == "SG304"]
    assert bool(raised) is bool(findings)
    for finding in findings:
        assert misuse.__name__.removeprefix("warm_") in {
            frame.function.removeprefix("warm_") for frame in finding.site.frames
        }


@pytest.mark.parametrize("misuse", MISUSES, ids=lambda f: f.__name__)
def test_expected_misuse(misuse: Any, watching: Any, async_engine: Any, collect: Any) -> None:
    """Where a test expects it, nothing of it is found, nor of what followed from it."""

    async def work(session: Any) -> None:
        try:
            with pytest.raises(FAULTS):
                await misuse(session)
        except BaseException as error:
            assert "DID NOT RAISE" in str(error)

    with contextlib.suppress(*FAULTS):
        drive(async_engine, work, collect)
    assert [] == [str(f.site) for f in watching.end() if f.rule == "SG304"]


def test_what_the_pool_swallows(watching: Any, database: str, collect: Any) -> None:
    """A connection that the pool or the collector closes is nobody's reading."""

    async def run(engine: Any) -> None:
        connection = await engine.connect()
        await connection.scalar(text("SELECT 1"))

    engine = create_async_engine(f"sqlite+aiosqlite:///{database}")
    asyncio.run(run(engine))
    collect()
    engine.sync_engine.dispose()
    collect()
    assert [] == [f for f in watching.end() if f.rule == "SG304"]
