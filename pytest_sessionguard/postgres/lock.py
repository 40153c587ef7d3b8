"""A lock on a file, which the system gives back when its holder dies, however it dies."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType

from pytest_sessionguard.clock import Clock

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class Lock:
    """Lock a file or a folder for one process at a time.

    Args:
        path: the file, which is made where there is none; or a folder, which leaves nothing behind
            whenever its holder is killed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def take(self, *, create: bool = True) -> bool:
        """Take the lock if nobody holds it.

        Args:
            create: whether to make the file.

        Returns:
            Whether it is ours now.
        """
        flags = os.O_RDWR | (os.O_CREAT if create else 0)
        if self.path.is_dir():
            flags = os.O_RDONLY  # All that a folder can be opened for.
        while True:
            descriptor = os.open(self.path, flags, 0o600)
            if not _try_lock(descriptor):
                os.close(descriptor)
                return False
            # The last holder may have removed the file between our open and our lock: then ours is
            # a lock on nothing.
            try:
                same = sys.platform == "win32" or os.path.samestat(
                    os.fstat(descriptor), os.stat(self.path)
                )
            except FileNotFoundError:
                same = False
            if same:
                self._descriptor = descriptor
                return True
            os.close(descriptor)

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor is None:
            return
        os.close(self._descriptor)
        self._descriptor = None

    def __enter__(self) -> Lock:
        # Polled, for Windows has no lock to wait on with a way out, and a Ctrl-C has to be heard at
        # once.
        while not self.take():
            Clock.sleep(0.02)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
