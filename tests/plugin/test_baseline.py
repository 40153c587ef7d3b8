"""The gate: what is accepted fails nothing, what is new does, and what is gone is told."""

# ruff: noqa: E501 (lines are as long as a user sees them)

from __future__ import annotations

import json
import os

import pytest
from harness import APP, ASYNC_APP, Project, Run

FILE = "sessionguard-baseline.jsonl"
BASELINE = f"--sessionguard-baseline={FILE}"
UPDATE = "--sessionguard-update-baseline"

_KINDS = ("leak", "forget", "leave_open", "use_after", "read")
OLD_APP = (
    "from sqlalchemy import create_engine, text\nfrom sqlalchemy.orm import Session\n"
    "engine = create_engine('sqlite:///app.db', pool_size=200)\nkept = []\n"
)
_BODIES = {
    "leak": "    kept.append(engine.connect())\n",
    "forget": "    engine.connect().scalar(text('SELECT 1'))\n",
    "leave_open": "    session = Session(engine)\n    session.execute(text('SELECT 1'))\n"
    "    session.commit()\n",
    "use_after": "    with Session(engine) as session:\n        pass\n    kept.append(session)\n"
    "    session.execute(text('SELECT 1'))\n",
    "read": "    kept.append(engine.connect())\n    kept[-1].scalar(text('SELECT 1'))\n",
}
SHUFFLE = """
    import os
    import random

    def pytest_collection_modifyitems(items):
        random.Random(os.environ.get("SEED")).shuffle(items)
"""


def make_old_suite(faults: int = 50) -> dict[str, str]:
    """A suite with as many faults, of several kinds, and healthy tests between."""
    app, tests = OLD_APP, {}
    for number in range(faults):
        kind = _KINDS[number % len(_KINDS)]
        app += f"\ndef work_{number}():\n{_BODIES[kind]}"
        test = f"\n@pytest.mark.parametrize('x', 'ab')\ndef test_{number}(x):\n    app.work_{number}()\n"
        healthy = f"\ndef test_healthy_{number}():\n    app.engine.connect().close()\n"
        tests.setdefault(f"test_{number % 7}.py", "import app\nimport pytest\n")
        tests[f"test_{number % 7}.py"] += test + healthy
    return {"app.py": app, "pytest.ini": "[pytest]\n", **tests}


def add_fault(suite: Project) -> None:
    suite.write(
        "new.py", "from app import engine, kept\ndef work():\n    kept.append(engine.connect())\n"
    )
    suite.write("test_new.py", "import new\ndef test_new():\n    new.work()\n")


def read(suite: Project) -> list[dict[str, str]]:
    """Return the entries of the file."""
    head, *lines = (suite.path / FILE).read_text(encoding="utf-8").splitlines()
    assert json.loads(head) == {"sessionguard": "baseline", "version": 1}
    return [json.loads(line) for line in lines]


def failed(run: Run) -> set[str]:
    return {name for name, result in run.results.items() if result != "passed"}


def test_three_commands(project):
    """Report, record, gate: an old suite is green, and red at its fifty-first fault."""
    suite = project(make_old_suite())
    report = suite.run("-p", "sessionguard", "--sessionguard=warn")
    assert (report.exit, failed(report)) == (0, set())
    record = suite.run("-p", "sessionguard", BASELINE, UPDATE)
    assert (record.exit, failed(record)) == (0, set())
    assert f"sessionguard: 50 entries added to {FILE}, which lists 50 now" in record.text
    assert len(read(suite)) == 50
    gate = suite.run("-p", "sessionguard", BASELINE)
    assert (gate.exit, failed(gate)) == (0, set())
    assert gate.closing.endswith(", no new findings, 100 accepted")
    assert len(gate.findings) == len(report.findings) == 100
    assert "SG101" not in gate.text

    add_fault(suite)
    stopped = suite.run("-p", "sessionguard", BASELINE)
    assert (stopped.exit, failed(stopped)) == (1, {"test_new"})
    assert stopped.closing.endswith(", 1 SG101 leaked-connection, 100 accepted")
    assert "new.py:3 in work" in stopped.failure("test_new")
    assert stopped.text.count("  Accept: ") == 1
    assert len(read(suite)) == 50


