"""The examples: each fault at its line, and nothing in the mended twins."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_sessionguard.model import Severity
from pytest_sessionguard.rules import RULES

ROOT = Path(__file__).parents[2]
OFF = {rule.code for rule in RULES if rule.severity is Severity.OFF}
EXAMPLES = ["chat", "recruiting"]

pytestmark = pytest.mark.postgres


def run(example: str, form: str, *args: str, file: str = "") -> subprocess.CompletedProcess[str]:
    """Run the suite of one form, or one file of it, as the README does."""
    path = f"examples/{example}/{form}/{file}"
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", path, "-v", *args),
            *("-o", "sessionguard_postgres=embedded", "-p", "no:cacheprovider"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def read_marks(example: str, codes: set[str]) -> set[tuple[str, str]]:
    """Return the rule and the place of each ``# fault:`` comment, of some rules."""
    form = ROOT / "examples" / example / "faulty"
    marks = set()
    for path in form.rglob("*.py"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = re.search(r"# fault: (.+)$", line)
            for code in re.findall(r"SG\d+", found[1] if found else ""):
                if code in codes:
                    marks.add((code, f"{path.relative_to(form).as_posix()}:{number} "))
    return marks


def read_findings(text: str) -> list[tuple[str, str]]:
    """Return the rule and the text of each finding in a terminal report."""
    parts = re.split(r"^(SG\d+) [a-z-]+: ", text, flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("example", EXAMPLES)
def test_faulty(example: str) -> None:
    """Every marked fault is found by its rule at its line, and no other place is named."""
    marks = read_marks(example, {rule.code for rule in RULES} - OFF)
    result = run(example, "faulty")
    findings = read_findings(result.stdout)

    assert result.returncode == 1, result.stdout
    assert " failed" not in result.stdout.splitlines()[-1]
    for code, place in marks:
        assert any(place in text for rule, text in findings if rule == code), (code, place)
    for rule, text in findings:
        assert any(place in text for code, place in marks if code == rule), (rule, text)
    assert len(marks) > 4


def test_faulty_by_rules_that_are_off() -> None:
    """What rules find that are off by default is found where they are asked for."""
    marks = read_marks("recruiting", OFF)
    result = run("recruiting", "faulty", f"--sessionguard-warn={','.join(sorted(OFF))}")
    findings = read_findings(result.stdout)

    assert {"SG106"} == {code for code, _ in marks}
    for code, place in marks:
        assert any(place in text for rule, text in findings if rule == code), (code, place)


@pytest.mark.parametrize("example", EXAMPLES)
def test_faulty_unguarded(example: str) -> None:
    """The tests of the faulty form see none of it themselves."""
    result = run(example, "faulty", "--sessionguard=off")

    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("example", EXAMPLES)
def test_mended(example: str) -> None:
    """The mended form is green and without a finding."""
    result = run(example, "mended")

    assert result.returncode == 0, result.stdout
    assert ", no findings" in result.stdout
    assert read_findings(result.stdout) == []


DEPENDENCIES = {
    "chat": (
        "get_read_db() does not close its Session in 4 ways of 4",
        "chat/db.py:38 in get_read_db",
        "Fix: yield inside the block, or `session.close()` in `finally`:",
    ),
    "recruiting": (
        "get_async_session() does not close its AsyncSession in 3 ways of 4",
        "recruiting/app.py:21 in get_async_session",
        "Fix: yield inside the block, or `await session.close()` in `finally`:",
    ),
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_dependencies(example: str) -> None:
    """The assertion tells the faulty dependency with its line, and nothing of the mended one."""
    faulty = run(example, "faulty", file="check_dependencies.py")
    assert faulty.returncode == 1, faulty.stdout
    assert all(line in faulty.stdout for line in DEPENDENCIES[example]), faulty.stdout
    assert " 1 failed" in faulty.stdout.splitlines()[-1]
    assert read_findings(faulty.stdout) == []

    mended = run(example, "mended", file="check_dependencies.py")
    assert mended.returncode == 0, mended.stdout
    assert ", no findings" in mended.stdout


@pytest.mark.parametrize("example", EXAMPLES)
def test_both_forms_have_the_same_tests(example: str) -> None:
    """What the faulty form's tests ask is what the mended form's do."""
    folder = ROOT / "examples" / example
    names = [path.name for path in (folder / "faulty").glob("[tc]*_*.py")]

    assert names
    for name in names:
        assert (folder / "faulty" / name).read_text() == (folder / "mended" / name).read_text()
