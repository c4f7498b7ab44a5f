"""An HTTP client that sends webhooks: a process of its own, so that its work is not counted as the server's.

`python -m benchmarks.support.http_load '{"url": …}'` with the fields of `Load`; prints one `Outcome` as JSON. One
request is in flight per connection, head and body in one write, nothing is pipelined. Each body is unique; its
signature is made on the way, from a digest of what all bodies have in common. What it costs is part of the outcome:
15 us of CPU per request, up to 50 when answers come one by one, which on two cores the server and the database lack.
"""

import asyncio
import gc
import json
import resource
import signal
import sys
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httptools
import uvloop

from benchmarks.support.deliveries import Deliveries
from benchmarks.support.frame import percentiles
from benchmarks.support.servers import run_part

DRAIN_SECONDS = 10.0
RECONNECT_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Load:
    """What to send, and for how long."""

    url: str
    secret: str
    connections: int
    seconds: float
    """Of measuring; the warm-up comes before. SIGTERM ends it earlier."""
    warm_seconds: float = 0.5
    rate: float = 0.0
    """Requests per second by the clock (open loop); 0: each connection sends when it has its answer (closed loop)."""
    count: int = 0
    """Of requests altogether; 0: as many as there is time for."""
    first: int = 0
    """Number of the first delivery; no two are alike whose numbers differ."""
    pages: int = 1
    wrong: bool = False
    """Sign wrongly: one prebuilt request again and again, the cheapest way to be a nuisance."""
    reconnect: bool = False
    """Connect again when a connection ends, until the time is over."""
    acknowledged_path: str = ""
    """Where to write the numbers of what was answered 200, as 8-byte integers."""


@dataclass(slots=True)
class Outcome:
    """What came of it. Times are milliseconds, of answers 200 inside the measured time."""

    acknowledged: int = 0
    """Answers 200, warm-up and the last ones included: what must be stored."""
    rate: float = 0.0
    statuses: dict[str, int] = field(default_factory=dict)
    broken: int = 0
    """Connections that ended with a request in flight: nobody knows what came of it."""
    p50: float = 0.0
    p99: float = 0.0
    worst: float = 0.0
    busy_seconds: float = 0.0
    """From the first request to the last answer."""
    client_us: float = 0.0
    """CPU of this client per answer."""


class _Connection(asyncio.Protocol):
    __slots__ = ("_client", "_parser", "began", "number", "transport")

    def __init__(self, client: "_Client") -> None:
        self._client = client
        self._parser: Any = None
        self.transport: Any = None
        self.began = 0.0
        self.number = -1

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._parser = httptools.HttpResponseParser(self)
        self._client.free(self)

    def send(self, number: int, began: float) -> None:
        self.number, self.began = number, began
        self.transport.write(self._client.request(number))

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if not self._parser.should_keep_alive():
            self.transport.close()
        number, self.number = self.number, -1
        self._parser = httptools.HttpResponseParser(self)
        self._client.answered(self, number, status)

    def connection_lost(self, _: Exception | None) -> None:
        self._client.lost(self)


