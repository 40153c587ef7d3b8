"""One call that is checked at once."""

from __future__ import annotations

from typing import Any

SERVICES = """
    import functools

    def add(name="x"):
        with factory() as session:
            user = User(name=name)
            session.add(user)
            session.commit()
            return user

    def fine(number=1, *, wanted=True):
        with factory() as session:
            return session.get(User, number) if wanted else None

    def leak():
        session = factory()
        kept.append(session)
        return session.scalar(select(User.name))

    def forget():
        return factory().scalar(select(User.name))

    def leave_open():
        session = factory()
        kept.append(session)
        name = session.scalar(select(User.name))
        session.rollback()
        return name

    def reopen():
        with factory() as session:
            session.scalar(select(User.name))
        kept.append(session)
        return session.scalar(select(User.name))

    def fail():
        session = factory()
        kept.append(session)
        session.scalar(select(User.name))
        raise KeyError("mine")

    def nested():
        return add()

    class Users:
        def __call__(self):
            return add()

        def add(self):
            return add()

        @classmethod
        def build(cls):
            return add()
"""

TESTS = """
from pytest_sessionguard.handle import BoundaryError

def refused(sessionguard, function, *args):
    with pytest.raises(BoundaryError) as raised:
        sessionguard.call(function, *args)
    return [finding.rule for finding in raised.value.findings]

def test_fine(sessionguard):
    assert sessionguard.call(services.fine, 1, wanted=True).name == "secret-name"
    assert sessionguard.call(services.fine, wanted=False) is None
    assert sessionguard.call(len, [1, 2]) == 2
    assert sessionguard.call(dict, a=1) == {"a": 1}

def test_result(sessionguard):
    assert refused(sessionguard, services.add) == ["SG302"]
    assert refused(sessionguard, services.add, "y") == ["SG302"]

def test_leak(sessionguard):
    assert refused(sessionguard, services.leak) == ["SG101"]

def test_forget(sessionguard):
    assert refused(sessionguard, services.forget) == ["SG102"]

def test_reopen(sessionguard):
    assert refused(sessionguard, services.reopen) == ["SG202"]

def test_warn_is_told_at_the_end(sessionguard):
    sessionguard.call(services.leave_open)

def test_wrong_call(sessionguard):
    with pytest.raises(TypeError, match="unexpected keyword argument 'nmae'"):
        sessionguard.call(services.add, nmae="x")

def test_error_of_its_own(sessionguard):
    with pytest.raises(KeyError, match="mine"):
        sessionguard.call(services.fail)

def test_callables(sessionguard):
    for callable_ in (
        services.nested,
        services.Users(),
        services.Users().add,
        services.Users.build,
        services.functools.partial(services.add, "z"),
        lambda: services.add(),
    ):
        assert refused(sessionguard, callable_) == ["SG302"]

@pytest.mark.sessionguard(ignore="SG302", reason="known")
def test_accepted(sessionguard):
    sessionguard.call(services.add)

def test_name(sessionguard):
    with pytest.raises(BoundaryError, match="app.services.Users.add returned 1 User") as raised:
        sessionguard.call(services.Users().add)
    frames = raised.value.findings[0].places[0].site.frames
    assert [frame.function for frame in frames] == ["add", "test_name"]

def test_nothing_is_left():
    from pytest_sessionguard.guard import active_guard
    asked = active_guard().ledger.find_scope is not None
    assert asked == hasattr(services.add, "__wrapped__")

def test_within_a_service(sessionguard):
    sessionguard.services("app.services")
    assert refused(sessionguard, services.nested) == ["SG302"]
    services.fine()
"""


def test_sync(run_suite: Any) -> None:
    """It returns what the function returns, or raises what was found; that is told once."""
    bare = "[pytest]\npythonpath = .\n"
    run = run_suite(SERVICES, TESTS, files={"pytest.ini": bare})
    assert set(run.results.values()) == {"passed", "passed, error at teardown"}, run.text
    assert run.found == ["SG101 test_error_of_its_own", "SG201 test_warn_is_told_at_the_end"]
    assert run.fault == ""


def test_sync_with_services(run_suite: Any) -> None:
    """The same where the settings ask for the services already."""
    run = run_suite(SERVICES, TESTS)
    assert set(run.results.values()) == {"passed", "passed, error at teardown"}, run.text
    assert run.found == ["SG101 test_error_of_its_own", "SG201 test_warn_is_told_at_the_end"]


