"""Hand-overs that were written by hand, and what the two rules say of them."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_sessionguard.accounts import Handover, Handovers
from pytest_sessionguard.rules import (
    instance_in_background_task,
    session_in_background_task,
    session_used_after_close,
)

SG202 = session_used_after_close.RULE
SG204 = session_in_background_task.RULE
SG305 = instance_in_background_task.RULE


class Work:
    """Work that does as it is told."""

    def __init__(self, runner: Any = None) -> None:
        self.was_cancelled = False
        self.over = self.here = self.is_ending = False
        self.runner = runner
        self.awaited = 0

    def is_over(self) -> bool:
        return self.over

    def is_here(self) -> bool:
        return self.here

    def does(self, runner: Any) -> bool:
        return self.runner is not None and runner == self.runner

    def settle(self) -> None:
        self.over = self.over or self.is_ending

    def await_end(self) -> None:
        self.awaited += 1


class State:
    """What an instance is known by."""

    def __init__(self, session: Any) -> None:
        self.session = session


class Desk:
    """A session, and what is handed over of it."""

    def __init__(self, books: Any) -> None:
        self.books = books
        self.record = books.session(kind="AsyncSession")
        self.record.handovers = Handovers()

    def hand(self, work: Work | None = None, **facts: Any) -> Handover:
        handover = Handover(
            self.record,
            self.books.account,
            work or Work(),
            self.books.trace(),
            "create_task",
            **facts,
        )
        self.record.handovers.add(handover)
        return handover

    def close(self, *, in_block: bool = False) -> None:
        self.record.handovers.part(self.books.trace(), in_block=in_block)
        self.books.ledger.close_session(self.record, self.books.trace(), in_block=in_block)

    def use(self) -> None:
        trace = self.books.trace()
        self.record.handovers.meet(trace)
        self.books.ledger.begin_again(self.record, trace)

    @property
    def faults(self) -> list[Handover]:
        return self.books.account.faulty_handovers()


@pytest.fixture
def desk(books: Any) -> Desk:
    return Desk(books)


@pytest.fixture
def judge(books: Any, show: Any) -> Any:
    return lambda rule: rule.judge(books.account, show)


def test_work_that_outlives_its_session(desk: Desk, judge: Any) -> None:
    """It is a fault from the moment on at which the session is closed."""
    handover = desk.hand()
    assert [] == desk.faults
    desk.close()
    assert [handover] == desk.faults
    (verdict,) = judge(SG204)
    assert ["handed over", "session", "closed"] == [place.label for place in verdict.places]
    assert {"count": 1, "holder": "AsyncSession", "late": False} == dict(verdict.facts)
    assert (handover,) == verdict.things
    assert [] == judge(SG305)


def test_work_that_ends_before(desk: Desk) -> None:
    """Work that has ended when the session is closed is none."""
    desk.hand().work.over = True  # type: ignore[attr-defined]
    desk.close()
    assert [] == desk.faults


def test_work_that_is_about_to_end(desk: Desk) -> None:
    """Work that has told its end, and comes to it in a moment, is none."""
    desk.hand().work.is_ending = True  # type: ignore[attr-defined]
    desk.close()
    assert [] == desk.faults


def test_work_that_is_cancelled(desk: Desk) -> None:
    """Work that is cancelled is none, but if it has used the session again."""
    handover = desk.hand()
    desk.close()
    assert 1 == handover.work.awaited  # type: ignore[attr-defined]
    handover.work.was_cancelled = True
    assert [] == desk.faults
    handover.work.here = True  # type: ignore[attr-defined]
    desk.use()
    assert [handover] == desk.faults


def test_work_that_closes_it(desk: Desk) -> None:
    """Work that closes the session itself got it for good, also after others have."""
    handover = desk.hand()
    handover.work.here = True  # type: ignore[attr-defined]
    desk.close()
    handover.work.here = False  # type: ignore[attr-defined]
    desk.close()
    assert [] == desk.faults


def test_work_that_closes_it_too(desk: Desk) -> None:
    """Work that closes what had been closed before is none the less a fault."""
    handover = desk.hand()
    desk.close()
    handover.work.here = True  # type: ignore[attr-defined]
    desk.close()
    assert [handover] == desk.faults


def test_handed_on(desk: Desk) -> None:
    """Those through whose hands the session came to the one that closes it are none."""
    first = desk.hand(Work("first"), giver="main")
    second = desk.hand(Work("second"), giver="first")
    third = desk.hand(Work("third"), giver="second")
    third.work.here = True  # type: ignore[attr-defined]
    desk.close()
    assert [True] * 3 == [handover.is_kept for handover in (first, second, third)]
    assert [] == desk.faults


def test_helpers(desk: Desk) -> None:
    """A thread that the work waits for closes it in the work's name."""
    handover = desk.hand()
    handover.work.here = True  # type: ignore[attr-defined]
    helper = Work()
    desk.record.handovers.lend(helper)  # type: ignore[union-attr]
    handover.work.here = False  # type: ignore[attr-defined]
    helper.here = True
    desk.close()
    assert handover.is_kept


