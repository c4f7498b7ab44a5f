import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import APIRouter
from pydantic import SecretStr

from libs.runtime.health import Health
from libs.runtime.http import create_app
from libs.runtime.server import HttpServer, listen
from libs.runtime.settings import ServiceSettings
from tests.support.asgi import problem_of

pytestmark = pytest.mark.e2e


class Slow:
    """A route whose answer waits until a test lets it go."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.both_asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    def router(self) -> APIRouter:
        router = APIRouter()

        @router.get("/slow")
        async def get_slow() -> str:
            if self.asked.is_set():
                self.both_asked.set()
            self.asked.set()
            await self.may_answer.wait()
            return "done"

        @router.post("/echo")
        async def post_echo(body: dict[str, str]) -> dict[str, str]:
            return body

        return router


@asynccontextmanager
async def serving(slow: Slow) -> AsyncIterator[tuple[str, asyncio.Event, asyncio.Task[None]]]:
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    dsn = SecretStr("postgresql://nobody@127.0.0.1:1/none")
    settings = ServiceSettings(port=port, worker_dsn=dsn, api_dsn=dsn, drain_seconds=5, max_concurrent_requests=2)
    app = create_app("testing", routers=[slow.router()], health=Health(), max_body_bytes=10_000)
    stop = asyncio.Event()
    task = asyncio.create_task(HttpServer(app, settings).run(stop))
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            try:
                await client.get(f"{url}/live")
                break
            except httpx.ConnectError:
                await asyncio.sleep(0)
    try:
        yield url, stop, task
    finally:
        slow.may_answer.set()
        stop.set()
        await task


async def test_a_request_in_flight_is_answered_after_the_door_is_closed() -> None:
    slow = Slow()
    async with serving(slow) as (url, stop, task), httpx.AsyncClient(trust_env=False) as client:
        answer = asyncio.create_task(client.get(f"{url}/slow"))
        await slow.asked.wait()
        stop.set()
        slow.may_answer.set()
        assert (await answer).json() == "done"
        await task
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{url}/live")


@pytest.mark.parametrize("size", [11_000, 3_000_000])
async def test_a_client_that_sends_far_too_much_still_gets_its_answer(size: int) -> None:
    async with serving(Slow()) as (url, _, _), httpx.AsyncClient(trust_env=False) as client:
        for content in (b"x" * size, _chunks(size)):
            response = await client.post(f"{url}/echo", content=content, headers={"Content-Type": "application/json"})
            problem_of(response, 413, "body_too_large")


async def test_more_requests_than_can_be_served_are_asked_to_come_again_and_probes_pass() -> None:
    slow = Slow()
    async with serving(slow) as (url, _, _), httpx.AsyncClient(trust_env=False) as client:
        waiting = [asyncio.create_task(client.get(f"{url}/slow")) for _ in range(2)]
        await slow.asked.wait()
        await slow.both_asked.wait()
        refused = await client.get(f"{url}/slow")
        problem_of(refused, 503, "unavailable")
        assert int(refused.headers["retry-after"]) > 0
        assert (await client.get(f"{url}/live")).status_code == 200
        slow.may_answer.set()
        assert [(await answer).json() for answer in waiting] == ["done", "done"]
        assert (await client.get(f"{url}/slow")).status_code == 200


async def test_a_head_that_is_too_large_is_refused() -> None:
    async with serving(Slow()) as (url, _, _), httpx.AsyncClient(trust_env=False) as client:
        response = await client.get(f"{url}/live", headers={"X-Large": "x" * 70_000})
        assert response.status_code in (400, 431)


async def _chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 1_000):
        yield b"x" * 1_000


def test_the_listening_socket_names_its_protocol_or_every_answer_would_be_late() -> None:
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP  # asyncio sets TCP_NODELAY only then
