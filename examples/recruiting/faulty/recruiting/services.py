"""What the back end reads; every fault stands in a function of its own."""

import logging

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from .db import async_session, new_async_session
from .models import Message, Slot, User

logger = logging.getLogger(__name__)
_lookups: dict[str, AsyncSession] = {}

# candidates


async def list_chat_messages(user_id: int, limit: int = 50) -> list[Message]:
    """Return the newest messages of a candidate, the oldest of them first."""
    query = select(Message).where(Message.user_id == user_id).order_by(Message.id.desc())
    async with async_session() as session:
        if await session.get(User, user_id) is None:
            return []
    messages = await session.scalars(query.limit(limit))  # fault: SG202
    return list(reversed(messages.all()))


async def get_user_by_telegram_id(telegram_id: int) -> User | None:
    """Return the candidate with this Telegram account."""
    session = new_async_session()  # fault: SG102, SG501
    user = await session.scalar(select(User).where(User.telegram_id == telegram_id))
    return user


async def get_user_by_candidate_id(candidate_id: str) -> User | None:
    """Return the candidate with this public id."""
    if "candidate" not in _lookups:
        _lookups["candidate"] = new_async_session()  # fault: SG101, SG501
    session = _lookups["candidate"]
    user = await session.scalar(select(User).where(User.candidate_id == candidate_id))
    if user is not None:
        session.expunge(user)
    return user


async def get_all_active_users(city_id: int) -> list[User]:
    """Return the candidates of a city who still look for work."""
    query = select(User).where(User.city_id == city_id, User.is_active).order_by(User.id)
    users = await new_async_session().scalars(query)  # fault: SG102, SG501
    return list(users)


# slots


async def list_slots(city_id: int) -> list[Slot]:
    """Return the slots of a city with their recruiters, the earliest first."""
    query = select(Slot).where(Slot.city_id == city_id).order_by(Slot.starts_at)
    async with async_session() as session:
        slots = list(await session.scalars(query))
        for slot in slots:
            await slot.awaitable_attrs.recruiter  # fault: SG402
            session.expunge(slot)
        return slots


async def get_slot_with_relations(slot_id: int) -> Slot | None:
    """Return a slot with its recruiter and its city."""
    async with async_session() as session:
        slot = await session.scalar(select(Slot).where(Slot.id == slot_id))
        if slot is not None:
            session.expunge(slot)
        return slot


def slot_title(slot: Slot) -> str:
    """Return the line that the calendar shows for a slot."""
    try:
        return f"Slot {slot.id}: {slot.city.name}, {slot.recruiter.name}"  # fault: SG303
    except SQLAlchemyError:
        logger.warning("slot %s has no city", slot.id)
        return f"Slot {slot.id}"
