"""Comments, ignored paths, and what is said of a suppression that suppresses nothing any more."""

# ruff: noqa: E501 (lines are as long as a user sees them)

from __future__ import annotations

import pytest
from harness import APP, Run

COMMENT = "# sessionguard: ignore[SG101] kept for the worker"
NOTHING = "sessionguard: suppresses nothing any more: "


def unused(run: Run) -> list[str]:
    """Return what the run says of suppressions that suppress nothing."""
    lines = run.text.splitlines()
    return [line.removeprefix(NOTHING) for line in lines if line.startswith(NOTHING)]


def make(app: str = APP, **files: str) -> dict[str, str]:
    tests = """
        import pytest
        from app import fine, forget, leak, leave_open, use_after

        def test_leak():
            leak()

        def test_fine():
            fine()
    """
    return {
        "app.py": app,
        "test_x.py": tests,
        **{n.replace("__", "."): t for n, t in files.items()},
    }


LEAK = "connection = engine.connect()\n"


def test_comment(project):
    """A comment where a connection is taken keeps its finding from being told."""
    run = project(make(APP.replace(LEAK, f"connection = engine.connect()  {COMMENT}\n"))).run()
    assert run.is_clean()
    assert unused(run) == []


def test_comment_where_the_session_was_opened(project):
    """It may stand where the session was opened that holds the connection."""
    body = f"session = Session(engine)  {COMMENT}\n        kept.append(session)\n        return session.scalar(text('SELECT 1'))\n"
    app = APP + f"\n    def hold():\n        {body}"
    suite = project(
        {"app.py": app, "test_x.py": "from app import hold\ndef test_a():\n    hold()\n"}
    )
    assert suite.run().is_clean()


def test_comment_for_another_rule(project):
    """A comment suppresses the rules that it names, at its own statement, and no others."""
    other = COMMENT.replace("SG101", "SG102")
    app = APP.replace(LEAK, f"connection = engine.connect()  {other}\n")
    app = app.replace("return connection.scalar", f"{COMMENT}\n        return connection.scalar", 1)
    run = project(make(app)).run()
    assert run.found == ["SG101 test_leak"]
    assert unused(run) == [
        "the comment ignore[SG101] at app.py:11",
        "the comment ignore[SG102] at app.py:9",
    ]


def test_comment_of_an_async_session(project):
    """In async code as well."""
    pytest.importorskip("aiosqlite")
    from harness import ASYNC_APP

    app = ASYNC_APP.replace("await engine.connect()\n", f"await engine.connect()  {COMMENT}\n", 1)
    tests = """
        import pytest
        from app import leak

        @pytest.mark.asyncio
        async def test_leak():
            await leak()
    """
    assert project({"app.py": app, "test_x.py": tests}).run().is_clean()


def test_strict_heeds_comments(project):
    """A comment says where something is meant; no severity changes that, wherever it is set."""
    suite = project(make(APP.replace(LEAK, f"connection = engine.connect()  {COMMENT}\n")))
    assert suite.run("--sessionguard=strict", "--sessionguard-error=SG101").is_clean()


def test_malformed_comment(project):
    """A comment that cannot be meant is told with file and line, and suppresses nothing."""
    comment = "# sessionguard: ignore[SG101]"
    run = project(make(APP.replace(LEAK, f"connection = engine.connect()  {comment}\n"))).run()
    assert run.found == ["SG101 test_leak"]
    assert run.shows(
        """
        sessionguard: app.py:9: the comment suppresses nothing: needs a reason: `# sessionguard: ignore[SG101] reason`
        """
    )


def test_unknown_rule_in_a_comment(project):
    """The nearest name is told, as for a setting; also where nothing is found in the file."""
    comment = "# sessionguard: ignore[leaked-conection] why"
    tests = f"from app import fine\ndef test_a():\n    fine()  {comment}\n"
    run = project({"app.py": APP, "test_x.py": tests}).run()
    assert (
        "sessionguard: test_x.py:3: the comment suppresses nothing: no rule is named " in run.text
    )
    assert "Did you mean 'leaked-connection'?" in run.text
    assert run.exit == 0


FACTORIES = {
    "factories/user.py": "from app import engine, kept\ndef make():\n    kept.append(engine.connect())\n",
    "factories/__init__.py": "",
    "app.py": APP,
    "test_x.py": """
        from app import leak
        from factories.user import make

        def test_make():
            make()

        def test_leak():
            leak()
    """,
}


@pytest.mark.parametrize("pattern", ["factories", "factories/*", "*/user.py", "./factories/"])
@pytest.mark.parametrize("how", ["flag", "ini"])
def test_paths(project, how, pattern):
    """What is opened in an ignored path is not told; what others open there is."""
    files = dict(FACTORIES)
    args = [f"--sessionguard-ignore-paths={pattern}"]
    if how == "ini":
        files["pytest.ini"] = f"[pytest]\nsessionguard_ignore_paths = {pattern}\n"
        args = []
    run = project(files).run(*args)
    assert run.found == ["SG101 test_leak"]
    assert unused(run) == []


