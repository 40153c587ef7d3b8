"""The same fault has the same identity wherever it is met, and another fault has another."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_sessionguard.files import shorten
from pytest_sessionguard.identity import Identity, identify
from pytest_sessionguard.model import CallSite, Finding, Frame, Owner, Place, Severity

RULES = ["SG101", "SG102", "SG103", "SG201", "SG202", "SG301", "SG303", "SG402"]
words = st.text("abcdefgh_", min_size=1, max_size=6)
folders = st.lists(words, max_size=3).map("/".join)
files = st.builds(lambda folder, name: f"{folder}/{name}.py".lstrip("/"), folders, words)
parameters = st.text(max_size=8).map(lambda text: f"[{text}]")
# What a finding says of its thing, as the rules do.
things: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries({"attribute": st.builds("{}.{}".format, words, words)}),
    st.fixed_dictionaries({"holder": st.sampled_from(["Connection", "Session", "AsyncSession"])}),
    st.fixed_dictionaries({"function": words, "models": words}),
    st.just({}),
)


@dataclasses.dataclass(frozen=True)
class Scene:
    """A fault as it lies in the code, and all that differs from run to run."""

    rule: str
    file: str
    function: str
    facts: dict[str, Any]
    owner: str
    is_seen: bool

    def play(
        self, above: str, line: int, count: int, parameter: str, worker: str, caller: Frame
    ) -> Finding:
        root = f"/{above}/project"
        frame = Frame(shorten(f"{root}/{self.file}", root), line, self.function)
        caller = dataclasses.replace(caller, path=shorten(f"{root}/{caller.path}", root))
        place = Place("found", CallSite((frame, caller) if self.is_seen else ()))
        # pytest's node id is relative to the root; xdist's loadgroup appends the group's name.
        nodeid = f"tests/test_x.py::TestIt::{self.owner}{parameter}{worker}"
        owner = Owner("test", f"{self.owner}{parameter}", nodeid=nodeid)
        facts = {**self.facts, "count": count, "parents": count, "engine": f"db_{worker}"}
        return Finding(
            self.rule, "name", Severity.WARN, owner, (place,), facts, told_at=f"{nodeid}{line}"
        )


scenes = st.builds(
    Scene, st.sampled_from(RULES), files, words, things, words.map("test_{}".format), st.booleans()
)
runs = st.fixed_dictionaries(
    {
        "above": folders,
        "line": st.integers(1, 999),
        "count": st.integers(1, 99),
        "parameter": st.one_of(st.just(""), parameters),
        "worker": st.one_of(st.just(""), st.integers(0, 9).map("@gw{}".format)),
        "caller": st.builds(Frame, files, st.integers(1, 999), words),
    }
)


@given(scenes, runs, runs)
def test_the_same_in_every_run(scene: Scene, one: dict[str, Any], other: dict[str, Any]) -> None:
    """Lines, folders above the root, workers, parameters, counts and callers change nothing."""
    first, second = identify(scene.play(**one)), identify(scene.play(**other))
    assert first == second
    assert first.fingerprint == second.fingerprint
    assert not first.path.startswith("/")


@given(scenes, runs, st.data())
def test_another_fault(scene: Scene, run: dict[str, Any], data: Any) -> None:
    """Another rule, file, function or thing is another fault."""
    other = {
        "rule": st.sampled_from(RULES),
        "facts": things,
        **({"file": files, "function": words} if scene.is_seen else {"owner": words}),
    }
    name = data.draw(st.sampled_from(sorted(other)))
    value = data.draw(other[name].filter(lambda value: value != getattr(scene, name)))
    first = identify(scene.play(**run))
    second = identify(dataclasses.replace(scene, **{name: value}).play(**run))
    assert first != second
    assert first.fingerprint != second.fingerprint


texts = st.text(max_size=6)
identities = st.builds(Identity, texts, texts, texts, texts)


@given(identities, identities)
def test_fingerprint(one: Identity, other: Identity) -> None:
    """A fingerprint is 32 hexadecimal digits, the same for equal identities only."""
    assert re.fullmatch("[0-9a-f]{32}", one.fingerprint)
    assert (one == other) == (one.fingerprint == other.fingerprint)


def test_fingerprints_stay() -> None:
    """Services that keep fingerprints know a fault of an older version again."""
    identity = Identity("SG101", "app/db.py", "get_user", "AsyncSession")
    assert "03ab3645a8fb3b8fb8b04f07fb9cf844" == identity.fingerprint


def find(
    owner: Owner, *frames: Frame, rule: str = "SG101", **facts: str | int | bool | None
) -> Identity:
    places = (Place("here", CallSite(frames)),)
    return identify(Finding(rule, "name", Severity.ERROR, owner, places, facts))


TEST = Owner("test", "test_a[1]", nodeid="tests/test_x.py::TestIt::test_a[1::2]")
FRAME = Frame("app/db.py", 41, "get_user")


def test_of_a_frame() -> None:
    """The file and function are those of the innermost frame."""
    assert Identity("SG101", "app/db.py", "get_user", "Session") == find(
        TEST, FRAME, Frame("tests/test_x.py", 3, "test_a"), holder="Session", count=2
    )


@pytest.mark.parametrize(
    ("owner", "path", "function"),
    [
        (TEST, "tests/test_x.py", "TestIt::test_a"),
        (Owner("test", "test_a", nodeid="test_x.py::test_a@db"), "test_x.py", "test_a"),
        (Owner("test", "test_a[x]"), "", "test_a"),
        (
            Owner("fixture", "fixture `db`", "module", "tests/test_x.py"),
            "tests/test_x.py",
            "fixture `db`",
        ),
        (
            Owner("fixture", "fixture `db`", nodeid="test_x.py::test_a[1]"),
            "test_x.py",
            "fixture `db`",
        ),
        (Owner("fixture", "fixture `db`", "session"), "", "fixture `db`"),
    ],
)
def test_without_a_frame(owner: Owner, path: str, function: str) -> None:
    """Where no frame of the user's is known, the owner tells where it was."""
    assert Identity("SG102", path, function, "Connection") == find(
        owner, rule="SG102", holder="Connection"
    )


