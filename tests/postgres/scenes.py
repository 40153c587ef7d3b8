"""A scene of its own for each test: a temporary folder in which all that is left behind is seen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from pytest_sessionguard.postgres import Postgres, PostgresSettings, attach

ROOT = Path(__file__).parents[2]

CLIENT = """
import json, sys, time
from pathlib import Path
brief = json.loads(sys.argv[1])
sys.path[:0] = brief["path"]
from pytest_sessionguard.postgres import PostgresSettings, attach
say = lambda line: print(json.dumps({"say": line}), flush=True)
postgres = attach(PostgresSettings(brief["door"], brief["image"]), run_folder=Path(brief["run"]),
                  run_id=brief["run_id"], client=brief["client"], say=say)
told = {"url": postgres.url, "database": postgres.database, "port": postgres.port}
print(json.dumps(told), flush=True)
if brief["stay"]:
    sys.stdin.read()
postgres.close()
print(json.dumps({"closed": True}), flush=True)
"""


def processes_of(folder: Path) -> dict[int, str]:
    """Return the command lines of the processes that have this temporary folder."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            # The last is empty for a zombie, whose folder and sockets are gone.
            names = (place / "environ").read_bytes().split(b"\0")
            line = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            if line and (f"TMPDIR={folder}".encode() in names or str(folder) in line):
                found[int(place.name)] = line
    return found


def _parent_of(pid: int) -> int:
    """Return the parent of a process, or 0 where it is gone."""
    with suppress(OSError):
        # The name in parentheses may hold anything; the state and the parent follow it.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


class Scene:
    """Start clients in a temporary folder of their own, and see what they leave.

    Args:
        folder: the temporary folder.
        run: the run's folder.
        monkeypatch: pytest's.
    """

    def __init__(self, folder: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.run = run
        self.said: list[str] = []
        self._monkeypatch = monkeypatch
        self._stack = ExitStack()

    def attach(
        self,
        door: str = "embedded",
        client: str = "main",
        run_id: str = "r1",
        image: str = "postgres:17-alpine",
        run: Path | None = None,
        hold: tuple[int, str] | None = None,
    ) -> Postgres:
        """Attach this process."""
        postgres = attach(
            PostgresSettings(door, image),
            run_folder=run or self.run,
            run_id=run_id,
            client=client,
            say=self.said.append,
            hold=hold,
        )
        self._stack.callback(postgres.close)
        return postgres

    def start(
        self,
        door: str = "embedded",
        client: str = "gw0",
        *,
        stay: bool = True,
        image: str = "postgres:17-alpine",
        run_id: str = "r1",
        python: str = sys.executable,
        **options: Any,
    ) -> subprocess.Popen[str]:
        """Start another process that attaches, and stays until its input ends."""
        brief = {
            "path": [str(ROOT), *(place for place in sys.path if "site-packages" in place)],
            "door": door, "image": image, "run": str(self.run), "run_id": run_id,
            "client": client, "stay": stay,
        }  # fmt: skip
        process = subprocess.Popen(
            [python, "-c", CLIENT, json.dumps(brief)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, cwd="/", **options,
        )  # fmt: skip
        self._stack.callback(self._end, process)
        return process

    @staticmethod
    def _end(process: subprocess.Popen[str]) -> None:
        with process:
            process.kill()

    @staticmethod
    def read(process: subprocess.Popen[str]) -> dict[str, Any]:
        """Read a client's next line; fail with its last words if it ended."""
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        assert line, process.stderr.read()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def read_url(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """Read a client's lines up to the one that says where its database is."""
        while "url" not in (answer := self.read(process)):
            pass
        return answer

    def keepers(self) -> list[int]:
        """Return the keepers that run in this scene."""
        found = [pid for pid, line in processes_of(self.folder).items() if "start(brief)" in line]
        # What a keeper starts looks like a keeper between its `fork` and its `exec`.
        return [pid for pid in found if _parent_of(pid) not in found]

    def servers(self) -> list[int]:
        """Return the Postgres servers (not their children) that run in this scene."""
        return [pid for pid, line in processes_of(self.folder).items() if "/postgres -D" in line]

    def leftovers(self) -> list[str]:
        """Return every process and file that is left."""
        left = [f"{pid}: {line}" for pid, line in processes_of(self.folder).items()]
        # By os.walk, which does not mind what vanishes under its feet.
        for place in (self.folder, self.run):
            for folder, folders, files in os.walk(place):
                left += [os.path.join(folder, name) for name in folders + files]
        return left

    def assert_nothing_left(self, seconds: float = 10.0) -> None:
        """Fail if a process or a file stays for longer than that."""
        assert wait_for(lambda: not self.leftovers(), seconds), self.leftovers()

    def close(self) -> None:
        """End all, also after a failure, so that the next test begins on clean ground."""
        self._stack.close()
        if not wait_for(lambda: not processes_of(self.folder), 10):
            for pid in processes_of(self.folder):
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until a condition holds, and tell whether it does."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
