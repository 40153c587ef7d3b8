"""The words of every finding, in one place: three sentences a rule."""

from __future__ import annotations

from pytest_sessionguard.model import Finding
from pytest_sessionguard.report.phrases import Wording, tell_owner
from pytest_sessionguard.report.phrases import count_things as _count
from pytest_sessionguard.report.phrases import is_async as _is_async
from pytest_sessionguard.report.pool_sentences import POOL_WORDINGS
from pytest_sessionguard.rules.mends import name_mend


def _lead_to_dry_pool(finding: Finding) -> str:
    facts = finding.facts
    if "abandoned" in facts:
        return _NEVER_ENDED
    if "held_by" in facts:
        return _tell_work(finding)
    size, overflow = facts.get("pool_size"), facts.get("max_overflow")
    if isinstance(size, int) and isinstance(overflow, int) and size > 0 and overflow >= 0:
        wait = facts.get("pool_timeout")
        waits = f"waits {wait} s and fails" if wait else "fails"
        calls = "1 such call" if size + overflow == 1 else f"{size + overflow} such calls"
        return f"After {calls} the next one {waits} with TimeoutError."
    if facts["pool"] in _SHARING_POOLS:
        return _SHARED_POOL
    if facts["pool"] == "NullPool":
        return "Each such call leaves one more connection open on the server."
    return "The connection and its transaction stay open on the server."


# What a StaticPool and a SingletonThreadPool do: all callers get the one connection of the pool, or
# of the thread, so nothing is missing in the test.
_SHARING_POOLS = ("StaticPool", "SingletonThreadPool")
_SHARED_POOL = "This pool shares one connection; a server's pool loses one at each such call."


_NEVER_ENDED = "Its task had not ended when its loop did: no `finally` ran, and nothing was closed."


def _lead_to_collector(finding: Finding) -> str:
    if "abandoned" in finding.facts:
        return _NEVER_ENDED
    if finding.facts["pool"] in _SHARING_POOLS:
        return _SHARED_POOL
    if finding.facts["pool"] == "NullPool":
        return "It stays open on the server until the collector comes; an async one is cut off."
    return "Until the collector comes the pool lacks it; an async one is cut off, not reused."


def _open_in_block(finding: Finding) -> str:
    holder = str(finding.facts["holder"])
    if not finding.facts.keys().isdisjoint(("abandoned", "again", "held_by")):
        return _mend_without_block(finding)
    if holder == "Connection":
        return "open it in `with engine.connect() as connection:` (async: `async with`)."
    if "scoped" in holder:
        return "call `remove()` on the scoped session when the work is done."
    if _is_async(finding):
        return "open the session in `async with async_session() as session:`."
    return "open the session in `with Session(engine) as session:`, or close it in `finally`."


def _mend_without_block(finding: Finding) -> str:
    if "abandoned" in finding.facts:
        return "await the task before its loop ends, also one that was cancelled."
    if "held_by" in finding.facts:
        return _end_work(finding)
    return "move these lines to where the session is open, or open a new session for them."


def _tell_work(finding: Finding) -> str:
    kind = finding.facts["held_by"]
    if finding.facts["count"] == 1:
        return f"The {kind} that took it was still at work, and keeps it until it ends."
    return f"The {kind}s that took them were still at work, and keep them until they end."


def _end_work(finding: Finding) -> str:
    is_one = finding.facts["count"] == 1
    work, it = f"the {finding.facts['held_by']}{'' if is_one else 's'}", "it" if is_one else "them"
    if finding.facts["held_by"] == "thread":
        return f"tell {work} to stop in time, and join {it}."
    return f"await {work} in time, or cancel {it} and then await {it}."


def _tell_when(finding: Finding) -> str:
    if finding.facts.get("now"):
        return f"taken by {finding.owner} and not returned"
    if "boundary" in finding.facts:
        return f"still checked out {_tell_boundary(finding)}"
    return f"still checked out after {tell_owner(finding.owner)}"


def _tell_boundary(finding: Finding) -> str:
    return f"when {finding.facts['boundary']} {finding.facts['ending']}, in {finding.owner}"


def _tell_collected(finding: Finding) -> str:
    if "boundary" in finding.facts:
        return f"{finding.facts['boundary']}, in {finding.owner}"
    return str(finding.owner)


