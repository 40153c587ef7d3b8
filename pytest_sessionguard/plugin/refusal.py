"""The end of a run that cannot be meant."""

from __future__ import annotations

import pytest


def refuse(config: pytest.Config, items: list[pytest.Item], text: str) -> None:
    """End the run as a usage error, before any test.

    A worker of xdist cannot: what it raises ends as an internal error of the controller. It runs
    no test and leaves the text to the controller.

    Args:
        config: pytest's config.
        items: The collected tests.
        text: What is wrong, and what would be right.

    Raises:
        pytest.UsageError: In a process that is no worker.
    """
    if not hasattr(config, "workeroutput"):
        raise pytest.UsageError(text)
    items.clear()
    config.workeroutput["sessionguard_refused"] = text
