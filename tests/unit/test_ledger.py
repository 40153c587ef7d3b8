"""The laws of the ledger, with hand-written things."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_sessionguard.accounts import Account, Lease
from pytest_sessionguard.accounts.settling import threads_out
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.model import Owner


def test_a_lease_that_came_back_leaves_nothing(books: Any) -> None:
    """A lease that was returned by whoever held it is in no book any more."""
    lease = books.lease("record")
    assert [lease] == books.account.open_leases()
    assert lease is books.ledger.out["record"]
    books.ledger.end_lease("record")
    assert ({}, {}, [], []) == (
        books.ledger.out,
        books.account.leases,
        books.account.lost,
        books.ledger.all_leases(),
    )


def test_a_lease_that_the_collector_ended_is_lost(books: Any) -> None:
    """Where the proxy is gone when its return is told, nobody held it."""
    lease = books.lease("record")
    books.collect(lease, "record")
    assert ([], [lease]) == (books.account.open_leases(), books.account.lost_leases())


def test_a_lost_lease_of_nobody_is_not_kept(books: Any) -> None:
    """What an import opened is never due, lost or not."""
    books.ledger.current = books.ledger.elsewhere
    lease = books.lease("record")
    books.collect(lease, "record")
    assert ([], {}) == (books.ledger.elsewhere.lost, books.ledger.elsewhere.leases)


def test_the_end_of_an_unknown_lease(books: Any) -> None:
    """A record that was checked out before the watching ends in silence."""
    books.ledger.end_lease("unknown")
    assert [] == books.account.lost_leases()


def test_a_closed_proxy_is_not_out(books: Any) -> None:
    """A lease whose proxy was closed is not out, though no event said so."""
    lease = books.lease("record")
    books.close(lease)
    assert ([], []) == (books.account.open_leases(), books.account.lost_leases())


class Record:
    """A pool's record of a connection."""


def test_leases_that_share_a_record(books: Any) -> None:
    """Of the proxies of one record only the proxies themselves know which is out."""
    record = Record()
    outer, inner = books.lease(record), books.lease(record)
    assert [outer, inner] == books.account.open_leases()
    books.close(outer)
    books.ledger.end_lease(record)
    assert ([inner], [inner]) == (books.account.open_leases(), books.ledger.all_leases())
    books.close(inner)
    assert ([], []) == (books.account.open_leases(), books.account.lost_leases())


@pytest.mark.parametrize("kind", ["SingletonThreadPool", "OwnPool"])
def test_a_proxy_that_is_handed_out_again(books: Any, kind: str) -> None:
    """Nobody can tell which of two holders has not closed; a call of `super()` holds nothing."""
    record = Record()
    first = books.lease(record)
    second = Lease(first.proxy, books.trace(), books.account, books.make_pool(kind=kind), 1)
    books.ledger.open_lease(record, second)
    told = [] if kind == "SingletonThreadPool" else [first]
    assert (told, [first]) == (books.account.open_leases(), books.ledger.all_leases())
    books.ledger.end_lease(record)
    assert ({}, []) == (books.account.leases, books.ledger.all_leases())


def test_a_told_lease_is_not_told_again(books: Any) -> None:
    """A lease, a lost lease and a session that were told are not returned any more."""
    lease, lost, record = books.lease("one"), books.lease("two"), books.session()
    books.collect(lost, "two")
    for thing in (lease, lost, record):
        thing.told = True
    account = books.account
    assert ([], [], []) == (account.open_leases(), account.lost_leases(), account.open_sessions())


def test_a_session_takes_its_lease_along(books: Any) -> None:
    """A lease that a session takes goes to the account of the session's owner."""
    record = books.session()
    maker, other = books.account, books.start("fixture", "fixture `db`", "module")
    lease = books.hold(record, "record")
    assert ([lease], [], record) == (maker.open_leases(), other.open_leases(), lease.session)
    books.ledger.end_lease("record")
    assert {} == maker.leases


def test_find_lease(books: Any) -> None:
    """A lease is found by its proxy, as long as it is out."""
    lease = books.lease("record")
    proxy = lease.proxy()
    assert lease is books.ledger.find_lease(proxy)
    assert None is books.ledger.find_lease(object())
    books.ledger.end_lease("record")
    assert None is books.ledger.find_lease(proxy)


def test_leases_of_a_pool(books: Any) -> None:
    """The leases of one pool are those that are out of it, the oldest first."""
    pools = [object(), object()]
    facts = [books.make_pool(pool=lambda pool=pool: pool) for pool in pools]
    leases = [books.lease(n, pool=facts[n % 2]) for n in range(6)]
    books.close(leases[2])
    assert [leases[0], leases[4]] == books.ledger.leases_of(pools[0])
    assert [leases[1], leases[3], leases[5]] == books.ledger.leases_of(pools[1])


def test_crossings_go_to_who_is_running(books: Any) -> None:
    """A crossing stands with whoever met it, and with nobody where that is no test."""
    crossing = books.crossing()
    assert [crossing] == books.account.crossings
    books.ledger.current = books.ledger.elsewhere
    books.crossing()
    assert [] == books.ledger.elsewhere.crossings


def test_sessions_are_counted_once_made(books: Any) -> None:
    """A session is in nobody's account before it takes a connection, nor after it was closed."""
    record = books.ledger.open_session(object, books.trace())
    assert (1, []) == (books.ledger.sessions, books.account.open_sessions())
    books.use(record)
    books.use(record)
    assert [record] == books.account.open_sessions()
    books.ledger.close_session(record, books.trace(), in_block=False)
    assert [] == books.account.open_sessions()
    books.ledger.close_session(record, books.trace(), in_block=False)
    assert (1, []) == (books.ledger.sessions, books.account.open_sessions())


