"""What must hold after the faults, asked of every side: the callers' histories, the tables, the topics, the sandbox."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from libs.events.topics import TOPICS
from libs.postgres.schemas import SCHEMAS
from tests.support.callers import Connections, Delivery, Requests, Webhooks
from tests.support.processes import Spec
from tests.support.system import System
from tests.support.topic_history import (
    Published,
    consumers_behind,
    first_of_each,
    keys_on_several_partitions,
    out_of_order,
    read_topics,
)

ENDINGS = ("api_request.completed.v1", "api_request.failed.v1")
_OVERDUE_LEASES = {
    "a job": "SELECT name FROM {schema}.jobs WHERE locked_until < now() - interval '5 s'",
    "a shard of the outbox": "SELECT name FROM {schema}.leases WHERE until < now() - interval '5 s'",
}
_READS = {service: [topic.name for topic in TOPICS if service in topic.read_by] for service in SCHEMAS}
"""Each service's group has its name."""


async def what_is_left(system: System) -> list[str]:
    """Say what is still under way, on any side; empty when everything has settled.

    Looks twice: what a consumer reads between a look at the tables and one at the topics is in neither.
    """
    return await _seen_under_way(system) or await _seen_under_way(system)


async def _seen_under_way(system: System) -> list[str]:
    left = []
    for schema in SCHEMAS.values():
        left += await _some(system, f"{schema}.outbox", "true", "waits in the outbox")
        for what, query in _OVERDUE_LEASES.items():
            rows = await system.rows(query.format(schema=schema))
            left += [f"{schema}: the lease of {what} is overdue: {row['name']}" for row in rows]
    left += await _some(system, "ingest.requests", "status = 'accepted'", "was accepted and has not ended")
    left += await _some(system, "batching.calls", "status IN ('pending', 'processing')", "has not ended")
    left += await _some(system, "webhooks.webhook_events", "status IN ('received', 'processing')", "is not processed")
    left += await _some(system, "webhooks.webhook_events", "next_attempt_at IS NOT NULL", "is to be tried again")
    return left or await _not_ready(system) or await consumers_behind(system.kafka_bootstrap, _READS)


async def _not_ready(system: System) -> list[str]:
    """Say of each process what it answers when it is asked whether it is ready, unless it is."""
    async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
        return [said for name in system.fleet.names() if (said := await _ask_ready(client, system.fleet[name].spec))]


async def _ask_ready(client: httpx.AsyncClient, spec: Spec) -> str:
    try:
        answer = await client.get(spec.ready_url)
    except httpx.HTTPError as error:
        return f"{spec.name} is not ready: {error!r}"
    return "" if answer.status_code == 200 else f"{spec.name} is not ready: {answer.text[:300]}"


async def _some(system: System, table: str, condition: str, what: str) -> list[str]:
    count = (await system.rows(f"SELECT count(*) AS count FROM {table} WHERE {condition}"))[0]["count"]
    return [f"{count} of {table} {what}"] if count else []


async def read_all(system: System) -> list[Published]:
    """Read every topic from its start, and give each record once."""
    return first_of_each(await read_topics(system.kafka_bootstrap, [topic.name for topic in TOPICS]))


def check_topics(published: Sequence[Published]) -> None:
    """Every key lies on one partition, and the versions of state only grow."""
    assert keys_on_several_partitions(published) == []
    states = {topic.name for topic in TOPICS if topic.kind == "state"}
    versioned = [record for record in published if record.topic in states]
    assert [record for record in versioned if record.version is None] == []
    assert out_of_order(versioned, lambda r: (r.topic, r.key), lambda r: r.version or 0) == []


async def check_requests(system: System, requests: Requests, published: Sequence[Published]) -> None:
    """Everything that was asked was accepted once, in the order of its object, and ended once."""
    rows = await system.rows("SELECT idempotency_key, request_id::text, org_id::text, status FROM ingest.requests")
    assert Counter(row["idempotency_key"] for row in rows) == Counter(dict.fromkeys(requests.asked, 1))
    assert {row["status"] for row in rows} == {"completed"}
    key_of = {row["request_id"]: row["idempotency_key"] for row in rows}
    assert {key_of[one] for ids in requests.answered.values() for one in ids} == set(requests.answered)
    assert {key: len(ids) for key, ids in requests.answered.items() if len(ids) > 1} == {}

    accepted = [record for record in published if record.type == "api_request.accepted.v1"]
    assert [record for record in published if record.type == "request.rejected.v1"] == []
    assert Counter(key_of[record.body["request_id"]] for record in accepted) == Counter(
        dict.fromkeys(key_of.values(), 1)
    )
    asked = {request_id: requests.asked[key] for request_id, key in key_of.items()}
    for record in accepted:
        organization, ask, lane, _ = asked[record.body["request_id"]]
        assert (record.org_id, record.body["org_id"]) == (organization.org_id, organization.org_id)
        assert (record.key, record.body["object_key"]) == (lane, ask.object_key)
    assert out_of_order(accepted, lambda r: r.key, lambda r: asked[r.body["request_id"]][3]) == []

    ended = [record for record in published if record.type in ENDINGS and record.body.get("part", 1) == 1]
    assert Counter(record.body["request_id"] for record in ended) == Counter(dict.fromkeys(key_of, 1))
    assert [record.body for record in ended if record.type != "api_request.completed.v1"] == []
    assert {record.org_id for record in ended if asked[record.body["request_id"]][0].org_id != record.org_id} == set()


