"""Consumers, workers and flushes on the same connections at once: nothing is lost, doubled or deadlocked."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from libs.platforms.meta.settings import MetaSettings
from services.batcher.handlers import on_due_calls
from tests.support.batcher import LIMITS, Bench, Item, error_item, good, open_bench
from tests.support.databases import ServiceDatabase

pytestmark = pytest.mark.db

END_LEASES = """
UPDATE calls SET locked_until = now()
WHERE id IN (SELECT id FROM calls WHERE status = 'processing' FOR UPDATE SKIP LOCKED)
"""


@pytest.fixture
async def bench(batcher_database: ServiceDatabase, valkey_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(
        batcher_database,
        valkey_url,
        tmp_path,
        meta=MetaSettings(platform_units_per_hour=1_000_000),
        limits=replace(LIMITS, max_attempts=1_000, retry_base_seconds=0.001, retry_cap_seconds=0.002),
        lease_seconds=5.0,
    ) as opened:
        yield opened


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_everybody_at_once_ends_every_ask_exactly_once(bench: Bench, seed: int) -> None:
    rng = random.Random(seed)
    connections = [uuid4() for _ in range(3)]
    for connection_id in connections:
        await bench.connect(connection_id=connection_id)
    asked: list[UUID] = []
    producing = 3

    def item(object_id: str) -> Item:
        return rng.choice([good(object_id), good(object_id), good(object_id), None, error_item(500, 960)])

    async def produce() -> None:
        nonlocal producing
        for _ in range(12):
            connection_id = rng.choice(connections)
            objects = [str(rng.randrange(40)) for _ in range(rng.randrange(1, 25))]
            wait = rng.choice([0, 0, None])
            asked.extend(await bench.ask(*objects, connection_id=connection_id, max_wait_seconds=wait))
        producing -= 1

    async def work(name: str) -> None:
        while producing or (await bench.statuses()).keys() & {"pending", "processing"}:
            if rng.random() < 0.1:
                await bench.run(END_LEASES)  # as if the workers had been paused past their leases
            await on_due_calls(replace(bench.deps, worker=name, claiming=asyncio.Lock()))
            await bench.flush()

    bench.graph.item = item
    async with asyncio.timeout(90), asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(produce())
        for number in range(4):
            group.create_task(work(f"worker-{number}"))
    results = Counter(result["request_id"] for result in await bench.results())
    assert results == Counter(map(str, asked))
    assert await bench.statuses() == {"completed": len(asked)}
    assert set(await bench.statuses("calls")) <= {"completed", "skipped"}
    assert all(len(batch) == len(set(batch)) <= 50 for batch in bench.graph.batches)
