"""Who is blamed: tests, fixtures of every scope, and nobody where a thing ends in time."""

from __future__ import annotations

import pytest
from harness import APP

WIDER = ("class", "module", "package", "session")


def test_test(project):
    """A connection that a test leaks is its own, and the next test stays green."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                from app import fine, leak

                def test_leak():
                    assert leak() == 1

                def test_next():
                    assert fine() == 1
            """,
        }
    ).run()
    assert run.found == ["SG101 test_leak"]
    assert run.results == {"test_leak": "passed, error at teardown", "test_next": "passed"}


def test_function_fixture(project):
    """A connection that a function fixture leaks is the fixture's."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import leak

                @pytest.fixture
                def row():
                    return leak()

                def test_row(row):
                    assert row == 1
            """,
        }
    ).run()
    assert run.found == ["SG101 fixture `row`"]
    assert run.results == {"test_row": "passed, error at teardown"}


@pytest.mark.parametrize("scope", WIDER)
def test_wider_fixture(project, scope):
    """A connection that a wider fixture leaks is blamed on it, not on the test that came last."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": f"""
                import pytest
                from app import leak

                @pytest.fixture(scope="{scope}")
                def row():
                    yield leak()

                class TestRow:
                    def test_first(self, row):
                        assert row == 1

                    def test_last(self, row):
                        assert row == 1
            """,
        }
    ).run()
    assert run.found == ["SG101 fixture `row`"]
    (finding,) = run.findings
    assert finding.owner.scope == scope
    assert finding.site.frames[0].function == "leak"
    assert finding.told_at == "test_x.py::TestRow::test_last"
    assert run.results == {"test_first": "passed", "test_last": "passed, error at teardown"}
    assert (
        "The test that pytest names here ran when the fixture ended; it is not at fault."
        in run.text
    )


@pytest.mark.parametrize("scope", ("function", *WIDER))
def test_fixture_that_closes(project, scope):
    """A connection that a fixture holds for all its tests and then closes is no finding."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": f"""
                import pytest
                from app import engine, text

                @pytest.fixture(scope="{scope}")
                def connection():
                    with engine.connect() as connection:
                        yield connection

                class TestRow:
                    def test_first(self, connection):
                        assert connection.scalar(text("SELECT 1")) == 1

                    def test_last(self, connection):
                        assert connection.scalar(text("SELECT 1")) == 1

                def test_other():
                    pass
            """,
        }
    ).run()
    assert run.is_clean()