async def check_batcher(system: System, requests: Requests) -> str:
    """Every ask ended once, and the platform was asked for what was wanted and for nothing else; what it cost."""
    asks = await system.rows("SELECT status, count(*) AS asks FROM batching.batch_request_queue GROUP BY 1")
    assert {row["status"]: row["asks"] for row in asks} == {"completed": len(requests.asked)}
    # A call whose worker died or stood still is skipped where its successor reads the same: nobody waits for it then.
    calls = await system.rows(
        "SELECT DISTINCT status FROM batching.calls AS call WHERE status <> 'skipped'"
        " OR EXISTS (SELECT FROM batching.batch_request_queue AS ask WHERE ask.call_id = call.id)"
    )
    assert {row["status"] for row in calls} == {"completed"}
    read = Counter(_object_of(call) for call in await _calls(system) if call["parent"] is not None)
    wanted = {ask.object_id for _, ask, _, _ in requests.asked.values()}
    assert set(read) == wanted
    assert sum(read.values()) <= len(requests.asked) * 2
    return f"{sum(read.values())} reads for {len(requests.asked)} asks of {len(wanted)} objects"


async def check_webhooks(
    system: System, senders: Sequence[Webhooks], owners: Mapping[str, Sequence[str]], published: Sequence[Published]
) -> None:
    """Every answered delivery is stored and every change of it published once to each organization it belongs to.

    `owners`: account -> organizations.
    """
    sent = [delivery for sender in senders for delivery in sender.sent]
    forged = [delivery for sender in senders for delivery in sender.forged]
    assert {answer for delivery in sent for answer in delivery.answers if answer.isdigit()} <= {"200", "503"}
    assert {answer for delivery in forged for answer in delivery.answers if answer.isdigit()} <= {"401", "503"}
    await _check_deliveries(system, sent, owners)

    wanted = {(org, one.account, number) for one in sent for org in owners[one.account] for number in one.numbers}
    received = [record for record in published if record.type == "webhook.received.v1"]
    assert Counter(map(_change_of, received)) == Counter(dict.fromkeys(wanted, 1))
    for record in received:
        org_id, account, _ = _change_of(record)
        assert (record.key, record.org_id) == (f"{org_id}/meta/page:{account}", org_id)
    assert out_of_order(received, lambda r: r.key, lambda r: _change_of(r)[2]) == []
    kept = await system.rows(
        "SELECT org_id::text AS org_id, account_id, (value ->> 'message')::bigint AS number FROM ingest.webhooks"
    )
    assert Counter((row["org_id"], row["account_id"], row["number"]) for row in kept) == Counter(
        dict.fromkeys(wanted, 1)
    )


async def _check_deliveries(system: System, sent: Sequence[Delivery], owners: Mapping[str, Sequence[str]]) -> None:
    """Each answer 200 stands for a row, each row for a time that it was sent."""
    rows = await system.rows(
        "SELECT encode(body_hash, 'hex') AS hash, status, count(*) AS count"
        " FROM webhooks.webhook_events WHERE signature_valid GROUP BY 1, 2"
    )
    stored: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        stored[row["hash"]][row["status"]] += row["count"]
    hashes = {hashlib.sha256(delivery.body).hexdigest(): delivery for delivery in sent}
    assert set(stored) == set(hashes)
    for known, delivery in hashes.items():
        statuses = stored[known]
        assert delivery.answers.count("200") <= statuses.total() <= len(delivery.answers), delivery
        if owners[delivery.account]:
            assert statuses["processed"] == 1, (delivery, statuses)
            assert set(statuses) <= {"processed", "duplicate"}, (delivery, statuses)
        else:
            assert set(statuses) == {"ignored"}, (delivery, statuses)


def _change_of(record: Published) -> tuple[str, str, int]:
    body = record.body
    return body["org_id"], body["account"]["id"], int(body["value"]["message"])


async def check_connections(system: System, connections: Connections, published: Sequence[Published]) -> None:
    """Every connection that was made is there once, and everybody who follows it has its newest state."""
    rows = await system.rows("SELECT id::text, org_id::text, status, version FROM assets.connections")
    known = {row["id"]: row for row in rows}
    assert {key: known[key]["org_id"] for key in connections.made} == connections.made
    assert len(known) == len(connections.made) + len(connections.organizations), "made twice, or never asked for"
    assert {key for key, row in known.items() if row["status"] == "disconnected"} == connections.disconnected
    newest = {r.key: r for r in published if r.topic == "assets.connections"}
    assert {key.rpartition("/")[2]: record.version for key, record in newest.items()} == {
        key: row["version"] for key, row in known.items()
    }
    for schema in ("ingest", "batching", "webhooks"):
        projected = await system.rows(f"SELECT connection_id::text, status FROM {schema}.connections")
        assert {row["connection_id"]: row["status"] for row in projected} == {
            key: row["status"] for key, row in known.items()
        }, schema


async def check_that_nothing_is_set_aside(system: System) -> None:
    """No dead letter, nothing parked, no key that Kafka refuses."""
    for schema in SCHEMAS.values():
        for table in ("dead_letters", "parked_keys", "parked", "outbox_blocked_keys"):
            assert await system.rows(f"SELECT * FROM {schema}.{table}") == [], f"{schema}.{table}"


async def _calls(system: System) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        answer = await client.get(f"{system.sandbox_url}/_sandbox/calls", params={"platform": "meta", "limit": 10**6})
    calls: list[dict[str, Any]] = answer.json()["calls"]
    return calls


def _object_of(call: dict[str, Any]) -> str:
    return str(call["path"]).split("?")[0].rstrip("/").rpartition("/")[2]
