"""A pytest plugin that finds session faults in SQLAlchemy projects.

The public names are imported when they are first asked for: the plugin must not import SQLAlchemy
before the user's project does, and this module must hold no hooks.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_sessionguard.assertions.dependencies import (
        DependencyError,
        assert_dependency_closes,
    )
    from pytest_sessionguard.assertions.leaks import (
        LeakCheck,
        LeakedConnectionError,
        assert_no_leaked_connections,
    )
    from pytest_sessionguard.assertions.loads import (
        LazyLoadError,
        NoLazyLoad,
        assert_no_lazy_load,
    )
    from pytest_sessionguard.assertions.results import (
        AttachedResultError,
        UnloadedResultError,
        assert_detached,
        assert_loaded,
    )
    from pytest_sessionguard.handle import BoundaryError, SessionGuard
    from pytest_sessionguard.plugin import SessionGuardWarning
    from pytest_sessionguard.postgres import Postgres

__all__ = [
    "AttachedResultError",
    "BoundaryError",
    "DependencyError",
    "LazyLoadError",
    "LeakCheck",
    "LeakedConnectionError",
    "NoLazyLoad",
    "Postgres",
    "SessionGuard",
    "SessionGuardWarning",
    "UnloadedResultError",
    "assert_dependency_closes",
    "assert_detached",
    "assert_loaded",
    "assert_no_lazy_load",
    "assert_no_leaked_connections",
]

_HOMES = {
    "AttachedResultError": "assertions.results",
    "BoundaryError": "handle",
    "DependencyError": "assertions.dependencies",
    "LazyLoadError": "assertions.loads",
    "LeakCheck": "assertions.leaks",
    "LeakedConnectionError": "assertions.leaks",
    "NoLazyLoad": "assertions.loads",
    "Postgres": "postgres",
    "SessionGuard": "handle",
    "SessionGuardWarning": "plugin",
    "UnloadedResultError": "assertions.results",
    "assert_dependency_closes": "assertions.dependencies",
    "assert_detached": "assertions.results",
    "assert_loaded": "assertions.results",
    "assert_no_lazy_load": "assertions.loads",
    "assert_no_leaked_connections": "assertions.leaks",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
