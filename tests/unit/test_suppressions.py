"""Comments, paths, and the record of what suppressed something."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_sessionguard.model import CallSite, Finding, Frame, Owner, Place, Severity
from pytest_sessionguard.rules.names import find_rules
from pytest_sessionguard.suppressions import Kind, Record, Sieve, Suppression
from pytest_sessionguard.suppressions.comments import read_source
from pytest_sessionguard.suppressions.paths import fits


def find(path: Path, text: str, line: int, rule: str = "SG101") -> list[int]:
    """Return the lines of the comments that suppress a rule at a line of a text."""
    file = path / f"m{abs(hash(text))}.py"
    file.write_text(text, encoding="utf-8")
    return [comment.line for comment in read_source(str(file)).find(line, rule)]


MARK = "# sessionguard: ignore[SG101] why"


@pytest.mark.parametrize(
    ("comment", "rules"),
    [
        ("# sessionguard: ignore[SG101] why", {"SG101"}),
        ("#sessionguard:ignore[leaked-connection]why", {"SG101"}),
        ("# sessionguard: ignore[SG101, SG201] why", {"SG101", "SG201"}),
        ("# sessionguard: ignore[SG1] why", set(find_rules("SG1"))),
        ("# SessionGuard: Ignore[sg101] why", None),
        ("# noqa: S608  # sessionguard: ignore[SG101] why  # noqa", {"SG101"}),
    ],
)
def test_forms(tmp_path: Path, comment: str, rules: set[str] | None) -> None:
    """Codes, names and groups, several by commas, beside the comments of others."""
    file = tmp_path / "m.py"
    file.write_text(f"x = 1  {comment}\n")
    (found,) = read_source(str(file)).comments
    assert (found.rules if rules else found.problem) == (
        rules or "'Ignore[sg101] why' is not of the form `# sessionguard: ignore[SG101] reason`"
    )


@pytest.mark.parametrize(
    ("comment", "problem"),
    [
        ("# sessionguard: ignore SG101 why", "is not of the form"),
        ("# sessionguard: SG101", "is not of the form"),
        ("# sessionguard:", "is not of the form"),
        ("# sessionguard: ignore[SG101]", "needs a reason"),
        ("# sessionguard: ignore[SG101]  # noqa", "needs a reason"),
        ("# sessionguard: ignore[] why", "names no rule"),
        ("# sessionguard: ignore[leaked-conection] why", "Did you mean 'leaked-connection'?"),
    ],
)
def test_malformed(tmp_path: Path, comment: str, problem: str) -> None:
    """What cannot be meant suppresses nothing, and says what is wrong."""
    file = tmp_path / "m.py"
    file.write_text(f"x = 1  {comment}\n")
    (found,) = read_source(str(file)).comments
    assert problem in found.problem
    assert frozenset() == found.rules


def test_no_comment_of_ours(tmp_path: Path) -> None:
    """A text that looks like one, or speaks of the plugin, is none."""
    text = 'x = "# sessionguard: ignore[SG101] why"\n# about sessionguard\n"""\n' + MARK + '\n"""\n'
    assert [] == find(tmp_path, text, 1)
    assert [] == find(tmp_path, text, 4)


@pytest.mark.parametrize(
    ("text", "line", "lines"),
    [
        (f"a = f()  {MARK}\nb = f()\n", 1, [1]),
        (f"a = f()  {MARK}\nb = f()\n", 2, []),
        (f"{MARK}\na = f()\n", 2, []),
        (f"a = f(\n    1,\n)  {MARK}\n", 1, [3]),
        (f"a = f(\n    1,  {MARK}\n    2,\n)\n", 4, [2]),
        (f"a = (\n    {MARK}\n    f()\n)\n", 3, [2]),
        (f"with f() as a:  {MARK}\n    b = f()\n", 1, [1]),
        (f"with f() as a:  {MARK}\n    b = f()\n", 2, []),
        (f"with f() as a:\n    b = f()  {MARK}\n", 1, []),
        (f"with (\n    f() as a,\n    g() as b,  {MARK}\n):\n    pass\n", 2, [3]),
        (f"async def f():\n    async with g():  {MARK}\n        pass\n", 2, [2]),
        (f"def f(\n    a=g(),\n):  {MARK}\n    return 1\n", 2, [3]),
        (f"if f():  {MARK}\n    pass\nelif g():\n    pass\n", 1, [1]),
        (f"if f():\n    pass\nelif g():  {MARK}\n    pass\n", 3, [3]),
        (f"for a in f(): g()  {MARK}\n", 1, [1]),
        (f"match f():  {MARK}\n    case 1:\n        g()\n", 1, [1]),
        (f"try:\n    a = f()  {MARK}\nfinally:\n    b = g()\n", 2, [2]),
        (f"try:\n    a = f()  {MARK}\nfinally:\n    b = g()\n", 4, []),
        (f"@f()  {MARK}\ndef g(): pass\n", 1, [1]),
        (f"a = [\n    f(x)\n    for x in y  {MARK}\n]\n", 2, [3]),
    ],
)
def test_statements(tmp_path: Path, text: str, line: int, lines: list[int]) -> None:
    """Any line of the statement may carry the comment; of one with a body, any of its head."""
    assert lines == find(tmp_path, text, line)
    assert [] == find(tmp_path, text, line, "SG102")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"def (", f"x = '  {MARK}\n".encode(), b""])
def test_what_is_no_python(tmp_path: Path, content: bytes) -> None:
    """A file that cannot be read has no comments, and nothing is raised."""
    file = tmp_path / "m.py"
    file.write_bytes(content)
    assert () == read_source(str(file)).comments
    assert () == read_source(str(tmp_path / "none.py")).comments
    assert () == read_source(str(tmp_path)).comments


@pytest.mark.parametrize(
    ("pattern", "path", "told"),
    [
        ("tests/factories", "tests/factories/user.py", True),
        ("tests/factories", "tests/factories.py", False),
        ("tests/factories.py", "tests/factories.py", True),
        ("tests/factories/*", "tests/factories/deep/user.py", True),
        ("factories", "tests/factories/user.py", False),
        ("*/factories", "tests/factories/user.py", True),
        ("*/site-packages/polyfactory", "/venv/lib/site-packages/polyfactory/base.py", True),
        ("Tests", "tests/x.py", False),
    ],
)
def test_patterns(pattern: str, path: str, told: bool) -> None:
    """A pattern names a file or a folder with all below, from the beginning of the path."""
    assert told == fits(pattern, path)


def make(*sites: list[Frame], rule: str = "SG101", **facts: Any) -> Finding:
    places = tuple(Place("here", CallSite(tuple(frames))) for frames in sites)
    return Finding(rule, "name", Severity.ERROR, Owner("test", "t"), places, facts)


@pytest.fixture
def record() -> Record:
    return Record()


def test_innermost_frame_counts(record: Record) -> None:
    """A path suppresses what is opened there, not what is opened for a caller that lies there."""
    sieve = Sieve("/", ["factories/*"], "ini", record)
    factory, test = Frame("factories/user.py", 3, "make"), Frame("tests/test_x.py", 9, "test_a")
    suppressed = make([factory, test])
    told = [make([test, factory]), make([test], [factory]), make([]), make()]
    assert told == sieve.sift([suppressed, *told])
    assert {Suppression(Kind.PATH, "factories/*", "ini")} == record.used == set(sieve.paths)


def test_places_of_a_comment(record: Record, tmp_path: Path) -> None:
    """The comment may stand where the session was opened, or where the connection was taken."""
    (tmp_path / "app.py").write_text(f"a = 1\nb = 2  {MARK}\nc = 3\n")
    sieve = Sieve(str(tmp_path), [], "ini", record)
    at = [Frame("app.py", line, "f") for line in (1, 2, 3)]
    suppressed = [make([at[1]]), make([at[0]], [at[1], at[2]])]
    told = [make([at[0]]), make([at[0], at[1]]), make([at[1]], rule="SG102")]
    assert told == sieve.sift([*suppressed, *told])
    assert {Suppression(Kind.COMMENT, "ignore[SG101]", "app.py:2")} == record.used


def test_what_a_test_asserts(record: Record) -> None:
    """What a test itself asked for, nothing suppresses."""
    sieve = Sieve("/", ["*"], "ini", record)
    finding = make([Frame("a.py", 1, "f")], asserted=True)
    assert [finding] == sieve.sift([finding])


def test_malformed_ones_of_a_finding(record: Record, tmp_path: Path) -> None:
    """Where something is found, each comment of the file that cannot be meant is noted."""
    (tmp_path / "app.py").write_text("a = 1\n# sessionguard: ignore[SG101]\n")
    finding = make([Frame("app.py", 1, "f")])
    assert [finding] == Sieve(str(tmp_path), [], "ini", record).sift([finding])
    assert record.malformed == {
        "app.py:2": "needs a reason: `# sessionguard: ignore[SG101] reason`"
    }
    assert set() == record.known


def test_scan(record: Record, tmp_path: Path) -> None:
    """A scan enters the comments of the project's own files, unless their rule is off."""
    for name in ("app.py", "venv/lib/site-packages/lib.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"a = 1  {MARK}\n")
    outside = tmp_path.parent / f"{tmp_path.name}-outside.py"
    outside.write_text(f"a = 1  {MARK}\n")
    sieve = Sieve(str(tmp_path), [], "ini", record)
    files = [str(outside), *map(str, tmp_path.rglob("*.py"))]
    Sieve(str(tmp_path), [], "ini", record, frozenset(["SG101"])).scan(files)
    assert set() == record.known
    sieve.scan(files)
    assert {Suppression(Kind.COMMENT, "ignore[SG101]", "app.py:1")} == record.known


ONE = Suppression(Kind.MARKER, "off=True", "t.py::test_a")
TWO = Suppression(Kind.COMMENT, "ignore[SG101]", "a.py:1")
THREE = Suppression(Kind.RULE, "SG2", "ini")


def test_unused() -> None:
    """What was known and neither used nor doubtful; of a run with failures only markers."""
    record = Record()
    record.known = {ONE, TWO, THREE}
    assert [TWO, ONE, THREE] == record.find_unused(all_judged=True)
    assert [ONE] == record.find_unused(all_judged=False)
    record.used, record.doubtful = {TWO}, {ONE}
    assert [THREE] == record.find_unused(all_judged=True)
    assert [] == record.find_unused(all_judged=False)


def test_records_of_two_workers() -> None:
    """Records are merged as plain JSON, in any order; news are told once."""
    one, other, merged, turned = Record(), Record(), Record(), Record()
    one.known, one.used = {ONE, TWO}, {TWO}
    other.known, other.doubtful, other.malformed = {ONE, THREE}, {ONE}, {"a.py:1": "no"}
    news = [json.loads(json.dumps(record.take_news())) for record in (one, other)]
    assert {} == one.take_news() == other.take_news()
    for record, order in ((merged, news), (turned, news[::-1])):
        for item in order:
            record.add(item)
    assert vars(merged) == vars(turned)
    assert ({ONE, TWO, THREE}, {TWO}, {ONE}, {"a.py:1": "no"}) == (
        merged.known,
        merged.used,
        merged.doubtful,
        merged.malformed,
    )


@pytest.mark.parametrize(
    ("suppression", "text"),
    [
        (ONE, "the marker off=True of t.py::test_a"),
        (TWO, "the comment ignore[SG101] at a.py:1"),
        (THREE, "sessionguard_ignore 'SG2' (from ini)"),
        (Suppression(Kind.PATH, "a/*", "command line"), "sessionguard_ignore_paths 'a/*' (from "),
    ],
)
def test_how_it_is_told(suppression: Suppression, text: str) -> None:
    """Each kind is told so that one finds it."""
    assert str(suppression).startswith(text)
    assert str(suppression) == suppression.to_json()["text"]
