"""A pytest plugin that finds session faults in SQLAlchemy projects.

The public names are imported when they are first asked for: the plugin must not import SQLAlchemy
before the user's project does, and this module must hold no hooks.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_sessionguard.assertions import (
        LeakCheck,
        LeakedConnectionError,
        assert_no_leaked_connections,
    )
    from pytest_sessionguard.plugin import SessionGuardWarning
    from pytest_sessionguard.postgres import Postgres

__all__ = [
    "LeakCheck",
    "LeakedConnectionError",
    "Postgres",
    "SessionGuardWarning",
    "assert_no_leaked_connections",
]

_HOMES = {
    "LeakCheck": "assertions",
    "LeakedConnectionError": "assertions",
    "Postgres": "postgres",
    "SessionGuardWarning": "plugin",
    "assert_no_leaked_connections": "assertions",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
