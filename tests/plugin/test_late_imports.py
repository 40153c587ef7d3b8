"""SQLAlchemy is imported in the middle of a test, a fixture or a thread, and watched from there."""

from __future__ import annotations

import subprocess
import sys

import pytest

# What each way opens, how it is closed, and what is found where it is not.
WAYS = {
    "engine": (
        """
        from sqlalchemy import create_engine
        from sqlalchemy.pool import QueuePool
        engine = create_engine("sqlite:///app.db", poolclass=QueuePool)
        thing = engine.connect()
        """,
        "SG101",
    ),
    "pool": (
        """
        import sqlite3
        from sqlalchemy.pool import QueuePool
        thing = QueuePool(lambda: sqlite3.connect("app.db")).connect()
        """,
        "SG101",
    ),
    "static": (
        """
        import sqlite3
        from sqlalchemy import pool
        thing = pool.StaticPool(lambda: sqlite3.connect("app.db")).connect()
        """,
        "SG101",
    ),
    "session": (
        """
        from sqlalchemy.orm import Session
        from sqlalchemy import create_engine, text
        thing = Session(create_engine("sqlite:///app.db"))
        thing.execute(text("SELECT 1"))
        """,
        "SG101",
    ),
    "first_session": (
        """
        import sqlalchemy as sa
        import sqlalchemy.orm
        thing = sa.orm.Session()
        thing.bind = sa.create_engine("sqlite:///app.db")
        thing.execute(sa.text("SELECT 1"))
        thing.commit()
        """,
        "SG201",
    ),
    "lazily": (
        """
        import importlib.util
        import sys
        spec = importlib.util.find_spec("sqlalchemy")
        spec.loader = importlib.util.LazyLoader(spec.loader)
        module = sys.modules["sqlalchemy"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        thing = module.create_engine("sqlite:///app.db").connect()
        """,
        "SG101",
    ),
}


def indent(text: str, by: int) -> str:
    return "".join(
        " " * by + line.strip() + "\n" for line in text.strip("\n").splitlines() if line.strip()
    )


def make_suite(way: str) -> dict[str, str]:
    opening = f"kept = []\n\ndef open_it():\n{indent(WAYS[way][0], 4)}    return thing\n"
    return {
        "app.py": opening,
        "test_x.py": """
            import threading

            import app
            import pytest

            @pytest.fixture(scope="module")
            def wide():
                app.kept.append(app.open_it())

            def test_leak():
                app.kept.append(app.open_it())

            def test_thread():
                thread = threading.Thread(target=lambda: app.kept.append(app.open_it()))
                thread.start()
                thread.join()

            def test_wide(wide):
                pass

            def test_fine():
                app.open_it().close()
                from sqlalchemy.pool import Pool
                # The watchers stand there alone: what waited for them costs nothing any more.
                assert not hasattr(getattr(Pool.connect, "__wrapped__", None), "__wrapped__")
        """,
    }


@pytest.mark.parametrize("way", WAYS)
def test_in_a_test(project, way):
    """The very test that imports it is judged, and the line is told."""
    run = project(make_suite(way)).run("-k", "leak", subprocess=True)
    (finding,) = run.findings
    assert (finding.rule, finding.owner.name) == (WAYS[way][1], "test_leak")
    assert finding.site.frames[0].path == "app.py"
    assert finding.site.frames[0].function == "open_it"
    assert run.fault == ""


@pytest.mark.parametrize("way", WAYS)
def test_in_a_healthy_test(project, way):
    """A test that imports it and closes what it opens is clean."""
    # Its pool keeps the connection to the end: Python 3.13 warns of SQLite's then.
    quiet = ("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
    warnings = [word for action in ("error", *quiet) for word in ("-W", action)]
    run = project(make_suite(way)).run("-k", "fine", "-p", "no:asyncio", *warnings, subprocess=True)
    assert run.is_clean()


@pytest.mark.parametrize("name", ["thread", "wide"])
def test_in_threads_and_fixtures(project, name):
    """So is a thread's test, and a fixture."""
    run = project(make_suite("engine")).run("-k", name, subprocess=True)
    owner = {"thread": "test_thread", "wide": "fixture `wide`"}[name]
    assert run.found == [f"SG101 {owner}"]


def test_async(project):
    """An async session is watched where its module comes after the ORM, in the middle of a test."""
    suite = project(
        {
            "test_x.py": """
                import asyncio
                import sqlalchemy.orm

                kept = []

                async def use(keep):
                    from sqlalchemy import text
                    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
                    engine = create_async_engine("sqlite+aiosqlite:///app.db")
                    async with AsyncSession(engine) as session:
                        await session.execute(text("SELECT 1"))
                    if keep:
                        kept.append(session)
                        await session.execute(text("SELECT 1"))
                    else:
                        await engine.dispose()

                def test_fine():
                    asyncio.run(use(False))

                def test_again():
                    asyncio.run(use(True))
            """
        }
    )
    assert suite.run("-k", "again", subprocess=True).found == ["SG202 test_again"]
    assert suite.run("-k", "fine", subprocess=True).is_clean()


def test_both_at_once(project):
    """Threads that import core and ORM at the same time come to an end, and are all watched."""
    run = project(
        {
            "test_x.py": """
                import threading

                kept = []
                start = threading.Barrier(6)

                def use_core():
                    start.wait()
                    from sqlalchemy import create_engine
                    kept.append(create_engine("sqlite:///app.db").connect())

                def use_orm():
                    start.wait()
                    from sqlalchemy.orm import Session
                    from sqlalchemy import create_engine
                    kept.append(Session(create_engine("sqlite:///app.db")).connection())

                def test_all():
                    threads = [threading.Thread(target=use) for use in [use_core, use_orm] * 3]
                    for thread in threads:
                        thread.start()
                    for thread in threads:
                        thread.join()
                    assert len(kept) == 6
            """
        }
    ).run(subprocess=True)
    assert run.results == {"test_all": "passed, error at teardown"}
    assert set(run.found) == {"SG101 test_all"}
    assert sum(finding.facts["count"] for finding in run.findings) == 6
    assert run.fault == ""


STATE = """
    import sys
    import pytest

    def finders():
        return [type(finder).__module__ for finder in sys.meta_path]

    before = list(sys.meta_path)
    assert pytest.main(["-p", "no:hypothesispytest", "-p", "no:cacheprovider", *sys.argv[1:]]) == 0
    assert not [name for name in finders() if "sessionguard" in name], finders()
    assert [each for each in before if each not in sys.meta_path] == []
    module = sys.modules.get("sqlalchemy")
    if module is not None:
        from sqlalchemy import Dialect
        from sqlalchemy.pool import Pool, StaticPool
        for function in (Dialect.engine_created, Pool.connect, StaticPool.connect):
            assert not hasattr(function, "__wrapped__"), function
    print("as before", module is not None, "sqlalchemy.orm" in sys.modules)
"""


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("pass", "False False"),
        ("import sqlalchemy", "True False"),
        ("import sqlalchemy; sqlalchemy.create_engine('sqlite://').dispose()", "True True"),
        ("import sqlalchemy.orm", "True True"),
    ],
)
def test_nothing_stays(project, body, left):
    """After the run finders and classes are as they were, and the ORM comes only where it must."""
    suite = project({"main.py": STATE, "test_x.py": f"def test_it(): {body}"})
    # The process ends with the test, whose last look would import the ORM as it always has.
    suite.write("test_x.py", f"import pytest\ndef test_it():\n    {body}\n    pytest.exit('', 0)\n")
    command = [sys.executable, "main.py"]
    done = subprocess.run(command, cwd=suite.path, capture_output=True, text=True, check=False)
    assert f"as before {left}" in done.stdout, done.stdout + done.stderr