def test_path_of_the_caller(project):
    """The innermost frame counts: a test's path does not suppress what the application does."""
    run = project(FACTORIES).run("--sessionguard-ignore-paths=test_x.py")
    assert run.found == ["SG101 test_leak", "SG101 test_make"]
    assert unused(run) == ["sessionguard_ignore_paths 'test_x.py' (from command line)"]


def test_path_that_leaves_the_root(project):
    """A path that no message shows is a usage error."""
    run = project(make()).run("--sessionguard-ignore-paths=../factories")
    assert run.exit == 4
    assert "ERROR: sessionguard_ignore_paths: '../factories' leaves the rootdir" in run.text


def test_header(project):
    """The header shows the paths and the mode with their sources."""
    ini = "[pytest]\nsessionguard = strict\nsessionguard_ignore_paths = factories vendor/*\n"
    run = project({**FACTORIES, "pytest.ini": ini}).run("--sessionguard-ignore-paths=lib")
    assert run.header == (
        "sessionguard: sessionguard=strict (from ini), sessionguard_ignore_paths=lib (from command line)"
    )


# Suppressions that suppress nothing.

MARKED = """
    import pytest
    from app import fine, forget, leak

    pytestmark = pytest.mark.sessionguard(ignore="SG103", reason="of the whole module")

    @pytest.mark.sessionguard(ignore="leaked-connection", reason="needed")
    def test_leak():
        leak()

    @pytest.mark.sessionguard(ignore=["SG101", "SG102"], reason="one of them")
    @pytest.mark.parametrize("x", [1, 2])
    def test_forget(x):
        if x == 2:
            forget()

    @pytest.mark.sessionguard(ignore="SG101", reason="mended since")
    @pytest.mark.parametrize("x", [1, 2])
    def test_mended(x):
        fine()

    @pytest.mark.sessionguard(off=True, reason="mended since")
    class TestIt:
        def test_in_class(self):
            fine()

    @pytest.mark.sessionguard(warn="SG102", error="SG201")
    def test_no_suppression():
        fine()
"""
NEEDLESS = [
    'the marker ignore="SG101" of test_x.py::test_mended',
    'the marker ignore="SG103" of test_x.py',
    "the marker off=True of test_x.py::TestIt",
]


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=str)
def test_markers(project, workers):
    """A marker that ignores what is not there any more is told, once, where it stands."""
    run = project({"app.py": APP, "test_x.py": MARKED}).run(*workers, timeout=240)
    assert run.found == []
    assert sorted(unused(run)) == NEEDLESS


@pytest.mark.parametrize("scope", ["module", "class", "function"])
def test_marker_for_a_fixture(project, scope):
    """A module's marker that keeps a fixture silent is needed, whatever its scope."""
    tests = f"""
        import pytest
        from app import leak

        pytestmark = pytest.mark.sessionguard(ignore="SG101", reason="the fixture keeps it")

        @pytest.fixture(scope="{scope}")
        def row():
            yield leak()

        class TestRow:
            def test_row(self, row):
                pass
    """
    run = project({"app.py": APP, "test_x.py": tests}).run()
    assert run.is_clean()
    assert unused(run) == []


@pytest.mark.parametrize(
    "body",
    ["assert False", "pytest.skip('no')", "pytest.xfail('no')"],
    ids=["failed", "skipped", "xfailed"],
)
def test_marker_of_a_test_that_was_not_judged(project, body):
    """What a test that was not judged carries may be needed; of the others it is told."""
    tests = f"""
        import pytest
        from app import fine

        @pytest.mark.sessionguard(ignore="SG101", reason="who knows")
        def test_not_judged():
            {body}

        @pytest.mark.sessionguard(ignore="SG102", reason="mended since")
        def test_fine():
            fine()
    """
    ini = "[pytest]\nsessionguard_ignore = SG103\nsessionguard_ignore_paths = no/*\n"
    run = project({"app.py": APP, "test_x.py": tests, "pytest.ini": ini}).run("-v")
    assert unused(run) == ['the marker ignore="SG102" of test_x.py::test_fine']
    assert (
        "sessionguard: not asked what suppresses nothing any more: 1 test was skipped or failed"
        in run.text
    )


