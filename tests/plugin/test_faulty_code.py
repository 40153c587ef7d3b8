"""Idioms of faulty code, each with the one rule that names it and the line that it names."""

from __future__ import annotations

import pytest
from harness import APP, ASYNC_APP

# The rule, the line (of the idiom, from 1) and the code.
SYNC = {
    "returned out of its block": (
        "SG202",
        4,
        """
        def make():
            with Session(engine) as session:
                return session
        kept.append(make().scalar(text("SELECT 1")))
        """,
    ),
    "factory.begin": (
        "SG202",
        3,
        """
        with factory.begin() as session:
            session.scalar(text("SELECT 1"))
        session.scalar(text("SELECT 1"))
        kept.append(session)
        """,
    ),
    "lazy after a block": (
        "SG202",
        3,
        """
        with Session(engine) as session:
            pass
        session.execute(text("SELECT 1"))
        session.commit()
        """,
    ),
    "dependency that nobody ends": (
        "SG101",
        7,
        """
        def get_db():
            session = Session(engine)
            try:
                yield session
            finally:
                session.close()
        kept.append(dependency := get_db()); next(dependency).connection()
        """,
    ),
    "swallowed error": (
        "SG101",
        4,
        """
        def load():
            session = Session(engine)
            kept.append(session)
            session.scalar(text("SELECT 1"))
            raise ValueError
            session.close()
        with contextlib.suppress(ValueError):
            load()
        """,
    ),
    "early return": (
        "SG101",
        2,
        """
        def load(session):
            if session.scalar(text("SELECT 1")):
                return kept.append(session)
            session.close()
        load(Session(engine))
        """,
    ),
    "begun and left": (
        "SG101",
        1,
        """
        connection = engine.connect()
        kept.append(connection.begin())
        """,
    ),
    "reference cycle": (
        "SG102",
        3,
        """
        class Repository: pass
        repository = Repository()
        repository.connection = engine.connect()
        repository.me = repository
        """,
    ),
    "unread stream": (
        "SG102",
        1,
        """
        next(iter(engine.connect().execute(text("SELECT 1"))))
        """,
    ),
    "scoped session without remove": (
        "SG201",
        2,
        """
        registry = scoped_session(factory)
        registry.scalar(text("SELECT 1"))
        kept.append(registry)
        """,
    ),
    "rolled back but not closed": (
        "SG201",
        1,
        """
        session = Session(engine)
        session.scalar(text("SELECT 1"))
        session.rollback()
        """,
    ),
}

ASYNC = {
    "below its block": (
        "SG202",
        3,
        """
        async with factory() as session:
            await session.scalar(text("SELECT 1"))
        await session.scalar(text("SELECT 1"))
        kept.append(session)
        """,
    ),
    "bare factory": (
        "SG101",
        2,
        """
        session = factory()
        await session.scalar(text("SELECT 1"))
        kept.append(session)
        """,
    ),
    "left to a task": (
        "SG101",
        2,
        """
        async def work():
            kept.append(await engine.connect())
        await asyncio.create_task(work())
        """,
    ),
    "dropped": (
        "SG102",
        1,
        """
        await (await engine.connect()).scalar(text("SELECT 1"))
        """,
    ),
    "committed but not closed": (
        "SG201",
        1,
        """
        session = factory()
        await session.scalar(text("SELECT 1"))
        await session.commit()
        """,
    ),
}


def indent(code: str) -> str:
    import textwrap

    return textwrap.indent(textwrap.dedent(code).strip(), "    ")


def check(run, rule: str, line: int) -> None:
    assert run.found == [f"{rule} test_it"], run.text
    (finding,) = run.findings
    assert (finding.site.frames[0].path, finding.site.frames[0].line) == ("test_x.py", line), (
        run.text
    )


@pytest.mark.parametrize("name", SYNC)
def test_sync(project, name):
    """The idiom is one finding of one rule, at its line."""
    rule, line, code = SYNC[name]
    head = (
        "import contextlib\nfrom sqlalchemy.orm import scoped_session\n"
        "from app import Session, engine, factory, kept, text\ndef test_it():\n"
    )
    suite = project({"app.py": APP, "test_x.py": f"{head}{indent(code)}\n"})
    check(suite.run(), rule, line + 4)


@pytest.mark.parametrize("name", ASYNC)
def test_async(project, name):
    """The idiom is one finding of one rule, at its line."""
    rule, line, code = ASYNC[name]
    head = (
        "import asyncio\nimport pytest\n"
        "from app import AsyncSession, engine, factory, kept, text\nasync def test_it():\n"
    )
    suite = project(
        {
            "app.py": ASYNC_APP,
            "test_x.py": f"{head}{indent(code)}\n",
            "pytest.ini": "[pytest]\nasyncio_mode = auto\n",
        }
    )
    check(suite.run(), rule, line + 4)
