"""Random schedules of polls, failures, crashes, redeliveries and replays, against what must come of them."""

import asyncio
import random

import pytest

from libs.messaging.parked import operating
from libs.messaging.passing import is_passing
from tests.support.parking import AT_ONCE, FACTS, STATES, Bench, CutOff, CutsOff, Record, Troubles

pytestmark = pytest.mark.db

KEYS = "abc"
SCHEDULES = 25
STEPS = 40
CLEAR = "TRUNCATE applied, parked, parked_keys, inbox, state_versions, operator_actions"


class Partition:
    """Where a consumer stands in the log: it may go back to what it committed, never past what it settled."""

    def __init__(self, log: list[Record]) -> None:
        self.log = log
        self.committed = 0

    def next_poll(self, dice: random.Random, position: int) -> list[Record]:
        return self.log[position : position + dice.randrange(1, 9)]


def publish(bench: Bench, dice: random.Random, number: int) -> None:
    for _ in range(number):
        key, n = dice.choice(KEYS), len(bench.log.records)
        if dice.random() < 0.25:
            bench.log.state(key, sum(record.topic == STATES.name for record in bench.log.records) + 1)
        elif dice.random() < 0.1:
            bench.log.fact(None, f"keyless{n}")
        else:
            bench.log.fact(key, f"{key}{n}")


async def check(bench: Bench, dropped: set[str], seed: int) -> None:
    """Every fact once and in its key's order; of states only newer ones, up to the newest; nothing left behind."""
    for key in KEYS:
        names = [name for name in names_of(bench, key) if name not in dropped]
        assert await bench.applied(FACTS.name, key) == names, f"seed {seed}, key {key}"
        versions = [int(version) for version in await bench.applied(STATES.name, key)]
        assert versions == sorted(set(versions)), f"seed {seed}, key {key}"
        newest = max((int(dict(r.headers)["ce_version"] or 0) for r in of(bench, STATES.name, key)), default=None)
        assert (versions[-1] if versions else None) == newest, f"seed {seed}, key {key}"
    keyless = await bench.applied(FACTS.name, "")
    assert sorted(keyless) == sorted(set(names_of(bench, None)) - dropped), f"seed {seed}"
    assert await bench.blocked() == []
    assert "open" not in {status for _, status in await bench.parked()}


def of(bench: Bench, topic: str, key: str | None) -> list[Record]:
    wanted = None if key is None else key.encode()
    return [record for record in bench.log.records if (record.topic, record.key) == (topic, wanted)]


def facts(bench: Bench, key: str | None) -> list[Record]:
    return of(bench, FACTS.name, key)


def names_of(bench: Bench, key: str | None) -> list[str]:
    read = [bench.routing.read(record).message for record in facts(bench, key)]
    return [message.data.payload["what"] for message in read]  # type: ignore[union-attr]


async def drop_one(bench: Bench, dice: random.Random, dropped: set[str]) -> None:
    rows = await bench.owner.fetch("SELECT id FROM parked WHERE status = 'open' AND topic = $1", FACTS.name)
    if not rows:
        return
    async with bench.database.transaction() as conn:
        parked = await operating.lock_open(conn, dice.choice(rows)["id"])
        await operating.drop(conn, parked.id, "by chance", bench.routes, "key 1", bench.declarations)
    (record,) = [one for one in bench.log.records if (one.topic, one.offset) == (parked.topic, parked.offset)]
    message = bench.routing.read(record).message
    what = message.data.payload["what"]  # type: ignore[union-attr]
    if what not in await bench.applied():  # what was applied may be parked too, when it came again behind a blocked key
        dropped.add(what)


