"""Reads the bodies of deliveries, each within its limit and all of them together within theirs.

Where there is too much, the body that has been read longest makes room: who begins a large one and stalls would keep
everybody else out otherwise. A body that comes quickly is never cut for another, or a crowd of honest ones would undo
each other's work.
"""

import asyncio
from dataclasses import dataclass

from starlette.types import Receive

from libs.postgres.group_commit import Full


class TooLarge(Exception):  # noqa: N818  a way out of the reading loop
    """A body is larger than is taken."""


class MadeRoom(Exception):  # noqa: N818
    """A body came so slowly that it had to go for others."""


class Gone(Exception):  # noqa: N818
    """The client ended the connection, or the server did because the body was too slow: nobody waits for an answer."""


@dataclass(slots=True, eq=False)
class _Reading:
    place: asyncio.Timeout
    since: float
    size: int = 0


class Bodies:
    """All bodies that are being read."""

    def __init__(self, body_bytes: int, reading_bytes: int, slow_seconds: float) -> None:
        """`reading_bytes` bounds what is held of them together; after `slow_seconds` one may be cut for others."""
        self._body_bytes = body_bytes
        self._reading_bytes = reading_bytes
        self._slow_seconds = slow_seconds
        self._readings: dict[_Reading, None] = {}  # in order of their beginning
        self._held_bytes = 0

    async def read(self, receive: Receive) -> bytes:
        """Give a whole body. Raises: TooLarge; Full when too much is being read; MadeRoom; Gone."""
        message = await receive()
        if message["type"] != "http.request":
            raise Gone
        body: bytes = message.get("body", b"")
        if message.get("more_body", False):
            return await self._read_on(receive, body)
        if len(body) > self._body_bytes:
            raise TooLarge
        return body

    async def _read_on(self, receive: Receive, first: bytes) -> bytes:
        try:
            async with asyncio.timeout(None) as place:
                reading = _Reading(place, asyncio.get_running_loop().time())
                self._readings[reading] = None
                try:
                    return await self._collect(reading, receive, first)
                finally:
                    self._held_bytes -= reading.size
                    self._readings.pop(reading, None)
        except TimeoutError as error:
            raise MadeRoom from error

    async def _collect(self, reading: _Reading, receive: Receive, chunk: bytes) -> bytes:
        chunks, size, more = [chunk], len(chunk), True
        while True:
            if size > self._body_bytes:
                raise TooLarge
            if not more:
                return b"".join(chunks)
            self._hold(reading, len(chunk))
            message = await receive()
            if message["type"] != "http.request":
                raise Gone
            chunk, more = message.get("body", b""), message.get("more_body", False)
            chunks.append(chunk)
            size += len(chunk)

    def _hold(self, reading: _Reading, more: int) -> None:
        """Note what has come; let the slowest go where that is too much. Raises: Full, TimeoutError."""
        reading.size += more
        self._held_bytes += more
        while self._held_bytes > self._reading_bytes:
            oldest = next(iter(self._readings), reading)
            now = asyncio.get_running_loop().time()
            if now - oldest.since < self._slow_seconds:
                raise Full
            if oldest is reading:
                raise TimeoutError
            del self._readings[oldest]
            self._held_bytes -= oldest.size
            oldest.size = 0
            oldest.place.reschedule(now)
