"""One refresh at a time per connection, and no new token used before it is kept.

Two askers at once would get two tokens, and where a platform ends the old one with the new, one of them a dead one.
Between processes only the caller's database can say who asks; this is what remains within one process, and the order of
the two steps: get, keep, use. See decision 0033.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")
Key = TypeVar("Key", bound=Hashable)


class SingleFlight(Generic[Key, T]):
    """Gets and keeps a value once per key, however many ask for it meanwhile."""

    def __init__(self) -> None:
        self._flights: dict[Key, asyncio.Task[T]] = {}
        self._unkept: dict[Key, T] = {}

    async def run(self, key: Key, get: Callable[[], Awaitable[T]], keep: Callable[[T], Awaitable[None]]) -> T:
        """Give what `get` got, after `keep` kept it; who asks meanwhile for the same key waits for the same.

        `key` names what is renewed, not only whose it is, e.g. the connection and its version: once somebody connects
        anew, a value that waits to be kept must not replace the newer one.
        `get` and `keep` are those of the first who asked. When `keep` fails, all get its error; the value is held in
        memory, and whoever asks next keeps that one instead of getting another. A caller that goes away ends nothing:
        the others still wait, and a new token must not be lost between the platform and the table.
        Raises whatever `get` and `keep` raise.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.create_task(self._fly(key, get, keep))
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._land(key, done))
        return await asyncio.shield(flight)

    async def drain(self) -> None:
        """Wait for what is on its way, before the database is closed. Raises nothing: each caller hears its own."""
        while self._flights:
            await asyncio.wait(list(self._flights.values()))

    async def _fly(self, key: Key, get: Callable[[], Awaitable[T]], keep: Callable[[T], Awaitable[None]]) -> T:
        if key not in self._unkept:
            self._unkept[key] = await get()
        value = self._unkept[key]
        await keep(value)
        del self._unkept[key]
        return value

    def _land(self, key: Key, flight: asyncio.Task[T]) -> None:
        self._flights.pop(key, None)
        if not flight.cancelled():
            flight.exception()  # looked at, should every caller have gone away
