"""Many healthy calls at once: not one finding; and what a call costs where nothing is asked for."""

from __future__ import annotations

from typing import Any


def test_a_thousand_async_calls(run_suite: Any) -> None:
    """1,000 calls side by side, nested ones and cancelled ones among them."""
    run = run_suite(
        """
        async def load(number):
            async with factory() as session:
                user = await session.get(User, 1)
                await asyncio.sleep(0)
                return user

        async def add(number):
            async with lasting() as session:
                user = User(name=f"user {number}")
                session.add(user)
                await session.commit()
                return user

        async def both(number):
            first, second = await asyncio.gather(load(number), load(number))
            return [first, second]

        async def slow(number):
            async with factory() as session:
                await session.get(User, 1)
                await asyncio.sleep(10)

        async def stream(number):
            async with factory() as session:
                for user in await session.scalars(select(User).limit(2)):
                    yield user
        """,
        """
        import asyncio

        async def consume(number):
            return [user.name async for user in services.stream(number)]

        async def cancel(number):
            task = asyncio.create_task(services.slow(number))
            await asyncio.sleep(0.01 * (number % 7))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        async def test_all():
            kinds = [services.load] * 12 + [services.both] * 4 + [consume] * 3 + [cancel]
            calls = [kinds[number % 20](number) for number in range(1000)]
            assert len(await asyncio.gather(*calls)) == 1000

        async def test_writes():
            for number in range(50):
                assert (await services.add(number)).name
        """,
    )
    assert run.is_clean()


def test_a_thousand_calls_in_threads(run_suite: Any) -> None:
    """1,000 calls in eight threads."""
    run = run_suite(
        """
        def load(number):
            with factory() as session:
                session.scalar(text("SELECT 1"))
                return session.scalars(select(User)).all()

        def load_twice(number):
            return load(number) + load(number)

        def stream(number):
            with factory() as session:
                yield from session.scalars(select(User))
        """,
        """
        import sys
        from concurrent.futures import ThreadPoolExecutor

        def consume(number):
            return [user.name for user in services.stream(number)]

        def test_all():
            before = sys.getswitchinterval()
            sys.setswitchinterval(1e-4)
            try:
                with ThreadPoolExecutor(8) as pool:
                    kinds = [services.load, services.load_twice, consume]
                    calls = [pool.submit(kinds[n % 3], n) for n in range(1000)]
                    assert all(call.result() for call in calls)
            finally:
                sys.setswitchinterval(before)
        """,
    )
    assert run.is_clean()
