"""The baseline in a run: read at its beginning, weighed and written at its end."""

from __future__ import annotations

import os
from typing import Any

import pytest

from pytest_sessionguard.baseline import Baseline, BaselineError, read_baseline, write_baseline
from pytest_sessionguard.identity import Identity, identify
from pytest_sessionguard.model import Severity
from pytest_sessionguard.report.summary import Recorded, Summary
from pytest_sessionguard.rules import RULES
from pytest_sessionguard.settings import Marks, Settings, SettingsError

# Where pytest's cache keeps what `sessionguard baseline` has to know of the last runs.
CACHE_KEY = "sessionguard/baseline"

_DEFAULTS = {rule.code: rule.severity for rule in RULES}


def open_baseline(config: pytest.Config, settings: Settings) -> Baseline:
    """Read the baseline that the settings name.

    Args:
        config: pytest's config.
        settings: The settings of the run.

    Returns:
        The baseline; an empty one where none is named, or where the run is to make the file.

    Raises:
        SettingsError: The file is not there, or cannot be read.
    """
    if not settings.baseline:
        return Baseline()
    path = _locate(config, settings)
    try:
        return read_baseline(path, settings.baseline)
    except BaselineError as error:
        raise SettingsError(f"sessionguard_baseline: {error}") from None
    except FileNotFoundError:
        folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise SettingsError(f"sessionguard_baseline: there is no folder {folder}.")
    if not settings.updates_baseline:
        raise SettingsError(
            f"sessionguard_baseline: there is no file {settings.baseline} in {config.rootpath}. "
            "Write it with --sessionguard-update-baseline."
        )
    return Baseline()


class Acceptance:
    """The baseline of a run, in the process that reports.

    Args:
        config: pytest's config.
        settings: The settings of the run.
        baseline: What was accepted when it began.
    """

    def __init__(self, config: pytest.Config, settings: Settings, baseline: Baseline) -> None:
        self._config = config
        self._settings = settings
        self._baseline = baseline

    def settle(self, summary: Summary) -> str:
        """Say of each finding whether it is accepted, and of each entry whether it is gone.

        Args:
            summary: What the run came to; the answers are entered in it.

        Returns:
            Why the baseline could not be written, if so.
        """
        if not self._settings.baseline or self._config.option.collectonly:
            return ""
        met = {identify(f) for f in summary.findings if not f.facts.get("asserted")}
        problem = self._record(met, summary) if self._settings.updates_baseline else ""
        summary.accepted = {one.fingerprint for one in met if one in self._baseline}
        gone = [one for one in self._baseline.find_gone(met) if self._is_asked(one)]
        is_known = summary.extent.is_judged and not summary.fault
        if is_known:
            entries = self._baseline.entries
            summary.gone = [
                {**vars(one), "reason": entries[one], "fingerprint": one.fingerprint}
                for one in gone
            ]
        self._remember(gone if is_known else None, met)
        return problem

    def _record(self, met: set[Identity], summary: Summary) -> str:
        """Add to the file as it is now, which somebody may have edited while the tests ran."""
        path, name = _locate(self._config, self._settings), self._settings.baseline
        is_there = True
        try:
            current = read_baseline(path, name)
        except FileNotFoundError:
            is_there, current = False, Baseline()
        except BaselineError as error:
            return f"sessionguard_baseline: {error}"
        self._baseline = current.add(met)
        if not is_there or len(self._baseline) > len(current):
            try:
                write_baseline(path, self._baseline)
            except OSError as error:
                return f"sessionguard_baseline: {name} cannot be written: {error.strerror}."
        added = len(self._baseline) - len(current)
        summary.recorded = Recorded(name, added, len(self._baseline))
        return ""

    def _is_asked(self, identity: Identity) -> bool:
        """Tell whether the run could have met an entry: its rule is known, and is not off."""
        default = _DEFAULTS.get(identity.rule, Severity.OFF)
        severity = self._settings.severities(Marks()).get(identity.rule, default)
        return severity is not Severity.OFF

    def _remember(self, gone: list[Identity] | None, met: set[Identity]) -> None:
        """Leave to `sessionguard baseline` which entries are gone.

        A run of some tests cannot tell; but what it has met is not gone.
        """
        cache = getattr(self._config, "cache", None)  # absent with -p no:cacheprovider
        if cache is None:
            return
        path = _locate(self._config, self._settings)
        entries = None if gone is None else [vars(one) for one in gone]
        if gone is None:
            before: Any = cache.get(CACHE_KEY, None)
            if isinstance(before, dict) and before.get("path") == path:
                known = [vars(one) for one in met]
                told = before.get("gone")
                entries = told and [entry for entry in told if entry not in known]
        cache.set(CACHE_KEY, {"path": path, "gone": entries})


def _locate(config: pytest.Config, settings: Settings) -> str:
    return os.path.join(config.rootpath, settings.baseline)
