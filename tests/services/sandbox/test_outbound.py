"""The way out, on real sockets of this machine."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from services.sandbox.outbound import Heard, NotAllowed, NotHeard, Outbound

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    made = Outbound()
    yield made
    await made.close()


@asynccontextmanager
async def answering(answer: bytes, seen: list[bytes] | None = None) -> AsyncIterator[int]:
    """A server that gives every connection the same bytes and ends it; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if seen is not None:
            seen.append(head)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_handshake_asks_with_its_parameters_and_hears_the_answer(outbound: Outbound) -> None:
    seen: list[bytes] = []
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345", seen) as port:
        url = f"http://localhost:{port}/hook?mine=1"
        heard = await outbound.get(url, {"hub.mode": "subscribe", "hub.verify_token": "a b"}, timeout_seconds=5)
    assert heard == Heard(200, b"12345")
    line, *headers = seen[0].decode().split("\r\n")
    assert line == "GET /hook?mine=1&hub.mode=subscribe&hub.verify_token=a+b HTTP/1.1"
    assert f"host: localhost:{port}" in [header.lower() for header in headers]


async def test_a_redirect_is_an_answer_and_not_followed(outbound: Outbound) -> None:
    async with answering(b"HTTP/1.1 302 Found\r\nLocation: http://8.8.8.8/\r\nContent-Length: 0\r\n\r\n") as port:
        heard = await outbound.post(f"http://127.0.0.1:{port}/", {}, b"{}", timeout_seconds=5)
    assert heard.status == 302


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000,
    ],
)
async def test_half_an_answer_or_a_huge_one_is_not_heard(outbound: Outbound, answer: bytes) -> None:
    async with answering(answer) as port:
        with pytest.raises(NotHeard):
            await outbound.post(f"http://127.0.0.1:{port}/", {}, b"{}", timeout_seconds=5)


async def test_who_does_not_answer_is_not_waited_for(outbound: Outbound) -> None:
    silent = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await silent.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        # The time has to run out on a connection that is there: one that is cut off while it is made is left open.
        assert (await outbound.get(url, {}, timeout_seconds=5)).status == 200
        with pytest.raises(NotHeard, match="TimeoutError"):
            await outbound.post(url, {}, b"{}", timeout_seconds=0.05)
        silent.set()


async def test_nobody_at_the_address_is_not_heard(outbound: Outbound) -> None:
    async with answering(b"") as port:
        free = port
    with pytest.raises(NotHeard):
        await outbound.get(f"http://127.0.0.1:{free}/", {}, timeout_seconds=5)


@pytest.mark.parametrize("url", ["http://example.com/", "http://1.1.1.1/", "nonsense"])
async def test_an_address_outside_is_never_called(outbound: Outbound, url: str) -> None:
    with pytest.raises(NotAllowed):
        await outbound.get(url, {}, timeout_seconds=5)
