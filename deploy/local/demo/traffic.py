"""What internal systems send: bad requests, many equal reads while the batcher is paused, and streams sent at once."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

from deploy.local.demo.internal_system import Api, DemoFailed, Results, Writer
from deploy.local.demo.patience import insist
from deploy.local.demo.scene import HEARD_SECONDS, SOURCE, Scene
from libs.events.envelope import new_event_id

QUEUED_REQUESTS = 200
QUEUED_OBJECTS = 120
QUEUED_DUPLICATES = 40
STEADY_PER_SECOND = 20
STEADY_SECONDS = 6
STORM_READS = 60
STORM_PAUSE_SECONDS = 0.1

Advance = Callable[[int], None]


@dataclass(slots=True)
class Sent:
    """What was sent, and what came back at once."""

    http: dict[str, float] = field(default_factory=dict)
    """Request id -> when it was sent."""
    kafka: dict[str, float] = field(default_factory=dict)
    """Event id -> when it was sent."""
    duplicates_over_http: int = 0
    """Repeats that were answered as duplicates of the same request."""
    duplicate_event_ids: list[str] = field(default_factory=list)


@dataclass(slots=True)
class BadInput:
    """How bad requests were answered."""

    http: dict[str, tuple[int, int]] = field(default_factory=dict)
    """What was wrong -> status expected, status got."""
    rejected_event_ids: dict[str, str] = field(default_factory=dict)
    """Event id -> what was wrong; each must be rejected with words."""
    unreadable: int = 0
    """Records that must become dead letters."""


def read_of(scene: Scene, number: int = 0, **more: Any) -> dict[str, Any]:
    """Give the payload that reads one of the connection's objects, or whatever `more` says instead."""
    return {
        "platform": "meta",
        "connection_id": str(scene.connection_id),
        "request_type": "get_object",
        "params": {"object_id": scene.object_ids[number % len(scene.object_ids)], "fields": ["id", "name"]},
    } | more


async def send_queued(ingest: Api, writer: Writer, scene: Scene, advance: Advance) -> Sent:
    """Send 200 reads of 120 objects, half by HTTP and half by Kafka, and 40 of them a second time."""
    sent, run = Sent(), uuid4().hex[:8]
    for number in range(QUEUED_REQUESTS):
        payload = read_of(scene, number % QUEUED_OBJECTS)
        object_key, idempotency_key = f"object-{number % QUEUED_OBJECTS}", f"demo-{run}-{number}"
        again = number < QUEUED_DUPLICATES
        if number % 2 == 0:
            answer = await _post(ingest, scene, object_key, payload, idempotency_key, sent)
            if again:
                repeat = await _post(ingest, scene, object_key, payload, idempotency_key, None)
                same = repeat["duplicate"] and repeat["request_id"] == answer["request_id"]
                sent.duplicates_over_http += 1 if same else 0
        else:
            await _publish(writer, scene, object_key, payload, idempotency_key, sent)
            if again:
                event_id = await writer.submit(scene.org_id, object_key, payload, idempotency_key=idempotency_key)
                sent.duplicate_event_ids.append(event_id)
        advance(1)
    return sent


async def send_steadily(
    ingest: Api, writer: Writer, scene: Scene, advance: Advance, *, seconds: int = STEADY_SECONDS
) -> Sent:
    """Send 20 reads a second that want no waiting, by HTTP and Kafka in turn, at an even pace."""
    sent, run = Sent(), uuid4().hex[:8]
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(STEADY_PER_SECOND * seconds):
            await asyncio.sleep(max(0.0, started + number / STEADY_PER_SECOND - time.perf_counter()))
            payload = read_of(scene, number, max_wait_seconds=0)
            names = (f"steady-{number}", payload, f"steady-{run}-{number}", sent)
            if number % 2 == 0:
                group.create_task(_post(ingest, scene, *names))
            else:
                group.create_task(_publish(writer, scene, *names))
            advance(1)
    return sent