@pytest.mark.parametrize("scope", ("module", "session"))
def test_session_of_wider_fixture(project, scope):
    """A session that a wider fixture keeps, used by tests, takes no connection of theirs."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": f"""
                import pytest
                from app import Session, engine, text

                @pytest.fixture(scope="{scope}")
                def session():
                    session = Session(engine)
                    yield session
                    session.close()

                def test_first(session):
                    assert session.scalar(text("SELECT 1")) == 1

                def test_last(session):
                    session.commit()
                    assert session.scalar(text("SELECT 1")) == 1
            """,
        }
    ).run()
    assert run.is_clean()


def test_session_of_fixture_left_open(project):
    """What a test's statement takes for a module fixture's session is the fixture's."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import Session, engine, kept, text

                @pytest.fixture(scope="module")
                def session():
                    kept.append(Session(engine))
                    return kept[0]

                def test_first(session):
                    assert session.scalar(text("SELECT 1")) == 1

                def test_last(session):
                    pass
            """,
        }
    ).run()
    assert run.found == ["SG101 fixture `session`"]
    assert run.results["test_first"] == "passed"


def test_teardown_returns(project):
    """A connection that a function fixture's teardown returns for the test is no finding."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import engine, kept, leak

                @pytest.fixture
                def cleaner():
                    yield
                    kept.pop().close()

                def test_row(cleaner):
                    leak()
            """,
        }
    ).run()
    assert run.is_clean()


def test_autouse_cleaner(project):
    """An autouse fixture, set up first and torn down last, may close what others opened."""
    run = project(
        {
            "app.py": APP,
            "conftest.py": """
                import pytest
                from app import kept

                @pytest.fixture(autouse=True)
                def cleaner():
                    yield
                    while kept:
                        kept.pop().close()
            """,
            "test_x.py": """
                import pytest
                from app import leak, use_after

                @pytest.fixture
                def row():
                    yield leak()

                def test_row(row):
                    assert leak() == row
            """,
        }
    ).run()
    assert run.is_clean()


def test_addfinalizer(project):
    """A finalizer added by `request.addfinalizer` closes in time."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import engine, text

                @pytest.fixture
                def connection(request):
                    connection = engine.connect()
                    request.addfinalizer(connection.close)
                    return connection

                @pytest.fixture(scope="module")
                def lasting(request):
                    connection = engine.connect()
                    request.addfinalizer(connection.close)
                    return connection

                def test_row(request, connection, lasting):
                    another = engine.connect()
                    request.addfinalizer(another.close)
                    assert connection.scalar(text("SELECT 1")) == 1
            """,
        }
    ).run()
    assert run.is_clean()


def test_opened_in_teardown(project):
    """What a fixture's teardown opens and leaves open is the fixture's."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import leak

                @pytest.fixture
                def row():
                    yield
                    leak()

                @pytest.fixture(scope="module")
                def rows():
                    yield
                    leak()

                def test_first(row, rows):
                    pass

                def test_last(rows):
                    pass
            """,
        }
    ).run()
    assert run.found == ["SG101 fixture `row`", "SG101 fixture `rows`"]


def test_function_fixture_and_test(project):
    """What a test and its fixture leak in one run are two findings in one error."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import engine, kept, leak

                @pytest.fixture
                def row():
                    kept.append(engine.connect())

                def test_row(row):
                    leak()
            """,
        }
    ).run()
    assert run.found == ["SG101 fixture `row`", "SG101 test_row"]
    assert run.results == {"test_row": "passed, error at teardown"}


def test_dynamic_fixture(project):
    """A fixture got by `getfixturevalue` in the call phase owns its own, the test the rest."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import engine, kept, leak

                @pytest.fixture
                def row():
                    return leak()

                def test_row(request):
                    kept.append(engine.connect())
                    request.getfixturevalue("row")
                    kept.append(engine.connect())
            """,
        }
    ).run()
    assert sorted((f.owner.name, f.site.frames[0].line) for f in run.findings) == [
        ("fixture `row`", 9),
        ("test_row", 9),
        ("test_row", 11),
    ]


def test_parametrised_test(project):
    """Each parameter is a test of its own."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import fine, leak

                @pytest.mark.parametrize("work", [fine, leak, fine], ids=["a", "b", "c"])
                def test_row(work):
                    work()
            """,
        }
    ).run()
    assert run.found == ["SG101 test_row[b]"]
    assert run.results == {
        "test_row[a]": "passed",
        "test_row[b]": "passed, error at teardown",
        "test_row[c]": "passed",
    }


def test_parametrised_fixture(project):
    """A wider fixture whose parameter changes is judged when it is finalised, mid-run."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import fine, leak

                @pytest.fixture(scope="module", params=[leak, fine, fine], ids=["a", "b", "c"])
                def row(request):
                    yield request.param()

                def test_first(row):
                    pass

                def test_second(row):
                    pass
            """,
        }
    ).run()
    assert run.found == ["SG101 fixture `row`"]
    bad = [name for name, result in run.results.items() if result != "passed"]
    assert bad == ["test_second[a]"] or bad == ["test_first[b]"]


def test_fixture_that_closes_another_scope(project):
    """What a function fixture opens, and a module fixture closes later, was out when due."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import kept, leak

                @pytest.fixture(scope="module")
                def cleaner():
                    yield
                    kept.pop().close()

                @pytest.fixture
                def row(cleaner):
                    return leak()

                def test_first(row):
                    pass

                def test_last(cleaner):
                    pass
            """,
        }
    ).run()
    assert run.found == ["SG101 fixture `row`"]


def test_import(project):
    """What a module opens when it is imported is never due."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                from app import engine, text

                connection = engine.connect()

                def test_row():
                    assert connection.scalar(text("SELECT 1")) == 1
            """,
        }
    ).run()
    assert run.is_clean()


def test_package_fixture(project):
    """A package's fixture is judged at the end of the package, not of the run."""
    run = project(
        {
            "app.py": APP,
            "conftest.py": "",
            "a/__init__.py": "",
            "a/conftest.py": """
                import pytest
                from app import leak

                @pytest.fixture(scope="package", autouse=True)
                def row():
                    yield leak()
            """,
            "a/test_one.py": "def test_one(): pass",
            "a/test_two.py": "def test_two(): pass",
            "test_z.py": "def test_z(): pass",
        }
    ).run("a", "test_z.py")
    assert run.found == ["SG101 fixture `row`"]
    assert run.results == {
        "test_one": "passed",
        "test_two": "passed, error at teardown",
        "test_z": "passed",
    }


