import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
from fastapi import APIRouter
from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from libs.runtime.health import Health
from libs.runtime.http import create_app
from libs.runtime.limits import ProtocolLimits
from libs.runtime.protocol import CUT
from libs.runtime.server import HttpServer, listen
from libs.runtime.settings import ServiceSettings
from tests.support.asgi import problem_of
from tests.support.sockets import client as bare_client
from tests.support.sockets import statuses_of

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
async def serving(
    slow: Slow, limits: ProtocolLimits | None = None
) -> AsyncIterator[tuple[str, asyncio.Event, asyncio.Task[None]]]:
    app = create_app("testing", routers=[slow.router()], health=Health(), max_body_bytes=10_000)
    async with serving_any(app, limits) as served:
        try:
            yield served
        finally:
            slow.may_answer.set()


@asynccontextmanager
async def serving_any(
    app: ASGIApp, limits: ProtocolLimits | None = None
) -> AsyncIterator[tuple[str, asyncio.Event, asyncio.Task[None]]]:
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    dsn = SecretStr("postgresql://nobody@127.0.0.1:1/none")
    settings = ServiceSettings(port=port, worker_dsn=dsn, api_dsn=dsn, drain_seconds=5, max_concurrent_requests=2)
    stop = asyncio.Event()
    task = asyncio.create_task(HttpServer(app, settings, limits).run(stop))
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


HEAD = b"POST /echo HTTP/1.1\r\nHost: bus\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"


async def test_requests_whose_bodies_do_not_come_make_room_for_others() -> None:
    slow, before = Slow(), CUT.labels("body_made_room")._value.get()
    limits = ProtocolLimits(fresh_seconds=0.2)
    async with (
        serving(slow, limits) as (url, _, _),
        httpx.AsyncClient(trust_env=False) as client,
        AsyncExitStack() as many,
    ):
        port = httpx.URL(url).port or 0
        holders = [await many.enter_async_context(bare_client(port)) for _ in range(2)]
        for each in holders:
            each.send(HEAD)
        await asyncio.sleep(0.3)
        assert (await client.post(f"{url}/echo", json={"a": "b"})).json() == {"a": "b"}
        for each in holders:
            assert statuses_of(await each.rest()) == [503]
        assert CUT.labels("body_made_room")._value.get() == before + 2
        waiting = [asyncio.create_task(client.get(f"{url}/slow")) for _ in range(2)]
        await slow.both_asked.wait()
        problem_of(await client.get(f"{url}/slow"), 503, "unavailable")  # no place is counted twice
        slow.may_answer.set()
        assert [(await answer).json() for answer in waiting] == ["done", "done"]


async def test_requests_whose_answers_nobody_reads_make_room_for_others() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = b"x" * (20_000_000 if scope["path"] == "/large" else 2)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    before = CUT.labels("answer_made_room")._value.get()
    async with serving_any(app, ProtocolLimits(fresh_seconds=0.2)) as (url, _, _), AsyncExitStack() as many:
        for _ in range(2):
            deaf = await many.enter_async_context(bare_client(httpx.URL(url).port or 0))
            deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
            deaf.send(b"GET /large HTTP/1.1\r\nHost: bus\r\n\r\n" * 2)
        await asyncio.sleep(0.4)
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{url}/small")).status_code == 200
    assert CUT.labels("answer_made_room")._value.get() == before + 2


async def test_a_body_that_is_on_its_way_for_a_moment_only_is_not_cut_for_others() -> None:
    async with (
        serving(Slow(), ProtocolLimits(fresh_seconds=30)) as (url, _, _),
        httpx.AsyncClient(trust_env=False) as client,
        AsyncExitStack() as many,
    ):
        port = httpx.URL(url).port or 0
        coming = [await many.enter_async_context(bare_client(port)) for _ in range(2)]
        for each in coming:
            each.send(HEAD)
        async with asyncio.timeout(5):
            while (await client.post(f"{url}/echo", json={})).status_code == 200:
                pass  # until both are there
        for each in coming:
            each.send(b"{}" + b" " * 98)
            assert statuses_of(await each.answer()) == [200]


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
