"""Who is blamed in unittest's test cases, and with subtests."""

from __future__ import annotations

import pytest
from harness import APP, ASYNC_APP


def test_method(project):
    """A test method owns what it leaks, and the next one stays green."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import unittest
                from app import fine, leak

                class TestRow(unittest.TestCase):
                    def test_a_leak(self):
                        leak()

                    def test_b_next(self):
                        fine()
            """,
        }
    ).run()
    assert run.found == ["SG101 test_a_leak"]
    assert run.results == {"test_a_leak": "passed, error at teardown", "test_b_next": "passed"}


def test_set_up(project):
    """What setUp opens and tearDown or a cleanup closes is no finding."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import unittest
                from app import Session, engine, text

                class TestRow(unittest.TestCase):
                    @classmethod
                    def setUpClass(cls):
                        cls.connection = engine.connect()

                    @classmethod
                    def tearDownClass(cls):
                        cls.connection.close()

                    def setUp(self):
                        self.session = Session(engine)
                        self.other = engine.connect()
                        self.addCleanup(self.other.close)

                    def tearDown(self):
                        self.session.close()

                    def test_first(self):
                        self.assertEqual(self.session.scalar(text("SELECT 1")), 1)

                    def test_last(self):
                        self.assertEqual(self.connection.scalar(text("SELECT 1")), 1)
            """,
        }
    ).run()
    assert run.is_clean()


def test_set_up_that_leaks(project):
    """What setUp leaves open is the test's: unittest runs both as one."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import unittest
                from app import leak

                class TestRow(unittest.TestCase):
                    def setUp(self):
                        leak()

                    def test_row(self):
                        pass
            """,
        }
    ).run()
    assert run.found == ["SG101 test_row"]
    assert [frame.function for frame in run.findings[0].site.frames] == ["leak", "setUp"]


def test_set_up_class_that_leaks(project):
    """What setUpClass leaves open is its own, not the last test's."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import unittest
                from app import leak

                class TestRow(unittest.TestCase):
                    @classmethod
                    def setUpClass(cls):
                        leak()

                    def test_first(self):
                        pass

                    def test_last(self):
                        pass
            """,
        }
    ).run()
    assert run.found == ["SG101 setUpClass of TestRow"]
    assert run.findings[0].owner.scope == "class"
    assert run.results["test_first"] == "passed"


def test_isolated_asyncio(project):
    """IsolatedAsyncioTestCase: asyncSetUp, asyncTearDown and the test share one loop and owner."""
    run = project(
        {
            "app.py": ASYNC_APP,
            "test_x.py": """
                import unittest
                from app import AsyncSession, engine, fine, leak, text

                class TestRow(unittest.IsolatedAsyncioTestCase):
                    async def asyncSetUp(self):
                        self.session = AsyncSession(engine)

                    async def asyncTearDown(self):
                        await self.session.close()

                    async def test_a_fine(self):
                        self.assertEqual(await self.session.scalar(text("SELECT 1")), 1)

                    async def test_b_leak(self):
                        await leak()

                    async def test_c_fine(self):
                        await fine()
            """,
        }
    ).run()
    assert run.found == ["SG101 test_b_leak"]
    assert run.results["test_a_fine"] == run.results["test_c_fine"] == "passed"


def test_skips_and_failures(project):
    """unittest's own skips, failures and expected failures are not judged."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import unittest
                from app import leak

                class TestRow(unittest.TestCase):
                    def test_a_skip(self):
                        leak()
                        self.skipTest("not today")

                    def test_b_fail(self):
                        leak()
                        self.fail("no")

                    @unittest.expectedFailure
                    def test_c_expected(self):
                        leak()
                        self.fail("no")

                    def test_d_next(self):
                        pass
            """,
        }
    ).run()
    assert run.found == []
    assert run.results == {
        "test_a_skip": "skipped",
        "test_b_fail": "failed",
        "test_c_expected": "xfailed",
        "test_d_next": "passed",
    }


@pytest.mark.skipif(pytest.version_tuple < (9, 0), reason="subtests came with pytest 9")
def test_subtests(project):
    """What a subtest leaks is its test's, and told once at the test's end."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                from app import fine, leak

                def test_rows(subtests):
                    for number, work in enumerate([fine, leak, fine]):
                        with subtests.test(number=number):
                            assert work() == 1

                def test_fine(subtests):
                    with subtests.test():
                        fine()
            """,
        }
    ).run()
    assert run.found == ["SG101 test_rows"]
    assert run.results == {"test_rows": "passed, error at teardown", "test_fine": "passed"}


@pytest.mark.skipif(pytest.version_tuple < (9, 0), reason="subtests came with pytest 9")
def test_failed_subtest(project):
    """A test with a failed subtest is a failed test: not judged, and nobody else is blamed."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                from app import fine, leak

                def test_rows(subtests):
                    with subtests.test():
                        leak()
                        assert False

                def test_next():
                    fine()
            """,
        }
    ).run()
    assert run.found == []
    assert run.results["test_next"] == "passed"
    assert "error at teardown" not in run.results["test_rows"]


@pytest.mark.skipif(pytest.version_tuple < (9, 0), reason="subtests came with pytest 9")
def test_unittest_subtests(project):
    """unittest's subTest: the same."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import unittest
                from app import fine, leak

                class TestRow(unittest.TestCase):
                    def test_a_leak(self):
                        for number, work in enumerate([fine, leak]):
                            with self.subTest(number=number):
                                self.assertEqual(work(), 1)

                    def test_b_fail(self):
                        with self.subTest():
                            leak()
                            self.fail("no")

                    def test_c_fine(self):
                        with self.subTest():
                            fine()
            """,
        }
    ).run()
    assert run.found == ["SG101 test_a_leak"]
    assert run.results["test_c_fine"] == "passed"
    assert "error at teardown" not in run.results["test_b_fail"]
