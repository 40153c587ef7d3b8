"""Reports of real runs: where they go, what is in them, and that they come whatever happens."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from harness import APP
from report.test_document import VALIDATOR

SUITE = {
    "app.py": APP,
    "test_one.py": """
        import pytest
        from app import fine, forget, leak

        @pytest.fixture(scope="session")
        def row():
            yield leak()

        def test_fine(row):
            fine()

        @pytest.mark.parametrize("number", range(3))
        def test_leak(number):
            leak()

        def test_forget(row):
            forget()
    """,
    "test_two.py": """
        from app import fine, leak, leave_open, use_after

        def test_leak(request):
            leak()

        def test_open():
            leave_open()

        def test_after():
            use_after()

        def test_failed():
            leak()
            assert False
    """,
}
JSON = "--sessionguard-report=json"


def read(run_or_project: Any, name: str = "sessionguard.json") -> Any:
    document = json.loads((run_or_project.path / name).read_text("utf-8"))
    VALIDATOR.validate(document)
    return document


def settle(document: Any) -> Any:
    """Take out what differs from run to run: times, versions, how many processes there were."""
    kept = {name: document[name] for name in ("tally", "fault", "gone", "unused", "findings")}
    # An engine is one for each process, and who comes last tells of a wide fixture.
    kept["tally"] = document["tally"]["tests"]
    kept["findings"] = [
        {**finding, "told_at": "" if finding["owner"]["scope"] == "session" else finding["told_at"]}
        for finding in document["findings"]
    ]
    return kept


def test_every_form(project):
    """Each form goes to its file, and a line says where; the reports agree."""
    suite = project(SUITE)
    run = suite.run(
        *(f"--sessionguard-report={form}" for form in ("json", "sarif", "gitlab", "markdown")),
        "--sessionguard-report=junit:build/deep/found.xml",
    )
    assert run.exit == 1
    document = read(suite)
    assert len(document["findings"]) == len(run.findings) == 8
    log = json.loads((suite.path / "sessionguard.sarif").read_text("utf-8"))
    results = log["runs"][0]["results"]
    assert sum(result["occurrenceCount"] for result in results) == 8
    assert len(json.loads((suite.path / "gl-code-quality-report.json").read_text())) == len(results)
    assert (
        "### sessionguard: 7 errors and 1 warning" in (suite.path / "sessionguard.md").read_text()
    )
    cases = ET.parse(suite.path / "build" / "deep" / "found.xml").findall(".//testcase")
    assert len(cases) == len(results)
    for line in (
        "json in sessionguard.json",
        "sarif in sessionguard.sarif",
        "gitlab in gl-code-quality-report.json",
        "markdown in sessionguard.md",
        "junit in build/deep/found.xml",
    ):
        assert f"sessionguard report: {line}" in run.text.splitlines()


def test_facts_of_the_run(project):
    """The document tells when, with what and how the run went."""
    suite = project(SUITE)
    run = suite.run(JSON)
    told = read(suite)["run"]
    assert told["pytest"] == pytest.__version__
    assert told["python"] == ".".join(map(str, sys.version_info[:3]))
    assert told["exit"] == run.exit == 1
    assert told["interrupted"] is False
    assert told["workers"] == 1
    assert told["folder"] == ""
    assert 0 < told["seconds"] < 60
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", told["started"])
    assert str(suite.path) not in (suite.path / "sessionguard.json").read_text()


def test_same_under_xdist(project):
    """One process, two workers and four, in any order, come to the same report."""
    shuffle = """
        import random

        def pytest_collection_modifyitems(config, items):
            seed = config.getoption("shuffle")
            if seed:
                random.Random(seed).shuffle(items)

        def pytest_addoption(parser):
            parser.addoption("--shuffle", type=int)
    """
    suite = project({**SUITE, "conftest.py": shuffle})
    for number, args in enumerate(
        [("-n0",), ("-n2",), ("-n4",), ("--shuffle=7",), ("-n2", "--shuffle=8")]
    ):
        name = f"{number}.json"
        run = suite.run(*args, f"{JSON}:{name}", subprocess=True)
        assert run.exit == 1, run.text
        assert f"sessionguard report: json in {name}" in run.text
        assert [str(path) for path in suite.path.glob("*.tmp")] == []
    first, *others = [read(suite, f"{number}.json") for number in range(5)]
    assert len(first["findings"]) == 8
    for other in others:
        assert settle(other) == settle(first)
    assert [1, 2, 4, 1, 2] == [d["run"]["workers"] for d in (first, *others)]
    assert not any(document["run"]["interrupted"] for document in (first, *others))


def test_worker_killed(project):
    """A worker that dies takes nothing with it that its tests had brought."""
    suite = project(
        {
            "app.py": APP,
            "test_x.py": """
                import os
                from app import fine, leak

                def test_a_leak():
                    leak()

                def test_b_die():
                    os.kill(os.getpid(), 9)

                def test_c_leak():
                    leak()
            """,
        }
    )
    suite.run("-n1", JSON, "--max-worker-restart=2")
    document = read(suite)
    assert ["test_a_leak", "test_c_leak"] == [f["owner"]["name"] for f in document["findings"]]
    assert document["run"]["interrupted"] is False


def test_no_worker_left(project):
    """A run whose last worker died is told as interrupted."""
    suite = project(
        {
            "app.py": APP,
            "test_x.py": """
                import os
                from app import leak

                def test_a_leak():
                    leak()

                def test_b_die():
                    os.kill(os.getpid(), 9)

                def test_c_leak():
                    leak()
            """,
        }
    )
    suite.run("-n1", JSON, "--max-worker-restart=0")
    document = read(suite)
    assert ["test_a_leak"] == [finding["owner"]["name"] for finding in document["findings"]]
    assert document["run"]["interrupted"] is True


@pytest.mark.parametrize("args", [("-x",), ("--maxfail=1",), ("-x", "-n1")])
def test_stopped_at_the_first_failure(project, args):
    """What was found until then is written, and that the run did not come to its end."""
    suite = project(
        {
            "app.py": APP,
            "test_x.py": "from app import leak\n"
            "def test_a(): leak()\n"
            + "".join(f"def test_{letter}(): pass\n" for letter in "bcdefghij"),
        }
    )
    suite.run(*args, JSON)
    document = read(suite)
    assert ["test_a"] == [finding["owner"]["name"] for finding in document["findings"]]
    assert document["run"]["interrupted"] is True


INTERRUPTS = {
    "KeyboardInterrupt": ("raise KeyboardInterrupt", 2),
    "pytest.exit": ("import pytest; pytest.exit('enough')", 2),
    "internal error": ("request.config.broken = True", 3),
}


@pytest.mark.parametrize("how", INTERRUPTS)
def test_interrupted(project, how):
    """Ctrl-C, `pytest.exit` and an internal error of pytest leave a report."""
    line, code = INTERRUPTS[how]
    suite = project(
        {
            "app.py": APP,
            "conftest.py": """
                def pytest_runtest_logfinish(nodeid):
                    if "test_b" in nodeid and hasattr(config, "broken"):
                        raise RuntimeError("a fault of another plugin")

                def pytest_configure(config):
                    globals()["config"] = config
            """,
            "test_x.py": f"""
                from app import leak

                def test_a():
                    leak()

                def test_b(request):
                    {line}

                def test_c():
                    leak()
            """,
        }
    )
    run = suite.run(JSON, subprocess=True)
    assert run.exit == code, run.text
    document = read(suite)
    assert ["test_a"] == [finding["owner"]["name"] for finding in document["findings"]]
    assert document["run"]["interrupted"] is True
    assert document["run"]["exit"] == code


@pytest.mark.parametrize("args", [(), ("-n1",)])
def test_signal(project, args):
    """A real Ctrl-C in the middle leaves a report, also under xdist."""
    if args:
        pytest.importorskip("xdist")
    suite = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pathlib
                import time
                from app import leak

                def test_a():
                    leak()

                def test_b():
                    pathlib.Path("waiting").touch()
                    time.sleep(60)
            """,
        }
    )
    command = [sys.executable, "-m", "pytest", "-p", "sessionguard", "-p", "no:hypothesispytest"]
    with subprocess.Popen(
        [*command, *args, JSON],
        cwd=suite.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        deadline = time.monotonic() + 60
        while not (suite.path / "waiting").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1)  # for the report of test_a to reach the controller
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 2, output.decode()
    document = read(suite)
    assert ["test_a"] == [finding["owner"]["name"] for finding in document["findings"]]
    assert document["run"]["interrupted"] is True


