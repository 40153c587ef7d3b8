"""The plugin comes, goes and waits: how it is loaded, and what it never imports."""

from __future__ import annotations

import subprocess
import sys

import pytest

LEAK = """
    from sqlalchemy import create_engine

    engine = create_engine("sqlite:///app.db")
    kept = []

    def test_leak():
        kept.append(engine.connect())
"""


def test_autoload(project):
    """An installed plugin works without a word."""
    run = project({"test_x.py": LEAK}).run()
    assert run.found == ["SG101 test_leak"]
    assert run.results == {"test_leak": "passed, error at teardown"}
    assert run.exit == 1


def test_named(project):
    """`-p sessionguard` beside autoload loads it once."""
    run = project({"test_x.py": LEAK}).run("-p", "sessionguard", subprocess=True)
    assert run.found == ["SG101 test_leak"]


def test_named_without_autoload(project):
    """`-p sessionguard` is enough where autoload is off."""
    run = project({"test_x.py": LEAK}).run(
        "-p", "sessionguard", subprocess=True, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"
    )
    assert run.found == ["SG101 test_leak"]
    assert run.exit == 1


def test_without_autoload(project):
    """Where autoload is off and nobody names it, it is absent."""
    run = project({"test_x.py": LEAK}).run(subprocess=True, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert run.results == {"test_leak": "passed"}
    assert "sessionguard:" not in run.text


def test_pytest_plugins(project):
    """`pytest_plugins = ["sessionguard"]` in a conftest loads it."""
    suite = project({"test_x.py": LEAK, "conftest.py": 'pytest_plugins = ["sessionguard"]'})
    assert suite.run(subprocess=True).found == ["SG101 test_leak"]
    if pytest.version_tuple >= (9, 0):  # before, it looked up no entry point where autoload is off
        run = suite.run(subprocess=True, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
        assert run.found == ["SG101 test_leak"]


def test_refused(project):
    """`-p no:sessionguard` takes it out whole."""
    run = project({"test_x.py": LEAK}).run("-p", "no:sessionguard")
    assert run.results == {"test_leak": "passed"}
    assert run.exit == 0
    assert "sessionguard:" not in run.text


def test_import_is_light():
    """Importing the plugin imports neither SQLAlchemy nor a driver."""
    code = (
        "import sys, pytest_sessionguard, pytest_sessionguard.plugin\n"
        "heavy = {'sqlalchemy', 'psycopg', 'asyncpg', 'greenlet', 'testcontainers'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_unrelated_project(project):
    """A project without SQLAlchemy never gets it imported, and sees no line of the guard."""
    run = project(
        {
            "test_x.py": """
                import sys

                def test_sum():
                    assert 1 + 1 == 2
            """,
            "conftest.py": """
                import sys

                def pytest_unconfigure():
                    assert "sqlalchemy" not in sys.modules
                    print("never imported")
            """,
        }
    ).run("--no-header", subprocess=True)
    assert run.results == {"test_sum": "passed"}
    assert "never imported" in run.text
    assert "sessionguard:" not in run.text


def test_named_in_unrelated_project(project):
    """Where it was asked for by name it says that there was nothing to judge."""
    run = project({"test_x.py": "def test_sum(): pass"}).run("-p", "sessionguard", subprocess=True)
    assert "0 engines seen: no connection was taken, so nothing could be found" in run.closing


def test_imported_by_fixture(project):
    """A project that imports SQLAlchemy only in a fixture is watched from there on."""
    run = project(
        {
            "test_x.py": """
                import pytest

                kept = []

                @pytest.fixture
                def engine():
                    from sqlalchemy import create_engine
                    return create_engine("sqlite:///app.db")

                def test_leak(engine):
                    kept.append(engine.connect())

                def test_fine(engine):
                    with engine.connect():
                        pass
            """
        }
    ).run(subprocess=True)
    assert run.found == ["SG101 test_leak"]
    assert run.results["test_fine"] == "passed"


def test_imported_by_test(project):
    """A test that imports SQLAlchemy itself is watched from its import on, and judged."""
    run = project(
        {
            "test_x.py": """
                kept = []

                def test_first():
                    from sqlalchemy import create_engine
                    kept.append(create_engine("sqlite:///app.db").connect())

                def test_second():
                    from sqlalchemy import create_engine
                    kept.append(create_engine("sqlite:///app.db").connect())
            """
        }
    ).run(subprocess=True)
    assert run.found == ["SG101 test_first", "SG101 test_second"]


def test_engine_before_installation(project):
    """An engine with connections in its pool, made before the guard came, is still watched."""
    run = project(
        {
            "conftest.py": """
                from sqlalchemy import create_engine
                engine = create_engine("sqlite:///app.db")
                engine.connect().close()
            """,
            "test_x.py": """
                from conftest import engine

                kept = []

                def test_leak():
                    kept.append(engine.connect())
            """,
        }
    ).run(subprocess=True)
    assert run.found == ["SG101 test_leak"]


def test_open_before_installation(project):
    """What was open before the guard came is not judged, whoever closes or uses it."""
    run = project(
        {
            "conftest.py": """
                from sqlalchemy import create_engine, text
                from sqlalchemy.orm import Session
                engine = create_engine("sqlite:///app.db")
                early = engine.connect()
                session = Session(engine)
                session.execute(text("SELECT 1"))
            """,
            "test_x.py": """
                from conftest import early, session, text

                def test_use():
                    assert early.scalar(text("SELECT 1")) == 1
                    assert session.scalar(text("SELECT 1")) == 1

                def test_close():
                    early.close()
                    session.close()
                    assert session.scalar(text("SELECT 1")) == 1
            """,
        }
    ).run(subprocess=True)
    assert run.is_clean()


def test_session_before_installation(project):
    """The connection that a session made before the guard takes later is never due."""
    run = project(
        {
            "conftest.py": """
                from sqlalchemy import create_engine, text
                from sqlalchemy.orm import Session
                engine = create_engine("sqlite:///app.db")
                session = Session(engine)
            """,
            "test_x.py": """
                from conftest import session, text

                def test_use():
                    assert session.scalar(text("SELECT 1")) == 1
            """,
        }
    ).run(subprocess=True)
    assert run.is_clean()


def test_removed_at_the_end(project):
    """After a run SQLAlchemy's classes are as they were."""
    suite = project(
        {
            "test_x.py": LEAK,
            "main.py": """
                import pytest
                from sqlalchemy import event
                from sqlalchemy.ext.asyncio import AsyncSession
                from sqlalchemy.orm import Session
                from sqlalchemy.pool import Pool

                def state():
                    return [dict(vars(class_)) for class_ in (Session, AsyncSession, Pool)]

                before = state()
                assert pytest.main(["-p", "no:hypothesispytest"]) == 1
                assert state() == before
                engine = pytest.importorskip("sqlalchemy").create_engine("sqlite://")
                assert not list(engine.pool.dispatch.checkout)
                print("as before")
            """,
        }
    )
    done = subprocess.run(
        [sys.executable, "main.py"], cwd=suite.path, capture_output=True, text=True, check=False
    )
    assert "1 SG101 leaked-connection" in done.stdout
    assert "as before" in done.stdout, done.stdout + done.stderr


def test_runs_do_not_mix(project):
    """A second run in the same process begins with an empty ledger."""
    suite = project({"test_x.py": LEAK})
    assert suite.run().found == ["SG101 test_leak"]
    assert suite.run().found == ["SG101 test_leak"]