ASYNC_SERVICES = """
    async def add(name="x"):
        async with factory() as session:
            user = User(name=name)
            session.add(user)
            await session.commit()
            return user

    async def fine():
        async with factory() as session:
            return await session.get(User, 1)

    async def leak():
        session = factory()
        kept.append(session)
        return await session.scalar(select(User.name))

    async def connect(wanted=True):
        if not wanted:
            return None
        connection = await engine.connect()
        kept.append(connection)
        if wanted:
            return 1  # here
        return 2

    async def fail():
        raise KeyError("mine")

    def deferred():
        return asyncio.ensure_future(fine())

    async def stream():
        async with factory() as session:
            for user in await session.scalars(select(User)):
                yield user
"""

ASYNC_TESTS = """
import asyncio
from pathlib import Path
from pytest_sessionguard.handle import BoundaryError

async def refused(awaitable):
    with pytest.raises(BoundaryError) as raised:
        await awaitable
    (finding,) = raised.value.findings
    frames = [frame.function for frame in finding.places[0].site.frames]
    return finding.rule, frames

async def test_fine(sessionguard):
    assert (await sessionguard.call(services.fine)).name == "secret-name"

async def test_bad(sessionguard):
    assert await refused(sessionguard.call(services.add)) == ("SG302", ["add", "refused"])

async def test_leak(sessionguard):
    assert (await refused(sessionguard.call(services.leak)))[0] == "SG101"

async def test_place(sessionguard):
    with pytest.raises(BoundaryError) as raised:
        await sessionguard.call(services.connect)
    await services.kept.pop().close()
    (finding,) = raised.value.findings
    frame = finding.places[-1].site.frames[0]
    assert "# here" in Path(frame.path).read_text().splitlines()[frame.line - 1]

async def test_error(sessionguard):
    with pytest.raises(KeyError, match="mine"):
        await sessionguard.call(services.fail)

async def test_side_by_side(sessionguard):
    calls = [sessionguard.call(services.fine) for _ in range(9)]
    calls.append(refused(sessionguard.call(services.add)))
    *users, told = await asyncio.gather(*calls)
    assert told[0] == "SG302"
    assert len(users) == 9

async def test_future(sessionguard):
    assert (await sessionguard.call(services.deferred)).name == "secret-name"

async def test_stream(sessionguard):
    assert [user async for user in sessionguard.call(services.stream)]
"""


def test_async(run_suite: Any) -> None:
    """An async function's call is awaited, and checked when it returns."""
    bare = "[pytest]\nasyncio_mode = auto\npythonpath = .\n"
    run = run_suite(ASYNC_SERVICES, ASYNC_TESTS, files={"pytest.ini": bare})
    assert run.is_clean()


def test_async_with_services(run_suite: Any) -> None:
    """The same where the settings ask for the services already."""
    assert run_suite(ASYNC_SERVICES, ASYNC_TESTS).is_clean()


def test_off(run_suite: Any) -> None:
    """With `--sessionguard=off` it just calls."""
    run = run_suite(
        ASYNC_SERVICES,
        """
        async def test_a(sessionguard):
            assert await sessionguard.call(services.add)
            assert sessionguard.call(len, "abc") == 3
            with sessionguard.services("app.services"):
                await services.add()
        """,
        "--sessionguard=off",
    )
    assert run.results == {"test_a": "passed"}


def test_a_fault_inside_changes_nothing(run_suite: Any) -> None:
    """A fault of ours while a call is judged is one warning; the result is what it was."""

    def sabotage(patch: Any) -> None:
        def fail(*args: Any) -> Any:
            raise ZeroDivisionError("ours")

        patch.setattr("pytest_sessionguard.handle._judge", fail)

    run = run_suite(
        SERVICES,
        """
        def test_a(sessionguard):
            assert sessionguard.call(services.fine).name
        """,
        sabotage=sabotage,
    )
    assert (run.exit, run.found, run.fault) == (0, [], "ZeroDivisionError: ours")


def test_text(run_suite: Any) -> None:
    """The error reads as a finding does."""
    run = run_suite(
        SERVICES,
        "def test_a(sessionguard): sessionguard.call(services.add)",
        files={"pytest.ini": "[pytest]\npythonpath = .\n"},
    )
    assert run.results == {"test_a": "failed"}
    assert "BoundaryError: SG302 unloaded-result: app.services.add returned 1 User" in run.text
    assert "handle.py" not in run.failure("test_a").replace("sessionguard.handle.", "")