@pytest.mark.parametrize(
    "args", [("-q",), ("-qq",), ("--no-summary",), ("-p", "no:terminal"), ("-v",)]
)
def test_written_however_quiet(project, args):
    """A report does not depend on what stands on the screen."""
    suite = project(SUITE)
    suite.run(*args, JSON, subprocess=True)
    assert len(read(suite)["findings"]) == 8


def test_nothing_is_written_without_a_run(project):
    """To collect is no run, nor is a usage error."""
    suite = project(SUITE)
    suite.run("--collect-only", JSON)
    assert not (suite.path / "sessionguard.json").exists()
    suite.write(
        "test_bad.py",
        "import pytest\n@pytest.mark.sessionguard(ignore='SG101')\ndef test_bad(): pass",
    )
    assert suite.run(JSON).exit == 4
    assert not (suite.path / "sessionguard.json").exists()


def test_off(project):
    """A guard that sees nothing writes no report that says there is nothing."""
    suite = project(SUITE)
    run = suite.run("--sessionguard=off", JSON)
    assert "sessionguard report: none, for sessionguard is off" in run.text
    assert not (suite.path / "sessionguard.json").exists()


def test_no_tests(project):
    """A run of no tests has a report that says that none was judged."""
    suite = project({"test_x.py": ""})
    assert suite.run(JSON).exit == 5
    assert read(suite)["tally"]["tests"] == 0


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("jsn", "sessionguard_report: no form is named 'jsn' (from command line)"),
        ("json:", "sessionguard_report: 'json:' names no file after the colon."),
        ("json:test_one.py/x.json", "sessionguard_report: json cannot be written to 'test_one.py"),
        ("json:.", "sessionguard_report: json cannot be written to '.': '"),
    ],
)
@pytest.mark.parametrize("args", [(), ("-n2",)])
def test_refused_before_the_first_test(project, value, line, args):
    """A form that is none, and a file that cannot be written, are usage errors with a way out."""
    run = project(SUITE).run(*args, f"--sessionguard-report={value}")
    assert run.exit == 4, run.text
    assert run.text.count("ERROR: ") == 1
    assert f"ERROR: {line}".replace(" (from command line)", "") in run.text
    assert "passed" not in run.text
    assert "INTERNALERROR" not in run.text


