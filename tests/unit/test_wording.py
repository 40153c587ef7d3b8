"""The words of every finding: always the same parts in the same order, and never too many."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from pytest_sessionguard.model import CallSite, Finding, Frame, Owner, Place, Severity
from pytest_sessionguard.report.wording import tell, tell_title
from pytest_sessionguard.rules import RULES

NAMES = {rule.code: rule.name for rule in RULES}
POOL = {
    "engine": "postgresql+asyncpg",
    "pool": "AsyncAdaptedQueuePool",
    "pool_size": 5,
    "max_overflow": 10,
    "pool_timeout": 30,
}
TEST = Owner("test", "test_create", nodeid="t.py::test_create")
MARK = '@pytest.mark.sessionguard(ignore="leaked-connection", reason="...")'
FIXTURES = [
    Owner("fixture", "fixture `db`", scope, "t.py")
    for scope in ("function", "class", "module", "package", "session")
]
# Where an object that is read came from.
LIFE = (
    Place("loaded at", CallSite((Frame("app/db.py", 44, "list_slots"),))),
    Place("session", CallSite((Frame("app/db.py", 40, "list_slots"),)), "Session opened at {}"),
    Place("closed", CallSite((Frame("app/db.py", 40, "list_slots"),)), "{}"),
)
RESULT = (
    Place("returned at", CallSite((Frame("app/db.py", 44, "get"), Frame("test_x.py", 3, "test")))),
    Place("found", CallSite(), "result[0..9]: User (10 instances), detached, expired: id, name"),
    Place("found", CallSite(), "result[10]: User, detached, not loaded: name"),
    Place("found", CallSite(), "and 1 more"),
)
HOLDERS = ["Session", "AsyncSession", "scoped_session", "async_scoped_session"]


def at(line: int, frames: int = 2) -> CallSite:
    return CallSite(tuple(Frame("app/db.py", line + n, f"f{n}") for n in range(frames)))


def make(
    rule: str, owner: Owner, *, holder: str = "Session", count: int = 1, **facts: Any
) -> Finding:
    """A finding with all the places that its rule can tell."""
    places = {
        "SG101": (
            Place("checked out", at(41)),
            Place("held by", at(40), f"{holder} opened at {{}}, never closed"),
            Place("closed", at(50)),
            Place("began again", at(51)),
        ),
        "SG102": (
            Place("checked out", at(41)),
            Place("held by", at(40), f"{holder} opened at {{}}, never closed"),
        ),
        "SG103": (
            Place("checked out", at(41)),
            Place("opened", at(40), "{}, in the loop of test_before"),
        ),
        "SG104": (
            Place("asked for", at(43)),
            Place("while holding", at(41)),
            Place("held by", at(40), f"{holder} opened at {{}}"),
        ),
        "SG105": (
            Place("checked out", at(41), "{}  (engine postgresql+asyncpg)"),
            LIFE[1],
            LIFE[2],
        ),
        "SG106": (Place("made", at(40), "{}  (engine postgresql+asyncpg)"),),
        "SG201": (
            Place("opened", at(40), f"{holder} at {{}}"),
            Place("connection", at(41), "{}, still checked out"),
        ),
        "SG202": (
            Place("began again", at(51)),
            Place("block ended", at(40), "the block of {} ended at line 50"),
            Place("connection", at(51), "{}, never returned"),
        ),
        "SG203": (
            Place("entered at", at(51)),
            Place("still inside", at(61)),
            Place("session", at(40), f"{holder} opened at {{}}"),
        ),
        "SG204": (
            Place("handed over", at(51), "{}, by create_task"),
            Place("session", at(40), f"{holder} opened at {{}}"),
            Place("closed", at(40), "the block of {}, which ends at line 50"),
            Place("used again", at(60)),
            Place("connection", at(61), "{}, never returned"),
        ),
        "SG205": (
            Place("closed", at(50)),
            Place("opened", at(40), f"{holder} at {{}}"),
            Place("written", at(45)),
        ),
        "SG301": (*RESULT, LIFE[1]),
        "SG302": (*RESULT, *LIFE[1:]),
        "SG303": (Place("raised at", at(60)), *LIFE),
        "SG304": (Place("raised at", at(60)), *LIFE),
        "SG305": (Place("handed over", at(51), "{}, by add_task"), *LIFE[1:]),
        "SG401": (Place("read at", at(60)), *LIFE),
        "SG402": (Place("read at", at(60)), *LIFE),
        "SG403": (Place("read at", at(60)), *LIFE),
    }[rule]
    known: dict[str, Any] = {"count": count, "holder": holder, "collected": False}
    if rule in ("SG301", "SG302"):
        kind = "attached" if rule == "SG301" else "expired"
        known = {"count": count, "function": "app.services.get_user", "instances": count}
        known |= {"models": "User", "kind": kind, "consequence": "It breaks.", "mend": "mend it."}
    elif rule == "SG305":
        known |= {"models": "User", "late": True}
    elif rule >= "SG3":
        known = {"count": count, "attribute": "Slot.city", "kind": "relationship"}
        known |= {"parents": count + 1, "asked": False, "error": ""}
    elif rule not in ("SG105", "SG106", "SG201", "SG203", "SG205"):
        known |= POOL
    if rule in ("SG202", "SG204"):
        known["connection"] = "out"
    if rule == "SG203":
        known |= {"threads": False, "stacks": 2}
    if rule == "SG204":
        known["late"] = False
    if rule == "SG105":
        known |= {"how": "cancelled", "state": "active", "locks": 0}
    if rule == "SG106":
        known["connections"] = count
    if rule == "SG205":
        known["changes"] = "1 new User"
    if rule == "SG104":
        known |= {"depth": 2, "limit": 15}
    return Finding(rule, NAMES[rule], Severity.ERROR, owner, places, {**known, **facts}, "t.py::x")


EVERY = [
    pytest.param(
        make(rule, owner, holder=holder, count=count),
        id=f"{rule}-{owner.kind}-{owner.scope}-{holder}-{count}",
    )
    for rule, owner, holder, count in itertools.product(
        sorted(NAMES), [TEST, *FIXTURES], HOLDERS, [1, 12]
    )
]


@pytest.mark.parametrize("finding", EVERY)
def test_form(finding: Finding) -> None:
    """At most 14 lines: what, where, what it leads to, how to mend it, how to accept it."""
    lines = tell(finding).splitlines()
    assert len(lines) <= 14
    assert tell_title(finding) == lines[0]
    assert lines[0].startswith(f"{finding.rule} {finding.name}: ")
    blanks = [number for number, line in enumerate(lines) if not line]
    assert 2 == len(blanks)
    assert 1 == blanks[0]
    consequence, fix, *_, way_out = lines[blanks[1] + 1 :]
    assert not consequence.startswith("  Fix")
    assert fix.startswith("  Fix: ")
    assert way_out.startswith("  Accept: ")
    assert finding.name in way_out
    assert all(line.startswith("  ") for line in lines[1:] if line)
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize("finding", EVERY)
def test_nothing_is_left_to_fill_in(finding: Finding) -> None:
    """No placeholder, no empty value and no Python repr is left in a text."""
    for text in (tell(finding), tell(finding, verbose=True)):
        for leftover in ("{", "}", "None", "()", "<", "CallSite"):
            # `close()` and `engine.connect()` are words of the remedies.
            bare = text.replace("close()", "").replace("connect()", "").replace("remove()", "")
            bare = bare.replace("engine.dispose()", "").replace("async_session()", "")
            bare = bare.replace("commit()", "")
            assert leftover not in bare


@pytest.mark.parametrize("finding", EVERY)
def test_number(finding: Finding) -> None:
    """One thing was, and twelve things were; an attribute was read, or read twelve times."""
    count = finding.facts["count"]
    title = tell_title(finding).split(": ", 1)[1]
    if finding.rule in ("SG301", "SG302"):
        number = "returned 1 User" if count == 1 else "returned 12 instances of User"
        assert number in title
        assert ("in 12 calls" in title) == (count == 12)
        return
    if finding.rule == "SG305":
        assert ("1 User" if count == 1 else "12 instances of User") in title
        assert (" were handed" in title) == (count == 12)
        return
    if finding.rule >= "SG3":
        assert title.startswith(("Slot.city ", "reading Slot.city "))
        number = {"SG402": "for 13 objects", "SG403": " "}.get(finding.rule, "12 times")
        assert (number in title) == (count == 12 or number == " ")
        return
    assert title.startswith(f"{count} ")
    assert (
        (" was" in title or " began" in title)
        if count == 1
        else (" were" in title or "s began" in title)
    )


@pytest.mark.parametrize("finding", EVERY)
def test_owner_is_named(finding: Finding) -> None:
    """The title names the owner, with the scope of a fixture; the last test is cleared of it."""
    assert str(finding.owner) in tell_title(finding)
    cleared = "it is not at fault" in tell(finding)
    assert cleared == (finding.owner.scope != "function")


def test_verbose_shows_every_frame() -> None:
    """With `-v` each place shows all its frames; without, the first two and the others one."""
    finding = make("SG101", TEST)
    short, long = tell(finding), tell(finding, verbose=True)
    assert (5, 8) == (short.count("app/db.py:"), long.count("app/db.py:"))


def test_one_finding_in_full() -> None:
    """The whole text of the commonest finding."""
    site = CallSite(
        (Frame("app/db.py", 41, "get_user"), Frame("tests/test_user.py", 18, "test_create"))
    )
    finding = Finding(
        "SG101",
        "leaked-connection",
        Severity.ERROR,
        TEST,
        (
            Place("checked out", site),
            Place("held by", at(40, 1), "AsyncSession opened at {}, never closed"),
        ),
        {"count": 1, "holder": "AsyncSession", **POOL},
    )
    assert [
        "SG101 leaked-connection: 1 connection was still checked out after test_create",
        "",
        "  checked out   app/db.py:41 in get_user  (engine postgresql+asyncpg, pool 5+10)",
        "                tests/test_user.py:18 in test_create",
        "  held by       AsyncSession opened at app/db.py:40 in f0, never closed",
        "",
        "  After 15 such calls the next one waits 30 s and fails with TimeoutError.",
        "  Fix: open the session in `async with async_session() as session:`.",
        f"  Accept: {MARK} or the baseline.",
    ] == tell(finding).splitlines()


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "After 15 such calls the next one waits 30 s and fails with TimeoutError."),
        ({"pool_timeout": 0}, "After 15 such calls the next one fails with TimeoutError."),
        (
            {"pool_size": 1, "max_overflow": 0, "pool_timeout": 2},
            "After 1 such call the next one waits 2 s",
        ),
        ({"pool_size": 5, "max_overflow": -1}, "stay open"),
        ({"pool_size": 0, "max_overflow": 10}, "stay open"),
        (
            {"pool": "NullPool", "pool_size": None, "max_overflow": None, "pool_timeout": None},
            "Each such call leaves one more connection open on the server.",
        ),
        (
            {"pool": "StaticPool", "pool_size": None, "max_overflow": None, "pool_timeout": None},
            "This pool shares one connection",
        ),
    ],
    ids=str,
)
def test_consequence_of_each_pool(facts: Any, words: str) -> None:
    """What a leak leads to depends on the pool; numbers are told only where they are limits."""
    for rule in ("SG101", "SG202", "SG204"):
        assert words in tell(make(rule, TEST, **facts))


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "15 such callers at once take all 15 and wait 30 s for one more, in vain;"),
        ({}, "N callers need a pool of N + 1."),
        ({"depth": 3}, "8 such callers at once take all 15"),
        ({"depth": 3}, "N callers need a pool of 2 * N + 1."),
        ({"limit": 1, "pool_timeout": 2}, "1 such caller takes all 1 and waits 2 s for one more"),
        ({"pool_timeout": 0}, "take all 15 and wait for one more, in vain"),
    ],
    ids=str,
)
def test_who_waits_for_whom(facts: Any, words: str) -> None:
    """How many callers can deadlock, and how large the pool of N callers must be."""
    assert words in tell(make("SG104", TEST, **facts))


@pytest.mark.parametrize(
    ("holder", "words"),
    [
        ("Connection", "`with engine.connect() as connection:` (async: `async with`)"),
        ("Session", "`with Session(engine) as session:`, or close it in `finally`"),
        ("AsyncSession", "`async with async_session() as session:`"),
        ("scoped_session", "`remove()` on the scoped session"),
        ("async_scoped_session", "`remove()` on the scoped session"),
    ],
)
@pytest.mark.parametrize("rule", ["SG101", "SG102", "SG201"])
def test_remedy_of_each_holder(rule: str, holder: str, words: str) -> None:
    """The remedy is written for what held the connection."""
    (fix,) = [
        line
        for line in tell(make(rule, TEST, holder=holder)).splitlines()
        if line.startswith("  Fix")
    ]
    assert words in fix


@pytest.mark.parametrize(
    ("owner", "words"),
    [
        (TEST, MARK),
        (FIXTURES[0], MARK),
        (FIXTURES[1], MARK),
        (FIXTURES[2], f"pytestmark = {MARK.removeprefix('@')}"),
        (FIXTURES[3], "sessionguard_ignore = leaked-connection in pytest's settings"),
        (FIXTURES[4], "sessionguard_ignore = leaked-connection in pytest's settings"),
    ],
    ids=str,
)
def test_way_out_of_each_owner(owner: Owner, words: str) -> None:
    """How to accept a finding is told in the form that works for its owner."""
    assert f"  Accept: {words} or the baseline." == tell(make("SG101", owner)).splitlines()[-1]


def test_way_out_of_an_assertion() -> None:
    """What an assertion of the test raises is no matter of the baseline."""
    line = tell(make("SG101", TEST), acceptable=False).splitlines()[-1]
    assert f"  Accept: {MARK}" == line


@pytest.mark.parametrize(
    ("finding", "title"),
    [
        (make("SG101", TEST), "1 connection was still checked out after test_create"),
        (make("SG101", TEST, now=True), "1 connection was taken by test_create and not returned"),
        (
            make("SG101", FIXTURES[2], count=2),
            (
                "2 connections were still checked out after "
                "the module-scoped fixture `db` was torn down"
            ),
        ),
        (make("SG102", TEST), "1 connection was left to the garbage collector by test_create"),
        (
            make("SG103", TEST),
            "1 connection was opened under another event loop than that of test_create",
        ),
        (
            make("SG104", TEST, count=2),
            "2 connections were asked for while one of that pool was held, in test_create",
        ),
        (
            make("SG106", FIXTURES[2]),
            (
                "1 engine was left with open connections after "
                "the module-scoped fixture `db` was torn down"
            ),
        ),
        (make("SG201", TEST), "1 Session was still open after test_create"),
        (
            make("SG201", TEST, collected=True),
            "1 Session was dropped without close() by test_create",
        ),
        (
            make("SG202", TEST),
            (
                "1 Session began again below the `with` block that had closed it "
                "and kept a connection, in test_create"
            ),
        ),
        (
            make("SG202", TEST, connection="lost", count=2),
            (
                "2 Sessions began again below the `with` block that had closed it "
                "and lost a connection, in test_create"
            ),
        ),
        (
            make("SG204", TEST, holder="AsyncSession"),
            (
                "1 AsyncSession was handed to a background task that outlives its session, "
                "in test_create"
            ),
        ),
        (
            make("SG204", TEST, late=True, count=2),
            (
                "2 Sessions were handed to a background task that runs after the response, "
                "in test_create"
            ),
        ),
        (
            make("SG305", TEST, late=False),
            (
                "1 User, still of a session, was handed to a background task that outlives its "
                "session, in test_create"
            ),
        ),
        (
            make("SG202", TEST, connection=None),
            "1 Session began again below the `with` block that had closed it, in test_create",
        ),
        (
            make("SG205", TEST, holder="AsyncSession"),
            "1 AsyncSession was closed with uncommitted changes, in test_create",
        ),
    ],
)
def test_titles(finding: Finding, title: str) -> None:
    """What happened, in one line."""
    assert f"{finding.rule} {finding.name}: {title}" == tell_title(finding)


def test_a_place_without_frames() -> None:
    """A place that nobody knows is told as such."""
    finding = Finding(
        "SG101",
        "leaked-connection",
        Severity.ERROR,
        TEST,
        (Place("checked out", CallSite()),),
        {"count": 1, "holder": "Connection", **POOL},
    )
    assert "  checked out   a place without a frame of yours" in tell(finding)


def test_braces_in_a_path() -> None:
    """A path with braces in it is told as it is."""
    site = CallSite((Frame("{{cookiecutter.slug}}/db.py", 1, "f"),))
    finding = Finding(
        "SG201",
        "unclosed-session",
        Severity.WARN,
        TEST,
        (Place("opened", site, "Session at {}"),),
        {"count": 1, "holder": "Session", "collected": False},
    )
    assert "Session at {{cookiecutter.slug}}/db.py:1 in f" in tell(finding)


@pytest.mark.parametrize(
    ("rule", "ending", "title"),
    [
        (
            "SG101",
            "returned",
            "1 connection was still checked out when app.f returned, in test_create",
        ),
        ("SG101", "raised", "1 connection was still checked out when app.f raised, in test_create"),
        (
            "SG101",
            "was closed",
            "1 connection was still checked out when app.f was closed, in test_create",
        ),
        (
            "SG102",
            "returned",
            "1 connection was left to the garbage collector by app.f, in test_create",
        ),
        ("SG201", "returned", "1 Session was still open when app.f returned, in test_create"),
    ],
)
def test_what_a_service_left_open(rule: str, ending: str, title: str) -> None:
    """A service function is named where it is at fault, with how its call ended."""
    finding = make(rule, TEST, boundary="app.f", ending=ending)
    assert f"{rule} {NAMES[rule]}: {title}" == tell_title(finding)


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        ({"kind": "expired"}, "1 User whose columns are expired"),
        ({"kind": "unloaded"}, "1 User whose columns are not all loaded"),
        ({"kind": "attached"}, "1 User that still belongs to a session"),
        (
            {"kind": "pending", "instances": 3, "models": "User, Post"},
            "3 instances of User, Post that still belong to a session",
        ),
    ],
)
def test_results(facts: Any, what: str) -> None:
    """What is wrong with a result stands in the title."""
    title = tell_title(make("SG302", TEST, **facts))
    assert title.endswith(f": app.services.get_user returned {what}, in test_create")
