"""What the back end reads."""

from sqlalchemy import select
from sqlalchemy.orm import selectinload

from .db import async_session
from .models import Message, Slot, User

# candidates


async def list_chat_messages(user_id: int, limit: int = 50) -> list[Message]:
    """Return the newest messages of a candidate, the oldest of them first."""
    query = select(Message).where(Message.user_id == user_id).order_by(Message.id.desc())
    async with async_session() as session:
        if await session.get(User, user_id) is None:
            return []
        messages = list(await session.scalars(query.limit(limit)))
        for message in messages:
            session.expunge(message)
        return messages[::-1]


async def get_user_by_telegram_id(telegram_id: int) -> User | None:
    """Return the candidate with this Telegram account."""
    async with async_session() as session:
        user = await session.scalar(select(User).where(User.telegram_id == telegram_id))
        if user is not None:
            session.expunge(user)
        return user


async def get_user_by_candidate_id(candidate_id: str) -> User | None:
    """Return the candidate with this public id."""
    async with async_session() as session:
        user = await session.scalar(select(User).where(User.candidate_id == candidate_id))
        if user is not None:
            session.expunge(user)
        return user


async def get_all_active_users(city_id: int) -> list[User]:
    """Return the candidates of a city who still look for work."""
    query = select(User).where(User.city_id == city_id, User.is_active).order_by(User.id)
    async with async_session() as session:
        users = list(await session.scalars(query))
        for user in users:
            session.expunge(user)
        return users


# slots


async def list_slots(city_id: int) -> list[Slot]:
    """Return the slots of a city with their recruiters, the earliest first."""
    query = (
        select(Slot)
        .options(selectinload(Slot.recruiter), selectinload(Slot.city))
        .where(Slot.city_id == city_id)
        .order_by(Slot.starts_at)
    )
    async with async_session() as session:
        slots = list(await session.scalars(query))
        for slot in slots:
            session.expunge(slot)
        return slots


async def get_slot_with_relations(slot_id: int) -> Slot | None:
    """Return a slot with its recruiter and its city."""
    query = (
        select(Slot)
        .options(selectinload(Slot.recruiter), selectinload(Slot.city))
        .where(Slot.id == slot_id)
    )
    async with async_session() as session:
        slot = await session.scalar(query)
        if slot is not None:
            session.expunge(slot)
        return slot


def slot_title(slot: Slot) -> str:
    """Return the line that the calendar shows for a slot."""
    return f"Slot {slot.id}: {slot.city.name}, {slot.recruiter.name}"
