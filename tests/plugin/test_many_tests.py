"""A long green run: no finding, and nothing kept."""

from __future__ import annotations

from harness import APP

MANY = {
    "app.py": APP,
    "conftest.py": """
        import pytest
        from pytest_sessionguard.guard import active_guard
        from app import engine, factory

        @pytest.fixture(scope="session")
        def connection():
            with engine.connect() as connection:
                yield connection

        @pytest.fixture
        def session(connection):
            with factory(bind=connection) as session:
                yield session

        def pytest_sessionfinish():
            ledger = active_guard().ledger
            print()
            print("out", len(ledger.out))
            print("elsewhere", len(ledger.elsewhere.leases), len(ledger.elsewhere.sessions))
            print("fixtures", len(active_guard()._fixtures), len(active_guard()._ended))
            print("due", len(active_guard()._before))
    """,
    "test_x.py": """
        import pytest
        from app import Session, engine, fine, text

        @pytest.mark.parametrize("number", range(100))
        def test_connection(number):
            fine()

        @pytest.mark.parametrize("number", range(100))
        def test_session(number):
            with Session(engine) as session, session.begin():
                assert session.scalar(text("SELECT 1")) == 1

        @pytest.mark.parametrize("number", range(100))
        def test_fixture(number, session):
            assert session.scalar(text("SELECT 1")) == 1
    """,
}


def test_green(project):
    """300 healthy tests bring no finding, the same results as without, and an empty ledger."""
    suite = project(MANY)
    run = suite.run("-s", "-q")
    assert run.is_clean()
    assert run.tally == (300, 1, 200)
    for line in ("out 0", "elsewhere 0 0", "fixtures 0 0", "due 0"):
        assert line in run.text.splitlines(), run.text


def test_accounts_die(project):
    """Accounts, leases and session records of tests that are over are not kept by anything."""
    suite = project(
        {
            **MANY,
            "conftest.py": """
                import gc
                from collections import Counter

                import pytest

                def count():
                    gc.collect()
                    names = Counter(type(thing).__name__ for thing in gc.get_objects())
                    return {name: names[name] for name in ("Account", "Lease", "SessionRecord")}

                @pytest.fixture(scope="session")
                def session():
                    from app import Session, engine
                    with Session(engine) as session:
                        yield session

                counts = {}

                def pytest_runtest_setup(item):
                    if item.name in ("test_session[10]", "test_session[99]"):
                        counts[item.name] = count()

                def pytest_sessionfinish():
                    assert len(counts) == 2
                    early, late = counts.values()
                    assert early == late, (early, late)
                    print("flat")
            """,
        }
    )
    run = suite.run("-s", "-q")
    assert "flat" in run.text, run.text
