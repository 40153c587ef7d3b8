"""Documents of runs, made by hand and by the thousand, for the page that shows them."""

from __future__ import annotations

from typing import Any

from pytest_sessionguard.identity import identify
from pytest_sessionguard.model import CallSite, Finding, Frame, Owner, Place, Severity
from pytest_sessionguard.report.document import Document, RunFacts, make_document
from pytest_sessionguard.report.summary import Summary, pack
from pytest_sessionguard.tally import Tally

RUN = RunFacts("2026-01-02T03:04:05+00:00", 12.5, "3.11.7", "2.1.9", "9.2.0", "Linux")
POOL = {
    "engine": "postgresql+asyncpg",
    "pool": "AsyncAdaptedQueuePool",
    "pool_size": 5,
    "max_overflow": 10,
    "pool_timeout": 30,
    "holder": "AsyncSession",
    "count": 1,
}


def make_finding(
    nodeid: str = "tests/test_a.py::test_a",
    *,
    severity: Severity = Severity.ERROR,
    path: str = "app/db.py",
    line: int = 41,
    function: str = "get_user",
    name: str = "",
) -> Finding:
    """A connection that never came back."""
    owner = Owner("test", name or nodeid.rsplit("::", 1)[-1], nodeid=nodeid)
    site = CallSite((Frame(path, line, function), Frame("tests/test_a.py", 18, owner.name)))
    return Finding(
        "SG101",
        "leaked-connection",
        severity,
        owner,
        (Place("checked out", site),),
        POOL,
        nodeid,
    )


def make_story(number: int, nodeid: str, begin: float, **things: Any) -> dict[str, Any]:
    """What a test opened, as its process sends it."""
    return {
        "id": number,
        "kind": "test",
        "name": nodeid.rsplit("::", 1)[-1],
        "scope": "function",
        "nodeid": nodeid,
        "begin": begin,
        "end": begin + 10,
        "judged": True,
        "leases": [],
        "sessions": [],
        "statements": [],
        "loads": [],
        "left_out": {},
        **things,
    }


def make_lease(number: int, begin: float, *, lost: bool = False, **more: Any) -> dict[str, Any]:
    """A connection of five milliseconds, or one that is still out."""
    return {
        "id": number,
        "engine": 0,
        "begin": begin,
        "end": None if lost else begin + 5,
        "fate": "out" if lost else "returned",
        "site": [["app/db.py", 41, "get_user"]],
        "session": None,
        **more,
    }


def make_session(number: int, begin: float, **more: Any) -> dict[str, Any]:
    """A session of six milliseconds."""
    return {
        "id": number,
        "kind": "AsyncSession",
        "begin": begin,
        "end": begin + 6,
        "fate": "closed",
        "site": [["app/db.py", 40, "get_user"]],
        "closed_at": [["app/db.py", 40, "get_user"]],
        "again": None,
        **more,
    }


def make_piece(stories: list[dict[str, Any]], out: list[list[float]]) -> dict[str, Any]:
    """What a process with one engine hands out."""
    engine = {
        "id": 0,
        "engine": "postgresql+asyncpg",
        "pool": "AsyncAdaptedQueuePool",
        "size": 5,
        "overflow": 10,
        "engines": 1,
        "out": out,
    }
    return {
        "process": "main",
        "began": 1_700_000_000.0,
        "engines": [engine] if out else [],
        "stories": stories,
        "quiet": 0,
    }


def make_big_document(tests: int, findings: int) -> Document:
    """The document of a run of many tests, every so many of which lose a connection."""
    summary = Summary()
    every = tests // findings if findings else tests + 1
    lost = 0
    for number in range(tests):
        nodeid = f"tests/area_{number % 40}/test_{number % 200}.py::test_case_{number}"
        begin, base = number * 12.0, number * 10
        is_lost = number % every == 0 and lost < findings
        found = [make_finding(nodeid, line=41 + number % 60)] if is_lost else []
        session = make_session(base + 1, begin + 1)
        lease = make_lease(base + 2, begin + 2, lost=is_lost, session=base + 1)
        statements = [
            {"begin": begin + 2 + i * 0.4, "took": 0.3, "sql": text, "lease": base + 2}
            for i, text in enumerate(["SELECT users.id FROM users WHERE users.id = $1"] * 8)
        ]
        story = make_story(
            base, nodeid, begin, leases=[lease], sessions=[session], statements=statements
        )
        held = lost % 14
        out = [[begin + 2, held + 1]] + ([] if is_lost else [[begin + 7, held]])
        lost += is_lost
        summary.add(pack(found, Tally(1, int(not number), 1), timeline=make_piece([story], out)))
    return make_document(summary, RUN, "")


HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    "\"><svg onload=alert(3)> ' & &lt; `",
    "{{script}}{{document}}",
    "a\u2028b\u2029c\x00d\x1b[31m",
    "\ud800 half of one, and half of another \udfff",
    "javascript:alert(4)",
    "%s %(x)s ${alert(5)} \\u003c",
)


