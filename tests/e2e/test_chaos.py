"""Requests flow while every process is killed at random: nothing is lost, nothing ends twice, everything settles.

CHAOS_SEED replays a run's order of victims and moments; CHAOS_REQUESTS sizes it (`make soak`: 20,000).
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from libs.postgres.schemas import SCHEMAS
from tests.support.chaos import Chaos, spread
from tests.support.databases import Databases
from tests.support.fixtures import Say
from tests.support.servers import Servers
from tests.support.system import SPLIT, System
from tests.support.traffic import (
    Ask,
    Client,
    Heard,
    Listener,
    Organization,
    make_operator,
    make_organization,
    send_by_http,
    send_by_kafka,
)
from tests.support.until import until

pytestmark = pytest.mark.e2e

REQUESTS = int(os.environ.get("CHAOS_REQUESTS", "500"))
SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.randrange(1, 2**31)
KILLS_EACH = max(2, REQUESTS // 2_000)
SECONDS = max(20.0, REQUESTS / 150)
"""For how long requests flow, and kills with them."""
SETTLE_SECONDS = 180 + REQUESTS / 20
"""For how long the last answers may take after the last kill: leases run out, processes start, queues empty."""
ENDINGS = ("api_request.completed.v1", "api_request.failed.v1")

# Short times, so that what a killed process held comes back within the test; production's are in the settings.
QUICK = {
    "META_FLUSH_INTERVAL_SECONDS": "1",
    "META_PLATFORM_UNITS_PER_HOUR": "100000000",
    "META_ADS_MANAGEMENT_UNITS_PER_HOUR": "100000000",
    "BATCHER_LEASE_SECONDS": "8",
    "BATCHER_CALL_TIMEOUT_SECONDS": "3",
    "BATCHER_RETRY_BASE_SECONDS": "0.2",
    "BATCHER_RETRY_CAP_SECONDS": "2",
    "BATCHER_MAX_ATTEMPTS": "100",
}


@dataclass(slots=True)
class History:
    """What the senders know: what they asked, and what they were answered."""

    asked: dict[str, Ask] = field(default_factory=dict)
    answered: dict[str, set[str]] = field(default_factory=dict)
    """Idempotency key -> every request id that HTTP answered for it."""


@pytest.fixture(scope="module")
async def system(
    servers: Servers, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    database = await databases.create(*SCHEMAS)
    folder: Path = tmp_path_factory.mktemp("chaos")
    made = await System.start(folder, servers, database, layout=SPLIT, extra=QUICK)
    try:
        yield made
    finally:
        await made.close()
        await databases.drop(database)


async def test_killing_every_process_while_requests_flow_loses_nothing_and_ends_nothing_twice(
    system: System, say: Say
) -> None:
    say(f"CHAOS_SEED={SEED} CHAOS_REQUESTS={REQUESTS}")
    await _switch_limits_off(system)
    async with await make_operator(system) as operator:
        organization = await make_organization(system, operator, f"chaos-{SEED}")
    listener = Listener(system.kafka_bootstrap, "ingest.accepted", "batcher.results")
    await listener.start()
    history = History()
    victims = [name for name in system.fleet.names() if name != "sandbox"]
    chaos = Chaos(system.fleet, victims, SEED, each=KILLS_EACH, seconds=SECONDS)
    try:
        await asyncio.gather(chaos.run(), _send_everything(system, organization, history))
        await system.fleet.ready()
        await listener.until(lambda heard: len(_ended(heard)) >= len(history.asked), SETTLE_SECONDS)
    finally:
        await listener.close()
        say(f"killed {dict(Counter(chaos.killed))}, asked {len(history.asked)}")
    await until(lambda: _is_settled(system), "every service to settle", SETTLE_SECONDS)
    _check_what_was_published(listener.heard, history)
    await _check_ingest(system, organization, history)
    await _check_batcher(system, organization, history)
    say(await _check_sandbox(system, history))
    await _check_that_nothing_is_left(system)


async def _is_settled(system: System) -> bool:
    """Whether nothing is under way: ingest has read every ending, and every outbox is empty."""
    open_requests = await system.rows("SELECT 1 FROM ingest.requests WHERE status = 'accepted' LIMIT 1")
    waiting = [
        row for schema in SCHEMAS.values() for row in await system.rows(f"SELECT 1 FROM {schema}.outbox LIMIT 1")
    ]
    return not open_requests and not waiting


async def _send_everything(system: System, organization: Organization, history: History) -> None:
    """Half by HTTP, half by Kafka, at a steady pace whatever is down; every tenth is sent twice."""
    generator = random.Random(SEED)
    asks = [_ask(number, organization, generator) for number in range(REQUESTS)]
    history.asked = {ask.idempotency_key: ask for ask in asks}
    sent = [ask for ask in asks for _ in range(2 if generator.random() < 0.1 else 1)]
    async with (
        Client(system.urls, organization.key) as client,
        AIOKafkaProducer(bootstrap_servers=system.kafka_bootstrap, acks="all") as producer,
        asyncio.TaskGroup() as senders,
    ):
        async for ask in spread(sent, SECONDS):
            senders.create_task(_send(ask, client, producer, organization, history))


async def _send(
    ask: Ask, client: Client, producer: AIOKafkaProducer, organization: Organization, history: History
) -> None:
    if ask.way == "http":
        answer = await send_by_http(client, organization, ask)
        history.answered.setdefault(ask.idempotency_key, set()).add(answer["request_id"])
    else:
        await send_by_kafka(producer, organization, ask)


def _ask(number: int, organization: Organization, generator: random.Random) -> Ask:
    return Ask(
        idempotency_key=f"chaos-{SEED}-{number}",
        object_key=f"object-{SEED}-{number}",
        object_id=generator.choice(organization.objects),
        way="http" if number % 2 else "kafka",
        priority=generator.randint(1, 10),
        max_wait_seconds=generator.choice([None, 0, 0.5]),
    )


def _ended(heard: list[Heard]) -> set[str]:
    return {record.body["request_id"] for record in heard if record.type in ENDINGS}


def _check_what_was_published(heard: list[Heard], history: History) -> None:
    accepted = {r.body["object_key"]: r.body["request_id"] for r in heard if r.type == "api_request.accepted.v1"}
    rejected = [record.body for record in heard if record.type == "request.rejected.v1"]
    assert rejected == []
    assert set(accepted) == {ask.object_key for ask in history.asked.values()}, "lost, or never asked"
    for key, ids in history.answered.items():
        assert ids == {accepted[history.asked[key].object_key]}, "HTTP named another request than Kafka"
    # A record may be on the topic twice, with the same event id; an ending may not.
    endings = Counter(
        body_id for _, body_id in {(r.event_id, r.body["request_id"]) for r in heard if r.type in ENDINGS}
    )
    assert {request: count for request, count in endings.items() if count > 1} == {}
    assert set(endings) == set(accepted.values())
    failed = [record.body for record in heard if record.type == "api_request.failed.v1"]
    assert failed == [], "the sandbox refused nothing"


async def _check_ingest(system: System, organization: Organization, history: History) -> None:
    rows = await system.rows(
        "SELECT idempotency_key, status, via FROM ingest.requests WHERE org_id = $1::text::uuid", organization.org_id
    )
    assert Counter(row["idempotency_key"] for row in rows) == Counter(dict.fromkeys(history.asked, 1))
    assert Counter(row["status"] for row in rows) == {"completed": len(history.asked)}
    assert {row["via"] for row in rows} == {"http", "kafka"}


async def _check_batcher(system: System, organization: Organization, history: History) -> None:
    asks = await system.rows(
        "SELECT status, count(*) AS asks FROM batching.batch_request_queue WHERE org_id = $1::text::uuid GROUP BY 1",
        organization.org_id,
    )
    assert {row["status"]: row["asks"] for row in asks} == {"completed": len(history.asked)}
    calls = await system.rows("SELECT status, count(*) AS calls FROM batching.calls GROUP BY 1")
    assert {row["status"] for row in calls} == {"completed"}


async def _check_sandbox(system: System, history: History) -> str:
    """The platform's own view: what was asked was read, and nothing else; what it cost, in words."""
    read = Counter(_object_of(call) for call in await _calls(system) if call["parent"] is not None)
    wanted = {ask.object_id for ask in history.asked.values()}
    assert set(read) == wanted
    assert sum(read.values()) <= len(history.asked) * 2
    return f"{sum(read.values())} reads for {len(history.asked)} asks of {len(wanted)} objects"


async def _check_that_nothing_is_left(system: System) -> None:
    for schema in SCHEMAS.values():
        assert await system.rows(f"SELECT * FROM {schema}.outbox") == []
        assert await system.rows(f"SELECT * FROM {schema}.dead_letters") == []


async def _calls(system: System) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        answer = await client.get(f"{system.sandbox_url}/_sandbox/calls", params={"platform": "meta", "limit": 10**6})
    calls: list[dict[str, Any]] = answer.json()["calls"]
    return calls


def _object_of(call: dict[str, Any]) -> str:
    return str(call["path"]).split("?")[0].rstrip("/").rpartition("/")[2]


async def _switch_limits_off(system: System) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        await client.post(f"{system.sandbox_url}/_sandbox/limits", json={"enforced": False})
