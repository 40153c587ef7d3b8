"""What one owner opened, and when: leases and sessions as bars, statements and loads as ticks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from pytest_sessionguard.accounts import Account, Lease, SessionRecord
from pytest_sessionguard.callsite import Trace

# Of each kind, in one test: what comes later is counted only.
CAPS = {"leases": 200, "sessions": 200, "statements": 200, "loads": 100}

# A call site as it travels: path, line and function of each frame.
Site = list[list[Any]]
Locate = Callable[[Trace | None], Site]


class LeaseBar:
    """A lease over time.

    Attributes:
        lease: The lease, while it is out.
        number: What names it in this process.
        gauge: The number of its engine.
        begin: When it was taken.
        end: When it ended; None while it is out.
        fate: How: ``returned``, ``collected``, ``detached`` or ``invalidated``.
        session: The number of the session that took it.
        story: Whose it is; None where its story is full.
    """

    __slots__ = (
        "begin",
        "end",
        "fate",
        "gauge",
        "lease",
        "number",
        "session",
        "story",
        "trace",
    )

    def __init__(self, lease: Lease, number: int, gauge: int, begin: float) -> None:
        self.lease: Lease | None = lease
        self.trace = lease.trace
        self.number = number
        self.gauge = gauge
        self.begin = begin
        self.end: float | None = None
        self.fate = ""
        self.session: int | None = None
        self.story: Story | None = None

    def to_json(self, locate: Locate) -> dict[str, Any]:
        """Return the bar as plain JSON types."""
        return {
            "id": self.number,
            "engine": self.gauge,
            "begin": self.begin,
            "end": self.end,
            "fate": self.fate or "out",
            "site": locate(self.trace),
            "session": self.session,
        }


class SessionBar:
    """A session over time.

    Attributes:
        record: The session's record, while it is open.
        number: What names it in this process.
        begin: When it was made; None where it is older than the watching.
        end: When it was closed last; None while it is open.
        fate: How: ``closed``, or ``dropped`` where nobody holds it any more.
        again: When it silently began again after its block, and where.
        story: Whose it is; None where its story is full.
    """

    __slots__ = ("again", "begin", "end", "ended", "fate", "number", "record", "story")

    def __init__(self, record: SessionRecord, number: int, begin: float | None) -> None:
        self.record = record
        self.number = number
        self.begin = begin
        self.end: float | None = None
        self.ended: Trace | None = None
        self.fate = ""
        self.again: tuple[float, Trace] | None = None
        self.story: Story | None = None

    def to_json(self, locate: Locate) -> dict[str, Any]:
        """Return the bar as plain JSON types."""
        again = self.again
        return {
            "id": self.number,
            "kind": self.record.kind,
            "begin": self.begin,
            "end": self.end,
            "fate": self.fate or "open",
            "site": locate(self.record.trace),
            "closed_at": locate(self.ended),
            "again": None if again is None else {"at": again[0], "site": locate(again[1])},
        }


class Statement:
    """A statement, or many at once; its parameters are never kept."""

    __slots__ = ("begin", "lease", "sql", "took")

    def __init__(self, begin: float, sql: str, lease: int | None) -> None:
        self.begin = begin
        self.took: float | None = None
        self.sql = sql
        self.lease = lease

    def to_json(self) -> dict[str, Any]:
        """Return the statement as plain JSON types; one that never ended took no time."""
        return {"begin": self.begin, "took": self.took, "sql": self.sql, "lease": self.lease}


class LoadTick:
    """An attribute that loaded itself."""

    __slots__ = ("at", "attribute", "kind", "trace")

    def __init__(self, at: float, attribute: str, kind: str, trace: Trace | None) -> None:
        self.at = at
        self.attribute = attribute
        self.kind = kind
        self.trace = trace

    def to_json(self, locate: Locate) -> dict[str, Any]:
        """Return the load as plain JSON types."""
        return {
            "at": self.at,
            "attribute": self.attribute,
            "kind": self.kind,
            "site": locate(self.trace),
        }


class Story:
    """What one owner opened, and when.

    Attributes:
        account: The owner's account.
        begin: When the owner began.
        end: When it was due.
        is_judged: Whether its rules were asked: not those of a failed test.
        is_news: Whether something of it was not packed yet.
    """

    def __init__(self, account: Account, number: int, begin: float) -> None:
        self.account = account
        self.number = number
        self.begin = begin
        self.end: float | None = None
        self.is_judged = True
        self.is_news = False
        self._counts: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        self._bars: dict[str, dict[int, Any]] = {"leases": {}, "sessions": {}}
        self._statements: list[Statement] = []
        self._loads: list[LoadTick] = []

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing was ever seen of it."""
        return not self._counts

    def admit(self, kind: str) -> bool:
        """Count one thing more.

        Args:
            kind: As in `CAPS`.

        Returns:
            Whether it is to be kept.
        """
        self._counts[kind] += 1
        self.is_news = True
        if self._counts[kind] > CAPS[kind]:
            self._left_out[kind] += 1
            return False
        return True

    def add_bar(self, kind: str, bar: LeaseBar | SessionBar) -> None:
        """Take a bar, or tell that it has changed.

        Args:
            kind: ``leases`` or ``sessions``.
            bar: The bar.
        """
        self._bars[kind][bar.number] = bar
        self.is_news = True

    def give_up(self, bar: LeaseBar) -> None:
        """Let another story have a bar, as if it had never been here.

        Args:
            bar: A lease that a session of another owner has taken.
        """
        if self._bars["leases"].pop(bar.number, None) is not None:
            self._counts["leases"] -= 1
            self._counts += Counter()  # forgets what is zero

    def add_statement(self, statement: Statement) -> None:
        """Take a statement that `admit` has let in."""
        self._statements.append(statement)

    def add_load(self, load: LoadTick) -> None:
        """Take a load that `admit` has let in."""
        self._loads.append(load)

    def take(self, locate: Locate) -> dict[str, Any]:
        """Put what is new into plain JSON types, and forget it.

        Args:
            locate: Turns a trace into a call site.

        Returns:
            A piece of the story; a bar with a number that came before replaces that.
        """
        owner = self.account.owner
        self.is_news = False
        bars, self._bars = self._bars, {"leases": {}, "sessions": {}}
        statements, self._statements = self._statements, []
        loads, self._loads = self._loads, []
        return {
            "id": self.number,
            "kind": owner.kind,
            "name": owner.name,
            "scope": owner.scope,
            "nodeid": owner.nodeid,
            "begin": self.begin,
            "end": self.end,
            "judged": self.is_judged,
            **{kind: [b.to_json(locate) for b in list(bars[kind].values())] for kind in bars},
            "statements": [statement.to_json() for statement in statements],
            "loads": [load.to_json(locate) for load in loads],
            "left_out": dict(self._left_out),
        }