def make_hostile_document() -> Document:
    """A document in which every text that a stranger chooses is meant to do harm."""
    summary = Summary()
    for number, text in enumerate(HOSTILE):
        nodeid = f"tests/{text}.py::test[{text}]"
        finding = make_finding(nodeid, path=text, function=text, name=text)
        site = [[text, number, text]]
        story = make_story(
            number * 10,
            nodeid,
            number * 20.0,
            name=text,
            leases=[
                make_lease(number * 10 + 2, number * 20 + 1, site=site, session=number * 10 + 1)
            ],
            sessions=[
                make_session(
                    number * 10 + 1,
                    number * 20 + 1,
                    kind=text,
                    site=site,
                    again={"at": number * 20 + 2, "site": site},
                )
            ],
            statements=[
                {"begin": number * 20 + 2, "took": 1, "sql": text, "lease": number * 10 + 2}
            ],
            loads=[{"at": number * 20 + 3, "attribute": text, "kind": text, "site": site}],
        )
        piece = make_piece([story], [[number * 20 + 1, 1], [number * 20 + 6, 0]])
        piece["engines"][0].update(engine=text, pool=text)
        summary.add(pack([finding], Tally(1, 1, 1), timeline={**piece, "process": text}))
    document = make_document(summary, RUN, "")
    # What cleaned texts hold no more may stand in a JSON file all the same.
    for thing in (document["timeline"]["tests"][0], document["findings"][0]):
        owner = thing.get("owner", thing)
        owner["nodeid"] += "\udc80"
    document["timeline"]["sql"][0] += "\ud800"
    return document


def make_empty_document() -> Document:
    """The document of a run that saw no engine."""
    summary = Summary()
    summary.add(pack([], Tally(12, 0, 0), timeline={**make_piece([], []), "quiet": 12}))
    return make_document(summary, RUN, "")


POOL_ADVICE = {
    "engine": "postgresql+asyncpg",
    "kind": "AsyncAdaptedQueuePool",
    "size": 5,
    "overflow": 10,
    "made": "app/db.py:9 in configure",
    "at_once": 3,
    "at_once_by": "test_leak",
    "in_task": 2,
    "in_task_by": "test_leak",
    "in_task_at": "app/db.py:41 in get_user",
    "limit": 15,
    "safe_workers": 14,
    "text": "engine postgresql+asyncpg, pool 5+10\n  at most 3 at once\n  20 need 21",
}
HOLDOUT = {
    "engine": "sqlite+aiosqlite",
    "count": 2,
    "made": "",
    "made_by": "",
    "taken": "app/db.py:41 in get_user",
    "taken_by": "test_leak",
    "opened": "",
    "opened_by": "",
}


def make_rich_document() -> Document:
    """The document of a small run with one of everything, in two processes."""
    summary = Summary()
    leak = make_finding("tests/test_a.py::test_leak", line=41)
    again = make_finding("tests/test_a.py::test_again", line=41)
    warn = make_finding("tests/test_b.py::test_warn", path="app/jobs.py", severity=Severity.WARN)
    fixture = Finding(
        "SG201",
        "unclosed-session",
        Severity.WARN,
        Owner("fixture", "fixture `db`", "module", "tests/test_b.py"),
        (Place("opened", CallSite((Frame("tests/conftest.py", 9, "db"),))),),
        {**POOL, "collected": False},
        "tests/test_b.py::test_warn",
    )
    accepted = make_finding("tests/test_c.py::test_accepted", path="app/old.py", line=7)
    summary.accepted = {identify(accepted).fingerprint}
    selects = [
        "SELECT users.id FROM users WHERE users.id = $1",
        "SELECT ?",
        "UPDATE users SET a = ?",
    ]
    statements = [
        {"begin": 3 + i, "took": None if i == 2 else 0.5, "sql": sql, "lease": 3}
        for i, sql in enumerate(selects)
    ]
    load = {
        "at": 6.5,
        "attribute": "User.posts",
        "kind": "relationship",
        "site": [["app/views.py", 5, "show"]],
    }
    stories = [
        make_story(
            1,
            "tests/test_a.py::test_leak",
            0,
            sessions=[make_session(2, 1)],
            leases=[make_lease(3, 2, lost=True, session=2)],
            statements=statements,
            loads=[load],
            left_out={"statements": 4},
        ),
        make_story(10, "tests/test_a.py::test_again", 20, leases=[make_lease(11, 22, lost=True)]),
        make_story(20, "tests/test_a.py::test_fine", 40, leases=[make_lease(21, 42)]),
        make_story(
            30, "tests/test_a.py::test_failed", 60, judged=False, leases=[make_lease(31, 61)]
        ),
    ]
    out = [[2, 1], [22, 2], [42, 3], [47, 2], [61, 3], [66, 2]]
    piece = {**make_piece(stories, out), "process": "gw0", "quiet": 2}
    summary.add(pack([leak, again], Tally(3, 1, 1), timeline=piece))
    db = make_story(
        1,
        "tests/test_b.py",
        0,
        kind="fixture",
        name="fixture `db`",
        scope="module",
        end=50,
        sessions=[make_session(2, 1, end=None, fate="open", closed_at=[])],
        leases=[make_lease(3, 2, end=48, session=2)],
    )
    lent = [{"begin": 22, "took": 1, "sql": "SELECT ?", "lease": 3}]
    others = [
        db,
        make_story(10, "tests/test_b.py::test_warn", 20, statements=lent),
        make_story(20, "tests/test_c.py::test_accepted", 60, leases=[make_lease(21, 61)]),
    ]
    piece = make_piece(others, [[2, 1], [48, 0], [61, 1], [66, 0]])
    piece = {**piece, "process": "gw1", "began": piece["began"] + 0.05}
    piece["engines"][0].update(size=1, overflow=0)
    summary.add(pack([warn, fixture, accepted], Tally(2, 1, 1), timeline=piece))
    document = make_document(summary, RUN, "")
    document["advice"] = {"pools": [POOL_ADVICE], "holdouts": [HOLDOUT]}
    document["unused"] = [
        {"kind": "marker", "what": "SG101", "where": "tests/test_a.py", "text": "a marker to drop"}
    ]
    gone = {"rule": "SG102", "path": "app/gone.py", "function": "f", "thing": "", "reason": ""}
    document["gone"] = [{**gone, "fingerprint": "0" * 32}]
    return document
