"""What findings do to a run: modes, failed tests, the closing line, the exit code."""

from __future__ import annotations

import re

import pytest
from harness import APP

SUITE = {
    "app.py": APP,
    "test_x.py": """
        from app import fine, leak, leave_open

        def test_error():
            leak()

        def test_warn():
            leave_open()

        def test_fine():
            fine()
    """,
}


def ini(*lines: str) -> str:
    return "[pytest]\n" + "".join(f"{line}\n" for line in lines)


def test_fail_mode(project):
    """By default an error fails the test at its teardown, and a warning fails nothing."""
    run = project(SUITE).run()
    assert run.found == ["SG101 test_error", "SG201 test_warn"]
    assert run.results == {
        "test_error": "passed, error at teardown",
        "test_warn": "passed",
        "test_fine": "passed",
    }
    assert run.exit == 1


def test_error_is_told_once(project):
    """The text of an error stands in its failure and not in the summary's section again."""
    run = project(SUITE).run()
    assert run.text.count("  checked out   app.py:9 in leak") == 1
    assert run.text.count("dropped without close() by test_warn\n") == 1
    section = run.text.split("= sessionguard =")[1].split("sessionguard: 3 tests")[0]
    assert "SG201" in section
    assert "SG101" not in section


def test_only_warnings(project):
    """Warnings leave the exit code alone."""
    run = project(SUITE).run("-k", "not error")
    assert run.found == ["SG201 test_warn"]
    assert run.exit == 0


def test_warn_mode(project):
    """In warn mode an error fails nothing and stands in the summary."""
    run = project(SUITE).run("--sessionguard=warn")
    assert run.found == ["SG101 test_error", "SG201 test_warn"]
    assert set(run.results.values()) == {"passed"}
    assert run.exit == 0
    assert (
        "SG101 leaked-connection: 1 connection was still checked out after test_error" in run.text
    )


def test_off_mode(project):
    """In off mode nothing is seen or said."""
    run = project(SUITE).run("--sessionguard=off")
    assert run.found == []
    assert run.tally == (0, 0, 0)
    assert run.exit == 0
    assert run.closing == ""


def test_mode_from_ini(project):
    """The ini file sets the mode."""
    run = project({**SUITE, "pytest.ini": ini("sessionguard = warn")}).run()
    assert run.exit == 0
    assert run.found == ["SG101 test_error", "SG201 test_warn"]
    assert run.header == "sessionguard: sessionguard=warn (from ini)"


def test_command_line_beats_ini(project):
    """The command line beats the ini file, also to set what the default would be."""
    run = project({**SUITE, "pytest.ini": ini("sessionguard = off")}).run("--sessionguard=fail")
    assert run.exit == 1
    assert run.results["test_error"] == "passed, error at teardown"


def test_rule_settings(project):
    """Rules are raised, lowered and switched off by ini, by name, code or group."""
    suite = {
        **SUITE,
        "pytest.ini": ini(
            "sessionguard_error = unclosed-session", "sessionguard_warn = SG101", "addopts = -ra"
        ),
    }
    run = project(suite).run()
    assert run.results == {
        "test_error": "passed",
        "test_warn": "passed, error at teardown",
        "test_fine": "passed",
    }


def test_rule_ignored(project):
    """A rule that is off is not seen."""
    run = project(SUITE).run("--sessionguard-ignore=SG1", "--sessionguard-ignore=SG2")
    assert run.found == []
    assert run.exit == 0


def test_command_line_beats_marker_beats_ini(project):
    """For a rule the command line beats a marker, and a marker beats the ini file."""
    suite = {
        "app.py": APP,
        "pytest.ini": ini("sessionguard_ignore = SG101"),
        "test_x.py": """
            import pytest
            from app import leak

            def test_ini():
                leak()

            @pytest.mark.sessionguard(warn="SG101")
            def test_marker():
                leak()
        """,
    }
    run = project(suite).run()
    assert [(f.owner.name, f.severity.value) for f in run.findings] == [("test_marker", "warn")]
    run = project(suite).run("--sessionguard-error=SG101")
    assert [f.severity.value for f in run.findings] == ["error", "error"]


def test_marker_of_class_and_module(project):
    """A marker of a module holds for its tests and fixtures; a nearer one beats it."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import leak

                pytestmark = pytest.mark.sessionguard(ignore="SG101", reason="kept on purpose")

                @pytest.fixture(scope="module")
                def row():
                    return leak()

                def test_ignored(row):
                    leak()

                @pytest.mark.sessionguard(error="SG101")
                class TestStrict:
                    def test_strict(self, row):
                        leak()
            """,
        }
    ).run()
    assert run.found == ["SG101 test_strict"]


