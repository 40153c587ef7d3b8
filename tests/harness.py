"""A suite of a stranger, run by pytest, and what came of it.

Tests speak of outcomes and findings; only those of the report speak of text. In a subprocess this
module is itself the plugin (``-p harness``) that writes down what happened.
"""

from __future__ import annotations

import gc
import json
import os
import re
import textwrap
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pytest_sessionguard import guard as guard_module
from pytest_sessionguard.model import Finding

_RECORD = "HARNESS_RECORD"
_HERE = str(Path(__file__).parent)
# To import hypothesis takes a second of each process, and no stranger's suite here uses it.
_LEAN = ("-p", "no:hypothesispytest")


class Recorder:
    """A plugin that writes down outcomes, findings and warnings of a run."""

    def __init__(self, path: str = "") -> None:
        self._path = path
        self.outcomes: dict[str, list[str]] = {}
        self.told: list[tuple[str, str, str]] = []
        self.sections: dict[str, list[tuple[str, str]]] = {}
        self.warnings: list[tuple[str, str]] = []
        self.findings: list[dict[str, Any]] = []
        self.tally = (0, 0, 0)
        self.fault = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note each phase that is worth a word, as pytest's summary would call it."""
        words = self.outcomes.setdefault(report.nodeid, [])
        word = _name_outcome(report)
        if word:
            words.append(word)
        self.told.append((report.nodeid, word, _clean(report.longreprtext)))
        for title, text in report.sections:
            if title.startswith("sessionguard"):
                self.sections.setdefault(report.nodeid, []).append((title, text))

    def pytest_warning_recorded(self, warning_message: Any) -> None:
        """Note a warning."""
        category = warning_message.category.__name__
        self.warnings.append((category, str(warning_message.message)))

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """Ask the guard for what it found, and write it all down."""
        hooks = config.pluginmanager.get_plugin("sessionguard-summary")
        if hooks is not None:
            summary = hooks._summary
            self.findings = [finding.to_json() for finding in summary.findings]
            tally = summary.tally
            self.tally = (tally.tests, tally.engines, tally.sessions)
            self.fault = summary.fault
        if self._path:
            record = {name: value for name, value in vars(self).items() if name != "_path"}
            Path(self._path).write_text(json.dumps(record), encoding="utf-8")


def pytest_configure(config: pytest.Config) -> None:
    """Record the run, where this module is a plugin of it and no worker."""
    path = os.environ.get(_RECORD)
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(path), "harness-recorder")


