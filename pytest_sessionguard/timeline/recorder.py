"""What a process records of its run, and hands out test by test."""

from __future__ import annotations

from typing import Any

from pytest_sessionguard.accounts import Access, Account, Lease, SessionRecord
from pytest_sessionguard.callsite import Trace, render
from pytest_sessionguard.clock import Clock
from pytest_sessionguard.timeline.gauges import Gauges
from pytest_sessionguard.timeline.story import (
    LeaseBar,
    LoadTick,
    SessionBar,
    Site,
    Statement,
    Story,
)
from pytest_sessionguard.timeline.values import remove_values

# Stories of owners that are over are kept for what still comes: an old test's session may begin
# again in a later one.
_REMEMBERED = 200
# How many bars may be open before those are looked for that ended without a word.
_SWEEP = 256
_SITES = 4_096
_SHARING = frozenset({"StaticPool", "SingletonThreadPool"})


class Recorder:
    """What a process records of its run.

    Times are in milliseconds since the recorder was made, by a clock that never goes back. Threads
    of a test write here at once; what is iterated is copied first.

    Args:
        root: The folder to which paths are relative.
        process: What names the process among those of the run.
    """

    def __init__(self, root: str, process: str = "main") -> None:
        self._root = root
        self._process = process
        self._began = Clock.time()
        self._zero = Clock.perf_counter()
        self._gauges = Gauges()
        self._stories: dict[int, Story] = {}
        self._leases: dict[int, LeaseBar] = {}
        self._sessions: dict[int, SessionBar] = {}
        self._sites: dict[Any, tuple[Trace, Site]] = {}
        self._number = 0
        self._quiet = 0
        # The tests whose own fixtures have opened something.
        self._busy: set[str] = set()
        self._sweep_at = _SWEEP

    def begin(self, account: Account) -> None:
        """Enter that an owner's time begins.

        Args:
            account: Its account.
        """
        self._story_of(account)

    def finish(self, account: Account, *, judged: bool) -> None:
        """Enter that an owner's things are due.

        Args:
            account: Its account.
            judged: Whether its rules are asked.
        """
        story = self._story_of(account)
        for bar in list(self._leases.values()):
            if bar.story is story:
                self._end_if_over(bar)
        for held in list(self._sessions.values()):
            if held.story is story:
                self._drop_if_gone(held)
        story.end, story.is_judged = self._now(), judged
        owner = account.owner
        if owner.kind == "test":
            self._quiet += story.is_empty and owner.nodeid not in self._busy
            self._busy.clear()
        elif owner.is_test_bound and not story.is_empty:
            self._busy.add(owner.nodeid)

    def open_lease(self, lease: Lease) -> None:
        """Enter a checkout.

        Args:
            lease: The lease, in its account.
        """
        if lease.pool.kind in _SHARING:
            self._end_shared(lease)
        gauge, engine = self._gauges.find(lease.pool)
        now = self._now()
        bar = self._leases[id(lease)] = LeaseBar(lease, self._next(), gauge.number, now)
        gauge.move(now, engine, 1)
        self._place(bar, lease.account)

    def end_lease(self, lease: Lease) -> None:
        """Enter that a connection came back, or left its pool for good.

        Args:
            lease: The lease.
        """
        bar = self._leases.get(id(lease))
        if bar is not None and lease.pool.kind in _SHARING:
            shared = [
                one
                for one in list(self._leases.values())
                if one.lease is not None and one.lease.pool is lease.pool
            ]
            if len(shared) > 1:
                self._end_shared(lease)
                return
        if bar is not None:
            # Whoever closes a proxy holds it: where it is gone, the garbage collector returned it.
            self._end(bar, "collected" if lease.proxy() is None else bar.fate)

    def mark_lease(self, lease: Lease, fate: str) -> None:
        """Enter how a lease that is about to end does so.

        Args:
            lease: The lease.
            fate: ``detached`` or ``invalidated``.
        """
        bar = self._leases.get(id(lease))
        if bar is not None:
            bar.fate = fate

    def use_session(self, record: SessionRecord, lease: Lease) -> None:
        """Enter that a session took a lease, which is its owner's.

        Args:
            record: The session.
            lease: The lease, in the account of the session.
        """
        bar, session = self._leases.get(id(lease)), self._sessions.get(id(record))
        if session is None:
            session = self._enter_session(record, None if record.trace is None else self._now())
        if bar is None:
            return
        bar.session = session.number
        story = self._story_of(lease.account)
        if bar.story is not None and bar.story is not story:
            bar.story.give_up(bar)
            self._place(bar, lease.account)
        elif bar.story is story:
            story.add_bar("leases", bar)

    def open_session(self, record: SessionRecord) -> None:
        """Enter a new session.

        Args:
            record: Its record.
        """
        self._enter_session(record, self._now())

    def begin_again(self, record: SessionRecord, trace: Trace) -> None:
        """Enter that a closed session silently began again.

        Args:
            record: The session.
            trace: Where.
        """
        bar = self._sessions.get(id(record)) or self._enter_session(record, None)
        if record.in_block:
            bar.again = (self._now(), trace)
        bar.end, bar.fate = None, ""
        self._tell(bar)

    def close_session(self, record: SessionRecord, trace: Trace | None) -> None:
        """Enter that a session was closed.

        Args:
            record: The session.
            trace: Where.
        """
        bar = self._sessions.get(id(record))
        if bar is None:
            return
        bar.end, bar.ended, bar.fate = self._now(), trace, "closed"
        self._tell(bar)

    def add_load(self, account: Account, access: Access) -> None:
        """Enter that reading an attribute has loaded it.

        Args:
            account: Who read it.
            access: The reading.
        """
        story = self._story_of(account)
        if story.admit("loads"):
            load = LoadTick(self._now(), access.attribute, access.kind, access.trace)
            story.add_load(load)

    def begin_statement(
        self, account: Account, lease: Lease | None, sql: str, dialect: str
    ) -> Statement | None:
        """Enter that a statement goes to the server.

        Args:
            account: Whose time it is.
            lease: The connection on which it goes, where that is known.
            sql: Its text; no value in it is kept.
            dialect: The name of SQLAlchemy's dialect.

        Returns:
            What `end_statement` takes; None where the test has had too many.
        """
        story = self._story_of(account)
        if not story.admit("statements"):
            return None
        bar = self._leases.get(id(lease)) if lease is not None else None
        number = bar.number if bar is not None else None
        statement = Statement(0.0, remove_values(sql, dialect), number)
        story.add_statement(statement)
        statement.begin = self._now()
        return statement

    def end_statement(self, statement: Statement) -> None:
        """Enter that the server has answered.

        Args:
            statement: What `begin_statement` returned.
        """
        statement.took = round(self._now() - statement.begin, 2)

    def take(self) -> dict[str, Any]:
        """Put what is new into plain JSON types, and forget it.

        Returns:
            What `Timeline.add` takes, in whatever process.
        """
        if len(self._leases) + len(self._sessions) > self._sweep_at:
            self._sweep()
        news = [story for story in list(self._stories.values()) if story.is_news]
        stories = [story.take(self._locate) for story in news]
        quiet, self._quiet = self._quiet, 0
        self._forget()
        return {
            "process": self._process,
            "began": self._began,
            "engines": self._gauges.take(),
            "stories": stories,
            "quiet": quiet,
        }

    def _now(self) -> float:
        return round((Clock.perf_counter() - self._zero) * 1000, 2)

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _story_of(self, account: Account) -> Story:
        story = self._stories.get(id(account))
        if story is None or story.account is not account:
            story = self._stories[id(account)] = Story(account, self._next(), self._now())
        return story

    def _place(self, bar: LeaseBar, account: Account) -> None:
        """Put a lease into its owner's story, if that is not full."""
        story = self._story_of(account)
        bar.story = story if story.admit("leases") else None
        if bar.story is not None:
            story.add_bar("leases", bar)

    def _enter_session(self, record: SessionRecord, begin: float | None) -> SessionBar:
        bar = self._sessions[id(record)] = SessionBar(record, self._next(), begin)
        story = self._story_of(record.account)
        bar.story = story if story.admit("sessions") else None
        self._tell(bar)
        return bar

    @staticmethod
    def _tell(bar: SessionBar) -> None:
        if bar.story is not None:
            bar.story.add_bar("sessions", bar)

    def _end(self, bar: LeaseBar, fate: str = "") -> None:
        lease = bar.lease
        assert lease is not None
        self._leases.pop(id(lease), None)
        bar.end, bar.fate = self._now(), fate or "returned"
        gauge, engine = self._gauges.find(lease.pool)
        gauge.move(bar.end, engine, -1)
        bar.lease = None
        if bar.story is not None:
            bar.story.add_bar("leases", bar)

    def _end_if_over(self, bar: LeaseBar) -> None:
        if bar.lease is not None and not bar.lease.is_out:
            self._end(bar)

    def _end_shared(self, lease: Lease) -> None:
        """End what is over of leases that share a connection: their pool tells of one only."""
        for bar in list(self._leases.values()):
            if bar.lease is not None and bar.lease.pool is lease.pool:
                self._end_if_over(bar)

    def _drop_if_gone(self, bar: SessionBar) -> None:
        if bar.record.session() is None:
            self._sessions.pop(id(bar.record), None)
            if bar.end is None:
                bar.end, bar.fate = self._now(), "dropped"
                self._tell(bar)

    def _sweep(self) -> None:
        """Let go of what ended without a word, where much is open."""
        for bar in list(self._leases.values()):
            self._end_if_over(bar)
        for held in list(self._sessions.values()):
            self._drop_if_gone(held)
        self._sweep_at = max(_SWEEP, 2 * (len(self._leases) + len(self._sessions)))

    def _forget(self) -> None:
        """Forget old stories that are over and have nothing open."""
        if len(self._stories) <= _REMEMBERED:
            return
        bars: list[LeaseBar | SessionBar] = [*self._leases.values(), *self._sessions.values()]
        held = {id(bar.story) for bar in bars}
        stories = list(self._stories.items())
        over = [key for key, s in stories if s.end is not None and id(s) not in held]
        for key in over[: len(self._stories) - _REMEMBERED]:
            del self._stories[key]

    def _locate(self, trace: Trace | None) -> Site:
        """Turn a trace into a call site; reading line numbers is dear, and places come again."""
        if trace is None:
            return []
        key = (*map(id, trace.marks[::2]), *trace.marks[1::2])
        known = self._sites.get(key)
        if known is None:
            frames = render(trace, self._root).frames
            known = trace, [[frame.path, frame.line, frame.function] for frame in frames]
            if len(self._sites) < _SITES:
                self._sites[key] = known
        return known[1]
