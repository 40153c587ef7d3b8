"""A real Postgres server for one run of pytest, one database for each of its workers."""

from __future__ import annotations

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
from pytest_sessionguard.postgres.settings import PostgresSettings

__all__ = [
    "DatabaseError",
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