async def send_through_faults(ingest: Api, writer: Writer, scene: Scene, advance: Advance) -> Sent:
    """Send reads by HTTP and Kafka in turn while parts of the bus are killed; again until each is answered."""
    sent, run = Sent(), uuid4().hex[:8]
    for number in range(STORM_READS):
        payload, object_key, name = (
            read_of(scene, number, max_wait_seconds=0),
            f"storm-{number}",
            f"storm-{run}-{number}",
        )
        if number % 2 == 0:
            await _post_insisting(ingest, scene, object_key, payload, name, sent)
        else:
            await _publish(writer, scene, object_key, payload, name, sent)
        advance(1)
        await asyncio.sleep(STORM_PAUSE_SECONDS)
    return sent


async def send_twice(
    ingest: Api, writer: Writer, scene: Scene, payloads: Sequence[Mapping[str, Any]], name: str
) -> tuple[Sent, list[str]]:
    """Send every read by HTTP and by Kafka, as two systems would; give the HTTP requests' ids in order too."""
    sent, requests = Sent(), []
    for number, payload in enumerate(payloads):
        key = f"{name}-{number}"
        answer = await _post(ingest, scene, key, dict(payload), f"{key}-http", sent)
        await _publish(writer, scene, key, dict(payload), f"{key}-kafka", sent)
        requests.append(answer["request_id"])
    return sent, requests


async def _post_insisting(
    ingest: Api, scene: Scene, object_key: str, payload: dict[str, Any], idempotency_key: str, sent: Sent
) -> None:
    at = time.perf_counter()
    body, headers = _body(scene, object_key, payload), {"Idempotency-Key": idempotency_key}
    answer = await insist(
        lambda: ingest.send("POST", "/v1/requests", json=body, headers=headers), f"request {idempotency_key}"
    )
    if not answer.is_success:
        raise DemoFailed(f"a good request was answered {answer.status_code}: {answer.text[:300]}")
    sent.http[answer.json()["request_id"]] = at


async def send_bad(values: Mapping[str, str], ingest: Api, writer: Writer, scene: Scene) -> BadInput:
    """Send what must be refused, one of each kind."""
    bad = BadInput()
    good = request_body(scene, "bad-0", 0)
    key = {"Idempotency-Key": f"bad-{uuid4().hex}"}
    await ingest.ask("POST", "/v1/requests", params={"dry_run": True}, json=good, headers=key)
    cases: dict[str, tuple[int, dict[str, Any]]] = {
        "malformed JSON": (400, {"content": b'{"kind": ', "headers": key | {"Content-Type": "application/json"}}),
        "a body that is too large": (413, {"content": b" " * 9_000_000, "headers": key}),
        "a body that is not JSON": (
            415,
            {"content": b"kind=api_request", "headers": key | {"Content-Type": "text/csv"}},
        ),
        "a kind that does not exist": (422, {"json": good | {"kind": "cook_dinner"}, "headers": key}),
        "an unknown request type": (422, {"json": _with(good, request_type="get_dinner"), "headers": key}),
        "an unknown platform": (422, {"json": _with(good, platform="orkut"), "headers": key}),
        "an unknown connection": (422, {"json": _with(good, connection_id=str(uuid4())), "headers": key}),
        "another organization": (403, {"json": good | {"org_id": str(uuid4())}, "headers": key}),
    }
    for what, (status, options) in cases.items():
        bad.http[what] = (status, (await ingest.send("POST", "/v1/requests", **options)).status_code)
    async with httpx.AsyncClient(base_url=values["INGEST_URL"], trust_env=False) as stranger:
        bad.http["no key"] = (401, (await stranger.post("/v1/requests", json=good, headers=key)).status_code)
    await _send_bad_to_kafka(writer, scene, bad)
    return bad