SAVEPOINTS = """
    import pytest
    from app import Session, engine, text

    @pytest.fixture(scope="{scope}")
    def connection():
        with engine.connect() as connection:
            transaction = connection.begin()
            yield connection
            transaction.rollback()

    @pytest.fixture
    def session(connection):
        session = Session(connection, join_transaction_mode="create_savepoint")
        yield session
        session.close()

    def test_first(session):
        assert session.scalar(text("SELECT 1")) == 1
        session.commit()
        assert session.scalar(text("SELECT 1")) == 1

    def test_last(session):
        assert session.scalar(text("SELECT 1")) == 1
        session.rollback()
        assert session.scalar(text("SELECT 1")) == 1
"""


@pytest.mark.parametrize("scope", ("function", "module", "session"))
def test_savepoint_harness(project, scope):
    """A session bound to a fixture's connection takes no lease, whatever the fixture's scope."""
    run = project({"app.py": APP, "test_x.py": SAVEPOINTS.format(scope=scope)}).run()
    assert run.is_clean()


def test_session_bound_to_held_connection(project):
    """A session-scoped connection with a function session bound to it, left to pytest: no error."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import Session, engine, text

                @pytest.fixture(scope="session")
                def connection():
                    with engine.connect() as connection:
                        yield connection

                @pytest.fixture
                def session(connection):
                    with Session(bind=connection) as session:
                        yield session

                def test_first(session):
                    assert session.scalar(text("SELECT 1")) == 1

                def test_last(session):
                    assert session.scalar(text("SELECT 1")) == 1
            """,
        }
    ).run()
    assert run.is_clean()


def test_patched_factory(project):
    """A session that a fixture lends to code which closes it in a block may be used on."""
    run = project(
        {
            "app.py": """
                from sqlalchemy import create_engine, text
                from sqlalchemy.orm import Session, sessionmaker

                engine = create_engine("sqlite:///app.db")
                factory = sessionmaker(engine)

                def count():
                    with factory() as session:
                        return session.scalar(text("SELECT 1"))
            """,
            "test_x.py": """
                import app
                import pytest

                @pytest.fixture
                def session(monkeypatch):
                    session = app.Session(app.engine)
                    monkeypatch.setattr(app, "factory", lambda: session)
                    yield session
                    session.close()

                def test_count(session):
                    assert app.count() == 1
                    assert session.scalar(app.text("SELECT 1")) == 1
            """,
        }
    ).run()
    assert run.is_clean()


def test_static_pool(project):
    """Nested connections of a StaticPool share one record; each is judged by itself."""
    run = project(
        {
            "test_x.py": """
                from sqlalchemy import create_engine, text
                from sqlalchemy.pool import StaticPool

                engine = create_engine("sqlite://", poolclass=StaticPool)
                kept = []

                def test_nested():
                    with engine.connect() as outer:
                        with engine.connect() as inner:
                            assert inner.scalar(text("SELECT 1")) == 1
                        assert outer.scalar(text("SELECT 1")) == 1

                def test_crossed():
                    outer, inner = engine.connect(), engine.connect()
                    outer.close()
                    assert inner.scalar(text("SELECT 1")) == 1
                    inner.close()

                def test_leak():
                    kept.append(engine.connect())
                    with engine.connect() as inner:
                        assert inner.scalar(text("SELECT 1")) == 1
            """
        }
    ).run()
    assert run.found == ["SG101 test_leak"]
    assert run.results["test_nested"] == run.results["test_crossed"] == "passed"


def test_scoped_session_over_tests(project):
    """A `scoped_session` that a test did not remove is SG201 and no error."""
    run = project(
        {
            "test_x.py": """
                from sqlalchemy import create_engine, text
                from sqlalchemy.orm import scoped_session, sessionmaker

                engine = create_engine("sqlite:///app.db")
                session = scoped_session(sessionmaker(engine))

                def test_first():
                    assert session.scalar(text("SELECT 1")) == 1
                    session.remove()

                def test_last():
                    assert session.scalar(text("SELECT 1")) == 1
            """
        }
    ).run()
    assert run.found == ["SG201 test_last"]
    assert run.exit == 0


