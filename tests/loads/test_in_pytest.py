"""assert_no_lazy_load, its marker and the rules of loads in a stranger's suite."""

# ruff: noqa: E501 (lines are as long as a user sees them)

from __future__ import annotations

import textwrap

import pytest
from loads.suites import at, suite

ON = "--sessionguard-error=SG401"


# assert_no_lazy_load.


def test_fails_the_test(project):
    """It fails the call phase, once, at the line that reads."""
    run = project(
        suite(
            """
            def test_a():
                with assert_no_lazy_load():
                    lazy()
            """
        )
    ).run()
    assert run.results == {"test_a": "failed"}
    assert run.found == []
    assert run.failure("test_a").count("SG401 lazy-load: reading Author.posts") == 1
    assert f"app.py:{at('return len(')}: " in run.failure("test_a")
    wanted = f"""
        SG401 lazy-load: reading Author.posts loaded it, in test_a

          read at       app.py:{at("return len(")} in lazy
                        test_x.py:11 in test_a
          loaded at     app.py:{at("return len(")} in lazy
          session       Session opened at app.py:{at("return len(") - 1} in lazy

          Each such read is one more statement; an AsyncSession fails there with MissingGreenlet.
          Fix: load it in the query, with `selectinload(Author.posts)` or `joinedload(...)`.
    """
    lines = [line.removeprefix("E").strip() for line in run.failure("test_a").splitlines()]
    text = "\n".join(line for line in lines if line)
    assert "\n".join(line.strip() for line in wanted.splitlines() if line.strip()) in text.replace(
        "pytest_sessionguard.assertions.loads.LazyLoadError: ", ""
    )


def test_silent(project):
    """It says nothing where nothing loads itself."""
    run = project(
        suite(
            """
            def test_a():
                with assert_no_lazy_load():
                    assert eager() == ["ada", "bob"]

            async def test_b():
                async with assert_no_lazy_load():
                    assert await whole_async()
            """
        )
    ).run(ON)
    assert run.is_clean()


@pytest.mark.parametrize("flag", ("--sessionguard=fail", "--sessionguard-ignore=all"))
def test_never_entered(project, flag):
    """Called without its block, it fails the test, and says where."""
    run = project(
        suite(
            """
            def test_a():
                assert_no_lazy_load()
                eager()
            """
        )
    ).run(flag)
    assert run.results == {"test_a": "passed, error at teardown"}
    assert run.exit == 1
    assert run.shows(
        """
        SG401 lazy-load: test_a called assert_no_lazy_load() and never entered its block

          called at     test_x.py:10 in test_a

          Nothing was checked.
          Fix: `with assert_no_lazy_load():` around what is to be checked.
        """
    )


def test_never_entered_in_a_failed_test(project):
    """A test that failed otherwise has its own failure only."""
    run = project(
        suite(
            """
            def test_a():
                assert_no_lazy_load()
                assert False
            """
        )
    ).run()
    assert run.results == {"test_a": "failed"}


def test_never_entered_under_warn(project):
    """Where errors only warn, it warns."""
    run = project(suite("def test_a():\n    assert_no_lazy_load()\n")).run("--sessionguard=warn")
    assert run.results == {"test_a": "passed"}
    assert run.found == ["SG401 test_a"]


@pytest.mark.parametrize(
    "flags",
    (
        ("-p", "no:sessionguard"),
        ("--sessionguard=off",),
        ("--sessionguard=warn",),
        ("--sessionguard-ignore=all",),
    ),
    ids="_".join,
)
def test_whatever_the_settings(project, flags):
    """An assertion asserts, whatever the plugin is set to, and without it."""
    run = project(
        suite(
            """
            def test_a():
                with pytest.raises(LazyLoadError):
                    with assert_no_lazy_load():
                        lazy()
                assert lazy() == 1

            def test_b():
                with assert_no_lazy_load():
                    swallow()

            async def test_c():
                async with assert_no_lazy_load():
                    await swallow_async()

            def test_d():
                assert lazy() == 1
            """
        )
    ).run(*flags)
    assert run.results == {
        "test_a": "passed",
        "test_b": "failed",
        "test_c": "failed",
        "test_d": "passed",
    }


