"""What a rule is, and what its judge says."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pytest_sessionguard.accounts import (
    Account,
    Breach,
    Crossing,
    Dropped,
    EngineRecord,
    Fault,
    Handover,
    Lease,
    Load,
    Nesting,
    Overlap,
    PoolFacts,
    SessionRecord,
    Suspect,
)
from pytest_sessionguard.callsite import Trace, find_block_end
from pytest_sessionguard.files import USER, kind_of
from pytest_sessionguard.model import CallSite, Fact, Place, Severity

Render = Callable[[Trace | None], CallSite]
Thing = (
    Lease
    | SessionRecord
    | Crossing
    | Load
    | Fault
    | Breach
    | Nesting
    | Overlap
    | Dropped
    | EngineRecord
    | Handover
    | Suspect
)
_T = TypeVar("_T", bound=Thing)


@dataclass(frozen=True)
class Verdict:
    """One place where a rule is broken.

    Attributes:
        places: Where things happened; the first is what the finding is about.
        facts: What the wording needs beside the places.
        things: What the finding tells, so that no other finding tells it again.
        severity: What it does where no setting says so, if that is not the rule's default.
    """

    places: tuple[Place, ...]
    facts: Mapping[str, Fact]
    things: tuple[Thing, ...]
    severity: Severity | None = None


@dataclass(frozen=True)
class Rule:
    """One fault that the guard knows.

    Attributes:
        code: Its code, never given to another rule.
        name: Its kebab-case name: the bad pattern.
        severity: What a finding does where no setting says otherwise.
        judge: Finds where an account breaks it.
        text: Its explanation, under fixed headings.
        covers: Whether what it would tell, were it not off, comes back under no other rule's name.
        seen_off: Whether what breaks it is seen even where it is off; only then can one say that
            nothing would have to be ignored.
    """

    code: str
    name: str
    severity: Severity
    judge: Callable[[Account, Render], list[Verdict]]
    text: str = field(repr=False, default="")
    covers: bool = True
    seen_off: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", inspect.cleandoc(self.text))


def group_by_place(
    things: Iterable[_T], find_place: Callable[[_T], Trace | None] = lambda thing: thing.trace
) -> list[list[_T]]:
    """Put things that were opened at the same place together.

    Args:
        things: What is to be told.
        find_place: Finds the place that counts.

    Returns:
        The groups, in the order of their first things.
    """
    groups: dict[Any, list[_T]] = {}
    for thing in things:
        place = find_place(thing)
        groups.setdefault(place.marks if place else None, []).append(thing)
    return list(groups.values())


def find_reading(reading: Load | Fault) -> Trace:
    """Find the place that the reading of an attribute is about.

    Args:
        reading: What is to be told.

    Returns:
        Where it was read; where only another package's code stands there, as with the response
        model of a route, where its object was loaded.
    """
    if reading.origin is None or not reading.origin.marks:
        return reading.trace
    marks = reading.trace.marks
    return reading.trace if marks and kind_of(marks[0]) == USER else reading.origin


def tell_reading(label: str, reading: Load | Fault, render: Render) -> list[Place]:
    """Return where an attribute was read and where its object was loaded, the telling one first.

    Args:
        label: What is said of the reading.
        reading: What is to be told.
        render: Turns a trace into a call site.

    Returns:
        One place, or two.
    """
    places = [Place(label, render(reading.trace))]
    if reading.origin is not None:
        places.append(Place("loaded at", render(reading.origin)))
    return places if find_reading(reading) is reading.trace else places[::-1]


def state_pool(pool: PoolFacts) -> dict[str, Fact]:
    """Return what a message says of a pool.

    Args:
        pool: The pool of the lease.

    Returns:
        Plain facts.
    """
    return {
        "engine": pool.engine,
        "pool": pool.kind,
        "pool_size": pool.size,
        "max_overflow": pool.overflow,
        "pool_timeout": None if pool.timeout is None else round(pool.timeout),
    }


def tell_session(
    record: SessionRecord | None, render: Render, *, holder: str = ""
) -> tuple[Place, ...]:
    """Return the places of a session's life.

    Args:
        record: The session that held a connection, if one did.
        render: Turns a trace into a call site.
        holder: The task or thread that has not come to close it, in words.

    Returns:
        Where it was opened and, if so, closed and begun again.
    """
    if record is None:
        return ()
    fate = f", by {holder}" if holder else ""
    if record.ended is None and not holder:
        fate = ", never closed"
    places = [Place("held by", render(record.trace), f"{record.kind} opened at {{}}{fate}")]
    if record.ended is not None and record.reopened is not None:
        places.append(Place("closed", render(record.ended)))
        places.append(Place("began again", render(record.reopened)))
    return tuple(places)


def tell_opening(record: SessionRecord | None, render: Render) -> list[Place]:
    """Return where the session of an object was opened and, if so, closed.

    Args:
        record: The session, if it is known.
        render: Turns a trace into a call site.

    Returns:
        The places.
    """
    if record is None or record.trace is None:
        return []
    places = [Place("session", render(record.trace), f"{record.kind} opened at {{}}")]
    ended, in_block = record.detached or (record.ended, record.in_block)
    if ended is not None:
        site = render(ended)
        # Without frames nobody reads it, and the source need not be parsed.
        end = find_block_end(ended) if in_block and site.frames else None
        where = f"the block of {{}}, which ends at line {end}" if end else "{}"
        places.append(Place("closed", site, where))
    return places


def tell_boundary(
    thing: Lease | SessionRecord, render: Render
) -> tuple[tuple[Place, ...], dict[str, Fact]]:
    """Return what is to be said of the service call that left a thing open.

    Args:
        thing: A lease or a session.
        render: Turns a trace into a call site.

    Returns:
        Where the call ended, and plain facts; nothing of a thing that was open to the very end.
    """
    scope = thing.scope
    if scope is None or not thing.is_escaped:
        return (), {}
    place = Place(f"{scope.ending.split()[-1]} at", render(scope.trace))
    return (place,), {"boundary": scope.function, "ending": scope.ending}


def tell_leases(leases: list[Lease], render: Render) -> Verdict:
    """Return the verdict on leases that were taken at one place.

    Args:
        leases: Leases of one call site.
        render: Turns a trace into a call site.

    Returns:
        What SG101 and SG102 say alike.
    """
    first = leases[0]
    holders = [lease.session for lease in leases if lease.session is not None]
    facts: dict[str, Fact] = {
        "count": len(leases),
        "holder": holders[0].kind if holders else "Connection",
        **state_pool(first.pool),
    }
    holder = ""
    if all(lease.is_abandoned for lease in leases):
        facts["abandoned"], holder = True, "a task that never ended"
    else:
        kind, *others = {lease.find_holder() for lease in leases}
        if kind and not others:
            facts["held_by"], holder = kind, f"a {kind} that is still at work"
    if holders and all(record.reopened is not None for record in holders):
        facts["again"] = True
    ends, boundary = tell_boundary(first, render)
    sessions = tell_session(first.session, render, holder=holder)
    places = (Place("checked out", render(first.trace)), *sessions, *ends)
    return Verdict(places, {**facts, **boundary}, (*leases, *holders))
