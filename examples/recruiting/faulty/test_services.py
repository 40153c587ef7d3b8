"""What the services promise."""

import asyncio

from recruiting import reports, services
from sample import Town


async def test_list_chat_messages(town: Town) -> None:
    messages = await services.list_chat_messages(town.user_id)
    assert [message.text for message in messages] == ["Good day", "When can you come?"]


async def test_list_chat_messages_of_nobody(town: Town) -> None:
    assert await services.list_chat_messages(-1) == []


async def test_get_user_by_telegram_id(town: Town) -> None:
    user = await services.get_user_by_telegram_id(town.telegram_id)
    assert user is not None
    assert user.name == "Vera"


async def test_get_user_by_candidate_id(town: Town) -> None:
    user = await services.get_user_by_candidate_id(town.candidate_id)
    assert user is not None
    assert user.id == town.user_id


async def test_get_all_active_users(town: Town) -> None:
    users = await services.get_all_active_users(town.city_id)
    assert [user.id for user in users] == [town.user_id]


async def test_list_slots(town: Town) -> None:
    slots = await services.list_slots(town.city_id)
    assert [slot.recruiter.name for slot in slots] == ["Anna", "Boris"]


async def test_get_slot_with_relations(town: Town) -> None:
    slot = await services.get_slot_with_relations(town.slot_ids[0])
    assert slot is not None
    assert services.slot_title(slot).startswith(f"Slot {slot.id}")


async def test_nightly_report(town: Town) -> None:
    for _ in range(2):
        assert await asyncio.to_thread(reports.nightly_report, town.city_id) == "1 active"
