"""The recording of a run, where a report shows what happened when."""

from __future__ import annotations

from typing import Any

from pytest_sessionguard.guard import Guard
from pytest_sessionguard.timeline import RecordingLedger


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