def came_to(run: Run) -> tuple[object, ...]:
    """What a gate says, without what depends on the number of processes."""
    return run.exit, run.results, run.closing.split("seen, ")[-1], sorted(run.found)


@pytest.mark.parametrize("workers", ["-n0", "-n2", "-n4"])
def test_same_gate_everywhere(project, workers):
    """One process or many, in any order: the same record and the same verdict."""
    suite = project({**make_old_suite(15), "conftest.py": SHUFFLE})
    suite.run(BASELINE, UPDATE, SEED="1")
    recorded = (suite.path / FILE).read_bytes()
    (suite.path / FILE).unlink()
    record = suite.run(BASELINE, UPDATE, workers, timeout=240, SEED="2")
    assert record.exit == 0, record.text
    assert recorded == (suite.path / FILE).read_bytes()
    add_fault(suite)
    alone = suite.run(BASELINE, SEED="3")
    spread = suite.run(BASELINE, workers, timeout=240, SEED="4")
    assert came_to(alone) == came_to(spread)
    assert failed(spread) == {"test_new"}
    assert spread.exit == 1


def test_killed_worker(project):
    """A worker that dies changes no verdict on what the others ran, and nothing is called gone."""
    suite = project(make_old_suite(10))
    suite.run(BASELINE, UPDATE)
    recorded = (suite.path / FILE).read_bytes()
    add_fault(suite)
    suite.write("test_3.py", "import os\ndef test_die():\n    os._exit(3)\n")
    run = suite.run(BASELINE, "-n2", "--max-worker-restart=4", timeout=240)
    assert failed(run) == {"test_die", "test_new"}
    assert run.closing.endswith(", 1 SG101 leaked-connection, 18 accepted")
    assert "not found any more" not in run.text
    record = suite.run(BASELINE, UPDATE, "-n2", "--max-worker-restart=4", timeout=240)
    assert failed(record) == {"test_die"}
    assert len(read(suite)) == 11
    assert recorded != (suite.path / FILE).read_bytes()


LEAKS = {
    "app.py": APP,
    "test_x.py": """
        import pytest
        from app import fine, leak, leave_open

        @pytest.mark.parametrize("x", [1, 2])
        def test_leak(x):
            leak()

        def test_open():
            leave_open()

        def test_fine():
            fine()
    """,
}


def test_what_is_recorded(project):
    """An entry for each fault, errors and warnings alike, without a test, a line or a count."""
    suite = project(LEAKS)
    suite.run(BASELINE, UPDATE)
    assert read(suite) == [
        {"rule": "SG101", "path": "app.py", "function": "leak", "thing": "Connection"},
        {"rule": "SG201", "path": "app.py", "function": "leave_open", "thing": "Session"},
    ]


def test_what_moved_is_accepted(project):
    """A fault that moved to another line and is met by another test is the same."""
    suite = project(LEAKS)
    suite.run(BASELINE, UPDATE)
    suite.write("app.py", "# a new line\n\n" + (suite.path / "app.py").read_text())
    suite.write("test_y.py", "from app import leak\ndef test_other():\n    leak()\n")
    run = suite.run(BASELINE)
    assert (run.exit, len(run.findings)) == (0, 4)
    assert run.closing.endswith(", no new findings, 4 accepted")


def test_new_fault_in_an_accepted_file(project):
    """Another function of the same file, with the same fault, is new."""
    suite = project(LEAKS)
    suite.run(BASELINE, UPDATE)
    more = "\n\ndef leak_more():\n    kept.append(engine.connect())\n"
    suite.write("app.py", (suite.path / "app.py").read_text() + more)
    suite.write("test_y.py", "from app import leak_more\ndef test_more():\n    leak_more()\n")
    assert failed(suite.run(BASELINE)) == {"test_more"}


