"""`sessionguard baseline show` and `prune`: what is accepted, and what of it is gone."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pytest_sessionguard.baseline import Baseline, read_baseline, write_baseline
from pytest_sessionguard.cli import main
from pytest_sessionguard.identity import Identity

ONE = Identity("SG101", "app/db.py", "get_user", "AsyncSession")
TWO = Identity("SG201", "app/db.py", "get_user", "AsyncSession")
THREE = Identity("SG201", "", "fixture `db`")
BASELINE = Baseline({ONE: "till the worker is gone", TWO: "", THREE: ""})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a baseline, seen from within."""
    monkeypatch.chdir(tmp_path)
    write_baseline(str(tmp_path / "b.jsonl"), BASELINE)
    return tmp_path


def keep(folder: Path, gone: Any, path: str = "b.jsonl", cache: str = ".pytest_cache") -> None:
    """Write what the plugin leaves in pytest's cache."""
    file = folder / cache / "v" / "sessionguard" / "baseline"
    file.parent.mkdir(parents=True, exist_ok=True)
    entries = gone if gone is None else [vars(one) for one in gone]
    file.write_text(json.dumps({"path": str(folder / path), "gone": entries}))


def test_show(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Entries stand by rule and file, with their reasons."""
    assert 0 == main(["baseline", "show", "b.jsonl"])
    assert (
        capsys.readouterr().out
        == """\
SG101 leaked-connection
  app/db.py
    get_user: AsyncSession  (till the worker is gone)

SG201 unclosed-session
  no file
    fixture `db`
  app/db.py
    get_user: AsyncSession

3 accepted
"""
    )


def test_show_unknown_rule_and_none(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rule that this version does not know is shown by its code; an empty file as empty."""
    write_baseline("b.jsonl", Baseline({Identity("SG999", "a.py", "f"): ""}))
    assert 0 == main(["baseline", "show", "b.jsonl"])
    assert capsys.readouterr().out.startswith("SG999\n  a.py\n    f\n")
    write_baseline("b.jsonl", Baseline())
    assert 0 == main(["baseline", "show", "b.jsonl"])
    assert "0 accepted\n" == capsys.readouterr().out


def test_show_that_of_the_last_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a name the baseline of the last run is shown, also from a folder below."""
    keep(here, None)
    assert 0 == main(["baseline", "show"])
    assert "3 accepted" in capsys.readouterr().out


def test_from_below(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache is looked for upwards."""
    keep(here, [TWO])
    (here / "below").mkdir()
    monkeypatch.chdir(here / "below")
    assert 0 == main(["baseline", "prune"])
    assert [THREE, ONE] == sorted(read_baseline(str(here / "b.jsonl"), "b").entries, reverse=True)


def test_prune(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the last whole run has not met is dropped; the others keep their reasons."""
    keep(here, [TWO, Identity("SG101", "other.py", "f")])
    assert 0 == main(["baseline", "prune"])
    assert (
        capsys.readouterr().out
        == """\
SG201 app/db.py get_user AsyncSession
1 entry dropped from b.jsonl, which lists 2 now.
"""
    )
    assert BASELINE.drop([TWO]) == read_baseline("b.jsonl", "b")
    assert 0 == main(["baseline", "prune", "b.jsonl"])
    assert "Nothing of b.jsonl is gone.\n" == capsys.readouterr().out


@pytest.mark.parametrize("how", ["no cache", "no whole run", "another file", "broken"])
def test_not_known(here: Path, capsys: pytest.CaptureFixture[str], how: str) -> None:
    """Where no whole run has told what is gone, nothing is dropped, and the exit code is 1."""
    if how == "no whole run":
        keep(here, None)
    elif how == "another file":
        keep(here, [TWO], path="other.jsonl")
    elif how == "broken":
        keep(here, [TWO])
        (here / ".pytest_cache/v/sessionguard/baseline").write_text('{"gone": [{"x": 1}]}')
    assert 1 == main(["baseline", "prune", "b.jsonl"])
    assert capsys.readouterr().out == (
        "What of b.jsonl is gone is not known. "
        "Run the whole suite with --sessionguard-baseline first.\n"
    )
    assert BASELINE == read_baseline("b.jsonl", "b")


def test_another_cache(here: Path) -> None:
    """A cache that lies elsewhere can be named."""
    keep(here, [TWO], cache="build/cache")
    assert 0 == main(["baseline", "prune", "--cache-dir=build/cache"])
    assert BASELINE.drop([TWO]) == read_baseline("b.jsonl", "b")


@pytest.mark.parametrize("action", ["show", "prune"])
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "sessionguard: there is no file x.jsonl.\n"),
        ("nonsense\n", "sessionguard: x.jsonl:1: cannot be read (Expecting value)."),
        (
            '{"sessionguard": "baseline", "version": 5}\n',
            "sessionguard: x.jsonl:1: was written in ",
        ),
    ],
)
def test_what_cannot_be_read(
    here: Path, capsys: pytest.CaptureFixture[str], action: str, text: str | None, told: str
) -> None:
    """A file that is not there, is broken or newer ends with 2 and one line, and stays."""
    file = here / "x.jsonl"
    if text is not None:
        file.write_text(text)
    keep(here, [TWO], path="x.jsonl")
    assert 2 == main(["baseline", action, "x.jsonl"])
    out, err = capsys.readouterr()
    assert "" == out
    assert err.startswith(told)
    assert 1 == err.count("\n")
    assert (file.read_text() if file.exists() else None) == text


def test_no_baseline_at_all(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a name and without a run it says so."""
    assert 2 == main(["baseline", "show"])
    assert capsys.readouterr().err.startswith("sessionguard: no run has used a baseline here: ")


@pytest.mark.parametrize("args", [["baseline"], ["baseline", "mend"]])
def test_no_action(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Without an action the command ends as argparse ends."""
    with pytest.raises(SystemExit) as caught:
        main(args)
    assert 2 == caught.value.code
    assert "usage: sessionguard baseline" in capsys.readouterr().err


def test_after_a_run(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A run leaves what `prune` needs, and a later run of some tests takes back what it met."""
    leaky = "from sqlalchemy import create_engine\nkept = []\n"
    leaky += "engine = create_engine('sqlite:///a.db')\n"
    works = [f"def work_{n}():\n    kept.append(engine.connect())\n" for n in (1, 2)]
    suite = project(
        {
            "app.py": leaky + "".join(works),
            "test_x.py": """
                import app

                def test_1():
                    app.work_1()

                def test_2():
                    app.work_2()
            """,
        }
    )
    flag = "--sessionguard-baseline=b.jsonl"
    suite.run(flag, "--sessionguard-update-baseline")
    fine = works[0].replace("kept.append(engine.connect())", "engine.connect().close()")
    suite.write("app.py", leaky + fine + works[1])
    suite.run(flag)
    assert 1 == len(read_gone(suite.path))
    suite.write("app.py", leaky + "".join(works))
    suite.run(flag, "-k", "test_1")
    assert [] == read_gone(suite.path)
    suite.write("app.py", leaky + fine + works[1])
    suite.run(flag)
    assert 0 == main(["baseline", "prune", "--cache-dir", str(suite.path / ".pytest_cache")])
    assert "SG101 app.py work_1 Connection\n1 entry dropped" in capsys.readouterr().out
    assert 0 == suite.run(flag).exit


def read_gone(folder: Path) -> list[Any]:
    kept = json.loads((folder / ".pytest_cache/v/sessionguard/baseline").read_text())
    return list(kept["gone"])


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
@pytest.mark.parametrize("union", [False, True], ids=["apart", "union"])
def test_merge_in_git(tmp_path: Path, *, union: bool) -> None:
    """Entries of two branches merge by themselves where they are apart, else by git's union."""

    def git(*args: str) -> None:
        who = ["-c", "user.name=ann", "-c", "user.email=ann@example.org"]
        command = ["git", "-c", "init.defaultBranch=main", *who, *args]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    def commit(baseline: Baseline) -> None:
        write_baseline(str(tmp_path / "b.jsonl"), baseline)
        git("add", ".")
        git("commit", "-m", "work")

    old = Baseline({Identity("SG101", f"app/{letter}.py", "f"): "" for letter in "bfjnr"})
    # Next to each other in the union case; with entries between them in the other.
    ours, theirs = (
        [Identity("SG101", f"app/{name}.py", "f")] for name in (("g", "h") if union else ("a", "z"))
    )
    git("init")
    if union:
        (tmp_path / ".gitattributes").write_text("b.jsonl merge=union\n")
    commit(old)
    git("checkout", "-b", "feature")
    commit(old.add(theirs))
    git("checkout", "main")
    commit(old.add(ours))
    git("merge", "feature")
    merged = read_baseline(str(tmp_path / "b.jsonl"), "b")
    assert merged == old.add(ours).add(theirs)
