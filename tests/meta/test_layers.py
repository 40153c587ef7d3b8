"""The rooms of the house: who may import whom, and how large a room may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import pytest_sessionguard

PACKAGE = Path(pytest_sessionguard.__file__).parent
NAME = "pytest_sessionguard"

# Rooms from the ground up: each may import those below it; rooms of one floor know nothing of each
# other.
FLOORS: list[set[str]] = [
    {"project"},
    {"clock", "making", "model", "running", "shield", "detour", "tally", "extent", "files"},
    {"callsite", "identity", "survey"},
    {"accounts", "baseline"},
    {"ledger"},
    {"timeline"},
    {"watch", "rules", "instances"},
    {"verdicts", "leftovers", "postponed", "suppressions", "stocktaking", "hints"},
    {"endings"},
    {"guard"},
    {"boundary", "dependencies"},
    {"report", "postgres"},
    {"options"},
    {"settings"},
    {"inspection"},
    {"handle", "assertions"},
    {"fixtures"},
    {"plugin", "cli"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE) != Path("__init__.py")
)


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports_of(node: ast.AST) -> Iterator[tuple[str, int]]:
    """Every module that is imported at or below a node, with its line."""
    for child in ast.walk(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield alias.name, child.lineno
        elif isinstance(child, ast.ImportFrom):
            module = child.module or ""
            assert child.level == 0, f"line {child.lineno}: a relative import"
            yield module, child.lineno
            for alias in child.names:
                yield f"{module}.{alias.name}", child.lineno


def is_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def top_imports_of(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """What is imported as soon as the module is, and not for types only."""
    for node in tree.body:
        if is_for_types(node) or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.ClassDef):
            continue
        yield from imports_of(node)


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_every_room_has_a_floor() -> None:
    """The table above has every room of the package, and no room that is gone."""
    assert {room_of(path) for path in MODULES} == set(FLOOR)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_run_downwards(path: Path) -> None:
    """A room imports only rooms below it, in functions and for types too."""
    room = room_of(path)
    for module, line in imports_of(parse(path)):
        parts = module.split(".")
        if parts[0] != NAME or len(parts) < 2 or parts[1] not in FLOOR:
            continue
        below = FLOOR[parts[1]] < FLOOR[room]
        assert below or parts[1] == room, f"{name(path)}:{line} imports {parts[1]}"


def uses(path: Path, package: str) -> list[int]:
    return [line for module, line in imports_of(parse(path)) if module.split(".")[0] == package]


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_pytest_stays_at_the_top(path: Path) -> None:
    """Only plugin, fixtures and assertions know pytest."""
    if room_of(path) not in ("plugin", "fixtures", "assertions"):
        assert [] == uses(path, "pytest") + uses(path, "_pytest") + uses(path, "pluggy")


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_sqlalchemy_stays_where_it_is_watched(path: Path) -> None:
    """Only watch, instances and postgres know SQLAlchemy; fixtures inside functions, for types."""
    room = room_of(path)
    if room in ("watch", "postgres", "instances"):
        return
    if room == "fixtures":
        at_top = [line for module, line in top_imports_of(parse(path)) if "sqlalchemy" in module]
        assert [] == at_top
    else:
        assert [] == uses(path, "sqlalchemy") + uses(path, "greenlet")


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_size(path: Path) -> None:
    """No module is longer than 350 lines."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 350


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_every_module_says_what_it_is(path: Path) -> None:
    """Each module begins with its docstring, and annotations cost nothing."""
    tree = parse(path)
    assert ast.get_docstring(tree)
    assert "from __future__ import annotations" in path.read_text(encoding="utf-8") or not any(
        isinstance(node, ast.FunctionDef) for node in ast.walk(tree)
    )
