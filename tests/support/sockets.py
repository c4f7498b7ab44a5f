"""An application behind the real server, and clients on bare sockets that need not behave."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import SecretStr
from starlette.types import ASGIApp

from deploy.local import ports
from libs.runtime.limits import ProtocolLimits
from libs.runtime.server import HttpServer
from libs.runtime.settings import ServiceSettings

STEP_SECONDS = 0.05


@asynccontextmanager
async def serving(app: ASGIApp, limits: ProtocolLimits | None = None) -> AsyncIterator[int]:
    port = ports.choose()
    dsn = SecretStr("postgresql://nobody@127.0.0.1:1/none")
    settings = ServiceSettings(port=port, worker_dsn=dsn, api_dsn=dsn, drain_seconds=1)
    stop = asyncio.Event()
    task = asyncio.create_task(HttpServer(app, settings, limits).run(stop))
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            break
        except ConnectionRefusedError:
            await asyncio.sleep(0)
    writer.close()
    try:
        yield port
    finally:
        stop.set()
        await task


class Client:
    """A connection that can be kept open, trickled into, or left alone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def trickle(self, data: bytes) -> int:
        """Send a byte at a time until the server ends the connection; give how many were sent."""
        sent = 0
        ended = asyncio.ensure_future(self.reader.read())
        for place in range(len(data)):
            self.send(data[place : place + 1])
            sent += 1
            done, _ = await asyncio.wait([ended], timeout=STEP_SECONDS)
            if done:
                break
        self.left = await ended
        return sent

    async def rest(self) -> bytes:
        """Everything until the server ends the connection."""
        async with asyncio.timeout(5):
            return await self.reader.read()

    async def answer(self) -> bytes:
        """One answer that says its length."""
        async with asyncio.timeout(5):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            return head + await self.reader.readexactly(int(length.partition(b":")[2]))


@asynccontextmanager
async def client(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


def statuses_of(read: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", read)]


async def exchange(port: int, data: bytes) -> bytes:
    async with client(port) as one:
        one.send(data)
        return await one.rest()
