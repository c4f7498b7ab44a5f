import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest
from fastapi import APIRouter
from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from deploy.local import ports
from libs.runtime.health import Health
from libs.runtime.http import create_app
from libs.runtime.limits import ProtocolLimits
from libs.runtime.protocol import CUT
from libs.runtime.server import HttpServer, listen
from libs.runtime.settings import ServiceSettings
from tests.support.asgi import problem_of
from tests.support.sockets import client as bare_client
from tests.support.sockets import statuses_of
from tests.support.until import until

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
    port = ports.choose()
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


HEAD = b"POST /echo HTTP/1.1\r\nHost: bus\r\nContent-Length: 4\r\n\r\n"
FRESH_SECONDS = 0.05
LARGE = b"GET /large HTTP/1.1\r\nHost: bus\r\n\r\n"


@dataclass
class Places:
    """An application that reads each body and answers, and notes how many it has begun and ended."""

    begun: int = 0
    ended: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/live":
            await _answer(send, b"")
            return
        self.begun += 1
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
        await _answer(send, b"x" * (20_000_000 if scope["path"] == "/large" else 2))
        self.ended += 1

    async def hold(self, begun: int) -> None:
        async def have_begun() -> bool:
            return self.begun == begun

        await until(have_begun, f"{begun} requests to be served", seconds=5)

    async def hold_long(self, begun: int) -> None:
        await self.hold(begun)
        loop = asyncio.get_running_loop()
        late = loop.time() + 2 * FRESH_SECONDS

        async def is_late() -> bool:
            return loop.time() > late

        await until(is_late, "the time", seconds=5)


async def _answer(send: Send, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def cut(reason: str) -> float:
    value: float = CUT.labels(reason)._value.get()
    return value


async def test_requests_whose_bodies_do_not_come_make_room_for_others_though_these_are_not_whole_either() -> None:
    places, before = Places(), cut("body_made_room")
    async with (
        serving_any(places, ProtocolLimits(fresh_seconds=FRESH_SECONDS)) as (url, _, _),
        AsyncExitStack() as many,
    ):
        port = httpx.URL(url).port or 0
        clients = [await many.enter_async_context(bare_client(port)) for _ in range(4)]
        for each in clients[:2]:
            each.send(HEAD)
        await places.hold_long(2)
        clients[2].send(HEAD)
        for each in clients[:2]:
            assert statuses_of(await each.rest()) == [503]
        await places.hold(3)
        clients[2].send(b"body")
        assert statuses_of(await clients[2].answer()) == [200]
        assert cut("body_made_room") == before + 2


async def test_a_fresh_body_makes_room_for_a_whole_request_alone_and_one_goes_for_one() -> None:
    places, before = Places(), cut("body_made_room")
    async with serving_any(places, ProtocolLimits(fresh_seconds=30)) as (url, _, _), AsyncExitStack() as many:
        port = httpx.URL(url).port or 0
        first, second, third, whole = [await many.enter_async_context(bare_client(port)) for _ in range(4)]
        for number, each in enumerate((first, second), 1):
            each.send(HEAD)
            await places.hold(number)
        third.send(HEAD)
        assert statuses_of(await third.rest()) == [503]
        assert cut("body_made_room") == before
        whole.send(HEAD + b"body")
        assert statuses_of(await whole.answer()) == [200]
        assert statuses_of(await first.rest()) == [503]
        second.send(b"body")
        assert statuses_of(await second.answer()) == [200]
        assert cut("body_made_room") == before + 1


async def test_no_place_is_given_away_twice() -> None:
    places = Places()
    async with (
        serving_any(places, ProtocolLimits(fresh_seconds=FRESH_SECONDS)) as (url, _, _),
        AsyncExitStack() as many,
    ):
        port = httpx.URL(url).port or 0
        clients = [await many.enter_async_context(bare_client(port)) for _ in range(8)]
        for number, each in enumerate(clients, 1):
            each.send(HEAD)
            await places.hold_long(number)
            assert places.begun - places.ended <= 2
        clients[-1].send(b"body")
        assert statuses_of(await clients[-1].answer()) == [200]


async def test_requests_whose_answers_nobody_reads_make_room_for_others() -> None:
    places, before = Places(), cut("answer_made_room")
    async with (
        serving_any(places, ProtocolLimits(fresh_seconds=FRESH_SECONDS)) as (url, _, _),
        AsyncExitStack() as many,
    ):
        port = httpx.URL(url).port or 0
        for begun in (2, 4):
            deaf = await many.enter_async_context(bare_client(port))
            deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
            deaf.send(LARGE * 2)
            await places.hold_long(begun)
        good = await many.enter_async_context(bare_client(port))
        good.send(HEAD + b"body")
        assert statuses_of(await good.answer()) == [200]
    assert cut("answer_made_room") == before + 2


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