def test_unittest(project):
    """It works in unittest's tests, sync and async."""
    run = project(
        suite(
            """
            class TestIt(unittest.TestCase):
                def test_block(self):
                    with assert_no_lazy_load():
                        lazy()

                def test_never_entered(self):
                    assert_no_lazy_load()

                def test_fine(self):
                    self.enterContext(assert_no_lazy_load()) if sys.version_info >= (3, 11) else None
                    eager()

            class TestAsync(unittest.IsolatedAsyncioTestCase):
                async def test_swallowed(self):
                    async with assert_no_lazy_load():
                        await swallow_async()

            @pytest.mark.sessionguard(error="lazy-load")
            class TestMarked(unittest.TestCase):
                def test_marked(self):
                    lazy()
            """,
            head="import sys, unittest",
        )
    ).run()
    assert run.results == {
        "test_block": "failed",
        "test_never_entered": "passed, error at teardown",
        "test_fine": "passed",
        "test_swallowed": "failed",
        "test_marked": "failed",
    }


def test_xdist(project):
    """It works in a worker."""
    run = project(
        suite(
            """
            def test_a():
                with assert_no_lazy_load():
                    lazy()

            def test_b():
                assert_no_lazy_load()

            @pytest.mark.sessionguard(error="SG401")
            def test_c():
                lazy()

            def test_d():
                loop()
            """
        )
    ).run("-n1")
    assert run.results == {
        "test_a": "failed",
        "test_b": "passed, error at teardown",
        "test_c": "failed",
        "test_d": "passed",
    }
    assert run.found == ["SG401 test_b", "SG402 test_d"]


def test_fixture(project):
    """A fixture may hold it around a test."""
    run = project(
        suite(
            """
            @pytest.fixture
            def strict():
                with assert_no_lazy_load():
                    yield

            def test_a(strict):
                swallow()

            def test_b(strict):
                eager()

            def test_c():
                lazy()
            """
        )
    ).run()
    assert run.results == {
        "test_a": "passed, error at teardown",
        "test_b": "passed",
        "test_c": "passed",
    }


# The marker.


def test_marker(project):
    """The marker does the same for a test, a class and a module; a nearer one may undo it."""
    marked = """
        class TestClass:
            pytestmark = pytest.mark.sessionguard(error="lazy-load")

            def test_in_class(self):
                lazy()

            @pytest.mark.sessionguard(ignore="lazy-load", reason="shown on purpose")
            def test_undone(self):
                lazy()

            @pytest.mark.sessionguard(warn="lazy-load")
            def test_warned(self):
                lazy()

            def test_eager(self):
                eager()

        @pytest.mark.sessionguard(error="lazy-load")
        def test_marked():
            lazy()

        @pytest.mark.sessionguard(error="SG401")
        def test_swallowed():
            try:
                lazy()
            except Exception:
                pass

        @pytest.mark.sessionguard(error="SG401")
        async def test_async():
            await awaited_loop()

        @pytest.mark.sessionguard(error="leaked-connection")
        def test_of_another_rule():
            lazy()

        def test_unmarked():
            lazy()
    """
    files = suite(marked)
    files["test_y.py"] = (
        "import pytest\nfrom app import eager, lazy\n"
        "pytestmark = pytest.mark.sessionguard(error='lazy-load')\n\n"
        "def test_in_module():\n    lazy()\n\n"
        "@pytest.mark.parametrize('number', [1, 2])\n"
        "def test_many(number):\n    lazy() if number == 1 else eager()\n"
    )
    run = project(files).run()
    assert run.results == {
        "test_in_class": "failed",
        "test_undone": "passed",
        "test_warned": "passed",
        "test_eager": "passed",
        "test_marked": "failed",
        "test_swallowed": "failed",
        "test_async": "failed",
        "test_of_another_rule": "passed",
        "test_unmarked": "passed",
        "test_in_module": "failed",
        "test_many[1]": "failed",
        "test_many[2]": "passed",
    }
    assert run.found == ["SG401 test_warned"]
    assert run.failure("test_marked").count("SG401 lazy-load") == 1