def test_xunit_functions(project):
    """Fixtures that pytest makes of xunit functions are called by the names in the source."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                from app import engine, kept

                def setup_module():
                    kept.append(engine.connect())

                def setup_function():
                    kept.append(engine.connect())

                def test_plain():
                    pass

                class TestIt:
                    @classmethod
                    def setup_class(cls):
                        kept.append(engine.connect())

                    def setup_method(self):
                        kept.append(engine.connect())

                    def test_method(self):
                        pass
            """,
        }
    ).run()
    assert [(f.owner.name, f.site.frames[0].function) for f in run.findings] == [
        ("setup_function of test_x", "setup_function"),
        ("setup_method of TestIt", "setup_method"),
        ("setup_class of TestIt", "setup_class"),
        ("setup_module of test_x", "setup_module"),
    ]


def test_xunit_functions_that_close(project):
    """xunit functions that close what they opened, and what tests opened, are fine."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                from app import engine, kept, leak

                def setup_module(module):
                    module.connection = engine.connect()

                def teardown_module(module):
                    module.connection.close()

                def teardown_function():
                    kept.pop().close()

                def test_first():
                    leak()

                def test_last():
                    leak()
            """,
        }
    ).run()
    assert run.is_clean()


def test_doctest(project):
    """A doctest is a test like any other."""
    run = project(
        {
            "app.py": APP,
            "work.py": '''
                def count():
                    """
                    >>> from app import fine
                    >>> fine()
                    1
                    """

                def count_badly():
                    """
                    >>> from app import leak
                    >>> leak()
                    1
                    """
            ''',
        }
    ).run("--doctest-modules", "work.py")
    assert run.found == ["SG101 work.count_badly"]
    assert run.results["work.count"] == "passed"


def test_places_in_doctests(project):
    """An example is shown with its line in its file, and a comment counts there."""
    run = project(
        {
            "app.py": APP,
            "work.py": '''
                """
                >>> from app import engine
                >>> with engine.connect() as connection: pass
                """

                def keep():
                    """Keep a connection.

                    >>> from app import engine, kept
                    >>> if True:
                    ...     kept.append(engine.connect())
                    """

                def mean_it():
                    """
                    >>> from app import engine, kept
                    >>> kept.append(engine.connect())
                    """  # sessionguard: ignore[SG101] it is to show what a leak is
            ''',
            "one/README.md": """
                # One

                >>> from app import engine, kept
                >>> kept.append(engine.connect())
            """,
            "two/README.md": """
                >>> from app import engine, kept
                >>> kept.append(engine.connect())
            """,
        }
    ).run("--doctest-modules", "--doctest-glob=*.md", "work.py", "one", "two")
    assert sorted(str(finding.site) for finding in run.findings) == [
        "one/README.md:4 in <module>",
        "two/README.md:2 in <module>",
        "work.py:11 in <module>",
    ]
    assert run.results["work"] == run.results["work.mean_it"] == "passed"


def test_doctests_within_a_test(project):
    """An example that no item of pytest's runs is shown by the name of its code."""
    run = project(
        {
            "app.py": APP,
            "work.py": '''
                """
                >>> from app import engine, fine, kept
                >>> fine()
                1
                >>> kept.append(engine.connect())
                """
            ''',
            "test_x.py": """
                import doctest
                import work

                def test_work():
                    assert doctest.testmod(work).failed == 0
            """,
        }
    ).run()
    (finding,) = run.findings
    assert [str(frame) for frame in finding.site.frames] == [
        "<doctest work[2]>:1 in <module>",
        "test_x.py:5 in test_work",
    ]


def test_text_doctest(project):
    """What a doctest keeps in a name of its own was out when it ended."""
    run = project(
        {
            "conftest.py": "from app import fine",
            "app.py": APP,
            "test_fine.txt": """
                >>> from app import fine
                >>> fine()
                1
            """,
            "test_leak.txt": """
                >>> from app import leak
                >>> leak()
                1
            """,
        }
    ).run()
    assert run.found == ["SG101 test_leak.txt"]
    assert run.results["test_fine.txt"] == "passed"