ASYNC_TESTS = """
    import pytest
    from app import fine, forget, leak, use_after

    @pytest.mark.asyncio
    @pytest.mark.parametrize("work", [leak, forget, use_after, fine])
    async def test_old(work):
        await work()
"""
ASYNC_NEW = """
    import pytest
    from app import AsyncSession, engine, kept, text

    async def work():
        session = AsyncSession(engine)
        kept.append(session)
        return await session.scalar(text("SELECT 1"))

    @pytest.mark.asyncio
    async def test_new():
        await work()
"""


def check_async(suite: Project, **how: bool) -> None:
    assert suite.run(BASELINE, UPDATE, **how).exit == 0
    assert [entry["function"] for entry in read(suite)] == ["leak", "forget", "use_after"]
    assert suite.run(BASELINE, **how).closing.endswith(", no new findings, 3 accepted")
    suite.write("test_new.py", ASYNC_NEW)
    run = suite.run(BASELINE, **how)
    assert (run.exit, failed(run)) == (1, {"test_new"})
    assert run.closing.endswith(", 1 SG101 leaked-connection, 3 accepted")


def test_async(project):
    """In async code old faults are accepted and a new one fails, all the same."""
    pytest.importorskip("aiosqlite")
    check_async(project({"app.py": ASYNC_APP, "test_x.py": ASYNC_TESTS}))


@pytest.mark.postgres
@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_postgres(project, sessionguard_postgres, driver):
    """And so it is on a Postgres."""
    url = sessionguard_postgres.url_for(driver).render_as_string(hide_password=False)
    app = ASYNC_APP.replace("sqlite+aiosqlite:///app.db", url)
    check_async(project({"app.py": app, "test_x.py": ASYNC_TESTS}), subprocess=True)


def test_an_accepted_warning(project):
    """An accepted warning is counted, and no longer told."""
    suite = project(LEAKS)
    assert "SG201 unclosed-session: " in suite.run().text
    suite.run(BASELINE, UPDATE)
    assert "SG201" not in suite.run(BASELINE).text


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=str)
def test_fixture_that_no_test_ends(project, workers):
    """What is found when all is over is accepted too, and fails a run that records as little."""
    suite = project(
        {
            "app.py": APP,
            "conftest.py": """
                import pytest
                from app import leak

                @pytest.fixture(scope="session")
                def row():
                    yield leak()

                @pytest.hookimpl(tryfirst=True)
                def pytest_runtest_protocol(item, nextitem):
                    if nextitem is None:
                        item.config.hook.pytest_runtest_protocol(item=item, nextitem=item)
                        return True
            """,
            "test_x.py": "def test_row(row): pass",
        }
    )
    assert suite.run(*workers, timeout=240).exit == 1
    assert suite.run(BASELINE, UPDATE, *workers, timeout=240).exit == 0
    run = suite.run(BASELINE, *workers, timeout=240)
    assert (run.exit, run.found) == (0, ["SG101 fixture `row`"])


def test_a_recording_run_fails_for_what_else_fails(project):
    """A test that fails by itself fails the recording too; the rest is recorded."""
    suite = project({**LEAKS, "test_y.py": "def test_wrong():\n    assert False\n"})
    run = suite.run(BASELINE, UPDATE)
    assert (run.exit, failed(run), len(read(suite))) == (1, {"test_wrong"}, 2)