MARKED = """
    @pytest.mark.sessionguard(error="lazy-load")
    def test_a():
        assert lazy() == 1
"""


@pytest.mark.parametrize(
    ("flags", "outcome", "found"),
    (
        ((), "failed", []),
        (("--sessionguard-error=SG401",), "failed", []),
        (("--sessionguard-warn=SG401",), "passed", ["SG401 test_a"]),
        (("--sessionguard-ignore=SG401",), "passed", []),
        (("--sessionguard=warn",), "passed", ["SG401 test_a"]),
        (("--sessionguard=off",), "passed", []),
        (("-o", "sessionguard_ignore=SG401"), "failed", []),
    ),
    ids=str,
)
def test_marker_and_flags(project, flags, outcome, found):
    """A flag beats the marker, and the marker beats the ini file."""
    run = project(suite(MARKED)).run(*flags)
    assert run.results == {"test_a": outcome}
    assert run.found == found


def test_marker_and_fixtures(project):
    """The marker refuses in the test itself; what its fixtures load is a finding."""
    run = project(
        suite(
            """
            @pytest.fixture
            def number():
                return lazy()

            @pytest.mark.sessionguard(error="lazy-load")
            def test_a(number):
                assert number == 1
            """
        )
    ).run()
    assert run.results == {"test_a": "passed, error at teardown"}
    assert [(f.rule, f.owner.kind) for f in run.findings] == [("SG401", "fixture")]


@pytest.mark.parametrize("outcome", ("pytest.skip('s')", "pytest.xfail('x')", "pytest.fail('f')"))
def test_marker_and_outcomes(project, outcome):
    """Outcomes of pytest pass through the marker's block."""
    wanted = {"s": "skipped", "x": "xfailed", "f": "failed"}[outcome[-3]]
    run = project(
        suite(f"@pytest.mark.sessionguard(error='SG401')\ndef test_a():\n    {outcome}\n")
    ).run()
    assert run.results == {"test_a": wanted}


def test_marker_and_own_assertions(project):
    """A marked test's own failed assertion is told as it is, though pytest reads what it shows."""
    run = project(
        suite(
            """
            class Shown(app.Base):
                __table__ = Author.__table__
                posts = relationship(Post, viewonly=True)

                def __repr__(self):
                    return f"Shown({self.posts})"

            @pytest.mark.sessionguard(error="SG401")
            def test_a():
                with Session(engine) as session:
                    shown = session.get(Shown, 1)
                    assert shown == 3
            """,
            head="import app\nfrom sqlalchemy.orm import relationship",
        )
    ).run()
    assert run.results == {"test_a": "failed"}
    assert "LazyLoadError" not in run.failure("test_a")
    assert "Shown([<app.Post object at 0x0>])" in run.failure("test_a")


# SG401 and SG402.


