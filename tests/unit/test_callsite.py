"""How call sites are captured, learnt and rendered, with code of made-up files."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pytest_sessionguard
from pytest_sessionguard.callsite import FRAMES, Trace, Tracer, find_block_end, render
from pytest_sessionguard.files import SESSION, shorten

STANDARD = sysconfig.get_paths()["stdlib"]


@pytest.mark.parametrize(
    ("path", "root", "short"),
    [
        ("/home/me/app/db.py", "/home/me", "app/db.py"),
        ("/home/me/app/db.py", "/home/me/", "app/db.py"),
        ("/home/me/db.py", "/home/me", "db.py"),
        ("/home/mean/db.py", "/home/me", "/home/mean/db.py"),
        ("/other/db.py", "/home/me", "/other/db.py"),
        ("/db.py", "/", "db.py"),
        ("<string>", "/home/me", "<string>"),
        ("relative/db.py", "/home/me", "relative/db.py"),
        ("/home/me", "/home/me", "/home/me"),
        ("/home/me/ünïcode dir/db.py", "/home/me", "ünïcode dir/db.py"),
    ],
)
def test_shorten(path: str, root: str, short: str) -> None:
    """A path below the root is told from there; any other as it is."""
    assert short == shorten(path, root)


def test_shorten_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where paths have backslashes, they are told with slashes."""
    monkeypatch.setattr("pytest_sessionguard.files.os.sep", "\\")
    assert "app/db.py" == shorten("C:\\me\\app\\db.py", "C:\\me")


def test_render_of_nothing() -> None:
    """No trace, and a trace without frames, are call sites without frames."""
    assert () == render(None, "/").frames
    first = Tracer().capture()
    assert () == render(first._replace(marks=()), "/").frames


def test_render_of_lines() -> None:
    """Each position in a function is rendered as its own line."""
    traces = []
    tracer = Tracer(limit=1)
    traces.append(tracer.capture())
    traces.append(
        tracer.capture(),
    )
    lines = [render(trace, "/").frames[0].line for trace in traces]
    first = test_render_of_lines.__code__.co_firstlineno
    assert [first + 4, first + 6] == lines


def test_render_of_a_position_that_has_no_line() -> None:
    """A position that no line claims is rendered as the function's first."""
    trace = Tracer(limit=1).capture()
    code = trace.marks[0]
    (frame,) = render(trace._replace(marks=(code, 10**6)), "/").frames
    assert code.co_firstlineno == frame.line


FILES = {
    "user": "/home/me/app/db.py",
    "other": "/home/me/app/other.py",
    "sqlalchemy": "/site-packages/sqlalchemy/engine/base.py",
    "session": "/site-packages/sqlalchemy/orm/session.py",
    "async": "/site-packages/sqlalchemy/ext/asyncio/session.py",
    "scoped": "/site-packages/sqlalchemy/orm/scoping.py",
    "standard": f"{STANDARD}/contextlib.py",
    "generated": "<string>",
    "ours": str(Path(pytest_sessionguard.__file__).parent / "guard.py"),
    "third": "/venv/lib/python3/site-packages/their/thing.py",
    "edge": "/venv/lib/python3/site-packages/_pytest/python.py",
}
USERS = ("user", "other")
LIBRARY = ("sqlalchemy", "session", "async", "scoped", "standard", "generated", "ours")


def make(path: str, name: str, body: str) -> Callable[[Any], Any]:
    """A function that looks as if it stood in this file."""
    space: dict[str, Any] = {}
    exec(compile(f"def {name}(rest):\n    return {body}\n", path, "exec"), space)
    function: Callable[[Any], Any] = space[name]
    return function


STEPS = {kind: make(path, f"in_{kind}", "rest[0](rest[1:])") for kind, path in FILES.items()}
LISTEN = make(FILES["sqlalchemy"], "listen", "rest[0].capture()")


@pytest.fixture(scope="module", autouse=True)
def _made_up_sqlalchemy() -> Iterator[None]:
    """Classify the made-up files afresh, SQLAlchemy's among them."""
    from pytest_sessionguard import callsite, files

    with pytest.MonkeyPatch.context() as patch:
        afresh: dict[str, int] = {}
        patch.setattr(files, "kinds", afresh)
        patch.setattr(callsite, "kinds", afresh)
        patch.setattr(files, "_sqlalchemy_folder", lambda: "/site-packages/sqlalchemy/")
        yield


def walk(kinds: list[str], tracer: Tracer | None = None) -> Trace:
    """Capture below functions of these files, the outermost first, with pytest around them."""
    chain: list[Any] = [STEPS[kind] for kind in ("edge", *kinds)]
    trace: Trace = chain[0]([*chain[1:], LISTEN, tracer or Tracer()])
    return trace


def names(trace: Trace) -> list[str]:
    return [code.co_name.removeprefix("in_") for code in trace.marks[::2]]


def expect(kinds: list[str]) -> list[str]:
    """The plain telling of what a capture has to find."""
    found: list[str] = []
    third: list[str] = []
    for kind in reversed(kinds):
        if kind == "edge":
            break
        if kind in USERS:
            found.append(kind)
        if kind == "third" and not third:
            third.append(kind)
    return found[:FRAMES] or third


chains = st.lists(st.sampled_from(sorted(FILES)), min_size=1, max_size=9).filter(
    lambda kinds: not {"third", *USERS}.isdisjoint(kinds)
)


@settings(max_examples=300, deadline=None)
@given(chains)
def test_what_a_capture_finds(kinds: list[str]) -> None:
    """The innermost few of the user's up to pytest, else the innermost of another package."""
    assert expect(kinds) == names(walk(kinds))


