"""The pages on adoption and settings: their commands and files do what they say."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from harness import APP, Project, Run

from pytest_sessionguard import baseline
from pytest_sessionguard.options import MARKER, OPTIONS, Mode

DOCS = Path(__file__).parents[2] / "docs"
ADOPT, SETTINGS = ((DOCS / f"{name}.md").read_text("utf-8") for name in ("adopt", "settings"))
FILE = "sessionguard-baseline.jsonl"


def read_block(page: str, language: str, number: int = 0) -> str:
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    return str(blocks[number])


def make_old_suite(faults: int) -> dict[str, str]:
    """A suite with as many faults, errors and warnings."""
    app = "from sqlalchemy import create_engine, text\nfrom sqlalchemy.orm import Session\n"
    app += "engine = create_engine('sqlite:///app.db', pool_size=100)\nkept = []\n"
    tests = "import app\n"
    for number in range(faults):
        leak = "    kept.append(engine.connect())\n"
        leave = "    Session(engine).scalar(text('SELECT 1'))\n"
        app += f"def work_{number}():\n{leak if number % 2 else leave}"
        tests += f"def test_{number}():\n    app.work_{number}()\n"
    return {"app.py": app, "test_x.py": tests}


def run(suite: Project, command: str) -> Run:
    program, *args = shlex.split(command)
    assert program == "pytest"
    return suite.run(*args)


def test_three_commands(project: Any) -> None:
    """Report, record, gate: fifty old faults are green, and the fifty-first is red."""
    report, record, gate = read_block(ADOPT, "shell").splitlines()
    suite = project(make_old_suite(50))
    seen = run(suite, report)
    assert (seen.exit, len(seen.findings)) == (0, 50)
    assert run(suite, record).exit == 0
    assert len((suite.path / FILE).read_text().splitlines()) == 51
    green = run(suite, gate)
    assert (green.exit, green.closing.split(", ")[-2:]) == (0, ["no new findings", "50 accepted"])

    for name, text in make_old_suite(51).items():
        suite.write(name, text)
    red = run(suite, gate)
    assert red.exit == 1
    assert {name for name, word in red.results.items() if word != "passed"} == {"test_50"}
    assert red.closing.endswith(", 1 SG102 connection-left-to-gc, 50 accepted")


def test_settings_of_the_gate(project: Any) -> None:
    """With the settings of the page the gate is pytest alone."""
    suite = project({**make_old_suite(2), "pyproject.toml": read_block(ADOPT, "toml")})
    assert suite.run().exit == 4
    assert suite.run("--sessionguard-update-baseline").exit == 0
    assert suite.run().closing.endswith(", no new findings, 2 accepted")


def test_file() -> None:
    """The file of the page is one that can be read, and is written so."""
    text = read_block(ADOPT, "json")
    assert baseline.load(text, "adopt.md").dump() == text
    assert all(json.loads(line) for line in text.splitlines())


def test_example_of_a_path(project: Any) -> None:
    """The ini of the page is read."""
    suite = project(
        {
            "app.py": APP,
            "tests/factories/user.py": """
                from app import engine, kept

                def make():
                    kept.append(engine.connect())
            """,
            "test_x.py": "from tests.factories.user import make\ndef test_a():\n    make()\n",
            "pytest.ini": read_block(SETTINGS, "ini"),
        }
    )
    run = suite.run()
    assert (run.exit, run.found) == (0, [])


def test_example_of_a_comment(project: Any) -> None:
    """The comment of the page suppresses its finding."""
    take = read_block(SETTINGS, "python", 1)
    test = "import app\ndef test_a():\n    app.kept.append(take(app.engine))\n"
    suite = project({"app.py": APP, "test_x.py": f"{take}\n{test}"})
    assert suite.run().is_clean()
    suite.write("test_x.py", f"{take.replace('sessionguard:', '')}\n{test}")
    assert suite.run().found == ["SG101 test_a"]


def test_every_option_and_argument() -> None:
    """The page on settings speaks of each option, each mode and each argument of the marker."""
    for option in OPTIONS:
        assert f"`{option.flag}`" in SETTINGS
    for mode in Mode:
        assert f"`{mode.value}`" in SETTINGS
    signature = MARKER.split("(*, ", maxsplit=1)[1].split(")", maxsplit=1)[0]
    for argument in re.findall(r"(\w+)=", signature):
        assert f"`{argument}`" in SETTINGS


def test_each_option_has_a_twin_or_a_reason(pytestconfig: pytest.Config) -> None:
    """Whatever the command line takes the ini file takes too, or a reason says why not."""
    for option in OPTIONS:
        if option.no_ini:
            with pytest.raises(ValueError, match="unknown configuration value"):
                pytestconfig.getini(option.name)
        else:
            pytestconfig.getini(option.name)
