"""Connections of tasks and threads that are still at work when their test is over."""

# ruff: noqa: E501 (lines are as long as a user sees them)

from __future__ import annotations

import sys

import pytest

APP = """
    import asyncio, threading
    from contextlib import asynccontextmanager, contextmanager

    from sqlalchemy import create_engine, text
    from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
    from sqlalchemy.orm import Session

    SELECT = text("SELECT 1")
    async_engine = create_async_engine("sqlite+aiosqlite:///app.db")
    async_session = async_sessionmaker(async_engine)
    engine = create_engine("sqlite:///app.db", connect_args={"check_same_thread": False})

    async def in_block(began):
        async with async_session() as session:
            await session.execute(SELECT)
            began.set()
            await asyncio.sleep(60)

    @asynccontextmanager
    async def open_session():
        async with async_session() as session:
            yield session

    async def in_own_manager(began):
        async with open_session() as session:
            await session.execute(SELECT)
            began.set()
            await asyncio.sleep(60)

    async def on_connection(began):
        async with async_engine.connect() as connection:
            await connection.execute(SELECT)
            began.set()
            await asyncio.sleep(60)

    def in_thread(began, end):
        with Session(engine) as session:
            session.execute(SELECT)
            began.set()
            end.wait(60)

    @contextmanager
    def open_sync():
        with Session(engine) as session:
            yield session

    def in_thread_with_own_manager(began, end):
        with open_sync() as session:
            session.execute(SELECT)
            began.set()
            end.wait(60)

    def make_session():
        return async_session()

    async def in_block_of_a_helper(began):
        async with make_session() as session:
            await session.execute(SELECT)
            began.set()
            await asyncio.sleep(60)

    kept = []

    async def without_block(began):
        kept.append(async_session())
        await kept[-1].execute(SELECT)
        began.set()
        await asyncio.sleep(60)

    async def on_connection_without_block(began):
        kept.append(await async_engine.connect())
        began.set()
        await asyncio.sleep(60)

    async def below_block(began):
        async with async_session() as session:
            kept.append(session)
        await session.execute(SELECT)
        began.set()
        await asyncio.sleep(60)

    def without_block_in_thread(began, end):
        kept.append(Session(engine))
        kept[-1].execute(SELECT)
        began.set()
        end.wait(60)

    async def leak():
        session = async_session()
        kept.append(session)
        await session.execute(SELECT)

    async def go_on(began):
        await leak()
        began.set()
        await asyncio.sleep(60)

    def leak_in_thread():
        session = Session(engine)
        kept.append(session)
        session.execute(SELECT)

    def go_on_in_thread(began, end):
        leak_in_thread()
        began.set()
        end.wait(60)
"""
IN_TASK = """
    import pytest
    from app import *

    tasks = []

    @pytest.mark.asyncio(loop_scope="module")
    async def test_bad():
        began = asyncio.Event()
        tasks.append(asyncio.create_task(WORK(began)))
        await began.wait()

    @pytest.mark.asyncio(loop_scope="module")
    async def test_good():
        began = asyncio.Event()
        task = asyncio.create_task(in_block(began))
        await began.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    @pytest.mark.asyncio(loop_scope="module")
    async def test_failed():
        began = asyncio.Event()
        tasks.append(asyncio.create_task(WORK(began)))
        await began.wait()
        assert False

    @pytest.mark.asyncio(loop_scope="module")
    async def test_last():
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for session in kept:
            await session.close()
"""
IN_THREAD = """
    from app import *

    end = threading.Event()
    threads = []

    def start():
        began = threading.Event()
        threads.append(threading.Thread(target=WORK, args=(began, end)))
        threads[-1].start()
        began.wait()

    def test_bad():
        start()

    def test_last():
        end.set()
        threads[0].join()
        for session in kept:
            session.close()
"""


BLOCKS = {
    "in_block": "AsyncSession opened at app.py:14 in in_block",
    "in_own_manager": "AsyncSession opened at app.py:21 in open_session",
    "in_block_of_a_helper": "AsyncSession opened at app.py:54 in make_session",
    "on_connection": "",
}


@pytest.mark.parametrize("work", BLOCKS)
def test_task(project, work):
    """A task inside the block that is to close it has leaked nothing."""
    run = project({"app.py": APP, "test_x.py": IN_TASK.replace("WORK", work)}).run()
    assert run.found == [], run.text


