"""Sessions that a repository, a service or a unit of work opens as it is made."""

from __future__ import annotations

import pytest

APP = """
    from sqlalchemy import create_engine, text
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
    from sqlalchemy.orm import Session, sessionmaker

    SELECT = text("SELECT 1")
    engine = create_engine("sqlite:///app.db")
    async_engine = create_async_engine("sqlite+aiosqlite:///app.db")
    factory = sessionmaker(engine)
    async_session = async_sessionmaker(async_engine)
    kept = []

    class Repository:
        def __init__(self):
            self.session = factory()

    class Special(Repository):
        def __init__(self):
            super().__init__()

    class Service:
        def __init__(self):
            self.session = async_session()

    class Own(Session):
        def __init__(self, bind=None, **options):
            super().__init__(bind, **options)

    class OwnOfOwn(Own):
        def __init__(self):
            super().__init__(engine)

    class OwnAsync(AsyncSession):
        sync_session_class = Own

        def __init__(self):
            super().__init__(async_engine)

    class RepositoryOfOwn:
        def __init__(self):
            self.session = OwnOfOwn()

    class ServiceOfOwn:
        def __init__(self):
            self.session = OwnAsync()

    def keep(thing):
        kept.append(thing)
        return getattr(thing, "session", thing)
"""
TESTS = """
    import pytest
    from app import *

    @pytest.mark.parametrize("make", [Repository, Special, OwnOfOwn, RepositoryOfOwn])
    def test_sync(make):
        made = make()
        session = keep(made)
        session.execute(SELECT)
        END

    @pytest.mark.asyncio
    @pytest.mark.parametrize("make", [Service, OwnAsync, ServiceOfOwn])
    async def test_async(make):
        made = make()
        session = keep(made)
        await session.execute(SELECT)
        await END
"""
PLACES = {
    "test_sync[Repository]": ["app.py:14 in __init__", "test_x.py:6 in test_sync"],
    "test_sync[Special]": ["app.py:14 in __init__", "app.py:18 in __init__"],
    "test_sync[OwnOfOwn]": ["test_x.py:6 in test_sync"],
    "test_sync[RepositoryOfOwn]": ["app.py:40 in __init__", "test_x.py:6 in test_sync"],
    "test_async[Service]": ["app.py:22 in __init__", "test_x.py:14 in test_async"],
    "test_async[OwnAsync]": ["test_x.py:14 in test_async"],
    "test_async[ServiceOfOwn]": ["app.py:44 in __init__", "test_x.py:14 in test_async"],
}


@pytest.mark.parametrize(
    ("code", "label", "end"),
    (
        ("SG101", "held by", "session.execute(SELECT)"),
        ("SG201", "opened", "session.commit()"),
    ),
)
def test_place(project, code, label, end):
    """The `__init__` that opens a session is its place, and that of its own class is none."""
    run = project({"app.py": APP, "test_x.py": TESTS.replace("END", end)}).run()
    assert {finding.rule for finding in run.findings} == {code}, run.text
    shown = {
        finding.owner.name: [str(frame) for frame in place.site.frames]
        for finding in run.findings
        for place in finding.places
        if place.label == label
    }
    assert shown == PLACES


def test_accepted(project):
    """A comment on that line accepts it, and only it."""
    app = APP.replace(
        "self.session = factory()", "self.session = factory()  # sessionguard: ignore[SG101] so"
    )
    run = project(
        {"app.py": app, "test_x.py": TESTS.replace("END", "session.execute(SELECT)")}
    ).run("-k", "test_sync")
    assert run.found == ["SG101 test_sync[OwnOfOwn]", "SG101 test_sync[RepositoryOfOwn]"], run.text