def test_setup_show(project):
    """`--setup-show` changes nothing."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import engine, fine, leak

                @pytest.fixture(scope="module")
                def row():
                    yield leak()

                @pytest.fixture
                def connection():
                    with engine.connect() as connection:
                        yield connection

                def test_row(row, connection):
                    assert fine() == row
            """,
        }
    ).run("--setup-show")
    assert run.found == ["SG101 fixture `row`"]
    assert "SETUP    M row" in run.text


@pytest.mark.parametrize("option", ("--setup-only", "--setup-plan"))
def test_setup_without_tests(project, option):
    """`--setup-only` judges fixtures that were set up; `--setup-plan` sets up none."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import leak

                @pytest.fixture
                def row():
                    return leak()

                def test_row(row):
                    pass
            """,
        }
    ).run(option)
    assert run.found == (["SG101 fixture `row`"] if option == "--setup-only" else [])


def test_reruns(project):
    """A test that is run again is judged each time, and only its last run counts."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                from app import engine, fine, kept

                def test_flaky():
                    kept.append(engine.connect())
                    assert len(kept) > 1
                    kept.pop().close()

                def test_next():
                    fine()
            """,
        }
    ).run("--reruns", "1")
    assert run.found == []
    assert run.results == {"test_flaky": "rerun, passed", "test_next": "passed"}


def test_rerun_of_a_leak(project):
    """A leak in a test that passed fails each of its runs."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                from app import leak

                def test_leak():
                    leak()
            """,
        }
    ).run("--reruns", "1")
    assert run.exit == 1
    assert set(run.found) == {"SG101 test_leak"}
    assert run.results["test_leak"].endswith("passed, error at teardown")


def test_threads_of_a_test(project):
    """What a thread that a test started opens is the test's."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import threading
                from app import fine, leak

                def test_leak():
                    thread = threading.Thread(target=leak)
                    thread.start()
                    thread.join()

                def test_fine():
                    thread = threading.Thread(target=fine)
                    thread.start()
                    thread.join()
            """,
        }
    ).run()
    assert run.found == ["SG101 test_leak"]
    assert run.results["test_fine"] == "passed"


def test_grace(project):
    """A server thread that closes its session 50 ms after the answer is given time for it."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import threading
                import time
                from app import Session, engine, text

                def serve(answered):
                    with Session(engine) as session:
                        session.execute(text("SELECT 1"))
                        answered.set()
                        time.sleep(0.05)

                def test_request():
                    answered = threading.Event()
                    threading.Thread(target=serve, args=(answered,)).start()
                    assert answered.wait(5)
            """,
        }
    ).run()
    assert run.is_clean()


def test_grace_ends(project):
    """A thread that keeps its connection for longer than the grace is found."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import threading
                import pytest
                from app import engine

                @pytest.fixture(scope="module")
                def enough():
                    event = threading.Event()
                    yield event
                    event.set()

                def serve(taken, enough):
                    with engine.connect():
                        taken.set()
                        enough.wait(10)

                def test_request(enough):
                    taken = threading.Event()
                    threading.Thread(target=serve, args=(taken, enough)).start()
                    assert taken.wait(5)

                def test_next(enough):
                    pass
            """,
        }
    ).run()
    assert run.found == ["SG101 test_request"]


def test_teardown_that_raises(project):
    """A fixture whose teardown raises gives ownership back all the same."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import fine, leak

                @pytest.fixture
                def breaking():
                    yield
                    raise ValueError("mine")

                def test_a(breaking):
                    fine()

                def test_b():
                    leak()
            """,
        }
    ).run()
    assert run.found == ["SG101 test_b"]
    assert run.results["test_a"] == "passed, error at teardown"


def test_overridden_fixture(project):
    """Of two fixtures of one name, one of which uses the other, each owns its own."""
    run = project(
        {
            "app.py": APP,
            "conftest.py": """
                import pytest
                from app import engine

                @pytest.fixture
                def connection():
                    with engine.connect() as connection:
                        yield connection
            """,
            "test_x.py": """
                import pytest
                from app import kept, leak

                @pytest.fixture
                def connection(connection):
                    leak()
                    return connection

                def test_a(connection):
                    pass
            """,
        }
    ).run()
    assert [(f.owner.name, f.site.frames[1].function) for f in run.findings] == [
        ("fixture `connection`", "connection")
    ]