def test_ini(project):
    """The ini file asks for reports, whose files it names from pytest's root."""
    suite = project(
        {
            **SUITE,
            "pytest.ini": "[pytest]\nsessionguard_report = json:out/x.json 'sarif:a b.sarif'\n",
        }
    )
    suite.run("--rootdir", str(suite.path))
    assert read(suite, "out/x.json")
    assert (suite.path / "a b.sarif").exists()
    run = suite.run("--sessionguard-report=markdown")
    assert "sessionguard report: markdown in sessionguard.md" in run.text
    assert "sessionguard report: json" not in run.text


def test_native_toml(project):
    """So does pytest's own table of TOML, with a list."""
    if pytest.version_tuple < (9, 0):
        pytest.skip("came with pytest 9")
    suite = project(
        {**SUITE, "pyproject.toml": '[tool.pytest]\nsessionguard_report = ["json:x.json"]\n'}
    )
    suite.run()
    assert read(suite, "x.json")


def test_called_from_a_folder(project):
    """A file of the command line is named from where pytest is called."""
    suite = project({**SUITE, "pytest.ini": "[pytest]\n", "sub/test_y.py": "def test_y(): pass"})
    command = [sys.executable, "-m", "pytest", "-p", "sessionguard", JSON]
    done = subprocess.run(
        command, cwd=suite.path / "sub", capture_output=True, text=True, check=True
    )
    assert "sessionguard report: json in sessionguard.json" in done.stdout
    assert read(suite, "sub/sessionguard.json")


def test_old_report_is_replaced(project):
    """The report of the run before is gone; nothing else is left beside the new one."""
    suite = project(SUITE)
    (suite.path / "sessionguard.json").write_text("old")
    suite.run(JSON)
    assert read(suite)
    assert [] == list(suite.path.glob("*.tmp"))


def test_full_disk(project):
    """What cannot be written in the end is said, and changes no result."""
    run = project(SUITE).run(f"{JSON}:/dev/full", JSON)
    assert run.exit == 1
    assert "sessionguard report: json could not be written: [Errno 28]" in run.text
    assert "sessionguard report: json in sessionguard.json" in run.text
    assert len(run.findings) == 8


def test_fault_inside_a_form(project):
    """A fault of a form is said; results and other reports stand."""

    def sabotage(patch):
        from pytest_sessionguard.report.forms import sarif

        def fail(*_):
            raise ValueError("a fault of ours")

        patch.setattr(sarif, "group_findings", fail)

    suite = project(SUITE)
    run = suite.run("--sessionguard-report=sarif", JSON, sabotage=sabotage)
    assert "sessionguard report: sarif could not be written: a fault of ours" in run.text
    assert read(suite)
    assert run.exit == 1


def test_stdout(project):
    """A form can go to standard output."""
    run = project(SUITE).run("--sessionguard-report=markdown:-")
    assert "### sessionguard: 7 errors and 1 warning" in run.text.splitlines()