def test_adopted_sessions_are_nobodys(books: Any) -> None:
    """A session that was there before the watching is counted, and never due."""
    record = books.ledger.adopt_session(object)
    books.use(record)
    books.ledger.close_session(record, books.trace(), in_block=True)
    books.ledger.begin_again(record, books.trace())
    assert (1, {}, []) == (
        books.ledger.sessions,
        books.ledger.elsewhere.sessions,
        books.ledger.elsewhere.reopened,
    )
    assert ("Session", False) == (record.kind, record.is_scoped)


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ("block again", 1),
        ("block again close", 1),
        ("block again close again", 1),
        ("block again block", 1),
        ("block again enter block", 1),
        ("close again", 0),
        ("close again close again", 0),
        ("block enter again", 0),
        ("block enter block again", 1),
        ("block close again", 0),
        ("close block again", 1),
        ("close again block again", 1),
        ("block", 0),
        ("block enter close again", 0),
    ],
)
def test_reopening(steps: str, told: int, books: Any) -> None:
    """Told is what its own block had closed, once, whatever comes after; nothing else is."""
    record = books.session()
    ledger = books.ledger
    for step in steps.split():
        if step == "block":
            ledger.close_session(record, books.trace(), in_block=True)
        if step == "close":
            ledger.close_session(record, books.trace(), in_block=False)
        if step == "enter" and record.ended is not None:
            ledger.reenter_session(record)
        if step == "again":
            if record.ended is not None and record.reopened is None:
                ledger.begin_again(record, books.trace())
            books.use(record)
    assert [record] * told == books.account.reopened
    assert ("again" in steps.split()[-1:]) == (record in books.account.open_sessions())


@pytest.mark.parametrize(
    "kind", ["Session", "AsyncSession", "scoped_session", "async_scoped_session"]
)
def test_kinds(kind: str, books: Any) -> None:
    """A session is called by the class that the user knows."""
    record = books.session(kind=kind)
    assert (kind, "scoped" in kind) == (record.kind, record.is_scoped)


def test_engines_are_counted_by_their_dialects() -> None:
    """Two pools of one dialect are one engine; a dialect that is gone stays counted."""

    class Dialect:
        pass

    ledger, one = Ledger(), Dialect()
    ledger.add_pool(one)
    ledger.add_pool(one)
    ledger.add_pool(Dialect())
    ledger.add_pool(Dialect())
    assert 3 == ledger.engines


@pytest.mark.parametrize(
    ("owner", "due", "with_test"),
    [
        (Owner("test", "t"), True, True),
        (Owner("fixture", "f"), True, True),
        (Owner("fixture", "f", "class"), True, False),
        (Owner("fixture", "f", "session"), True, False),
        (Owner("import", "m", "session"), False, False),
    ],
    ids=str,
)
def test_accounts(owner: Owner, due: bool, with_test: bool) -> None:
    """What an import opened is never due; what is function-scoped, or failed, goes with a test."""
    account = Account(owner)
    assert (due, with_test) == (account.is_due, account.goes_with_test)
    account.failed = True
    assert account.goes_with_test


def test_threads_out(books: Any) -> None:
    """Waiting can help only where another thread that lives holds a lease of these accounts."""
    stop = threading.Event()
    living = threading.Thread(target=stop.wait)
    living.start()
    dead = threading.Thread(target=lambda: None)
    dead.start()
    dead.join()
    try:
        lease = books.lease("mine")
        assert not threads_out([books.account])
        lease.thread = dead.ident
        assert not threads_out([books.account])
        lease.thread = living.ident
        assert threads_out([books.account])
        assert not threads_out([books.ledger.elsewhere])
        books.close(lease)
        assert not threads_out([books.account])
    finally:
        stop.set()
        living.join()


steps = st.lists(
    st.tuples(st.sampled_from(["take", "return", "collect", "close"]), st.integers(0, 3)),
    max_size=30,
)


@given(steps)
def test_leases_are_conserved(steps: list[tuple[str, int]]) -> None:
    """Whatever happens, each lease is out, came back, or is lost, and stands in one account."""
    ledger = Ledger()
    account = ledger.current = Account(Owner("test", "t"))
    from types import SimpleNamespace

    from pytest_sessionguard.accounts import PoolFacts
    from pytest_sessionguard.callsite import Trace

    pool = PoolFacts(ledger, engine="e", kind="k")
    held: dict[int, tuple[Lease, list[Any]]] = {}
    lost: list[Lease] = []
    for action, record in steps:
        if action == "take" and record not in held:
            box: list[Any] = [SimpleNamespace(is_valid=True)]
            lease = Lease(lambda box=box: box[0], Trace(()), account, pool, 1)
            ledger.open_lease(record, lease)
            held[record] = (lease, box)
        elif action != "take" and record in held:
            lease, box = held.pop(record)
            if action == "collect":
                box[0] = None
                lost.append(lease)
            elif action == "close":
                box[0].is_valid = False
            ledger.end_lease(record)
        expected = {id(lease) for lease, _ in held.values()}
        assert expected == {id(lease) for lease in account.open_leases()}
        assert expected == {id(lease) for lease in ledger.all_leases()}
        assert lost == account.lost_leases()
