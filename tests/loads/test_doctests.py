"""Doctests that show an exception: they expect it, and match its text, notes and all."""

from __future__ import annotations

import pytest
from loads.suites import MODELS

DRY_POOL = """
    from concurrent.futures import ThreadPoolExecutor
    from sqlalchemy.exc import TimeoutError
    from sqlalchemy.orm.exc import DetachedInstanceError

    tight = create_engine("sqlite:///app.db", pool_size=1, max_overflow=0, pool_timeout=0.01)

    def dry():
        with tight.connect():
            tight.connect()

    def catch():
        try:
            dry()
        except TimeoutError as error:
            return error

    def replace():
        try:
            detached().posts
        except Exception:
            pass
        else:
            return
        raise KeyError("posts")

    def replace_within():
        try:
            detached().posts
        except DetachedInstanceError:
            raise KeyError("posts") from None
"""
FILES = {
    "app.py": MODELS + DRY_POOL,
    "pytest.ini": "[pytest]\npythonpath = .\ndoctest_optionflags = ELLIPSIS\n",
}
IMPORTS = ">>> from app import *\n"
TRACEBACK = "Traceback (most recent call last):\n    ...\n"
DETACHED = f"{TRACEBACK}sqlalchemy.orm.exc.DetachedInstanceError: ...bhk3)\n"
DRY = f"{TRACEBACK}sqlalchemy.exc.TimeoutError: ...3o7r)\n"


@pytest.fixture
def documents(project):
    """Make a suite of one document."""

    def make(text):
        return project({**FILES, "test_doc.txt": IMPORTS + text})

    return make


TWICE = (
    f">>> lost = detached()\n>>> lost.posts\n{DETACHED}>>> lost.id\n1\n>>> lost.posts\n{DETACHED}"
)
AGAIN = """
>>> try:
...     dry()
... except TimeoutError as error:
...     raise error.with_traceback(None)
"""

FUTURE = """
>>> executor = ThreadPoolExecutor(1)
>>> job = executor.submit(dry)
>>> executor.shutdown()
>>> job.result()
"""
SHOWN = {
    "detached": f">>> detached().posts\n{DETACHED}",
    "twice": TWICE,
    "pool": f">>> dry()\n{DRY}",
    "again": AGAIN + DRY,
    "made before": f">>> error = catch()\n>>> raise error\n{DRY}",
    "made in a thread": FUTURE + DRY,
    "another": f">>> replace_within()\n{TRACEBACK}KeyError: 'posts'\n",
}


@pytest.mark.parametrize("text", SHOWN.values(), ids=SHOWN)
def test_shown(documents, text):
    """What an example shows is matched as it would be without the guard, and is no finding."""
    run = documents(text).run()
    assert run.results == {"test_doc.txt": "passed"}, run.text
    assert "SG303" not in run.text
    assert run.fault == ""


def test_notes_of_what_was_shown(documents):
    """The exception has its notes back once it was compared."""
    told = "sessionguard: 1 connection is out of this pool"
    text = f">>> error = catch()\n>>> raise error\n{DRY}>>> error.__notes__[0]\n{told!r}\n"
    run = documents(text).run()
    assert run.results == {"test_doc.txt": "passed"}, run.text


def test_what_led_to_nothing(documents):
    """An exception that the shown one does not carry was swallowed."""
    run = documents(f">>> replace()\n{TRACEBACK}KeyError: 'posts'\n").run()
    assert run.results == {"test_doc.txt": "passed"}, run.text
    assert "SG303 test_doc.txt" in run.found


def test_swallowed_before(documents):
    """What another example swallowed is found, and the next exception's notes are there."""
    files = documents(f">>> swallow()\n[]\n>>> detached().posts\n{DETACHED}>>> detached().posts\n")
    without = files.run("-p", "no:sessionguard")
    run = files.run()
    assert run.results == without.results == {"test_doc.txt": "failed"}
    assert "sessionguard: Author.posts was not loaded" in run.failure("test_doc.txt")

    run = documents(f">>> swallow()\n[]\n>>> detached().posts\n{DETACHED}").run()
    assert run.results == {"test_doc.txt": "passed"}, run.text
    (finding,) = [finding for finding in run.findings if finding.rule == "SG303"]
    assert finding.site.frames[0].function == "swallow"


@pytest.mark.parametrize("text", (">>> dry()\n1\n", f">>> 1\n1\n>>> dry()\n{TRACEBACK}KeyError\n"))
def test_another_end(documents, text):
    """An example that ends in another way than it shows fails as without the guard."""
    files = documents(text)
    without = files.run("-p", "no:sessionguard")
    run = files.run()
    assert run.results == without.results == {"test_doc.txt": "failed"}
    assert "QueuePool limit" in run.failure("test_doc.txt")
    assert run.fault == ""


def test_afterwards(project):
    """A test that runs doctests, of which one fails, has notes on what it raises itself."""
    run = project(
        {
            **FILES,
            "good.txt": f"{IMPORTS}>>> dry()\n{DRY}",
            "bad.txt": f"{IMPORTS}>>> dry()\n{TRACEBACK}KeyError\n",
            "test_x.py": """
                import doctest
                import pytest
                from app import dry

                @pytest.mark.parametrize("file", ("good.txt", "bad.txt"))
                def test_a(file):
                    doctest.testfile(file, optionflags=doctest.ELLIPSIS)
                    dry()

                def test_b():
                    with pytest.raises(doctest.DocTestFailure):
                        doctest.testfile("bad.txt", raise_on_error=True)
                    dry()
            """,
        }
    ).run()
    assert set(run.results.values()) == {"failed"}
    for name in run.results:
        assert "sessionguard: 1 connection is out of this pool" in run.failure(name)


def test_a_module_of_that_name(project):
    """A project may have a `doctest` of its own."""
    run = project(
        {
            **FILES,
            "doctest.py": "",
            "test_x.py": """
                import doctest
                from app import swallow

                def test_a():
                    assert not hasattr(doctest, "DocTestRunner")
                    swallow()
            """,
        }
    ).run("-p", "no:doctest", subprocess=True)
    assert run.found == ["SG303 test_a"], run.text
    assert run.fault == ""


def test_a_report_outside_of_a_run(project):
    """Whoever calls the runner's methods himself is let alone."""
    run = project(
        {
            **FILES,
            "test_x.py": """
                import doctest
                from app import swallow

                def test_a():
                    example = doctest.Example("1/0", "", exc_msg="ZeroDivisionError")
                    test = doctest.DocTest([example], {}, "name", None, 0, "")
                    doctest.DocTestRunner(verbose=False).report_start(str, test, example)
                    swallow()
            """,
        }
    ).run()
    assert run.found == ["SG303 test_a"], run.text
    assert run.fault == ""
