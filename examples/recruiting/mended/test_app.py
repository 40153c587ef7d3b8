"""What the web application promises."""

import asyncio

import httpx
import pytest
from recruiting import background, db
from recruiting.models import Message, Slot
from sample import Town
from sqlalchemy import select


async def test_read_candidate(client: httpx.AsyncClient, town: Town) -> None:
    response = await client.get(f"/candidates/{town.user_id}")
    assert response.json() == {"id": town.user_id, "name": "Vera"}


async def test_read_candidate_that_is_not_there(client: httpx.AsyncClient) -> None:
    response = await client.get("/candidates/0")
    assert response.status_code == 404


async def test_create_message_sends_it(client: httpx.AsyncClient, town: Town) -> None:
    path = f"/candidates/{town.user_id}/messages"
    response = await client.post(path, json={"text": "See you"})
    assert response.json()["status"] == "queued"
    async with db.async_session() as session:
        message = await session.get_one(Message, response.json()["id"])
        assert (message.text, message.status) == ("See you", "sent")


async def test_read_slot(client: httpx.AsyncClient, town: Town) -> None:
    response = await client.get(f"/slots/{town.slot_ids[0]}")
    assert response.status_code == 200
    assert response.json()["id"] == town.slot_ids[0]


async def test_remind_does_not_wait(
    client: httpx.AsyncClient, town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    messenger = asyncio.Event()

    async def deliver(text: str) -> None:
        await messenger.wait()

    monkeypatch.setattr(background, "deliver", deliver)
    response = await client.post(f"/slots/{town.slot_ids[0]}/remind")
    assert response.status_code == 202
    messenger.set()
    await asyncio.gather(*background.tasks)
    async with db.async_session() as session:
        query = select(Slot.status).where(Slot.city_id == town.city_id).order_by(Slot.starts_at)
        assert list(await session.scalars(query)) == ["reminded", "free"]


async def test_pool_status(client: httpx.AsyncClient) -> None:
    response = await client.get("/debug/pool-status")
    assert response.json()["size"] == 5
