"""The web application."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from . import db
from .background import keep, process_item_background, remind_recruiter
from .models import Message, Slot, User

app = FastAPI()


async def get_async_session() -> AsyncIterator[AsyncSession]:
    """Yield a session for one request."""
    session = db.new_async_session()
    try:
        yield session
    except Exception:
        await session.rollback()
        raise
    finally:
        await session.close()


SessionDep = Annotated[AsyncSession, Depends(get_async_session)]


class NewMessage(BaseModel):
    """What a recruiter writes to a candidate."""

    text: str


@app.get("/candidates/{user_id}")
async def read_candidate(user_id: int, session: SessionDep) -> dict[str, Any]:
    """Return a candidate."""
    user = await session.get(User, user_id)
    if user is None:
        raise HTTPException(404, "no such candidate")
    return {"id": user.id, "name": user.name}


@app.post("/candidates/{user_id}/messages", status_code=201)
async def create_message(
    user_id: int, new: NewMessage, session: SessionDep, tasks: BackgroundTasks
) -> dict[str, Any]:
    """Queue a message and have it sent after the answer."""
    message = Message(user_id=user_id, text=new.text)
    session.add(message)
    await session.commit()
    tasks.add_task(process_item_background, message.id)
    return {"id": message.id, "status": message.status}


@app.get("/slots/{slot_id}")
async def read_slot(slot_id: int, session: SessionDep) -> dict[str, Any]:
    """Return a slot with the name of its city."""
    slot = await session.get(Slot, slot_id, options=[selectinload(Slot.city)])
    if slot is None:
        raise HTTPException(404, "no such slot")
    return {"id": slot.id, "city": slot.city.name}


@app.post("/slots/{slot_id}/remind", status_code=202)
async def remind(slot_id: int, session: SessionDep) -> dict[str, Any]:
    """Have the recruiter of a slot reminded, without waiting for it."""
    slot = await session.get(Slot, slot_id)
    if slot is None:
        raise HTTPException(404, "no such slot")
    task = asyncio.create_task(remind_recruiter(slot.id))
    keep(task)
    return {"id": slot.id}


@app.get("/debug/pool-status")
async def pool_status() -> dict[str, Any]:
    """Return how many connections the pool has, and where they are."""
    pool: Any = db.get_engine().pool
    return {
        "size": pool.size(),
        "checked_in": pool.checkedin(),
        "checked_out": pool.checkedout(),
        "overflow": pool.overflow(),
    }