@dataclass
class Run:
    """What came of a run.

    Attributes:
        exit: pytest's exit code.
        text: What stood on the screen, standard output and errors.
        outcomes: For each test what its phases came to: ``passed``, ``error at teardown``, ...
        told: Each report's test, word and text of failure, in order.
        findings: What the guard found.
        sections: The guard's sections of each report.
        warnings: Each warning's category and text.
        tally: Tests judged, engines seen, sessions seen.
        fault: The guard's own fault.
    """

    exit: int
    text: str
    outcomes: dict[str, list[str]] = field(default_factory=dict)
    told: list[tuple[str, str, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    sections: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    tally: tuple[int, int, int] = (0, 0, 0)
    fault: str = ""

    @property
    def found(self) -> list[str]:
        """Return each finding as its rule's code and its owner's name."""
        return sorted(f"{finding.rule} {finding.owner.name}" for finding in self.findings)

    @property
    def results(self) -> dict[str, str]:
        """Return what each test came to, by its short name."""
        return {nodeid.split("::")[-1]: ", ".join(o) for nodeid, o in self.outcomes.items()}

    @property
    def closing(self) -> str:
        """Return the line that closes the run."""
        lines = [
            line for line in self.text.splitlines() if re.match(r"sessionguard: \d+ test", line)
        ]
        return lines[-1] if lines else ""

    @property
    def header(self) -> str:
        """Return the guard's line of the header."""
        lines = [line for line in self.text.splitlines() if line.startswith("sessionguard: ")]
        return next((line for line in lines if line != self.closing), "")

    def failure(self, name: str) -> str:
        """Return the texts of failure of one test.

        Args:
            name: Its short name.

        Returns:
            What its reports say.
        """
        return "\n".join(text for nodeid, _, text in self.told if nodeid.endswith(f"::{name}"))

    def is_clean(self) -> bool:
        """Assert that all passed, something was judged and nothing found."""
        assert self.found == [], self.text
        assert self.exit == 0, self.text
        assert set(self.results.values()) == {"passed"}, self.text
        assert self.tally[0] > 0
        assert self.fault == ""
        return True

    def shows(self, block: str) -> bool:
        """Assert that lines stand in the text, exactly and consecutively.

        Args:
            block: The lines; their common indent is taken off.
        """
        wanted = textwrap.dedent(block).strip("\n").splitlines()
        size = len(wanted)
        lines = [line.rstrip() for line in self.text.splitlines()]
        parts = ["\n".join(lines[i : i + size]) for i in range(len(lines) - size + 1)]
        assert any(textwrap.dedent(part).splitlines() == wanted for part in parts), (
            f"not shown:\n{textwrap.dedent(block)}\n--- but ---\n{self.text}"
        )
        return True


class Project:
    """Files of a suite, in a folder of its own.

    Args:
        pytester: pytest's own helper, whose folder the files go to.
        files: Their texts by their paths.
    """

    def __init__(self, pytester: pytest.Pytester, files: Mapping[str, str]) -> None:
        self._pytester = pytester
        self.path = pytester.path
        self._runs = 0
        for name, text in files.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        """Write one file.

        Args:
            name: Its path.
            text: Its text; the common indent is taken off.
        """
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")

    def run(
        self,
        *args: str,
        subprocess: bool = False,
        timeout: float = 60,
        sabotage: Callable[[pytest.MonkeyPatch], None] = lambda patch: None,
        **env: str,
    ) -> Run:
        """Run pytest on the suite, by default in this process.

        Args:
            args: Arguments; with ``-n`` the run gets a process of its own, and needs pytest-xdist.
            subprocess: Whether the run gets a process of its own.
            timeout: How many seconds such a process may take.
            sabotage: What to break of the guard while the run lasts, in this process.
            env: Variables of the environment.

        Returns:
            What came of it.
        """
        if any(arg.startswith("-n") for arg in args):
            pytest.importorskip("xdist")
            subprocess = True
        if subprocess:
            return self._run_apart(args, timeout, env)
        with _alone(), pytest.MonkeyPatch.context() as patch:
            for name, value in env.items():
                patch.setenv(name, value)
            sabotage(patch)
            return self._run_here(args)

    def _run_here(self, args: Iterable[str]) -> Run:
        recorder = Recorder()
        try:
            with warnings.catch_warnings(record=True):
                # The filters of our own suite are none of the stranger's.
                warnings.resetwarnings()
                result = self._pytester.runpytest_inprocess(*_LEAN, *args, plugins=[recorder])
        finally:
            tidy_up()
        return _read_run(result, vars(recorder))

    def _run_apart(self, args: Iterable[str], timeout: float, env: Mapping[str, str]) -> Run:
        self._runs += 1
        record = self.path / f".record-{self._runs}.json"
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**env, _RECORD: str(record)}.items():
                patch.setenv(name, value)
            patch.setenv("PYTHONPATH", _HERE)
            result = self._pytester.runpytest_subprocess(
                *_LEAN, "-p", "harness", *args, timeout=timeout
            )
        data = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
        return _read_run(result, data)


@contextmanager
def _alone() -> Iterator[None]:
    """Let the guard of our own run look away: what a stranger leaks is no fault of ours."""
    own, guard_module._active[:] = guard_module._active[:], []
    for guard in own:
        guard._watchers.remove()
    try:
        yield
    finally:
        guard_module._active[:] = own
        for guard in own[-1:]:
            guard.look()


def tidy_up() -> None:
    """Let go of what a suite run in this process has leaked; aiosqlite's threads never end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()
        if any("_connection_worker_thread" in thread.name for thread in threading.enumerate()):
            for thing in gc.get_objects():
                if type(thing).__module__ == "aiosqlite.core" and hasattr(thing, "_tx"):
                    _stop(thing)
            gc.collect()


def _stop(connection: Any) -> None:
    # Of the very module that the thread runs, should a suite have imported it anew.
    end = type(connection).stop.__globals__["_STOP_RUNNING_SENTINEL"]
    inner, connection._connection = connection._connection, None

    def close() -> object:
        if inner is not None:
            inner.close()
        return end

    if connection._thread.is_alive():
        connection._tx.put_nowait((None, close))
        connection._thread.join(5)


def _read_run(result: pytest.RunResult, data: Mapping[str, Any]) -> Run:
    text = _clean("\n".join([*result.outlines, *result.errlines]))
    return Run(
        exit=int(result.ret),
        text=text,
        outcomes=data.get("outcomes", {}),
        told=[tuple(told) for told in data.get("told", ())],
        findings=[Finding.from_json(finding) for finding in data.get("findings", ())],
        sections=data.get("sections", {}),
        warnings=[tuple(warning) for warning in data.get("warnings", ())],
        tally=tuple(data.get("tally", (0, 0, 0))),  # type: ignore[arg-type]
        fault=data.get("fault", ""),
    )


def _name_outcome(report: Any) -> str:
    if type(report).__name__ == "SubtestReport" and report.outcome != "passed":
        return f"subtest {report.outcome}"
    if type(report).__name__ == "SubtestReport":
        return ""
    if report.outcome == "rerun":
        return "rerun"
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    if report.when == "call" or report.skipped:
        return str(report.outcome)
    return f"error at {report.when}" if report.failed else ""


def _clean(text: str) -> str:
    text = re.sub(r"\bin \d+\.\d\ds(?: \([\d:]+\))?", "in 0.00s", text)
    return re.sub(r"0x[0-9a-f]+", "0x0", text)


# What most suites here have beside their tests: an engine with a real pool, and code that leaks.
APP = """
    from sqlalchemy import create_engine, text
    from sqlalchemy.orm import Session, sessionmaker

    engine = create_engine("sqlite:///app.db")
    factory = sessionmaker(engine)
    kept = []

    def leak():
        connection = engine.connect()
        kept.append(connection)
        return connection.scalar(text("SELECT 1"))

    def forget():
        return engine.connect().scalar(text("SELECT 1"))

    def fine():
        with engine.connect() as connection:
            return connection.scalar(text("SELECT 1"))

    def leave_open():
        session = Session(engine)
        session.execute(text("SELECT 1"))
        session.commit()

    def use_after():
        with Session(engine) as session:
            session.execute(text("SELECT 1"))
        kept.append(session)
        return session.scalar(text("SELECT 1"))
"""

ASYNC_APP = """
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

    engine = create_async_engine("sqlite+aiosqlite:///app.db")
    factory = async_sessionmaker(engine)
    kept = []

    async def leak():
        connection = await engine.connect()
        kept.append(connection)
        return await connection.scalar(text("SELECT 1"))

    async def forget():
        connection = await engine.connect()
        return await connection.scalar(text("SELECT 1"))

    async def fine():
        async with engine.connect() as connection:
            return await connection.scalar(text("SELECT 1"))

    async def leave_open():
        session = AsyncSession(engine)
        await session.execute(text("SELECT 1"))
        await session.commit()

    async def use_after():
        async with AsyncSession(engine) as session:
            await session.execute(text("SELECT 1"))
        kept.append(session)
        return await session.scalar(text("SELECT 1"))
"""
