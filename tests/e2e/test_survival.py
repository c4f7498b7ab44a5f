"""Everything is killed, frozen and cut off while work flows: nothing is lost, doubled, inverted or stuck.

SURVIVAL_SEED replays a plan of faults and what is sent meanwhile; SURVIVAL_REQUESTS and SURVIVAL_WEBHOOKS size it
(`make soak`: 5,000 each). Every run prints its seed and its plan.
"""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import httpx
import pytest

from libs.postgres.schemas import SCHEMAS
from services.webhook_receiver.usecases.shards import LEASE_SECONDS
from tests.support.callers import Connections, Requests, Webhooks
from tests.support.chaos import Menu, Nemesis, make_plan
from tests.support.cluster import Cluster
from tests.support.databases import Databases
from tests.support.exits import unexplained_exits
from tests.support.fixtures import Say
from tests.support.holders import CALLS, Lease, leases_of
from tests.support.servers import own_folder
from tests.support.survival import (
    check_batcher,
    check_connections,
    check_requests,
    check_that_nothing_is_set_aside,
    check_topics,
    check_webhooks,
    read_all,
    what_is_left,
)
from tests.support.system import SPLIT, System
from tests.support.traffic import make_operator, make_organization, name_accounts
from tests.support.until import until

pytestmark = pytest.mark.e2e

REQUESTS = int(os.environ.get("SURVIVAL_REQUESTS", "500"))
WEBHOOKS = int(os.environ.get("SURVIVAL_WEBHOOKS", "500"))
SEED = int(os.environ.get("SURVIVAL_SEED", "0")) or random.randrange(1, 2**31)
SECONDS = max(45.0, (REQUESTS + WEBHOOKS) / 50)
"""For how long requests flow, and faults with them."""
ROUNDS = max(1, round(SECONDS / 90))
SETTLE_SECONDS = float(os.environ.get("SURVIVAL_SETTLE_SECONDS", "60"))
"""After the last fault nothing may be under way for longer; a machine that others use too may be given more."""

BATCHER_LEASE_SECONDS = 8.0
RELAY_LEASE_SECONDS = 2.0
KAFKA_ANSWER_SECONDS = 10.0

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

LEASES = {
    "holder of calls": Lease(("batcher-workers", "batcher-workers-2"), BATCHER_LEASE_SECONDS, CALLS, during_calls=True),
    "holder of deliveries": Lease(
        ("webhook_receiver-workers", "webhook_receiver-workers-2"), LEASE_SECONDS, leases_of("webhooks", "webhooks")
    ),
    "holder of the outbox": Lease(
        ("webhook_receiver-relay", "webhook_receiver-relay-2"), RELAY_LEASE_SECONDS, leases_of("webhooks", "relay")
    ),
}
"""Who holds one stands still past its end. One process holds all deliveries, one the whole outbox: others are spare."""

PAGES = {"a": ["100", "101", "102", "103"], "b": ["100", "201", "202", "203"], "c": ["301"]}
"""Accounts of each organization; one belongs to two."""
NOBODYS_PAGE = "999"


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
    say(
        f"SURVIVAL_SEED={SEED} SURVIVAL_REQUESTS={REQUESTS} SURVIVAL_WEBHOOKS={WEBHOOKS} brokers={len(cluster.brokers)}"
    )
    callers = await _callers(system)
    plan = make_plan(_menu(cluster), SEED, seconds=SECONDS, rounds=ROUNDS)
    for fault in plan:
        say(str(fault))
    nemesis = Nemesis(system, cluster, LEASES)
    began = time.monotonic()
    await asyncio.gather(nemesis.run(plan), callers.run(system))
    say(f"{dict(nemesis.done())} in {nemesis.ended_at - began:.0f} s, answered after {time.monotonic() - began:.0f} s")
    say(f"frozen in vain: {nemesis.missed}")
    late = time.monotonic() - nemesis.ended_at
    assert late <= SETTLE_SECONDS, f"callers had their last answer only {late:.0f} s after the last fault"
    await _settle(system, nemesis)
    say(f"settled {time.monotonic() - nemesis.ended_at:.0f} s after the last fault; exits: {_exits(system)}")
    say(f"webhooks were answered {dict(sum((sender.answers() for sender in callers.webhooks), Counter()))}")
    assert unexplained_exits(system.fleet, nemesis.struck) == []
    assert nemesis.leases_kept() == set(), nemesis.missed
    published = await read_all(system)
    check_topics(published)
    await check_requests(system, callers.requests, published)
    await check_webhooks(system, callers.webhooks, callers.owners, published)
    say(await check_batcher(system, callers.requests))
    await check_connections(system, callers.connections, published)
    await check_that_nothing_is_set_aside(system)