def test_of_a_fixture() -> None:
    """What two fixtures got of one helper is two faults."""
    one, other = (Owner("fixture", f"fixture `{n}`", "session") for n in "ab")
    assert "Session, fixture `a`" == find(one, FRAME, holder="Session").thing
    assert find(one, FRAME) != find(other, FRAME)


def test_parametrised_class() -> None:
    """A parameter may hold what looks like another part of a node id."""
    owner = Owner("test", "test_a[a@b::c[d]", nodeid="t[1]/test_x.py::test_a[a@b::c[d]")
    assert ("t[1]/test_x.py", "test_a") == (find(owner).path, find(owner).function)


def test_comprehension() -> None:
    """What Python 3.12 runs inside the function is the function's on older ones too."""
    inner = Frame("app/db.py", 42, "<listcomp>")
    assert find(TEST, FRAME) == find(TEST, inner, FRAME)
    assert "<listcomp>" == find(TEST, inner).function


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("app/db.py", "app/db.py"),
        ("/home/ann/shared/db.py", "db.py"),
        ("C:/Users/ann/shared/db.py", "db.py"),
        (".venv/lib/python3.12/site-packages/lib/db.py", "site-packages/lib/db.py"),
        ("/usr/lib/python3/dist-packages/lib/db.py", "dist-packages/lib/db.py"),
        (".tmp/popen-gw3/test_a0/made.py", ".tmp/test_a0/made.py"),
        ("popen-gw3/made.py", "made.py"),
    ],
)
def test_paths(path: str, told: str) -> None:
    """A path says nothing of the machine it lies on."""
    assert told == find(TEST, dataclasses.replace(FRAME, path=path)).path


def test_models() -> None:
    """Of several models the first counts: what else a result holds depends on the data."""
    one = find(TEST, FRAME, rule="SG301", function="app.list_slots", models="Slot, City")
    assert one == find(TEST, FRAME, rule="SG301", function="app.list_slots", models="Slot")
    assert "app.list_slots, Slot" == one.thing


def test_databases() -> None:
    """A suite that runs on two databases has one fault, not two."""
    assert find(TEST, FRAME, engine="sqlite", pool="StaticPool") == find(
        TEST, FRAME, engine="postgresql+asyncpg", pool="QueuePool"
    )
