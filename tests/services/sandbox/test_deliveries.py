"""Webhooks on their way out: a stopped clock and a subscriber that answers as it is told."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from services.sandbox.clock import Clock, rfc3339
from services.sandbox.deliveries import MAX_WAITING, Deliveries
from services.sandbox.faults import FaultBook
from services.sandbox.outbound import Heard, NotHeard, Outbound

HERE = "http://127.0.0.1:9/hook"
THERE = "http://127.0.0.1:8/hook"
GAPS = (60.0, 3600.0)


class Subscriber(Outbound):
    """Takes every POST, and answers with the next status that it was given; 200 when there is none left."""

    def __init__(self) -> None:
        super().__init__()
        self.statuses: list[int | None] = []
        self.bodies: list[bytes] = []
        self.headers: list[Mapping[str, str]] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self._came = asyncio.Condition()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, *, timeout_seconds: float) -> Heard:
        async with self._came:
            self.bodies.append(body)
            self.headers.append(headers)
            self._came.notify_all()
        await self.answers.wait()
        status = self.statuses.pop(0) if self.statuses else 200
        if status is None:
            raise NotHeard("ConnectError")
        return Heard(status, b"")

    async def got(self, count: int) -> list[bytes]:
        async with asyncio.timeout(5), self._came:
            await self._came.wait_for(lambda: len(self.bodies) >= count)
        return self.bodies


@dataclass
class Sending:
    clock: Clock
    faults: FaultBook
    subscriber: Subscriber
    deliveries: Deliveries

    def send(self, body: bytes, url: str = HERE, **rest: Any) -> None:
        self.deliveries.enqueue(url, {}, body, GAPS, **{"platform": "meta", "operation": "meta.webhook.page", **rest})

    def fault(self, kind: str, **rest: Any) -> None:
        self.faults.add({"platform": "meta", "kind": kind, **rest}, lambda *_: None)

    async def rows(self) -> list[dict[str, Any]]:
        """What is known once everything that can happen at this moment has happened."""
        while self._is_busy():
            await asyncio.sleep(0)
        rows: list[dict[str, Any]] = self.deliveries.read()["deliveries"]
        return rows

    def _is_busy(self) -> bool:
        rows = self.deliveries.read()["deliveries"]
        now = rfc3339(self.clock.now())
        return any(row["state"] == "waiting" and (row["next_at"] or "") <= now for row in rows)


@pytest.fixture
def sending() -> Iterator[Sending]:
    clock = Clock()
    clock.set_rate(0)
    faults, subscriber = FaultBook(seed=7), Subscriber()
    deliveries = Deliveries(clock, faults, subscriber)
    yield Sending(clock, faults, subscriber, deliveries)
    deliveries.stop()


async def test_a_delivery_is_posted_once_when_it_is_taken(sending: Sending) -> None:
    sending.send(b"one")
    assert await sending.subscriber.got(1) == [b"one"]
    (row,) = await sending.rows()
    assert (row["state"], [attempt["status"] for attempt in row["attempts"]]) == ("delivered", [200])
    assert sending.deliveries.read()["counts"] == {"made": 1, "waiting": 0, "delivered": 1}


async def test_what_was_not_taken_comes_again_by_the_sandbox_clock_and_is_given_up_in_the_end(sending: Sending) -> None:
    sending.subscriber.statuses = [500, None, 302]
    sending.send(b"one")
    await sending.subscriber.got(1)
    await sending.rows()
    sending.clock.advance(59)
    assert len(sending.subscriber.bodies) == 1
    sending.clock.advance(1)
    await sending.subscriber.got(2)
    await sending.rows()
    sending.clock.advance(3600)
    await sending.subscriber.got(3)
    (row,) = await sending.rows()
    assert row["state"] == "given_up"
    assert [(attempt["status"], attempt["error"]) for attempt in row["attempts"]] == [
        (500, None),
        (None, "ConnectError"),
        (302, None),
    ]


async def test_a_failed_delivery_lets_those_behind_it_pass(sending: Sending) -> None:
    sending.subscriber.statuses = [503]
    sending.send(b"one")
    sending.send(b"two")
    await sending.subscriber.got(2)
    await sending.rows()
    sending.clock.advance(60)
    assert await sending.subscriber.got(3) == [b"one", b"two", b"one"]


async def test_a_slow_subscriber_holds_up_nobody_else(sending: Sending) -> None:
    sending.subscriber.answers.clear()
    sending.send(b"one")
    sending.send(b"two", THERE)
    assert await sending.subscriber.got(2) == [b"one", b"two"]
    sending.subscriber.answers.set()


async def test_an_answer_that_does_not_come_holds_up_the_next_one_for_a_moment_only(sending: Sending) -> None:
    sending.subscriber.answers.clear()
    for body in (b"one", b"two"):
        sending.send(body)
    assert await sending.subscriber.got(2) == [b"one", b"two"]
    assert {row["state"] for row in sending.deliveries.read()["deliveries"]} == {"waiting"}
    sending.subscriber.answers.set()
    assert {row["state"] for row in await sending.rows()} == {"delivered"}


async def test_what_waits_first_takes_in_what_comes_meanwhile_and_is_signed_as_it_is_sent(sending: Sending) -> None:
    gathered: list[bytes] = []
    sending.deliveries.enqueue(
        HERE,
        lambda body: {"x-signature": f"over {len(body)}"},
        lambda: b",".join(gathered),
        GAPS,
        platform="meta",
        operation="meta.webhook.page",
        wait_seconds=2,
    )
    gathered += [b"a", b"b"]
    assert sending.subscriber.bodies == []
    sending.clock.advance(2)
    assert await sending.subscriber.got(1) == [b"a,b"]
    assert sending.subscriber.headers == [{"x-signature": "over 3"}]


async def test_a_retry_sends_the_same_bytes_and_signature(sending: Sending) -> None:
    sending.subscriber.statuses = [500]
    made = iter([b"first", b"second"])
    sending.deliveries.enqueue(
        HERE, lambda body: {"x-over": body.decode()}, lambda: next(made), GAPS, platform="meta", operation="x"
    )
    await sending.subscriber.got(1)
    await sending.rows()
    sending.clock.advance(60)
    assert await sending.subscriber.got(2) == [b"first", b"first"]
    assert sending.subscriber.headers == [{"x-over": "first"}] * 2


async def test_a_duplicate_is_the_same_bytes_again_and_a_row_of_its_own(sending: Sending) -> None:
    sending.fault("duplicate_delivery", times=1, match={"operation": "meta.webhook.page"})
    sending.send(b"one")
    sending.send(b"two")
    assert sorted(await sending.subscriber.got(3)) == [b"one", b"one", b"two"]
    first, second, copy = await sending.rows()
    assert (first["fault"], second["fault"]) == ("f1", None)
    assert (copy["duplicate_of"], copy["state"]) == (first["seq"], "delivered")
    assert sending.faults.list()[0]["hits"] == 1


async def test_a_reordered_delivery_arrives_behind_the_next_one(sending: Sending) -> None:
    sending.fault("reordered_delivery", times=1)
    for body in (b"one", b"two", b"three"):
        sending.send(body)
    assert await sending.subscriber.got(3) == [b"two", b"one", b"three"]
    assert {row["state"] for row in await sending.rows()} == {"delivered"}


async def test_a_reordered_delivery_that_nothing_overtakes_arrives_in_the_end(sending: Sending) -> None:
    sending.fault("reordered_delivery", args={"seconds": 30})
    sending.send(b"one")
    while not sending.deliveries.read()["deliveries"][0]["fault"]:
        await asyncio.sleep(0)
    assert sending.subscriber.bodies == []
    sending.clock.advance(30)
    assert await sending.subscriber.got(1) == [b"one"]


async def test_a_rule_without_an_end_swaps_neighbours(sending: Sending) -> None:
    sending.fault("reordered_delivery")
    for body in (b"1", b"2", b"3", b"4"):
        sending.send(body)
    assert await sending.subscriber.got(4) == [b"2", b"1", b"4", b"3"]


async def test_faults_of_calls_never_hit_a_delivery_nor_the_other_way_round(sending: Sending) -> None:
    sending.fault("server_error")
    sending.send(b"one")
    await sending.subscriber.got(1)
    (row,) = await sending.rows()
    assert (row["state"], row["fault"]) == ("delivered", None)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hook",
        "http://8.8.8.8/hook",
        "http://169.254.169.254/latest",
        "http://0.0.0.0:80/",
        "http://user:secret@127.0.0.1/",
        "http://[::ffff:8.8.8.8]/",
        "http://2130706433/",
        "http://0x7f000001/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "http://127.0.0.1:notaport/",
        "http://[::1/",
        "nonsense",
        "",
    ],
)
async def test_nothing_is_sent_to_an_address_outside(sending: Sending, url: str) -> None:
    sending.send(b"one", url)
    (row,) = await sending.rows()
    assert row["state"] == "refused"
    assert row["attempts"][0]["error"]
    assert sending.subscriber.bodies == []


@pytest.mark.parametrize(
    "url", ["http://localhost:1/", "http://[::1]:1/", "http://webhook_receiver:8040/x", "https://10.1.2.3/"]
)
async def test_this_machine_and_its_private_network_are_sent_to(sending: Sending, url: str) -> None:
    sending.send(b"one", url)
    await sending.subscriber.got(1)


async def test_too_many_that_wait_are_dropped_and_counted(sending: Sending) -> None:
    for number in range(MAX_WAITING + 2):
        sending.send(b"x", wait_seconds=1 + number)
    assert sending.deliveries.read(limit=0)["counts"] == {
        "made": MAX_WAITING + 2,
        "waiting": MAX_WAITING,
        "dropped": 2,
    }


async def test_a_stop_ends_what_waits_and_takes_nothing_more(sending: Sending) -> None:
    sending.send(b"one", wait_seconds=5)
    sending.deliveries.stop()
    sending.clock.advance(10)
    sending.send(b"two")
    assert sending.deliveries.read()["deliveries"][1]["state"] == "dropped"
    assert sending.subscriber.bodies == []


async def test_reading_on_from_a_mark_gives_what_came_since(sending: Sending) -> None:
    for body in (b"1", b"2", b"3"):
        sending.send(body)
    await sending.subscriber.got(3)
    read = sending.deliveries.read(limit=2)
    assert ([row["seq"] for row in read["deliveries"]], read["next"]) == ([1, 2], 2)
    read = sending.deliveries.read(since=2, platform="meta")
    assert ([row["seq"] for row in read["deliveries"]], read["next"]) == ([3], 3)
    assert sending.deliveries.read(since=99)["next"] == 3
    assert sending.deliveries.read(platform="google") == {**read, "next": 3, "deliveries": []}