def test_marker_off(project):
    """`off=True` switches all rules off for a test."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import leak, leave_open

                @pytest.mark.sessionguard(off=True, reason="the library under test leaks")
                def test_off():
                    leak()
                    leave_open()
            """,
        }
    ).run("--strict-markers")
    assert run.found == []
    assert run.exit == 0


OTHERS = {
    "app.py": APP,
    "test_x.py": """
        import pytest
        from app import fine, leak

        def test_failed():
            leak()
            assert False

        def test_skipped():
            leak()
            pytest.skip("not today")

        @pytest.mark.xfail
        def test_xfailed():
            leak()
            assert False

        @pytest.mark.xfail
        def test_xpassed():
            fine()

        @pytest.mark.xfail(strict=True)
        def test_strict():
            leak()

        @pytest.fixture
        def broken():
            leak()
            raise ValueError("mine")

        def test_setup(broken):
            pass

        @pytest.fixture
        def breaking():
            yield
            raise ValueError("mine")

        def test_teardown(breaking):
            leak()

        def test_next():
            fine()
    """,
}


def test_not_passed_is_not_judged(project):
    """Failed, skipped and xfailed tests are not judged, their outcomes stand, nobody is blamed."""
    run = project(OTHERS).run()
    assert run.found == []
    assert run.results == {
        "test_failed": "failed",
        "test_skipped": "skipped",
        "test_xfailed": "xfailed",
        "test_xpassed": "xpassed",
        "test_strict": "failed",
        "test_setup": "error at setup",
        "test_teardown": "passed, error at teardown",
        "test_next": "passed",
    }
    assert run.tally[0] == 2


def test_left_open_by_a_failed_test(project):
    """What a failed test left open stands in a section of its report."""
    run = project(OTHERS).run()
    ((title, text),) = run.sections["test_x.py::test_failed"]
    assert title == "sessionguard: left open at teardown"
    assert text.splitlines()[0] == (
        "SG101 leaked-connection: 1 connection was still checked out after test_failed"
    )


SETUPS = {
    "app.py": APP,
    "test_x.py": """
        import pytest
        from app import fine, leak

        @pytest.fixture
        def broken():
            leak()
            raise ValueError("mine")

        def test_leaking(broken):
            pass

        @pytest.fixture
        def mended():
            fine()
            raise ValueError("mine")

        def test_fine(mended):
            pass

        @pytest.fixture
        def doubly(request):
            @request.addfinalizer
            def end():
                raise KeyError("mine too")
            leak()
            raise ValueError("mine")

        def test_twice(doubly):
            pass
    """,
}


@pytest.mark.parametrize("args", [(), ("-n1",)])
def test_left_open_by_a_failed_setup(project, args):
    """What a failed setup left open stands beneath its error, and nothing where it left nothing."""
    run = project(SETUPS).run("-k", "not twice", *args)
    assert run.found == []
    assert run.results == {"test_leaking": "error at setup", "test_fine": "error at setup"}
    error, _, rest = run.text.partition("- sessionguard: left open at teardown -")
    assert "ERROR at setup of test_leaking" in error
    assert "ERROR at setup of test_fine" not in error
    assert rest.lstrip("-").splitlines()[1] == (
        "SG101 leaked-connection: 1 connection was still checked out after the function-scoped "
        "fixture `broken` was torn down"
    )
    assert "left open at teardown" not in rest


def test_left_open_by_a_failed_setup_and_teardown(project):
    """Where the teardown fails too, the section is shown once, with that."""
    run = project(SETUPS).run("-k", "twice")
    assert run.results == {"test_twice": "error at setup, error at teardown"}
    error, *rest = run.text.split("left open at teardown")
    assert "ERROR at teardown of test_twice" in error
    assert len(rest) == 1


def test_own_teardown_error_comes_first(project):
    """A teardown error of the user's own stays the error of that test."""
    run = project(OTHERS).run()
    failure = run.failure("test_teardown")
    assert "ValueError: mine" in failure
    assert "SG101" not in failure


def test_wider_fixture_after_a_failed_test(project):
    """A wider fixture that ends with a failed test is still judged, and fails the run."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import leak

                @pytest.fixture(scope="module")
                def row():
                    yield leak()

                def test_failed(row):
                    assert False
            """,
        }
    ).run()
    assert run.found == ["SG101 fixture `row`"]
    assert run.results == {"test_failed": "failed, error at teardown"}


