"""What an internal system is to the bus: it asks by HTTP or by Kafka, and reads results from Kafka."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from libs.events.envelope import Envelope, new_event_id, read_envelope
from libs.events.requests import RequestSubmitted
from libs.events.topics import topic

TIMEOUT_SECONDS = 30.0


class DemoFailed(Exception):  # noqa: N818  reads as the fact it reports
    """Something did not answer as it must; the text says what."""


class Api:
    """One service's HTTP interface, with a key."""

    def __init__(self, url: str, key: str | None, org_id: UUID | None = None) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        if org_id is not None:
            headers["X-Organization-Id"] = str(org_id)
        self._client = httpx.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def ask(self, method: str, path: str, **options: Any) -> Any:
        """Give the answer's JSON, None when it is empty. Raises DemoFailed with the problem's words if it is no 2xx."""
        response = await self.send(method, path, **options)
        if not response.is_success:
            raise DemoFailed(f"{method} {path} was answered {response.status_code}: {response.text[:500]}")
        return response.json() if response.content else None

    async def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Give the answer, whatever it is. Raises DemoFailed when there is none."""
        try:
            return await self._client.request(method, path, **options)
        except httpx.HTTPError as error:
            raise DemoFailed(f"{method} {path} got no answer: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Seen:
    """A record that arrived, and when by this process's clock."""

    topic: str
    type: str
    """The event's type; empty for a record that is no event of ours."""
    cause: str | None
    """Id of the event that it answers."""
    data: dict[str, Any]
    at: float
    id: str = ""
    """The event's own, by which a reader knows what it has read before; empty for a record that is no event of ours."""


@dataclass(slots=True)
class Results:
    """Everything that arrived on the topics that an internal system reads, from a moment on."""

    records: list[Seen] = field(default_factory=list)
    repeated: int = 0
    """Records that came again under the id they had: a relay that is killed before it notes that Kafka has them."""
    _known: set[tuple[str, str]] = field(default_factory=set)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def add(self, seen: Seen) -> None:
        """Keep a record unless it is known by its id, as any reader must, and wake up who waits."""
        async with self._changed:
            if seen.id and (seen.topic, seen.id) in self._known:
                self.repeated += 1
                return
            self._known.add((seen.topic, seen.id))
            self.records.append(seen)
            self._changed.notify_all()

    async def until(self, done: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
        """Return when the records seen satisfy `done`. Raises DemoFailed after the given time."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(done)
        except TimeoutError:
            raise DemoFailed(f"after {seconds:.0f} s not seen: {what}") from None

    def endings(self) -> dict[str, list[Seen]]:
        """Give the endings by request id: more than one (of part 1) would be a request ended twice."""
        ended: dict[str, list[Seen]] = {}
        for seen in self.records:
            if seen.topic == "batcher.results" and seen.data.get("part", 1) == 1:
                ended.setdefault(seen.data["request_id"], []).append(seen)
        return ended

    def answers_to(self, event_ids: Collection[str]) -> dict[str, Seen]:
        """Give what ingest made of requests sent by Kafka, by the id of the event that asked."""
        wanted = set(event_ids)
        answers: dict[str, Seen] = {}
        for seen in self.records:
            if seen.topic == "ingest.accepted" and seen.cause in wanted:
                answers.setdefault(seen.cause or "", seen)
        return answers

    def dead_letters(self) -> int:
        """Count the records that ingest could not read."""
        return sum(seen.topic == "ingest.dead_letters" for seen in self.records)


@asynccontextmanager
async def reading(bootstrap: str, topics: Collection[str]) -> AsyncIterator[Results]:
    """Read these topics from now on, without a group: every partition, nothing committed."""
    consumer: Any = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    results = Results()
    try:
        partitions = [TopicPartition(name, number) for name in topics for number in range(topic(name).partitions)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        for partition, offset in ends.items():
            consumer.seek(partition, offset)
        task = asyncio.create_task(_read(consumer, results))
        try:
            yield results
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    finally:
        await consumer.stop()


async def _read(consumer: Any, results: Results) -> None:
    while True:
        batches = await consumer.getmany(timeout_ms=200)
        at = time.perf_counter()
        for records in batches.values():
            for record in records:
                await results.add(_seen(record, at))


def _seen(record: Any, at: float) -> Seen:
    if record.topic.endswith(".dead_letters"):  # as it came: nothing in it can be relied on
        return Seen(record.topic, "", None, {}, at)
    envelope = read_envelope(record.headers)
    data = json.loads(record.value or b"{}")
    return Seen(record.topic, envelope.type, envelope.causation_id, data, at, envelope.id)


class Writer:
    """Publishes commands on `requests`, as an internal system does with its own Kafka client."""

    def __init__(self, bootstrap: str, source: str) -> None:
        self._source = source
        self._bootstrap = bootstrap
        self._producer: Any = None

    async def __aenter__(self) -> Self:
        self._producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap, enable_idempotence=True, linger_ms=0)
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def submit(
        self,
        org_id: UUID,
        object_key: str,
        payload: dict[str, Any],
        *,
        idempotency_key: str | None = None,
        kind: str = "api_request",
        traceparent: str | None = None,
    ) -> str:
        """Publish one request.submitted; give its event id once Kafka has it."""
        event = RequestSubmitted(kind=kind, org_id=org_id, payload=payload)
        envelope = Envelope(
            id=new_event_id(),
            type=RequestSubmitted.event_type,
            source=self._source,
            time=datetime.now(UTC),
            org_id=org_id,
            idempotency_key=idempotency_key,
            traceparent=traceparent,
        )
        await self.raw(object_key.encode(), event.model_dump_json().encode(), envelope.to_headers())
        return envelope.id

    async def raw(self, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
        """Publish a record as it is, good or bad."""
        await self._producer.send_and_wait("requests", value, key=key, headers=headers)
