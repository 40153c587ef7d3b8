"""Rules about service functions judge a ledger that was written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_sessionguard.accounts import Breach, Scope
from pytest_sessionguard.rules import (
    RULES,
    attached_result,
    connection_left_to_gc,
    leaked_connection,
    unclosed_session,
    unloaded_result,
)

SG101 = leaked_connection.RULE
SG102 = connection_left_to_gc.RULE
SG201 = unclosed_session.RULE
SG301 = attached_result.RULE
SG302 = unloaded_result.RULE
NAME = "app.services.get_user"


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


@pytest.fixture
def scope(books: Any) -> Any:
    """A service call that runs, and tags what is opened."""
    scope = Scope(NAME, books.account)
    scope.trace = books.trace()
    books.ledger.find_scope = lambda: scope
    return scope


def escape(books: Any, scope: Any, *things: Any) -> None:
    """End the call with these things open."""
    scope.is_over = True
    books.ledger.find_scope = None
    for thing in things:
        thing.is_escaped = True
        books.account.escaped.append(thing)


def breach(scope: Any, *, attached: bool = False, records: Any = (), **facts: Any) -> Breach:
    known: dict[str, Any] = {"models": ("User",), "count": 1, "kind": "expired", **facts}
    found = Breach(
        scope,
        is_attached=attached,
        lines=("result: User, detached, expired: id",),
        consequence="It breaks.",
        mend="mend it.",
        records=tuple(records),
        **known,
    )
    scope.account.breaches.append(found)
    return found


def labels(verdict: Any) -> list[tuple[str, str]]:
    return [(place.label, place.text) for place in verdict.places]


def test_what_is_opened_is_tagged(books: Any, scope: Any) -> None:
    """A session, its lease and a lease of no session belong to the call that runs."""
    record = books.session()
    held = books.hold(record)
    alone = books.lease()
    assert scope is record.scope is held.scope is alone.scope
    assert [record] == [r for r, _ in scope.sessions]
    assert alone in [lease for lease, _ in scope.leases]


def test_a_lent_session_is_not(books: Any, scope: Any) -> None:
    """What a session takes that was opened before the call, or by a registry, is not its own."""
    books.ledger.find_scope = None
    lent = books.session()
    books.ledger.find_scope = lambda: scope
    registered = books.session(kind="scoped_session")
    leases = [books.hold(record) for record in (lent, registered)]
    assert [None] * 4 == [thing.scope for thing in (lent, registered, *leases)]


def test_a_session_that_outlives_its_call(books: Any, scope: Any) -> None:
    """What a session takes after its call is over is none of the call's."""
    record = books.session()
    escape(books, scope)
    assert None is books.hold(record).scope
    scope.is_over = False
    assert scope is books.hold(record).scope


def test_sg101_of_a_service(books: Any, scope: Any, judge: Any, judge_all: Any) -> None:
    """A connection that was out at the return is told with it, though it came back since."""
    lease = books.lease("record")
    escape(books, scope, lease)
    books.close(lease)
    books.ledger.end_lease("record")
    (verdict,) = judge(SG101)
    assert [("checked out", "{}"), ("returned at", "{}")] == labels(verdict)
    assert (NAME, "returned") == (verdict.facts["boundary"], verdict.facts["ending"])
    assert [("SG101", 1)] == judge_all()
    assert [] == judge_all()


@pytest.mark.parametrize("ending", ["raised", "was closed"])
def test_other_endings(ending: str, books: Any, scope: Any, judge: Any) -> None:
    """A call that raised, or a generator that was closed, is said to have done so."""
    scope.ending = ending
    escape(books, scope, books.lease())
    (verdict,) = judge(SG101)
    assert (f"{ending.split()[-1]} at", ending) == (labels(verdict)[-1][0], verdict.facts["ending"])


def test_sg101_of_a_service_is_told_once(books: Any, scope: Any, judge_all: Any) -> None:
    """A connection that is still out at the test's end is not told a second time."""
    record = books.session()
    lease = books.hold(record)
    escape(books, scope, lease, record)
    assert [("SG101", 1)] == judge_all()


def test_sg101_beside_one_of_the_test(books: Any, scope: Any, judge: Any) -> None:
    """Connections of one place, one escaped and one taken by the test itself, are two."""
    here = books.trace()
    escape(books, scope, books.lease(trace=here))
    books.lease(trace=here)
    first, second = judge(SG101)
    assert (NAME, None) == (first.facts.get("boundary"), second.facts.get("boundary"))


def test_sg102_of_a_service(books: Any, scope: Any, judge: Any, judge_all: Any) -> None:
    """One that was out at the return and that the collector has taken since was left to it."""
    lease = books.lease("record")
    escape(books, scope, lease)
    books.collect(lease, "record")
    assert [] == judge(SG101)
    (verdict,) = judge(SG102)
    assert (NAME, "returned at") == (verdict.facts["boundary"], labels(verdict)[-1][0])
    assert [("SG102", 1)] == judge_all()


def test_sg201_of_a_service(books: Any, scope: Any, judge: Any, judge_all: Any) -> None:
    """A session that was open at the return is told, though it was closed since."""
    record = books.session()
    escape(books, scope, record)
    books.ledger.close_session(record, books.trace(), in_block=False)
    (verdict,) = judge(SG201)
    assert [("opened", "Session at {}"), ("returned at", "{}")] == labels(verdict)
    assert NAME == verdict.facts["boundary"]
    assert [("SG201", 1)] == judge_all()


def test_sg301(books: Any, scope: Any, judge: Any, judge_all: Any) -> None:
    """An attached result is told with its session, and the session not again."""
    record = books.session()
    found = breach(scope, attached=True, records=[record], kind="attached")
    escape(books, scope, record)
    (verdict,) = judge(SG301)
    assert [
        ("returned at", "{}"),
        ("found", "result: User, detached, expired: id"),
        ("session", "Session opened at {}"),
    ] == labels(verdict)
    assert {
        "count": 1,
        "function": NAME,
        "instances": 1,
        "models": "User",
        "kind": "attached",
        "consequence": "It breaks.",
        "mend": "mend it.",
    } == dict(verdict.facts)
    assert (found, record) == verdict.things
    assert [("SG301", 1)] == judge_all()


def test_sg301_of_a_session_that_was_told(books: Any, scope: Any, judge_all: Any) -> None:
    """A session that holds a connection as well is told as that."""
    record = books.session()
    lease = books.hold(record)
    breach(scope, attached=True, records=[record])
    escape(books, scope, lease, record)
    assert [("SG101", 1)] == judge_all()


def test_sg302(books: Any, scope: Any, judge: Any, judge_all: Any) -> None:
    """An unloaded result is told, whatever became of its session."""
    record = books.session()
    books.ledger.close_session(record, books.trace(), in_block=False)
    found = breach(scope, records=[record])
    record.told = True
    (verdict,) = judge(SG302)
    assert ["returned at", "found", "session", "closed"] == [label for label, _ in labels(verdict)]
    assert (found,) == verdict.things
    assert [("SG302", 1)] == judge_all()
    assert [] == judge_all()


def test_results_of_one_line(books: Any, scope: Any, judge: Any) -> None:
    """Calls that returned at one line are one finding that counts them, whoever called."""
    for _ in range(3):
        other = Scope(NAME, books.account)
        other.trace = scope.trace._replace(marks=(*scope.trace.marks[:2], *books.trace().marks))
        breach(other)
    breach(Scope("app.services.other", books.account))
    assert [3, 1] == [verdict.facts["count"] for verdict in judge(SG302)]
