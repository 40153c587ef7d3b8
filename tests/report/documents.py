"""Documents of runs: written by hand, and made of whatever a project may be called."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from pytest_sessionguard import report
from pytest_sessionguard.identity import identify
from pytest_sessionguard.model import CallSite, Finding, Frame, Owner, Place, Severity
from pytest_sessionguard.report.document import RunFacts, make_document
from pytest_sessionguard.report.summary import Summary, pack
from pytest_sessionguard.rules import RULES
from pytest_sessionguard.tally import Tally

# No deadline, for a collection may fall into any example.
patient = settings(deadline=None, max_examples=60)

ROOT = "/home/ann/project"
RUN = RunFacts(
    started="2026-03-01T12:00:00+00:00",
    seconds=2.5,
    python="3.11.7",
    sqlalchemy="2.1.9",
    pytest="9.2.0",
    platform="Linux",
)
# Whatever the sentences of the rules ask for.
_SENTENCES = "".join(path.read_text("utf-8") for path in Path(report.__file__).parent.glob("*.py"))
_ASKED = re.findall(r"""facts(?:\.get\(|\[)["'](\w+)["']""", _SENTENCES)
# What only some findings have, and speaks for itself.
_OPTIONAL = frozenset({"asserted", "boundary", "entered", "held_by", "now"})
FACTS: dict[str, Any] = {
    **{name: 2 for name in _ASKED if name not in _OPTIONAL},
    "count": 1,
    "holder": "Session",
    "engine": "postgresql+asyncpg",
    "pool": "QueuePool",
    "pool_size": 5,
    "max_overflow": 10,
    "pool_timeout": 30,
    "collected": False,
    "connection": "out",
    "attribute": "Slot.city",
    "kind": "expired",
    "error": "",
    "parents": 3,
    "asked": False,
    "models": "User",
    "instances": 2,
    "function": "add_user",
    "consequence": "It cannot be read.",
    "mend": "load it.",
    "how": "detached",
}
NAMES = {rule.code: rule.name for rule in RULES}


def make_finding(
    rule: str = "SG101",
    severity: Severity = Severity.ERROR,
    path: str = "app/db.py",
    line: int = 41,
    function: str = "get_user",
    test: str = "test_user",
    owner: Owner | None = None,
    outer: tuple[Frame, ...] = (),
    **facts: Any,
) -> Finding:
    nodeid = f"tests/test_app.py::{test}"
    places = (
        Place("checked out", CallSite((Frame(path, line, function), *outer))),
        Place("held by", CallSite((Frame("app/session.py", 7, "open_it"),)), "Session at {}"),
    )
    told = {**FACTS, **facts}
    owner = owner or Owner("test", test, nodeid=nodeid)
    return Finding(rule, NAMES[rule], severity, owner, places, told, nodeid)


def make(*findings: Finding, accepted: tuple[Finding, ...] = (), **run: Any) -> dict[str, Any]:
    """The document of a run that found something."""
    summary = Summary()
    summary.add(pack([*findings, *accepted], Tally(9, 1, 12)))
    summary.accepted |= {identify(finding).fingerprint for finding in accepted}
    return make_document(summary, RunFacts(**{**vars(RUN), **run}), ROOT)


# What breaks out of HTML, XML, Markdown, JSON, workflow commands, URIs and terminals.
_NASTY = [
    "<script>alert(1)</script>",
    "</details></summary>-->]]>",
    "::error file=x::y",
    "a,b:c=d%0A%25",
    "```\n# head\n| a | b |",
    "`` ` `` |\\| [x](http://e.example) @team #1 <!--",
    "\x00\x01\x1b[31m\x7f",
    "\r\n\u2028\u2029\x85",
    "\udc80\ud800 lone",
    "\"quoted\" 'single' & &amp; &#x27;",
    "\u202eright to left\u200b",
    "%SRCROOT%/../../etc",
    "\U0001f600 \ufffe\uffff",
    "{} {0} %s $x",
]
texts = st.one_of(
    st.sampled_from(_NASTY),
    st.text(st.characters(), max_size=12),
    st.lists(st.sampled_from(_NASTY), min_size=1, max_size=3).map(" ".join),
)
frames = st.builds(Frame, texts, st.integers(0, 9), texts)
owners = st.builds(
    Owner,
    kind=st.sampled_from(["test", "fixture", "import"]),
    name=texts,
    scope=st.sampled_from(["function", "module", "session"]),
    nodeid=texts,
)
hostile = st.builds(
    lambda rule, severity, owner, frames, labels, told_at, words: Finding(
        rule,
        NAMES[rule],
        severity,
        owner,
        tuple(
            Place(label, CallSite(tuple(frames[number : number + 2])))
            for number, label in enumerate(labels)
        ),
        {**FACTS, **words},
        told_at,
    ),
    rule=st.sampled_from(sorted(NAMES)),
    severity=st.sampled_from([Severity.ERROR, Severity.WARN]),
    owner=owners,
    frames=st.lists(frames, max_size=4),
    labels=st.lists(texts, max_size=3),
    told_at=texts,
    words=st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("attribute", "models", "function", "engine", "holder"), texts)
    ),
)
