"""The rows that a test starts from."""

from dataclasses import dataclass
from datetime import datetime, timezone
from uuid import uuid4

from recruiting import db
from recruiting.models import City, Message, Recruiter, Slot, User


@dataclass(frozen=True)
class Town:
    """A city with one candidate and two slots, by their ids."""

    city_id: int
    user_id: int
    telegram_id: int
    candidate_id: str
    slot_ids: list[int]


async def add_town() -> Town:
    """Add a city that no other test has, and all that is in it."""
    key = uuid4()
    async with db.async_session() as session:
        city = City(name=f"Omsk {key}")
        anna, boris = Recruiter(name="Anna"), Recruiter(name="Boris")
        session.add_all([city, anna, boris])
        await session.flush()
        user = User(
            candidate_id=str(key), telegram_id=key.int % 2**31, name="Vera", city_id=city.id
        )
        slots = [
            Slot(starts_at=_morning(1), recruiter_id=anna.id, city_id=city.id),
            Slot(starts_at=_morning(2), recruiter_id=boris.id, city_id=city.id),
        ]
        session.add_all([user, *slots])
        await session.flush()
        for text in ("Good day", "When can you come?"):
            session.add(Message(user_id=user.id, text=text))
            await session.flush()
        await session.commit()
        slot_ids = [slot.id for slot in slots]
        return Town(city.id, user.id, user.telegram_id, user.candidate_id, slot_ids)


def _morning(day: int) -> datetime:
    """Return nine o'clock of a day in January."""
    return datetime(2030, 1, day, 9, tzinfo=timezone.utc)
