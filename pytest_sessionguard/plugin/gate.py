"""The gate between what is found and what fails: suppressions first, then the baseline."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from pytest_sessionguard.baseline import Baseline
from pytest_sessionguard.guard import Guard
from pytest_sessionguard.identity import identify, strip_nodeid
from pytest_sessionguard.model import Finding, Severity
from pytest_sessionguard.options import Mode
from pytest_sessionguard.rules import RULES
from pytest_sessionguard.rules.names import find_rules
from pytest_sessionguard.settings import Marks, Settings, SettingsError, Source, read_marks
from pytest_sessionguard.suppressions import Kind, Record, Sieve, Suppression

_RULES = {rule.code: rule for rule in RULES}


class Gate:
    """What becomes of findings in a process that runs tests.

    Args:
        root: The folder to which paths in findings are relative.
        settings: The settings of the run.
        baseline: What is accepted.

    Attributes:
        has_doubts: Whether a test was not judged.
    """

    def __init__(self, root: str, settings: Settings, baseline: Baseline) -> None:
        self.has_doubts = False
        self._settings = settings
        self._baseline = baseline
        self._record = Record()
        source = settings.ignore_paths_source.value
        self._off = _find_off(settings)
        self._sieve = Sieve(root, settings.ignore_paths, source, self._record, self._off)
        if Severity.OFF not in settings.flag_severities.values():
            self._record.known.update(self._sieve.paths)
        self._names = self._read_names()
        self._record.known.update(self._names)
        self._markers: dict[str, dict[Suppression, frozenset[str]]] = {}

    def sift(self, findings: list[Finding]) -> list[Finding]:
        """Keep the findings that nothing suppresses.

        Args:
            findings: What was found.

        Returns:
            What is to be told.
        """
        return self._sieve.sift(findings)

    def find_errors(self, findings: list[Finding]) -> list[Finding]:
        """Find what must fail.

        Args:
            findings: What is to be told.

        Returns:
            The errors that are not accepted; a run that records accepts whatever it finds. What a
            test itself asserts is never accepted.
        """
        errors = [finding for finding in findings if finding.severity is Severity.ERROR]
        return [f for f in errors if f.facts.get("asserted") or not self._accepts(f)]

    def enter_markers(self, node: Any) -> None:
        """Enter the markers that a node carries, its own and those of its class and module.

        Args:
            node: A collected test.
        """
        chain = node.listchain()
        for carrier, marker in node.iter_markers_with_node("sessionguard"):
            codes = _read_ignored(marker)
            if codes and not self._is_decided(codes) and not self._is_unseen(codes, self._off):
                what = "off=True" if marker.kwargs.get("off") else f"ignore={_show(marker)}"
                place = strip_nodeid(carrier.nodeid)
                suppression = Suppression(Kind.MARKER, what, place)
                # A fixture belongs to a node between, and the marker holds for it too.
                for one in chain[chain.index(carrier) :]:
                    self._markers.setdefault(one.nodeid, {})[suppression] = codes
                self._record.known.add(suppression)

    def enter_hushed(self, guard: Guard) -> None:
        """Enter what has kept rules silent.

        Args:
            guard: The guard, which knows the rules and the nodes.
        """
        while guard.hushed:
            nodeid, code = guard.hushed.pop()
            if code in self._settings.flag_severities:
                continue
            markers = {s for s, codes in self._markers.get(nodeid, {}).items() if code in codes}
            names = {s for s, codes in self._names.items() if code in codes}
            self._record.used |= markers or names

    def doubt(self, nodeid: str) -> None:
        """Enter that a test was not judged, so that nobody knows what its markers are good for.

        Args:
            nodeid: The test.
        """
        self.has_doubts = True
        self._record.doubtful.update(self._markers.get(nodeid, ()))

    def scan(self) -> None:
        """Read the comments of all that the run has imported of the project."""
        self._sieve.scan(_list_files())

    def take_news(self) -> dict[str, Any]:
        """Return what is new of suppressions, for the process that reports."""
        return self._record.take_news()

    def _accepts(self, finding: Finding) -> bool:
        return self._settings.updates_baseline or identify(finding) in self._baseline

    def _read_names(self) -> dict[Suppression, frozenset[str]]:
        names = {}
        strict = self._settings.mode is Mode.STRICT
        off = [] if strict else [r.code for r in RULES if r.severity is Severity.OFF]
        for name in self._settings.ini_ignores:
            codes = frozenset(find_rules(name))
            if not self._is_decided(codes) and not self._is_unseen(codes, off):
                names[Suppression(Kind.RULE, name, Source.INI.value)] = codes
        return names

    def _is_unseen(self, codes: Iterable[str], off: Iterable[str]) -> bool:
        """Tell whether one of the rules may be broken where it is off, and nobody sees it.

        Args:
            codes: What is ignored.
            off: The rules that would be off all the same.
        """
        return any(not _RULES[code].seen_off for code in codes if code not in off)

    def _is_decided(self, codes: Iterable[str]) -> bool:
        """Tell whether the command line decides on a rule, whatever markers and ini file say."""
        return any(code in self._settings.flag_severities for code in codes)


def _find_off(settings: Settings) -> frozenset[str]:
    severities = settings.severities(Marks())
    off = [r.code for r in RULES if severities.get(r.code, r.severity) is Severity.OFF]
    return frozenset(off)


def _read_ignored(marker: Any) -> frozenset[str]:
    try:
        severities = read_marks([marker]).severities
    except SettingsError:  # a marker added while tests run; collected ones were checked
        return frozenset()
    return frozenset(code for code, severity in severities.items() if severity is Severity.OFF)


def _show(marker: Any) -> str:
    value = marker.kwargs.get("ignore")
    return f'"{value}"' if isinstance(value, str) else str(value)


def _list_files() -> list[str]:
    """List the files of all modules, without waking those that load themselves when asked."""
    files = []
    for module in list(sys.modules.values()):
        try:
            file = object.__getattribute__(module, "__dict__").get("__file__")
        except AttributeError:
            continue
        if isinstance(file, str) and file.endswith(".py"):
            files.append(file)
    return files