BESIDE = """
    import pytest
    from app import *

    @pytest.fixture(scope="session")
    def loop():
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, daemon=True).start()
        yield loop
        END

    def test_bad(loop):
        async def start():
            began = asyncio.Event()
            tasks = [loop.create_task(WORK(began)) for _ in range(COUNT)]
            await began.wait()
            await asyncio.sleep(0.1)
            return tasks
        kept.append(asyncio.run_coroutine_threadsafe(start(), loop).result())

    def test_next(): pass
"""


@pytest.mark.parametrize("work", BLOCKS)
def test_task_that_outlasts_the_run(project, work):
    """It needs an end, and no other block."""
    suite = BESIDE.replace("WORK", work).replace("COUNT", "1").replace("END", "")
    run = project({"app.py": APP, "test_x.py": suite}).run(subprocess=True)
    assert run.exit == 1
    assert run.found == ["SG101 test_bad"], run.text
    assert set(run.results.values()) == {"passed"}
    assert "\nsessionguard: the run fails: 1 error was found at its end\n" in run.text
    holder = BLOCKS[work]
    assert (f"  held by       {holder}, by a task that is still at work" in run.text) == bool(
        holder
    )
    assert run.shows(
        """
          The task that took it was still at work, and keeps it until it ends.
          Fix: await the task in time, or cancel it and then await it.
          Accept: @pytest.mark.sessionguard(ignore="leaked-connection", reason="...") or the baseline.
        """
    )


def test_tasks_that_outlast_the_run(project):
    """Tasks that took connections at one place are one finding."""
    suite = BESIDE.replace("WORK", "in_block").replace("COUNT", "3").replace("END", "")
    run = project({"app.py": APP, "test_x.py": suite}).run(subprocess=True)
    assert run.found == ["SG101 test_bad"], run.text
    assert run.shows(
        """
          The tasks that took them were still at work, and keep them until they end.
          Fix: await the tasks in time, or cancel them and then await them.
          Accept: @pytest.mark.sessionguard(ignore="leaked-connection", reason="...") or the baseline.
        """
    )


@pytest.mark.parametrize("work", BLOCKS)
def test_task_that_a_fixture_ends(project, work):
    """One that ends with a fixture of the session has leaked nothing."""
    end = "loop.call_soon_threadsafe(kept[-1][0].cancel); threading.Event().wait(0.3)"
    suite = BESIDE.replace("WORK", work).replace("COUNT", "1").replace("END", end)
    run = project({"app.py": APP, "test_x.py": suite}).run(subprocess=True)
    assert run.found == [], run.text


@pytest.mark.parametrize("work", ("in_thread", "in_thread_with_own_manager"))
def test_thread(project, work):
    """The same is true of a thread."""
    run = project({"app.py": APP, "test_x.py": IN_THREAD.replace("WORK", work)}).run()
    assert run.found == ["SG101 test_bad"], run.text
    assert ", by a thread that is still at work" in run.text
    assert run.shows(
        """
          The thread that took it was still at work, and keeps it until it ends.
          Fix: tell the thread to stop in time, and join it.
          Accept: @pytest.mark.sessionguard(ignore="leaked-connection", reason="...") or the baseline.
        """
    )


def test_left_open_by_a_failed_test(project):
    """What a failed test left open says the same."""
    run = project({"app.py": APP, "test_x.py": IN_TASK.replace("WORK", "in_block")}).run()
    assert run.results["test_failed"] == "failed"
    ((_, section),) = run.sections["test_x.py::test_failed"]
    assert "by a task that is still at work" in section


IN_BLOCK = "open the session in `async with async_session() as session:`."


@pytest.mark.parametrize(
    ("suite", "work", "fix"),
    (
        (IN_TASK, "without_block", IN_BLOCK),
        (IN_TASK, "on_connection_without_block", "open it in `with engine.connect() as "),
        (IN_TASK, "below_block", ""),
        (IN_TASK, "go_on", IN_BLOCK),
        (IN_THREAD, "without_block_in_thread", "open the session in `with Session(engine) as "),
        (IN_THREAD, "go_on_in_thread", "open the session in `with Session(engine) as "),
    ),
)
def test_without_block(project, suite, work, fix):
    """Where no block is to close it, it needs one, though the task or thread is still at work."""
    run = project({"app.py": APP, "test_x.py": suite.replace("WORK", work)}).run()
    assert f"{'SG101' if fix else 'SG202'} test_bad" in run.found, run.text
    assert f"Fix: {fix}" in run.text
    assert "still at work" not in run.text


