"""A server of our own, from `initdb` and `postgres`: what the doors embedded and path share."""

from __future__ import annotations

import locale
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from pytest_sessionguard.postgres.account import Account
from pytest_sessionguard.postgres.errors import DoorError
from pytest_sessionguard.postgres.server import Address, Server, Site

USER = "sessionguard"
LOOPBACK = "127.0.0.1"

# What makes a server fast that may lose everything, and modest in what it takes.
SPEED = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
}
_OWN = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "logging_collector": "off",
    "log_destination": "stderr",
    "lc_messages": "C",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    # Files in the data folder, not in /dev/shm: nothing stays there after a kill, and a container's
    # 64 MB do.
    "dynamic_shared_memory_type": "mmap",
}
_INITDB_PATIENCE = 180.0
_START_PATIENCE = 60.0
_STOP_PATIENCE = 15.0
_PORT_ATTEMPTS = 10
_FATAL = re.compile(r"(?:FATAL|PANIC|ERROR|error|initdb: error):\s+(?P<text>.+)")


def open_cluster(door: str, binaries: Path, account: Account | None, site: Site) -> Server:
    """Make a cluster in the keeper's folder and start its server.

    Args:
        door: for which door.
        binaries: the folder of `initdb` and `postgres`, which the account can reach.
        account: whom to run them as; None for ourselves.
        site: the keeper's.

    Returns:
        The server, listening on loopback only, with a random password.

    Raises:
        DoorError: if a binary fails.
        Abandoned: if the last client left meanwhile.
    """
    version = ask_version(binaries)
    password = secrets.token_urlsafe(24)
    site.say(f"starting Postgres {version} ({door}): initdb")
    data = site.home.data
    try:
        data.mkdir(mode=0o700)
        if account is not None:
            os.chown(data, account.uid, account.gid)
    except OSError as error:
        raise DoorError(
            f"cannot give {data} to the user of the server: {error.strerror}", _mend(account)
        ) from None
    _initialise(binaries, data, account, password, version, site)
    for attempt in range(1, _PORT_ATTEMPTS + 1):
        port = free_port()
        site.say(f"starting Postgres {version} ({door}): server on {LOOPBACK}:{port}")
        process = _start(binaries, data, account, port, site)
        try:
            taken = not _wait_ready(process, data, account, site)
        except BaseException:
            _stop(process)
            raise
        if not taken:
            address = Address(LOOPBACK, port, USER, password, "postgres")
            return Server(door, address, lambda process=process: _stop(process))  # type: ignore[misc]
        site.say(f"port {port} was taken meanwhile, trying another ({attempt} of {_PORT_ATTEMPTS})")
    raise DoorError(
        "every free port was taken before the server had it",
        "run again, or give a server by its URL",
    )


def _mend(account: Account | None) -> str:
    """Name what is left to do where a binary fails, which says itself why."""
    url = "give a server by its URL: --sessionguard-postgres=URL"
    return url if account is None else f"run as a user that is not root, or {url}"


