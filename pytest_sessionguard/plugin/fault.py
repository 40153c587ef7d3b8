"""A fault of the guard's own, and how the user hears of it."""

from __future__ import annotations

import warnings

import pytest


class SessionGuardWarning(pytest.PytestWarning):
    """A fault inside the guard, which then judges nothing more; no test's result changes."""

    __module__ = "pytest_sessionguard"


def announce(config: pytest.Config, fault: BaseException, nodeid: str) -> None:
    """Show one warning, past any filter that would turn it into an error of the user's test.

    Args:
        config: pytest's config.
        fault: What was raised inside the guard.
        nodeid: The test at whose end it was noticed.
    """
    text = (
        f"sessionguard failed inside and judges nothing more in this run; no test's result has "
        f"changed. Please report it: {type(fault).__name__}: {fault}"
    )
    traceback = fault.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    file = traceback.tb_frame.f_code.co_filename if traceback is not None else __file__
    line = traceback.tb_lineno if traceback is not None else 1
    message = warnings.WarningMessage(SessionGuardWarning(text), SessionGuardWarning, file, line)
    config.hook.pytest_warning_recorded.call_historic(
        kwargs={
            "warning_message": message,
            "when": "runtest",
            "nodeid": nodeid,
            "location": None,
        }
    )