def test_what_a_test_asserts_is_never_accepted(project):
    """An assertion of the user's own is no matter of the baseline, recording or not."""
    suite = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import leak
                from pytest_sessionguard import assert_no_lazy_load, assert_no_leaked_connections

                def test_leak():
                    leak()
                    assert_no_leaked_connections()

                def test_never_entered():
                    assert_no_lazy_load()

                def test_call(sessionguard):
                    sessionguard.call(leak)
            """,
        }
    )
    for args in ((BASELINE, UPDATE), (BASELINE,)):
        run = suite.run(*args)
        assert failed(run) == {"test_leak", "test_never_entered", "test_call"}
        assert "or the baseline" not in run.text
    assert read(suite) == []


def test_update_keeps_reasons_and_other_entries(project):
    """An update of some tests adds theirs, and leaves every entry with its reason as it was."""
    suite = project(LEAKS)
    suite.run(BASELINE, UPDATE)
    path = suite.path / FILE
    text = path.read_text().replace('"Connection"', '"Connection", "reason": "pool of the worker"')
    path.write_text(text)
    suite.write("test_y.py", "from app import use_after\ndef test_y():\n    use_after()\n")
    assert suite.run(BASELINE, UPDATE, "-k", "test_y").exit == 0
    entries = read(suite)
    assert [entry["rule"] for entry in entries] == ["SG101", "SG201", "SG202"]
    assert entries[0]["reason"] == "pool of the worker"


def test_update_mends_the_order(project):
    """A file that git has merged is in order again when something is added."""
    suite = project(LEAKS)
    suite.run(BASELINE, UPDATE)
    path = suite.path / FILE
    head, one, other = path.read_text().splitlines()
    path.write_text(f"{head}\n{other}\n{one}\n{head}\n{other}\n")
    assert suite.run(BASELINE).exit == 0
    suite.write("test_y.py", "from app import use_after\ndef test_y():\n    use_after()\n")
    suite.run(BASELINE, UPDATE)
    assert path.read_text().splitlines()[:3] == [head, one, other]
    assert len(read(suite)) == 3


def test_nothing_new_to_record(project):
    """A file with nothing to add is left as it is, to the byte."""
    suite = project(LEAKS)
    suite.run(BASELINE, UPDATE)
    path = suite.path / FILE
    path.write_text(path.read_text() + "\n")
    before = path.read_bytes()
    run = suite.run(BASELINE, UPDATE)
    assert path.read_bytes() == before
    assert f"0 entries added to {FILE}, which lists 2 now" in run.text


def test_nothing_found_to_record(project):
    """A clean suite records an empty baseline, with which the gate runs."""
    suite = project(
        {"app.py": APP, "test_x.py": "from app import fine\ndef test_a():\n    fine()\n"}
    )
    assert suite.run(BASELINE, UPDATE).exit == 0
    assert read(suite) == []
    assert suite.run(BASELINE).closing.endswith(", no findings")


def test_collect_only_records_nothing(project):
    """Where no test runs, no file is made."""
    suite = project(LEAKS)
    assert suite.run(BASELINE, UPDATE, "--collect-only").exit == 0
    assert not (suite.path / FILE).exists()


def test_ini(project):
    """The ini twin names the file, relative to the rootdir wherever pytest is called."""
    suite = project({**LEAKS, "pytest.ini": f"[pytest]\nsessionguard_baseline = ci/{FILE}\n"})
    (suite.path / "ci").mkdir()
    (suite.path / "sub").mkdir()
    assert suite.run(UPDATE).exit == 0
    assert (suite.path / "ci" / FILE).exists()
    here = os.getcwd()
    os.chdir(suite.path / "sub")
    try:
        run = suite.run("..")
    finally:
        os.chdir(here)
    assert (run.exit, len(run.findings)) == (0, 3)
    assert run.header == f"sessionguard: sessionguard_baseline=ci/{FILE} (from ini)"


def test_an_empty_flag_leaves_the_baseline_out(project):
    """An empty flag beats the ini file: everything is told again."""
    suite = project({**LEAKS, "pytest.ini": f"[pytest]\nsessionguard_baseline = {FILE}\n"})
    suite.run(UPDATE)
    assert suite.run().exit == 0
    assert suite.run("--sessionguard-baseline=").exit == 1


def test_warn_mode(project):
    """Where nothing fails, what is accepted is left out of the section all the same."""
    suite = project(LEAKS)
    suite.run(BASELINE, UPDATE)
    run = suite.run(BASELINE, "--sessionguard=warn")
    assert run.closing.endswith(", no new findings, 3 accepted")
    assert "SG101" not in run.text


# What is gone.


def mend(suite: Project) -> None:
    text = (suite.path / "app.py").read_text()
    suite.write("app.py", text.replace("kept.append(connection)", "connection.close(); return"))


GONE = """
    sessionguard: 1 entry of the baseline not found any more; `sessionguard baseline prune` drops what is gone:
    sessionguard:   SG101 app.py leak Connection