async def _send_bad_to_kafka(writer: Writer, scene: Scene, bad: BadInput) -> None:
    refused: dict[str, dict[str, Any]] = {
        "a kind that does not exist": {"payload": read_of(scene, 0), "kind": "cook_dinner"},
        "an unknown request type": {"payload": read_of(scene, 0, request_type="get_dinner")},
        "an unknown connection": {"payload": read_of(scene, 0, connection_id=str(uuid4()))},
    }
    for number, (what, options) in enumerate(refused.items()):
        bad.rejected_event_ids[await writer.submit(scene.org_id, f"bad-{number}", **options)] = what
    headers = [
        ("ce_id", new_event_id().encode()),
        ("ce_type", b"request.submitted.v1"),
        ("ce_source", SOURCE.encode()),
        ("ce_specversion", b"1.0"),
        ("content-type", b"application/json"),
    ]
    unknown_type = [(name, b"request.cooked.v9" if name == "ce_type" else value) for name, value in headers]
    await writer.raw(b"bad-bytes", b"\xff\x00 this is no JSON", headers)
    await writer.raw(b"bad-type", b"{}", unknown_type)
    await writer.raw(b"bad-frame", json.dumps({"kind": "api_request"}).encode(), headers)
    bad.unreadable = 3


async def until_ended(results: Results, sent: Sent, advance: Advance, seconds: float) -> dict[str, float]:
    """Wait until every request sent has its answer; give request-to-result times by request id, in seconds."""
    total, shown = len(sent.http) + len(sent.kafka), 0

    def done() -> bool:
        nonlocal shown
        ended = len(_times(results, sent))
        advance(ended - shown)
        shown = ended
        return ended == total

    await results.until(done, f"the results of all {total} requests", seconds)
    return _times(results, sent)


def _times(results: Results, sent: Sent) -> dict[str, float]:
    started = dict(sent.http)
    for event_id, seen in results.answers_to(sent.kafka).items():
        if "request_id" in seen.data:
            started[seen.data["request_id"]] = sent.kafka[event_id]
    endings = results.endings()
    return {request: endings[request][0].at - at for request, at in started.items() if request in endings}


async def _post(
    ingest: Api, scene: Scene, object_key: str, payload: dict[str, Any], idempotency_key: str, sent: Sent | None
) -> dict[str, Any]:
    at = time.perf_counter()
    answer = await ingest.ask(
        "POST",
        "/v1/requests",
        json=_body(scene, object_key, payload),
        headers={"Idempotency-Key": idempotency_key},
    )
    if sent is not None:
        sent.http[answer["request_id"]] = at
    found: dict[str, Any] = answer
    return found


async def _publish(
    writer: Writer, scene: Scene, object_key: str, payload: dict[str, Any], idempotency_key: str, sent: Sent
) -> None:
    at = time.perf_counter()
    event_id = await writer.submit(scene.org_id, object_key, payload, idempotency_key=idempotency_key)
    sent.kafka[event_id] = at


def request_body(scene: Scene, object_key: str, number: int) -> dict[str, Any]:
    """Give the HTTP body of a good request."""
    return _body(scene, object_key, read_of(scene, number))


def _body(scene: Scene, object_key: str, payload: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "api_request", "org_id": str(scene.org_id), "object_key": object_key, "payload": payload}


def _with(body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return body | {"payload": body["payload"] | changes}


async def until_usable(ingest: Api, scene: Scene) -> None:
    """Wait until ingest has heard of the connection; the event needs some milliseconds."""
    body = request_body(scene, "probe", 0)
    headers = {"Idempotency-Key": "probe"}
    deadline = time.monotonic() + HEARD_SECONDS
    while True:
        answer = await ingest.send("POST", "/v1/requests?dry_run=true", json=body, headers=headers)
        if answer.is_success:
            return
        if time.monotonic() > deadline:
            raise DemoFailed(f"ingest refuses a good request: {answer.text[:500]}")
        await asyncio.sleep(0.05)


async def until_queued(batcher: Api, expected: int) -> int:
    """Wait until the batcher has queued as many asks as were sent; give how many wait."""
    waiting = 0
    for _ in range(600):
        stats = await batcher.ask("GET", "/v1/batches/stats", params={"platform": "meta"})
        waiting = int(stats["platforms"][0]["pending"])
        if waiting >= expected:
            return waiting
        await asyncio.sleep(0.05)
    raise DemoFailed(f"{waiting} of {expected} requests reached the batcher's queue in 30 s")