def test_a_thread_that_has_ended(project):
    """A thread that leaves its block within the moment that it gets is none."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                from app import *

                def test_good():
                    began, end = threading.Event(), threading.Event()
                    threading.Thread(target=in_thread, args=(began, end)).start()
                    began.wait()
                    threading.Timer(0.2, end.set).start()
            """,
        }
    ).run()
    assert run.found == [], run.text


ENDED = {
    "asyncio": "@pytest.mark.asyncio",
    "anyio": '@pytest.mark.anyio\n@pytest.mark.parametrize("anyio_backend", ["asyncio"])',
}


@pytest.mark.parametrize("by", ENDED)
def test_of_the_test_itself(project, by):
    """What a test's own function took is no task's that is still at work."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": f"""
import sys

import pytest
from app import *
from pytest_sessionguard import LeakedConnectionError, assert_no_leaked_connections

{ENDED[by]}
async def test_bad():
    connection = await async_engine.connect()
    kept.append(connection)

{ENDED[by]}
async def test_now():
    async with async_engine.connect():
        with pytest.raises(LeakedConnectionError) as info:
            assert_no_leaked_connections()
    assert "Fix: open it in `with engine.connect() as connection:`" in str(info.value)
    for connection in kept:
        await connection.close()

def test_now_in_a_thread():
    def work():
        with engine.connect():
            try:
                assert_no_leaked_connections()
            except LeakedConnectionError as error:
                kept.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert "Fix: open it in `with engine.connect() as connection:`" in kept[-1]
""",
        }
    ).run()
    (found,) = run.found
    assert found.startswith("SG101 test_bad")
    assert sorted(run.results.values()) == ["passed", "passed", "passed, error at teardown"]
    assert "still at work" not in run.text


# Work that a fixture of the session has started, and stops: it has a connection out at any moment.
WORKERS = """
    import pytest, pytest_asyncio
    from sqlalchemy.pool import QueuePool
    from app import *

    pytestmark = pytest.mark.asyncio(loop_scope="session")

    async def poll():
        while True:
            async with async_session() as session:
                await session.execute(SELECT)
                await asyncio.sleep(0.02)
                await session.commit()
                await asyncio.sleep(0.02)

    @pytest_asyncio.fixture(scope="session", loop_scope="session")
    async def poller():
        task = asyncio.create_task(poll())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    @pytest.fixture(scope="session")
    def thread():
        end = threading.Event()
        def work():
            while not end.is_set():
                with Session(engine) as session:
                    session.execute(SELECT)
                    end.wait(0.02)
                    session.commit()
                    end.wait(0.02)
        thread = threading.Thread(target=work)
        thread.start()
        yield
        end.set()
        thread.join()

    @pytest.fixture(scope="session")
    def listener():
        end = threading.Event()
        def listen():
            end.wait(0.02)
            connection = engine.connect()
            try:
                end.wait(60)
            finally:
                connection.close()
        thread = threading.Thread(target=listen)
        thread.start()
        yield
        end.set()
        thread.join()
"""
SERVERS = """
    @pytest.fixture(scope="session")
    def loop_in_thread():
        end = threading.Event()
        async def work():
            while not end.is_set():
                async with async_session() as session:
                    await session.execute(SELECT)
                    await asyncio.sleep(0.02)
        thread = threading.Thread(target=lambda: asyncio.run(work()))
        thread.start()
        yield
        end.set()
        thread.join()

    @pytest.fixture(scope="session")
    def server():
        jobs, threads = queue.Queue(), []
        def answer(began):
            with Session(engine) as session:
                session.execute(SELECT)
                began.set()
                threading.Event().wait(0.7)
        def serve():
            while (began := jobs.get()) is not None:
                threads.append(threading.Thread(target=answer, args=(began,)))
                threads[-1].start()
        thread = threading.Thread(target=serve)
        thread.start()
        yield jobs
        jobs.put(None)
        thread.join()
        for each in threads: each.join()

    @pytest_asyncio.fixture(scope="session", loop_scope="session")
    async def jobs():
        jobs = asyncio.Queue()
        async def do(began):
            session = async_session()
            try:
                await session.execute(SELECT)
                began.set()
                await asyncio.sleep(0.3)
            finally:
                await session.close()
        async def serve():
            tasks = []
            while (began := await jobs.get()) is not None:
                tasks.append(asyncio.create_task(do(began)))
            await asyncio.gather(*tasks)
        server = asyncio.create_task(serve())
        yield jobs
        jobs.put_nowait(None)
        await server

    async def test_server(server):
        began = threading.Event()
        server.put(began)
        began.wait()

    async def test_jobs(jobs):
        began = asyncio.Event()
        jobs.put_nowait(began)
        await began.wait()
