"""How pools were used at most, and the size that a number of workers needs."""

# ruff: noqa: E501 (lines are as long as a user sees them)

from __future__ import annotations

import json

import pytest
from harness import Project

from pytest_sessionguard.report.pools import tell_holdouts, tell_use
from pytest_sessionguard.survey import Holdout, PoolUse, Survey

APP = """
    from sqlalchemy import create_engine, text

    ONE = text("SELECT 1")
    engine = None

    def start():
        global engine
        if engine is None:
            engine = create_engine("sqlite:///app.db", pool_size=3, max_overflow=1)

    def one():
        with engine.connect() as connection:
            return connection.scalar(ONE)

    def two():
        with engine.connect() as connection:
            connection.scalar(ONE)
            return one()

    def three():
        with engine.connect() as connection:
            connection.scalar(ONE)
            return two()
"""
TESTS = """
    import threading
    import pytest
    import app

    @pytest.fixture(autouse=True)
    def started():
        app.start()

    @pytest.fixture
    def held():
        with app.engine.connect() as connection:
            yield connection

    def test_one():
        app.one()

    def test_two():
        app.two()

    def test_held(held):
        app.two()
"""
READ = """
    import json

    def pytest_unconfigure(config):
        hooks = config.pluginmanager.get_plugin("sessionguard-summary")
        if hooks is not None and not hasattr(config, "workerinput"):
            with open("survey.json", "w") as file:
                json.dump(hooks._summary.survey.to_json(), file)
"""


def survey_of(suite: Project) -> Survey:
    """The survey that a run has written."""
    return Survey.from_json(json.loads((suite.path / "survey.json").read_text()))


def test_peaks(project):
    """The peak of a test counts what its fixtures hold, that of a task what the application does."""
    suite = project({"app.py": APP, "test_x.py": TESTS, "conftest.py": READ})
    run = suite.run("-v", "--sessionguard-ignore=SG104")
    assert [
        PoolUse(
            engine="sqlite+pysqlite",
            kind="QueuePool",
            size=3,
            overflow=1,
            made="app.py:9 in start",
            at_once=3,
            at_once_by="test_held",
            in_task=2,
            in_task_by="test_two",
            in_task_at="app.py:12 in one",
        )
    ] == list(survey_of(suite).pools)
    assert run.shows(
        """
        engine sqlite+pysqlite, pool 3+1, made at app.py:9 in start
          at most 3 connections at once (in test_held), 2 in one task or thread (app.py:12 in one, in test_two)
          up to 3 workers cannot deadlock; 10 need 11; 20 need 21; 50 need 51
        """
    )


def test_quiet(project):
    """Without `-v` nothing of it is shown, and the data is there all the same."""
    suite = project({"app.py": APP, "test_x.py": TESTS, "conftest.py": READ})
    run = suite.run("--sessionguard-ignore=SG104")
    assert "at once" not in run.text
    assert [3] == [use.at_once for use in survey_of(suite).pools]


def test_merged(project):
    """Workers of xdist bring theirs, and the larger peaks count."""
    tests = """
        import app
        import pytest

        @pytest.mark.parametrize("number", range(8))
        @pytest.mark.parametrize("name", ("one", "two", "three"))
        def test_it(name, number):
            app.start()
            getattr(app, name)()
    """
    suite = project({"app.py": APP, "test_x.py": tests, "conftest.py": READ})
    surveys = []
    for args in (("-n0",), ("-n2",)):
        run = suite.run(*args, "-v", "--sessionguard-ignore=SG104")
        assert 0 == run.exit, run.text
        (use,) = survey_of(suite).pools
        surveys.append((use.engine, use.made, use.at_once, use.in_task, use.in_task_at))
        assert "3 in one task or thread" in run.text
    assert (
        surveys[0]
        == surveys[1]
        == ("sqlite+pysqlite", "app.py:9 in start", 3, 3, "app.py:12 in one")
    )


