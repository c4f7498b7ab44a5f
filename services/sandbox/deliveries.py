"""Webhooks on their way out: real HTTP POSTs to subscribers, tried again by the platform's own rule.

Every wait is on the sandbox's clock, so a test that moves the clock moves retries. Deliveries to one address go one
after another in the order in which they came due, unless an answer is slow; different addresses do not wait for each
other. A failed delivery does not hold up those behind it: it comes back when its next attempt is due, out of order, as
the platforms' do.
"""

import asyncio
import heapq
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from services.sandbox.clock import Clock, rfc3339
from services.sandbox.faults import Fault, FaultBook, Target
from services.sandbox.outbound import Heard, NotAllowed, NotHeard, Outbound, check_address

MAX_WAITING = 20_000
"""What is enqueued beyond is dropped and counted: a subscriber that is away for long must not fill the memory."""
MAX_ROWS = 20_000
DEFAULT_TIMEOUT_SECONDS = 20.0
PATIENCE_SECONDS = 1.0
"""How long the next delivery to an address waits for the answer to the last one; the machine's seconds."""
MAX_AT_ONCE = 10
"""Deliveries to one address that wait for their answers."""
HELD_SECONDS = 5.0
"""How long a reordered delivery waits for another one to overtake it."""

Body = bytes | Callable[[], bytes]
"""A callable is asked once, when the first attempt begins: more changes may have joined until then."""
Headers = Mapping[str, str] | Callable[[bytes], Mapping[str, str]]
"""A callable gets the body as it is sent: signatures are made over these bytes."""


def is_success(status: int) -> bool:
    return 200 <= status < 300


@dataclass(slots=True)
class Attempt:
    """One POST: the subscriber's status, or why there was none."""

    at: datetime
    status: int | None
    error: str | None

    def as_json(self) -> dict[str, Any]:
        return {"at": rfc3339(self.at), "status": self.status, "error": self.error}


@dataclass(slots=True)
class Delivery:
    """One webhook to one address, through all of its attempts."""

    seq: int
    platform: str
    operation: str
    url: str
    headers: Headers = field(repr=False)
    body: Body = field(repr=False)
    gaps: Sequence[float]
    """Seconds of the sandbox's clock before the second, third, ... attempt; when they are used up, it is given up."""
    accepts: Callable[[int], bool]
    timeout_seconds: float
    made_at: datetime
    next_at: datetime | None
    state: str = "waiting"
    """waiting, delivered, given_up, refused (the address may lie outside), dropped (too many wait)."""
    attempts: list[Attempt] = field(default_factory=list)
    fault: str | None = None
    duplicate_of: int | None = None
    ticket: int = 0
    """Grows with every plan, so that an overtaken plan is known."""

    def as_json(self) -> dict[str, Any]:
        return {
            "seq": self.seq,
            "made_at": rfc3339(self.made_at),
            "platform": self.platform,
            "operation": self.operation,
            "url": self.url,
            "state": self.state,
            "next_at": rfc3339(self.next_at) if self.next_at else None,
            "attempts": [attempt.as_json() for attempt in self.attempts],
            "fault": self.fault,
            "duplicate_of": self.duplicate_of,
        }


@dataclass(slots=True)
class _Lane:
    """What is due for one address."""

    url: str
    due: deque[Delivery] = field(default_factory=deque)
    held: list[Delivery] = field(default_factory=list)
    taking: set[asyncio.Task[None]] = field(default_factory=set)
    """Attempts that have no answer yet."""
    worker: asyncio.Task[None] | None = None


