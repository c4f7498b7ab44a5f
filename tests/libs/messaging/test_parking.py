"""What parking promises, case by case: polls of a made-up log over real tables."""

import asyncio
import logging
from dataclasses import replace

import asyncpg
import pytest
from prometheus_client import REGISTRY

from libs.messaging import dead_letters
from libs.messaging.messages import Message
from libs.messaging.operator_actions import CannotChange
from libs.messaging.parked import operating, store
from libs.messaging.parked.measuring import measure
from libs.messaging.parked.options import ReplayOptions
from libs.messaging.processing import DEAD, DUPLICATE, HANDLED, PARKED
from libs.messaging.records import Routing
from tests.support.bus import until
from tests.support.databases import ServiceDatabase
from tests.support.parking import AT_ONCE, FACTS, STATES, Bench

pytestmark = pytest.mark.db

ME = "key 1"
AWHILE = replace(AT_ONCE, first_wait_seconds=3_600.0, longest_wait_seconds=3_600.0)


async def test_a_failing_record_takes_only_its_key_along_and_a_replay_restores_the_order(bench: Bench) -> None:
    records = [bench.log.fact(key, f"{key}{n}") for n in range(3) for key in "abc"]
    bench.fails = lambda _, what: what == "b1"
    outcomes = await bench.poll(records)
    assert outcomes == {HANDLED: 7, PARKED: 2}
    assert await bench.applied() == ["a0", "b0", "c0", "a1", "c1", "a2", "c2"]
    later = [bench.log.fact(key, f"{key}3") for key in "abc"]
    assert (await bench.poll(later))[PARKED] == 1
    await bench.replay()
    assert await bench.blocked() == [("b", "waiting")]
    bench.fails = lambda _, __: False
    await bench.replay()
    assert await bench.applied(key="b") == ["b0", "b1", "b2", "b3"]
    assert await bench.parked() == [("b", "replayed")] * 3
    assert await bench.blocked() == []
    assert (await bench.poll([bench.log.fact("b", "b4")]))[HANDLED] == 1


async def test_an_id_that_comes_twice_while_its_key_is_parked_is_applied_once(bench: Bench) -> None:
    twins = [bench.log.fact("a", "twin", event_id="same") for _ in range(2)]
    bench.fails = lambda _, __: True
    await bench.poll([twins[0]])
    await bench.poll([twins[1], bench.log.fact("a", "next")])
    bench.fails = lambda _, __: False
    await bench.replay()
    assert await bench.applied() == ["twin", "next"]
    notes = await bench.owner.fetch("SELECT note FROM parked ORDER BY seq")
    assert [row["note"] for row in notes] == [None, "was handled before", None]


async def test_records_that_come_again_are_known_while_parked_and_after_their_replay(bench: Bench) -> None:
    records = [bench.log.fact("a", what) for what in ("one", "two", "three")]
    bench.fails = lambda _, what: what == "one"
    for _ in range(3):
        await bench.poll(records)
    assert await bench.parked() == [("a", "open")] * 3
    bench.fails = lambda _, __: False
    await bench.replay()
    assert (await bench.poll(records)) == {DUPLICATE: 3}
    assert await bench.applied() == ["one", "two", "three"]


async def test_a_repeat_that_fails_after_its_replay_blocks_nothing(bench: Bench) -> None:
    """Handlers that look for repeats themselves get every delivery, and may fail on one."""
    bench.routes = [replace(route, once=route.topic != FACTS.name) for route in bench.routes]
    bench.routing = Routing(bench.routes, bench.declarations)
    record, later = bench.log.fact("a", "one"), bench.log.fact("a", "two")
    bench.fails = lambda _, what: what == "one"
    await bench.poll([record])
    bench.fails = lambda _, __: False
    await bench.replay()
    bench.fails = lambda _, what: what == "one"
    await bench.poll([record])
    assert await bench.blocked() == []
    await bench.poll([record, later])
    assert await bench.blocked() == [("a", "waiting")], "the later one is new, and waits for its turn"
    await bench.replay()
    assert await bench.applied() == ["one", "two"]


async def test_of_a_parked_state_only_the_newest_is_applied(bench: Bench) -> None:
    first = [bench.log.state("a", version) for version in (1, 2)]
    bench.fails = lambda _, what: what != "1"
    await bench.poll(first)
    assert await bench.parked() == [("a", "open")]
    await bench.poll([bench.log.state("a", version) for version in (3, 5, 4)])
    await bench.replay()
    bench.fails = lambda _, __: False
    await bench.replay()
    assert await bench.applied(STATES.name) == ["1", "5"]
    assert await bench.parked() == [("a", "superseded"), ("a", "superseded"), ("a", "replayed"), ("a", "superseded")]
    await bench.poll([bench.log.state("a", 6, ended=True), bench.log.state("a", 5)])
    assert await bench.applied(STATES.name) == ["1", "5", "6"]