async def run_schedule(bench: Bench, seed: int) -> set[str]:
    """One consumer, one step after the other, each of which may be cut off right before or right after its commit."""
    dice = random.Random(seed)
    bench.log.records.clear()
    await bench.owner.execute(CLEAR)
    bench.fails = Troubles(dice, dice.choice([0.0, 0.1, 0.4]))
    whole, cut = bench.database, CutsOff(bench.database, dice, 0.25)
    place, dropped = Partition(bench.log.records), set[str]()
    position = 0
    for _ in range(STEPS):
        bench.database = cut
        step = dice.choice(["publish", "poll", "poll", "poll", "replay", "replay", "rewind", "drop"])
        try:
            if step == "publish":
                publish(bench, dice, dice.randrange(1, 12))
            elif step == "poll" and (records := place.next_poll(dice, position)):
                await bench.poll(records)
                position += len(records)
                place.committed = position
            elif step == "replay":
                await bench.replay()
            elif step == "rewind":
                position = place.committed = dice.randrange(place.committed + 1)
            elif step == "drop" and dice.random() < 0.3:
                bench.database = whole
                await drop_one(bench, dice, dropped)
        except CutOff:
            position = place.committed
    bench.database, bench.fails = whole, lambda _, __: False
    if rest := bench.log.records[place.committed :]:
        await bench.poll(rest)
    await bench.replay_all()
    return dropped


async def test_random_schedules_leave_every_keys_order_whole_and_apply_each_record_once(bench: Bench) -> None:
    first = random.randrange(10**9)
    for seed in range(first, first + SCHEDULES):
        dropped = await run_schedule(bench, seed)
        await check(bench, dropped, seed)


async def test_two_consumers_of_one_partition_and_two_replayers_at_once_keep_the_order(bench: Bench) -> None:
    """A zombie after a rebalance: it goes on from where it stood, beside the partition's new owner."""
    seed = random.randrange(10**9)
    dice = random.Random(seed)
    publish(bench, dice, 400)
    bench.fails = Troubles(dice, 0.05)
    bench.pause = lambda: asyncio.sleep(0.002 if dice.random() < 0.2 else 0)
    shared = Partition(bench.log.records)
    stop = asyncio.Event()

    async def consume() -> None:
        position = shared.committed
        while position < len(shared.log):
            records = shared.next_poll(dice, position)
            try:
                await bench.poll(records)
            except Exception as error:
                if not is_passing(error):
                    raise
                position = shared.committed
                continue
            position += len(records)
            # Only the group's member may commit; a zombie's commit is refused.
            shared.committed = max(shared.committed, position) if dice.random() < 0.5 else shared.committed
            if dice.random() < 0.1:
                position = shared.committed

    replayers = [asyncio.create_task(bench.replayer().run(stop)) for _ in range(2)]
    await asyncio.gather(consume(), consume())
    stop.set()
    await asyncio.gather(*replayers)
    assert len(await bench.parked()) > 0, "nothing failed, so nothing was tried"
    bench.fails = lambda _, __: False
    await bench.replay_all()
    await check(bench, set(), seed)


async def test_many_replayers_of_many_keys_apply_each_record_once(bench: Bench) -> None:
    seed = random.randrange(10**9)
    dice = random.Random(seed)
    records = [bench.log.fact(dice.choice(KEYS), str(n)) for n in range(90)]
    bench.fails = lambda _, __: True
    await bench.poll(records)
    bench.fails = Troubles(dice, 0.2)
    stop = asyncio.Event()
    replayers = [asyncio.create_task(bench.replayer(AT_ONCE).run(stop)) for _ in range(5)]
    await bench.replay_all()
    stop.set()
    await asyncio.gather(*replayers)
    await check(bench, set(), seed)


async def test_a_database_that_goes_away_costs_no_attempt_while_the_process_lives(bench: Bench) -> None:
    async def away() -> None:
        raise ConnectionResetError

    bench.fails = lambda _, __: True
    await bench.poll([bench.log.fact("a", "one")])
    bench.fails = lambda _, __: False
    here, bench.pause = bench.pause, away
    replayer = bench.replayer(most_attempts=2)
    for _ in range(4):
        assert await replayer.replay_due(asyncio.Event()) == 1
    bench.pause = here
    await replayer.replay_due(asyncio.Event())
    assert await bench.applied() == ["one"]
