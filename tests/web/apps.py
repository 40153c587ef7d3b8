"""A FastAPI application in which every place that may hold a session holds one as it should.

Each place has a flag that plants its fault; the line where the session is opened then carries the
flag's name as a comment, which is how the tests find it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import selectinload
from web.models import Author, AuthorOut, Book

fastapi = pytest.importorskip("fastapi")
responses = pytest.importorskip("starlette.responses")


class Missing(Exception):
    """What no row answers to."""


async def count_books(session: Any) -> int:
    return len((await session.scalars(select(Book.id))).all())


def make_app(engine: Any, fault: str = "") -> Any:
    """Make the application.

    Args:
        engine: An async engine.
        fault: The place in which it does not close its session; none where it is empty.
    """
    factory = async_sessionmaker(engine, expire_on_commit=False)
    seen: list[int] = []

    async def get_session() -> AsyncIterator[AsyncSession]:
        if fault == "dependency":
            session = factory()  # dependency
            yield session
            await session.close()
            return
        async with factory() as session:
            yield session

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        if fault == "lifespan":
            session = factory()  # lifespan
            app.state.books = await count_books(session)
        elif fault == "state":
            app.state.session = factory()  # state
        else:
            async with factory() as session:
                app.state.books = await count_books(session)
        yield

    app = fastapi.FastAPI(lifespan=lifespan)
    app.state.seen = seen

    @app.middleware("http")
    async def log_request(request: Any, call_next: Any) -> Any:
        if fault == "middleware":
            session = factory()  # middleware
            await count_books(session)
        else:
            async with factory() as session:
                await count_books(session)
        return await call_next(request)

    @app.exception_handler(Missing)
    async def answer_missing(request: Any, error: Missing) -> Any:
        if fault == "handler":
            session = factory()  # handler
            count = await count_books(session)
        else:
            async with factory() as session:
                count = await count_books(session)
        return responses.JSONResponse({"books": count}, status_code=404)

    @app.get("/authors/{number}", response_model=AuthorOut)
    async def read_author(number: int, session: Any = fastapi.Depends(get_session)) -> Any:
        query = select(Author).where(Author.id == number)
        if fault != "response model":
            query = query.options(selectinload(Author.books))
        author = await session.scalar(query)  # response model
        if author is None:
            raise fastapi.HTTPException(404)
        return author

    @app.get("/missing")
    async def read_missing() -> Any:
        raise Missing

    async def count_later() -> None:
        if fault == "background":
            session = factory()  # background
            seen.append(await count_books(session))
        else:
            async with factory() as session:
                seen.append(await count_books(session))

    @app.post("/books", status_code=201)
    async def add_book(
        tasks: fastapi.BackgroundTasks,  # type: ignore[name-defined]
        session: Any = fastapi.Depends(get_session),
    ) -> Any:
        book = Book(author_id=1, title="New")
        session.add(book)
        await session.commit()
        tasks.add_task(count_later)
        return {"id": book.id}

    async def stream_titles() -> AsyncIterator[str]:
        if fault == "stream":
            session = factory()  # stream
            async for title in await session.stream_scalars(select(Book.title)):
                yield f"{title}\n"
        else:
            async with factory() as session:
                async for title in await session.stream_scalars(select(Book.title)):
                    yield f"{title}\n"

    @app.get("/titles")
    async def read_titles() -> Any:
        return responses.StreamingResponse(stream_titles(), media_type="text/plain")

    @app.get("/state")
    async def read_state() -> Any:
        if fault == "state":
            return {"books": await count_books(app.state.session)}
        return {"books": app.state.books}

    async def talk_on(websocket: Any) -> None:
        if fault == "websocket":
            session = factory()  # websocket
            while await websocket.receive_text():
                await websocket.send_json(await count_books(session))
            await session.close()
        while await websocket.receive_text():
            async with factory() as session:
                await websocket.send_json(await count_books(session))

    @app.websocket("/ws")
    async def talk(websocket: fastapi.WebSocket) -> None:  # type: ignore[name-defined]
        await websocket.accept()
        with suppress(fastapi.WebSocketDisconnect):
            await talk_on(websocket)

    return app
