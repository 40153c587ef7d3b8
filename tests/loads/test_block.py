"""assert_no_lazy_load as a block: when it raises, what it lets pass, what it leaves behind."""

# ruff: noqa: B018, SIM105 (to read an attribute and to swallow is the point)

from __future__ import annotations

import asyncio
import contextlib
import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from loads.conftest import line_of, name
from loads.zoo import Author, Owner, Post
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, load_only, sessionmaker
from sqlalchemy.orm.exc import DetachedInstanceError

from pytest_sessionguard import LazyLoadError, NoLazyLoad, assert_no_lazy_load
from pytest_sessionguard.guard import active_guard
from pytest_sessionguard.model import Severity


@pytest.fixture
def session(engine: Any) -> Any:
    with Session(engine) as session:
        yield session


@pytest.fixture
def author(session: Any) -> Any:
    return session.get(Author, 1)


def swallow(author: Any) -> None:
    try:
        author.posts  # swallowed
    except Exception:
        pass


def test_raises_at_the_line(author: Any) -> None:
    """The reading itself raises: nothing behind it is done, and the traceback ends with it."""
    passed = []
    with pytest.raises(LazyLoadError) as info, assert_no_lazy_load():
        passed.append("before")
        author.posts  # read
        passed.append("behind")
    assert ["before"] == passed
    assert line_of(info.value.finding).endswith("# read")
    ours = [entry for entry in info.traceback if entry.path.name == "test_block.py"]
    assert "author.posts  # read" == str(ours[-1].statement).strip()
    assert "assertions" not in {entry.path.parent.name for entry in info.traceback}


def test_is_an_assertion_error(author: Any) -> None:
    """It is an AssertionError, whose text is the finding's."""
    with pytest.raises(AssertionError) as info, assert_no_lazy_load():
        author.posts
    assert isinstance(info.value, LazyLoadError)
    text = str(info.value)
    assert text.startswith("SG401 lazy-load: reading Author.posts loaded it, in test_it\n")
    assert "Fix: load it in the query, with `selectinload(Author.posts)`" in text
    assert "Accept:" not in text
    assert ("SG401", Severity.ERROR) == (info.value.finding.rule, info.value.finding.severity)


def test_the_first_one(author: Any, session: Any) -> None:
    """Of several, the first one counts, also where each was swallowed."""
    other = session.get(Author, 2)
    with pytest.raises(LazyLoadError) as info, assert_no_lazy_load():
        with contextlib.suppress(LazyLoadError):
            author.bio  # first
        swallow(other)
    assert line_of(info.value.finding).endswith("# first")


def test_swallowed(author: Any) -> None:
    """What the code under test swallows, the end of the block raises."""
    with pytest.raises(LazyLoadError) as info, assert_no_lazy_load():
        swallow(author)
    assert line_of(info.value.finding).endswith("# swallowed")


def test_turned_into_another(author: Any) -> None:
    """What it makes another exception of, too; the other one stays to be seen."""
    with pytest.raises(LazyLoadError) as info, assert_no_lazy_load():
        try:
            author.posts
        except AssertionError:
            raise LookupError("no posts") from None
    assert isinstance(info.value.__context__, LookupError)


@pytest.mark.parametrize("error", (KeyboardInterrupt, SystemExit, asyncio.CancelledError))
def test_exceptions_that_pass(error: type[BaseException], author: Any) -> None:
    """An interruption passes, whatever was swallowed before it."""
    with pytest.raises(error), assert_no_lazy_load():
        swallow(author)
        raise error


@pytest.mark.parametrize("outcome", (pytest.skip, pytest.fail, pytest.xfail))
def test_outcomes_that_pass(outcome: Any, author: Any) -> None:
    """So do outcomes of pytest."""
    with pytest.raises(outcome.Exception), assert_no_lazy_load():
        swallow(author)
        outcome("mine")


def test_exceptions_of_the_users(author: Any) -> None:
    """An exception passes as it is where nothing was refused."""
    with pytest.raises(LookupError) as info, assert_no_lazy_load():
        raise LookupError("mine")
    assert None is info.value.__context__


def test_nothing_read(author: Any, engine: Any, statements: Any) -> None:
    """A block in which nothing loads is silent, and statements of its own go through."""
    with assert_no_lazy_load() as block, Session(engine) as session:
        assert 3 == session.scalar(select(func.count(Author.id)))
        author.name
    assert isinstance(block, NoLazyLoad)