def ask_version(binaries: Path) -> str:
    """Ask the binaries for their version.

    Args:
        binaries: their folder.

    Returns:
        It, as `18.6`.

    Raises:
        DoorError: if they do not run.
    """
    try:
        # By initdb, for `postgres` itself says its version to anybody, but its other programs may
        # lack a library.
        told = subprocess.run(
            [str(binaries / "initdb"), "--version"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=True,
            env=_environment(),
        )  # fmt: skip
        return told.stdout.split(")", 1)[-1].split()[0]
    except subprocess.CalledProcessError as error:
        reason = (error.stderr or "").strip().splitlines()[-1:] or [
            f"it ended with {error.returncode}"
        ]
        raise DoorError(
            f"{binaries / 'initdb'} does not run: {reason[0]}", "install Postgres for this system"
        ) from None
    except (OSError, subprocess.SubprocessError, IndexError) as error:
        raise DoorError(
            f"{binaries / 'initdb'} does not run: {error}", "install Postgres for this system"
        ) from None


def free_port() -> int:
    """Return a port of loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _environment() -> dict[str, str]:
    # PG* would steer the binaries elsewhere; a foreign locale would put their messages into another
    # language.
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PG", "LC_", "LANG"))
    }
    return {**kept, "LC_ALL": "C"}


def _locale_options(version: str) -> list[str]:
    # Sorts by code point, as the official alpine image does, and yet knows the case of all letters.
    major = re.match(r"\d+", version)
    if major and int(major.group()) >= 17:
        return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    before = locale.setlocale(locale.LC_CTYPE)
    for name in ("C.UTF-8", "en_US.UTF-8"):
        with suppress(locale.Error):
            locale.setlocale(locale.LC_CTYPE, name)
            locale.setlocale(locale.LC_CTYPE, before)
            return ["--locale=C", f"--lc-ctype={name}"]
    return ["--locale=C"]


def run(
    command: Sequence[str], account: Account | None, output: BinaryIO, number: int
) -> subprocess.Popen[bytes]:
    """Start a program that ends with this process and runs as an unprivileged user.

    Args:
        command: its absolute path and its arguments.
        account: the user; None for ourselves.
        output: where its output goes.
        number: the signal that it gets when this process dies (Linux).

    Returns:
        Its process.
    """
    uid, gid = (account.uid, account.gid) if account else (-1, -1)
    become = [sys.executable, "-I", "-S", str(Path(__file__).with_name("child.py"))]
    return subprocess.Popen(
        [*become, str(os.getpid()), str(int(number)), str(uid), str(gid), *command],
        stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=_environment(), cwd="/",
    )  # fmt: skip


def _initialise(
    binaries: Path, data: Path, account: Account | None, password: str, version: str, site: Site
) -> None:
    secret = site.home.path / "password"
    log = site.home.path / "door" / "initdb.log"
    with open(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(password + "\n")
    if account is not None:
        os.chown(secret, account.uid, account.gid)
    command = [
        str(binaries / "initdb"), f"--pgdata={data}", f"--username={USER}", f"--pwfile={secret}",
        "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync", *_locale_options(version),
    ]  # fmt: skip
    try:
        with open(log, "wb") as output:
            process = run(command, account, output, signal.SIGKILL)
        try:
            end = time.monotonic() + _INITDB_PATIENCE
            while process.poll() is None:
                site.go_on()
                if time.monotonic() > end:
                    raise DoorError(
                        f"initdb took more than {_INITDB_PATIENCE:.0f} s",
                        "see how busy this machine is",
                    )
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.05)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode:
            raise DoorError(
                f"initdb failed: {_last_words(log, process.returncode)}", _mend(account)
            )
    finally:
        secret.unlink(missing_ok=True)


def _start(
    binaries: Path, data: Path, account: Account | None, port: int, site: Site
) -> subprocess.Popen[bytes]:
    options = [f"-c{name}={value}" for name, value in {**SPEED, **_OWN, "port": str(port)}.items()]
    with open(_server_log(site), "wb") as output:
        # SIGQUIT: the server ends at once, with all its processes, and gives its shared memory
        # back.
        return run(
            [str(binaries / "postgres"), "-D", str(data), *options], account, output, signal.SIGQUIT
        )


def _server_log(site: Site) -> Path:
    return site.home.path / "door" / "server.log"


def _wait_ready(
    process: subprocess.Popen[bytes], data: Path, account: Account | None, site: Site
) -> bool:
    """Wait until the server takes connections; return False if its port was taken.

    Line 8 of postmaster.pid says so ("ready", LOCK_FILE_LINE_PM_STATUS in miscadmin.h), as pg_ctl
    has read it since Postgres 10.
    """
    end = time.monotonic() + _START_PATIENCE
    while process.poll() is None:
        site.go_on()
        with suppress(OSError, IndexError):
            lines = (data / "postmaster.pid").read_text(errors="replace").split("\n")
            if lines[7].strip() == "ready":
                return True
        if time.monotonic() > end:
            raise DoorError(
                f"the server was not ready after {_START_PATIENCE:.0f} s",
                "see how busy this machine is",
            )
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
    log = _server_log(site)
    if "Address already in use" in log.read_text(errors="replace"):
        return False
    raise DoorError(
        f"the server ended at its start: {_last_words(log, process.returncode)}", _mend(account)
    )


def _last_words(log: Path, code: int) -> str:
    text = log.read_text(errors="replace") if log.exists() else ""
    found = [match["text"].strip() for match in _FATAL.finditer(text)]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (found[:1] or lines[-1:] or [f"it ended with {code}"])[0]


def _stop(process: subprocess.Popen[bytes]) -> None:
    # Immediate, without a last checkpoint: the data is thrown away.
    for number in (signal.SIGQUIT, signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_PATIENCE)
                return


def copy_aside(folders: Mapping[Path, Path]) -> None:
    """Copy an installation to where the server's user can reach it.

    Args:
        folders: what to copy, and to which places that do not exist yet.

    Raises:
        DoorError: if it cannot be copied.
    """
    needless = shutil.ignore_patterns("include", "*.a", "pgxs", "pkgconfig", "doc")
    for source, target in folders.items():
        try:
            shutil.copytree(source, target, symlinks=True, ignore=needless)
            for folder, _, files in os.walk(target):
                os.chmod(folder, 0o755)
                for name in files:
                    path = os.path.join(folder, name)
                    if not os.path.islink(path):
                        os.chmod(path, 0o755 if os.stat(path).st_mode & 0o100 else 0o644)
        except (OSError, shutil.Error) as error:
            reason = f"cannot copy {source} to {target}: {error}"
            raise DoorError(reason, "give TMPDIR more room") from None