@pytest.mark.parametrize(
    "args",
    [("-k", "fine"), ("test_x.py::test_fine",), ("--deselect=test_x.py::test_leak",)],
    ids=" ".join,
)
def test_not_of_some_tests(project, args):
    """A run of some tests cannot tell."""
    suite = project(make(pytest__ini="[pytest]\nsessionguard_ignore = SG103\n"))
    assert unused(suite.run("--sessionguard-ignore=SG101")) == [
        "sessionguard_ignore 'SG103' (from ini)"
    ]
    assert unused(suite.run(*args)) == []


def test_not_after_an_early_stop(project):
    """Nor can one that was stopped."""
    tests = "from app import *\ndef test_a():\n    leak()\ndef test_b():\n    fine()\n"
    suite = project(
        {"app.py": APP, "test_x.py": tests, "pytest.ini": "[pytest]\nsessionguard_ignore=SG103\n"}
    )
    assert unused(suite.run("-x")) == []
    assert unused(suite.run()) == ["sessionguard_ignore 'SG103' (from ini)"]


def test_names_of_the_ini_file(project):
    """Each name of the ini file is asked for itself, and a group for all of its rules."""
    ini = "[pytest]\nsessionguard_ignore = SG101, SG2 connection-left-to-gc\n"
    run = project(make(pytest__ini=ini)).run()
    assert unused(run) == [
        "sessionguard_ignore 'SG2' (from ini)",
        "sessionguard_ignore 'connection-left-to-gc' (from ini)",
    ]


@pytest.mark.parametrize("strong", ["error", "ignore"])
def test_what_the_command_line_decides(project, strong):
    """Where the command line decides on a rule, nobody knows what marker and ini are good for."""
    tests = """
        import pytest
        from app import fine

        @pytest.mark.sessionguard(ignore="SG101", reason="so")
        def test_fine():
            fine()
    """
    ini = "[pytest]\nsessionguard_ignore = SG1\n"
    suite = project({"app.py": APP, "test_x.py": tests, "pytest.ini": ini})
    assert unused(suite.run(f"--sessionguard-{strong}=SG101")) == []
    assert len(unused(suite.run())) == 2


@pytest.mark.parametrize("workers", [(), ("-n2", "--dist=loadfile")], ids=str)
def test_comments_and_paths(project, workers):
    """Comments of all files that the run imported, and paths, are told where they do nothing."""
    app = APP.replace(
        "connection = engine.connect()\n", f"connection = engine.connect()  {COMMENT}\n"
    )
    app = app.replace("as connection:\n", f"as connection:  {COMMENT}\n")
    suite = project(
        make(
            app,
            other__py=f"x = 1  {COMMENT}\n",
            test_y__py="import other\ndef test_y():\n    pass\n",
            not_imported__py=f"x = 1  {COMMENT}\n",
        )
    )
    run = suite.run("--sessionguard-ignore-paths=no/*", *workers, timeout=240)
    assert unused(run) == [
        "the comment ignore[SG101] at app.py:17",
        "the comment ignore[SG101] at other.py:1",
        "sessionguard_ignore_paths 'no/*' (from command line)",
    ]
    assert run.exit == 0


def test_comments_and_paths_of_rules_that_are_off(project):
    """What a rule that is off would have needed is not called needless."""
    lazy = COMMENT.replace("SG101", "SG101, lazy-load")
    tests = f"""
        from app import fine

        def test_a():
            fine()  {COMMENT}

        def test_b():
            fine()  {lazy}
    """
    suite = project({"app.py": APP, "test_x.py": tests})
    path = "--sessionguard-ignore-paths=no/*"
    assert unused(suite.run(path)) == [
        "the comment ignore[SG101] at test_x.py:4",
        "sessionguard_ignore_paths 'no/*' (from command line)",
    ]
    assert unused(suite.run(path, "--sessionguard-ignore=SG101")) == []
    assert len(unused(suite.run(path, "--sessionguard=strict"))) == 3


def test_sources_are_read_for_findings_only(project, monkeypatch):
    """No source is read while nothing is found, until the whole run is over."""
    from pytest_sessionguard.suppressions import sieve

    reads: list[str] = []
    read = sieve.read_source

    def note(path: str) -> object:
        reads.append(path.rsplit("/", 1)[-1])
        return read(path)

    monkeypatch.setattr(sieve, "read_source", note)
    tests = "from app import fine\ndef test_a():\n    fine()\n"
    suite = project({"app.py": APP, "test_x.py": tests})
    suite.run("-k", "test_a")
    assert reads == []
    suite.run()
    assert sorted(reads) == ["app.py", "test_x.py"]


def test_fault_inside(project):
    """A fault of the gate's own changes no test's result."""

    def sabotage(patch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("boom")

        patch.setattr("pytest_sessionguard.suppressions.sieve.Sieve.sift", fail)

    run = project(make()).run(sabotage=sabotage)
    assert (run.exit, run.found) == (0, [])
    assert "RuntimeError: boom" in run.fault
    assert "suppresses nothing" not in run.text