def test_after_the_block(author: Any, watching: Any) -> None:
    """After it, and between two blocks, all loads again."""
    with pytest.raises(LazyLoadError), assert_no_lazy_load():
        author.posts
    assert [] == watching.ledger.refusals
    assert 2 == len(author.posts)
    with assert_no_lazy_load():
        author.posts
    with pytest.raises(LazyLoadError), assert_no_lazy_load():
        author.bio
    assert "long" == author.bio


def test_session_afterwards(author: Any, session: Any) -> None:
    """A refusal leaves the session as it was: no rollback is asked for, and changes are kept."""
    author.born = 7
    with pytest.raises(LazyLoadError), assert_no_lazy_load():
        author.posts
    assert author in session.dirty
    assert session.is_active
    session.commit()
    assert 7 == session.scalar(select(Author.born).where(Author.id == 1))
    with pytest.raises(LazyLoadError), assert_no_lazy_load():
        author.name
    assert "ada" == author.name


def test_no_transaction(engine: Any, watching: Any) -> None:
    """A refusal begins no transaction and takes no connection."""
    session = Session(engine)
    author = session.get(Author, 1)
    session.commit()
    with pytest.raises(LazyLoadError), assert_no_lazy_load():
        author.name
    assert not session.in_transaction()
    assert {} == watching.ledger.out
    session.close()


def test_detached(engine: Any, watching: Any) -> None:
    """A reading that fails with DetachedInstanceError is refused too, and is its cause."""
    with Session(engine) as session:
        author = session.get(Author, 1)
    with pytest.raises(LazyLoadError) as info, assert_no_lazy_load():
        author.posts  # read
    assert isinstance(info.value.__cause__, DetachedInstanceError)
    finding = info.value.finding
    assert "DetachedInstanceError" == finding.facts["error"]
    assert line_of(finding).endswith("# read")
    assert "could not be loaded (DetachedInstanceError)" in str(info.value)
    assert [] == watching.end(), "no SG303 beside it"


def test_nested(author: Any, watching: Any) -> None:
    """Of two blocks the inner one raises, and the outer one lets it pass."""
    with pytest.raises(LazyLoadError) as info, assert_no_lazy_load(), assert_no_lazy_load():
        author.posts
    assert None is info.value.__context__
    with assert_no_lazy_load():
        with pytest.raises(LazyLoadError), assert_no_lazy_load():
            swallow(author)
        author.name
    assert [] == watching.ledger.refusals


def test_outer_goes_on(author: Any) -> None:
    """After the inner block's end the outer one still refuses."""
    with pytest.raises(LazyLoadError) as info, assert_no_lazy_load():
        with assert_no_lazy_load():
            author.name
        author.posts  # read
    assert line_of(info.value.finding).endswith("# read")


def test_reentered(author: Any, watching: Any) -> None:
    """One block may be entered again, also inside itself, and forgets nothing."""
    block = assert_no_lazy_load()
    with pytest.raises(LazyLoadError), block:
        author.posts
    with block:
        author.name
    with pytest.raises(LazyLoadError) as info, block:
        swallow(author)
        with block:
            author.name
    assert line_of(info.value.finding).endswith("# swallowed")
    with pytest.raises(LazyLoadError), block:
        with block:
            author.name
        author.bio
    assert [] == watching.ledger.refusals


def test_ends_in_another_order(author: Any, watching: Any) -> None:
    """Blocks that do not end inside out leave nothing behind."""
    one, two = assert_no_lazy_load(), assert_no_lazy_load()
    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    with pytest.raises(LazyLoadError):
        author.posts
    with pytest.raises(LazyLoadError):
        two.__exit__(None, None, None)
    assert [] == watching.ledger.refusals
    author.posts


def test_exit_stack(author: Any) -> None:
    """It works where a stack enters it."""
    with pytest.raises(LazyLoadError), contextlib.ExitStack() as stack:
        stack.enter_context(assert_no_lazy_load())
        author.posts


def test_other_thread(engine: Any) -> None:
    """What another thread reads meanwhile is refused there, and raised by the end of the block."""
    met: list[BaseException] = []

    def work() -> None:
        with Session(engine) as session:
            author = session.get(Author, 1)
            try:
                author.posts  # read
            except LazyLoadError as error:
                met.append(error)

    with pytest.raises(LazyLoadError) as info, assert_no_lazy_load():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert [info.value] == met
    assert line_of(info.value.finding).endswith("# read")


def test_thread_pool(engine: Any) -> None:
    """An executor's future brings it back."""

    def work(number: int) -> int:
        with Session(engine) as session:
            return len(session.get(Author, number).posts)

    with ThreadPoolExecutor(2) as pool, pytest.raises(LazyLoadError), assert_no_lazy_load():
        list(pool.map(work, [1, 2]))
    with ThreadPoolExecutor(2) as pool:
        assert [2, 2] == list(pool.map(work, [1, 2]))


