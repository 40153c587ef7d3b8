"""A whole FastAPI application, healthy and with one fault at a time, under both of its clients."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from loads.conftest import line_of
from web.apps import make_app

from pytest_sessionguard.model import Finding

httpx = pytest.importorskip("httpx")
testclient = pytest.importorskip("fastapi.testclient")


async def visit(app: Any, *, broken: bool = False) -> None:
    """Ask everything of the application in its own loop, as httpx does."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    client = httpx.AsyncClient(transport=transport, base_url="http://test")
    async with app.router.lifespan_context(app), client:
        assert (await client.get("/authors/1")).status_code == (500 if broken else 200)
        assert (await client.get("/authors/9")).status_code == 404
        assert (await client.get("/missing")).json() == {"books": 2}
        assert "Notes\n" in (await client.get("/titles")).text
        assert (await client.get("/state")).json() == {"books": 2}
        assert (await client.post("/books")).status_code == 201
        assert app.state.seen == [3]


def visit_in_portal(app: Any) -> None:
    """Ask everything of it from outside of its loop, as TestClient does."""
    with testclient.TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/authors/1").status_code == 200
        assert client.get("/authors/9").status_code == 404
        assert client.get("/missing").json() == {"books": 2}
        assert "Notes\n" in client.get("/titles").text
        assert client.get("/state").json() == {"books": 2}
        with client.websocket_connect("/ws") as socket:
            socket.send_text("how many?")
            assert socket.receive_json() == 2
        assert client.post("/books").status_code == 201
        assert app.state.seen == [3]


@pytest.mark.parametrize("size", (1, 5))
def test_healthy(size: int, watching: Any, make_async_engine: Any, run: Any) -> None:
    """Nothing of it is a finding, whatever the size of its pool."""
    engine = make_async_engine(size)
    run(visit(make_app(engine)), engine)
    assert [] == watching.end()
    assert watching.ledger.sessions >= 10


@pytest.mark.parametrize("size", (1, 5))
def test_healthy_in_portal(size: int, watching: Any, make_async_engine: Any, run: Any) -> None:
    """Nor under TestClient, which has a loop and a thread of its own."""
    engine = make_async_engine(size)
    visit_in_portal(make_app(engine))
    run(asyncio.sleep(0), engine)
    assert [] == watching.end()
    assert watching.ledger.sessions >= 11


def places_of(finding: Finding) -> list[str]:
    return [line_of(finding, place.label) for place in finding.places]


@pytest.mark.parametrize(
    "fault",
    ("dependency", "lifespan", "state", "middleware", "handler", "background", "stream"),
)
def test_fault(fault: str, watching: Any, make_async_engine: Any, run: Any) -> None:
    """A session that one place does not close is that one finding, at its line."""
    engine = make_async_engine(10)
    run(visit(make_app(engine, fault)), engine)
    (finding,) = watching.end()
    assert finding.rule == {"state": "SG101"}.get(fault, "SG102")
    assert any(line.endswith(f"# {fault}") for line in places_of(finding)), finding


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_fault_of_the_response_model(watching: Any, make_async_engine: Any, run: Any) -> None:
    """A response model that loads lazily is SG304, with the line that loaded its object."""
    engine = make_async_engine()
    run(visit(make_app(engine, "response model"), broken=True), engine)
    (finding,) = watching.end()
    assert finding.rule == "SG304"
    assert line_of(finding, "loaded at").endswith("# response model")


def test_fault_of_a_websocket(watching: Any, make_async_engine: Any, run: Any) -> None:
    """A client that leaves ends a websocket's function above the line that would close."""
    engine = make_async_engine(10)
    visit_in_portal(make_app(engine, "websocket"))
    run(asyncio.sleep(0), engine)
    (finding,) = watching.end()
    assert finding.rule == "SG102"
    assert any(line.endswith("# websocket") for line in places_of(finding)), finding