async def test_when_the_newest_state_is_dropped_the_one_before_it_has_its_turn(bench: Bench) -> None:
    bench.fails = lambda _, what: what == "3"
    await bench.poll([bench.log.state("a", 3)])
    await bench.poll([bench.log.state("a", 2)])
    (head,) = await _heads(bench)
    assert head.version == 3
    async with bench.database.transaction() as conn:
        await operating.drop(conn, head.id, "it is broken", bench.routes, ME, bench.declarations)
    await bench.replay()
    assert await bench.applied(STATES.name) == ["2"]
    bench.fails = lambda _, __: False
    await bench.poll([bench.log.state("a", 3)])
    assert await bench.applied(STATES.name) == ["2", "3"], "announced again it is judged anew"


async def test_a_record_without_key_blocks_nothing_and_waits_for_nothing(bench: Bench) -> None:
    bench.fails = lambda key, what: (key, what) in {("", "bad"), ("", "worse")}
    await bench.poll([bench.log.fact(None, what) for what in ("bad", "good", "worse", "well")])
    assert await bench.applied() == ["good", "well"]
    assert await bench.blocked() == [("(none) 0@0", "waiting"), ("(none) 0@2", "waiting")]
    bench.fails = lambda _, what: what == "bad"
    await bench.replay()
    assert await bench.applied() == ["good", "well", "worse"]
    await bench.poll([bench.log.records[0]])
    assert await bench.parked() == [("(none) 0@0", "open"), ("(none) 0@2", "replayed")]


async def test_a_route_may_block_less_than_the_key(bench: Bench) -> None:
    def word(message: Message) -> str:
        return f"{message.key}/{message.data.payload['what'][0]}"  # type: ignore[union-attr]

    facts, states = bench.routes
    bench.routes = [replace(facts, blocking_key=word), states]
    bench.routing = Routing(bench.routes, bench.declarations)
    bench.fails = lambda _, what: what == "x1"
    await bench.poll([bench.log.fact("a", what) for what in ("x1", "y1", "x2", "y2")])
    assert await bench.applied() == ["y1", "y2"]
    assert await bench.blocked() == [("a/x", "waiting")]
    with pytest.raises(ValueError, match="block different keys"):
        Routing([replace(facts, events=()), bench.routes[0]], bench.declarations)


async def test_a_topic_that_was_made_anew_uses_its_places_again(bench: Bench) -> None:
    bench.fails = lambda _, __: True
    await bench.poll([bench.log.fact("a", "before")])
    bench.log.records.clear()
    again = bench.log.fact("a", "after")
    assert again.offset == 0
    await bench.poll([again])
    bench.fails = lambda _, __: False
    await bench.replay()
    assert await bench.applied() == ["before", "after"]


async def test_thousands_behind_one_key_are_replayed_in_order_some_per_transaction(bench: Bench) -> None:
    records = [bench.log.fact("a", str(n)) for n in range(1_500)]
    bench.fails = lambda _, what: what in ("0", "700")
    for at in range(0, 1_500, 500):
        await bench.poll(records[at : at + 500])
    bench.fails = lambda _, what: what == "700"
    replays = 0
    while await bench.replay(replace(AWHILE, records=100, seconds=60.0, first_wait_seconds=0.0)):
        replays += 1
        if len(await bench.applied()) >= 700:
            break
    assert replays == 7
    bench.fails = lambda _, __: False
    await bench.replay_all()
    assert await bench.applied() == [str(n) for n in range(1_500)]


async def test_a_handler_that_always_fails_loses_nothing_and_its_polls_still_end(bench: Bench) -> None:
    records = [bench.log.fact(f"k{n % 150}", str(n)) for n in range(900)]
    bench.fails = lambda _, __: True
    assert await bench.poll(records[:450]) == {PARKED: 450}
    assert await bench.poll(records[450:]) == {PARKED: 450}
    assert await bench.applied() == []
    assert len(await bench.blocked()) == 150
    bench.fails = lambda _, __: False
    await bench.replay_all()
    for key in range(150):
        assert await bench.applied(key=f"k{key}") == [str(n) for n in range(900) if n % 150 == key]