def _title_used_again(finding: Finding) -> str:
    count, holder = finding.facts["count"], finding.facts["holder"]
    what = f"1 {holder}" if count == 1 else f"{count} {holder}s"
    fate = {"out": " and kept a connection", "lost": " and lost a connection"}
    again = fate.get(str(finding.facts.get("connection")), "")
    return (
        f"{what} began again below the `with` block that had closed it{again}, in {finding.owner}"
    )


def _lead_used_again(finding: Finding) -> str:
    if "connection" in finding.facts:
        return "Nobody is left to close it. " + _lead_to_dry_pool(finding)
    return "What is done there stands in a new transaction, and no block ends it."


def _title_shared(finding: Finding) -> str:
    parties = "threads" if finding.facts["threads"] else "tasks"
    was = _count(finding, str(finding.facts["holder"]))
    return f"{was} used by two {parties} at once, in {finding.owner}"


def _mend_shared(finding: Finding) -> str:
    party = "thread" if finding.facts["threads"] else "task"
    own = _name_own_block(finding)
    return f"give each {party} a session of its own: `{own}`."


def _tell_handed(finding: Finding) -> str:
    late = "runs after the response" if finding.facts["late"] else "outlives its session"
    return f"handed to a background task that {late}, in {finding.owner}"


def _lead_handed(finding: Finding) -> str:
    if "connection" in finding.facts:
        return "Nobody closes it for the task. " + _lead_to_dry_pool(finding)
    if finding.facts["late"]:
        return "The request closes it, or both use it at once; what fails there, no caller sees."
    return "A closed session begins again silently: the task takes a connection nobody returns."


def _mend_handed(finding: Finding) -> str:
    return f"give the task ids, and open a session inside it: `{_name_own_block(finding)}`."


def _name_own_block(finding: Finding) -> str:
    if _is_async(finding):
        return "async with async_session() as session:"
    return "with Session(engine) as session:"


def _title_instance(finding: Finding) -> str:
    facts, count = finding.facts, finding.facts["count"]
    what = f"1 {facts['models']}" if count == 1 else f"{count} instances of {facts['models']}"
    return f"{what}, still of a session, {'was' if count == 1 else 'were'} {_tell_handed(finding)}"


def _title_unclosed(finding: Finding) -> str:
    if "entered" in finding.facts:
        return f"{finding.owner} called assert_dependency_closes() and never awaited it"
    was = _count(finding, str(finding.facts["holder"]))
    if "boundary" in finding.facts:
        return f"{was} still open {_tell_boundary(finding)}"
    if finding.facts["collected"]:
        return f"{was} dropped without close() by {finding.owner}"
    return f"{was} still open after {tell_owner(finding.owner)}"


def _lead_unclosed(finding: Finding) -> str:
    if "entered" in finding.facts:
        return "Nothing was checked."
    return "It keeps what it loaded, and takes a connection again at its next statement."


def _mend_unclosed(finding: Finding) -> str:
    if "entered" in finding.facts:
        return "`await assert_dependency_closes(...)`, for the dependency is async."
    return _open_in_block(finding)


def _title_load(finding: Finding) -> str:
    facts = finding.facts
    if "entered" in facts:
        return f"{finding.owner} called assert_no_lazy_load() and never entered its block"
    if facts["error"]:
        return f"{facts['attribute']} was read and could not be loaded ({facts['error']})"
    times = "" if facts["count"] == 1 else f" {facts['count']} times"
    return f"reading {facts['attribute']} loaded it{times}, in {finding.owner}"


def _lead_load(finding: Finding) -> str:
    if "entered" in finding.facts:
        return "Nothing was checked."
    return "Each such read is one more statement; an AsyncSession fails there with MissingGreenlet."


def _mend_load(finding: Finding) -> str:
    if "entered" in finding.facts:
        return "`with assert_no_lazy_load():` around what is to be checked."
    return f"{name_mend(str(finding.facts['attribute']), str(finding.facts['kind']))}."


def _title_masked(finding: Finding) -> str:
    attribute = finding.facts["attribute"]
    return f"{attribute} was there only because {finding.owner} had loaded it before"


