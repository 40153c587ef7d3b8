"""What goes on after a request has its answer."""

import asyncio

from sqlalchemy.ext.asyncio import AsyncSession

from .models import Message, Slot

tasks: set["asyncio.Task[None]"] = set()


async def deliver(text: str) -> None:
    """Send a text to the messenger; the tests put a slow one in its place."""
    await asyncio.sleep(0)


def keep(task: "asyncio.Task[None]") -> None:
    """Hold on to a task until it is done."""
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def process_item_background(item: Message, session: AsyncSession) -> None:
    """Send a queued message."""
    stored = await session.get_one(Message, item.id)
    await deliver(stored.text)
    stored.status = "sent"
    await session.commit()


async def remind_recruiter(slot: Slot, session: AsyncSession) -> None:
    """Remind the recruiter of a slot, then note it."""
    await deliver(f"You have an interview at {slot.starts_at}")
    stored = await session.get_one(Slot, slot.id)
    stored.status = "reminded"
    await session.commit()
    await session.refresh(stored)  # fault: SG204
