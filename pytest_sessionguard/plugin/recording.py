"""The recording of a run, where a report shows what happened when."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from pytest_sessionguard.guard import Guard
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.report.requests import Request
from pytest_sessionguard.timeline import Recorder, RecordingLedger


def make_ledger(config: pytest.Config, reports: Iterable[Request]) -> Ledger:
    """Make the ledger of a run, which is recorded if a report is asked for that shows it.

    Args:
        config: pytest's config.
        reports: The reports to write.

    Returns:
        The plain ledger, where the run is to cost nothing more.
    """
    if not any(request.form.shows_timeline for request in reports):
        return Ledger()
    worker = getattr(config, "workerinput", {"workerid": "main"})["workerid"]
    return RecordingLedger(Recorder(str(config.rootpath), worker))


def take_timeline(guard: Guard) -> dict[str, Any] | None:
    """Take what was recorded since the last call.

    Args:
        guard: The guard of this process.

    Returns:
        Plain JSON types; None where nothing is recorded, or the guard has failed.
    """
    ledger = guard.ledger
    if not isinstance(ledger, RecordingLedger) or guard.shield.fault is not None:
        return None
    try:
        return ledger.recorder.take()
    except Exception as error:
        guard.shield.report(error)
        return None
