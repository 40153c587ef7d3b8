"""What the user asked for: which door, which image; light enough to be read at start."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from pytest_sessionguard.postgres.errors import PostgresSettingsError

DOORS = ("container", "embedded", "path")
VALID_DOORS = (
    "auto, container, embedded, path, or a URL like postgresql://user:password@host:port/database"
)

_SCHEME = re.compile(r"(postgres|postgresql(\+[a-z0-9_]+)?)://", re.IGNORECASE)
# Greedy up to the last @: a password that was not percent-encoded may hold one itself.
_USERINFO = re.compile(r"(?P<before>://[^:@/?]*:|^[^:@/?]*:(?!//)).*@", re.DOTALL)
_PASSWORD_OPTION = re.compile(r"(?P<before>[?&](?:password|sslpassword)=)[^&]*", re.IGNORECASE)


def mask(url: str) -> str:
    """Hide every password of a URL, also of a malformed one.

    Args:
        url: what the user gave.

    Returns:
        The same text with `***` in the place of its passwords.
    """
    return _PASSWORD_OPTION.sub(r"\g<before>***", _USERINFO.sub(r"\g<before>***@", url))


@dataclass(frozen=True, repr=False)
class PostgresSettings:
    """Hold the choice of a door.

    Args:
        door: `auto`, the name of a door, or the URL of a server.
        image: the image that the container door starts.

    Raises:
        PostgresSettingsError: if the door is none of these, or the URL cannot be read.
    """

    door: str = "auto"
    image: str = "postgres:17-alpine"

    def __post_init__(self) -> None:
        if not self.image.strip():
            raise PostgresSettingsError(
                "the image of the container door is empty; give one like postgres:17-alpine"
            )
        if self.door == "auto" or self.door in DOORS:
            return
        if not _SCHEME.match(self.door):
            raise PostgresSettingsError(
                f"{mask(self.door)!r} is no door to a Postgres; valid are: {VALID_DOORS}"
            )
        try:
            parts = urlsplit(self.door)
            ports = [parts.port, *map(int, parse_qs(parts.query).get("port", []))]
            readable = all(port is None or 0 < port < 65536 for port in ports)
        except ValueError:
            # Its text is not passed on: urlsplit quotes the part that it cannot read, which may be
            # the password.
            readable = False
        if not readable:
            raise PostgresSettingsError(
                f"the URL {mask(self.door)!r} cannot be read (percent-encode its password?);"
                f" valid are: {VALID_DOORS}"
            )

    @property
    def url(self) -> str | None:
        """Return the given URL, or None where a door is named."""
        return None if self.door == "auto" or self.door in DOORS else self.door

    @property
    def wanted(self) -> tuple[str, ...]:
        """Return the names of the doors to try, in order."""
        if self.door == "auto":
            return DOORS
        return ("given",) if self.url else (self.door,)

    def __repr__(self) -> str:
        return f"PostgresSettings(door={mask(self.door)!r}, image={self.image!r})"