def test_github(project):
    """In GitHub Actions annotations go to the log, and the summary to its file."""
    suite = project(SUITE)
    (suite.path / "step.md").write_text("before\n")
    run = suite.run(
        "--sessionguard-report=github",
        subprocess=True,
        GITHUB_ACTIONS="true",
        GITHUB_STEP_SUMMARY=str(suite.path / "step.md"),
    )
    lines = [line for line in run.text.splitlines() if line.startswith("::")]
    assert len(lines) == 4
    assert lines[0].startswith("::error file=app.py,line=9,title=SG101 leaked-connection::1 conn")
    assert run.text.count("::error ") == 3
    assert "sessionguard report: github in the log and the summary of this step" in run.text
    summary = (suite.path / "step.md").read_text()
    assert summary.startswith("before\n### sessionguard: 7 errors and 1 warning\n")


def test_github_elsewhere(project):
    """Elsewhere nothing is written, and a line says why."""
    run = project(SUITE).run("--sessionguard-report=github")
    assert "\n::" not in run.text
    assert "sessionguard report: github is written in GitHub Actions only" in run.text


def test_github_without_terminal(project):
    """Without pytest's terminal the log has the annotations, too."""
    run = project(SUITE).run(
        "--sessionguard-report=github", "-p", "no:terminal", subprocess=True, GITHUB_ACTIONS="true"
    )
    assert run.text.count("::error ") == 3


def test_folder_of_the_repository(project):
    """Where pytest's root is a folder of a repository, files are named from the repository."""
    suite = project({f"svc/{name}": text for name, text in SUITE.items()})
    (suite.path / ".git").mkdir()
    suite.write("svc/pytest.ini", "[pytest]\n")
    run = suite.run(
        "--rootdir=svc",
        "svc",
        "--sessionguard-report=github",
        JSON,
        "-p",
        "no:cacheprovider",
        subprocess=True,
        GITHUB_ACTIONS="true",
    )
    assert "::error file=svc/app.py,line=9," in run.text
    document = read(suite)
    assert document["run"]["folder"] == "svc"
    assert document["findings"][0]["places"][0]["frames"][0][0] == "app.py"


def properties(path: Path) -> dict[str, list[str]]:
    return {
        case.get("name", ""): [p.get("value", "") for p in case.iter("property")]
        for case in ET.parse(path).iter("testcase")
    }


@pytest.mark.parametrize("args", [(), ("-n2",)])
def test_junit(project, args):
    """The test cases of `--junit-xml` carry their findings as properties, also under xdist."""
    suite = project(SUITE)
    run = suite.run(*args, "--sessionguard-report=junit", "--junit-xml=build/j.xml")
    told = properties(suite.path / "build" / "j.xml")
    assert told["test_fine"] == []
    (leak,) = told["test_leak[1]"]
    assert leak.startswith("SG101 leaked-connection: 1 connection was still checked out after test")
    assert leak.endswith(", at app.py:9 in leak")
    # Whichever test a worker runs last also carries what the wide fixture has left.
    own = [value for value in told["test_open"] if "fixture `row`" not in value]
    assert [value.split(":")[0] for value in own] == ["SG201 unclosed-session"]
    wide = [value for values in told.values() for value in values if "fixture `row`" in value]
    assert 1 <= len(wide) <= (2 if args else 1)  # one a worker
    assert "sessionguard report: junit in the properties of build/j.xml" in run.text


def test_junit_unasked(project):
    """Nobody who did not ask gets properties."""
    suite = project(SUITE)
    suite.run("--junit-xml=j.xml")
    assert not any(properties(suite.path / "j.xml").values())


def test_junit_without_file(project):
    """Where pytest writes no JUnit file, a line says what is missing."""
    run = project(SUITE).run("--sessionguard-report=junit")
    line = "junit needs --junit-xml=FILE, or junit:FILE for one of its own"
    assert f"sessionguard report: {line}" in run.text


def test_junit_of_a_test_that_ran_twice(project):
    """A test that is run again has the findings of its last run, beside properties of its own."""
    pytest.importorskip("pytest_rerunfailures")
    suite = project(
        {
            "app.py": APP,
            "test_x.py": """
                from app import leak

                def test_leak(record_property):
                    record_property("mine", "1")
                    leak()
            """,
        }
    )
    suite.run("--reruns=2", "--sessionguard-report=junit", "--junit-xml=j.xml")
    (case,) = list(ET.parse(suite.path / "j.xml").iter("testcase"))[-1:]
    names = [p.get("name") for p in case.iter("property")]
    assert names.count("sessionguard") == 1
    assert "mine" in names