"""
TESTS = """
    @pytest.mark.parametrize("n", range(8))
    async def test_a(NAME, n):
        await asyncio.sleep(0.005 * n)
        threading.Event().wait(0.03)
        assert_no_leaked_connections()
"""


@pytest.mark.parametrize("name", ("poller", "thread", "listener"))
def test_work_of_a_fixture(project, name):
    """What it has out when a test ends is not that test's."""
    suite = WORKERS.replace(
        "import pytest,", "from pytest_sessionguard import *\n    import pytest,"
    )
    run = project({"app.py": APP, "test_x.py": suite + TESTS.replace("NAME", name)}).run("-v")
    assert run.found == [], run.text
    assert set(run.results.values()) == {"passed"}


@pytest.mark.parametrize(
    ("name", "broken"),
    (
        (
            "poller",
            (
                "async with async_session() as session:",
                "if kept.append(async_session()) is None:\n                session = kept[-1]",
            ),
        ),
        (
            "thread",
            (
                "with Session(engine) as session:",
                "if kept.append(Session(engine)) is None:\n                    session = kept[-1]",
            ),
        ),
        ("listener", ("connection.close()", "kept.append(connection)")),
    ),
    ids=("poller", "thread", "listener"),
)
def test_faulty_work_of_a_fixture(project, name, broken):
    """What it never closes is told at the end of the run, of the test that it happened in."""
    suite = WORKERS.replace(*broken).replace("session.commit()", "session.flush()")
    tests = TESTS.replace("NAME", name).replace("assert_no_leaked_connections()", "pass")
    run = project({"app.py": APP, "test_x.py": suite + tests}).run("-v", subprocess=True)
    assert run.exit == 1
    assert any(found.startswith(("SG101 test_a", "SG102 test_a")) for found in run.found), run.text
    assert "still at work" not in run.text


def test_a_failed_teardown_of_a_wider_fixture(project):
    """It fails the test as well: what others go on with is shown with it, and not told later."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import *

                @pytest.fixture(scope="session")
                def job():
                    begin, began, end = threading.Event(), threading.Event(), threading.Event()
                    def work():
                        begin.wait()
                        in_thread(began, end)
                    threading.Thread(target=work, daemon=True).start()
                    yield begin, began

                @pytest.fixture(scope="module")
                def wide():
                    yield
                    raise RuntimeError("teardown")

                def test_it(job, wide):
                    job[0].set()
                    job[1].wait()
            """,
        }
    ).run(subprocess=True)
    assert run.found == [], run.text
    assert run.results == {"test_it": "passed, error at teardown"}
    assert "RuntimeError: teardown" in run.text
    assert "sessionguard: left open at teardown" in run.text


HANDLERS = """
    import contextlib, pytest, queue
    from app import *

    class Repository:
        def __init__(self): self.session = Session(engine)
        def close(self): self.session.close()

    def open_session():
        return Session(engine)

    @contextlib.contextmanager
    def scope():
        session = open_session()
        try:
            yield session
        finally:
            session.close()

    def helper(began):
        session = open_session()
        try:
            answer(session, began)
        finally:
            session.close()

    def repository(began):
        repository = Repository()
        try:
            answer(repository.session, began)
        finally:
            repository.close()

    def scoped(began):
        with scope() as session:
            answer(session, began)

    def careless(began):
        session = open_session()
        kept.append(session)
        answer(session, began)

    def answer(session, began):
        session.execute(SELECT)
        began.set()
        threading.Event().wait(0.7)

    @pytest.fixture(scope="session")
    def server():
        jobs, threads = queue.Queue(), []
        def serve():
            while (job := jobs.get()) is not None:
                threads.append(threading.Thread(target=job[0], args=job[1:]))
                threads[-1].start()
        thread = threading.Thread(target=serve)
        thread.start()
        yield jobs
        jobs.put(None)
        thread.join()
        for each in threads: each.join()

    @pytest.mark.parametrize("handler", (helper, repository, scoped, careless))
    def test_it(server, handler):
        began = threading.Event()
        server.put((handler, began))
        began.wait()
"""


