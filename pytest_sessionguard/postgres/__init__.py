"""A real Postgres server for one run of pytest, one database for each of its workers."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_sessionguard.postgres.client import attach
    from pytest_sessionguard.postgres.doors import Survey, survey
    from pytest_sessionguard.postgres.errors import (
        DatabaseError,
        KeeperError,
        NoDoorError,
        PostgresError,
        PostgresSettingsError,
        Refusal,
    )
    from pytest_sessionguard.postgres.handle import Postgres, url_for
    from pytest_sessionguard.postgres.hold import Hold
    from pytest_sessionguard.postgres.settings import PostgresSettings

__all__ = [
    "DatabaseError",
    "Hold",
    "KeeperError",
    "NoDoorError",
    "Postgres",
    "PostgresError",
    "PostgresSettings",
    "PostgresSettingsError",
    "Refusal",
    "Survey",
    "attach",
    "survey",
    "url_for",
]

# Imported when they are asked for: a run that reads only its settings pays for nothing else.
_PLACES = {
    "Hold": "hold",
    "Postgres": "handle",
    "PostgresSettings": "settings",
    "Survey": "doors",
    "attach": "client",
    "survey": "doors",
    "url_for": "handle",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES.get(name, 'errors')}"), name)
