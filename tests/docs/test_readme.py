"""The README says what is true: its finding, its code, its tables."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pytest_sessionguard import identity
from pytest_sessionguard.assertions import dependencies, leaks
from pytest_sessionguard.options import OPTIONS
from pytest_sessionguard.rules import RULES, names

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def read_blocks(language: str) -> list[str]:
    """Return the code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.postgres
def test_opening_finding() -> None:
    """The finding at the top is printed word for word by the example."""
    block = read_blocks("text")[0]
    result = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "examples/recruiting/faulty"),
            *("-o", "sessionguard_postgres=embedded", "-p", "no:cacheprovider"),
            *("-k", "test_list_chat_messages"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert block in result.stdout


@pytest.mark.postgres
def test_python_blocks(pytester: pytest.Pytester) -> None:
    """The Python of the README is a suite that passes."""
    blocks = read_blocks("python")
    pytester.makepyfile(**{f"test_block_{n}": block for n, block in enumerate(blocks)})
    pytester.makeini("[pytest]\nasyncio_mode = auto\nsessionguard_postgres = embedded\n")
    result = pytester.runpytest_subprocess("-p", "sessionguard")

    assert len(blocks) >= 2
    result.assert_outcomes(passed=len(blocks))
    result.stdout.fnmatch_lines(["sessionguard: *, no findings"])


def test_every_option() -> None:
    """Each setting has its line, with its flag, its ini name and its default."""
    for option in OPTIONS:
        default = f"`{option.default}`" if option.default not in ((), None, "") else ""
        line = f"| `{option.flag}`, `{option.name}` | {default} |".replace("|  |", "| |")
        assert (f"{option.flag}" if option.no_ini else line) in README


def test_every_rule() -> None:
    """Each rule has its line, with its name and its default."""
    for rule in RULES:
        assert f"| {rule.code} | {rule.name} | {rule.severity.value} |" in README


def test_commands() -> None:
    """The commands of a checkout are the two that the continuous check runs."""
    script = (ROOT / ".ci" / "run").read_text()
    commands = [block for block in read_blocks("shell") if ".venv" in block]

    assert len(commands) == 2
    assert '-e ".[embedded]" --group tests' in commands[1]
    assert '-e ".[embedded]" --group tests' in script
    assert "-m pytest -n auto" in commands[1]
    assert "-m pytest -n auto" in script


@pytest.mark.parametrize("module", [names, leaks, dependencies, identity])
def test_examples_of_docstrings(module: ModuleType) -> None:
    """The examples in the docstrings run."""
    result = doctest.testmod(module)

    assert result.attempted > 0
    assert result.failed == 0
