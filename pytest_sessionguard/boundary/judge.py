"""The verdict at a service's return: what it left open, and whether its result outlives that."""

from __future__ import annotations

from typing import Any

from pytest_sessionguard.accounts import Breach, Scope, SessionRecord

# In place of a result that is not judged: there is none, or it may be used up by looking.
NOTHING: Any = object()

_LINES = 2


def judge(scope: Scope, result: Any) -> bool:
    """Enter in the accounts what is wrong at the end of a call.

    Args:
        scope: The call, with what it opened.
        result: What it returned, or `NOTHING`.

    Returns:
        Whether anything is wrong.
    """
    handed = _find_handed(result)
    wrong = _judge_leases(scope, handed)
    wrong |= _judge_sessions(scope, handed)
    if result is not NOTHING and scope.sessions and scope.account.is_due:
        wrong |= _judge_result(scope, result, handed)
    return wrong


def _find_handed(result: Any) -> list[Any]:
    """Find the sessions and connections that are themselves the result: a factory's are no leak."""
    from pytest_sessionguard.watch.handles import open_handle

    if result is NOTHING or result is None:
        return []
    parts = [result, *result] if type(result) in (tuple, list) else [result]
    return [handle for handle in map(open_handle, parts) if handle is not None]


def _judge_leases(scope: Scope, handed: list[Any]) -> bool:
    wrong = False
    for lease, runner in scope.leases:
        if lease.scope is not scope or lease.told:
            continue
        if not lease.is_out:
            lost = any(lease is other for other in lease.account.lost)
            lease.is_escaped = lost
            wrong |= lost
            continue
        proxy, session = lease.proxy(), lease.session
        is_handed = any(handle is proxy for handle in handed)
        is_handed = is_handed or (session is not None and _is_handed(session, handed))
        if lease.account.is_due and scope.is_done(runner) and not is_handed:
            lease.is_escaped = wrong = True
            lease.account.escaped.append(lease)
    return wrong


def _judge_sessions(scope: Scope, handed: list[Any]) -> bool:
    wrong = False
    for record, runner in scope.sessions:
        in_use = record in record.account.sessions and not record.is_idle
        if in_use and not record.told and scope.is_done(runner) and not _is_handed(record, handed):
            record.is_escaped = wrong = True
            record.account.escaped.append(record)
    return wrong


def _is_handed(record: SessionRecord, handed: list[Any]) -> bool:
    session = record.session()
    return session is not None and any(handle is session for handle in handed)


def _judge_result(scope: Scope, result: Any, handed: list[Any]) -> bool:
    """Judge the instances in a result whose sessions the call itself had opened."""
    from pytest_sessionguard.instances import Kind, find_troubles

    try:
        troubles = find_troubles(result, deferred=False)
    except TypeError:  # an iterator, a coroutine or an open `Result`, which a look would use up
        return False
    unloaded = (Kind.EXPIRED, Kind.UNLOADED)
    groups: dict[bool, list[Any]] = {}
    records: dict[bool, list[SessionRecord]] = {}
    for trouble in troubles:
        record = _find_record(scope, trouble.instance)
        if record is not None and record.scope is scope and not _is_handed(record, handed):
            is_attached = trouble.kind not in unloaded
            groups.setdefault(is_attached, []).append(trouble)
            records.setdefault(is_attached, []).append(record)
    for is_attached, found in groups.items():
        breach = _tell(scope, found, records[is_attached], is_attached=is_attached)
        scope.account.breaches.append(breach)
    return bool(groups)


def _find_record(scope: Scope, instance: Any) -> SessionRecord | None:
    from pytest_sessionguard.watch.handles import find_keeper

    record, key = find_keeper(instance)
    if record is None and key is not None:
        return next((other for other, _ in scope.sessions if other.key == key), None)
    return record


def _tell(
    scope: Scope, troubles: list[Any], records: list[SessionRecord], *, is_attached: bool
) -> Breach:
    """Write down what is to be told, for the instances themselves are not kept."""
    from pytest_sessionguard.instances.wording import group_troubles, tell_consequence, tell_mends

    groups = group_troubles(troubles)
    left = sum(len(group.troubles) for group in groups[_LINES:])
    return Breach(
        scope,
        is_attached=is_attached,
        models=tuple(dict.fromkeys(trouble.model for trouble in troubles)),
        count=len({id(trouble.instance) for trouble in troubles}),
        kind=troubles[0].kind.value,
        lines=(*map(str, groups[:_LINES]), *([f"and {left} more"] if left else [])),
        consequence=tell_consequence(troubles[0]),
        mend=tell_mends(troubles[:1])[0],
        records=tuple(dict.fromkeys(records)),
    )