def test_without_pytest_running(author: Any, watching: Any) -> None:
    """Outside of a test it refuses as well."""
    watching.end()
    with pytest.raises(LazyLoadError) as info, assert_no_lazy_load():
        author.posts
    assert "code outside the tests" == info.value.finding.owner.name


def test_error_travels(author: Any) -> None:
    """The error can be copied and pickled, as between processes."""
    with pytest.raises(LazyLoadError) as info, assert_no_lazy_load():
        author.posts
    for twin in (copy.copy(info.value), pickle.loads(pickle.dumps(info.value))):
        assert (str(info.value), info.value.finding) == (str(twin), twin.finding)


def test_never_entered(watching: Any) -> None:
    """A call without its block is an error of the test, whatever the settings say."""
    watching.begin({"SG401": Severity.OFF})
    assert_no_lazy_load()  # called
    (finding,) = watching.end()
    assert ("SG401", Severity.ERROR) == (finding.rule, finding.severity)
    assert line_of(finding).endswith("# called")


def test_never_entered_twice(watching: Any) -> None:
    """Each such call is told; one that was entered, or entered later, is not."""
    assert_no_lazy_load()
    assert_no_lazy_load()
    with assert_no_lazy_load():
        pass
    later = assert_no_lazy_load()
    with later:
        pass
    assert ["SG401", "SG401"] == [finding.rule for finding in watching.end()]


def test_shown_by_pytest(session: Any) -> None:
    """What pytest reads to show a failed assertion is not the code's: the failure stays its own."""
    one, other = session.get(Owner, 1), Owner(name="olaf")
    other.id = 1
    with pytest.raises(AssertionError) as info, assert_no_lazy_load():
        assert one is None
    assert not isinstance(info.value, LazyLoadError)
    session.expire(one, ["pets"])
    with pytest.raises(AssertionError) as info, assert_no_lazy_load():
        assert [one] == [], "lists"
    assert not isinstance(info.value, LazyLoadError)
    session.expire(one, ["pets"])
    with pytest.raises(LazyLoadError), assert_no_lazy_load():
        assert one == other


# Async.


def drive(engine: Any, work: Any) -> Any:
    async def run() -> Any:
        async with AsyncSession(engine) as session:
            value = await work(session)
        await engine.dispose()
        return value

    return asyncio.run(run())


def test_async_block(async_engine: Any, watching: Any) -> None:
    """The same in an async block."""

    async def work(session: Any) -> None:
        author = await session.get(Author, 1)
        with pytest.raises(LazyLoadError) as info:
            async with assert_no_lazy_load() as block:
                assert isinstance(block, NoLazyLoad)
                author.posts  # read
        assert line_of(info.value.finding).endswith("# read")
        with pytest.raises(LazyLoadError):
            async with assert_no_lazy_load():
                swallow(author)
        await session.refresh(author, ["bio"])

    drive(async_engine, work)
    assert [] == watching.end()


def test_async_cancelled(async_engine: Any, watching: Any) -> None:
    """A task that is cancelled inside the block is cancelled."""

    async def work(session: Any) -> None:
        author = await session.get(Author, 1)

        async def wait() -> None:
            async with assert_no_lazy_load():
                swallow(author)
                await asyncio.sleep(60)

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        assert 1 == len(watching.ledger.refusals)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [] == watching.ledger.refusals

    drive(async_engine, work)


def test_async_other_task(async_engine: Any, watching: Any) -> None:
    """What another task reads meanwhile is refused as well."""

    async def work(session: Any) -> None:
        author = await session.get(Author, 1)

        async def read() -> None:
            author.posts

        with pytest.raises(LazyLoadError):
            async with assert_no_lazy_load():
                await asyncio.gather(read(), return_exceptions=True)

    drive(async_engine, work)


def test_async_group(async_engine: Any, watching: Any) -> None:
    """Out of a group of tasks it comes as itself."""
    if not hasattr(asyncio, "TaskGroup"):
        pytest.skip("came with Python 3.11")

    async def work(session: Any) -> None:
        author = await session.get(Author, 1)

        async def read() -> None:
            author.posts

        with pytest.raises(LazyLoadError):
            async with assert_no_lazy_load(), asyncio.TaskGroup() as group:
                group.create_task(read())

    drive(async_engine, work)


def test_async_timeout(async_engine: Any, watching: Any) -> None:
    """A timeout inside the block stays one, where nothing was refused."""

    async def work(session: Any) -> None:
        with pytest.raises(asyncio.TimeoutError):
            async with assert_no_lazy_load():
                await asyncio.wait_for(asyncio.sleep(60), 0.01)

    drive(async_engine, work)


