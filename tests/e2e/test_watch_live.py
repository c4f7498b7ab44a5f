"""On a live Prometheus: every panel shows data, and every alert fires when what it is for happens, and ends.

Judged at thirty times the pace of production, by the same rules: only their seconds are divided.
"""

from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from deploy.prometheus.alerts import Pace
from deploy.prometheus.alerts import rules as alert_rules
from libs.postgres.schemas import SCHEMAS
from tests.support.cluster import Cluster
from tests.support.databases import Databases
from tests.support.fixtures import Say
from tests.support.prometheus import Live, targets_of
from tests.support.promql import fill_in
from tests.support.provoking import FAULTS, MEANWHILE, Fault
from tests.support.servers import own_folder
from tests.support.system import WHOLE, System
from tests.support.until import until
from tests.support.watching import Stage, panels, rules

pytestmark = pytest.mark.watch

PACE = Pace(30)
MACROS = {"$__rate_interval": "20s", "$__range": "1m"}
LAYOUT = {
    "ingest-http": ("ingest", "http,jobs"),
    "ingest-consumers": ("ingest", "consumers"),
    "ingest-relay": ("ingest", "relay"),
    **{name: spec for name, spec in WHOLE.items() if name != "ingest"},
}
_PATIENCE_SECONDS = 150.0


@pytest.fixture(scope="module")
async def watched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Stage, Live]]:
    folder: Path = tmp_path_factory.mktemp("watch")
    async with AsyncExitStack() as opened:
        cluster = Cluster(own_folder("watch"))
        opened.push_async_callback(cluster.close)
        await cluster.start()
        database = await Databases(cluster.postgres_admin_dsn).create(*SCHEMAS)
        told = cluster.environment(database) | {"KAFKA_PARKED_MAX_ATTEMPTS": "1"}
        # One process alone goes to the brokers by the way that is cut: its alerts must not need those of the others.
        cuttable = {"ingest-consumers": {"KAFKA_BOOTSTRAP_SERVERS": told.pop("KAFKA_BOOTSTRAP_SERVERS")}}
        system = await System.start(folder, cluster, database, layout=LAYOUT, extra=told, own=cuttable)
        opened.push_async_callback(system.close)
        live = await Live.start(folder, targets_of(system), alert_rules(PACE))
        opened.push_async_callback(live.close)
        stage = await Stage.make(system, cluster.proxies)
        opened.push_async_callback(stage.close)
        yield stage, live


async def test_every_panel_shows_data(watched: tuple[Stage, Live]) -> None:
    stage, live = watched
    without = {query: title for title, queries in panels() for query in queries}

    async def all_shown() -> bool:
        await stage.move_everything()
        for query in list(without):
            if await live.has_data(fill_in(query, MACROS)):
                del without[query]
        return not without

    try:
        await until(all_shown, "data in every panel", _PATIENCE_SECONDS)
    except TimeoutError:
        pytest.fail("no data for:\n" + "\n".join(f"{title}: {query}" for query, title in without.items()))


async def test_strangers_among_many_good_deliveries_open_no_ticket(watched: tuple[Stage, Live]) -> None:
    stage, live = watched
    alert = rules(alert_rules(PACE))["WebhooksRefused"]["expr"]

    async def is_seen_and_harmless() -> bool:
        await stage.knock_as_a_stranger()
        for _ in range(20):
            await stage.push()
        seen = await live.found(f'rate(webhook_refused_total{{platform="unknown"}}[{PACE.span(300)}]) > 0')
        because_of_them = [labels for labels in await live.found(alert) if labels.get("platform") != "meta"]
        return bool(seen) and not because_of_them

    await until(is_seen_and_harmless, "strangers to be a small share of everything", _PATIENCE_SECONDS)


async def test_every_alert_fires_and_ends_once_somebody_has_mended_what_it_is_for(
    watched: tuple[Stage, Live], say: Say
) -> None:
    stage, live = watched
    assert frozenset().union(*(names for _, names in FAULTS)) == rules(alert_rules()).keys()
    for fault, names in FAULTS:
        await until_silent(live, names, f"before {fault.__name__}")
        async with fault(stage):
            await until_fired(stage, live, fault, names)
        say(f"{fault.__name__}: {', '.join(sorted(names))}")
    await until_silent(live, frozenset().union(*(names for _, names in FAULTS)), "although all is mended")


async def until_silent(live: Live, names: Collection[str], when: str) -> None:
    """Return when none of these alerts fires, so that what makes one fire next is not what made it fire before."""
    fires: set[str] = set()

    async def are_silent() -> bool:
        nonlocal fires
        fires = await live.firing() & set(names)
        return not fires

    try:
        await until(are_silent, "silence", _PATIENCE_SECONDS)
    except TimeoutError:
        pytest.fail(f"still firing {when}: {sorted(fires)}")


async def until_fired(stage: Stage, live: Live, fault: Fault, names: Collection[str]) -> None:
    """Return when each of these alerts has fired."""
    again, missing = MEANWHILE.get(fault), set(names)

    async def fired() -> bool:
        nonlocal missing
        if again is not None:
            await again(stage)
        missing -= await live.firing()
        return not missing

    try:
        await until(fired, "the alerts", _PATIENCE_SECONDS)
    except TimeoutError:
        pytest.fail(f"{fault.__name__}: {sorted(missing)} did not fire")
