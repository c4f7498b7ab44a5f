"""What an operator's changes do to a key that waits: what goes on, what keeps waiting, what is remembered."""

from dataclasses import replace
from uuid import UUID

import pytest

from libs.messaging.parked import operating, store
from libs.messaging.processing import DUPLICATE, HANDLED, PARKED
from libs.messaging.records import Routing
from tests.support.parking import FACTS, STATES, Bench

pytestmark = pytest.mark.db

KEY = (FACTS.name, "a")


async def parked_ids(bench: Bench) -> list[UUID]:
    """Ids of the open records, in the order in which they came."""
    return [row["id"] for row in await bench.owner.fetch("SELECT id FROM parked WHERE status = 'open' ORDER BY seq")]


async def drop(bench: Bench, record_id: UUID) -> None:
    async with bench.database.transaction() as conn:
        await operating.drop(conn, record_id, "it is broken", bench.routes, "key 1", bench.declarations)


async def key_state(bench: Bench) -> tuple[str, int, bool]:
    """Status of the one blocked key, its attempts, and whether it is due."""
    row = await bench.owner.fetchrow("SELECT status, attempts, next_attempt_at <= now() FROM parked_keys")
    return tuple(row)


async def test_a_key_that_was_given_up_stays_so_when_a_record_behind_its_head_is_dropped(bench: Bench) -> None:
    bench.fails = lambda _, __: True
    await bench.poll([bench.log.fact("a", what) for what in ("deadly", "one", "two")])
    await bench.owner.execute("UPDATE parked_keys SET status = 'gave_up', attempts = 20")
    head, behind, _ = await parked_ids(bench)
    await drop(bench, behind)
    assert (await key_state(bench))[:2] == ("gave_up", 20)
    await drop(bench, head)
    assert await key_state(bench) == ("waiting", 0, True)


async def test_what_waits_behind_a_dropped_head_goes_on_though_the_head_was_never_seen_to_fail(bench: Bench) -> None:
    bench.fails = lambda _, what: what == "bad"
    await bench.poll([bench.log.fact("a", what) for what in ("bad", "deadly", "well")])
    bad, deadly, _ = await parked_ids(bench)
    await drop(bench, bad)
    await bench.owner.execute("UPDATE parked_keys SET attempts = 12, next_attempt_at = now() + interval '1 hour'")
    await drop(bench, deadly)
    assert await key_state(bench) == ("waiting", 0, True)
    await bench.replay()
    assert await bench.applied() == ["well"]


async def test_of_a_state_topic_the_newest_record_is_the_head(bench: Bench) -> None:
    bench.fails = lambda _, __: True
    await bench.poll([bench.log.state("a", 2)])
    await bench.poll([bench.log.state("a", version) for version in (3, 1)])
    await bench.owner.execute("UPDATE parked_keys SET status = 'gave_up', attempts = 20")
    second, third, _ = await parked_ids(bench)
    await drop(bench, second)
    assert (await key_state(bench))[:2] == ("gave_up", 20)
    await drop(bench, third)
    assert await key_state(bench) == ("waiting", 0, True)


async def test_of_two_states_of_one_version_the_list_shows_the_one_that_is_tried_next(bench: Bench) -> None:
    bench.fails = lambda _, __: True
    await bench.poll([bench.log.state("a", 2)])
    await bench.poll([bench.log.state("a", 2) for _ in range(5)])
    async with bench.database.acquire() as conn:
        (shown,) = await operating.list_heads(conn, "ingest", topic=None, states=[STATES.name], limit=10)
        (tried,) = await store.newest_open(conn, "ingest", (STATES.name, "a"))
    assert shown.id == tried.id


async def test_who_saw_a_key_exhausted_does_not_give_it_up_once_its_head_is_dropped(bench: Bench) -> None:
    bench.fails = lambda _, __: True
    await bench.poll([bench.log.fact("a", what) for what in ("deadly", "well")])
    await bench.owner.execute("UPDATE parked_keys SET attempts = 20")
    async with bench.database.acquire() as conn:
        (exhausted,) = await store.due(conn, "ingest", [FACTS.name], 10)
        await drop(bench, (await parked_ids(bench))[0])
        assert not await store.give_up(conn, "ingest", exhausted)
    assert await key_state(bench) == ("waiting", 0, True)


