"""What is stored where: rows per table, records per topic, calls that the platform saw."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition

from libs.events.topics import TOPICS

SERVICES = ("ingest", "asset_sync", "batcher", "webhook_receiver")
# A partition's rows are counted with its table.
TABLES = """
SELECT relname FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
    AND relname <> 'schema_migrations'
"""


@dataclass(frozen=True, slots=True)
class PlatformCalls:
    """What the sandbox saw of one stretch of time."""

    http_calls: int
    items: int
    units: int


async def rows_per_table(values: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Count every table of every service that holds rows, as its worker."""
    counted: dict[str, dict[str, int]] = {}
    for service in SERVICES:
        connection = await asyncpg.connect(values[f"{service.upper()}_WORKER_DSN"])
        try:
            names = sorted(row["relname"] for row in await connection.fetch(TABLES))
            counts = {name: await connection.fetchval(f'SELECT count(*) FROM "{name}"') for name in names}  # noqa: S608
            counted[service] = {name: count for name, count in counts.items() if count}
        finally:
            await connection.close()
    return counted


async def records_per_topic(bootstrap: str) -> dict[str, int]:
    """Count the records that each declared topic holds; of a compacted one also those not yet compacted away."""
    consumer: Any = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic.name, number) for topic in TOPICS for number in range(topic.partitions)]
        first, last = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    finally:
        await consumer.stop()
    counts = {topic.name: 0 for topic in TOPICS}
    for partition in partitions:
        counts[partition.topic] += last[partition] - first[partition]
    return counts


class CallLog:
    """The sandbox's own record of what it was asked."""

    def __init__(self, sandbox_url: str) -> None:
        self._url = sandbox_url

    async def mark(self) -> int:
        """Give the place from which on new calls are counted."""
        return int((await self._get(since=2**53, limit=1))["next"])

    async def since(self, mark: int) -> PlatformCalls:
        """Count the calls after a mark: HTTP requests, batch items, and the quota units that the items cost."""
        calls: list[dict[str, Any]] = []
        while True:
            page = await self._get(since=mark, limit=1_000)
            calls += page["calls"]
            if not page["calls"]:
                break
            mark = page["next"]
        outer = [call for call in calls if call["parent"] is None]
        items = [call for call in calls if call["parent"] is not None]
        return PlatformCalls(
            http_calls=len(outer), items=len(items), units=sum(_units(call) for call in (items or outer))
        )

    async def _get(self, *, since: int, limit: int) -> dict[str, Any]:
        async with httpx.AsyncClient(base_url=self._url, timeout=30, trust_env=False) as client:
            query: dict[str, str | int] = {"since": since, "limit": limit, "platform": "meta"}
            answer: dict[str, Any] = (await client.get("/_sandbox/calls", params=query)).json()
            return answer


def _units(call: dict[str, Any]) -> int:
    """One call may count in several budgets at once; the dearest says how many calls of that budget it was."""
    return int(max((call["cost"] or {}).values(), default=0))
