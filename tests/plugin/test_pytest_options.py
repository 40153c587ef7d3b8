"""The options that people run pytest with."""

# ruff: noqa: E501 (lines are as long as a user sees them)

from __future__ import annotations

import subprocess
import sys

import pytest
from harness import APP

SUITE = {
    "app.py": APP,
    "test_x.py": """
        from app import fine, leak, leave_open

        def test_a():
            leak()

        def test_b():
            leave_open()

        def test_c():
            leak()

        def test_d():
            fine()
    """,
}
ALL = ["SG101 test_a", "SG101 test_c", "SG201 test_b"]


def test_exitfirst(project):
    """`-x` stops after the first test that an error failed."""
    run = project(SUITE).run("-x")
    assert run.found == ["SG101 test_a"]
    assert run.results == {"test_a": "passed, error at teardown"}


def test_exitfirst_and_wider_fixture(project):
    """`-x` tears down wider fixtures at once: the one that leaked is judged then."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import engine, kept, leak

                @pytest.fixture(scope="session")
                def row():
                    yield leak()

                def test_a(row):
                    assert False

                def test_b(row):
                    pass
            """,
        }
    ).run("-x")
    assert run.found == ["SG101 fixture `row`"]
    assert "test_b" not in run.results


def test_maxfail(project):
    """`--maxfail` counts errors."""
    run = project(SUITE).run("--maxfail=2")
    assert list(run.results) == ["test_a", "test_b", "test_c"]


def test_last_failed(project):
    """`--lf` runs again what an error failed."""
    suite = project(SUITE)
    suite.run()
    run = suite.run("--lf")
    assert list(run.results) == ["test_a", "test_c"]


@pytest.mark.parametrize(
    "args",
    [
        ("-q",),
        ("-qq",),
        ("-v",),
        ("-vv",),
        ("-s",),
        ("--no-header",),
        ("--no-summary",),
        ("--tb=no",),
        ("--tb=line",),
        ("--color=yes",),
        ("-p", "no:terminal"),
        ("-p", "no:cacheprovider"),
        ("-p", "no:warnings"),
        ("-p", "no:logging"),
        ("-p", "no:capture"),
        ("--import-mode=importlib", "-o", "pythonpath=."),
        ("--durations=2",),
        ("--junitxml=junit.xml",),
        ("-W", "error", "-o", "asyncio_default_fixture_loop_scope=function"),
    ],
    ids=" ".join,
)
def test_options(project, args):
    """The findings and the exit code are the same whatever is shown, and nothing breaks."""
    run = project(SUITE).run(*args)
    assert run.found == ALL
    assert run.exit == 1
    assert run.fault == ""
    assert "INTERNALERROR" not in run.text


def test_quiet(project):
    """With `-q` each warning takes one line."""
    run = project(SUITE).run("-q", "-k", "b")
    assert run.shows(
        """
        SG201 unclosed-session: 1 Session was dropped without close() by test_b: app.py:21 in leave_open
        (add -v to show these in full)
        sessionguard: 1 test judged, 1 engine and 1 session seen, 1 SG201 unclosed-session
        """
    )


def test_verbose(project):
    """With `-v` the way to every place is shown, not only to the first."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                from app import Session, engine, kept, text

                def make():
                    return Session(engine)

                def test_a():
                    kept.append(make())
                    kept[0].execute(text("SELECT 1"))
            """,
        }
    ).run("-v")
    assert run.shows(
        """
          checked out   test_x.py:8 in test_a  (engine sqlite+pysqlite, pool 5+10)
          held by       Session opened at test_x.py:4 in make, never closed
                        test_x.py:7 in test_a
        """
    )


def test_section_starts_at_once(project):
    """The section of the summary has no blank line below its heading."""
    lines = project(SUITE).run("--sessionguard=warn").text.splitlines()
    heading = next(i for i, line in enumerate(lines) if "= sessionguard =" in line)
    assert lines[heading + 1].startswith("SG101")


def test_many_warnings(project):
    """Three places are told in full, the others in a line each, and places with many tests once."""
    work = "\n".join(
        f"def work_{i}():\n    Session(engine).execute(text('SELECT 1'))" for i in range(5)
    )
    tests = "\n".join(f"def test_{i}():\n    app.work_{i}()" for i in range(5))
    run = project(
        {
            "app.py": "from sqlalchemy import create_engine, text\n"
            "from sqlalchemy.orm import Session\n"
            "engine = create_engine('sqlite:///app.db')\n" + work,
            "test_x.py": "import app\n" + tests + "\ndef test_again():\n    app.work_0()\n",
        }
    ).run("--sessionguard=warn")
    section = run.text.split("= sessionguard =")[1]
    assert section.count("  Accept: ") == 3
    assert "(add -v to show these in full)" in section
    assert "Also in test_x.py::test_again." in section


def test_collect_only(project):
    """`--collect-only` judges nothing and fails nothing."""
    run = project(SUITE).run("--collect-only")
    assert (run.exit, run.found, run.results) == (0, [], {})
    assert run.closing == ""


@pytest.mark.parametrize("args", [("--fixtures",), ("--markers",), ("--help",), ("--version",)])
def test_no_tests_run(project, args):
    """Options that run no tests work as ever."""
    assert project(SUITE).run(*args).exit == 0


def test_help(project):
    """`--help` tells our options, in a group of their own."""
    text = project(SUITE).run("--help").text
    assert "--sessionguard=fail|strict|warn|off" in text
    assert "sessionguard_ignore" in text


def test_ini_of_pytest_alone(project):
    """Our ini options are known to `--strict-config`."""
    suite = {**SUITE, "pytest.ini": "[pytest]\nsessionguard = warn\n"}
    assert project(suite).run("--strict-config").exit == 0


def test_junit(project):
    """The XML has the finding as the error of its test."""
    suite = project(SUITE)
    suite.run("--junitxml=junit.xml")
    xml = (suite.path / "junit.xml").read_text()
    assert 'errors="2"' in xml
    assert "SG101 leaked-connection: 1 connection was still checked out after test_a" in xml


def test_pdb(project):
    """`--pdb` enters the debugger at a failure and ends when its input does."""
    suite = project(
        {
            **SUITE,
            "test_y.py": "from app import leak\ndef test_y():\n    leak()\n    assert False\n",
        }
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--pdb", "-p", "no:hypothesispytest", "test_y.py"],
        cwd=suite.path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "(Pdb)" in done.stdout
    assert "INTERNALERROR" not in done.stdout
    assert done.returncode in (1, 2)


def test_pdb_at_a_finding(project):
    """`--pdb` survives a failure that has no traceback to enter."""
    suite = project(SUITE)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--pdb", "-p", "no:hypothesispytest", "-x"],
        cwd=suite.path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "SG101 leaked-connection" in done.stdout
    assert "INTERNALERROR" not in done.stdout


def test_interrupted(project):
    """After Ctrl-C in a test the run ends as ever."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                from app import leak

                def test_a():
                    leak()

                def test_b():
                    leak()
                    raise KeyboardInterrupt
            """,
        }
    ).run(subprocess=True)
    assert run.exit == 2
    assert run.found == ["SG101 test_a"]
    assert "INTERNALERROR" not in run.text


def test_exit_call(project):
    """`pytest.exit` in a test ends the run with its own code."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import leak

                def test_a():
                    leak()
                    pytest.exit("enough", returncode=7)
            """,
        }
    ).run()
    assert run.exit == 7
    assert "INTERNALERROR" not in run.text
