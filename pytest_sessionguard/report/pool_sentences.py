"""The words of findings about pools, engines and what is lost on the way to the database."""

from __future__ import annotations

from pytest_sessionguard.model import Finding
from pytest_sessionguard.report.phrases import Wording, count_things, is_async, tell_owner


def _title_nested(finding: Finding) -> str:
    was = count_things(finding, "connection")
    return f"{was} asked for while one of that pool was held, in {finding.owner}"


def _lead_nested(finding: Finding) -> str:
    facts = finding.facts
    limit, more = int(str(facts["limit"])), int(str(facts["depth"])) - 1
    callers = -(-limit // more)
    wait = facts.get("pool_timeout")
    for_long = f" {wait} s" if wait else ""
    take = f"1 such caller takes all {limit} and waits"
    if callers > 1:
        take = f"{callers} such callers at once take all {limit} and wait"
    need = "N + 1" if more == 1 else f"{more} * N + 1"
    return f"{take}{for_long} for one more, in vain; N callers need a pool of {need}."


def _title_server(finding: Finding) -> str:
    owner = tell_owner(finding.owner)
    if finding.facts["locks"] and finding.facts["state"] == "idle":
        left = count_things(finding, "connection")
        return f"{left} left with advisory locks on the server after {owner}"
    return f"{count_things(finding, 'transaction')} left open on the server after {owner}"


def _lead_server(finding: Finding) -> str:
    facts, locks = finding.facts, finding.facts["locks"]
    held = "" if not locks else f" with {locks} advisory {'lock' if locks == 1 else 'locks'}"
    if facts["how"] == "returned":
        return (
            f"It went back to its pool so: its backend is {facts['state']}{held}, "
            "which the next user gets."
        )
    fate = {
        "cancelled": "Its query was cancelled and SQLAlchemy gave the connection up, unclosed",
        "invalidated": "Its pool gave it up",
        "detached": "It was detached from its pool",
    }[str(facts["how"])]
    return f"{fate}; its backend is {facts['state']}{held}, and nobody ends it."


def _mend_server(finding: Finding) -> str:
    if finding.facts["how"] == "detached":
        return "close a detached connection in `finally`."
    if finding.facts["how"] == "returned":
        if finding.facts["state"] == "idle":
            return "`pg_advisory_xact_lock`, or unlock before the connection is returned."
        return "end on a connection what was begun on it, before it is returned."
    return "await a cancelled task, and do not cancel it again while it closes its connection."


def _lead_undisposed(finding: Finding) -> str:
    count = finding.facts["connections"]
    connections = "1 connection stays" if count == 1 else f"{count} connections stay"
    return f"{connections} open until the collector comes or the process ends."


def _mend_undisposed(finding: Finding) -> str:
    dispose = "await engine.dispose()" if is_async(finding) else "engine.dispose()"
    return f"`{dispose}` where it is torn down, on the loop that used it."


def _lead_uncommitted(finding: Finding) -> str:
    changes = finding.facts["changes"]
    what = f"{changes}: none of it is" if changes else "What was written is not"
    return f"{what} in the database: close() rolls back."


def _mend_uncommitted(finding: Finding) -> str:
    commit = "await session.commit()" if is_async(finding) else "session.commit()"
    return f"`{commit}` before it is closed; to drop changes on purpose, roll back."


POOL_WORDINGS: dict[str, Wording] = {
    "SG104": Wording(
        title=_title_nested,
        consequence=_lead_nested,
        fix=lambda f: (
            "use the connection or session that is held, or end it before the next is taken."
        ),
    ),
    "SG105": Wording(
        title=_title_server,
        consequence=_lead_server,
        fix=_mend_server,
    ),
    "SG106": Wording(
        title=lambda f: (
            f"{count_things(f, 'engine')} left with open connections after {tell_owner(f.owner)}"
        ),
        consequence=_lead_undisposed,
        fix=_mend_undisposed,
    ),
    "SG205": Wording(
        title=lambda f: (
            f"{count_things(f, str(f.facts['holder']))} closed with uncommitted changes, "
            f"in {f.owner}"
        ),
        consequence=_lead_uncommitted,
        fix=_mend_uncommitted,
    ),
}
