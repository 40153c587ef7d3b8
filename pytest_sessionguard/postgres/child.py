"""Become another program, as an unprivileged user, that ends when the keeper ends.

Run as a script (`python -I -S child.py PARENT SIGNAL UID GID PROGRAM ARGUMENT...`) by
`cluster.run`; imports nothing of this package. It stands between `fork` and `exec` instead of a
`preexec_fn`, which can deadlock in a process with threads (subprocess's documentation), and it
starts as root, so that the interpreter may live where the unprivileged user cannot go.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def _find_prctl() -> Callable[..., object] | None:
    """Return the system call, or None: then a server whose keeper was killed waits for a sweep."""
    if sys.platform != "linux":
        return None
    try:
        import ctypes

        return ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return None


def main(arguments: list[str]) -> None:
    """Drop the privileges, tie this process to its parent, and become the program.

    Args:
        arguments: the parent's process id, the signal to get when it dies, a user and a group (-1:
            stay who we are), and the command.
    """
    parent, signal, uid, gid = (int(argument) for argument in arguments[:4])
    command = arguments[4:]
    # Imported before the privileges go: the library may be where only root can read.
    prctl = _find_prctl()
    try:
        if uid >= 0:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
    except OSError as error:
        sys.exit(f"cannot become user {uid}: {error.strerror}")
    os.umask(0o077)
    if prctl is not None:
        # After setuid, which clears it; it outlives the exec of a program without setuid bits (man
        # 2const PR_SET_PDEATHSIG). "Parent" is the thread that started us, so the keeper starts us
        # from its main thread.
        prctl(_PR_SET_PDEATHSIG, signal, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit("the keeper has gone")
    try:
        os.execv(command[0], command)
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