# Without the plugin.


@pytest.fixture
def alone(watching: Any) -> Any:
    """No guard at work."""
    from pytest_sessionguard import guard as module

    held, module._active[:] = module._active[:], []
    for guard in held:
        guard._watchers.remove()
    yield
    module._active[:] = held
    held[-1].look()


def test_without_the_plugin(alone: None, engine: Any) -> None:
    """Without the plugin the block watches itself, also what was made before it."""
    execute = Session.execute
    factory = sessionmaker(engine)
    with factory() as session:
        author = session.get(Author, 1)
        with pytest.raises(LazyLoadError) as info, assert_no_lazy_load():
            author.posts  # read
        assert info.value.finding.places[0].label == "read at"
        assert None is active_guard()
        assert execute is Session.execute
        assert 2 == len(author.posts)
        with pytest.raises(LazyLoadError), assert_no_lazy_load(), assert_no_lazy_load():
            author.bio
        with pytest.raises(LazyLoadError), assert_no_lazy_load():
            swallow(session.get(Author, 2))
        assert execute is Session.execute


def test_without_the_plugin_detached(alone: None, engine: Any) -> None:
    """There, too, a failing reading is refused; and what never was entered cannot be told."""
    with Session(engine) as session:
        post = session.get(Post, 1)
    with pytest.raises(LazyLoadError), assert_no_lazy_load():
        post.author
    assert_no_lazy_load()
    with pytest.raises(DetachedInstanceError) as info:
        post.author
    assert not hasattr(info.value, "__notes__")


def test_names(author: Any) -> None:
    """What the finding says of the reading."""
    with pytest.raises(LazyLoadError) as info, assert_no_lazy_load():
        author.posts
    finding = info.value.finding
    assert "SG401 Author.posts relationship" == name(finding)
    assert "test_it" == finding.owner.name
    assert [] == [place.label for place in finding.places if not place.site.frames]


def test_blocks_of_several_tasks(watching: Any, async_engine: Any) -> None:
    """Of blocks in several tasks the reader's own raises, and the others end in peace."""

    async def read(number: int, reading: asyncio.Event, others: asyncio.Event) -> str:
        async with AsyncSession(async_engine) as session:
            author = await session.get(Author, 1)
            try:
                with assert_no_lazy_load():
                    if number:
                        reading.set()
                        await others.wait()
                        return "in peace"
                    await reading.wait()
                    with contextlib.suppress(Exception):
                        author.posts
            except LazyLoadError:
                return "refused"
            finally:
                others.set()
        return "not refused"

    async def main() -> list[str]:
        reading, others = asyncio.Event(), asyncio.Event()
        done = await asyncio.gather(*(read(number, reading, others) for number in (0, 1)))
        await async_engine.dispose()
        return done

    assert ["refused", "in peace"] == asyncio.run(main())


def test_blocks_of_several_threads(watching: Any, engine: Any) -> None:
    """The same for threads; one without a block of its own is refused by whichever there is."""
    entered, done = threading.Event(), threading.Event()

    def hold() -> None:
        with assert_no_lazy_load():
            entered.set()
            done.wait(10)

    def read_without() -> None:
        with Session(engine) as session:
            session.get(Author, 1).posts

    with ThreadPoolExecutor(2) as pool, Session(engine) as session:
        author = session.get(Author, 1)
        holder = pool.submit(hold)
        entered.wait(10)
        with pytest.raises(LazyLoadError), assert_no_lazy_load():
            swallow(author)
        done.set()
        assert None is holder.result()
        with pytest.raises(LazyLoadError), assert_no_lazy_load():
            pool.submit(read_without).result()


def test_expression(watching: Any, engine: Any) -> None:
    """Of a `query_expression` that a query left out the mend is `with_expression`."""
    with Session(engine) as session:
        author = session.scalars(select(Author).options(load_only(Author.name))).first()
    with pytest.raises(LazyLoadError) as info, assert_no_lazy_load():
        author.rating
    assert "SG401 Author.rating expression" == name(info.value.finding)
    assert "with `with_expression(Author.rating, ...)`" in str(info.value)


def test_after_a_fault_inside(watching: Any, engine: Any) -> None:
    """Where the plugin's guard has stood down, the block has a guard of its own."""
    with Session(engine) as session:
        author = session.get(Author, 1)
        watching.guard.shield.report(ZeroDivisionError("sabotage"))
        watching.guard.look()
        author.bio
        with pytest.raises(LazyLoadError), assert_no_lazy_load():
            author.posts
        author.posts
    watching.guard.shield.fault = None
