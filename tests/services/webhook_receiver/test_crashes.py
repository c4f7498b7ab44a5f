"""Owners of shards that die, pause, or come twice: nothing is lost, doubled or out of order."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from libs.postgres import leases
from libs.vocabulary import AccountRef
from services.webhook_receiver.handlers import Deps, give_shards_back, on_due_deliveries
from services.webhook_receiver.models import shard_of
from services.webhook_receiver.store import deliveries
from tests.support.databases import ServiceDatabase
from tests.support.until import until
from tests.support.watched_database import Killed, kill_at, watched
from tests.support.webhook_receiver import PAGE, Bench, bench, change, held

pytestmark = pytest.mark.db


@pytest.fixture
async def receiver(webhook_receiver_database: ServiceDatabase, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(webhook_receiver_database, tmp_path) as made:
        yield made


async def expire_leases(receiver: Bench) -> None:
    await receiver.run("UPDATE leases SET until = clock_timestamp()")


async def test_a_process_killed_between_any_two_steps_loses_and_doubles_nothing(receiver: Bench) -> None:
    killed = 0
    while True:
        account, org_id = AccountRef("page", str(killed)), uuid4()
        await receiver.connect(org_id, account)
        wanted = [f"{killed}-{number}" for number in range(5)]
        first = await receiver.receive(
            change(wanted[0], account), change(wanted[1], account), change(wanted[0], account)
        )
        second = await receiver.receive(change(wanted[2], account))
        victim = receiver.another(database=watched(receiver.database, kill_at(killed)))
        try:
            await receiver.work(victim)
            ended = True
        except Killed:
            ended = False
        third = await receiver.receive(change(wanted[3], account), change(wanted[1], account))
        await receiver.receive(change(wanted[4], account))
        await expire_leases(receiver)
        survivor = receiver.another()
        await receiver.work(survivor)
        await give_shards_back(survivor)
        assert await receiver.keys_published(org_id) == wanted, f"killed at step {killed}"
        assert [await receiver.status(each) for each in (first, second, third)] == ["processed"] * 3
        assert (await receiver.delivery(first))["attempts"] <= 2
        if ended:
            break
        killed += 1
    assert killed > 20, "the work has more steps than that"


async def test_a_body_that_kills_its_process_runs_out_of_attempts_and_takes_nobody_with_it(receiver: Bench) -> None:
    await receiver.connect(uuid4(), PAGE)
    before = [await receiver.receive(change(f"a{number}")) for number in range(3)]
    poison = await receiver.receive(change("poison"))
    after = [await receiver.receive(change(f"b{number}")) for number in range(3)]

    def die(body: bytes) -> None:
        if b"poison" in body:
            raise Killed

    receiver.webhooks.on_split = die
    kills = 0
    while True:
        try:
            await receiver.work(receiver.another())
        except Killed:
            kills += 1
            await expire_leases(receiver)
        else:
            break
    row = await receiver.delivery(poison)
    assert (kills, row["attempts"]) == (10, 10)
    assert (row["status"], row["reason"], row["next_attempt_at"]) == ("failed", "attempts_used_up", None)
    assert "its process ended" in row["error"]
    for each in (*before, *after):
        row = await receiver.delivery(each)
        assert row["status"] == "processed"
        assert row["attempts"] <= 2
    assert await receiver.keys_published() == ["a0", "a1", "a2", "b0", "b1", "b2"]


async def test_a_database_that_goes_away_again_and_again_uses_up_no_attempt(receiver: Bench) -> None:
    """What was answered 200 would be given up, though nothing is wrong with it and its process never ended."""
    await receiver.connect(uuid4(), PAGE)
    delivery_id = await receiver.receive(change("a"))
    outages = itertools.repeat(True, 15)

    async def go_away(step: str) -> None:
        if step == deliveries.FINISH and next(outages, False):
            raise ConnectionResetError

    process = receiver.another(database=watched(receiver.database, go_away))
    for _ in range(15):
        with pytest.raises(ConnectionResetError):
            await on_due_deliveries(process)
    assert await receiver.work(process) == 1
    row = await receiver.delivery(delivery_id)
    assert (row["status"], row["attempts"]) == ("processed", 1)
    assert await receiver.keys_published() == ["a"]


async def test_an_owner_paused_past_its_lease_writes_nothing_when_it_wakes(receiver: Bench) -> None:
    org_id = uuid4()
    await receiver.connect(org_id, PAGE)
    delivery_id = await receiver.receive(change("a"))
    claimed, wakes, steps = asyncio.Event(), asyncio.Event(), []

    async def pause_after_the_claim(step: str) -> None:
        steps.append(step)
        if steps.count("COMMITTED") == 2 and step == "BEGIN":  # the leases, the claim; now the work would begin
            claimed.set()
            await wakes.wait()

    sleeper = receiver.another(database=watched(receiver.database, pause_after_the_claim))
    working = asyncio.create_task(on_due_deliveries(sleeper))
    await asyncio.wait_for(claimed.wait(), 30)
    assert await receiver.status(delivery_id) == "processing"
    await expire_leases(receiver)
    assert await receiver.work() == 1
    assert await receiver.status(delivery_id) == "processed"
    later = await receiver.receive(change("b"))
    wakes.set()
    assert await asyncio.wait_for(working, 30) == 0
    assert await receiver.keys_published() == ["a"]
    row = await receiver.delivery(delivery_id)
    assert (row["status"], row["attempts"], row["locked_by"]) == ("processed", 2, None)
    await receiver.work(sleeper)
    assert await receiver.status(later) == "received", "its shards are another's now"
    await receiver.work()
    assert await receiver.keys_published() == ["a", "b"]


async def test_an_owner_that_fails_a_body_after_its_lease_does_not_fail_it_for_the_next_owner(receiver: Bench) -> None:
    await receiver.connect(uuid4(), PAGE)
    delivery_id = await receiver.receive({"raise": "a bug of the old version"})
    steps: list[str] = []

    async def lose_the_lease_after_the_claim(step: str) -> None:
        steps.append(step)
        if steps.count("COMMITTED") == 2 and step == "BEGIN":
            await expire_leases(receiver)
            async with receiver.database.transaction() as conn:
                await leases.take(conn, [f"webhooks/{shard_of('meta', '1')}"], "another", 60)

    old = receiver.another(database=watched(receiver.database, lose_the_lease_after_the_claim))
    assert await on_due_deliveries(old) == 0
    assert await receiver.status(delivery_id) == "processing"


async def test_an_owner_paused_within_a_transaction_stops_its_own_shards_only(receiver: Bench) -> None:
    apps = {shard_of("meta", app): app for app in map(str, range(100))}
    assert len(apps) == 8
    await receiver.connect(uuid4(), PAGE)
    sleeper = receiver.another()
    await receiver.work(sleeper)
    await expire_leases(receiver)
    fence = "SELECT FROM leases WHERE name = 'webhooks/3' FOR SHARE"
    received = {shard: await receiver.receive(change(str(shard)), app=app) for shard, app in apps.items()}
    async with held(receiver.dsns.worker_dsn, fence):
        await asyncio.wait_for(receiver.work(), 5)
        statuses = {shard: await receiver.status(each) for shard, each in received.items()}
        assert statuses == {shard: "received" if shard == 3 else "processed" for shard in apps}
    await receiver.run("UPDATE leases SET until = clock_timestamp() WHERE name = 'webhooks/3'")
    fresh = receiver.another()
    await expire_leases(receiver)
    await receiver.work(fresh)
    assert await receiver.status(received[3]) == "processed"


async def test_two_owners_that_lose_their_leases_all_the_time_keep_order_and_publish_once(receiver: Bench) -> None:
    org_id = uuid4()
    accounts = [AccountRef("page", str(number)) for number in range(4)]
    await receiver.connect(org_id, *accounts)
    stop = asyncio.Event()

    async def own(deps: Deps) -> None:
        while not stop.is_set():
            if not await on_due_deliveries(deps):
                await asyncio.sleep(0)

    async def disturb() -> None:
        for shard in itertools.cycle(range(8)):  # one at a time: several rows at once could wait in a circle
            if stop.is_set():
                return
            await receiver.run("UPDATE leases SET until = clock_timestamp() WHERE name = $1", f"webhooks/{shard}")

    owners = [receiver.another(lease_seconds=1.0) for _ in range(3)]
    tasks = [asyncio.create_task(own(deps)) for deps in owners] + [asyncio.create_task(disturb())]
    received: list[UUID] = []
    for number in range(200):
        told = [change(f"{number:03d}/{account.id}", account) for account in accounts]
        received.append(await receiver.receive(*told, app=str(number % 2)))

    async def all_are_done() -> bool:
        return not await receiver.rows("SELECT FROM webhook_events WHERE status <> 'processed' LIMIT 1")

    await until(all_are_done, "every delivery is processed", seconds=60)
    stop.set()
    await asyncio.wait_for(asyncio.gather(*tasks), 30)
    events = await receiver.published()
    assert len(events) == 800
    for app in ("0", "1"):
        for account in accounts:
            mine = [
                event["data"]["external_event_id"]
                for event in events
                if event["data"]["account"]["id"] == account.id and event["data"]["app"] == app
            ]
            assert mine == sorted(mine)
            assert len(set(mine)) == 100


async def test_two_apps_that_tell_the_same_at_the_same_time_publish_it_once(receiver: Bench) -> None:
    org_id = uuid4()
    await receiver.connect(org_id, PAGE)
    apps = ["0", "1", "2", "3"]
    for number in range(50):
        for place, app in enumerate(apps):
            # In another order from each app: whoever locks in the order of arrival would wait in a circle.
            told = [change(f"{number}/{(place + step) % 4}") for step in range(4)]
            await receiver.receive(*told, app=app)
    shards = {shard_of("meta", app) for app in apps}
    assert len(shards) > 1
    owners = []
    for shard in shards:
        deps = receiver.another()
        async with receiver.database.transaction() as conn:
            await leases.take(conn, [f"webhooks/{shard}"], deps.shards.owner, 60)
        owners.append(deps)
    await asyncio.gather(*(receiver.work(deps) for deps in owners))
    published = await receiver.keys_published()
    assert len(published) == len(set(published)) == 200


async def test_an_owner_that_stops_while_the_database_is_away_stops_all_the_same(receiver: Bench) -> None:
    await receiver.work()

    async def refuse(_: str) -> None:
        raise ConnectionRefusedError

    cut_off = replace(receiver.deps, database=watched(receiver.database, refuse))
    await give_shards_back(cut_off)
    survivor = receiver.another()
    await receiver.receive(change("a"))
    assert await receiver.work(survivor) == 0, "the shards were not given back"
    await expire_leases(receiver)
    assert await receiver.work(receiver.another()) == 1


async def test_an_owner_that_stops_hands_its_shards_over_at_once(receiver: Bench) -> None:
    await receiver.work()
    await receiver.receive(change("a"))
    await give_shards_back(receiver.deps)
    assert await receiver.work(receiver.another()) == 1
