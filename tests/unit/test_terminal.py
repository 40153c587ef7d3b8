"""The section at the end of a run, on a screen that is none."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_sessionguard.model import CallSite, Finding, Frame, Owner, Place, Severity
from pytest_sessionguard.report.summary import Summary, pack
from pytest_sessionguard.report.terminal import close, show
from pytest_sessionguard.report.wording import tell, tell_title
from pytest_sessionguard.tally import Tally


class Screen:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.colours: list[dict[str, bool]] = []

    def write_sep(self, sep: str, title: str | None = None, **markup: bool) -> None:
        self.lines.append(f"{sep}{title}{sep}")

    def write_line(self, line: str, **markup: bool) -> None:
        self.lines.append(line)
        self.colours.append(markup)


def make(line: int = 1, severity: Severity = Severity.WARN, told: str = "t.py::test_it") -> Finding:
    site = CallSite(
        (Frame("app.py", line, "f"), Frame("app.py", 99, "g"), Frame("app.py", 100, "h"))
    )
    return Finding(
        "SG201",
        "unclosed-session",
        severity,
        Owner("test", told.split("::")[-1], nodeid=told),
        (Place("opened", site, "Session at {}"),),
        {"count": 1, "holder": "Session", "collected": False},
        told,
    )


def write(
    *findings: Finding, tally: Tally | None = None, fault: str = "", **options: Any
) -> list[str]:
    summary, screen = Summary(), Screen()
    summary.add(pack(list(findings), tally or Tally(3, 1, 2), fault))
    show(screen, summary, **options)
    return screen.lines


CLEAN = "sessionguard: 3 tests judged, 1 engine and 2 sessions seen, no findings"
FOUND = "sessionguard: 3 tests judged, 1 engine and 2 sessions seen, 1 SG201 unclosed-session"


def test_a_clean_run() -> None:
    """A run without findings has one line, and no section."""
    assert [CLEAN] == write()


def test_one_finding() -> None:
    """A finding is told in full, in a section that the last line closes."""
    finding = make()
    assert ["=sessionguard=", *tell(finding).splitlines(), "", FOUND] == write(finding)


def test_what_a_failure_has_shown() -> None:
    """What stands in a failure above is counted and not told again."""
    finding = make(severity=Severity.ERROR)
    assert [FOUND] == write(finding, told=frozenset({"error"}))


def test_what_no_failure_could_show() -> None:
    """A finding of no test's end is told here, also where errors stand in failures."""
    finding = make(severity=Severity.ERROR, told="")
    assert tell_title(finding) in write(finding, told=frozenset({"error"}))


def test_verbose_tells_all_frames() -> None:
    """With `-v` every frame is shown."""
    finding = make()
    expected = tell(finding, verbose=True).splitlines()
    assert ["=sessionguard=", *expected, "", FOUND] == write(finding, verbosity=1)
    assert len(tell(finding).splitlines()) < len(expected)


def test_three_in_full() -> None:
    """The first three are told in full, the others in a line each, and how to see them too."""
    findings = [make(line) for line in range(1, 6)]
    lines = write(*findings)
    assert 3 == sum(line.startswith("  Fix: ") for line in lines)
    assert [
        f"{tell_title(findings[3])}: app.py:4 in f",
        f"{tell_title(findings[4])}: app.py:5 in f",
        "(add -v to show these in full)",
        FOUND.replace("1 SG201", "5 SG201"),
    ] == lines[-4:]
    assert 5 == sum(line.startswith("  Fix: ") for line in write(*findings, verbosity=1))


def test_quiet() -> None:
    """With `-q` each finding is one line."""
    finding = make()
    assert [
        "=sessionguard=",
        f"{tell_title(finding)}: app.py:1 in f",
        "(add -v to show these in full)",
        FOUND,
    ] == write(finding, verbosity=-1)


def test_the_same_place_again() -> None:
    """Findings of one place are told once, with the tests that met it too."""
    findings = [make(told=f"t.py::test_{number}") for number in range(5)]
    two, five = write(*findings[:2]), write(*findings)
    assert "  Also in t.py::test_1." in two
    assert "  Also in t.py::test_1, t.py::test_2 and 2 more." in five
    verbose = write(*findings, verbosity=1)
    assert "  Also in t.py::test_1, t.py::test_2, t.py::test_3, t.py::test_4." in verbose
    quiet = write(*findings, verbosity=-1)
    assert f"{tell_title(findings[0])}: app.py:1 in f (and 4 more)" in quiet


def test_a_fault_of_the_guard() -> None:
    """A fault inside the guard is told, though nothing was found."""
    lines = write(fault="KeyError: 'x'")
    assert [
        "=sessionguard=",
        "sessionguard stood down after a fault of its own, and judged nothing since: KeyError: 'x'",
        CLEAN,
    ] == lines


@pytest.mark.parametrize(
    ("tally", "line"),
    [
        (Tally(1, 1, 1), "sessionguard: 1 test judged, 1 engine and 1 session seen, no findings"),
        (
            Tally(2, 3, 0),
            "sessionguard: 2 tests judged, 3 engines and 0 sessions seen, no findings",
        ),
    ],
)
def test_numbers(tally: Tally, line: str) -> None:
    """The last line counts, and knows one from many."""
    assert [line] == write(tally=tally)


def test_no_engine() -> None:
    """A run that saw no engine says so: silence must not look like health."""
    (line,) = write(tally=Tally(7, 0, 0))
    assert line.startswith("sessionguard: 7 tests judged, 0 engines seen")
    assert "no findings" not in line


def test_no_engine_but_a_finding() -> None:
    """A finding is counted even where no engine was, as of a session that never connected."""
    assert write(make(), tally=Tally(1, 0, 1))[-1].endswith("1 SG201 unclosed-session")


def test_last_line_is_yellow_where_something_was_found() -> None:
    """The last line has a colour where there are findings."""
    for findings, yellow in (([], False), ([make()], True)):
        summary, screen = Summary(), Screen()
        summary.add(pack(findings, Tally(1, 1, 1)))
        show(screen, summary)
        assert {"yellow": yellow} == screen.colours[-1]
        assert close(summary) == screen.lines[-1]
