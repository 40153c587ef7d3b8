"""Documents of runs, made by hand and by the thousand, for the page that shows them."""

from __future__ import annotations

from typing import Any

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
    return make_document(summary, RUN, "")
