"""Attributes that were read before they were loaded, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_sessionguard.callsite import Trace

if TYPE_CHECKING:
    from pytest_sessionguard.accounts.sessions import SessionRecord


class Access:
    """One reading of an attribute that was not loaded, while it lasts.

    Attributes:
        model: The name of its object's class.
        key: Its name.
        kind: ``relationship``, ``expired``, or how a column was left out: ``deferred`` by the
            mapping, ``expression`` (a `query_expression`), ``subclass`` (it stands in the table of
            a subclass), ``column`` (by the query).
        trace: Where it was read.
        asked: Whether `AsyncAttrs.awaitable_attrs` was asked for it.
        parent: What tells its object from others.
        batch: What tells the calls that share its session from each other; None where none do.
        origin: Where its object was loaded, if that is known.
        outer: The reading in the middle of which it stands.
        is_sent: Whether a statement was executed for it.
    """

    __slots__ = (
        "asked",
        "batch",
        "is_sent",
        "key",
        "kind",
        "model",
        "origin",
        "outer",
        "parent",
        "trace",
    )

    def __init__(
        self,
        model: str,
        key: str,
        kind: str,
        trace: Trace,
        *,
        asked: bool = False,
        parent: int = 0,
        batch: int | None = None,
        origin: Trace | None = None,
    ) -> None:
        self.model = model
        self.key = key
        self.kind = kind
        self.trace = trace
        self.asked = asked
        self.parent = parent
        self.batch = batch
        self.origin = origin
        self.outer: Access | None = None
        self.is_sent = False

    @property
    def attribute(self) -> str:
        """Return its name with its model's, such as ``Slot.city``."""
        return f"{self.model}.{self.key}"


class Load:
    """What the readings of one attribute at one place have loaded through one session.

    Attributes:
        trace: Where it was read.
        attribute: Its name with its model's.
        kind: As of `Access`.
        asked: Whether `AsyncAttrs.awaitable_attrs` was asked for it.
        session: The session that loaded it, if it is known.
        origin: Where its objects were loaded, if that is known.
        count: How many times it was loaded.
        parents: What tells the objects from each other.
        is_repeated: Whether it was loaded for two objects in one call.
        error: The exception that came instead, by the name of its class.
        told: Whether a finding has told it.
    """

    __slots__ = (
        "_batches",
        "asked",
        "attribute",
        "count",
        "error",
        "is_repeated",
        "kind",
        "origin",
        "parents",
        "session",
        "told",
        "trace",
    )

    def __init__(self, access: Access, session: SessionRecord | None, error: str = "") -> None:
        self.trace = access.trace
        self.attribute = access.attribute
        self.kind = access.kind
        self.asked = access.asked
        self.session = session
        self.origin = access.origin
        self.count = 0
        self.parents: set[int] = set()
        self.is_repeated = False
        self._batches: dict[int | None, int] = {}
        self.error = error
        self.told = False

    def add(self, access: Access) -> None:
        """Count one more reading.

        Args:
            access: The reading.
        """
        self.count += 1
        self.parents.add(access.parent)
        if not self.is_repeated:
            first = self._batches.setdefault(access.batch, access.parent)
            if first != access.parent:
                self.is_repeated, self.origin = True, access.origin


class Fault:
    """A DetachedInstanceError or MissingGreenlet that SQLAlchemy raised.

    Attributes:
        error: The name of its class.
        trace: Where it was raised.
        attribute: What was read, if an attribute was.
        kind: As of `Access`.
        session: The session that had loaded the object.
        origin: Where it had.
        expected: Whether the test said that it expects the exception.
        told: Whether a finding has told it.
    """

    attribute: str = ""
    kind: str = ""
    session: SessionRecord | None = None
    origin: Trace | None = None
    expected: bool = False
    told: bool = False

    def __init__(self, error: str, trace: Trace) -> None:
        self.error = error
        self.trace = trace

    def __reduce__(self) -> Any:
        """Go with a pickled exception without the code objects, which cannot be pickled."""
        return Fault, (self.error, Trace(()))