def test_concurrent_tasks(project):
    """Tasks that hold one each are many at once, and one in each task."""
    app = """
        import asyncio
        from sqlalchemy import text
        from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

        async def ask(engine, barrier):
            async with AsyncSession(engine) as session:
                await session.scalar(text("SELECT 1"))
                barrier.append(1)
                while len(barrier) < 7:
                    await asyncio.sleep(0)
    """
    tests = """
        import asyncio
        from app import *

        async def test_seven():
            engine = create_async_engine("sqlite+aiosqlite:///app.db")
            barrier = []
            await asyncio.gather(*(ask(engine, barrier) for _ in range(7)))
            await engine.dispose()
    """
    ini = "[pytest]\nasyncio_mode = auto\n"
    suite = project({"app.py": app, "test_x.py": tests, "conftest.py": READ, "pytest.ini": ini})
    run = suite.run("-v")
    assert run.is_clean()
    (use,) = survey_of(suite).pools
    assert (7, 1) == (use.at_once, use.in_task)
    assert "any pool is free of hold and wait" in run.text


@pytest.mark.parametrize(
    ("in_task", "workers", "size"), [(1, 50, 1), (2, 15, 16), (2, 50, 51), (3, 10, 21)]
)
def test_size(in_task, workers, size):
    """N workers that need k at once are safe with N * (k - 1) + 1."""
    assert size == PoolUse("e", "QueuePool", 5, 10, in_task=in_task).size_for(workers)


@pytest.mark.parametrize(
    ("in_task", "size", "overflow", "safe"),
    [(1, 5, 10, None), (2, 5, 10, 14), (3, 5, 10, 7), (2, 1, 0, 0), (2, 5, -1, None)],
)
def test_safe_workers(in_task, size, overflow, safe):
    """How many workers a pool bears is the same sum, turned round."""
    use = PoolUse("e", "QueuePool", size, overflow, in_task=in_task)
    assert safe == use.safe_workers
    if safe:
        assert use.size_for(safe) <= size + overflow < use.size_for(safe + 1)


def test_deadlock():
    """The sum is right: that many threads on such a pool end, and one connection less may not."""
    import threading

    from sqlalchemy import create_engine
    from sqlalchemy.exc import TimeoutError as PoolTimeoutError
    from sqlalchemy.pool import QueuePool

    def run(size, workers, at_once):
        engine = create_engine(
            "sqlite://", poolclass=QueuePool, pool_size=size, max_overflow=0, pool_timeout=0.5,
            connect_args={"check_same_thread": False},
        )  # fmt: skip
        gate, failed = threading.Barrier(workers), []

        def work():
            held = [engine.connect() for _ in range(at_once - 1)]
            gate.wait(5)
            try:
                held.append(engine.connect())
            except PoolTimeoutError:
                failed.append(1)
            for connection in held:
                connection.close()

        threads = [threading.Thread(target=work) for _ in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        engine.dispose()
        return len(failed)

    use = PoolUse("e", "QueuePool", 4, 0, in_task=2)
    enough = use.size_for(4)
    assert 0 == run(enough, 4, 2)
    assert 0 < run(enough - 1, 4, 2)


def test_merge():
    """Of two peaks the larger counts; the order of the processes does not matter."""
    one = PoolUse("e", "QueuePool", 5, 10, "a:1", 3, "test_b", 2, "test_b", "a:2")
    two = PoolUse("e", "QueuePool", 5, 10, "a:1", 3, "test_a", 4, "test_c", "a:3")
    other = PoolUse("e", "NullPool", None, None, "a:1")
    wanted = PoolUse("e", "QueuePool", 5, 10, "a:1", 3, "test_a", 4, "test_c", "a:3")
    left = Survey((one,)).merge(Survey((two, other)))
    right = Survey((two,)).merge(Survey((one, other)))
    assert left == right == Survey((wanted, other))
    assert left == Survey.from_json(json.loads(json.dumps(left.to_json())))
    assert Survey() == Survey.from_json({})


def test_holdouts_add_up():
    """What keeps one process alive and what keeps another stand beside each other."""
    one, two = Holdout("e", made="a:1", made_by="test_a"), Holdout()
    both = Survey(holdouts=(one,)).merge(Survey(holdouts=(two,)))
    assert (one, two) == both.holdouts
    assert both == Survey.from_json(json.loads(json.dumps(both.to_json())))
    assert 4 == len(tell_holdouts(both.holdouts))


def test_advice_without_a_limit():
    """A pool without a limit makes nobody wait; one of two says when it is too small for one."""
    assert (
        "without a limit nobody waits for another"
        in tell_use(PoolUse("e", "NullPool", in_task=2))[-1]
    )
    assert tell_use(PoolUse("e", "QueuePool", 1, 0, in_task=2))[-1].startswith(
        "  up to 0 workers cannot deadlock; 10 need 11"
    )