def test_defaults(project):
    """By default lazy loads are silent, N+1 and swallowed faults warn."""
    run = project(
        suite(
            """
            def test_lazy():
                lazy()

            def test_loop():
                loop()

            def test_swallow():
                swallow()

            async def test_swallow_async():
                await swallow_async()
            """
        )
    ).run()
    assert run.exit == 0
    assert run.found == ["SG303 test_swallow", "SG304 test_swallow_async", "SG402 test_loop"]
    assert run.shows(
        f"""
          loaded at     app.py:{at("return [post.author")} in loop
          session       Session opened at app.py:{at("return [post.author") - 1} in loop
          closed        the block of app.py:{at("return [post.author") - 1} in loop, which ends at line {at("return [post.author")}

          With 100 rows that is 100 statements more than with one query.
          Fix: load it in the query, with `selectinload(Post.author)` or `joinedload(...)`.
          Accept: @pytest.mark.sessionguard(ignore="n-plus-one", reason="...") or the baseline.
        """
    )
    title = "SG402 n-plus-one: Post.author loaded itself for 2 objects one by one, in test_loop"
    assert title in run.text
    assert run.shows(
        f"""
        SG303 detached-access: Author.posts raised DetachedInstanceError, and test_swallow did not notice

          raised at     app.py:{at("return detached()")} in swallow
                        test_x.py:16 in test_swallow
          loaded at     app.py:{at("return session.get")} in detached
          session       Session opened at app.py:{at("return session.get") - 1} in detached
          closed        the block of app.py:{at("return session.get") - 1} in detached, which ends at line {at("return session.get")}

          The code caught it, and may have gone on without the value.
          Fix: load it in the query, with `selectinload(Author.posts)` or `joinedload(...)`.
          Accept: @pytest.mark.sessionguard(ignore="detached-access", reason="...") or the baseline.
        """
    )


def test_notes_in_a_failed_test(project):
    """Where the exception fails the test, its notes stand below it, once, and nothing else is told."""
    run = project(
        suite(
            """
            def test_a():
                detached().posts
            """
        )
    ).run("--sessionguard-error=all")
    assert run.results == {"test_a": "failed"}
    assert run.found == []
    text = run.failure("test_a")
    assert "is not bound to a Session; lazy load operation" in text
    for line in (
        "sessionguard: Author.posts was not loaded",
        f"  - its object was loaded at app.py:{at('return session.get')} in detached",
        f"  - by the Session opened at app.py:{at('return session.get') - 1} in detached, closed at app.py:{at('return session.get') - 1} in detached",
        "  - to mend it, load it in the query, with `selectinload(Author.posts)` or `joinedload(...)`",
    ):
        assert text.count(line) == 1


def test_notes_of_a_failed_async_test(project):
    """The same for MissingGreenlet."""
    run = project(
        suite(
            """
            async def test_a():
                async with AsyncSession(async_engine) as session:
                    author = await session.get(Author, 1)
                    author.posts
            """,
            head="from app import AsyncSession, async_engine",
        )
    ).run()
    assert run.results == {"test_a": "failed"}
    text = run.failure("test_a")
    assert text.count("sessionguard: Author.posts was not loaded") == 1
    assert text.count("- by the AsyncSession opened at test_x.py:11 in test_a") == 1


def test_expected_in_a_suite(project):
    """What a test expects is no finding, by pytest's means and by unittest's."""
    run = project(
        suite(
            """
            def test_raises():
                with pytest.raises(DetachedInstanceError):
                    detached().posts

            def test_cause():
                def work():
                    try:
                        return detached().posts
                    except DetachedInstanceError as error:
                        raise LookupError from error
                with pytest.raises(LookupError):
                    work()

            class TestIt(unittest.TestCase):
                def test_assert_raises(self):
                    with self.assertRaises(DetachedInstanceError):
                        detached().posts
                    with self.assertRaisesRegex(Exception, "not bound"):
                        detached().posts

            def test_mock():
                double = Mock(side_effect=DetachedInstanceError())
                try:
                    double()
                except Exception:
                    pass
            """,
            head="""
            import unittest
            from unittest.mock import Mock
            from sqlalchemy.orm.exc import DetachedInstanceError
            """,
        )
    ).run("--sessionguard-error=all")
    assert run.is_clean()


def test_fixture_owns_its_faults(project):
    """What a fixture swallows is the fixture's."""
    run = project(
        suite(
            """
            @pytest.fixture(scope="module")
            def posts():
                return swallow()

            def test_a(posts):
                assert posts == []
            """
        )
    ).run()
    assert [finding.owner.kind for finding in run.findings] == ["fixture"]
    assert run.found[0].startswith("SG303")