def test_fixture_set_up_again(project):
    """A class fixture that is set up anew for each class is judged at the end of each."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import fine, leak

                @pytest.fixture(scope="class")
                def row(request):
                    yield leak() if request.cls.bad else fine()

                class TestA:
                    bad = True

                    def test_a(self, row):
                        pass

                class TestB:
                    bad = False

                    def test_b(self, row):
                        pass

                class TestC:
                    bad = True

                    def test_c(self, row):
                        pass
            """,
        }
    ).run()
    assert run.found == ["SG101 fixture `row`", "SG101 fixture `row`"]
    assert run.results == {
        "test_a": "passed, error at teardown",
        "test_b": "passed",
        "test_c": "passed, error at teardown",
    }


def test_fixture_of_a_failed_setup(project):
    """A wider fixture whose setup raised after it had leaked is not judged, and blames nobody."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import fine, leak

                @pytest.fixture(scope="module")
                def broken():
                    leak()
                    raise ValueError("mine")

                def test_a(broken):
                    pass

                def test_b():
                    fine()
            """,
        }
    ).run()
    assert run.found == []
    assert run.results == {"test_a": "error at setup", "test_b": "passed"}


def test_factory_fixture(project):
    """What a function that a fixture hands out opens in the call phase is the test's."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import Session, engine, kept, text

                @pytest.fixture
                def make():
                    made = []
                    def make():
                        made.append(Session(engine))
                        return made[-1]
                    yield make
                    for session in made:
                        session.close()

                @pytest.fixture
                def lose():
                    return lambda: kept.append(engine.connect())

                def test_fine(make):
                    assert make().scalar(text("SELECT 1")) == 1

                def test_leak(lose):
                    lose()
            """,
        }
    ).run()
    assert run.found == ["SG101 test_leak"]
    assert run.results["test_fine"] == "passed"


def test_pytest_in_pytest(project):
    """A run inside a run, as pytester makes it, has a guard of its own; the outer one goes on."""
    run = project(
        {
            "app.py": APP,
            "conftest.py": "pytest_plugins = ['pytester']",
            "test_x.py": """
                from app import leak

                def test_inner(pytester):
                    pytester.makepyfile('''
                        from sqlalchemy import create_engine
                        engine = create_engine("sqlite:///inner.db")
                        kept = []
                        def test_leak():
                            kept.append(engine.connect())
                    ''')
                    pytester.runpytest_inprocess().assert_outcomes(passed=1, errors=1)

                def test_outer():
                    leak()
            """,
        }
    ).run(subprocess=True)
    assert run.found == ["SG101 test_outer"]
    assert run.results == {"test_inner": "passed", "test_outer": "passed, error at teardown"}


LAST = """
    import pytest
    from app import Session, engine, kept, text

    @pytest.fixture(scope="SCOPE")
    def wide():
        yield
        for thing in kept:
            thing.close()

    @pytest.fixture
    def own():
        sessions = []
        yield sessions
        for session in sessions:
            session.close()

    class TestIt:
        def test_connection(self, wide):
            kept.append(engine.connect())

        def test_session(self, wide):
            kept.append(Session(engine))
            kept[-1].execute(text("SELECT 1"))

        def test_returned(self, wide, own):
            own.append(Session(engine))
            own[0].execute(text("SELECT 1"))

        def test_healthy(self, wide):
            with Session(engine) as session:
                session.execute(text("SELECT 1"))
"""


@pytest.mark.parametrize("scope", ("class", "module", "session"))
@pytest.mark.parametrize("order", (1, -1))
def test_the_last_test_of_a_wide_fixture(project, scope, order):
    """What its teardown returns was due before: which test is the last decides nothing."""
    wanted = {"connection": True, "session": True, "returned": False, "healthy": False}
    suite = project({"app.py": APP, "test_x.py": LAST.replace("SCOPE", scope)})
    for name, is_faulty in list(wanted.items())[::order]:
        run = suite.run("-k", name)
        assert run.found == ([f"SG101 test_{name}"] if is_faulty else []), run.text
        assert ("error at teardown" in run.results[f"test_{name}"]) == is_faulty
    names = [f"test_x.py::TestIt::test_{name}" for name in list(wanted)[::order]]
    assert suite.run(*names).found == ["SG101 test_connection", "SG101 test_session"]
