"""The public names, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import pytest_sessionguard

ROOT = Path(__file__).parents[2]


def test_all_is_sorted() -> None:
    """The public names stand in order, each once."""
    names = pytest_sessionguard.__all__
    assert sorted(set(names)) == names


@pytest.mark.parametrize("name", pytest_sessionguard.__all__)
def test_public_name(name: str) -> None:
    """Each public name can be imported, and has a docstring."""
    thing = getattr(pytest_sessionguard, name)
    assert name == thing.__name__
    assert thing.__doc__


def test_dir() -> None:
    """The package lists its public names."""
    assert pytest_sessionguard.__all__ == dir(pytest_sessionguard)


def test_unknown_name() -> None:
    """A name that the package does not have is missed as in any module."""
    with pytest.raises(AttributeError, match="'pytest_sessionguard' has no attribute 'nonsense'"):
        _ = pytest_sessionguard.nonsense


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        env={"PATH": "", "PYTHONPATH": str(ROOT)},
    )
    assert "" == done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "statement",
    [
        "import pytest_sessionguard",
        "import pytest_sessionguard.plugin",
        "import pytest_sessionguard.guard, pytest_sessionguard.rules",
        "from pytest_sessionguard import assert_no_leaked_connections",
        "from pytest_sessionguard import SessionGuardWarning, LeakedConnectionError, LeakCheck",
        "from pytest_sessionguard.guard import Guard; Guard('/').start()",
    ],
)
def test_imports_no_sqlalchemy(statement: str) -> None:
    """A project that does not use SQLAlchemy does not pay for it, nor for a driver."""
    heavy = ("sqlalchemy", "asyncpg", "psycopg", "greenlet", "testcontainers", "docker")
    told = run(f"{statement}\nimport sys\nprint([n for n in {heavy} if n in sys.modules])")
    assert "[]" == told


def test_package_imports_nothing() -> None:
    """The package itself brings neither pytest nor any of its own modules."""
    told = run(
        "import pytest_sessionguard, sys\n"
        "print([n for n in sys.modules if n.startswith(('pytest_sessionguard.', '_pytest'))])"
    )
    assert "[]" == told


def test_typed() -> None:
    """The package says that it is typed."""
    assert (Path(pytest_sessionguard.__file__).parent / "py.typed").exists()
