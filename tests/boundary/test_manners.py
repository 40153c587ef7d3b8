"""How services are asked for, how they are found, and that nothing else changes."""

# ruff: noqa: E501 (lines are as long as a user sees them)

from __future__ import annotations

from typing import Any

import pytest

FAULTY = """
    def add(name="x"):
        with factory() as session:
            user = User(name=name)
            session.add(user)
            session.commit()
            return user

    def fine():
        with factory() as session:
            return session.get(User, 1)
"""
BARE = "[pytest]\nasyncio_mode = auto\npythonpath = .\n"


def test_who_imported_before(run_suite: Any) -> None:
    """The function object itself is led past: from whatever module, default or registry."""
    run = run_suite(
        FAULTY,
        """
        import functools
        from conftest import add, registered, bound

        def test_name():
            add()

        def test_registry():
            registered["add"]()

        def test_default(function=add):
            function()

        def test_partial():
            functools.partial(add, "y")()

        def test_bound():
            bound()
        """,
        files={
            "app/services.py": """
                from app.models import *

                def add(name="x"):
                    with factory() as session:
                        user = User(name=name)
                        session.add(user)
                        session.commit()
                        return user

                class Users:
                    def add(self):
                        return add()
            """,
            "conftest.py": """
                import pytest
                from app.models import reset
                from app.services import Users, add

                registered = {"add": add}
                bound = Users().add

                @pytest.fixture(autouse=True)
                def tables():
                    reset()
            """,
        },
    )
    tests = ("bound", "default", "name", "partial", "registry")
    assert run.found == [f"SG302 test_{name}" for name in tests], run.text


def test_marker(run_suite: Any) -> None:
    """A marker asks for one test, a class or a module; what comes after is as it was."""
    run = run_suite(
        FAULTY,
        """
        before = services.add.__code__

        @pytest.mark.sessionguard(services="app.services.*")
        def test_marked():
            assert services.add.__code__ is not before
            services.add()

        def test_unmarked():
            assert services.add.__code__ is before
            assert "__wrapped__" not in vars(services.add)
            services.add()

        @pytest.mark.sessionguard(services=["app.services", "app.other"])
        class TestClass:
            def test_listed(self):
                services.add()
        """,
        files={"pytest.ini": BARE},
    )
    assert run.found == ["SG302 test_listed", "SG302 test_marked"], run.text
    assert "matches 'app.other'" in run.text


def test_command_line(run_suite: Any) -> None:
    """So does the command line, which says so in the header."""
    run = run_suite(
        FAULTY,
        "def test_a(): services.add()",
        "--sessionguard-services=app.models",
        "--sessionguard-services=app.serv*",
        files={"pytest.ini": BARE},
    )
    assert run.found == ["SG302 test_a"]
    assert "sessionguard_services=app.models,app.serv* (from command line)" in run.header


def test_handle(run_suite: Any) -> None:
    """And the fixture: for the rest of a test, or for a block."""
    run = run_suite(
        FAULTY,
        """
        before = services.add.__code__

        def test_rest(sessionguard):
            services.add()
            sessionguard.services("app.services.*")
            services.add()

        def test_after():
            assert services.add.__code__ is before
            services.add()

        def test_block(sessionguard):
            with sessionguard.services("app.services"):
                services.fine()
            assert services.add.__code__ is before
            services.add()

        def test_both(sessionguard):
            outer = sessionguard.services("app.services")
            with sessionguard.services("app.*"):
                services.fine()
            assert services.add.__code__ is not before
            outer.end()
            assert services.add.__code__ is before

        def test_typo(sessionguard):
            with pytest.raises(ValueError, match="'app/services' is no pattern"):
                sessionguard.services("app/services")
        """,
        files={"pytest.ini": BARE},
    )
    assert run.found == ["SG302 test_rest"], run.text
    assert run.findings[0].facts["count"] == 1
    assert set(run.results.values()) == {"passed", "passed, error at teardown"}