def test_failed_test_in_warn_mode(project):
    """In warn mode a failed test has its section too, and no finding."""
    run = project(OTHERS).run("--sessionguard=warn", "-k", "test_failed")
    assert run.found == []
    assert "test_x.py::test_failed" in run.sections


TABLE = {
    # A pool that does not run dry.
    "app.py": APP.replace('app.db")', 'app.db", pool_size=50)'),
    "test_table.py": """
        import unittest
        import pytest
        from app import fine, forget, leak, leave_open, use_after

        @pytest.fixture(scope="module", autouse=True)
        def wide():
            yield leak()

        @pytest.mark.parametrize("work", [fine, forget, leak, leave_open, use_after])
        def test_work(work):
            work()

        @pytest.mark.parametrize("work", [fine, leak])
        def test_failed(work):
            work()
            assert work is None, "no"

        @pytest.mark.parametrize("work", [fine, leak])
        def test_skipped(work):
            work()
            pytest.skip("not today")

        @pytest.mark.parametrize("strict", [True, False])
        @pytest.mark.parametrize("good", [True, False])
        def test_expected(request, strict, good):
            request.applymarker(pytest.mark.xfail(strict=strict, reason="known"))
            leak()
            assert good

        @pytest.fixture
        def broken():
            leak()
            raise ValueError("mine")

        def test_setup(broken):
            pass

        @pytest.fixture
        def breaking():
            yield leak()
            raise ValueError("mine")

        def test_teardown(breaking):
            leak()

        @pytest.mark.skipif(not hasattr(pytest, "Subtests"), reason="pytest 8")
        def test_subtests(request):
            subtests = request.getfixturevalue("subtests")
            with subtests.test("leak"):
                leak()
            with subtests.test("fail"):
                assert fine() == 2
            with subtests.test("skip"):
                pytest.skip("not today")

        class TestCase(unittest.TestCase):
            def test_sub(self):
                for number in range(3):
                    with self.subTest(number=number):
                        leak()
                        self.assertNotEqual(number, 1)

            @unittest.expectedFailure
            def test_expected(self):
                leak()
                self.fail("no")
    """,
}


@pytest.mark.parametrize("args", [(), ("-x",), ("--maxfail=3",), ("-p", "no:cacheprovider")])
def test_warn_mode_changes_nothing(project, args):
    """Every report of a suite with all outcomes is the same in warn mode as without the plugin."""
    suite = project(TABLE)
    without = suite.run("-p", "no:sessionguard", *args)
    with_it = suite.run("--sessionguard=warn", *args)
    assert with_it.told == without.told
    assert with_it.outcomes == without.outcomes
    assert with_it.exit == without.exit == 1
    assert with_it.fault == ""


def test_table_is_not_empty(project):
    """The suite that must not change has every outcome there is, and findings."""
    run = project(TABLE).run("--sessionguard=warn")
    words = {word for words in run.outcomes.values() for word in words}
    wanted = {"passed", "failed", "skipped", "xfailed", "xpassed"}
    assert wanted | {"error at setup", "error at teardown"} <= words
    assert {f.rule for f in run.findings} == {"SG101", "SG102", "SG201", "SG202"}


def test_closing_line(project):
    """The last line counts tests, engines, sessions, and findings by rule."""
    run = project(SUITE).run()
    assert run.closing == (
        "sessionguard: 3 tests judged, 1 engine and 1 session seen, "
        "1 SG101 leaked-connection, 1 SG201 unclosed-session"
    )


def test_closing_line_of_a_healthy_run(project):
    """A healthy run gets one line."""
    run = project(SUITE).run("-k", "fine")
    assert run.closing == ("sessionguard: 1 test judged, 1 engine and 0 sessions seen, no findings")
    assert "= sessionguard =" not in run.text


def test_no_engine_seen(project):
    """A run that watched no engine says so."""
    run = project(
        {
            "test_x.py": """
                import sqlalchemy.orm

                def test_sum():
                    assert 1 + 1 == 2
            """
        }
    ).run(subprocess=True)
    assert run.closing == (
        "sessionguard: 1 test judged, 0 engines seen: "
        "no connection was taken, so nothing could be found"
    )


def test_header(project):
    """The header shows each setting that is not a default, with its source."""
    suite = project({**SUITE, "pytest.ini": ini("sessionguard_ignore = SG2")})
    run = suite.run("--sessionguard=warn")
    assert run.header == (
        "sessionguard: sessionguard=warn (from command line), sessionguard_ignore=SG2 (from ini)"
    )
    assert project(SUITE).write("pytest.ini", ini()) is None
    assert suite.run().header == ""


