"""Modules that are awaited: seen when they arrive, whoever imports them and however."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_sessionguard.shield import Shield
from pytest_sessionguard.watch.arrivals import Arrivals

NAME = "late_module"
SOURCE = "value = 1\n"


class Seen:
    """What arrives, and the value of the module at that time."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.shield = Shield()
        actions = {NAME: self.take, f"{NAME}.part": self.take}
        self.arrivals = Arrivals(actions, self.shield)

    def take(self) -> None:
        """Enter that a module is there."""
        self.values.append(getattr(sys.modules[NAME], "value", None))


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Seen]:
    """Await a module that lies in a folder of this test's own."""
    (tmp_path / f"{NAME}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    seen, before = Seen(), list(sys.meta_path)
    seen.arrivals.begin()
    assert sys.meta_path[0] is seen.arrivals
    yield seen
    seen.arrivals.end()
    assert sys.meta_path == before
    assert seen.shield.fault is None
    for name in [name for name in sys.modules if name.startswith(NAME)]:
        del sys.modules[name]


def test_import(seen: Seen) -> None:
    """It is told once, when the module has been run, and nothing of that stays with the module."""
    module = importlib.import_module(NAME)
    assert seen.values == [1]
    assert importlib.import_module(NAME) is module
    assert seen.values == [1]
    assert module.__spec__ is not None
    assert "exec_module" not in vars(module.__spec__.loader)


def test_others(seen: Seen) -> None:
    """Of other modules nothing is told, nor after the end."""
    assert seen.arrivals.find_spec("json") is None
    seen.arrivals.end()
    importlib.import_module(NAME)
    assert seen.values == []


def test_all_there(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is missing any more the finder goes."""
    importlib.import_module(NAME)
    seen.arrivals.begin()
    assert sys.meta_path.count(seen.arrivals) == 1
    monkeypatch.setitem(sys.modules, f"{NAME}.part", sys)
    seen.arrivals.begin()
    assert seen.arrivals not in sys.meta_path


def test_find_spec(seen: Seen) -> None:
    """To look for a module is not to import it, and shows the spec that it had anyway."""
    seen.arrivals.end()
    plain = importlib.util.find_spec(NAME)
    seen.arrivals.begin()
    spec = importlib.util.find_spec(NAME)
    assert spec is not None
    assert plain is not None
    assert (spec.origin, type(spec.loader)) == (plain.origin, type(plain.loader))
    assert seen.values == []
    importlib.import_module(NAME)
    assert seen.values == [1]


def test_end_between(seen: Seen) -> None:
    """Whoever was asked for a spec before the end, and runs the module after it, tells nobody."""
    spec = importlib.util.find_spec(NAME)
    assert spec is not None
    assert spec.loader is not None
    seen.arrivals.end()
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.value == 1
    assert seen.values == []


def test_lazy_loader(seen: Seen) -> None:
    """A module that runs at its first use arrives then."""
    spec = importlib.util.find_spec(NAME)
    assert spec is not None
    assert spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    spec.loader.exec_module(module)
    assert seen.values == []
    assert module.value == 1
    assert seen.values == [1]


def test_reload(seen: Seen) -> None:
    """A module that is loaded once more arrives once more."""
    module = importlib.import_module(NAME)
    module.value = 2
    assert importlib.reload(module).value == 1
    assert seen.values == [1, 1]


def test_failing(seen: Seen, tmp_path: Path) -> None:
    """A module that raises has not arrived; its exception is its own, and it may come later."""
    file = tmp_path / f"{NAME}.py"
    file.write_text("raise ValueError('mine, and long')\n")
    with pytest.raises(ValueError, match="mine"):
        importlib.import_module(NAME)
    assert seen.values == []
    file.write_text(SOURCE)
    importlib.invalidate_caches()
    assert importlib.import_module(NAME).value == 1
    assert seen.values == [1]


def test_missing(seen: Seen, tmp_path: Path) -> None:
    """A module that nobody finds is missing as ever."""
    (tmp_path / f"{NAME}.py").unlink()
    importlib.invalidate_caches()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(NAME)


class Blocker:
    """A finder that forbids the module."""

    def find_spec(self, name: str, *_: Any) -> None:
        """Refuse it."""
        if name == NAME:
            raise ImportError("forbidden")


@pytest.mark.parametrize("position", (0, 1))
def test_blocked(seen: Seen, position: int) -> None:
    """Another finder's refusal is heard, wherever it stands."""
    blocker = Blocker()
    sys.meta_path.insert(position, blocker)
    try:
        with pytest.raises(ImportError, match="forbidden"):
            importlib.import_module(NAME)
    finally:
        sys.meta_path.remove(blocker)
    assert importlib.import_module(NAME).value == 1
    assert seen.values == [1]


class Curious:
    """A finder that asks all finders, ours among them, as hooks of other tools do."""

    asks = False

    def find_spec(self, name: str, *_: Any) -> Any:
        """Ask them unless they ask back."""
        if name != NAME or self.asks:
            return None
        self.asks = True
        try:
            return importlib.util.find_spec(name)
        finally:
            self.asks = False


@pytest.mark.parametrize("position", (0, 1))
def test_finders_that_ask(seen: Seen, position: int) -> None:
    """Two that ask each other come to an end, and it is told once."""
    curious = Curious()
    sys.meta_path.insert(position, curious)
    try:
        assert importlib.import_module(NAME).value == 1
    finally:
        sys.meta_path.remove(curious)
    assert seen.values == [1]


def test_zip(seen: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loader that loads many modules tells of the awaited ones only."""
    (tmp_path / f"{NAME}.py").unlink()
    archive = tmp_path / "late.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(f"{NAME}/__init__.py", f"import {NAME}_other\n{SOURCE}")
        file.writestr(f"{NAME}/part.py", "")
        file.writestr(f"{NAME}_other.py", "")
    monkeypatch.syspath_prepend(str(archive))
    module = importlib.import_module(NAME)
    assert seen.values == [1]
    assert "exec_module" not in vars(module.__loader__)
    importlib.import_module(f"{NAME}.part")
    assert seen.values == [1, 1]


class Closed:
    """A loader that takes no attribute."""

    __slots__ = ()

    def create_module(self, spec: Any) -> None:
        """Let Python make it."""

    def exec_module(self, module: Any) -> None:
        """Run it."""
        module.value = 3


def test_loaders_that_cannot_tell(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loader that nothing can be hung on loads as ever."""
    spec = importlib.util.spec_from_loader(NAME, Closed())  # type: ignore[arg-type]
    finder = type("Finder", (), {"find_spec": lambda self, name, *_: name == NAME and spec or None})
    with monkeypatch.context() as patch:
        patch.setattr(sys, "meta_path", [*sys.meta_path[:1], finder(), *sys.meta_path[1:]])
        assert importlib.import_module(NAME).value == 3
    assert seen.values == []


def test_threads(seen: Seen, tmp_path: Path) -> None:
    """Of several threads that import it at the same time, one runs it and tells."""
    (tmp_path / f"{NAME}.py").write_text(f"import time\ntime.sleep(0.05)\n{SOURCE}")
    threads = [threading.Thread(target=importlib.import_module, args=[NAME]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen.values == [1]


def test_fault(seen: Seen) -> None:
    """A fault in what is to happen is the shield's."""

    def fail() -> None:
        raise ZeroDivisionError("deliberate")

    shield = Shield()
    arrivals = Arrivals({NAME: fail}, shield)
    arrivals.begin()
    try:
        assert importlib.import_module(NAME).value == 1
    finally:
        arrivals.end()
    assert isinstance(shield.fault, ZeroDivisionError)