def test_runs_within_runs(project):
    """A run within a run awaits by itself, and the outer one goes on after it."""
    run = project(
        {
            "test_x.py": """
                import sys

                pytest_plugins = ["pytester"]
                kept = []

                def count():
                    return [type(f).__name__ for f in sys.meta_path].count("Arrivals")

                def test_outer(pytester):
                    assert count() == 1
                    pytester.makepyfile("def test_inner(): pass")
                    pytester.runpytest_inprocess().assert_outcomes(passed=1)
                    assert count() == 1
                    from sqlalchemy import create_engine
                    kept.append(create_engine("sqlite:///app.db").connect())
            """,
        }
    ).run("-p", "pytester", subprocess=True)
    assert run.found == ["SG101 test_outer"], run.text


OURS = {
    "assertion": "from pytest_sessionguard import assert_dependency_closes, assert_detached",
    "instances": "from pytest_sessionguard.instances import anatomy",
    "watchers": "import pytest_sessionguard.watch.private",
    "postgres": "import pytest_sessionguard.postgres as p; p.url_for('postgresql://h/d', 'x')",
}


@pytest.mark.parametrize("ours", OURS)
def test_imported_by_ours(project, ours):
    """Where a module of ours is the first that imports it, that changes nothing."""
    tests = f"""
        kept = []

        def test_leak():
            {OURS[ours]}
            from sqlalchemy import create_engine
            kept.append(create_engine("sqlite:///app.db").connect())

        def test_session():
            from sqlalchemy import create_engine, text
            from sqlalchemy.orm import Session
            kept.append(Session(create_engine("sqlite:///app.db")))
            kept[-1].execute(text("SELECT 1"))
    """
    run = project({"test_x.py": tests}).run(subprocess=True)
    assert run.fault == "", run.text
    assert run.found == ["SG101 test_leak", "SG101 test_session"]


@pytest.mark.parametrize("names", (("sqlalchemy",), ("sqlalchemy", "sqlalchemy.orm")))
def test_hidden(project, names):
    """A test that hides SQLAlchemy, as where it is not installed, does not end the watching."""
    tests = f"""
        import sys
        import pytest
        kept = []

        @pytest.fixture
        def hidden(monkeypatch):
            for name in {names}:
                monkeypatch.setitem(sys.modules, name, None)

        def test_without(hidden):
            with pytest.raises(ImportError):
                import sqlalchemy

        def test_leak():
            from sqlalchemy import create_engine
            kept.append(create_engine("sqlite:///app.db").connect())
    """
    run = project({"test_x.py": tests}).run(subprocess=True)
    assert run.fault == "", run.text
    assert run.found == ["SG101 test_leak"]


PLACES = (
    "watch.arrivals.Arrivals._attend",
    "watch.Watchers._join",
    "watch.Watchers._await_use",
    "watch.Watchers._install_all",
    "watch.first_use.FirstUse.install",
    "watch.first_use.find_definers",
)


@pytest.mark.parametrize("place", PLACES)
def test_faults_inside(project, place):
    """A fault in the middle of the user's import, or of their first engine, changes no result."""
    module, _, name = place.rpartition(".")
    suite = make_suite("engine")
    suite["conftest.py"] = f"""
        import pkgutil

        def boom(*args, **kwargs):
            raise ZeroDivisionError("deliberate")

        # Before the guard is made, which keeps some of these.
        setattr(pkgutil.resolve_name("pytest_sessionguard.{module}"), "{name}", boom)
    """
    run = project(suite).run(subprocess=True)
    assert set(run.results.values()) == {"passed"}, run.text
    assert run.exit == 0
    assert run.fault == "ZeroDivisionError: deliberate"
    assert [category for category, _ in run.warnings].count("SessionGuardWarning") == 1
