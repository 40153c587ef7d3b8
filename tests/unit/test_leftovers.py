"""Whose affair it is what is left on a connection that went back to its pool."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_sessionguard.accounts import Account, Address, Seat
from pytest_sessionguard.leftovers import (
    Leftovers,
    accuse,
    blame,
    find_seats,
    is_asked,
    leave_open,
    settle,
)
from pytest_sessionguard.model import Owner, Severity

LOCK = ("idle", 1)
LOCKS = ("idle", 2)
OPEN = ("idle in transaction", 0)


@pytest.fixture
def seat() -> Seat:
    return Seat(Address("localhost", 5432, "me", "", "db"), 1)


@pytest.fixture
def use(books: Any, seat: Seat) -> Any:
    """Give what lets an account use the connection and return it."""

    def use(account: Account) -> Any:
        books.ledger.begin(account)
        lease = books.lease()
        seat.take_back(lease, books.ledger.unasked)
        return lease

    return use


def own(name: str, severity: Severity | None = None) -> Account:
    severities = {} if severity is None else {"SG105": severity}
    return Account(Owner("test", name, nodeid=name), severities)


def end(account: Account, seat: Seat, burden: Any, *others: Account) -> list[Any]:
    """End an account, and return how its suspects are seen."""
    accounts = [account, *others]
    answers = dict.fromkeys(find_seats(accounts), burden)
    blame(answers, accounts)
    accuse(answers, accounts)
    leave_open(accounts, answers)
    return [(s.state, s.locks, s.lease, *s.earlier) for s in account.suspects]


def test_nothing_left(seat: Seat, use: Any) -> None:
    """A connection that is free is nobody's affair, and its past is forgotten."""
    account = own("a")
    use(account)
    assert [] == end(account, seat, None)
    assert (None, [], {}) == (seat.left_by, list(seat.visits), seat.visitors)


def test_lock(seat: Seat, use: Any) -> None:
    """What is left is told of the account that has used it, with all its leases, the last first."""
    account = own("a")
    first, last = use(account), use(account)
    assert [("idle", 1, last, first)] == end(account, seat, LOCK)


@pytest.mark.parametrize(
    ("before", "after", "found"),
    (
        (LOCK, LOCK, False),
        (LOCKS, LOCK, False),
        (LOCK, LOCKS, True),
        (LOCK, OPEN, True),
        (OPEN, OPEN, False),
        (OPEN, ("idle in transaction", 1), True),
        (OPEN, ("active", 0), False),
        (None, LOCK, True),
    ),
)
def test_one_after_the_other(before: Any, after: Any, found: bool, seat: Seat, use: Any) -> None:
    """The second one is told only what it has added."""
    first, second = own("a"), own("b")
    use(first)
    end(first, seat, before)
    use(second)
    assert found == bool(end(second, seat, after))


def test_added_again(seat: Seat, use: Any) -> None:
    """A lock that was given back meanwhile may be told anew."""
    for burden, found in ((LOCK, True), (LOCKS, True), (LOCK, False), (LOCKS, True), (None, False)):
        account = own("a")
        use(account)
        assert found == bool(end(account, seat, burden))


def test_two_owners(seat: Seat, use: Any) -> None:
    """Where somebody whose end has not come had it too, nobody is blamed, then or later."""
    test, fixture = own("a"), own("f")
    use(fixture)
    use(test)
    assert [] == end(test, seat, LOCK)
    use(fixture)
    assert [] == end(fixture, seat, LOCK)


def test_two_that_end_together(seat: Seat, use: Any) -> None:
    """A test and its fixture are judged together: the last one to use it is told of both."""
    test, fixture = own("a"), own("f")
    first, last = use(fixture), use(test)
    assert [("idle", 1, last, first)] == end(test, seat, LOCK, fixture)
    assert [] == fixture.suspects


def test_fixture(seat: Seat, use: Any) -> None:
    """What a fixture's setup left is told at its end, and no test of it; given back, of nobody."""
    for burden, found in ((LOCK, 1), (None, 0)):
        test, fixture = own("a"), own("f")
        lease = use(fixture)
        blame({seat: LOCK}, [fixture])
        use(test)
        assert [] == end(test, seat, LOCK)
        assert found * [("idle", 1, lease)] == end(fixture, seat, burden)
        seat.leave(None)


def test_nobody_has_asked(seat: Seat, use: Any) -> None:
    """What was left before a test, by whomever, is none of the test's; what it adds is."""
    failed = own("failed")
    use(failed)
    assert [seat] == leave_open([failed])
    settle({seat: LOCK})
    for burden, found in ((LOCK, False), (LOCKS, True)):
        test = own("a")
        use(test)
        assert found == bool(end(test, seat, burden))


def test_nobody_has_asked_yet(seat: Seat, use: Any) -> None:
    """Until somebody has, nothing is told; once it was seen free, anything is."""
    failed = own("failed")
    use(failed)
    leave_open([failed])
    test = own("a")
    use(test)
    assert [] == end(test, seat, LOCK)
    settle({seat: None})
    use(test)
    assert end(test, seat, LOCK)


def test_import(books: Any, seat: Seat, use: Any) -> None:
    """What an import left is settled before the first test."""
    use(books.ledger.elsewhere)
    assert [seat] == list(books.ledger.unasked)
    assert {} == books.ledger.elsewhere.seats
    settle({seat: LOCK})
    test = own("a")
    use(test)
    assert [] == end(test, seat, LOCK)


def test_before_a_test(books: Any, seat: Seat, use: Any) -> None:
    """Before a test it is asked about each connection once, and not about one that is closed."""
    asked: list[list[Seat]] = []

    class Watchers:
        def look_at_seats(self, find: Any) -> dict[Seat, Any]:
            asked.append(find())
            return dict.fromkeys(asked[-1], LOCK)

    leftovers = Leftovers(books.ledger, Watchers())  # type: ignore[arg-type]
    closed = Seat(seat.address, 2)
    closed.is_closed = True
    use(books.ledger.elsewhere)
    books.ledger.unasked.add(closed)
    leftovers.begin(own("off", Severity.OFF))
    assert [] == asked
    for _ in range(2):
        leftovers.begin(own("a"))
    assert [[seat]] == asked
    assert (books.ledger.elsewhere, LOCK) == (seat.left_by, seat.burden)


def test_closed(seat: Seat, use: Any) -> None:
    """Of a connection that is closed nobody asks."""
    account = own("a")
    use(account)
    seat.is_closed = True
    assert [] == find_seats([account]) == leave_open([account])


def test_off(seat: Seat, use: Any) -> None:
    """Where the rule is off nobody asks, and that it may be needed is entered."""
    idle, off, warn = own("a", Severity.OFF), own("b", Severity.OFF), own("c", Severity.WARN)
    use(off)
    assert [] == find_seats([idle, off])
    assert (set(), {"SG105"}) == (idle.hushed, off.hushed)
    assert [False, True, True] == [is_asked(each) for each in (off, warn, own("d"))]
    use(warn)
    assert [seat] == find_seats([warn])


def test_many_leases(books: Any, seat: Seat, use: Any) -> None:
    """It keeps the latest leases only, and every account that had it."""
    fixture, test = own("f"), own("a")
    use(fixture)
    for _ in range(100):
        use(test)
    assert len(seat.visits) < 10
    assert [] == end(test, seat, LOCK)