def test_helpers_of_a_server(project):
    """What its handlers took is not the test's, also where a helper has opened the session."""
    run = project({"app.py": APP, "test_x.py": HANDLERS}).run()
    assert run.found == ["SG101 test_it[careless]"], run.text
    assert set(run.results.values()) == {"passed"}


def test_work_of_the_test(project):
    """What the test has started is its own, for an assertion inside it."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import *
                from pytest_sessionguard import LeakedConnectionError, assert_no_leaked_connections

                @pytest.mark.asyncio
                async def test_a():
                    began = asyncio.Event()
                    task = asyncio.create_task(in_block(began))
                    await began.wait()
                    with pytest.raises(LeakedConnectionError, match="await the task in time"):
                        assert_no_leaked_connections()
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
            """,
        }
    ).run()
    assert run.results == {"test_a": "passed"}, run.text
    assert run.found == []


@pytest.mark.parametrize(
    "lines",
    (
        "maker() as a, Slow(async_engine) as b",
        "(\n        maker() as a,\n        Slow(async_engine) as b,\n    )",
    ),
)
def test_at_the_end_of_a_block(project, lines):
    """A task that stands in the end of its block is inside, over how many lines it may be."""
    suite = f"""
import sys

import pytest
from app import *
from sqlalchemy.ext.asyncio import AsyncSession

class Slow(AsyncSession):
    async def close(self):
        await asyncio.sleep(0.3)
        await super().close()

maker, tasks = async_session, []

async def work(began):
    async with {lines}:
        await b.execute(SELECT)
        began.set()

@pytest.mark.asyncio(loop_scope="module")
async def test_a():
    began = asyncio.Event()
    tasks.append(asyncio.create_task(work(began)))
    await began.wait()
    await asyncio.sleep(0.05)

@pytest.mark.asyncio(loop_scope="module")
async def test_last():
    await asyncio.gather(*tasks)
"""
    run = project({"app.py": APP, "test_x.py": suite}).run()
    assert run.found == [], run.text
    assert set(run.results.values()) == {"passed"}


ANOTHER_BLOCK = """
    from contextlib import suppress

    async def in_another_block(began):
        with suppress(ValueError):
            connection = await async_engine.connect()
            kept.append(connection)
            began.set()
            await asyncio.sleep(60)

    def in_another_block_in_thread(began, end):
        with suppress(ValueError):
            connection = engine.connect()
            kept.append(connection)
            began.set()
            end.wait(60)
"""


@pytest.mark.parametrize(
    ("suite", "work"),
    ((IN_TASK, "in_another_block"), (IN_THREAD, "in_another_block_in_thread")),
)
def test_first_line_of_another_block(project, suite, work):
    """The block below whose first line a connection is taken will not close it."""
    run = project({"app.py": APP + ANOTHER_BLOCK, "test_x.py": suite.replace("WORK", work)}).run()
    assert run.found == ["SG101 test_bad"], run.text
    assert "Fix: open it in `with engine.connect() as connection:`" in run.text
    assert "still at work" not in run.text


def test_anyios_runner(project):
    """The task in which anyio runs the tests of a wide backend is nobody else's."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import *

                pytestmark = pytest.mark.anyio

                @pytest.fixture(scope="session")
                def anyio_backend():
                    return "asyncio"

                @pytest.fixture(scope="session")
                async def wide():
                    yield async_engine
                    for connection in kept:
                        await connection.close()

                async def test_bad(wide):
                    kept.append(await wide.connect())

                async def test_task(wide):
                    async def work():
                        kept.append(await wide.connect())
                        await asyncio.sleep(60)
                    kept.append(asyncio.create_task(work()))
                    await asyncio.sleep(0.05)

                async def test_last(wide):
                    kept.pop(-2).cancel()
            """,
        }
    ).run()
    assert run.found == ["SG101 test_bad", "SG101 test_task"], run.text
    assert "error at teardown" in run.results["test_bad"]
    assert "error at teardown" in run.results["test_task"]