@pytest.mark.parametrize(
    "pattern", ["app/services", "app.services.", "*", "1app", "app..x", ".app"]
)
def test_no_pattern(pattern: str, run_suite: Any) -> None:
    """What is no dotted name is a usage error, in one line."""
    run = run_suite(
        FAULTY,
        "def test_a(): pass",
        f"--sessionguard-services={pattern}",
        files={"pytest.ini": BARE},
    )
    assert run.exit == 4
    (line,) = [line for line in run.text.splitlines() if line.startswith("ERROR")]
    assert line == (
        f"ERROR: sessionguard_services: {pattern!r} is no pattern of modules: it is a dotted name "
        "that begins with a package, such as 'app.services.*'. (from command line)"
    )


def test_no_pattern_in_a_marker(run_suite: Any) -> None:
    """The same in a marker."""
    run = run_suite(
        FAULTY,
        """
        @pytest.mark.sessionguard(services="app/services")
        def test_a(): pass
        """,
        files={"pytest.ini": BARE},
    )
    assert run.exit == 4
    assert "test_x.py::test_a: sessionguard_services: 'app/services' is no pattern" in run.text


def test_a_pattern_that_matches_nothing(run_suite: Any) -> None:
    """It is said: a suite that checks nothing must not look healthy."""
    run = run_suite(
        FAULTY,
        "def test_a(): services.fine()",
        "--sessionguard-services=app.servics.*",
        "--sessionguard-services=app.services.*",
        files={"pytest.ini": BARE},
    )
    assert run.shows(
        """
        sessionguard: no function of an imported module matches 'app.servics.*': no service of that name was checked
        """
    )
    assert "matches 'app.services.*'" not in run.text
    assert run.exit == 0


def test_a_module_without_functions(run_suite: Any) -> None:
    """A module in which there is nothing to check counts for nothing."""
    run = run_suite(
        FAULTY,
        "def test_a(): services.fine()",
        "--sessionguard-services=app",
        files={"pytest.ini": BARE},
    )
    assert "no function of an imported module matches 'app'" in run.text


def test_modules_that_are_imported_late(run_suite: Any) -> None:
    """Whatever imports a module: a test, a fixture, a reload."""
    late = {
        f"app/{name}.py": "from app.models import *\n\ndef add():\n"
        "    with factory() as session:\n"
        "        user = User(name='x')\n"
        "        session.add(user)\n"
        "        session.commit()\n"
        "        return user\n"
        for name in ("one", "two", "three")
    }
    run = run_suite(
        "def nothing(): pass",
        """
        import importlib
        import sys

        def test_imports():
            import app.one

        def test_imported_by_a_test():
            import app.one
            app.one.add()

        @pytest.fixture
        def two():
            import app.two
            return app.two

        def test_imported_by_a_fixture(two):
            two.add()

        @pytest.fixture
        def reloaded():
            import app.one
            return importlib.reload(app.one)

        def test_reloaded(reloaded):
            reloaded.add()

        @pytest.fixture
        def again():
            del sys.modules["app.one"]
            import app.one
            return sys.modules["app.one"]

        def test_imported_again(again):
            again.add()

        def test_asked_in_the_test(sessionguard):
            from app import three
            sessionguard.services("app.three")
            three.add()
        """,
        files={**late, "pytest.ini": BARE + "sessionguard_services = app.one app.two\n"},
    )
    assert run.found == [
        "SG302 test_asked_in_the_test",
        "SG302 test_imported_again",
        "SG302 test_imported_by_a_fixture",
        "SG302 test_imported_by_a_test",
        "SG302 test_reloaded",
    ], run.text


def test_everything_is_as_before_at_the_end(run_suite: Any) -> None:
    """After the run no function is led past anything, not even where the run was interrupted."""
    run = run_suite(
        FAULTY,
        """
        def test_a():
            assert hasattr(services.add, "__wrapped__")

        def test_b():
            raise KeyboardInterrupt
        """,
        files={
            "conftest.py": """
                from app import services
                before = services.add.__code__

                def pytest_unconfigure():
                    assert services.add.__code__ is before
                    assert vars(services.add) == {}
                    print("as before")
            """
        },
        subprocess=True,
    )
    assert run.exit == 2
    assert "as before" in run.text


