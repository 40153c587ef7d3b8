"""Where the clients of a run find their keeper: a file in the run's folder, under a lock."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_sessionguard.postgres.lock import Lock
from pytest_sessionguard.postgres.settings import PostgresSettings, mask


def key_of(settings: PostgresSettings) -> str:
    """Return what tells the keepers of different settings apart; no password goes into it."""
    return hashlib.sha256(f"{mask(settings.door)} {settings.image}".encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Rendezvous:
    """Hold the place of the meeting.

    Args:
        address: the file with the keeper's address.
        lock: held by whoever looks for a keeper, or starts one.
    """

    address: Path
    lock: Lock

    @classmethod
    def of(cls, run_folder: str | os.PathLike[str], key: str) -> Rendezvous:
        """Return the place for one choice of settings in a run's folder."""
        folder = Path(run_folder)
        # Windows opens no folder.
        lock = folder / f"sessionguard-postgres-{key}.lock" if sys.platform == "win32" else folder
        return cls(folder / f"sessionguard-postgres-{key}.json", Lock(lock))

    def read(self) -> dict[str, Any] | None:
        """Return the address that was left here by a client of our user, or None."""
        try:
            if hasattr(os, "getuid") and os.lstat(self.address).st_uid != os.getuid():
                return None
            address: dict[str, Any] = json.loads(self.address.read_text())
        except (OSError, ValueError):
            return None
        return address

    def write(self, address: dict[str, Any]) -> None:
        """Leave an address, readable by our user only."""
        fresh = self.address.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(address, file)
        os.replace(fresh, self.address)

    def forget(self, token: str) -> None:
        """Take the address with this token away."""
        try:
            with self.lock:
                address = self.read()
                if address is not None and address.get("token") != token:
                    return
                self.address.unlink(missing_ok=True)
        except OSError:
            return  # The folder has gone, and all in it.