# Found; silent on the healthy twin; accepted ones silent beside a new one.

PAIRS = {
    "SG303": ("swallow()", "whole()"),
    "SG304": ("await swallow_async()", "await whole_async()"),
    "SG401": ("lazy()", "eager()"),
    "SG401 ": (
        "with Session(engine) as session:\n    session.get(Author, 1).bio",
        "with Session(engine) as session:\n    session.get(Author, 1).name",
    ),
    "SG402": ("loop()", "eager()"),
    "SG402 ": ("await awaited_loop()", "await whole_async()"),
}


@pytest.mark.parametrize("case", PAIRS)
def test_triple(project, case):
    """Found in a bad test; silent in its twin and where accepted; found again beside that."""
    code = case.strip()
    bad, good = (textwrap.indent(text, "    ") for text in PAIRS[case])
    word = "async def" if "await" in bad else "def"
    mark = f'@pytest.mark.sessionguard(ignore="{code}", reason="known since last year")'
    run = project(
        suite(
            f"{word} test_bad():\n{bad}\n\n{word} test_good():\n{good}\n\n"
            f"{mark}\n{word} test_old():\n{bad}\n\n{word} test_new():\n{bad}\n"
        )
    ).run("-o", f"sessionguard_error={code}")
    assert run.found == [f"{code} test_bad", f"{code} test_new"]
    assert run.results == {
        "test_bad": "passed, error at teardown",
        "test_good": "passed",
        "test_old": "passed",
        "test_new": "passed, error at teardown",
    }


@pytest.mark.parametrize("flags", ((), ("-p", "no:sessionguard")), ids=("with", "without"))
def test_imported_in_the_block(project, flags):
    """It refuses also where the block is the first to import SQLAlchemy."""
    files = suite("")
    files["test_x.py"] = """
        import sys
        import pytest
        from pytest_sessionguard import LazyLoadError, assert_no_lazy_load

        def test_a():
            assert "sqlalchemy" not in sys.modules
            with pytest.raises(LazyLoadError), assert_no_lazy_load():
                import app
                app.lazy()
    """
    run = project(files).run(*flags, subprocess=True)
    assert run.results == {"test_a": "passed"}


def test_response_models(project):
    """What a response model reads is about the query of its route, and accepted with it alone."""
    web = """
        from app import Post, Session, engine, select
        from fastapi import Depends, FastAPI
        from pydantic import BaseModel

        shop = FastAPI()

        class AuthorOut(BaseModel, from_attributes=True):
            name: str

        class PostOut(BaseModel, from_attributes=True):
            author: AuthorOut

        def get_session():
            with Session(engine) as session:
                yield session

        @shop.get("/old", response_model=list[PostOut])
        def old(session=Depends(get_session)):
            return session.scalars(select(Post)).all()

        @shop.get("/new", response_model=list[PostOut])
        def new(session=Depends(get_session)):
            return session.scalars(select(Post)).all()
    """
    head = """
        from fastapi.testclient import TestClient
        from routes import shop
    """
    tests = """
        @pytest.mark.parametrize("name", ("old", "new"))
        def test_it(name):
            with TestClient(shop) as client:
                assert client.get("/" + name).status_code == 200
    """
    baseline = "--sessionguard-baseline=accepted.json"
    shop = project({**suite(tests, head), "routes.py": textwrap.dedent(web)})
    shop.run(baseline, "--sessionguard-update-baseline", "-k", "old")
    run = shop.run(baseline)
    assert run.found == ["SG402 test_it[new]", "SG402 test_it[old]"], run.text
    assert {str(f.site.frames[0]) for f in run.findings} == {
        "routes.py:19 in old",
        "routes.py:23 in new",
    }
    assert run.closing.endswith("1 SG402 n-plus-one, 1 accepted")