def _title_n_plus_one(finding: Finding) -> str:
    facts = finding.facts
    how = "was awaited" if facts["asked"] else "loaded itself"
    return (
        f"{facts['attribute']} {how} for {facts['parents']} objects one by one, in {finding.owner}"
    )


def _title_fault(finding: Finding) -> str:
    error = {"SG303": "DetachedInstanceError", "SG304": "MissingGreenlet"}[finding.rule]
    facts = finding.facts
    times = "" if facts["count"] == 1 else f" {facts['count']} times"
    what = f"{facts['attribute']} raised {error}" if facts["attribute"] else f"{error} was raised"
    return f"{what}{times}, and {finding.owner} did not notice"


def _title_result(finding: Finding) -> str:
    facts, count = finding.facts, finding.facts["instances"]
    what = f"1 {facts['models']}" if count == 1 else f"{count} instances of {facts['models']}"
    state = {
        "expired": "whose columns are expired",
        "unloaded": "whose columns are not all loaded",
    }.get(str(facts["kind"]), f"that still {'belongs' if count == 1 else 'belong'} to a session")
    calls = "in" if facts["count"] == 1 else f"in {facts['count']} calls by"
    return f"{facts['function']} returned {what} {state}, {calls} {finding.owner}"


def _mend_fault(finding: Finding) -> str:
    if finding.facts["attribute"]:
        return _mend_load(finding)
    return "await what talks to the database, or hand it to `session.run_sync(...)`."


WORDINGS: dict[str, Wording] = {
    **POOL_WORDINGS,
    "SG101": Wording(
        title=lambda f: f"{_count(f, 'connection')} {_tell_when(f)}",
        consequence=_lead_to_dry_pool,
        fix=_open_in_block,
    ),
    "SG102": Wording(
        title=lambda f: (
            f"{_count(f, 'connection')} left to the garbage collector by {_tell_collected(f)}"
        ),
        consequence=_lead_to_collector,
        fix=_open_in_block,
    ),
    "SG103": Wording(
        title=lambda f: (
            f"{_count(f, 'connection')} opened under another event loop than that of {f.owner}"
        ),
        consequence=lambda f: (
            "asyncpg ties a connection to its loop: the first statement fails, or waits for ever."
        ),
        fix=lambda f: (
            "`await engine.dispose()` before a loop ends, or use one loop for all that share it."
        ),
    ),
    "SG201": Wording(
        title=_title_unclosed,
        consequence=_lead_unclosed,
        fix=_mend_unclosed,
    ),
    "SG202": Wording(
        title=_title_used_again,
        consequence=_lead_used_again,
        fix=lambda f: "move these lines into the block, or open a new session for them.",
    ),
    "SG203": Wording(
        title=_title_shared,
        consequence=lambda f: (
            "They share one transaction: each commits or rolls back what the other is doing."
        ),
        fix=_mend_shared,
    ),
    "SG204": Wording(
        title=lambda f: f"{_count(f, str(f.facts['holder']))} {_tell_handed(f)}",
        consequence=_lead_handed,
        fix=_mend_handed,
    ),
    **dict.fromkeys(
        ("SG301", "SG302"),
        Wording(
            title=_title_result,
            consequence=lambda f: str(f.facts["consequence"]),
            fix=lambda f: str(f.facts["mend"]),
        ),
    ),
    "SG303": Wording(
        title=_title_fault,
        consequence=lambda f: "The code caught it, and may have gone on without the value.",
        fix=_mend_fault,
    ),
    "SG304": Wording(
        title=_title_fault,
        consequence=lambda f: "The code caught it, and may have gone on without the value.",
        fix=_mend_fault,
    ),
    "SG305": Wording(
        title=_title_instance,
        consequence=lambda f: (
            "Closing detaches it: what is expired or not loaded raises DetachedInstanceError there."
        ),
        fix=lambda f: "give the task its id, and load it there in a session of the task's own.",
    ),
    "SG401": Wording(title=_title_load, consequence=_lead_load, fix=_mend_load),
    "SG403": Wording(
        title=_title_masked,
        consequence=lambda f: "With a session of its own, the code loads it there, or fails to.",
        fix=_mend_load,
    ),
    "SG402": Wording(
        title=_title_n_plus_one,
        consequence=lambda f: "With 100 rows that is 100 statements more than with one query.",
        fix=_mend_load,
    ),
}
