"""The network between a service and a server, to be broken by a test: a TCP proxy that runs in the test's own loop."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from typing import Final

_HOST: Final = "127.0.0.1"
_CHUNK_BYTES: Final = 65_536
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxy:
    """A door on `port` to a server on `target`; it stays on its port through every fault.

    `cut`: connections are reset, new ones refused. `black_hole`: everything is accepted and nothing passes. `slow`:
    each piece waits. `heal` ends all of it; what a black hole held back passes then, as TCP sends again what was lost.
    """

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self.target = target
        self._door: socket.socket | None = None
        self._passing = asyncio.Event()
        self._passing.set()
        self._latency_seconds = 0.0
        self._links: set[asyncio.Task[None]] = set()
        self._ends: set[asyncio.StreamWriter] = set()

    def start(self) -> None:
        """Open the door."""
        # An asyncio.Server that is closed in the moment of an accept leaves the connection open for ever.
        self._door = socket.create_server((_HOST, self.port), backlog=512)
        self._door.setblocking(False)
        asyncio.get_running_loop().add_reader(self._door, self._accept, self._door)

    async def close(self) -> None:
        """Shut the door and reset what goes through it."""
        self._passing.set()
        await self.cut()

    async def cut(self) -> None:
        """Reset every connection, both ends of it, and refuse new ones."""
        if self._door is not None:
            asyncio.get_running_loop().remove_reader(self._door)
            self._door.close()
            self._door = None
        await self.reset()

    async def reset(self) -> None:
        """Reset every connection that there is; new ones pass as before."""
        for end in self._ends:
            _abort(end)
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    def black_hole(self) -> None:
        """Accept everything, pass nothing on."""
        self._passing.clear()

    def slow(self, seconds: float) -> None:
        """Hold each piece for this time before it passes."""
        self._latency_seconds = seconds

    def heal(self) -> None:
        """Let everything pass at once again."""
        self._latency_seconds = 0.0
        self._passing.set()
        if self._door is None:
            self.start()

    def connections(self) -> int:
        """How many are open now."""
        return len(self._links)

    def _accept(self, door: socket.socket) -> None:
        try:
            connection, _ = door.accept()
        except OSError:  # who knocked is gone
            return
        link = asyncio.create_task(self._link(connection))
        self._links.add(link)
        link.add_done_callback(self._links.discard)
        link.add_done_callback(lambda _: connection.close())  # unless it came to that before

    async def _link(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            reader, writer = await asyncio.open_connection(sock=connection)
            async with self._end(writer):
                await self._passing.wait()
                far_reader, far_writer = await asyncio.open_connection(_HOST, self.target)
                async with self._end(far_writer):
                    await self._join((reader, writer), (far_reader, far_writer))

    async def _join(self, near: _Streams, far: _Streams) -> None:
        """Pass on both directions until both are ended; one end that breaks is reset at the other too."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(near[0], far[1]))
                group.create_task(self._pass_on(far[0], near[1]))
        except* OSError:
            _abort(near[1])
            _abort(far[1])

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on one direction until its sender ends it; the other direction may go on."""
        while data := await reader.read(_CHUNK_BYTES):
            if self._latency_seconds:
                await asyncio.sleep(self._latency_seconds)
            await self._passing.wait()
            writer.write(data)
            await writer.drain()
        await self._passing.wait()
        if not writer.is_closing():
            writer.write_eof()

    @contextlib.asynccontextmanager
    async def _end(self, writer: asyncio.StreamWriter) -> AsyncIterator[None]:
        self._ends.add(writer)
        try:
            yield
        finally:
            self._ends.discard(writer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def _abort(end: asyncio.StreamWriter) -> None:
    connection = end.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    end.transport.abort()
