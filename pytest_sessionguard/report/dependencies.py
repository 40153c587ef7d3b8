"""The words about a dependency that does not end as it should."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_sessionguard.dependencies import Failure, Way
from pytest_sessionguard.model import CallSite

_INDENT = "  "
_LABEL = 14
_ALWAYS = "Each request leaves a session open; its connection comes back when the collector does."
_AT_TIMES = "Each request that fails or is cancelled loses a connection, until the pool is dry."
_COMMITTED = "A request that failed half-way keeps what it had written until then."
_SWALLOWED = "FastAPI answers with an error of its own then, and a cancelled task goes on."


def tell_failures(
    name: str, failures: Sequence[Failure], *, holder: str, opened: CallSite, ways: Sequence[Way]
) -> str:
    """Write what is wrong with a dependency.

    Args:
        name: The dependency.
        failures: The ways in which it failed, at least one.
        holder: The kind of its session.
        opened: Where that was made.
        ways: The ways in which it was driven.

    Returns:
        At most 14 lines.
    """
    found = [f"{failure.way.value}: {_tell_left(failure)}" for failure in failures]
    lines = [_tell_line("" if number else "failed", line) for number, line in enumerate(found)]
    site = opened.frames[0] if opened.frames else "a place without a frame of yours"
    lines.append(_tell_line("opened", f"{holder} at {site}"))
    consequence, mend, code = _choose_mend(failures, holder, yields=len(ways) > 1)
    ends = [consequence, f"Fix: {mend}", *(f"  {line}" for line in code)]
    title = f"{name}() {_tell_title(failures, holder, len(ways))}"
    return "\n".join([title, "", *lines, "", *(f"{_INDENT}{end}" for end in ends)])


def _tell_title(failures: Sequence[Failure], holder: str, count: int) -> str:
    if any(failure.holder for failure in failures):
        return f"does not close its {holder} {_list_ways((f for f in failures if f.holder), count)}"
    if any(failure.connections for failure in failures):
        kept = (f for f in failures if f.connections)
        return f"does not return its connection {_list_ways(kept, count)}"
    if any(failure.committed for failure in failures):
        return "commits what was not finished"
    return f"swallows the {' and the '.join(f.swallowed for f in failures)} of its request"


def _list_ways(failures: Iterable[Failure], count: int) -> str:
    ways = [failure.way.value for failure in failures]
    return ways[0] if len(ways) == 1 else f"in {len(ways)} ways of {count}"


def _tell_left(failure: Failure) -> str:
    count = failure.connections
    left = [f"{failure.holder} still open"] if failure.holder else []
    if count:
        left.append(
            "connection not returned" if count == 1 else f"{count} connections not returned"
        )
    if failure.committed:
        left.append("transaction committed in spite of it")
    if failure.swallowed:
        left.append(f"{failure.swallowed} swallowed")
    return ", ".join(left)


def _choose_mend(
    failures: Sequence[Failure], holder: str, *, yields: bool
) -> tuple[str, str, tuple[str, ...]]:
    """Choose what the worst of the failures leads to, and how to mend it."""
    is_async = "sync" in holder.partition("_")[0].lower()
    block = "async with async_session() as session:" if is_async else "with Session() as session:"
    close = "await session.close()" if is_async else "session.close()"
    if any(failure.holder or failure.connections for failure in failures):
        always = any(failure.way is Way.END for failure in failures)
        how = f"inside the block, or `{close}` in `finally`:"
        mend = f"yield {how}" if yields else "yield it, do not return it:"
        return _ALWAYS if always else _AT_TIMES, mend, (block, "    yield session")
    if any(failure.committed for failure in failures):
        commit = "await session.commit()" if is_async else "session.commit()"
        code = (block, "    yield session", f"    {commit}")
        return _COMMITTED, "commit below the `yield`, never in `finally`:", code
    code = ("except Exception:", "    ...", "    raise")
    return _SWALLOWED, "raise it again:", code


def _tell_line(label: str, text: str) -> str:
    return f"{_INDENT}{label:<{_LABEL}}{text}"