def test_doubles(run_suite: Any) -> None:
    """A patched service is not called, an autospec checks calls, and what is wrapped is judged."""
    run = run_suite(
        FAULTY,
        """
        from unittest import mock

        def test_patched():
            with mock.patch("app.services.add") as double:
                services.add("x")
            double.assert_called_once_with("x")

        def test_autospec():
            with mock.patch("app.services.add", autospec=True, return_value=5) as double:
                assert services.add(name="x") == 5
                with pytest.raises(TypeError):
                    services.add(nmae="x")
            double.assert_called_once_with(name="x")

        def test_monkeypatch(monkeypatch):
            monkeypatch.setattr(services, "add", lambda: services.fine())
            services.add()

        def test_wraps():
            with mock.patch("app.services.add", wraps=services.add):
                services.add()
        """,
    )
    assert run.found == ["SG302 test_wraps"], run.text
    assert set(run.results.values()) == {"passed", "passed, error at teardown"}


def test_pickling(run_suite: Any) -> None:
    """Services travel to other processes, and come back with their results."""
    run = run_suite(
        FAULTY,
        """
        import concurrent.futures
        import multiprocessing
        import pickle

        def test_pickle():
            assert pickle.loads(pickle.dumps(services.add)) is services.add

        def test_processes():
            context = multiprocessing.get_context("spawn")
            with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
                assert pool.submit(services.fine).result().name == "secret-name"
        """,
        subprocess=True,
    )
    assert run.is_clean()


def test_web_application(run_suite: Any) -> None:
    """Services behind routes, captured when the application was made, with and without a session."""
    pytest.importorskip("fastapi")
    pytest.importorskip("httpx")
    run = run_suite(
        FAULTY,
        """
        from app.web import app
        from fastapi.testclient import TestClient

        @pytest.fixture
        def client():
            with TestClient(app) as client:
                yield client

        def test_fine(client):
            assert client.get("/fine").json() == {"name": "secret-name"}

        def test_lent(client):
            assert client.get("/lent").json() == {"name": "secret-name"}

        def test_bad(client):
            assert client.get("/bad").json() == {}

        def test_route(client):
            assert client.get("/route").status_code == 200
        """,
        "-Wignore",
        files={
            "app/web.py": """
                from fastapi import Depends, FastAPI
                from app.models import User, factory
                from app.services import add, fine

                app = FastAPI()

                def get_session():
                    with factory() as session:
                        yield session

                def load(session, number):
                    return session.get(User, number)

                @app.get("/fine")
                async def show_fine(user=Depends(fine)):
                    return {"name": user.name}

                @app.get("/lent")
                def show_lent(session=Depends(get_session)):
                    return {"name": load(session, 1).name}

                @app.get("/bad")
                def show_bad(user=Depends(add)):
                    return {}

                @app.get("/route", response_model=None)
                def leaking_route():
                    factory.kept = factory()
                    factory.kept.get(User, 1)
                    return {}
            """,
            "pytest.ini": BARE + "sessionguard_services = app.services.* app.web\n",
        },
    )
    assert run.found == ["SG101 test_route", "SG302 test_bad"], run.text
    facts = {f.owner.name: f.facts for f in run.findings}
    assert facts["test_route"]["boundary"] == "app.web.leaking_route"


def test_fixtures_are_owners(run_suite: Any) -> None:
    """A service that a fixture calls is the fixture's fault, told when the fixture is due."""
    run = run_suite(
        FAULTY,
        """
        @pytest.fixture(scope="module")
        def user():
            return services.add()

        def test_first(user): pass

        def test_last(user): pass
        """,
        files={"conftest.py": "from app.models import reset\nreset()\n"},
    )
    (finding,) = run.findings
    assert (finding.rule, str(finding.owner)) == ("SG302", "the module-scoped fixture `user`")
    assert run.results == {"test_first": "passed", "test_last": "passed, error at teardown"}


def test_imports_are_never_due(run_suite: Any) -> None:
    """What a module does when it is imported is not judged."""
    run = run_suite(
        FAULTY,
        """
        services.add()

        def test_a():
            services.fine()
        """,
        files={"conftest.py": "from app.models import reset\nreset()\n"},
    )
    assert run.is_clean()