BASELINE = "--sessionguard-baseline=accepted.jsonl"


def test_accepted(project):
    """What the baseline lists is told as accepted, and only what is new is annotated."""
    suite = project(SUITE)
    suite.run(BASELINE, "--sessionguard-update-baseline")
    suite.write(
        "test_two.py", "def test_new():\n    from app import engine\n    engine.connect()\n"
    )
    run = suite.run(
        BASELINE,
        JSON,
        *(f"--sessionguard-report={form}" for form in ("sarif", "gitlab", "markdown", "github")),
        subprocess=True,
        GITHUB_ACTIONS="true",
    )
    assert run.exit == 1
    document = read(suite)
    states = {(f["owner"]["name"], f["state"]) for f in document["findings"]}
    assert ("test_new", "new") in states
    assert ("test_forget", "accepted") in states
    assert sum(state == "new" for _, state in states) == 1
    assert {"SG201", "SG202"} == {entry["rule"] for entry in document["gone"]}
    (entry,) = json.loads((suite.path / "gl-code-quality-report.json").read_text())
    assert entry["location"]["path"] == "test_two.py"
    assert run.text.count("\n::error ") == 1
    log = json.loads((suite.path / "sessionguard.sarif").read_text())
    accepted = [r for r in log["runs"][0]["results"] if r["suppressions"]]
    assert {"SG101", "SG102"} == {result["ruleId"] for result in accepted}
    text = (suite.path / "sessionguard.md").read_text()
    assert "### sessionguard: 1 error\n" in text
    assert "5 accepted by the baseline, 2 in the baseline and found no more." in text


def test_suppressed_for_nothing(project):
    """A suppression that suppresses nothing is told."""
    suite = project(SUITE)
    suite.write("test_one.py", "")
    suite.write("test_two.py", "def test_x():  # sessionguard: ignore[SG101] for nothing\n  pass\n")
    suite.run(JSON, "--sessionguard-report=markdown")
    (unused,) = read(suite)["unused"]
    assert unused["where"] == "test_two.py:1"
    assert "1 suppressed, and not found." in (suite.path / "sessionguard.md").read_text()


def test_pools(project):
    """How the pools were used stands in the document, whoever of the workers saw the peak."""
    suite = project(SUITE)
    for args in ((), ("-n2",)):
        suite.run(*args, JSON)
        (pool,) = read(suite)["advice"]["pools"]
        assert (pool["engine"], pool["limit"]) == ("sqlite+pysqlite", 15)


def test_values_stay_out(project):
    """A password in a test's id, and the values of a statement, stand in no report."""
    suite = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from sqlalchemy import text
                from app import engine, kept

                @pytest.mark.parametrize("url", ["postgresql://ann:s3cret@db/app"])
                def test_leak(url):
                    connection = engine.connect()
                    kept.append(connection)
                    connection.execute(text("SELECT :value"), {"value": "pr1vate"})
            """,
        }
    )
    forms = ("json", "sarif", "gitlab", "markdown", "junit:own.xml")
    suite.run(*(f"--sessionguard-report={form}" for form in forms))
    files = [
        path for path in suite.path.iterdir() if path.suffix in (".json", ".sarif", ".md", ".xml")
    ]
    assert len(files) == 5
    for path in files:
        text = path.read_text("utf-8")
        assert "leaked-connection" in text
        assert "s3cret" not in text
        assert "pr1vate" not in text
        assert str(suite.path) not in text


def test_explain(project):
    """`--sessionguard-explain` tells a rule's page and runs no test."""
    run = project(SUITE).run("--sessionguard-explain=SG101")
    assert run.exit == 0
    assert run.text.startswith("SG101 leaked-connection (error by default)\n\nWhat it does\n")
    assert "test session starts" not in run.text
    assert run.outcomes == {}


def test_explain_is_the_command(project, capsys):
    """It prints what `sessionguard rule` prints, of several rules too."""
    from pytest_sessionguard.cli import main

    run = project(SUITE).run("--sessionguard-explain=leaked-connection,SG2")
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "120")
        assert main(["rule", "leaked-connection", "SG2"]) == 0
    assert capsys.readouterr().out.strip() == run.text.strip()


def test_explain_nothing(project):
    """A rule that is none is a usage error, with the nearest and the valid ones."""
    run = project(SUITE).run("--sessionguard-explain=leaked-conection")
    assert run.exit == 4
    assert (
        "ERROR: --sessionguard-explain: no rule is named 'leaked-conection'. Did you mean"
        in run.text
    )
