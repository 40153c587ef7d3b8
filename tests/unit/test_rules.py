"""Each rule judges a ledger that was written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_sessionguard.accounts import (
    Address,
    Dropped,
    EngineRecord,
    Nesting,
    Overlap,
    Seat,
    Suspect,
)
from pytest_sessionguard.model import Severity
from pytest_sessionguard.rules import (
    RULES,
    connection_across_loops,
    connection_left_to_gc,
    leaked_connection,
    nested_checkout,
    open_server_transaction,
    session_shared_between_tasks,
    session_used_after_close,
    unclosed_session,
    uncommitted_changes,
    undisposed_engine,
)
from pytest_sessionguard.rules.base import group_by_place, state_pool

SG101 = leaked_connection.RULE
SG102 = connection_left_to_gc.RULE
SG103 = connection_across_loops.RULE
SG104 = nested_checkout.RULE
SG105 = open_server_transaction.RULE
SG106 = undisposed_engine.RULE
SG201 = unclosed_session.RULE
SG202 = session_used_after_close.RULE
SG203 = session_shared_between_tasks.RULE
SG205 = uncommitted_changes.RULE


@pytest.fixture
def judge(books: Any, show: Any) -> Any:
    """Judge the account by one rule."""
    return lambda rule: rule.judge(books.account, show)


@pytest.fixture
def judge_all(books: Any, show: Any) -> Any:
    """Judge the account by every rule in turn, as the guard does."""

    def run() -> list[tuple[str, int]]:
        found = []
        for rule in RULES:
            for verdict in rule.judge(books.account, show):
                for thing in verdict.things:
                    thing.told = True
                found.append((rule.code, verdict.facts["count"]))
        return found

    return run


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_nothing_is_no_fault(rule: Any, judge: Any) -> None:
    """An account with nothing in it breaks no rule."""
    assert [] == judge(rule)


def test_catalogue() -> None:
    """The rules have the codes, names and severities of the design, each once."""
    assert {
        "SG101": ("leaked-connection", Severity.ERROR),
        "SG102": ("connection-left-to-gc", Severity.ERROR),
        "SG103": ("connection-across-loops", Severity.ERROR),
        "SG104": ("nested-checkout", Severity.WARN),
        "SG105": ("open-server-transaction", Severity.WARN),
        "SG106": ("undisposed-engine", Severity.OFF),
        "SG201": ("unclosed-session", Severity.WARN),
        "SG202": ("session-used-after-close", Severity.ERROR),
        "SG203": ("session-shared-between-tasks", Severity.ERROR),
        "SG204": ("session-in-background-task", Severity.ERROR),
        "SG205": ("uncommitted-changes", Severity.WARN),
        "SG301": ("attached-result", Severity.ERROR),
        "SG302": ("unloaded-result", Severity.ERROR),
        "SG303": ("detached-access", Severity.WARN),
        "SG304": ("missing-greenlet", Severity.WARN),
        "SG305": ("instance-in-background-task", Severity.WARN),
        "SG401": ("lazy-load", Severity.OFF),
        "SG402": ("n-plus-one", Severity.WARN),
        "SG403": ("masked-lazy-load", Severity.OFF),
    } == {rule.code: (rule.name, rule.severity) for rule in RULES}
    assert len({rule.code for rule in RULES}) == len(RULES)


def labels(verdict: Any) -> list[tuple[str, str]]:
    return [(place.label, place.text) for place in verdict.places]


def test_sg101_fault(books: Any, judge: Any) -> None:
    """A connection that is out is told with its pool and where it was taken."""
    lease = books.lease("record")
    (verdict,) = judge(SG101)
    assert [("checked out", "{}")] == labels(verdict)
    assert {
        "count": 1,
        "holder": "Connection",
        "engine": "postgresql+asyncpg",
        "pool": "AsyncAdaptedQueuePool",
        "pool_size": 5,
        "max_overflow": 10,
        "pool_timeout": 30,
    } == dict(verdict.facts)
    assert (lease,) == verdict.things
    assert "test_sg101_fault" == verdict.places[0].site.frames[0].function


def test_sg101_healthy(books: Any, judge: Any) -> None:
    """A connection that came back, or was closed without a word, is none."""
    books.lease("one")
    books.ledger.end_lease("one")
    books.close(books.lease("two"))
    assert [] == judge(SG101)


def test_sg101_of_a_session(books: Any, judge: Any) -> None:
    """A session that holds the connection is told with it, and not again by itself."""
    record = books.session(kind="AsyncSession")
    lease = books.hold(record)
    (verdict,) = judge(SG101)
    assert [
        ("checked out", "{}"),
        ("held by", "AsyncSession opened at {}, never closed"),
    ] == labels(verdict)
    assert ((lease, record), "AsyncSession") == (verdict.things, verdict.facts["holder"])


def test_sg101_of_a_session_that_was_used_again(books: Any, judge: Any) -> None:
    """Where a plain `close()` came between, both its place and the new beginning are told."""
    record = books.session()
    books.ledger.close_session(record, books.trace(), in_block=False)
    books.ledger.begin_again(record, books.trace())
    books.hold(record)
    (verdict,) = judge(SG101)
    assert [
        ("checked out", "{}"),
        ("held by", "Session opened at {}"),
        ("closed", "{}"),
        ("began again", "{}"),
    ] == labels(verdict)


def test_sg101_grouping(books: Any, judge: Any) -> None:
    """Connections of one place are one verdict, of several places several, in their order."""
    here = books.trace()
    for _ in range(3):
        books.lease(trace=here)
    books.lease()
    books.lease(trace=here)
    first, second = judge(SG101)
    assert (4, 1) == (first.facts["count"], second.facts["count"])
    assert here.marks == first.things[0].trace.marks


def test_sg102_fault(books: Any, judge: Any, judge_all: Any) -> None:
    """A connection that the collector returned is told, and is not out."""
    lease = books.lease("record")
    books.collect(lease, "record")
    (verdict,) = judge(SG102)
    assert ((lease,), [("checked out", "{}")]) == (verdict.things, labels(verdict))
    assert [] == judge(SG101)
    assert [("SG102", 1)] == judge_all()


def test_sg102_healthy(books: Any, judge: Any) -> None:
    """A connection that somebody returned, or still holds, was not left to the collector."""
    books.lease("one")
    books.lease("two")
    books.ledger.end_lease("two")
    assert [] == judge(SG102)


def test_sg102_of_a_session(books: Any, judge_all: Any) -> None:
    """A session that was dropped with its connection is one finding, not two."""
    record = books.session()
    lease = books.hold(record, "record")
    books.collect(lease, "record")
    assert [("SG102", 1)] == judge_all()


def test_sg103_fault(books: Any, judge: Any) -> None:
    """A connection of a foreign loop is told with where it was met and where it was opened."""
    crossing = books.crossing()
    (verdict,) = judge(SG103)
    assert [
        ("checked out", "{}"),
        ("opened", "{}, in the loop of test_before"),
    ] == labels(verdict)
    assert ((crossing,), 1) == (verdict.things, verdict.facts["count"])


def test_sg103_grouping(books: Any, judge: Any) -> None:
    """Crossings of one place are one verdict."""
    here = books.trace()
    books.crossing(trace=here)
    books.crossing(trace=here)
    books.crossing()
    assert [2, 1] == [verdict.facts["count"] for verdict in judge(SG103)]


def test_sg201_fault(books: Any, judge: Any) -> None:
    """A session that was used and is open is told with where it was made."""
    record = books.session(kind="AsyncSession")
    (verdict,) = judge(SG201)
    assert [("opened", "AsyncSession at {}")] == labels(verdict)
    assert {"count": 1, "holder": "AsyncSession", "collected": False} == dict(verdict.facts)
    assert (record,) == verdict.things


def test_sg201_healthy(books: Any, judge: Any) -> None:
    """A session that was closed, or never used, is not told."""
    record = books.session()
    books.ledger.close_session(record, books.trace(), in_block=False)
    books.ledger.open_session(object, books.trace())
    assert [] == judge(SG201)


def test_sg201_collected(books: Any, judge: Any) -> None:
    """Sessions that are gone are told as such, where all of one place are."""
    here = books.trace()
    one, two = books.session(trace=here), books.session(trace=here)
    one.session.target = None
    assert [False] == [verdict.facts["collected"] for verdict in judge(SG201)]
    two.session.target = None
    assert [True] == [verdict.facts["collected"] for verdict in judge(SG201)]


def test_sg201_of_an_idle_session(books: Any, judge: Any) -> None:
    """A session that was closed, used again and ended its transaction is none; a begun one is."""
    record = books.session()
    books.ledger.close_session(record, books.trace(), in_block=False)
    books.ledger.begin_again(record, books.trace())
    books.use(record)
    assert [] == judge(SG201)
    record.session().begun = True
    assert [(record,)] == [verdict.things for verdict in judge(SG201)]
    record.session.target = None
    assert [] == judge(SG201)


def test_sg201_is_not_told_beside_its_connection(books: Any, judge_all: Any) -> None:
    """An open session that holds a connection is told as the leaked connection only."""
    books.hold(books.session())
    assert [("SG101", 1)] == judge_all()


@pytest.mark.parametrize("kind", ["scoped_session", "async_scoped_session"])
def test_scoped_sessions(kind: str, books: Any, judge_all: Any) -> None:
    """A registry's session lives on by design; one that holds a connection is SG201, not SG101."""
    record = books.session(kind=kind)
    assert [] == judge_all()
    lease = books.hold(record, "record")
    (verdict,) = SG201.judge(books.account, lambda trace: None)  # type: ignore[arg-type,return-value]
    assert ([("opened", f"{kind} at {{}}"), ("connection", "{}, still checked out")], kind) == (
        labels(verdict),
        verdict.facts["holder"],
    )
    assert (record, lease) == verdict.things
    assert [("SG201", 1)] == judge_all()