async def test_after_its_last_attempt_a_key_waits_for_a_person_and_still_collects(bench: Bench) -> None:
    bench.fails = lambda _, what: what == "bad"
    await bench.poll([bench.log.fact("a", "bad")])
    for _ in range(5):
        await bench.replay(most_attempts=3)
    assert await bench.blocked() == [("a", "gave_up")]
    assert await bench.owner.fetchval("SELECT attempts FROM parked") == 1 + 3
    await bench.poll([bench.log.fact("a", "next")])
    assert await bench.parked() == [("a", "open")] * 2
    async with bench.database.acquire() as conn:
        await measure(conn, "ingest")
    assert REGISTRY.get_sample_value("parked_keys", {"state": "gave_up"}) == 1
    assert REGISTRY.get_sample_value("parked_records") == 2
    (head,) = await _heads(bench)
    async with bench.database.transaction() as conn:
        await operating.drop(conn, head.id, "cannot be helped", bench.routes, ME, bench.declarations)
    await bench.replay(most_attempts=3)
    assert await bench.applied() == ["next"]
    assert (await bench.poll([bench.log.records[0]])) == {DUPLICATE: 1}, "dropped is dropped"


async def test_a_dropped_record_leaves_its_id_to_a_twin_that_waits(bench: Bench) -> None:
    bench.fails = lambda _, what: what == "broken"
    await bench.poll([bench.log.fact("a", "broken", event_id="same"), bench.log.fact("a", "mended", event_id="same")])
    (head,) = await _heads(bench)
    async with bench.database.transaction() as conn:
        await operating.drop(conn, head.id, "the other one is right", bench.routes, ME, bench.declarations)
    await bench.replay()
    assert await bench.applied() == ["mended"]


