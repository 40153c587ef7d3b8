"""Notes on exceptions: told wherever one is reported, and matched by no pattern of a test's."""

from __future__ import annotations

import sys

import pytest

APP = """
    import pytest
    from sqlalchemy import create_engine
    from sqlalchemy.exc import TimeoutError

    engine = create_engine("sqlite:///app.db", pool_size=1, max_overflow=0, pool_timeout=0.01)

    def dry():
        with engine.connect():
            engine.connect()
"""
END = r"3o7r\)$"
HEAD = "sessionguard: 1 connection is out of this pool"
LINE = "  - taken at app.py:8 in dry, by "

# Exceptiongroup, which prints notes on Python 3.10, leaves those of pytest's own lines out there.
pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="shown by exceptiongroup there")


def suite(tests: str, **files: str) -> dict[str, str]:
    return {"app.py": APP, "test_x.py": "import pytest\nfrom app import *\n" + tests, **files}


# Each of them passes without the guard.
MATCHING = f"""
import traceback, unittest
from app import dry

def test_match():
    with pytest.raises(TimeoutError, match=r"^QueuePool limit of size 1 .*{END}"):
        dry()

def test_match_afterwards():
    with pytest.raises(TimeoutError) as info:
        dry()
    assert info.match(r"{END}")
    assert info.value.__notes__[0] == "{HEAD}"
    assert "{HEAD}" in "".join(traceback.format_exception(info.value))

def test_match_of_what_carries_it():
    with pytest.raises(LookupError) as info:
        try:
            dry()
        except TimeoutError as error:
            raise LookupError from error
    assert info.value.__cause__.__notes__[0] == "{HEAD}"

@pytest.fixture(scope="module")
def broken():
    dry()

@pytest.mark.xfail(raises=TimeoutError, strict=True)
def test_fixture(broken): pass

@pytest.mark.parametrize("n", (1, 2))
def test_fixture_again(request, n):
    with pytest.raises(TimeoutError, match=r"{END}"):
        request.getfixturevalue("broken")

def test_own_notes():
    with pytest.raises(TimeoutError) as info:
        try:
            dry()
        except TimeoutError as error:
            error.add_note("mine")
            raise
    assert info.value.__notes__[-1] == "mine"
    with pytest.raises(AssertionError):
        info.match("{HEAD}")
    assert info.match("mine$")

class TestUnit(unittest.TestCase):
    def test_unit(self):
        with self.assertRaisesRegex(TimeoutError, r"{END}"):
            dry()
"""


def test_a_pattern_with_an_end(project):
    """What a test matches is what it would be without the guard; the notes are there."""
    files = project(suite(MATCHING))
    run = files.run()
    assert set(run.results.values()) == {"passed", "xfailed"}
    assert run.fault == ""


@pytest.mark.skipif(not hasattr(pytest, "RaisesExc"), reason="came with pytest 8.4")
def test_expected_failure_with_a_pattern(project):
    """`xfail` matches what it matches without the guard."""
    run = project(
        suite(
            f"""
@pytest.mark.xfail(raises=pytest.RaisesExc(TimeoutError, match=r"{END}"), strict=True)
def test_a():
    dry()
"""
        )
    ).run()
    assert run.results == {"test_a": "xfailed"}