@dataclass(frozen=True, slots=True)
class Callers:
    """All that flows."""

    requests: Requests
    connections: Connections
    webhooks: Sequence[Webhooks]
    owners: Mapping[str, Sequence[str]]
    """Account -> organizations."""

    async def run(self, system: System) -> None:
        """Send everything; return when all of it is answered."""
        url = system.urls["webhook_receiver"]
        await asyncio.gather(
            self.requests.run(system.urls, system.kafka_bootstrap, SECONDS),
            self.connections.run(system.urls, SECONDS),
            *(sender.run(url, SECONDS) for sender in self.webhooks),
        )


async def _callers(system: System) -> Callers:
    """Three organizations and their accounts. One app's secret is in the settings, the other's was sent by HTTP."""
    await _switch_limits_off(system)
    meta = (await system.world())["platforms"]["meta"]
    token = next(token for token in meta["tokens"] if token["state"] == "valid" and token["kind"] == "user")
    owners: dict[str, list[str]] = {
        account: [] for accounts in (*PAGES.values(), [NOBODYS_PAGE]) for account in accounts
    }
    organizations = []
    async with await make_operator(system) as operator:
        for name, pages in PAGES.items():
            organization = await make_organization(system, operator, f"survival-{name}")
            organizations.append(organization)
            await name_accounts(system, operator, organization, [("page", page) for page in pages])
            for page in pages:
                owners[page].append(organization.org_id)
        added = {"platform": "meta", "app": "424242", "name": "survival", "secret": "a-secret-of-424242"}
        await operator.ask("webhook_receiver", "POST", "/v1/webhook-apps", body=added)
    apps = [(meta["apps"][0]["id"], meta["apps"][0]["secret"]), (added["app"], added["secret"])]
    shares = [sorted(owners)[::2], sorted(owners)[1::2]]
    return Callers(
        Requests(organizations, REQUESTS, lanes=60, seed=SEED),
        Connections(organizations, token, max(12, REQUESTS // 100), SEED),
        [
            Webhooks(share, WEBHOOKS // len(apps), SEED, app, secret)
            for share, (app, secret) in zip(shares, apps, strict=True)
        ],
        owners,
    )


def _menu(cluster: Cluster) -> Menu:
    three = len(cluster.brokers) > 1
    return Menu(
        kills=list(LAYOUT),
        freezes=[(name, lease.seconds) for name, lease in LEASES.items()],
        servers=["postgres", "valkey"] if three else ["postgres", "valkey", "kafka"],
        frozen_servers=[(next(iter(cluster.brokers)), KAFKA_ANSWER_SECONDS)] if ROUNDS > 1 else [],
        leaders=["requests/0", "webhooks.events/1"] if three else [],
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
        await until(
            nothing_is_left, "everything to settle", max(0.0, nemesis.ended_at + SETTLE_SECONDS - time.monotonic())
        )
    except TimeoutError as error:
        raise TimeoutError(f"stuck {SETTLE_SECONDS:g} s after the last fault: {left}") from error


def _exits(system: System) -> dict[int, int]:
    return dict(Counter(life.code for name in system.fleet.names() for life in system.fleet[name].lives))


async def _switch_limits_off(system: System) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        await client.post(f"{system.sandbox_url}/_sandbox/limits", json={"enforced": False})
