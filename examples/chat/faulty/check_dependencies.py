"""What the sessions of the chat promise, whatever happens in their block."""

from collections.abc import Callable
from typing import Any

import pytest
from chat import db
from sqlalchemy import Engine

from pytest_sessionguard import assert_dependency_closes

DEPENDENCIES = [getattr(db, name) for name in ("get_db", "get_read_db") if hasattr(db, name)]


@pytest.mark.parametrize("dependency", DEPENDENCIES, ids=lambda d: d.__name__)
def test_dependency(engine: Engine, dependency: Callable[..., Any]) -> None:
    assert_dependency_closes(dependency)