class _Client:
    def __init__(self, load: Load) -> None:
        self._load = load
        parts = urlsplit(load.url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        deliveries = Deliveries(load.url, load.secret.encode(), pages=load.pages)
        self.request: Callable[[int], bytes] = deliveries.request
        if load.wrong:
            wrong = deliveries.wrongly_signed(load.first)
            self.request = lambda _: wrong
        numbers = iter(range(load.first, sys.maxsize))
        self._numbers: Iterator[int] = islice(numbers, load.count) if load.count else numbers
        self._idle: list[_Connection] = []
        self._late: deque[tuple[int, float]] = deque()
        self._in_flight = 0
        self._all_sent = False
        self._done = asyncio.Event()
        self._reconnecting: set[asyncio.Task[None]] = set()
        self._from = self._until = 0.0
        self._first = self._last = 0.0
        self._seen: Counter[int] = Counter()
        self._times = array("d")
        self._acknowledged = array("Q")
        self._answers = 0
        self._broken = 0

    async def run(self) -> Outcome:
        gc.disable()  # nothing here makes cycles, and a collection would be taken for the server's delay
        self._from = time.perf_counter() + self._load.warm_seconds
        self._until = self._from + self._load.seconds
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stop)
        await asyncio.gather(*(self._connect() for _ in range(self._load.connections)))
        if self._load.rate:
            await self._keep_pace()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._done.wait(), self._until - time.perf_counter() + DRAIN_SECONDS)
        if self._load.acknowledged_path:
            Path(self._load.acknowledged_path).write_bytes(self._acknowledged.tobytes())
        return self._outcome()

    def _stop(self) -> None:
        self._until = time.perf_counter()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        while time.perf_counter() < self._until:
            try:
                await loop.create_connection(lambda: _Connection(self), self._host, self._port)
            except OSError:
                if not self._load.reconnect:
                    raise
                await asyncio.sleep(RECONNECT_SECONDS)
            else:
                return
        self._all_sent = True
        self._finish_when_answered()

    async def _keep_pace(self) -> None:
        """Hand out requests when they are due, whether or not the ones before are answered."""
        began, rate = time.perf_counter() + 0.05, self._load.rate
        self._from, self._until = began + self._load.warm_seconds, began + self._load.warm_seconds + self._load.seconds
        sent, total = 0, int(rate * (self._until - began))
        while sent < total:
            now = time.perf_counter()
            while sent < total and (due := began + sent / rate) <= now:
                self._late.append((self._load.first + sent, due))
                sent += 1
            while self._late and self._idle:
                self._send(self._idle.pop(), *self._late.popleft())
            await asyncio.sleep(0.0005)
        self._all_sent = True
        self._finish_when_answered()

    def free(self, connection: _Connection) -> None:
        """Give the connection its next request, if there is one now."""
        if connection.transport.is_closing():
            return
        if self._late:
            self._send(connection, *self._late.popleft())
            return
        if not self._load.rate:
            now = time.perf_counter()
            number = next(self._numbers, None) if now < self._until else None
            if number is not None:
                self._send(connection, number, now)
                return
            self._all_sent = True
        self._idle.append(connection)
        self._finish_when_answered()

    def _send(self, connection: _Connection, number: int, due: float) -> None:
        self._in_flight += 1
        self._first = self._first or time.perf_counter()
        connection.send(number, due)

    def answered(self, connection: _Connection, number: int, status: int) -> None:
        self._last = now = time.perf_counter()
        self._in_flight -= 1
        self._answers += 1
        if status == 200:
            self._acknowledged.append(number)
        if self._from <= connection.began and now <= self._until + (self._load.rate > 0):
            self._seen[status] += 1
            if status == 200:
                self._times.append(now - connection.began)
        elif status != 200:
            self._seen[status] += 1
        self.free(connection)

    def lost(self, connection: _Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
        if connection.number >= 0:
            self._in_flight -= 1
            self._broken += 1
        if self._load.reconnect and not self._all_sent:
            task = asyncio.create_task(self._connect())
            self._reconnecting.add(task)
            task.add_done_callback(self._reconnecting.discard)
        self._finish_when_answered()

    def _finish_when_answered(self) -> None:
        if self._all_sent and not self._late and not self._in_flight:
            self._done.set()

    def _outcome(self) -> Outcome:
        used = resource.getrusage(resource.RUSAGE_SELF)
        p50, p99, worst = (1_000 * one for one in percentiles(self._times, 50, 99, 100)) if self._times else (0, 0, 0)
        return Outcome(
            acknowledged=len(self._acknowledged),
            rate=len(self._times) / self._load.seconds,
            statuses={str(status): count for status, count in self._seen.items()},
            broken=self._broken,
            p50=p50,
            p99=p99,
            worst=worst,
            busy_seconds=self._last - self._first,
            client_us=1e6 * (used.ru_utime + used.ru_stime) / max(1, self._answers),
        )


async def send(load: Load) -> Outcome:
    """Run the load in a process of its own."""
    process = await start(load)
    return await outcome(process)


async def start(load: Load) -> asyncio.subprocess.Process:
    """Start it; `outcome` waits for its end."""
    return await run_part("benchmarks.support.http_load", json.dumps(asdict(load)))


async def outcome(process: asyncio.subprocess.Process) -> Outcome:
    out, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the load generator ended with {process.returncode}")
    return Outcome(**json.loads(out))


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(_Client(Load(**json.loads(sys.argv[1]))).run()))))