def test_a_lost_connection_of_a_scoped_session(books: Any, judge_all: Any) -> None:
    """A registry that was dropped with its connection left it to the collector like any other."""
    record = books.session(kind="scoped_session")
    books.collect(books.hold(record, "record"), "record")
    assert [("SG102", 1)] == judge_all()


def reopen(books: Any, *, in_block: bool = True, trace: Any = None) -> Any:
    record = books.session(trace=trace)
    books.ledger.close_session(record, books.trace(), in_block=in_block)
    books.ledger.begin_again(record, books.trace())
    return record


def test_sg202_fault(books: Any, judge: Any) -> None:
    """A session that began again below its block is told with both places."""
    record = reopen(books)
    (verdict,) = judge(SG202)
    assert ["began again", "block ended"] == [label for label, _ in labels(verdict)]
    assert ((record,), {"count": 1, "holder": "Session"}) == (verdict.things, dict(verdict.facts))


def test_sg202_healthy(books: Any, judge: Any) -> None:
    """A session that began again after a plain close is none."""
    reopen(books, in_block=False)
    assert [] == judge(SG202)


def test_sg202_tells_the_connection(books: Any, judge: Any, judge_all: Any) -> None:
    """What the session took since is told with it: SG202 alone, not SG101 and SG201 as well."""
    record = reopen(books)
    lease = books.hold(record, "record")
    (verdict,) = judge(SG202)
    assert ("connection", "{}, never returned") == labels(verdict)[-1]
    assert ("out", 5) == (verdict.facts["connection"], verdict.facts["pool_size"])
    assert (record, lease) == verdict.things
    assert [("SG202", 1)] == judge_all()


