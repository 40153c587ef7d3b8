"""`sessionguard report`: what one run wrote as JSON, in any other form."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from report.documents import make, make_finding

from pytest_sessionguard.cli import main
from pytest_sessionguard.report.forms import FORMS, json_form

NAMES = ", ".join(form.name for form in FORMS)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sessionguard.json"
    path.write_text(json_form.write(make(make_finding(path="ü.py"))), "utf-8")
    return path


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_forms(form: object, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each form comes out as the run would have written it."""
    assert 0 == main(["report", str(file), "--form", form.name])  # type: ignore[attr-defined]
    document = json.loads(file.read_text("utf-8"))
    assert form.write(document) == capsys.readouterr().out  # type: ignore[attr-defined]


def test_markdown_by_default(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a form it is one that can be read."""
    assert 0 == main(["report", str(file)])
    assert capsys.readouterr().out.startswith("### sessionguard: 1 error\n")


def test_output(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It goes to a file, whose folder is made."""
    path = tmp_path / "build" / "x.sarif"
    assert 0 == main(["report", str(file), "--form=sarif", f"--output={path}"])
    assert "2.1.0" == json.loads(path.read_text("utf-8"))["version"]
    assert ("", "") == capsys.readouterr()


def test_standard_input(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The JSON can come from another command."""
    monkeypatch.setattr("sys.stdin", io.StringIO(file.read_text("utf-8")))
    assert 0 == main(["report", "-", "--form", "json"])
    assert file.read_text("utf-8") == capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no json", "cannot be used: Expecting value: line 1 column 1 (char 0)"),
        ("[]", "cannot be used: it is no JSON report of sessionguard"),
        (
            '{"version": 2, "findings": []}',
            "cannot be used: its version is 2, and this sessionguard reads 1",
        ),
        ('{"version": 1, "findings": []}', "is no whole report: KeyError('run')"),
        ('{"version": 1, "findings": [3], "run": {}}', "is no whole report: TypeError"),
        ("\udcff", "cannot be used: 'utf-8' codec can't decode"),
    ],
)
def test_no_report(text: str, words: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no report, or a newer one, ends with 2 and one line that says why."""
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert 2 == main(["report", str(file)])
    out, err = capsys.readouterr()
    assert "" == out
    assert err.startswith(f"sessionguard: {file} {words}")
    assert 1 == err.count("\n")


def test_usage(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So does a file that is not there, a form that is none, a place that cannot be written."""
    for args, words in (
        (["nothing.json"], "nothing.json cannot be read: No such file or directory"),
        (
            [str(file), "--form=sarf"],
            f"no form is named 'sarf'. Did you mean 'sarif'? The forms are {NAMES}.",
        ),
        ([str(file), f"--output={tmp_path}"], f"{tmp_path} cannot be written: Is a directory"),
    ):
        assert 2 == main(["report", *args])
        assert f"sessionguard: {words}\n" == capsys.readouterr().err


def test_closed_pipe(file: Path) -> None:
    """A reader that has seen enough is no error."""
    document = make(*(make_finding(line=line) for line in range(1, 3000)))
    file.write_text(json_form.write(document), "utf-8")
    command = (
        f'"{sys.executable}" -m pytest_sessionguard.cli report "{file}" --form json | head -n 1'
    )
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert "{\n" == done.stdout
    assert "" == done.stderr