FAILING = {
    "call": "def test_a():\n    dry()\n",
    "setup": "@pytest.fixture\ndef wide():\n    dry()\ndef test_a(wide): pass\n",
    "teardown": "@pytest.fixture\ndef wide():\n    yield\n    dry()\ndef test_a(wide): pass\n",
    "cause": """
def test_a():
    try:
        dry()
    except TimeoutError as error:
        raise LookupError("text") from error
""",
    "context": """
def test_a():
    try:
        dry()
    except TimeoutError:
        raise LookupError("text")
""",
    "other raises": "def test_a():\n    with pytest.raises(LookupError):\n        dry()\n",
    "group": """
def test_a():
    errors = []
    for _ in range(1):
        try:
            dry()
        except TimeoutError as error:
            errors.append(error)
    raise ExceptionGroup("several", errors)
""",
    "task group": """
def test_a():
    import asyncio
    async def work():
        async def fail(): dry()
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
    asyncio.run(work())
""",
    "anyio": """
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a():
    import anyio
    async def fail(): dry()
    async with anyio.create_task_group() as group:
        group.start_soon(fail)
""",
    "unittest": """
import unittest
class TestA(unittest.TestCase):
    def test_a(self):
        dry()
""",
    "unittest setup": """
import unittest
class TestA(unittest.TestCase):
    def setUp(self):
        dry()
    def test_a(self): pass
""",
}
if pytest.version_tuple >= (9,):
    FAILING["subtests"] = """
def test_a(subtests):
    with subtests.test("one"):
        dry()
"""
    FAILING["subTest"] = """
import unittest
class TestA(unittest.TestCase):
    def test_a(self):
        with self.subTest("one"):
            dry()
"""


@pytest.mark.parametrize("how", FAILING)
def test_failures(project, how):
    """Wherever pytest reports the exception, however it came there, its notes stand below it."""
    files = project(suite(FAILING[how]))
    without = files.run("-p", "no:sessionguard")
    run = files.run()
    assert run.results == without.results
    assert set(run.results.values()) != {"passed"}
    assert HEAD not in without.text
    failures = "\n".join(text for _, _, text in run.told)
    assert failures.count(HEAD) >= 1, run.text
    assert LINE in failures
    assert run.fault == ""


@pytest.mark.parametrize("told", ("", "ValueError"))
def test_collection(project, told):
    """So they do where a module cannot be collected."""
    text = "try:\n    dry()\nexcept TimeoutError as error:\n    raise ValueError from error\n"
    files = project(suite(text if told else "dry()\n", **{"test_y.py": "def test_b(): pass\n"}))
    run = files.run("--continue-on-collection-errors")
    assert run.exit == 1
    assert run.results["test_b"] == "passed"
    assert run.text.count(HEAD) >= 1
    assert "  - taken at app.py:8 in dry" in run.text
    assert (told or "TimeoutError") in run.text


def test_groups(project):
    """Nor do `RaisesGroup` and `group_contains` match them."""
    run = project(
        suite(
            f"""
def raise_group():
    errors = []
    try:
        dry()
    except TimeoutError as error:
        errors.append(error)
    raise ExceptionGroup("several", errors)

def test_contains():
    with pytest.raises(ExceptionGroup) as info:
        raise_group()
    assert info.group_contains(TimeoutError, match=r"{END}")

@pytest.mark.skipif(not hasattr(pytest, "RaisesGroup"), reason="came with pytest 8.4")
def test_group():
    with pytest.RaisesGroup(pytest.RaisesExc(TimeoutError, match=r"{END}")):
        raise_group()
    with pytest.RaisesGroup(TimeoutError) as info:
        raise_group()
    assert info.value.exceptions[0].__notes__[0] == "{HEAD}"
"""
        )
    ).run()
    assert set(run.results.values()) <= {"passed", "skipped"}, run.text
    assert run.results["test_contains"] == "passed"


def test_a_fixture_that_fails_two_tests(project):
    """Its notes stand once in the report of each."""
    run = project(
        suite(
            """
@pytest.fixture(scope="module")
def wide():
    dry()

def test_a(wide): pass
def test_b(wide): pass
"""
        )
    ).run()
    for name in ("test_a", "test_b"):
        assert run.failure(name).count(LINE) == 1
    assert run.failure("test_a").count("by the module-scoped fixture `wide`") == 1


def test_detached_access(project):
    """The same is true of the exceptions of SG303."""
    from loads.suites import suite as loading

    run = project(
        loading(
            r"""
            def test_match():
                with pytest.raises(DetachedInstanceError, match=r"bhk3\)$"):
                    detached().posts

            def test_failed():
                detached().posts
            """,
            head="from sqlalchemy.orm.exc import DetachedInstanceError",
        )
    ).run()
    assert run.results == {"test_match": "passed", "test_failed": "failed"}
    assert "sessionguard: Author.posts was not loaded" in run.failure("test_failed")