"""


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=str)
def test_gone(project, workers):
    """An entry that a run of the whole suite has not met is told, and fails nothing."""
    suite = project(LEAKS)
    suite.run(BASELINE, UPDATE)
    mend(suite)
    run = suite.run(BASELINE, *workers, timeout=240)
    assert run.exit == 0
    assert run.shows(GONE)


NARROW = [
    ("-k", "test"),
    ("-m", "not slow"),
    ("--deselect", "test_x.py::test_fine"),
    ("--lf",),
    ("--sw",),
    ("test_x.py",),
    ("test_x.py::test_leak", "test_x.py::test_open", "test_x.py::test_fine"),
    ("--ignore=test_y.py",),
    ("--collect-only",),
    ("--setup-plan",),
]


@pytest.mark.parametrize("args", NARROW, ids=" ".join)
def test_gone_of_some_tests(project, args):
    """A run of some tests cannot say what is gone."""
    suite = project(LEAKS)
    suite.run(BASELINE, UPDATE)
    mend(suite)
    assert "not found any more" not in suite.run(BASELINE, *args).text


@pytest.mark.parametrize(
    "more",
    [
        "import pytest\n@pytest.mark.skip\ndef test_y():\n    pass\n",
        "import pytest\ndef test_y():\n    pytest.skip('no')\n",
        "import pytest\npytest.skip('no', allow_module_level=True)\n",
        "import pytest\n@pytest.mark.xfail\ndef test_y():\n    assert False\n",
        "def test_y():\n    assert False\n",
        "import not_there\n",
        "import pytest\ndef test_y():\n    pytest.exit('enough')\n",
    ],
)
def test_gone_where_a_test_was_not_judged(project, more):
    """Nor can a run in which a test failed, was skipped or never came."""
    suite = project({**LEAKS, "test_a.py": more})
    suite.run(BASELINE, UPDATE)
    mend(suite)
    assert "not found any more" not in suite.run(BASELINE).text


@pytest.mark.parametrize(
    "call", [(), (".",), ("tests",), ("tests/../tests", "other")], ids=" ".join
)
def test_the_whole_suite(project, call):
    """The whole suite is the rootdir, or all that testpaths name."""
    suite = project(
        {
            "pytest.ini": "[pytest]\ntestpaths = test*\npythonpath = .\n",
            "app.py": APP,
            "tests/test_x.py": LEAKS["test_x.py"],
            "other/test_y.py": "def test_y(): pass\n",
        }
    )
    suite.run(BASELINE, UPDATE)
    mend(suite)
    assert suite.run(BASELINE, *call).shows(GONE)


def test_a_rule_that_is_off_is_not_gone(project):
    """What the run was told not to see is not called gone."""
    suite = project(LEAKS)
    suite.run(BASELINE, UPDATE)
    run = suite.run(BASELINE, "--sessionguard-ignore=SG101")
    assert "not found any more" not in run.text
    assert run.found == ["SG201 test_open"]


# What cannot be meant.


@pytest.mark.parametrize("update", [(), (UPDATE,)], ids=["gate", "update"])
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=str)
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"sessionguard": "baseline", "version": 1}\nnonsense\n', f"{FILE}:2: cannot be read"),
        ('{"sessionguard": "baseline", "version": 7}\n', f"{FILE}:1: was written in version 7"),
        ("some other file\n", f"{FILE}:1: cannot be read"),
    ],
)
def test_broken_or_newer(project, text, line, update, workers):
    """A usage error with file and line, before any test; the file stays as it is."""
    suite = project(LEAKS)
    (suite.path / FILE).write_text(text)
    run = suite.run(BASELINE, *update, *workers)
    assert run.exit == 4
    assert f"ERROR: sessionguard_baseline: {line}" in run.text
    assert "INTERNALERROR" not in run.text
    assert (suite.path / FILE).read_text() == text


def test_no_file(project):
    """A file that is not there is a usage error that tells how to make it."""
    run = project(LEAKS).run(BASELINE)
    assert run.exit == 4
    assert f"ERROR: sessionguard_baseline: there is no file {FILE} in " in run.text
    assert f"Write it with {UPDATE}." in run.text


def test_no_folder(project):
    """Nor is a folder made that somebody may have misspelt."""
    run = project(LEAKS).run("--sessionguard-baseline=no/b.jsonl", UPDATE)
    assert run.exit == 4
    assert "ERROR: sessionguard_baseline: there is no folder " in run.text


def test_update_without_a_file(project):
    """An update that does not know where to is a usage error."""
    run = project(LEAKS).run(UPDATE)
    assert run.exit == 4
    assert f"ERROR: {UPDATE} needs a file: " in run.text


def test_off(project):
    """A guard that is off asks for no baseline."""
    assert project(LEAKS).run(BASELINE, "--sessionguard=off").exit == 0


def test_broken_while_the_tests_ran(project):
    """A file that somebody broke meanwhile is not overwritten either."""
    suite = project(
        {
            **LEAKS,
            "test_y.py": f"""
                def test_break():
                    open({FILE!r}, "a").write("nonsense")
            """,
        }
    )
    suite.run(BASELINE, UPDATE, "-k", "test_leak")
    run = suite.run(BASELINE, UPDATE)
    assert run.exit == 4
    assert f"ERROR: sessionguard_baseline: {FILE}:3: cannot be read" in run.text
    assert (suite.path / FILE).read_text().endswith("nonsense")


def test_edited_while_the_tests_ran(project):
    """What somebody added meanwhile stays."""
    entry = '{"rule": "SG999", "path": "z.py", "function": "f", "reason": "mine"}'
    suite = project(
        {
            **LEAKS,
            "test_y.py": f"""
                def test_edit():
                    open({FILE!r}, "a").write({entry!r})
            """,
        }
    )
    suite.run(BASELINE, UPDATE, "-k", "test_leak")
    assert suite.run(BASELINE, UPDATE).exit == 0
    assert [entry["rule"] for entry in read(suite)] == ["SG101", "SG201", "SG999"]


def test_a_file_that_cannot_be_written(project):
    """Where the file cannot be written the run says so, and is no success."""
    suite = project(LEAKS)

    def sabotage(patch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr("pytest_sessionguard.plugin.acceptance.write_baseline", fail)

    run = suite.run(BASELINE, UPDATE, sabotage=sabotage)
    assert run.exit == 4
    assert f"ERROR: sessionguard_baseline: {FILE} cannot be written: No space left" in run.text


def test_fault_at_the_end(project):
    """A fault of the gate's own at the end of the run changes no result, and is told."""
    suite = project(LEAKS)
    suite.run(BASELINE, UPDATE)

    def sabotage(patch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("boom")

        patch.setattr("pytest_sessionguard.plugin.acceptance.Acceptance.settle", fail)

    run = suite.run(BASELINE, sabotage=sabotage)
    assert (run.exit, failed(run)) == (0, set())
    assert "sessionguard failed inside at the end of the run: RuntimeError('boom')" in run.text
    assert "INTERNALERROR" not in run.text


def test_without_the_cache(project):
    """Without pytest's cache the gate works as ever."""
    suite = project(LEAKS)
    suite.run(BASELINE, UPDATE, "-p", "no:cacheprovider")
    mend(suite)
    assert suite.run(BASELINE, "-p", "no:cacheprovider").shows(GONE)
