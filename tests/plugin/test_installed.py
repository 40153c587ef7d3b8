"""A project that is installed before its tests run, as tox and nox do it."""

from __future__ import annotations

import textwrap

import pytest

from pytest_sessionguard.project import find_installed

SHOP = textwrap.dedent(
    """
    from sqlalchemy import create_engine, text
    from sqlalchemy.orm import Session

    kept = []
    SELECT = text("SELECT 1")

    def make_engine():
        return create_engine("sqlite://")

    def leak(engine):
        kept.append(engine.connect())

    def dedent(engine):
        with Session(engine) as session:
            session.execute(SELECT)
        session.execute(SELECT)

    def read(factory):
        with factory() as session:
            return session.scalar(SELECT)
    """
)
TESTS = """
    import pytest
    from shop import db
    from sqlalchemy.orm import Session

    @pytest.fixture
    def engine():
        engine = db.make_engine()
        yield engine
        engine.dispose()

    def test_leak(engine):
        db.leak(engine)

    def test_dedent(engine):
        db.dedent(engine)

    def test_lent(engine):
        session = Session(engine)
        assert db.read(lambda: session) == 1
        session.scalar(db.SELECT)
        session.close()
"""
PYPROJECT = '[project]\nname = "the-shop"\nversion = "1"\n'
FOLDER = "env/site-packages"
INSTALLED = {
    f"{FOLDER}/shop/__init__.py": "",
    f"{FOLDER}/shop/db.py": SHOP,
    f"{FOLDER}/the_shop-1.dist-info/METADATA": "Name: the-shop\nVersion: 1\n",
    f"{FOLDER}/the_shop-1.dist-info/RECORD": "shop/__init__.py,,\nshop/db.py,,\n../../bin/x.py,,\n",
    "pytest.ini": f"[pytest]\npythonpath = {FOLDER}\n",
    "test_x.py": TESTS,
}


@pytest.mark.parametrize(
    ("files", "shown"),
    (
        ({"pyproject.toml": PYPROJECT}, "shop/db.py"),
        ({"pyproject.toml": '[tool.poetry]\nname = "the.shop"\n'}, "shop/db.py"),
        ({"setup.cfg": "[metadata]\nname = the_shop\n"}, "shop/db.py"),
        ({"pyproject.toml": PYPROJECT, "src/shop/db.py": SHOP}, "src/shop/db.py"),
    ),
    ids=("pyproject", "poetry", "setup.cfg", "src"),
)
def test_own(project, files, shown):
    """Its frames are the user's, and are shown where their source stands."""
    run = project({**INSTALLED, **files}).run(subprocess=True)
    assert run.fault == ""
    assert run.found == ["SG101 test_leak", "SG202 test_dedent"], run.text
    leak, dedent = sorted(run.findings, key=lambda finding: finding.rule)
    assert [str(frame) for frame in leak.site.frames] == [
        f"{shown}:11 in leak",
        "test_x.py:12 in test_leak",
    ]
    assert f"{shown}:16 in dedent" in run.text


@pytest.mark.parametrize(
    "files",
    (
        {"pyproject.toml": '[project]\nname = "another"\n'},
        {"setup.cfg": "[metadata]\nname = \n"},
        {},
    ),
)
def test_others(project, files):
    """What is installed beside it is another's."""
    run = project({**INSTALLED, **files}).run(subprocess=True)
    assert run.fault == ""
    assert "SG101 test_leak" in run.found, run.text
    assert "SG202 test_lent" not in run.found
    assert run.shows(
        "  checked out   test_x.py:12 in test_leak  (engine sqlite+pysqlite, SingletonThreadPool)"
    )


@pytest.mark.parametrize(
    ("file", "text"),
    (
        ("pyproject.toml", "[project\n"),
        ("pyproject.toml", "project = 1\ntool = 2\n"),
        ("pyproject.toml", "[project]\nname = 1\n"),
        ("setup.cfg", "metadata\n"),
        ("setup.cfg", "[metadata]\nname = file: name.txt\n"),
    ),
)
def test_settings_that_cannot_be_read(tmp_path, file, text):
    """They are the business of others."""
    (tmp_path / file).write_text(text)
    assert find_installed(str(tmp_path)) == {}


def test_block_that_a_call_ends(project):
    """The standard library's `ExitStack` is no other package: what it closes, the user has."""
    run = project(
        {
            "test_x.py": """
                from contextlib import ExitStack
                from sqlalchemy import create_engine, text
                from sqlalchemy.orm import Session

                def test_a():
                    stack = ExitStack()
                    session = stack.enter_context(Session(create_engine("sqlite:///app.db")))
                    session.execute(text("SELECT 1"))
                    stack.close()
                    session.execute(text("SELECT 1"))
                    session.commit()
            """
        }
    ).run()
    assert run.found == ["SG202 test_a"], run.text


def test_another_open(project):
    """What a test puts in the place of `open` is not what the project's name is read with."""
    suite = """
        from unittest import mock
        from shop import db
        from library import serve

        engine = db.make_engine()

        def test_another_open():
            with mock.patch("builtins.open", mock.mock_open(read_data="a")):
                assert serve(engine) == open("settings.ini").read() == "a"

        def test_leak():
            db.leak(engine)
    """
    library = """
        def serve(engine):
            with engine.connect():
                return "a"
    """
    files = {f"{FOLDER}/library.py": library, "pyproject.toml": PYPROJECT, "test_x.py": suite}
    run = project({**INSTALLED, **files}).run(subprocess=True)
    assert run.fault == ""
    assert run.found == ["SG101 test_leak"], run.text