def test_sg202_tells_the_lost_connection(books: Any, judge: Any, judge_all: Any) -> None:
    """The same where the collector took it."""
    record = reopen(books)
    lease = books.hold(record, "record")
    books.collect(lease, "record")
    (verdict,) = judge(SG202)
    assert ("connection", "{}, left to the garbage collector") == labels(verdict)[-1]
    assert "lost" == verdict.facts["connection"]
    assert [("SG202", 1)] == judge_all()


def test_sg202_grouping(books: Any, judge: Any) -> None:
    """Sessions that were made at one place are one verdict, with all their leases."""
    here = books.trace()
    records = [reopen(books, trace=here) for _ in range(2)]
    leases = [books.hold(record, number) for number, record in enumerate(records)]
    (verdict,) = judge(SG202)
    assert (*records, *leases) == verdict.things
    assert 2 == verdict.facts["count"]


def test_what_was_told_is_not_told_again(books: Any, judge_all: Any) -> None:
    """A second judgement of the same account finds nothing."""
    books.lease("one")
    books.collect(books.lease("two"), "two")
    books.crossing()
    books.session()
    reopen(books)
    assert ["SG202", "SG101", "SG102", "SG103", "SG201"] == [code for code, _ in judge_all()]
    assert [] == judge_all()


def test_what_comes_later_is_told_then(books: Any, judge_all: Any) -> None:
    """A thing that is new at the second judgement is found though an old one was told."""
    books.lease("one")
    assert [("SG101", 1)] == judge_all()
    books.lease("two")
    assert [("SG101", 1)] == judge_all()


def test_group_by_place(books: Any) -> None:
    """Things without a place are one group, and every thing is in one group."""
    adopted = [books.ledger.adopt_session(object) for _ in range(2)]
    placed = books.session()
    groups = group_by_place([adopted[0], placed, adopted[1]])
    assert [adopted, [placed]] == groups