def test_header_hides_passwords(project):
    """A given URL stands in the header without its password."""
    url = "postgresql://me:secret@localhost/db"
    run = project(SUITE).run(f"--sessionguard-postgres={url}", "-k", "fine")
    assert "secret" not in run.text
    assert run.header == "sessionguard: sessionguard_postgres=a given URL (from command line)"


def test_native_toml(project):
    """pytest 9's `[tool.pytest]` with its lists and numbers is read."""
    if pytest.version_tuple < (9, 0):
        pytest.skip("native TOML came with pytest 9")
    run = project(
        {
            **SUITE,
            "pyproject.toml": """
                [tool.pytest]
                sessionguard = "warn"
                sessionguard_ignore = ["SG201"]
                sessionguard_pool_size = 3
            """,
        }
    ).run()
    assert run.found == ["SG101 test_error"]
    assert run.exit == 0
    assert run.header == (
        "sessionguard: sessionguard=warn (from ini), sessionguard_ignore=SG201 (from ini), "
        "sessionguard_pool_size=3 (from ini)"
    )


def test_ini_options(project):
    """`[tool.pytest.ini_options]` is read."""
    run = project(
        {
            **SUITE,
            "pyproject.toml": """
                [tool.pytest.ini_options]
                sessionguard = "warn"
                sessionguard_ignore = "SG201"
                sessionguard_pool_size = 3
            """,
        }
    ).run()
    assert run.found == ["SG101 test_error"]
    assert "sessionguard_pool_size=3 (from ini)" in run.header


def test_fixture_left_to_the_end(project):
    """A fixture that pytest tears down only at the session's end is judged, and fails the run."""
    run = project(
        {
            "app.py": APP,
            "conftest.py": """
                import pytest
                from app import leak

                @pytest.fixture(scope="session")
                def row():
                    yield leak()

                def pytest_runtestloop(session):
                    # As if there were always a next test: nothing wide is torn down.
                    for item in session.items:
                        item.config.hook.pytest_runtest_protocol(item=item, nextitem=item)
                    return True
            """,
            "test_x.py": "def test_row(row): pass",
        }
    ).run()
    assert run.found == ["SG101 fixture `row`"]
    assert run.results == {"test_row": "passed"}
    assert run.exit == 1
    assert "SG101 leaked-connection" in run.text


def test_tracebacks_are_the_same(project):
    """The guard's wrappers stand in no traceback of the user's."""
    suite = project(
        {
            "pytest.ini": "[pytest]\nasyncio_mode = auto\n",
            "test_x.py": """
                import pytest
                from sqlalchemy import create_engine, event
                from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
                from sqlalchemy.orm import Session

                nowhere = create_engine("sqlite:////no/such/folder/app.db")
                adrift = create_async_engine("sqlite+aiosqlite:////no/such/folder/app.db")
                engine = create_engine("sqlite:///app.db")

                def refuse(*args):
                    raise ValueError("mine")

                def test_connect():
                    nowhere.connect()

                def test_raw_connection():
                    nowhere.raw_connection()

                def test_session():
                    with Session(nowhere) as session:
                        session.connection()

                def test_init():
                    Session(engine, nonsense=True)

                def test_close():
                    session = Session(engine)
                    event.listen(session, "after_transaction_end", refuse)
                    session.connection()
                    session.close()

                def test_exit():
                    with Session(engine) as session:
                        event.listen(session, "after_transaction_end", refuse)
                        session.connection()

                async def test_async_connect():
                    await adrift.connect()

                async def test_async_exit():
                    async with AsyncSession(adrift) as session:
                        event.listen(session.sync_session, "after_transaction_end", refuse)
                        await session.connection()

                async def test_async_close():
                    session = AsyncSession(adrift)
                    event.listen(session.sync_session, "after_transaction_end", refuse)
                    session.sync_session.begin()
                    await session.close()
            """,
        }
    )
    without = suite.run("-p", "no:sessionguard")
    assert set(without.results.values()) == {"failed"}
    run = suite.run("--sessionguard=warn")
    assert "pytest_sessionguard" not in run.text
    # CPython drops the frame of the `__aexit__` that `async with` itself calls: the wrapper's then.
    frame = r"\S*/ext/asyncio/session\.py:\d+: in __aexit__\n    .*\n(?: +\^+\n)?"

    def strip(told: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
        return [(*one[:2], re.sub(frame, "", one[2])) for one in told]

    assert strip(run.told) == strip(without.told)
