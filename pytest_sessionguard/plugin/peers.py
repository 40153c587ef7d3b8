"""Other plugins that look for N+1: where one is active, it is left to it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_sessionguard.model import Severity
from pytest_sessionguard.rules import n_plus_one
from pytest_sessionguard.settings import Settings

# The names of their entry points: pytest-queryguard, queryspy, pytest-querycount.
_PEERS = ("queryguard", "queryspy", "querycount")


def leave_to_peers(config: pytest.Config, settings: Settings) -> Settings:
    """Turn SG402 off where another plugin does its work, unless a setting asks for it.

    Args:
        config: pytest's config.
        settings: The settings as they were read.

    Returns:
        The settings of the run, which say in the header what is left to whom.
    """
    peer = next((name for name in _PEERS if config.pluginmanager.has_plugin(name)), None)
    if peer is None:
        return settings
    rule = n_plus_one.RULE
    return replace(
        settings,
        ini_severities={rule.code: Severity.OFF, **settings.ini_severities},
        changed=(*settings.changed, f"{rule.name} is left to {peer}"),
    )