# The ways through a library: whoever enters it at one place goes as deep as ever by one way only.
WAYS: list[list[str]] = [
    [],
    ["sqlalchemy"],
    ["sqlalchemy", "generated"],
    ["session", "sqlalchemy"],
    ["session", "standard", "sqlalchemy"],
    ["async", "session", "sqlalchemy"],
    ["scoped", "session", "standard", "sqlalchemy"],
    ["standard", "sqlalchemy"],
    ["ours", "session", "sqlalchemy"],
]
paths = st.builds(
    lambda outer, inner, way: [*outer, inner, *way],
    st.lists(st.sampled_from([*USERS, "third", "edge"]), max_size=4),
    st.sampled_from([*USERS, "third"]),
    st.sampled_from(WAYS),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(paths, min_size=2, max_size=8))
def test_a_learnt_way_finds_the_same(ways: list[list[str]]) -> None:
    """A tracer that has seen other ways, or the same, says what a new one says."""
    tracer = Tracer()
    for way in [*ways, *ways]:
        fresh, learnt = walk(way), walk(way, tracer)
        assert expect(way) == names(learnt)
        assert fresh == learnt


KNOWING = Tracer()


@pytest.mark.parametrize(
    ("kinds", "doors"),
    [
        (["user", "sqlalchemy"], (False, False, False)),
        (["user", "session", "sqlalchemy"], (True, False, False)),
        (["user", "async", "session"], (True, True, False)),
        (["user", "scoped", "session"], (True, False, True)),
        (["user", "async"], (False, True, False)),
        # Behind the user's innermost frame lies what led to the user's code, not to the event.
        (["user", "session", "other", "sqlalchemy"], (False, False, False)),
        (["user", "async", "session", "other", "sqlalchemy"], (False, False, False)),
        # But a registry calls a factory of the user's.
        (["user", "scoped", "other", "session"], (True, False, True)),
        (["user", "standard", "third", "session"], (True, False, False)),
    ],
    ids=lambda value: "-".join(map(str, value)),
)
def test_doors(kinds: list[str], doors: tuple[bool, bool, bool]) -> None:
    """A trace knows by which of SQLAlchemy's doors the user's code went in."""
    for trace in (walk(kinds), walk(kinds, KNOWING), walk(kinds, KNOWING)):
        assert doors == (bool(trace.doors & SESSION), trace.is_async, trace.is_scoped)


def test_passes() -> None:
    """A trace passes the code of its own frames, and no other."""
    trace = walk(["other", "user", "sqlalchemy"])
    assert [True, True, False, False] == [
        trace.passes(STEPS[kind].__code__) for kind in ("user", "other", "sqlalchemy", "third")
    ]


def test_block_end_of_no_frame() -> None:
    """Without a frame there is no block."""
    assert None is find_block_end(Trace(()))


def at_line(path: Path, line: int) -> Trace:
    """A trace that stands at a line of a file."""
    code = compile("\n" * (line - 1) + "x", str(path), "exec")
    return Trace((code, max(start for start, _, number in code.co_lines() if number == line)))


@pytest.mark.parametrize(
    ("source", "line", "end"),
    [
        ("with a:\n    b\nc\n", 1, 2),
        ("with a: b\nc\n", 1, 1),
        ("with a:\n    b\n    c(\n        d\n    )\ne\n", 1, 5),
        ("with a:\n    with b:\n        c\n    d\ne\n", 1, 4),
        ("with a:\n    with b:\n        c\n    d\ne\n", 2, 3),
        ("with (\n    a,\n    b,\n):\n    c\nd\n", 1, 5),
        ("with (\n    a,\n    b,\n):\n    c\nd\n", 3, 5),
        ("with a, \\\n     b:\n    c\n", 2, 3),
        ("async def f():\n    async with a:\n        b\n    c\n", 2, 3),
        ("with a:\n    if b:\n        c\n    else:\n        d\ne\n", 1, 5),
        ("with a:\n    try:\n        b\n    finally:\n        c\nd\n", 1, 5),
        ('with a:\n    b = """\n    c\n"""\nd\n', 1, 4),
        ("with a:\n    def b():\n        c\nd\n", 1, 3),
        ("a\nwith b:\n    c\n", 1, None),
        ("with a:\n    b\nc\n", 2, None),
        ("with a:\n    b\nc\n", 3, None),
        ("with a:\n    b\nthis is no Python\n", 1, None),
        ("", 1, None),
    ],
)
def test_block_ends(source: str, line: int, end: int | None, tmp_path: Path) -> None:
    """The last line of the block that stands at a line, the innermost where two could be meant."""
    path = tmp_path / "module.py"
    path.write_text(source)
    assert end == find_block_end(at_line(path, line))


def test_block_end_of_a_file_in_another_encoding(tmp_path: Path) -> None:
    """A file that is not to be read as text has no blocks."""
    path = tmp_path / "module.py"
    path.write_bytes(b"with a:\n    b = '\xff'\n")
    assert None is find_block_end(at_line(path, 1))
    path = tmp_path / "declared.py"
    path.write_bytes(b"# coding: latin-1\nwith a:\n    b = '\xff'\n")
    assert 3 == find_block_end(at_line(path, 2))


def test_block_end_where_a_test_has_replaced_open(tmp_path: Path, monkeypatch: Any) -> None:
    """What a test puts in the place of `open` is not asked."""
    path = tmp_path / "module.py"
    path.write_text("with a:\n    b\n")
    monkeypatch.setattr("builtins.open", None)
    assert 2 == find_block_end(at_line(path, 1))


def test_frames_of_the_running_test() -> None:
    """A capture in a test's own body is that line of that test."""
    trace = Tracer().capture()
    assert [sys._getframe().f_code] == list(trace.marks[::2])