@pytest.mark.parametrize(
    ("timeout", "told"), [(None, None), (30.0, 30), (0.5, 0), (1.6, 2), (0, 0)], ids=str
)
def test_state_pool(timeout: Any, told: Any, books: Any) -> None:
    """A message tells whole seconds, and nothing that is not known."""
    pool = books.make_pool(size=None, overflow=None, timeout=timeout)
    assert {
        "engine": "postgresql+asyncpg",
        "pool": "AsyncAdaptedQueuePool",
        "pool_size": None,
        "max_overflow": None,
        "pool_timeout": told,
    } == state_pool(pool)


def nest(books: Any, **pool: Any) -> Nesting:
    """A nesting in the account, on a pool with these facts."""
    facts = books.make_pool(**pool)
    nesting = Nesting(books.trace(), books.lease(pool=facts), facts, 2)
    books.account.nestings[len(books.account.nestings)] = nesting
    return nesting


def test_sg104_fault(books: Any, judge: Any) -> None:
    """Both places, the pool's limit, and how many are needed at once."""
    nesting = nest(books)
    (verdict,) = judge(SG104)
    assert [("asked for", "{}"), ("while holding", "{}")] == labels(verdict)
    assert ((nesting,), None) == (verdict.things, verdict.severity)
    assert (1, 2, 15) == tuple(verdict.facts[name] for name in ("count", "depth", "limit"))


def test_sg104_on_a_tight_pool(books: Any, judge: Any) -> None:
    """On a pool that is tight on purpose it is an error; one that was told is told no more."""
    nest(books, is_tight=True).told = True
    nest(books, is_tight=True)
    (verdict,) = judge(SG104)
    assert Severity.ERROR is verdict.severity


def test_sg105_fault(books: Any, judge: Any) -> None:
    """A suspect whose backend is busy is told, one that has gone or whose lease was told is not."""
    seat = Seat(Address("localhost", 5432, "me", "", "db"), 1)
    suspects = [Suspect(seat, books.lease(), "cancelled") for _ in range(3)]
    books.account.suspects += suspects
    suspects[0].state = suspects[2].state = "active"
    suspects[2].lease.told = True
    (verdict,) = judge(SG105)
    assert ((suspects[0],), "active") == (verdict.things, verdict.facts["state"])


def test_sg106_fault(books: Any, judge: Any) -> None:
    """An engine is told while one of its connections is open."""

    class Record:
        dbapi_connection: Any = object()

    engine = EngineRecord(books.account, books.trace(), name="postgresql+asyncpg", is_async=True)
    books.account.engines.append(engine)
    assert [] == judge(SG106)
    record = Record()
    engine.connections.add(record)
    (verdict,) = judge(SG106)
    assert (1, 1, "AsyncEngine") == tuple(
        verdict.facts[name] for name in ("count", "connections", "holder")
    )
    record.dbapi_connection = None
    assert [] == judge(SG106)


def test_sg203_fault(books: Any, judge: Any) -> None:
    """Who came in and who was inside, in whichever order; what they lost is told with it."""
    record = books.session(kind="AsyncSession")
    one, other = books.trace(), books.session().trace
    books.account.overlaps += [
        Overlap(record, one, other, are_threads=False),
        Overlap(record, other, one, are_threads=False),
    ]
    (verdict,) = judge(SG203)
    assert ["entered at", "still inside", "session"] == [label for label, _ in labels(verdict)]
    assert (1, 2, False) == tuple(verdict.facts[name] for name in ("count", "stacks", "threads"))
    lease = books.hold(record)
    books.collect(lease, record)
    (verdict,) = judge(SG203)
    assert {id(thing) for thing in (*books.account.overlaps, *books.account.lost)} == {
        id(thing) for thing in verdict.things
    }
    for overlap in books.account.overlaps:
        overlap.told = True
    assert [] == judge(SG203)


@pytest.mark.parametrize(("is_written", "label"), [(True, "written"), (False, "added")])
def test_sg205_fault(books: Any, judge: Any, is_written: bool, label: str) -> None:
    """Where it was closed, opened and changed; two at one place are one verdict."""
    record, here = books.session(kind="AsyncSession"), books.trace()
    books.account.dropped += [
        Dropped(here, record, "1 new User", here, is_written=is_written),
        Dropped(here, record, ""),
    ]
    (verdict,) = judge(SG205)
    assert ["closed", "opened", label] == [label for label, _ in labels(verdict)]
    assert (2, "1 new User") == (verdict.facts["count"], verdict.facts["changes"])
