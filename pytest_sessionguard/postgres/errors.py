"""What can go wrong on the way to a server, in words that may be shown as they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """Say why a door stays shut.

    Args:
        door: its name.
        reason: why, in one clause, free of passwords.
        mend: the command or act that would open it.
    """

    door: str
    reason: str
    mend: str

    def __str__(self) -> str:
        return f"{self.door}: {self.reason}"


class PostgresError(Exception):
    """Stand for every failure of this room."""


class PostgresSettingsError(PostgresError):
    """Say that a value of the settings is none of the valid ones."""


class KeeperError(PostgresError):
    """Say that the keeper of the server could not be started, or has gone."""


class DatabaseError(PostgresError):
    """Say that a server answered, but refused a statement.

    Args:
        message: its first line.
        sqlstate: the five characters of its class, where there are any.
    """

    def __init__(self, message: str, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class DriverError(PostgresError):
    """Say that no driver is installed that could make a database."""


class DoorError(PostgresError):
    """Say that a door failed at opening.

    Args:
        reason: why, in one clause, free of passwords.
        mend: the command or act that would mend it.
    """

    def __init__(self, reason: str, mend: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.mend = mend


class Abandoned(PostgresError):
    """Say that the last client left while a door was being opened."""


class NoDoorError(PostgresError):
    """Say that no door opened: what was tried, why each failed, and what would mend it.

    Args:
        refusals: one of each door that was tried, in order.
    """

    def __init__(self, refusals: Iterable[Refusal]) -> None:
        self.refusals = tuple(refusals)
        lines = ["no door to a Postgres server opened:"]
        for refusal in self.refusals:
            lines += [f"  {refusal}", f"    mend: {refusal.mend}"]
        if all(refusal.door != "given" for refusal in self.refusals):
            lines.append(
                "  or name a server: --sessionguard-postgres=postgresql://user:password@host:port/database"
            )
        super().__init__("\n".join(lines))