@pytest.mark.parametrize(
    ("backend", "fixture"),
    (
        ('"asyncio"', "import app"),  # the first to import SQLAlchemy, in the runner's task
        ('("asyncio", {"use_uvloop": True})', "import app"),
    ),
    ids=("imported late", "uvloop"),
)
def test_anyios_runner_of_before(project, backend, fixture):
    """It is nobody else's where it was made before the guard saw any task of its loop."""
    if "uvloop" in backend:
        pytest.importorskip("uvloop")
    run = project(
        {
            "app.py": APP,
            "test_x.py": f"""
                import pytest

                pytestmark = pytest.mark.anyio

                @pytest.fixture(scope="session")
                def anyio_backend():
                    return {backend}

                @pytest.fixture(scope="session")
                async def wide():
                    {fixture}
                    yield app
                    for connection in app.kept:
                        await connection.close()

                async def test_bad(wide):
                    wide.kept.append(await wide.async_engine.connect())

                async def test_last(wide):
                    pass
            """,
        }
    ).run(subprocess=True)
    assert run.found == ["SG101 test_bad"], run.text
    assert "error at teardown" in run.results["test_bad"]


def test_task_that_is_made_before_its_loop_runs(project):
    """What a fixture makes for a loop of its own thread is the fixture's."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import *

                @pytest.fixture(scope="session")
                def ask():
                    loop = asyncio.new_event_loop()
                    jobs = asyncio.Queue()
                    async def work():
                        while (answered := await jobs.get()) is not None:
                            async with async_engine.connect() as connection:
                                await connection.execute(SELECT)
                                answered.set()
                                await asyncio.sleep(0.7)
                    task = loop.create_task(work())
                    thread = threading.Thread(target=loop.run_until_complete, args=(task,))
                    thread.start()
                    def ask():
                        answered = threading.Event()
                        loop.call_soon_threadsafe(jobs.put_nowait, answered)
                        answered.wait()
                    yield ask
                    loop.call_soon_threadsafe(jobs.put_nowait, None)
                    thread.join()
                    loop.close()

                def test_a(ask):
                    ask()

                def test_last(): pass
            """,
        }
    ).run()
    assert run.found == [], run.text
    assert set(run.results.values()) == {"passed"}


@pytest.mark.parametrize("more", ("", "def test_c(): pass"))
def test_what_goes_wrong_after_the_test(project, more):
    """What others do with it once its test is over is told, whatever tests come between."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": f"""
import queue
import sys

import pytest
from app import *

go, over = threading.Event(), threading.Event()

def answer(answered):
    with Session(engine) as session:
        session.execute(SELECT)
        answered.set()
        go.wait(60)
    session.execute(SELECT)
    session.close()

@pytest.fixture(scope="session")
def jobs():
    jobs = queue.Queue()
    def serve():
        while (answered := jobs.get()) is not None:
            answer(answered)
            over.set()
    thread = threading.Thread(target=serve)
    thread.start()
    yield jobs
    jobs.put(None)
    thread.join()

def test_a(jobs):
    answered = threading.Event()
    jobs.put(answered)
    answered.wait()

def test_b(jobs):
    go.set()
    over.wait()

{more}
""",
        }
    ).run()
    assert run.found == ["SG202 test_a"], run.text


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there are no eager tasks")
def test_eager_tasks(project):
    """What a task makes in its first step, before the loop has seen it, is the test's."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import *

                @pytest.fixture(scope="session", autouse=True)
                def keep_open():
                    yield
                    loop.run_until_complete(tidy())

                loop = asyncio.new_event_loop()
                loop.set_task_factory(asyncio.eager_task_factory)

                async def tidy():
                    for task in asyncio.all_tasks() - {asyncio.current_task()}:
                        task.cancel()
                    for connection in kept:
                        await connection.close()

                async def child(began):
                    kept.append(await async_engine.connect())
                    began.set()
                    await asyncio.sleep(60)

                async def parent(began):
                    task = asyncio.create_task(child(began))
                    await asyncio.sleep(60)

                async def start():
                    began = asyncio.Event()
                    asyncio.create_task(parent(began))
                    await began.wait()

                def test_bad():
                    loop.run_until_complete(start())

                def test_last(): pass
            """,
        }
    ).run()
    assert run.found == ["SG101 test_bad"], run.text
    assert "error at teardown" in run.results["test_bad"]
