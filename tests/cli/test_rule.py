"""`sessionguard rule` and `sessionguard rules`: what a rule finds, in the terminal."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pytest_sessionguard.cli import COMMANDS, main
from pytest_sessionguard.rules import RULES


def test_rule(capsys: pytest.CaptureFixture[str]) -> None:
    """A rule's page is told under its headings, with its code set apart and no Markdown left."""
    assert 0 == main(["rule", "SG101"])
    text = capsys.readouterr().out
    assert text.startswith("SG101 leaked-connection (error by default)\n\nWhat it does\n\n")
    assert "\n    connections = []\n" in text
    assert "\nUse instead:\n" in text
    assert "##" not in text
    assert "```" not in text


def test_name(capsys: pytest.CaptureFixture[str]) -> None:
    """A name says the same as its code."""
    assert 0 == main(["rule", "SG101"])
    by_code = capsys.readouterr().out
    assert 0 == main(["rule", "leaked-connection"])
    assert by_code == capsys.readouterr().out


def test_group(capsys: pytest.CaptureFixture[str]) -> None:
    """A group tells its rules, each once."""
    assert 0 == main(["rule", "SG2", "SG201"])
    text = capsys.readouterr().out
    for rule in RULES:
        assert text.count(f"{rule.code} {rule.name} (") == rule.code.startswith("SG2")


@pytest.mark.parametrize("columns", [40, 60, 88, 200])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_width(
    rule: object, columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts are as wide as the terminal, and never too wide to read; code stays as it is."""
    monkeypatch.setenv("COLUMNS", str(columns))
    assert 0 == main(["rule", rule.code])  # type: ignore[attr-defined]
    lines = capsys.readouterr().out.splitlines()[1:]
    # A word is never cut, however long it is.
    texts = [line for line in lines if not line.startswith("    ") and " " in line.strip()]
    assert max(map(len, texts)) <= min(columns, 88)


def test_unknown_rule(capsys: pytest.CaptureFixture[str]) -> None:
    """A rule that is none ends with 2 and one line: the nearest, and all that are valid."""
    assert 2 == main(["rule", "leaked-conection"])
    out, err = capsys.readouterr()
    assert "" == out
    assert err.startswith(
        "sessionguard: no rule is named 'leaked-conection'. Did you mean 'leaked-connection'? "
        "The rules are SG101 (leaked-connection), "
    )
    assert 1 == err.count("\n")


def test_rules(capsys: pytest.CaptureFixture[str]) -> None:
    """Each rule has a line: code, name, default, and what it finds."""
    assert 0 == main(["rules"])
    lines = capsys.readouterr().out.splitlines()
    assert sorted(rule.code for rule in RULES) == [line.split()[0] for line in lines]
    for rule in RULES:
        line = next(line for line in lines if line.startswith(rule.code))
        code, name, default, text = line.split(maxsplit=3)
        assert (rule.code, rule.name, rule.severity.value) == (code, name, default)
        assert text.startswith("Finds ")
        assert text.endswith(".")


def test_every_command_is_a_module_of_two_functions() -> None:
    """A command says what it takes, and does it."""
    for command in COMMANDS:
        assert callable(command.add)
        assert callable(command.run)


def test_module() -> None:
    """`python -m pytest_sessionguard.cli` is the command too, and imports no SQLAlchemy."""
    code = (
        "import runpy, sys; sys.argv = ['sessionguard', 'rules']\n"
        "try: runpy.run_module('pytest_sessionguard.cli', run_name='__main__')\n"
        "except SystemExit as end: print(end.code, 'sqlalchemy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "0 False" == done.stdout.splitlines()[-1]


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["rule"], ["rules", "SG101"]])
def test_usage(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A call that argparse refuses ends with 2, too."""
    with pytest.raises(SystemExit) as end:
        main(argv)
    assert 2 == end.value.code
    assert "usage: sessionguard" in capsys.readouterr().err