def test_two_of_which_one_closes(desk: Desk) -> None:
    """The other one is a fault only where it uses the session again."""
    one, other = desk.hand(), desk.hand()
    one.work.here = True  # type: ignore[attr-defined]
    desk.close()
    assert [] == desk.faults
    one.work.here, other.work.here = False, True  # type: ignore[attr-defined]
    desk.use()
    assert [other] == desk.faults


def test_indirect(desk: Desk) -> None:
    """What the work only finds somewhere counts when it uses it after the end."""
    handover = desk.hand(is_direct=False)
    handover.work.here = True  # type: ignore[attr-defined]
    desk.use()
    handover.work.here = False  # type: ignore[attr-defined]
    desk.close()
    assert [] == desk.faults
    handover.work.here = True  # type: ignore[attr-defined]
    desk.use()
    assert [handover] == desk.faults


def test_late(desk: Desk, judge: Any) -> None:
    """What begins when the response is out is a fault at once."""
    handover = desk.hand(is_late=True)
    assert [handover] == desk.faults
    handover.work.here = True  # type: ignore[attr-defined]
    desk.use()
    handover.work.here = False  # type: ignore[attr-defined]
    desk.close()
    (verdict,) = judge(SG204)
    assert ["handed over", "session", "used there", "closed"] == [p.label for p in verdict.places]


def test_told_once(desk: Desk, judge: Any, books: Any) -> None:
    """A session that its task began again, and the connection it lost, are not told again."""
    handover = desk.hand()
    desk.close(in_block=True)
    handover.work.here = True  # type: ignore[attr-defined]
    desk.use()
    lease = books.hold(desk.record)
    assert [desk.record] == books.account.reopened
    (verdict,) = judge(SG204)
    assert {handover, desk.record, lease} == set(verdict.things)
    assert "out" == verdict.facts["connection"]
    for thing in verdict.things:
        thing.told = True
    assert [] == judge(SG202)
    assert [] == judge(SG204)


def test_instance(desk: Desk, judge: Any) -> None:
    """An instance is the other rule's, as long as it is the session's."""
    session = desk.record.session()
    kept, gone = State(session), State(session)
    handover = desk.hand(state=kept, model="User")
    desk.hand(state=gone, model="Post")
    gone.session = None
    desk.close()
    (verdict,) = judge(SG305)
    assert (1, "User") == (verdict.facts["count"], verdict.facts["models"])
    assert (handover,) == verdict.things
    assert [] == judge(SG204)


def test_instance_that_nobody_holds(desk: Desk) -> None:
    """An instance that is gone when the session is closed is none."""
    desk.hand(state=State(desk.record.session()), model="User")
    desk.close()
    assert [] == desk.faults


def test_many(desk: Desk) -> None:
    """A session that is handed over again and again keeps few of them."""
    for number in range(1000):
        desk.hand().work.over = number % 2 == 0  # type: ignore[attr-defined]
    assert len(desk.record.handovers._open) <= 64  # type: ignore[union-attr]
    last = desk.hand()
    desk.close()
    assert last in desk.faults
