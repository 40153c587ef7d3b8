"""Hooks about the Postgres that tests ask for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_sessionguard.fixtures import HOLD, show
from pytest_sessionguard.plugin.refusal import refuse
from pytest_sessionguard.settings import Settings

if TYPE_CHECKING:
    from pytest_sessionguard.postgres import Hold, Survey


class PostgresHooks:
    """Hooks that look at the doors to a Postgres before a test asks for one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._survey: Survey | None = None
        self._hold: Hold | None = None

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Let the server that a worker starts stay for the others, and hear how it gets on."""
        if self._hold is None:
            from pytest_sessionguard.postgres import Hold

            self._hold = Hold(partial(show, node.config))
        node.workerinput[HOLD] = self._hold.key

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Let go of the server, and wait until it is gone."""
        if self._hold is not None:
            self._hold.end()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Stop before the first test where a test wants a Postgres and no door may open."""
        from pytest_sessionguard.postgres import NoDoorError, survey

        wanted = any(
            "sessionguard_postgres" in getattr(item, "fixturenames", ()) for item in session.items
        )
        if wanted and not session.config.option.collectonly:
            self._survey = survey(self._settings.postgres)
            if self._survey.chosen is None:
                text = str(NoDoorError(self._survey.refusals))
                refuse(session.config, session.items, text)

    def pytest_report_collectionfinish(self) -> list[str]:
        """Say which door will be tried first, and why those before it will not."""
        if self._survey is None:
            return []
        return [f"sessionguard_postgres: {'; '.join(self._survey.lines())}"]
