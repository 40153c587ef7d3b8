"""The page on continuous integration: each snippet is valid, and its command does what it says."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from harness import APP

PAGE = (Path(__file__).parents[2] / "docs" / "ci.md").read_text("utf-8")
SNIPPETS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL))
# What pytest and the command are called by in an environment that is not activated.
PROGRAMS = {
    "pytest": [sys.executable, "-m", "pytest", "-p", "no:hypothesispytest"],
    "sessionguard": [sys.executable, "-m", "pytest_sessionguard.cli"],
}


def read_block(name: str, language: str = "yaml") -> str:
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", SNIPPETS[name], re.MULTILINE | re.DOTALL)
    return block


def read_commands(text: str) -> list[str]:
    """Return the commands of a snippet that are ours, in their order."""
    return re.findall(r"\b(?:pytest|sessionguard) (?:-p|report) [^\n']*", text)


def run(command: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    program, *args = shlex.split(command)
    clean = {n: v for n, v in os.environ.items() if not n.startswith(("PYTEST_", "GITHUB_"))}
    return subprocess.run(
        [*PROGRAMS[program], *args],
        cwd=folder,
        env={**clean, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def suite(project: Any) -> Path:
    """A small suite with one fault."""
    test = "from app import leak\n\ndef test_leak(): leak()\n"
    path: Path = project({"app.py": APP, "test_x.py": test}).path
    return path


def mend(suite: Path) -> None:
    (suite / "test_x.py").write_text("from app import fine\n\ndef test_fine(): fine()\n")


def test_every_command_is_run() -> None:
    """Each snippet has its command, each of which has a test below."""
    assert ["GitHub Actions", "GitLab", "Jenkins", "pre-commit"] == list(SNIPPETS)
    told = {name: len(read_commands(text)) for name, text in SNIPPETS.items()}
    assert {"GitHub Actions": 3, "GitLab": 1, "Jenkins": 1, "pre-commit": 1} == told


@pytest.mark.parametrize(
    ("name", "schema"),
    [("GitHub Actions", "vendor.github-workflows"), ("GitLab", "vendor.gitlab-ci")],
)
def test_valid(name: str, schema: str, tmp_path: Path) -> None:
    """The snippet is what the service takes, by its published schema."""
    file = tmp_path / "snippet.yml"
    file.write_text(read_block(name))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr


def test_github(suite: Path) -> None:
    """It annotates, fails, and leaves the file that the next step uploads."""
    steps = yaml.safe_load(read_block("GitHub Actions"))["jobs"]["tests"]["steps"]
    command = steps[3]["run"]
    summary = suite / "summary.md"
    done = run(command, suite, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary))
    assert 1 == done.returncode
    assert "\n::error file=app.py,line=9,title=SG101 leaked-connection::" in done.stdout
    assert "SG101" in summary.read_text()
    upload = steps[4]
    assert upload["with"]["sarif_file"] in upload["if"]
    log = json.loads((suite / upload["with"]["sarif_file"]).read_text())
    assert ["SG101"] == [result["ruleId"] for result in log["runs"][0]["results"]]
    mend(suite)
    assert 0 == run(command, suite).returncode


def test_comment(suite: Path) -> None:
    """The comment is made of the JSON."""
    test, make = read_commands(read_block("GitHub Actions", "shell"))
    assert 1 == run(test, suite).returncode
    assert 0 == run(make, suite).returncode
    assert (suite / "comment.md").read_text().startswith("### sessionguard: 1 error\n")


def test_gitlab(suite: Path) -> None:
    """It fails, and leaves both files that the job declares."""
    job = yaml.safe_load(read_block("GitLab"))["test"]
    command = job["script"][1]
    assert 1 == run(command, suite).returncode
    reports = job["artifacts"]["reports"]
    (entry,) = json.loads((suite / reports["codequality"]).read_text())
    assert "app.py" == entry["location"]["path"]
    assert "leaked-connection" == entry["check_name"]
    properties = [p.get("name") for p in ET.parse(suite / reports["junit"]).iter("property")]
    assert ["sessionguard"] == properties
    mend(suite)
    assert 0 == run(command, suite).returncode
    assert [] == json.loads((suite / reports["codequality"]).read_text())


def test_jenkins(suite: Path) -> None:
    """It fails, and leaves the file that the stage reads, with its properties."""
    text = read_block("Jenkins", "groovy")
    (command,) = read_commands(text)
    assert 1 == run(command, suite).returncode
    (file,) = re.findall(r"junit '(.*?)'", text)
    (value,) = [p.get("value") or "" for p in ET.parse(suite / file).iter("property")]
    assert value.startswith("SG101 leaked-connection: ")
    mend(suite)
    assert 0 == run(command, suite).returncode


def test_pre_commit(suite: Path) -> None:
    """The hook fails where there is a fault, and only there."""
    (repository,) = yaml.safe_load(read_block("pre-commit"))["repos"]
    (hook,) = repository["hooks"]
    assert not hook["pass_filenames"]
    assert 1 == run(hook["entry"], suite).returncode
    mend(suite)
    assert 0 == run(hook["entry"], suite).returncode
