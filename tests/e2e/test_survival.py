"""Everything is killed, frozen and cut off while work flows: nothing is lost, doubled, inverted or stuck.

SURVIVAL_SEED replays a plan of faults and what is sent meanwhile; SURVIVAL_REQUESTS sizes it (`make soak`: 5,000).
Every run prints its seed and its plan.
"""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest

from libs.postgres.schemas import SCHEMAS
from tests.support.callers import Connections, Requests
from tests.support.chaos import Menu, Nemesis, make_plan
from tests.support.cluster import Cluster
from tests.support.databases import Databases
from tests.support.fixtures import Say
from tests.support.servers import own_folder
from tests.support.survival import (
    check_batcher,
    check_connections,
    check_requests,
    check_that_nothing_is_set_aside,
    check_topics,
    read_all,
    what_is_left,
)
from tests.support.system import SPLIT, System
from tests.support.traffic import make_operator, make_organization
from tests.support.until import until

pytestmark = pytest.mark.e2e

REQUESTS = int(os.environ.get("SURVIVAL_REQUESTS", "500"))
SEED = int(os.environ.get("SURVIVAL_SEED", "0")) or random.randrange(1, 2**31)
SECONDS = max(45.0, REQUESTS / 25)
"""For how long requests flow, and faults with them."""
ROUNDS = max(1, round(SECONDS / 90))
SETTLE_SECONDS = 60.0
"""After the last fault nothing may be under way for longer."""

BATCHER_LEASE_SECONDS = 8.0
RELAY_LEASE_SECONDS = 2.0
WORKER_LEASE_SECONDS = 10.0

# Short times, so that what a killed process held comes back within the test; production's are in the settings.
QUICK = {
    "META_FLUSH_INTERVAL_SECONDS": "1",
    "META_PLATFORM_UNITS_PER_HOUR": "100000000",
    "META_ADS_MANAGEMENT_UNITS_PER_HOUR": "100000000",
    "BATCHER_LEASE_SECONDS": f"{BATCHER_LEASE_SECONDS:g}",
    "BATCHER_CALL_TIMEOUT_SECONDS": "3",
    "BATCHER_RETRY_BASE_SECONDS": "0.2",
    "BATCHER_RETRY_CAP_SECONDS": "2",
    "BATCHER_MAX_ATTEMPTS": "100",
}

LAYOUT = {
    **SPLIT,
    "batcher-workers-2": ("batcher", "workers"),
    "webhook_receiver-workers-2": ("webhook_receiver", "workers"),
    "webhook_receiver-relay-2": ("webhook_receiver", "relay"),
}
"""A second one of those that hold leases: when one stands still past its lease, the other takes over."""


@pytest.fixture(params=[1, 3], ids=["one broker", "three brokers"])
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    made = Cluster(own_folder(f"survival{request.param}"), brokers=request.param)
    try:
        await made.start()
        yield made
    finally:
        await made.close()


@pytest.fixture
async def system(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    database = await Databases(cluster.postgres_admin_dsn).create(*SCHEMAS)
    folder = tmp_path_factory.mktemp("survival")
    extra = QUICK | cluster.environment(database)
    made = await System.start(folder, cluster, database, layout=LAYOUT, extra=extra)
    try:
        yield made
    finally:
        await made.close()


async def test_faults_of_every_part_lose_nothing_double_nothing_and_leave_nothing_stuck(
    cluster: Cluster, system: System, say: Say
) -> None:
    say(f"SURVIVAL_SEED={SEED} SURVIVAL_REQUESTS={REQUESTS} brokers={len(cluster.brokers)}")
    await _switch_limits_off(system)
    meta = (await system.world())["platforms"]["meta"]
    token = next(token for token in meta["tokens"] if token["state"] == "valid" and token["kind"] == "user")
    async with await make_operator(system) as operator:
        organizations = [await make_organization(system, operator, f"survival-{name}") for name in ("a", "b", "c")]
    requests = Requests(organizations, REQUESTS, lanes=60, seed=SEED)
    connections = Connections(organizations, token, max(12, REQUESTS // 100), SEED)
    plan = make_plan(_menu(cluster), SEED, seconds=SECONDS, rounds=ROUNDS)
    for fault in plan:
        say(str(fault))
    nemesis = Nemesis(system.fleet, cluster)
    began = time.monotonic()
    await asyncio.gather(
        nemesis.run(plan),
        requests.run(system.urls, system.kafka_bootstrap, SECONDS),
        connections.run(system.urls, SECONDS),
    )
    say(f"{dict(nemesis.done)} in {nemesis.ended_at - began:.0f} s, answered after {time.monotonic() - began:.0f} s")
    await _settle(system, nemesis)
    say(f"settled {time.monotonic() - nemesis.ended_at:.0f} s after the last fault; exits: {_exits(system)}")
    published = await read_all(system)
    check_topics(published)
    await check_requests(system, requests, published)
    say(await check_batcher(system, requests))
    await check_connections(system, connections, published)
    await check_that_nothing_is_set_aside(system)


def _menu(cluster: Cluster) -> Menu:
    three = len(cluster.brokers) > 1
    return Menu(
        kills=list(LAYOUT),
        freezes=[
            ("batcher-workers", BATCHER_LEASE_SECONDS),
            ("webhook_receiver-workers", WORKER_LEASE_SECONDS),
            ("webhook_receiver-relay", RELAY_LEASE_SECONDS),
        ],
        servers=["postgres", "valkey"] if three else ["postgres", "valkey", "kafka"],
        leaders=["requests/0", "batcher.results/1"] if three else [],
        cuts=[f"{name}~postgres" for name in SCHEMAS] + [f"services~{name}" for name in cluster.brokers],
        black_holes=[f"{name}~postgres" for name in SCHEMAS] + [f"services~{name}" for name in cluster.brokers],
    )


async def _settle(system: System, nemesis: Nemesis) -> None:
    """Return when nothing is under way any more. Raises: TimeoutError that says what is."""
    left: list[str] = []

    async def nothing_is_left() -> bool:
        left[:] = await what_is_left(system)
        return not left

    try:
        await until(nothing_is_left, "everything to settle", nemesis.ended_at + SETTLE_SECONDS - time.monotonic())
    except TimeoutError as error:
        raise TimeoutError(f"stuck {SETTLE_SECONDS:g} s after the last fault: {left}") from error


def _exits(system: System) -> dict[int, int]:
    return dict(Counter(code for name in system.fleet.names() for code in system.fleet[name].exits))


async def _switch_limits_off(system: System) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        await client.post(f"{system.sandbox_url}/_sandbox/limits", json={"enforced": False})
