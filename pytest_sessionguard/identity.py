"""What makes two findings the same fault: rule, file, function and thing.

A finding is compared with those of other runs: with the baseline's, and by services that read
reports. So nothing counts here that moves while the fault stays: no line, no count, no test that
happened to meet it, no parameter of one, no worker, no folder above the root.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import astuple, dataclass

from pytest_sessionguard.model import Finding, Owner

# The facts that tell apart what one function does wrong, the most telling first: a service's name
# with its class, an attribute, what was returned, what was left open. A pool or an engine is none:
# one suite runs on several databases.
_TELLING = ("function", "attribute", "models", "model", "holder")

# Python 3.12 and newer run these comprehensions inside the function that has them (PEP 709).
_INLINED = ("<listcomp>", "<setcomp>", "<dictcomp>")

_PACKAGES = re.compile(r"^.*/(?=(?:site|dist)-packages/)")
_ABSOLUTE = re.compile(r"^(?:/|[A-Za-z]:/)(?:.*/)?")
# What xdist calls a worker's folder, where files were made at run time below the root.
_WORKER = re.compile(r"(?:^|(?<=/))popen-gw\d+/")


@dataclass(frozen=True, order=True)
class Identity:
    """What a finding is, whenever and wherever it is met again.

    Attributes:
        rule: The rule's code.
        path: The file, relative to the root; of a file outside the root only the name.
        function: The innermost function of the user's, by its plain name.
        thing: What it is about, where the others do not tell it apart; often empty.
    """

    rule: str
    path: str
    function: str
    thing: str = ""

    @property
    def fingerprint(self) -> str:
        """Return 32 hexadecimal digits that are the same for equal identities only."""
        text = json.dumps(astuple(self), separators=(",", ":"))
        return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


def identify(finding: Finding) -> Identity:
    """Tell what a finding has in common with itself in other runs.

    Args:
        finding: The finding.

    Returns:
        Its identity. Without a frame of the user's, file and function are those of the test or
        the fixture that owns the thing.

    Example:
        >>> from pytest_sessionguard.model import CallSite, Frame, Owner, Place, Severity
        >>> place = Place("read at", CallSite((Frame("app/slots.py", 41, "list_slots"),)))
        >>> owner, facts = Owner("test", "test_slots[7]"), {"attribute": "Slot.city", "count": 3}
        >>> identify(Finding("SG401", "lazy-load", Severity.WARN, owner, (place,), facts))
        Identity(rule='SG401', path='app/slots.py', function='list_slots', thing='Slot.city')
    """
    path, function = _locate(finding)
    return Identity(finding.rule, _settle(path), function, _name_thing(finding))


def strip_nodeid(nodeid: str) -> str:
    """Take from a node id what differs from call to call.

    Args:
        nodeid: pytest's node id.

    Returns:
        It, without parameters and without the group that xdist's loadgroup appends.

    Example:
        >>> strip_nodeid("tests/test_x.py::TestIt::test_a[a::b]@db")
        'tests/test_x.py::TestIt::test_a'
    """
    path, colons, names = nodeid.partition("::")
    return path + colons + re.split(r"[\[@]", names, maxsplit=1)[0]


def _locate(finding: Finding) -> tuple[str, str]:
    frames = finding.site.frames
    if not frames:
        return _locate_owner(finding.owner)
    outer = (frame for frame in frames if frame.function not in _INLINED)
    frame = next(outer, frames[0])
    return frame.path, frame.function


def _locate_owner(owner: Owner) -> tuple[str, str]:
    path, _, names = strip_nodeid(owner.nodeid).partition("::")
    if owner.kind == "fixture":
        return path, owner.name
    return path, names or strip_nodeid(f"::{owner.name}")[2:]


def _settle(path: str) -> str:
    """Take from a path what differs from machine to machine."""
    inside = _PACKAGES.sub("", path)
    return _WORKER.sub("", _ABSOLUTE.sub("", inside))


def _name_thing(finding: Finding) -> str:
    facts = (finding.facts.get(name) for name in _TELLING)
    # Of several models the first: which others a result holds depends on the data.
    told = [str(fact).split(",", maxsplit=1)[0] for fact in facts if fact]
    if finding.owner.kind == "fixture" and finding.site.frames:
        told.append(finding.owner.name)
    return ", ".join(told)