def test_warn_and_off(run_suite: Any) -> None:
    """`--sessionguard=warn` fails nothing, `off` looks at nothing, and the fixture still works."""
    tests = """
        def test_a(sessionguard):
            sessionguard.services("app.services")
            services.add()

        def test_call(sessionguard):
            assert sessionguard.call(services.fine).id == 1
    """
    run = run_suite(FAULTY, tests, "--sessionguard=warn")
    assert (run.exit, run.found) == (0, ["SG302 test_a"])
    assert "SG302 unloaded-result: app.services.add returned 1 User" in run.text
    run = run_suite(FAULTY, tests, "--sessionguard=off")
    assert (run.exit, run.found) == (0, [])
    assert "SG302" not in run.text


@pytest.mark.parametrize("severity", ["ignore", "warn"])
def test_severities(severity: str, run_suite: Any) -> None:
    """The rules can be turned down in the settings like all others."""
    run = run_suite(FAULTY, "def test_a(): services.add()", f"--sessionguard-{severity}=SG3")
    assert run.exit == 0
    assert run.found == ([] if severity == "ignore" else ["SG302 test_a"])


def test_xdist(run_suite: Any) -> None:
    """Findings of services and news of patterns arrive from workers."""
    run = run_suite(
        FAULTY,
        """
        @pytest.mark.parametrize("number", range(4))
        def test_fine(number):
            services.fine()

        def test_bad():
            services.add()
        """,
        "-n2",
        "--sessionguard-services=app.services.*",
        "--sessionguard-services=app.servics.*",
        files={"conftest.py": "import pytest\n", "app/models.py": XDIST_MODELS},
    )
    assert run.found == ["SG302 test_bad"], run.text
    assert "matches 'app.servics.*'" in run.text
    assert "matches 'app.services.*'" not in run.text


XDIST_MODELS = """
    from sqlalchemy import create_engine
    from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker
    from sqlalchemy.pool import StaticPool

    class Base(DeclarativeBase):
        pass

    class User(Base):
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    engine = create_engine("sqlite://", poolclass=StaticPool)
    factory = sessionmaker(engine)
    Base.metadata.create_all(engine)
"""


def test_a_fault_inside_changes_no_result(run_suite: Any) -> None:
    """A fault of the judge's is one warning, and the service returns what it returned."""

    def sabotage(patch: pytest.MonkeyPatch) -> None:
        def fail(*args: Any) -> Any:
            raise ZeroDivisionError("mine")

        patch.setattr("pytest_sessionguard.boundary.boundary.judge", fail)

    run = run_suite(
        FAULTY,
        """
        def test_a():
            assert services.fine().name == "secret-name"

        def test_b():
            services.add()
        """,
        sabotage=sabotage,
    )
    assert (run.exit, run.found, run.fault) == (0, [], "ZeroDivisionError: mine")
    assert 1 == sum("mine" in text for _, text in run.warnings)


def test_a_fault_at_the_gate_changes_no_result(run_suite: Any) -> None:
    """So is one where a call begins, or where what is opened is tagged."""

    def sabotage(patch: pytest.MonkeyPatch) -> None:
        def fail(*args: Any) -> Any:
            raise ZeroDivisionError("mine")

        patch.setattr("pytest_sessionguard.accounts.scopes.Scope.take_session", fail)

    run = run_suite(
        FAULTY,
        "def test_a(): assert services.fine().name == 'secret-name'",
        sabotage=sabotage,
    )
    assert (run.exit, run.found, run.fault) == (0, [], "ZeroDivisionError: mine")


def test_test_modules_are_no_services(run_suite: Any) -> None:
    """Tests that live inside the package call services and are none."""
    run = run_suite(
        FAULTY,
        "def test_a(): pass",
        files={
            "pytest.ini": BARE + "sessionguard_services = app.*\n",
            "app/test_inside.py": """
                from app import services

                def test_inside():
                    services.add()
            """,
        },
    )
    assert run.found == ["SG302 test_inside"], run.text
    assert run.findings[0].facts["function"] == "app.services.add"


def test_tracebacks(run_suite: Any) -> None:
    """The traceback of a service that raises shows the user's frames only."""
    run = run_suite(
        """
        def fail():
            raise KeyError("mine")
        """,
        "def test_a(): services.fail()",
    )
    failure = run.failure("test_a")
    assert "sessionguard" not in failure
    assert "def fail():" in failure
    assert "services.fail()" in failure
