"""The assertions that a result outlives its session, and that what is read of it is loaded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_sessionguard.guard import active_guard
from pytest_sessionguard.model import Place
from pytest_sessionguard.rules.base import tell_opening

if TYPE_CHECKING:
    from pytest_sessionguard.instances import Demand, Trouble

_T = TypeVar("_T")

_INDENT = "  "
_LABEL = 14


class AttachedResultError(AssertionError):
    """An instance of a result still belongs to a session.

    Attributes:
        troubles: All that is wrong with the result, of this kind or another.
    """

    def __init__(self, message: str, troubles: Iterable[Trouble]) -> None:
        super().__init__(message)
        self.troubles = list(troubles)

    def __reduce__(self) -> Any:
        """Go from one process to another with its troubles."""
        return type(self), (str(self), self.troubles)


class UnloadedResultError(AssertionError):
    """An instance of a result has attributes that are not loaded.

    Attributes:
        troubles: All that is wrong with the result.
    """

    def __init__(self, message: str, troubles: Iterable[Trouble]) -> None:
        super().__init__(message)
        self.troubles = list(troubles)

    def __reduce__(self) -> Any:
        """Go from one process to another with its troubles."""
        return type(self), (str(self), self.troubles)


def assert_detached(result: _T, *, loaded: Demand = None, ignore: Demand = None) -> _T:
    """Check that a result outlives its session.

    Every ORM instance in it, however deep, must have left its session with all its columns loaded:
    "Quickie Intro to Object States" calls it detached; one that was never in a session is fine.
    Nothing is loaded, and no code of the result's classes runs.

    Args:
        result: What the code under test has returned: instances, containers, data classes,
            pydantic models, rows, plain objects.
        loaded: Relationships that must be loaded too, by name (`"city"`, `"recruiter.city"`) or as
            ORM attributes (`Slot.city`); several in a tuple.
        ignore: Columns that may stay unloaded, such as those that are deferred on purpose.

    Returns:
        The result itself.

    Raises:
        AttachedResultError: An instance belongs to a session.
        UnloadedResultError: A detached instance has attributes that are not loaded.
        TypeError: The result holds an iterator, a coroutine or an open `Result`, which to look
            into would use up.
        ValueError: `loaded` or `ignore` names what no instance has.

    Example:
        >>> def test_slots(service):
        ...     slots = assert_detached(service.get_slots(), loaded=("city", "recruiter.city"))
        ...     assert slots[0].city.name == "Berlin"
    """
    __tracebackhide__ = True
    from pytest_sessionguard.instances import find_troubles

    troubles = find_troubles(result, loaded=loaded, ignore=ignore)
    if not troubles:
        return result
    bound = [trouble for trouble in troubles if trouble.kind in _BOUND]
    if bound:
        count = _count(bound, "instance of the result still belongs", "instances still belong")
        rest = [trouble for trouble in troubles if trouble.kind not in _BOUND]
        message = _tell(f"SG301 attached-result: {count} to a session", [*bound, *rest])
        raise AttachedResultError(message, troubles)
    raise _refuse_unloaded(troubles, _tell_way_out(troubles))


def assert_loaded(obj: _T, *attributes: Any) -> _T:
    """Check that attributes of an instance are loaded, be it attached or detached.

    Args:
        obj: An instance, or a collection of instances.
        attributes: Columns and relationships, by name (`"city"`, `"recruiter.city"`) or as ORM
            attributes (`Slot.city`). Without any, all columns.

    Returns:
        The object itself.

    Raises:
        UnloadedResultError: An attribute is not loaded.
        TypeError: The object is an iterator, a coroutine or an open `Result`.
        ValueError: An attribute is one that no instance has, or that is never loaded.

    Example:
        >>> def test_eager(session):
        ...     slot = assert_loaded(load_slot(session), "city", Slot.recruiter)
    """
    __tracebackhide__ = True
    from pytest_sessionguard.instances import find_unloaded

    troubles = find_unloaded(obj, attributes or None)
    if troubles:
        raise _refuse_unloaded(troubles)
    return obj


# The kinds of trouble, as they compare, of an instance that belongs to a session.
_BOUND = ("attached", "pending", "deleted")


def _refuse_unloaded(troubles: list[Trouble], *ends: str) -> UnloadedResultError:
    count = _count(troubles, "instance has", "instances have")
    title = f"SG302 unloaded-result: {count} attributes that are not loaded"
    return UnloadedResultError(_tell(title, troubles, *ends), troubles)


def _count(troubles: list[Trouble], one: str, many: str) -> str:
    count = len({id(trouble.instance) for trouble in troubles})
    return f"1 {one}" if count == 1 else f"{count} {many}"


def _tell(title: str, troubles: list[Trouble], *ends: str) -> str:
    """Write a message of at most 14 lines about troubles, the worst of which come first."""
    from pytest_sessionguard.instances.wording import group_troubles, tell_consequence, tell_mends

    groups = group_troubles(troubles)
    left = sum(len(group.troubles) for group in groups[3:])
    found = [str(group) for group in groups[:3]] + ([f"and {left} more"] if left else [])
    lines = [_tell_line("" if number else "found at", line) for number, line in enumerate(found)]
    lines += [_tell_place(place) for place in _tell_session(troubles[0].instance)]
    mends = tell_mends([group.first for group in groups[:3]])
    ends = (tell_consequence(troubles[0]), *(f"Fix: {mend}" for mend in mends), *filter(None, ends))
    return "\n".join([title, "", *lines, "", *(f"{_INDENT}{end}" for end in ends)])


def _tell_way_out(troubles: list[Trouble]) -> str:
    left_out = [trouble for trouble in troubles if trouble.kind == "unloaded"]
    names = list(dict.fromkeys(name for trouble in left_out for name in trouble.attributes))
    if not names:
        return ""
    more = ", ..." if len(names) > 4 else ""
    value = repr(names[0]) if len(names) == 1 else f"({', '.join(map(repr, names[:4]))}{more})"
    return f"Accept: assert_detached(..., ignore={value}) where this is on purpose."


def _tell_line(label: str, text: str) -> str:
    return f"{_INDENT}{label:<{_LABEL}}{text}"


def _tell_place(place: Place) -> str:
    head = str(place.site) if place.site.frames else "a place without a frame of yours"
    return _tell_line(place.label, place.text.replace("{}", head))


def _tell_session(instance: object) -> tuple[Place, ...]:
    """Say where the session of an instance was opened and, if so, closed.

    Args:
        instance: The first instance that is in trouble.

    Returns:
        The places; none where nobody was watching.
    """
    from pytest_sessionguard.watch.provenance import find_record_of

    guard = active_guard()
    if guard is None:
        return ()
    return tuple(tell_opening(find_record_of(instance, guard.ledger), guard.render))