async def test_a_replay_that_never_comes_back_counts_as_an_attempt(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.fails = lambda _, __: True
    await bench.poll([bench.log.fact("a", "deadly")])
    for attempt in range(2):
        async with bench.database.acquire() as conn:
            (seen,) = await store.due(conn, "ingest", [FACTS.name], 10)
            assert seen.attempts == attempt
            owner = f"killed {attempt}"
            assert await store.claim(
                conn, "ingest", seen, owner, lease_seconds=0.0, first_wait_seconds=0.0, longest_wait_seconds=0.0
            )
    with caplog.at_level(logging.ERROR):
        await bench.replay(most_attempts=2)
    assert "waits for a person" in caplog.text
    assert await bench.blocked() == [("a", "gave_up")]
    error = await bench.owner.fetchval("SELECT last_error FROM parked_keys")
    assert error.startswith("its last attempt did not come to an end; before: Broken: a: deadly")


async def test_a_replay_that_was_paused_past_its_lease_writes_nothing(bench: Bench) -> None:
    bench.fails = lambda _, __: True
    await bench.poll([bench.log.fact("a", "one")])
    bench.fails = lambda _, __: False
    paused = bench.replayer()
    async with bench.database.transaction() as conn:
        stale = await paused.claim_now(conn, (FACTS.name, "a"))
    await bench.replay()
    bench.fails = lambda _, __: True
    await bench.poll([bench.log.fact("a", "two")])
    assert await paused.replay_claimed((FACTS.name, "a"), stale) is None
    assert await bench.owner.fetchval("SELECT attempts FROM parked WHERE status = 'open'") == 1
    bench.fails = lambda _, __: False
    await bench.replay()
    assert await bench.applied() == ["one", "two"]


async def test_a_claim_keeps_others_away_until_its_lease_ends(bench: Bench) -> None:
    bench.fails = lambda _, __: True
    await bench.poll([bench.log.fact("a", "one")])
    async with bench.database.transaction() as conn:
        await bench.replayer(replace(AT_ONCE, lease_seconds=3_600.0)).claim_now(conn, (FACTS.name, "a"))
    assert await bench.replay() == 0
    await bench.owner.execute("UPDATE parked_keys SET locked_until = now()")
    assert await bench.replay() == 1


async def test_a_poll_that_meets_a_key_under_replay_waits_and_comes_after_it(bench: Bench) -> None:
    bench.fails = lambda _, __: True
    await bench.poll([bench.log.fact("a", "one")])
    bench.fails = lambda _, __: False
    at_work, goes_on = asyncio.Event(), asyncio.Event()

    async def pause() -> None:
        at_work.set()
        await goes_on.wait()

    bench.pause = pause
    replay = asyncio.create_task(bench.replay())
    await at_work.wait()
    poll = asyncio.create_task(bench.poll([bench.log.fact("a", "two"), bench.log.fact("b", "three")]))

    async def waits() -> bool:
        return bool(await bench.owner.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    await until(waits, "the poll waits for the key")
    goes_on.set()
    await asyncio.gather(replay, poll)
    assert await bench.applied() == ["one", "two", "three"]
    assert await bench.parked() == [("a", "replayed")]


async def test_what_does_not_fit_its_contract_is_a_dead_letter_though_its_key_is_blocked(bench: Bench) -> None:
    bench.fails = lambda _, what: what == "bad"
    await bench.poll([bench.log.fact("a", "bad")])
    broken = replace(bench.log.fact("a", "x"), value=b"{")
    assert await bench.poll([broken]) == {DEAD: 1}
    (letter,) = await dead_letters.list_open(bench.owner)
    async with bench.database.transaction() as conn:
        body = bench.log.records[0].value
        await dead_letters.edit(conn, letter.id, body, bench.routes, ME, bench.declarations)
        with pytest.raises(CannotChange, match="came before it are parked"):
            await dead_letters.redrive(conn, letter.id, bench.routes, bench.declarations, actor=ME)
    bench.fails = lambda _, __: False
    await bench.replay()
    async with bench.database.transaction() as conn:
        await dead_letters.redrive(conn, letter.id, bench.routes, bench.declarations, actor=ME)
    assert await bench.applied() == ["bad", "bad"]


async def test_a_record_that_no_route_wants_any_more_waits_for_a_person(bench: Bench) -> None:
    bench.fails = lambda _, __: True
    await bench.poll([bench.log.fact("a", "one"), bench.log.state("s", 1)])
    bench.routing = Routing(bench.routes[1:], bench.declarations)
    bench.fails = lambda _, __: False
    await bench.replay()
    assert await bench.blocked() == [("a", "waiting")]
    assert await bench.applied(STATES.name) == ["1"]
    async with bench.database.acquire() as conn:
        assert await store.due(conn, "ingest", bench.routing.topics, 10) == []


async def test_an_edit_must_stay_on_its_key(bench: Bench) -> None:
    facts, states = bench.routes
    bench.routes = [replace(facts, blocking_key=lambda message: message.data.payload["what"]), states]  # type: ignore[union-attr]
    bench.routing = Routing(bench.routes, bench.declarations)
    bench.fails = lambda _, __: True
    await bench.poll([bench.log.fact("a", "mine")])
    (head,) = await _heads(bench)
    async with bench.database.transaction() as conn:
        with pytest.raises(CannotChange, match="belong to another key"):
            body = bench.log.fact("a", "yours").value
            await operating.edit(conn, head.id, body, bench.routes, ME, bench.declarations)


async def test_waits_grow_from_the_first_to_the_longest(bench: Bench) -> None:
    bench.fails = lambda _, __: True
    await bench.poll([bench.log.fact("a", "one")])
    for number in range(1, 9):
        before = await bench.owner.fetchval("UPDATE parked_keys SET next_attempt_at = now() RETURNING now()")
        await bench.replay(ReplayOptions(first_wait_seconds=1.0, longest_wait_seconds=60.0))
        planned, after = await bench.owner.fetchrow("SELECT next_attempt_at, now() FROM parked_keys")
        longest = min(60.0, 2.0**number)
        assert (planned - before).total_seconds() >= longest * 0.75
        assert (planned - after).total_seconds() <= longest


async def _heads(bench: Bench) -> list[operating.Parked]:
    async with bench.database.acquire() as conn:
        return await operating.list_heads(conn, "ingest", topic=None, states=[STATES.name], limit=10)


async def test_replaying_waits_out_a_database_that_goes_away(bench: Bench, ingest_database: ServiceDatabase) -> None:
    bench.fails = lambda _, __: True
    await bench.poll([bench.log.fact("a", "one"), bench.log.fact("b", "two")])
    bench.fails = lambda _, __: False
    at_work, goes_on, stop = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def pause() -> None:
        at_work.set()
        await goes_on.wait()

    bench.pause = pause
    replaying = asyncio.create_task(bench.replayer().run(stop))
    await at_work.wait()
    admin = await asyncpg.connect(ingest_database.admin_dsn)
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ingest_worker' "
        "AND datname = current_database()"
    )
    await admin.close()
    goes_on.set()

    async def is_free() -> bool:
        return await bench.blocked() == []

    await until(is_free, "no key is blocked")
    stop.set()
    await replaying
    assert sorted(await bench.applied()) == ["one", "two"]
    assert await bench.owner.fetchval("SELECT max(attempts) FROM parked") == 1, "nobody's fault is not the record's"