class Deliveries:
    """All webhooks of one world. Needs a running loop once something is enqueued; `stop` ends everything at once."""

    def __init__(self, clock: Clock, faults: FaultBook, outbound: Outbound) -> None:
        self._clock = clock
        self._faults = faults
        self._outbound = outbound
        self._rows: deque[Delivery] = deque(maxlen=MAX_ROWS)
        self._counts: Counter[str] = Counter()
        self._last = 0
        self._waiting = 0
        self._plans: list[tuple[datetime, int, int, Delivery]] = []
        self._lanes: dict[str, _Lane] = {}
        self._dispatcher: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._stopped = False
        clock.on_move(self._woken.set)

    def enqueue(
        self,
        url: str,
        headers: Headers,
        body: Body,
        gaps: Sequence[float],
        *,
        platform: str,
        operation: str,
        wait_seconds: float = 0.0,
        accepts: Callable[[int], bool] = is_success,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> Delivery:
        """Send a webhook after `wait_seconds`, then again after each of `gaps` until `accepts(status)`.

        `operation` is shown and matched by faults, e.g. `meta.webhook.page`. `timeout_seconds` are the machine's, since
        the subscriber's answer takes real time. Returns at once; the delivery's `state` says what became of it.
        """
        now = self._clock.now()
        delivery = Delivery(
            self._number(), platform, operation, url, headers, body, gaps, accepts, timeout_seconds, now, None
        )
        self._rows.append(delivery)
        if self._stopped or self._waiting >= MAX_WAITING:
            self._end(delivery, "dropped")
            return delivery
        self._waiting += 1
        try:
            check_address(url)
        except NotAllowed as error:
            delivery.attempts.append(Attempt(now, None, str(error)))
            self._finish(delivery, "refused")
            return delivery
        self._plan(delivery, now + timedelta(seconds=wait_seconds))
        return delivery

    async def ask(
        self, url: str, params: Mapping[str, str], *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    ) -> Heard:
        """GET a subscriber's address, as the handshake of a subscription does. Raises: NotAllowed, NotHeard."""
        return await self._outbound.get(url, params, timeout_seconds=timeout_seconds)

    def read(self, *, since: int = 0, platform: str | None = None, limit: int = MAX_ROWS) -> dict[str, Any]:
        """Deliveries after number `since`, oldest first; `next` is the mark to read on from."""
        chosen: list[Delivery] = []
        seen = min(since, self._last)
        for row in self._rows:
            if row.seq <= since:
                continue
            if len(chosen) >= limit:
                break
            seen = row.seq
            if platform in {None, row.platform}:
                chosen.append(row)
        counts = {"made": self._last, "waiting": self._waiting, **dict(sorted(self._counts.items()))}
        return {"next": seen, "counts": counts, "deliveries": [row.as_json() for row in chosen]}

    def stop(self) -> None:
        """End every attempt and wait at once; what is enqueued later is dropped."""
        self._stopped = True
        tasks = [self._dispatcher]
        for lane in self._lanes.values():
            tasks += [lane.worker, *lane.taking]
        for task in tasks:
            if task is not None:
                task.cancel()
        self._lanes.clear()
        self._plans.clear()

    def _number(self) -> int:
        self._last += 1
        return self._last

    def _plan(self, delivery: Delivery, at: datetime) -> None:
        delivery.next_at = at
        delivery.ticket += 1
        heapq.heappush(self._plans, (at, delivery.seq, delivery.ticket, delivery))
        self._woken.set()
        if self._dispatcher is None:
            self._dispatcher = asyncio.get_running_loop().create_task(self._dispatch())

    async def _dispatch(self) -> None:
        """Move what is due into its lane, in the order of moments; the clock and `_plan` wake it up."""
        while True:
            self._woken.clear()
            now = self._clock.now()
            while self._plans and self._plans[0][0] <= now:
                _, _, ticket, delivery = heapq.heappop(self._plans)
                if ticket == delivery.ticket:
                    self._lane(delivery).held = [held for held in self._lane(delivery).held if held is not delivery]
                    self._put(delivery)
            left = self._clock.seconds_until(self._plans[0][0]) if self._plans else None
            try:
                async with asyncio.timeout(left):
                    await self._woken.wait()
            except TimeoutError:
                continue

    def _lane(self, delivery: Delivery) -> _Lane:
        return self._lanes.setdefault(delivery.url, _Lane(delivery.url))

    def _put(self, delivery: Delivery) -> None:
        lane = self._lane(delivery)
        lane.due.append(delivery)
        self._go_on(lane)

    def _go_on(self, lane: _Lane) -> None:
        if lane.due and lane.worker is None and not self._stopped:
            lane.worker = asyncio.get_running_loop().create_task(self._work(lane))
        elif not (lane.due or lane.held or lane.taking or lane.worker):
            self._lanes.pop(lane.url, None)

    async def _work(self, lane: _Lane) -> None:
        """One after another; an answer that takes longer than a moment does not hold up those behind it."""
        try:
            while lane.due:
                taking = asyncio.get_running_loop().create_task(self._take(lane, lane.due.popleft()))
                lane.taking.add(taking)
                taking.add_done_callback(lane.taking.discard)
                await asyncio.wait({taking}, timeout=PATIENCE_SECONDS)
                while len(lane.taking) >= MAX_AT_ONCE:
                    await asyncio.wait(lane.taking, return_when=asyncio.FIRST_COMPLETED)
        finally:
            lane.worker = None
            self._go_on(lane)

    async def _take(self, lane: _Lane, delivery: Delivery) -> None:
        fault = self._first_fault(delivery)
        # One is held at a time: a rule without an end then swaps neighbours, and does not merely delay all of them.
        if fault is not None and fault.kind == "reordered_delivery" and not lane.held:
            lane.held.append(delivery)
            self._plan(delivery, self._clock.now() + timedelta(seconds=fault.number("seconds", HELD_SECONDS)))
            return
        await self._attempt(delivery)
        if fault is not None and fault.kind == "duplicate_delivery":
            self._repeat(delivery, fault)
        if delivery.state != "waiting":
            # The row stays to be looked at; thousands of bodies would be kept for nothing.
            delivery.body = b""
        overtaken, lane.held = lane.held, []
        for held in overtaken:
            held.ticket += 1
            lane.due.appendleft(held)
        self._go_on(lane)

    def _first_fault(self, delivery: Delivery) -> Fault | None:
        """The fault that hits this delivery; asked before its first attempt only, and never for a duplicate."""
        if delivery.attempts or delivery.fault or delivery.duplicate_of is not None:
            return None
        parts = urlsplit(delivery.url)
        target = Target(
            platform=delivery.platform,
            method="POST",
            host=parts.hostname or "",
            path=parts.path or "/",
            operation=delivery.operation,
            token=None,
            is_delivery=True,
        )
        fault = self._faults.find(target)
        delivery.fault = fault.id if fault else None
        return fault

    async def _attempt(self, delivery: Delivery) -> None:
        body = delivery.body = delivery.body() if callable(delivery.body) else delivery.body
        headers = delivery.headers = delivery.headers(body) if callable(delivery.headers) else delivery.headers
        delivery.next_at = None
        attempt = Attempt(self._clock.now(), None, None)
        delivery.attempts.append(attempt)
        try:
            heard = await self._outbound.post(delivery.url, headers, body, timeout_seconds=delivery.timeout_seconds)
        except NotAllowed as error:
            attempt.error = str(error)
            self._finish(delivery, "refused")
            return
        except NotHeard as error:
            attempt.error = str(error)
        else:
            attempt.status = heard.status
            if delivery.accepts(heard.status):
                self._finish(delivery, "delivered")
                return
        tries = len(delivery.attempts)
        if tries <= len(delivery.gaps):
            self._plan(delivery, attempt.at + timedelta(seconds=delivery.gaps[tries - 1]))
        else:
            self._finish(delivery, "given_up")

    def _repeat(self, delivery: Delivery, fault: Fault) -> None:
        """The same bytes once more, whatever became of the first."""
        now = self._clock.now()
        copy = Delivery(
            self._number(),
            delivery.platform,
            delivery.operation,
            delivery.url,
            delivery.headers,
            delivery.body,
            delivery.gaps,
            delivery.accepts,
            delivery.timeout_seconds,
            now,
            None,
            fault=delivery.fault,
            duplicate_of=delivery.seq,
        )
        self._rows.append(copy)
        self._waiting += 1
        self._plan(copy, now + timedelta(seconds=fault.number("seconds", 0.0)))

    def _finish(self, delivery: Delivery, state: str) -> None:
        self._waiting -= 1
        self._end(delivery, state)

    def _end(self, delivery: Delivery, state: str) -> None:
        delivery.state = state
        delivery.next_at = None
        self._counts[state] += 1
