"""What the guard costs: paired rounds without it and with it, in one process.

    python benchmarks/overhead.py                   # SQLite and an embedded Postgres
    python benchmarks/overhead.py --instructions    # counted by valgrind's cachegrind, if there
    python benchmarks/overhead.py --watch connections    # of connections and sessions alone

A ratio of 1.03 means that the work takes 3 % longer under the guard. Wall and CPU ratios are the
median over the pairs, with the quartiles; each figure compares rounds that ran one after the other,
so a machine whose speed drifts does not spoil them. Instructions are those of this process alone
(none of the server's, none of the kernel's), which makes them pessimistic. Where things come to lie
in memory moves them by some percent, so they are the mean over layouts that differ, each with an
environment of another size; the brackets hold the lowest and the highest.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workloads import Workload, make_workloads

from pytest_sessionguard.guard import Guard
from pytest_sessionguard.model import Owner
from pytest_sessionguard.postgres import PostgresSettings, attach, url_for
from pytest_sessionguard.watch.engines import EngineWatch
from pytest_sessionguard.watch.pools import PoolWatch
from pytest_sessionguard.watch.sessions import SessionWatch

# What SG101, SG102, SG103, SG201 and SG202 are judged by.
_CONNECTIONS = (EngineWatch, PoolWatch, SessionWatch)


def main() -> None:
    """Print the table."""
    options = _parse()
    with _databases(options) as databases:
        if options.only:
            _run_only(options, databases)
            return
        print(f"{'database':<10}{'work':<26}{'CPU time':>24}{'wall time':>24}{_title(options)}")
        for name, urls in databases.items():
            workloads, close = make_workloads(*urls)
            for workload in workloads:
                if options.match not in f"{name} {workload.name}":
                    continue
                cpu, wall = _compare(workload, options)
                line = f"{name:<10}{workload.name:<26}{_show(cpu):>24}{_show(wall):>24}"
                if options.instructions:
                    line += f"{_count(workload, name, options):>24}"
                print(line, flush=True)
            close()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30, help="pairs of rounds (30)")
    parser.add_argument(
        "--match", default="", help="only rows with this text, as in 'postgres sync'"
    )
    parser.add_argument(
        "--watch",
        choices=("everything", "connections"),
        default="everything",
        help="what the guard watches: everything, or connections and sessions alone",
    )
    parser.add_argument("--postgres", default="embedded", help="a door or a URL, or none")
    parser.add_argument("--instructions", action="store_true", help="count instructions too")
    parser.add_argument("--layouts", type=int, default=8, help="in so many memory layouts (8)")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--cycles", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--guarded", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.instructions and shutil.which("valgrind") is None:
        print("valgrind is not installed: no instructions are counted", file=sys.stderr)
        options.instructions = False
    return options


def _title(options: argparse.Namespace) -> str:
    return f"{'instructions':>24}" if options.instructions else ""


@contextmanager
def _databases(options: argparse.Namespace) -> Iterator[dict[str, tuple[object, object]]]:
    databases: dict[str, tuple[object, object]] = {
        "sqlite": ("sqlite://", "sqlite+aiosqlite://"),
    }
    if options.postgres == "none":
        yield databases
        return
    if options.only:
        url = os.environ["SESSIONGUARD_BENCHMARK_URL"]
        databases["postgres"] = (url_for(url, "psycopg"), url_for(url, "asyncpg"))
        yield databases
        return
    with tempfile.TemporaryDirectory() as folder:
        postgres = attach(
            PostgresSettings(door=options.postgres),
            run_folder=Path(folder),
            run_id="benchmark",
            client="main",
            say=lambda line: print(line, file=sys.stderr),
        )
        try:
            os.environ["SESSIONGUARD_BENCHMARK_URL"] = postgres.url
            databases["postgres"] = (postgres.url_for("psycopg"), postgres.url_for("asyncpg"))
            yield databases
        finally:
            postgres.close()


@contextmanager
def _guarded(watch: str) -> Iterator[None]:
    guard = Guard(str(Path.cwd()))
    guard.start()
    if watch == "connections":
        for watcher in guard._watchers._installed[:]:
            if not isinstance(watcher, _CONNECTIONS):
                guard._watchers._installed.remove(watcher)
                watcher.remove()
    guard.start_test(Owner("test", "benchmark"), {})
    try:
        yield
    finally:
        findings, _ = guard.end_test("benchmark", passed=True)
        guard.stop()
        if findings or guard.shield.fault:
            raise SystemExit(f"the benchmark itself is at fault: {findings or guard.shield.fault}")


def _compare(workload: Workload, options: argparse.Namespace) -> tuple[list[float], list[float]]:
    """Return the ratios of CPU and of wall time, pair by pair."""
    cpu_ratios, wall_ratios = [], []
    workload.run(workload.cycles)
    with _guarded(options.watch):
        workload.run(workload.cycles)
    for number in range(options.rounds):
        gc.collect()
        if number % 2:
            with _guarded(options.watch):
                cpu_with, wall_with = _measure(workload)
            cpu, wall = _measure(workload)
        else:
            cpu, wall = _measure(workload)
            with _guarded(options.watch):
                cpu_with, wall_with = _measure(workload)
        cpu_ratios.append(cpu_with / cpu)
        wall_ratios.append(wall_with / wall)
    return cpu_ratios, wall_ratios


def _measure(workload: Workload) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    workload.run(workload.cycles)
    return time.process_time() - cpu, time.perf_counter() - wall


def _show(ratios: list[float]) -> str:
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.3f} [{low:.3f}, {high:.3f}]"


def _count(workload: Workload, name: str, options: argparse.Namespace) -> str:
    """Return the ratio of instructions, over a few memory layouts."""
    ratios = []
    for layout in range(options.layouts):
        without, with_ = (
            _count_cycles(workload, name, layout, guard)
            for guard in ((), ("--guarded", "--watch", options.watch))
        )
        ratios.append(with_ / without)
    return f"{statistics.mean(ratios):.3f} [{min(ratios):.3f}, {max(ratios):.3f}]"


def _count_cycles(workload: Workload, name: str, layout: int, guard: tuple[str, ...]) -> float:
    """Return the instructions of the work alone: of many cycles less those of few."""
    few, many = workload.cycles, workload.cycles * 4
    counts = [_run_cachegrind(workload, name, layout, cycles, guard) for cycles in (few, many)]
    return (counts[1] - counts[0]) / (many - few)


def _run_cachegrind(
    workload: Workload, name: str, layout: int, cycles: int, guard: tuple[str, ...]
) -> int:
    command = [
        *("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"),
        *(sys.executable, __file__, "--only", f"{name}/{workload.name}", "--cycles", str(cycles)),
        *guard,
    ]
    # The environment moves the stack and the heap, and with them what collides in tables of hashes.
    sizes = random.Random(layout)
    padding = {f"PADDING_{n}": "x" * sizes.randrange(2000) for n in range(sizes.randrange(60))}
    environment = {**os.environ, **padding, "PYTHONHASHSEED": str(layout)}
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = re.search(r"I\s+refs:\s+([\d,]+)", output.stderr)
    if found is None:
        raise SystemExit(f"valgrind says nothing of instructions: {output.stderr[-500:]}")
    return int(found[1].replace(",", ""))


def _run_only(options: argparse.Namespace, databases: dict[str, tuple[object, object]]) -> None:
    name, _, work = options.only.partition("/")
    workloads, close = make_workloads(*databases[name])
    workload = next(workload for workload in workloads if workload.name == work)
    gc.freeze()
    gc.disable()  # when it runs depends on what came before, and is none of the work's
    if options.guarded:
        with _guarded(options.watch):
            workload.run(options.cycles)
    else:
        workload.run(options.cycles)
    close()


if __name__ == "__main__":
    main()