async def test_who_saw_a_key_exhausted_does_not_give_it_up_once_its_last_replay_got_on(bench: Bench) -> None:
    bench.fails = lambda _, __: True
    await bench.poll([bench.log.fact("a", what) for what in ("one", "two")])
    await bench.replay()
    slow = bench.replayer(most_attempts=2)
    async with bench.database.acquire() as conn:
        (seen,) = await store.due(conn, "ingest", [FACTS.name], 10)
        epoch = await store.claim(
            conn, "ingest", seen, "slow", lease_seconds=0.0, first_wait_seconds=0.0, longest_wait_seconds=0.0
        )
        assert epoch
        (exhausted,) = await store.due(conn, "ingest", [FACTS.name], 10)
        assert exhausted.attempts == 2
        bench.fails = lambda _, what: what == "two"
        await slow.replay_claimed(KEY, epoch)
        assert not await store.give_up(conn, "ingest", exhausted)
    assert (await key_state(bench))[:2] == ("waiting", 1)


async def test_a_replay_that_was_under_way_when_its_head_was_dropped_writes_nothing(bench: Bench) -> None:
    bench.fails = lambda _, __: True
    await bench.poll([bench.log.fact("a", what) for what in ("bad", "well")])
    replayer = bench.replayer()
    async with bench.database.transaction() as conn:
        epoch = await replayer.claim_now(conn, KEY)
    await drop(bench, (await parked_ids(bench))[0])
    assert await replayer.replay_claimed(KEY, epoch) is None
    assert await key_state(bench) == ("waiting", 0, True)


async def test_a_record_of_another_source_is_no_twin_of_a_dropped_one(bench: Bench) -> None:
    bench.fails = lambda _, __: True
    ours = bench.log.fact("a", "ours", event_id="same")
    theirs = bench.log.fact("a", "theirs", event_id="same")
    theirs.headers = [(name, b"another" if name == "ce_source" else value) for name, value in theirs.headers]
    await bench.poll([ours, theirs])
    await drop(bench, (await parked_ids(bench))[0])
    bench.fails = lambda _, __: False
    await bench.replay()
    assert await bench.applied() == ["theirs"]
    assert await bench.poll([ours, theirs]) == {DUPLICATE: 2}


async def test_a_dropped_record_of_a_route_without_inbox_is_known_until_its_handler_is_mended(bench: Bench) -> None:
    bench.routes = [replace(route, once=route.topic != FACTS.name) for route in bench.routes]
    bench.routing = Routing(bench.routes, bench.declarations)
    record = bench.log.fact("a", "bad")
    bench.fails = lambda _, __: True
    await bench.poll([record])
    await drop(bench, (await parked_ids(bench))[0])
    assert await bench.poll([record]) == {PARKED: 1}
    assert (await bench.parked(), await bench.blocked()) == ([("a", "dropped")], [])
    bench.fails = lambda _, __: False
    assert await bench.poll([record]) == {HANDLED: 1}


async def test_a_key_that_was_blocked_by_hand_collects_its_records_unhandled(bench: Bench) -> None:
    """What runbook ConsumerStalled does about a record that ends every process that handles it."""
    async with bench.database.acquire() as conn:
        await conn.execute(
            "INSERT INTO parked_keys (consumer, topic, key, status, next_attempt_at, last_error) "
            "VALUES ('ingest', $1, 'a', 'gave_up', now(), 'ends its process')",
            FACTS.name,
        )
    await bench.poll([bench.log.fact(key, f"{key}{n}") for n in range(2) for key in "ab"])
    assert await bench.applied() == ["b0", "b1"]
    await bench.replay()
    assert await bench.blocked() == [("a", "gave_up")]
    await drop(bench, (await parked_ids(bench))[0])
    await bench.replay()
    assert await bench.applied() == ["b0", "b1", "a1"]
